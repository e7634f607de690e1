"""Image datasets as plain arrays: from a folder, from the system, or downloaded; always checked.

>>> from nasbench_tab.train.datasets import images_hash, load_images
>>> train, test = load_images("digits")
>>> train.images.shape, test.labels.shape
((1297, 8, 8, 1), (500,))
>>> images_hash(train, test)
'sha256:...'
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import tarfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nasbench_tab.errors import DatasetError, UnsafePickleError, unknown_name
from nasbench_tab.importers.unpickle import NUMPY_ARRAYS, NumberArray, load_plain
from nasbench_tab.paths import user_folder
from nasbench_tab.train.download import download

__all__ = ["DATASETS", "Images", "images_hash", "load_images"]

#: The digits have no published split: the first 1,297 in scikit-learn's order are for training, the
#: last 500 for testing.
_DIGITS, _DIGITS_TRAIN = 1797, 1297


class Images(NamedTuple):
    """Labelled images: ``images`` ``(n, height, width, channels)`` uint8, ``labels`` ``(n,)`` int64."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]


class _Content(NamedTuple):
    where: str  # for messages
    data: bytes


class _File(NamedTuple):
    """A published file.

    Attributes:
        name: Its name where it is published: a ``.gz`` of one file, or a ``.tar.gz``.
        md5: Its published MD5.
        members: ``{path: "algorithm:checksum"}`` of what is read from inside, relative to its folder
            when unpacked.
    """

    name: str
    md5: str
    members: dict[str, str]


class _Source(NamedTuple):
    home: str  # address of the folder that the files are published in
    files: tuple[_File, ...]
    read: Callable[[dict[str, _Content]], tuple[Images, Images]]
    system: tuple[str, ...] = ()  # folders where systems keep it
    hint: str = ""


def load_images(name: str, folder: str | Path | None = None) -> tuple[Images, Images]:
    """Return the training and the test images of a dataset.

    Every file is checked against its published checksum before anything in it is used.

    Args:
        name: One of :data:`DATASETS`. ``"digits"`` are scikit-learn's 1,797 images of 8x8 pixels:
            the first 1,297 are the training images, the last 500 the test images.
        folder: Where its files lie, as published or unpacked; nothing is downloaded. None = where
            the system keeps them, else ``datasets/<name>`` in the user's folder, into which missing
            files are downloaded (unless ``NASBENCH_TAB_OFFLINE`` is set). The digits need none.

    Raises:
        UnknownNameError: No such dataset.
        DatasetError: A file is missing, damaged or not the published one; it is named, with the
            way to get it.
    """
    if name == "digits":
        return _digits()
    source = _SOURCES.get(name)
    if source is None:
        raise unknown_name("dataset", name, DATASETS)
    if folder is not None:
        roots = [Path(folder)]
    else:
        roots = [*map(Path, source.system), user_folder() / "datasets" / name]
    located = [(file, _locate(file, roots)) for file in source.files]
    missing = [file.name for file, root in located if root is None]
    offline = bool(os.environ.get("NASBENCH_TAB_OFFLINE"))
    if missing and (folder is not None or offline):
        reason = "" if folder is not None else " NASBENCH_TAB_OFFLINE is set, so no download."
        raise DatasetError(
            f"{name} is not complete in {' or '.join(map(str, roots))}: {', '.join(missing)} expected, "
            f"not there.{reason} Get the missing from {source.home}{source.hint}, or give the folder "
            "that holds all of its files."
        )
    contents: dict[str, _Content] = {}
    for file, root in located:
        if root is not None:
            contents |= _read(name, source, file, root)
        else:
            instead = (
                f"get {source.home}{file.name} another way{source.hint}; its place is {roots[-1]}"
            )
            path = roots[-1] / file.name
            data = download(source.home + file.name, path, file.md5, instead)
            contents |= _unpack(source, file, _Content(str(path), data))
    return source.read(contents)


def images_hash(train: Images, test: Images) -> str:
    """Return ``"sha256:..."`` over the shapes and values of all images and labels.

    It is the same on every machine and for every way that the dataset was got.
    """
    digest = hashlib.sha256()
    for part, images in (("train", train), ("test", test)):
        for kind, array in (
            ("images", np.ascontiguousarray(images.images, np.uint8)),
            ("labels", np.ascontiguousarray(images.labels, "<i8")),
        ):
            digest.update(f"{part} {kind} {'x'.join(map(str, array.shape))}\n".encode())
            digest.update(array.data)
    return f"sha256:{digest.hexdigest()}"


def _locate(file: _File, roots: Sequence[Path]) -> Path | None:
    """Return the first folder that holds the file, as published or (in part at least) unpacked."""
    for root in roots:
        try:
            if any((root / path).is_file() for path in (file.name, *file.members)):
                return root
        except OSError as err:
            raise DatasetError(
                f"{root} cannot be searched for {file.name} ({err.strerror or err}). Make it readable, "
                "or give another folder."
            ) from err
    return None


def _read(name: str, source: _Source, file: _File, root: Path) -> dict[str, _Content]:
    """Return the checked contents of a file that lies in ``root``."""
    packed = root / file.name
    if packed.is_file():
        return _unpack(source, file, _bytes(packed))
    contents = {}
    for member, checksum in file.members.items():
        if not (root / member).is_file():
            raise DatasetError(
                f"{name} needs {root / member}, which is not there. Unpack {file.name} from "
                f"{source.home}{source.hint} again, or give the folder that holds all of its files."
            )
        contents[member] = _bytes(root / member)
        _verify(source, file, contents[member], checksum)
    return contents


def _bytes(path: Path) -> _Content:
    try:
        return _Content(str(path), path.read_bytes())
    except OSError as err:
        raise DatasetError(
            f"{path} cannot be read ({err.strerror or err}). Make it readable, or give another folder."
        ) from err


def _unpack(source: _Source, file: _File, packed: _Content) -> dict[str, _Content]:
    """Return the checked contents of a published file.

    For a ``.gz`` the content inside is what counts, since Debian compresses Fashion-MNIST again.
    """
    where = packed.where
    try:
        if file.name.endswith(".tar.gz"):
            _verify(source, file, packed, f"md5:{file.md5}")
            contents = _untar(file, packed)
        else:
            ((member, checksum),) = file.members.items()
            contents = {member: _Content(where, gzip.decompress(packed.data))}
            _verify(source, file, contents[member], checksum, "its unpacked content has ")
    except (OSError, EOFError, zlib.error, tarfile.TarError) as err:
        raise DatasetError(
            f"{where} cannot be unpacked ({err}): a complete {file.name} expected. {_again(source, file)}"
        ) from err
    lost = [member for member in file.members if member not in contents]
    if lost:
        raise DatasetError(
            f"{where} does not hold {', '.join(lost)}, which it should. {_again(source, file)}"
        )
    return contents


def _untar(file: _File, packed: _Content) -> dict[str, _Content]:
    """Return the members that are wanted; the archive is passed through once."""
    contents = {}
    with tarfile.open(fileobj=io.BytesIO(packed.data), mode="r|gz") as tar:
        for entry in tar:
            if entry.name in file.members and entry.isfile():
                member = tar.extractfile(entry)
                data = b"" if member is None else member.read()
                contents[entry.name] = _Content(f"{packed.where}: {entry.name}", data)
    return contents


def _verify(
    source: _Source, file: _File, content: _Content, checksum: str, which: str = ""
) -> None:
    algorithm, _, expected = checksum.partition(":")
    got = hashlib.new(algorithm, content.data, usedforsecurity=False).hexdigest()
    if got != expected:
        kind = {"md5": "MD5", "sha256": "SHA-256"}[algorithm]
        raise DatasetError(
            f"{content.where} is not the published file: {which}{kind} {expected} expected, {got} "
            f"got. It was not used, and left as it is. {_again(source, file)}"
        )


def _again(source: _Source, file: _File) -> str:
    return f"Replace it by {source.home}{file.name}{source.hint}."


def _broken(where: str, expected: str, got: object) -> DatasetError:
    return DatasetError(f"{where}: {expected} expected, {got} got. Get the file again.")


def _labelled(
    where: str, images: NDArray[np.uint8], labels: NDArray[np.int64], n_classes: int
) -> Images:
    if len(images) != len(labels):
        raise _broken(where, f"one label for each of {len(images)} images", f"{len(labels)} labels")
    if len(labels) and not 0 <= labels.min() <= labels.max() < n_classes:
        got = f"{labels.min()} to {labels.max()}"
        raise _broken(where, f"labels from 0 to {n_classes - 1}", got)
    return Images(images, labels)


# --- Fashion-MNIST: IDX files -------------------------------------------------------------------


def _read_fashion_mnist(contents: dict[str, _Content]) -> tuple[Images, Images]:
    def part(prefix: str) -> Images:
        labels_file = contents[f"{prefix}-labels-idx1-ubyte"]
        images = _idx(contents[f"{prefix}-images-idx3-ubyte"], (28, 28))[:, :, :, None].copy()
        labels = _idx(labels_file, ()).astype(np.int64)
        return _labelled(labels_file.where, images, labels, 10)

    return part("train"), part("t10k")


def _idx(content: _Content, item: tuple[int, ...]) -> NDArray[np.uint8]:
    """Return the array ``(n, *item)`` of an IDX file of unsigned bytes, read-only."""
    where, data = content
    dimensions = 1 + len(item)
    header, start = bytes([0, 0, 8, dimensions]), 4 + 4 * dimensions
    if data[:4] != header or len(data) < start:
        expected = f"the start {header.hex(' ')} of an IDX file and {dimensions} lengths"
        raise _broken(where, expected, data[:start].hex(" ") or "nothing")
    n, *shape = (int(length) for length in np.frombuffer(data, ">u4", dimensions, 4))
    if tuple(shape) != item:
        raise _broken(where, f"items of shape {item}", tuple(shape))
    size = n * int(np.prod(item, dtype=int))
    if len(data) - start != size:
        expected = f"{size} bytes after the header, which says {n} items,"
        raise _broken(where, expected, len(data) - start)
    return np.frombuffer(data, np.uint8, offset=start).reshape(n, *item)


# --- CIFAR: pickles of Python 2 in a tar archive ------------------------------------------------


def _read_cifar(
    train: Sequence[str], test: str, label: bytes, n_classes: int
) -> Callable[[dict[str, _Content]], tuple[Images, Images]]:
    def part(content: _Content) -> Images:
        where = content.where
        try:
            batch = load_plain(io.BytesIO(content.data), NUMPY_ARRAYS, where, encoding="bytes")
        except UnsafePickleError as err:
            raise DatasetError(str(err)) from err
        if not isinstance(batch, dict):
            raise _broken(where, "a dict", type(batch).__name__)
        pixels = batch.get(b"data")
        if not isinstance(pixels, NumberArray):
            raise _broken(where, "an array of pixels under 'data'", type(pixels).__name__)
        array, labels = pixels.array, batch.get(label)
        if array.dtype != np.uint8 or array.shape[1:] != (3072,):
            raise _broken(
                where, "pixels uint8 of shape (n, 3072)", f"{array.dtype} of shape {array.shape}"
            )
        if not _are_labels(labels, n_classes):
            expected = f"a list of labels from 0 to {n_classes - 1} under {label.decode()!r}"
            raise _broken(where, expected, repr(labels)[:60])
        images = array.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        return _labelled(where, images, np.array(labels, np.int64), n_classes)

    def read(contents: dict[str, _Content]) -> tuple[Images, Images]:
        return _joined([part(contents[path]) for path in train]), _joined([part(contents[test])])

    return read


def _are_labels(labels: Any, n_classes: int) -> bool:
    return isinstance(labels, list) and all(
        type(label) is int and 0 <= label < n_classes for label in labels
    )


def _joined(parts: Sequence[Images]) -> Images:
    images = np.empty((sum(len(part.images) for part in parts), 32, 32, 3), np.uint8)
    np.concatenate([part.images for part in parts], out=images)  # in plain order in memory
    return Images(images, np.concatenate([part.labels for part in parts]))


# --- The digits that come with scikit-learn -----------------------------------------------------


def _digits() -> tuple[Images, Images]:
    try:
        from sklearn.datasets import load_digits  # type: ignore[import-untyped]
    except ImportError as err:
        raise DatasetError(
            "digits is part of scikit-learn, which is not installed. Run: pip install "
            "'nasbench_tab[train]'."
        ) from err
    found = load_digits()
    if found.images.shape != (_DIGITS, 8, 8):
        raise DatasetError(
            f"digits: {_DIGITS} images of 8x8 pixels expected from scikit-learn, an array of shape "
            f"{found.images.shape} got. Install another version of scikit-learn."
        )
    images = (found.images * (255 / 16)).astype(np.uint8)[:, :, :, None]  # 0 to 16 -> 0 to 255
    both = _labelled("digits", images, found.target.astype(np.int64), 10)
    return (
        Images(both.images[:_DIGITS_TRAIN], both.labels[:_DIGITS_TRAIN]),
        Images(both.images[_DIGITS_TRAIN:], both.labels[_DIGITS_TRAIN:]),
    )


# --- What is published where --------------------------------------------------------------------


def _gz(name: str, md5: str, sha256: str) -> _File:
    return _File(f"{name}.gz", md5, {name: f"sha256:{sha256}"})


_CIFAR = "https://www.cs.toronto.edu/~kriz/"
_CIFAR10 = "cifar-10-batches-py"

_SOURCES = {
    "cifar10": _Source(
        home=_CIFAR,
        files=(
            _File(
                "cifar-10-python.tar.gz",
                "c58f30108f718f92721af3b95e74349a",
                {
                    f"{_CIFAR10}/data_batch_1": "md5:c99cafc152244af753f735de768cd75f",
                    f"{_CIFAR10}/data_batch_2": "md5:d4bba439e000b95fd0a9bffe97cbabec",
                    f"{_CIFAR10}/data_batch_3": "md5:54ebc095f3ab1f0389bbae665268c751",
                    f"{_CIFAR10}/data_batch_4": "md5:634d18415352ddfa80567beed471001a",
                    f"{_CIFAR10}/data_batch_5": "md5:482c414d41f54cd18b22e5b47cb7c3cb",
                    f"{_CIFAR10}/test_batch": "md5:40351d587109b95175f43aff81a1287e",
                },
            ),
        ),
        read=_read_cifar(
            [f"{_CIFAR10}/data_batch_{i}" for i in range(1, 6)],
            f"{_CIFAR10}/test_batch",
            b"labels",
            10,
        ),
    ),
    "cifar100": _Source(
        home=_CIFAR,
        files=(
            _File(
                "cifar-100-python.tar.gz",
                "eb9058c3a382ffc7106e4002c42a8d85",
                {
                    "cifar-100-python/train": "md5:16019d7e3df5f24257cddd939b257f8d",
                    "cifar-100-python/test": "md5:f0ef6b0ae62326f3e7ffdfab6717acfc",
                },
            ),
        ),
        read=_read_cifar(["cifar-100-python/train"], "cifar-100-python/test", b"fine_labels", 100),
    ),
    "fashion-mnist": _Source(
        home="http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        files=(
            _gz(
                "train-images-idx3-ubyte",
                "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
                "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
            ),
            _gz(
                "train-labels-idx1-ubyte",
                "25c81989df183df01b3e8a0aad5dffbe",
                "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
            ),
            _gz(
                "t10k-images-idx3-ubyte",
                "bef4ecab320f06d8554ea6380940ec79",
                "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
            ),
            _gz(
                "t10k-labels-idx1-ubyte",
                "bb300cfdad3c16e7a12a480ee83cd310",
                "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
            ),
        ),
        read=_read_fashion_mnist,
        system=("/usr/share/datasets/fashion-mnist",),
        hint=" (on Debian: apt-get install dataset-fashion-mnist)",
    ),
}

#: The names that :func:`load_images` knows.
DATASETS = (*_SOURCES, "digits")
