"""Datasets: what is read, from where, and everything that must be refused; nothing here needs a net."""

from __future__ import annotations

import gzip
import io
import os
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nasbench_tab.errors import DatasetError, UnknownNameError
from nasbench_tab.train import datasets
from nasbench_tab.train.datasets import DATASETS, Images, images_hash, load_images

from .published import (
    ARCHIVE,
    CIFAR10,
    CIFAR100,
    NAMES,
    PIXELS,
    checksum,
    idx,
    lay,
    packed,
    pickled,
    publish,
    python2,
    small_cifar,
    small_fashion,
    tarred,
)

DEBIAN = Path("/usr/share/datasets/fashion-mnist")
FASHION_MNIST = "sha256:3ce78bbe8cc7796864952bf6f0de88b42dbd6c6cc1be4165f929a8c14dc441c1"
DIGITS = "sha256:758f2b7cd1aa1d6b5843ee4f762026fea2544ec51745ab618f4a203796fc2342"

debian = pytest.mark.skipif(
    not DEBIAN.is_dir(), reason="Debian's dataset-fashion-mnist is not installed here"
)


@pytest.fixture(autouse=True)
def _no_net(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NASBENCH_TAB_OFFLINE", "1")
    monkeypatch.setenv("NASBENCH_TAB_HOME", str(tmp_path / "home"))


# --- Fashion-MNIST ------------------------------------------------------------------------------


@debian
def test_debians_fashion_mnist_is_the_published_one_and_read_quickly() -> None:
    start = time.process_time()
    train, test = load_images("fashion-mnist")
    assert time.process_time() - start < 1.5
    assert (train.images.shape, train.images.dtype.name) == ((60000, 28, 28, 1), "uint8")
    assert (test.labels.shape, test.labels.dtype.name) == ((10000,), "int64")
    assert np.bincount(train.labels).tolist() == [6000] * 10
    assert train.labels[:5].tolist() == [9, 0, 0, 3, 0]
    assert images_hash(train, test) == FASHION_MNIST
    assert images_hash(*load_images("fashion-mnist", str(DEBIAN))) == FASHION_MNIST


@debian
def test_published_and_unpacked_files_in_a_folder_are_mixed_freely(tmp_path: Path) -> None:
    for name in NAMES[::2]:
        (tmp_path / f"{name}.gz").symlink_to(DEBIAN / f"{name}.gz")
    for name in NAMES[1::2]:
        lay(tmp_path, {name: gzip.decompress((DEBIAN / f"{name}.gz").read_bytes())})
    assert images_hash(*load_images("fashion-mnist", tmp_path)) == FASHION_MNIST


@pytest.mark.parametrize("pack", [packed, dict])
@pytest.mark.parametrize("place", ["folder", "user's folder", "system"])
def test_small_files_come_back_from_every_place(
    pack: Callable[[dict[str, bytes]], dict[str, bytes]],
    place: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    contents = small_fashion()
    publish(monkeypatch, "fashion-mnist", contents)
    root = tmp_path / "home" / "datasets" / "fashion-mnist"
    if place == "system":
        root = tmp_path / "system"
        source = datasets._SOURCES["fashion-mnist"]._replace(system=(str(root),))
        monkeypatch.setitem(datasets._SOURCES, "fashion-mnist", source)
    lay(root, pack(contents))
    train, test = load_images("fashion-mnist", root if place == "folder" else None)
    assert train.images.tobytes() == contents[NAMES[0]][16:]
    assert test.images.shape == (2, 28, 28, 1)
    assert [train.labels.tolist(), test.labels.tolist()] == [[9, 0, 3], [1, 2]]
    for array in (*train, *test):  # torch warns of others
        assert array.flags.writeable
        assert array.flags.c_contiguous


def test_a_file_that_the_system_lacks_comes_from_the_users_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents = small_fashion()
    publish(monkeypatch, "fashion-mnist", contents)
    source = datasets._SOURCES["fashion-mnist"]._replace(system=(str(tmp_path / "system"),))
    monkeypatch.setitem(datasets._SOURCES, "fashion-mnist", source)
    lay(tmp_path / "system", {name: contents[name] for name in NAMES[1:]})
    lay(tmp_path / "home/datasets/fashion-mnist", {NAMES[0]: contents[NAMES[0]]})
    assert len(load_images("fashion-mnist")[0].labels) == 3


def test_missing_files_are_named_with_every_way_to_get_them(tmp_path: Path) -> None:
    lay(tmp_path, {NAMES[0]: b""})
    with pytest.raises(DatasetError) as caught:
        load_images("fashion-mnist", tmp_path)
    message = str(caught.value)
    assert re.match(rf"fashion-mnist is not complete in {re.escape(str(tmp_path))}: ", message)
    assert all(f"{name}.gz" in message for name in NAMES[1:])
    assert f"{NAMES[0]}.gz" not in message
    for way in ("http://fashion-mnist.s3", "apt-get install dataset-fashion-mnist", "folder"):
        assert way in message
    assert "OFFLINE" not in message


def test_offline_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(monkeypatch, "fashion-mnist", {})
    for name in ("fashion-mnist", "cifar10", "cifar100"):
        with pytest.raises(DatasetError, match="NASBENCH_TAB_OFFLINE is set") as caught:
            load_images(name)
        assert str(tmp_path / "home" / "datasets" / name) in str(caught.value)
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize("pack", [packed, dict])
def test_another_content_is_refused_by_name_and_left_alone(
    pack: Callable[[dict[str, bytes]], dict[str, bytes]], tmp_path: Path
) -> None:
    files = pack(small_fashion())
    lay(tmp_path, files)
    got = checksum("sha256", small_fashion()[NAMES[0]])
    with pytest.raises(
        DatasetError,
        match=rf"train-images-idx3-ubyte(\.gz)? is not the published file: .*SHA-256 c59f468a\w+ "
        rf"expected, {got} got\. It was not used, and left as it is\. Replace it by http://",
    ):
        load_images("fashion-mnist", tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == files


WHOLE = gzip.compress(idx(np.zeros((3, 28, 28))), mtime=0)


@pytest.mark.parametrize(
    "data",
    [WHOLE[:-1], WHOLE[:-8], WHOLE[:30], WHOLE[:5], b"no gzip", WHOLE + b"more",
     WHOLE[:-8] + b"\0" * 8, WHOLE[:20] + b"\xff" * 20 + WHOLE[40:]],
)  # fmt: skip
def test_damaged_gzip_is_refused(data: bytes, tmp_path: Path) -> None:
    lay(tmp_path, {**packed(small_fashion()), f"{NAMES[0]}.gz": data})
    with pytest.raises(
        DatasetError,
        match=r"train-images-idx3-ubyte\.gz cannot be unpacked \(.+\): a complete "
        r"train-images-idx3-ubyte\.gz expected\. Replace it by http://.*apt-get",
    ):
        load_images("fashion-mnist", tmp_path)


IMAGES = small_fashion()[NAMES[0]]
BROKEN_IDX = {
    "nothing": (NAMES[0], b"", r"the start 00 00 08 03 of an IDX file .*, nothing got"),
    "a short header": (NAMES[0], IMAGES[:15], "and 3 lengths expected, 00 00 08 03"),
    "another magic": (NAMES[0], b"\x01" + IMAGES[1:], "of an IDX file.*, 01 00 08 03"),
    "another type": (NAMES[0], b"\0\0\x0d" + IMAGES[3:], "of an IDX file.*, 00 00 0d 03"),
    "labels for images": (NAMES[0], small_fashion()[NAMES[1]], r"00 08 03 of.*, 00 00 08 01"),
    "images for labels": (NAMES[1], IMAGES, "the start 00 00 08 01 of an IDX file"),
    "another size": (NAMES[0], idx(np.zeros((3, 27, 28))), r"shape \(28, 28\) expected, \(27, 28\)"),
    "bytes missing": (NAMES[0], IMAGES[:-1], "2352 bytes after the header.*3 items.*, 2351 got"),
    "bytes too many": (NAMES[0], IMAGES + b"1", "2352 bytes after the header.*, 2353 got"),
    "2**32 images": (NAMES[0], IMAGES[:4] + b"\xff" * 4 + IMAGES[8:], "3367254359280 bytes after"),
    "labels missing": (NAMES[1], idx(np.zeros(2)), "one label for each of 3 images expected, 2 lab"),
    "a wild label": (NAMES[1], idx(np.array([0, 1, 10])), "labels from 0 to 9 expected, 0 to 10 got"),
}  # fmt: skip


@pytest.mark.parametrize(("name", "data", "words"), BROKEN_IDX.values(), ids=BROKEN_IDX.keys())
def test_broken_idx_files_are_refused(
    name: str, data: bytes, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents = {**small_fashion(), name: data}
    publish(monkeypatch, "fashion-mnist", contents)
    lay(tmp_path, contents)
    with pytest.raises(DatasetError, match=rf"{name}: .*{words}.*Get the file again"):
        load_images("fashion-mnist", tmp_path)


def test_files_that_cannot_be_read_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DatasetError, match=r"cannot be searched for .*\(File name too long\)"):
        load_images("fashion-mnist", "x" * 5000)
    lay(tmp_path, small_fashion())

    def refuse(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(DatasetError, match=r"ubyte cannot be read \(Permission denied\)\. Make"):
        load_images("fashion-mnist", tmp_path)


def test_every_file_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    contents = small_fashion()
    publish(monkeypatch, "fashion-mnist", contents)
    lay(tmp_path, packed(contents))
    opened: list[str] = []
    sys_open = io.open

    def counting(file: Any, *rest: Any, **more: Any) -> Any:
        opened.append(os.fspath(file))
        return sys_open(file, *rest, **more)

    monkeypatch.setattr(io, "open", counting)
    load_images("fashion-mnist", tmp_path)
    assert sorted(opened) == sorted(str(tmp_path / f"{name}.gz") for name in NAMES)


# --- CIFAR: written as Python 2 did ---------------------------------------------------------------


@pytest.mark.parametrize("form", ["archive", "unpacked"])
@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_cifar_comes_back_as_archive_and_unpacked(
    name: str, form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    members = small_cifar(name)
    archive = {ARCHIVE[name]: tarred(members)}
    publish(monkeypatch, name, {**members, **archive})
    lay(tmp_path, archive if form == "archive" else members)
    train, test = load_images(name, tmp_path)
    n = len(train.labels)
    assert n == (10 if name == "cifar10" else 2)
    assert train.labels.tolist() == ([0, 9, 1, 9, 2, 9, 3, 9, 4, 9] if n == 10 else [0, 99])
    assert test.labels.tolist() == ([5, 9] if n == 10 else [1, 99])
    assert (test.images.shape, test.images.dtype.name) == ((2, 32, 32, 3), "uint8")
    for i in (0, n - 1):  # in the file: all reds, then all greens, then all blues
        assert train.images[i, 4, 7].tolist() == PIXELS[i].reshape(3, 32, 32)[:, 4, 7].tolist()
    for array in (*train, *test):
        assert array.flags.writeable
        assert array.flags.c_contiguous


def test_other_cifar_files_are_refused_by_name_and_left_alone(tmp_path: Path) -> None:
    members = small_cifar("cifar10")
    lay(tmp_path, members)
    with pytest.raises(
        DatasetError,
        match=r"data_batch_1 is not the published file: MD5 c99cafc152244af753f735de768cd75f "
        rf"expected, {checksum('md5', members[CIFAR10[0]])} got",
    ):
        load_images("cifar10", tmp_path)
    archive = tarred(members)
    lay(tmp_path, {ARCHIVE["cifar10"]: archive})
    with pytest.raises(
        DatasetError,
        match=r"python\.tar\.gz is not the published file: MD5 c58f30108f718f92721af3b95e74349a "
        rf"expected, {checksum('md5', archive)} got\. .*Replace it by https://www\.cs\.toronto",
    ):
        load_images("cifar10", tmp_path)
    assert (tmp_path / ARCHIVE["cifar10"]).read_bytes() == archive


def test_a_member_that_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    members = small_cifar("cifar10")
    del members[CIFAR10[3]]
    archive = {ARCHIVE["cifar10"]: tarred(members)}
    publish(monkeypatch, "cifar10", {**members, **archive})
    lay(tmp_path / "archive", archive)
    lay(tmp_path / "unpacked", members)
    with pytest.raises(DatasetError, match=r"tar\.gz does not hold .*-py/data_batch_4, which"):
        load_images("cifar10", tmp_path / "archive")
    with pytest.raises(
        DatasetError, match=r"needs .*data_batch_4, which is not there\. Unpack cifar"
    ):
        load_images("cifar10", tmp_path / "unpacked")


@pytest.mark.parametrize("cut", [0, 5, 0.5, 0.9])
def test_a_damaged_archive_is_refused(
    cut: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = tarred(small_cifar("cifar10"))
    archive = {ARCHIVE["cifar10"]: whole[: int(cut * len(whole)) if cut < 1 else int(cut)]}
    publish(monkeypatch, "cifar10", archive)
    lay(tmp_path, archive)
    with pytest.raises(DatasetError, match=r"tar\.gz (cannot be unpacked|does not hold)"):
        load_images("cifar10", tmp_path)


GOOD: dict[bytes, Any] = {b"data": PIXELS[:2], b"fine_labels": [3, 4]}
BROKEN_BATCHES = {
    "a planted call": (b"cos\nsystem\n(S'true'\ntR.", r"asks for os\.system, which plain data"),
    "no pickle": (b"hello", "is not a complete pickle of plain data"),
    "a short pickle": (pickled(GOOD)[:-9], "is not a complete pickle of plain data"),
    "a forged array": (
        pickled(GOOD).replace(python2((2, 3072)), python2((9, 3072))),
        "an array of shape .* needs 27648 bytes, 6144 are there",
    ),
    "a list": (pickled([1]), "a dict expected, list got"),
    "no data": (pickled({b"fine_labels": [3, 4]}), "an array of pixels under 'data' expected, NoneT"),
    "data in a list": (pickled({**GOOD, b"data": [1]}), "under 'data' expected, list got"),
    "wide data": (pickled({**GOOD, b"data": PIXELS[:2].astype("<i4")}), "uint8 of .*, int32 of shape"),
    "narrow data": (pickled({**GOOD, b"data": PIXELS[:2, :8]}), r"3072\) expected, uint8 of .*\(2, 8\)"),
    "flat data": (pickled({**GOOD, b"data": PIXELS[0]}), r"3072\) expected, uint8 of shape \(3072,\)"),
    "no labels": (pickled({b"data": PIXELS[:2]}), "labels from 0 to 99 under 'fine_labels'.*None got"),
    "labels of 100": (pickled({**GOOD, b"fine_labels": [1, 100]}), r"from 0 to 99 .*\[1, 100\] got"),
    "labels below 0": (pickled({**GOOD, b"fine_labels": [1, -1]}), r"from 0 to 99 .*\[1, -1\] got"),
    "labels of text": (pickled({**GOOD, b"fine_labels": [b"a", 1]}), "a list of labels from 0 to 99"),
    "labels missing": (pickled({**GOOD, b"fine_labels": [1]}), "one label for each of 2 images.*1 lab"),
}  # fmt: skip


@pytest.mark.parametrize(("data", "words"), BROKEN_BATCHES.values(), ids=BROKEN_BATCHES.keys())
def test_broken_batches_are_refused(
    data: bytes, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    members = {**small_cifar("cifar100"), CIFAR100[0]: data}
    archive = {ARCHIVE["cifar100"]: tarred(members)}
    publish(monkeypatch, "cifar100", {**members, **archive})
    lay(tmp_path / "unpacked", members)
    lay(tmp_path / "archive", archive)
    with pytest.raises(DatasetError, match=rf"cifar-100-python/train(:| ).*{words}"):
        load_images("cifar100", tmp_path / "unpacked")
    with pytest.raises(DatasetError, match=rf"tar\.gz: cifar-100-python/train(:| ).*{words}"):
        load_images("cifar100", tmp_path / "archive")


# --- Digits, names, hashes ------------------------------------------------------------------------


def test_the_digits_are_split_into_two_disjoint_parts() -> None:
    pytest.importorskip("sklearn", reason="the digits come with scikit-learn")
    train, test = load_images("digits")
    assert [a.shape for a in (*train, *test)] == [(1297, 8, 8, 1), (1297,), (500, 8, 8, 1), (500,)]
    assert [train.images.dtype.name, train.labels.dtype.name] == ["uint8", "int64"]
    assert (train.images.min(), train.images.max()) == (0, 255)
    assert not {i.tobytes() for i in train.images} & {i.tobytes() for i in test.images}
    assert np.bincount(test.labels).min() >= 45
    assert images_hash(train, test) == DIGITS


def test_the_digits_without_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(
        DatasetError, match=r"not installed\. Run: pip install 'nasbench_tab\[train\]"
    ):
        load_images("digits")


def test_unknown_names_are_refused_with_the_known() -> None:
    assert DATASETS == ("cifar10", "cifar100", "fashion-mnist", "digits")
    with pytest.raises(
        UnknownNameError, match=r"Unknown dataset 'mnist'.*Did you mean fashion-mnist"
    ):
        load_images("mnist")


def test_the_hash_sees_every_byte_label_shape_and_part_but_not_the_layout() -> None:
    pixels = np.arange(2 * 4 * 4 * 3, dtype=np.uint8).reshape(2, 4, 4, 3)
    part = Images(pixels, np.array([1, 2]))
    other = part._replace(images=pixels[:, ::-1])
    nothing = Images(pixels[:0], part.labels[:0])
    pairs = [
        (part, part), (part, other), (other, part), (part, nothing), (nothing, part),
        (part._replace(labels=np.array([2, 1])), part),
        (part._replace(images=pixels.reshape(2, 2, 8, 3)), part),
    ]  # fmt: skip
    assert len({images_hash(*pair) for pair in pairs}) == len(pairs)
    turned = part._replace(images=np.asfortranarray(pixels), labels=part.labels.astype(">i8"))
    assert images_hash(turned, part) == images_hash(part, part)
    assert re.fullmatch("sha256:[0-9a-f]{64}", images_hash(part, part))
