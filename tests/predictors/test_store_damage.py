"""Damaged and hostile surrogates are refused with SurrogateError, whatever is wrong with them."""

from __future__ import annotations

import io
import os
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasbench_tab.errors import SurrogateError
from nasbench_tab.predictors import arrays as arrays_module
from nasbench_tab.predictors import manifest as manifest_rules
from nasbench_tab.predictors import store
from nasbench_tab.predictors.arrays import arrays_from, bytes_of, shapes_of
from nasbench_tab.predictors.store import read_manifest, read_surrogate

from .stored import Contents, contents_of, put, resealed, some_arrays, written


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Contents:
    """The files of a good surrogate."""
    return written(tmp_path_factory.mktemp("good") / "s")


def refused(folder: Path, words: str) -> None:
    with pytest.raises(SurrogateError, match=words):
        read_surrogate(folder)


# --- accidents --------------------------------------------------------------------------------


@settings(max_examples=200)
@given(data=st.data())
def test_a_changed_byte_is_refused_wherever_it_is(
    good: Contents, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    name = data.draw(st.sampled_from([path for path in sorted(good) if good[path]]))
    place = data.draw(st.integers(0, len(good[name]) - 1))
    mask = data.draw(st.integers(1, 255))
    changed = bytearray(good[name])
    changed[place] ^= mask
    folder = put(tmp_path_factory.mktemp("s"), {**good, name: bytes(changed)})
    try:
        stored = read_surrogate(folder)
    except SurrogateError:
        return
    # Only a space of the manifest's own layout may be another: it says the same then.
    assert name == "manifest.toml"
    assert stored.manifest == tomllib.loads(good[name].decode())


@settings(max_examples=60)
@given(data=st.data())
def test_a_truncated_file_is_refused_wherever_it_ends(
    good: Contents, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    name = data.draw(st.sampled_from([path for path in sorted(good) if good[path]]))
    end = data.draw(st.integers(0, len(good[name].rstrip(b"\n")) - 1))
    refused(put(tmp_path_factory.mktemp("s"), {**good, name: good[name][:end]}), name)


def test_a_missing_file_is_refused(good: Contents, tmp_path: Path) -> None:
    for name in good:
        folder = put(tmp_path / name, good)
        (folder / name).unlink()
        refused(folder, f"{name} (cannot be read|is not the file).*[Mm]issing")
    refused(tmp_path / "nowhere", "missing")


@pytest.mark.parametrize("name", ["notes.txt", "models/2.ubj", "model.pkl", "deep/er/x"])
def test_a_foreign_file_is_refused(good: Contents, tmp_path: Path, name: str) -> None:
    refused(
        put(tmp_path, {**good, name: b""}), f"holds {name}, of which its manifest does not know"
    )


def test_hidden_files_are_nobodys(good: Contents, tmp_path: Path) -> None:
    put(tmp_path, {**good, ".DS_Store": b"x", ".git/config": b"x"})
    (tmp_path / "empty").mkdir()
    assert read_surrogate(tmp_path).files.keys() == good.keys() - {"manifest.toml", "arrays.npz"}


def test_what_is_no_file_is_refused(good: Contents, tmp_path: Path) -> None:
    for name in good:
        for kind in ("folder", "pipe", "link"):
            folder = put(tmp_path / f"{name}-{kind}", good)
            (folder / name).unlink()
            if kind == "folder":
                (folder / name).mkdir()
            elif kind == "pipe":  # which must not be waited for
                os.mkfifo(folder / name)
            else:
                (folder / name).symlink_to("nowhere")
            refused(folder, name)


def test_files_of_two_surrogates_are_refused(good: Contents, tmp_path: Path) -> None:
    other = written(tmp_path / "other", name="other")
    refused(
        put(
            tmp_path / "s",
            {**good, "manifest.toml": other["manifest.toml"].replace(b"runs = 40", b"runs = 41")},
        ),
        "it is not as it was written",
    )
    swapped = {**good, "models/0.ubj": good["models/1.ubj"], "models/1.ubj": good["models/0.ubj"]}
    refused(
        put(tmp_path / "t", swapped), r"models/0\.ubj is not the file .* 54 bytes expected, 0 got"
    )


def test_a_newer_version_is_told(
    good: Contents, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    newer = resealed(good, version=4, surprise=[1])
    refused(put(tmp_path, newer), "version 4; this release reads .* 3. Upgrade nasbench_tab")
    monkeypatch.setattr(store, "VERSION", 4)
    refused(tmp_path, "Unknown key 'surprise'")
    put(tmp_path, resealed(good, version=4))
    assert read_surrogate(tmp_path).manifest["version"] == 4


def test_an_older_version_is_told(good: Contents, tmp_path: Path) -> None:
    refused(put(tmp_path, resealed(good, version=1)), "version 1; .* older release .* fit it again")


@pytest.mark.parametrize(
    "others", [{"format": "nasbench_tab table"}, {"version": 0}, {"version": "1"}]
)
def test_another_format_is_told(good: Contents, tmp_path: Path, others: dict[str, Any]) -> None:
    refused(put(tmp_path, resealed(good, **others)), "this release reads")


# --- harm: all hashes are right ---------------------------------------------------------------


def test_resealing_alone_changes_nothing(good: Contents, tmp_path: Path) -> None:
    assert resealed(good, good["arrays.npz"]) == good
    read_surrogate(put(tmp_path, resealed(good, licence="MIT")))


@pytest.mark.parametrize(
    ("others", "words"),
    [
        ({"licence": None}, "it lacks licence"),
        ({"files": None}, "it lacks files"),
        ({"surprise": 1}, "Unknown key 'surprise'"),
        ({"epoch": [1]}, "Did you mean epochs"),
        ({"runs": "40"}, "runs must be a whole number above 0; got '40'"),
        ({"networks": 1.0}, "networks must be a whole number above 0"),
        ({"seeds": [0, True]}, "seeds must be a list of whole numbers"),
        ({"origins": {"random": 1.5}}, "origins must be a table of whole numbers"),
        ({"versions": {"numpy": 2}}, "versions must be a table of texts"),
        ({"protocol": []}, "protocol must be a table"),
        ({"epochs": [1, 1]}, "epochs must ascend"),
        ({"metrics": {}}, "'valid_accuracy' must be a metric of the validation split"),
        ({"arrays": {"a": ["|O", 3]}}, "array 'a' has type and shape .*no objects"),
        ({"arrays": {"a": ["<f8", -1]}}, "array 'a' has type and shape"),
        ({"arrays": {"a": ["<f8", 2**28]}}, "the arrays take 2,147,483,648 bytes"),
        ({"arrays": {"a": ["<U999999", 10**6]}}, "the arrays take"),
        ({"arrays": {"a": ["<f8", *[1] * 40]}}, "at most 8 dimensions"),
        ({"arrays": {"a": []}}, "array 'a' has type and shape"),
        ({"arrays": {"a": [["<f8"], 1]}}, "array 'a' has type and shape"),
        ({"arrays": {"a": [">f8", 1]}}, "array 'a' has type and shape"),
        ({"arrays": {"../a": ["<f8", 1]}}, "name must match"),
        ({"files": {}}, r"files lacks arrays\.npz"),
    ],
)
def test_a_manifest_that_breaks_a_rule(
    good: Contents, tmp_path: Path, others: dict[str, Any], words: str
) -> None:
    refused(put(tmp_path, resealed(good, **others)), words)


@pytest.mark.parametrize(
    "path", ["../outside", "/etc/hostname", "a/../../outside", "a\\b", "", "./a", "a/", "é"]
)
def test_a_path_out_of_the_folder_is_refused(good: Contents, tmp_path: Path, path: str) -> None:
    (tmp_path / "outside").write_bytes(b"secret")
    listing = tomllib.loads(good["manifest.toml"].decode())["files"]
    listing[path] = {"sha256": manifest_rules.sha256(b"secret"), "size": 6}
    refused(put(tmp_path / "s", resealed(good, files=listing)), "no path of a file")


@pytest.mark.parametrize(
    "listed",
    [
        3,
        {"size": 54},
        {"size": -1, "sha256": "x"},
        {"size": 2**40},
        {"sha256": 1, "size": 1, "x": 1},
    ],
)
def test_a_listing_that_means_nothing(good: Contents, tmp_path: Path, listed: object) -> None:
    listing = tomllib.loads(good["manifest.toml"].decode())["files"] | {"models/0.ubj": listed}
    refused(put(tmp_path, resealed(good, files=listing)), "needs sha256 and a size")


def test_a_manifest_of_odd_toml(good: Contents, tmp_path: Path) -> None:
    text = good["manifest.toml"].decode()
    deep = "[settings." + ".".join("a" * 5000) + "]\nx = 1\n"
    for more, words in (
        (f"{text}\n{deep}", "12 tables"),
        (f"{text}\n[about]\nwhen = 2020-01-01\n", "a date"),
        (f"{text}\n[about]\nx = {'[' * 100_000}", "cannot be read as the manifest"),
        (f"{text}\n[about]\nx = {'1' * 10_000}", "cannot be read as the manifest"),
        ("version = 1\n" + text, "cannot be read as the manifest"),
        ("", "has format None"),
        ("\ufeff" + text, "cannot be read as the manifest"),
        (text + "#" * 2**23, "more than 8388608 bytes"),
    ):
        put(tmp_path, {**good, "manifest.toml": more.encode()})
        refused(tmp_path, words)
        with pytest.raises(SurrogateError, match=words):
            read_manifest(tmp_path)


def archive(members: dict[str, bytes], kind: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", kind) as zipped:
        for name, data in members.items():
            zipped.writestr(name, data)
    return file.getvalue()


def members(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as zipped:
        return {name: zipped.read(name) for name in zipped.namelist()}


def npy(values: np.ndarray[Any, Any], **options: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, values, **options)
    return file.getvalue()


class _Trap:
    """Whoever unpickles this makes a folder."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (self.path,)


def test_an_object_array_is_never_unpickled(good: Contents, tmp_path: Path) -> None:
    planted = npy(np.array([_Trap(str(tmp_path / "sprung"))], object), allow_pickle=True)
    names = members(good["arrays.npz"])
    for i, data in enumerate(
        (
            archive({**names, "one.npy": planted}),
            archive({**names, "cells.npy": planted}),
            archive({**names, "extra.npy": planted}),
            archive({**names, "one.npy": planted + b" " * 99}),
        )
    ):
        refused(put(tmp_path / str(i), resealed(good, data)), "does not hold the arrays")
    shapes = {**shapes_of(some_arrays()), "one": ["|O", 1]}
    hostile = resealed(good, archive({**names, "one.npy": planted}), arrays=shapes)
    refused(put(tmp_path / "o", hostile), "no objects")
    assert not (tmp_path / "sprung").exists()
    with np.load(io.BytesIO(archive({"a.npy": planted})), allow_pickle=True) as loaded:
        assert loaded["a"] is not None  # the trap is a real one
    assert (tmp_path / "sprung").exists()


def test_archives_that_are_not_ours(good: Contents, tmp_path: Path) -> None:
    names = members(good["arrays.npz"])
    transposed = npy(np.asfortranarray(some_arrays()["curves/basis"]))
    wrong = {
        "compressed": archive(names, zipfile.ZIP_DEFLATED),
        "another order": archive(dict(reversed(names.items()))),
        "no array less": archive({k: v for k, v in names.items() if k != "one.npy"}),
        "one more": archive({**names, "zz.npy": npy(np.zeros(3))}),
        "shorter": archive({**names, "one.npy": names["one.npy"][:-1]}),
        "longer": archive({**names, "one.npy": names["one.npy"] + b"\0"}),
        "another type": archive({**names, "one.npy": npy(np.array(1, np.int32))}),
        "another shape": archive({**names, "curves/basis.npy": npy(np.zeros((3, 2)))}),
        "another layout": archive({**names, "curves/basis.npy": transposed}),
        "a version of its own": archive(
            {**names, "one.npy": b"\x93NUMPY\x02" + names["one.npy"][7:]}
        ),
        "no truth value": archive(
            {**names, "curves/seen.npy": names["curves/seen.npy"][:-1] + b"\2"}
        ),
        "no character": archive({**names, "words.npy": names["words.npy"][:-4] + b"\xff" * 4}),
        "half a pair": archive({**names, "words.npy": names["words.npy"][:-4] + b"\x00\xd8\0\0"}),
        "not a zip": b"x" * 900,
        "empty": b"",
    }
    for name, data in wrong.items():
        assert data != good["arrays.npz"]
        refused(put(tmp_path / name, resealed(good, data)), r"arrays\.npz does not hold the arrays")


def test_a_bomb_unpacks_to_nothing(good: Contents, tmp_path: Path) -> None:
    shape = ["<f8", 2**27 - 100]
    zeros = arrays_module._header(shape) + bytes(8 * 2**10)
    bomb = archive({"a.npy": zeros}, zipfile.ZIP_DEFLATED)
    claims = bytearray(bomb)
    size = (8 * (2**27 - 100) + 128).to_bytes(4, "little")
    for start in (claims.find(b"PK\x03\x04") + 22, claims.find(b"PK\x01\x02") + 24):
        claims[start : start + 4] = size
    for i, data in enumerate((bomb, bytes(claims))):
        refused(put(tmp_path / str(i), resealed(good, data, arrays={"a": shape})), "compressed")


@settings(max_examples=300)
@given(data=st.data())
def test_a_hostile_archive_raises_nothing_else(data: st.DataObject) -> None:
    whole, shapes = bytes_of(some_arrays(), "x"), shapes_of(some_arrays())
    changed = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 4))):
        # Mostly in the headers at the end, which say where everything is.
        place = data.draw(
            st.integers(0, len(whole) - 1) | st.integers(len(whole) - 400, len(whole) - 1)
        )
        changed[place] = data.draw(st.integers(0, 255))
    changed = changed[: data.draw(st.integers(len(whole) - 30, len(whole)))]
    try:
        found = arrays_from(bytes(changed), shapes, "x")
    except SurrogateError:
        return
    assert shapes_of(found) == shapes


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just("sha256:" + "0" * 64),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["arrays.npz", "models/x", "valid_accuracy", "split", "size", "sha256", "name"]), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


@settings(max_examples=200)
@given(st.data())
def test_a_hostile_manifest_raises_nothing_else(data: st.DataObject) -> None:
    full = tomllib.loads(_good_text())
    keys = [*full, "scores", "about"]
    for _ in range(data.draw(st.integers(1, 2))):
        full[data.draw(st.sampled_from(keys))] = data.draw(VALUES)
    try:
        full["hash"] = manifest_rules.fingerprint_of(full)
        full["manifest_hash"] = manifest_rules.seal_of(full)
    except (AttributeError, TypeError, KeyError):
        pass
    try:
        manifest_rules.check_manifest(full, "here")
    except SurrogateError:
        return
    assert {"valid_accuracy"} <= full["metrics"].keys()


def _good_text() -> str:
    if not _TEXT:
        import tempfile

        with tempfile.TemporaryDirectory() as folder:
            _TEXT.append(written(Path(folder) / "s")["manifest.toml"].decode())
    return _TEXT[0]


_TEXT: list[str] = []


def test_nothing_is_left_by_reading(good: Contents, tmp_path: Path) -> None:
    put(tmp_path, good)
    read_surrogate(tmp_path)
    assert contents_of(tmp_path) == good
