"""Surrogates as folders: what is read is what was written, and equal content is equal bytes."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from nasbench_tab import paths
from nasbench_tab.errors import ResultsError, SurrogateError
from nasbench_tab.predictors import manifest as manifest_rules
from nasbench_tab.predictors.arrays import arrays_from, bytes_of, shapes_of
from nasbench_tab.predictors.store import (
    metric_from,
    metric_table,
    read_manifest,
    read_surrogate,
    write_surrogate,
)
from nasbench_tab.records import Metric
from nasbench_tab.spaces.columns import Columns, spec_of

from .stored import FILES, a_manifest, contents_of, put, some_arrays, written

NAMES = st.from_regex(r"[a-z0-9_][a-z0-9_.-]{0,5}(/[a-z0-9_]{1,3})?", fullmatch=True)
TYPES = st.one_of(
    hnp.boolean_dtypes(),
    hnp.integer_dtypes(),
    hnp.unsigned_integer_dtypes(),
    hnp.floating_dtypes(),
    hnp.unicode_string_dtypes(max_len=5),
)
ARRAYS = st.dictionaries(
    NAMES,
    TYPES.flatmap(
        lambda kind: hnp.arrays(kind, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
    ),
    max_size=5,
)  # fmt: skip


def same(a: NDArray[Any], b: NDArray[Any]) -> bool:
    """Whether two arrays are equal to the bit, whatever their byte order and memory layout."""
    little = [np.asarray(x).astype(x.dtype.newbyteorder("<")) for x in (a, b)]
    return little[0].dtype == little[1].dtype and (
        little[0].shape == little[1].shape and little[0].tobytes() == little[1].tobytes()
    )


@settings(max_examples=100)
@given(ARRAYS)
def test_arrays_read_back(arrays: dict[str, NDArray[Any]]) -> None:
    data = bytes_of(arrays, "here")
    back = arrays_from(data, shapes_of(arrays), "here")
    assert back.keys() == arrays.keys()
    for name, values in arrays.items():
        assert same(back[name], values)
        assert not back[name].flags.writeable
    assert bytes_of(dict(reversed(arrays.items())), "here") == data
    turned = {name: np.array(values, order="F") for name, values in arrays.items()}
    assert bytes_of(turned, "here") == data
    assert bytes_of(back, "here") == data


@settings(max_examples=40)
@given(ARRAYS)
def test_numpy_reads_the_arrays_too(arrays: dict[str, NDArray[Any]]) -> None:
    with np.load(io.BytesIO(bytes_of(arrays, "here")), allow_pickle=False) as loaded:
        assert {*loaded} == {*arrays}
        assert all(same(loaded[name], values) for name, values in arrays.items())


def test_a_folder_reads_back(tmp_path: Path) -> None:
    given_ = a_manifest(
        scores={"tau": 0.9, "n": 30, "by_level": [0.1, math.inf]}, about={"title": "✓"}
    )
    fingerprint = write_surrogate(tmp_path / "s", given_, some_arrays(), FILES)
    manifest, arrays, files = read_surrogate(tmp_path / "s")
    assert manifest.items() >= given_.items()
    assert manifest["hash"] == fingerprint
    assert read_manifest(tmp_path / "s") == manifest
    assert files == FILES
    assert arrays.keys() == some_arrays().keys()
    assert all(same(arrays[name], values) for name, values in some_arrays().items())
    assert [path.name for path in tmp_path.iterdir()] == ["s"]


def test_equal_content_is_equal_bytes(tmp_path: Path) -> None:
    one = written(tmp_path / "one")
    arrays, files = some_arrays(), dict(reversed(FILES.items()))
    write_surrogate(tmp_path / "two", a_manifest(), dict(reversed(arrays.items())), files)
    assert contents_of(tmp_path / "two") == one
    stored = read_surrogate(tmp_path / "one")
    given_ = {key: value for key, value in stored.manifest.items() if key in a_manifest()}
    write_surrogate(tmp_path / "three", given_, stored.arrays, stored.files)
    assert contents_of(tmp_path / "three") == one


ESSENTIAL = {
    "kind": "gp",
    "space": "nasbench-graph",
    "dataset": "cifar10",
    "metrics": {"valid_accuracy": metric_table(Metric("valid_accuracy", "valid", "min", "%"))},
    "epochs": [1, 2, 6],
    "training_data": "sha256:" + "1" * 64,
    "features": {"version": 2},
    "settings": {"members": 3},
}
WORDS = {
    "name": "other",
    "protocol": {},
    "runs": 41,
    "networks": 31,
    "seeds": [],
    "origins": {},
    "versions": {"numpy": "3"},
    "licence": "",
    "scores": {"tau": 0.5},
    "about": {"title": "x"},
}


def test_the_fingerprint_is_about_what_answers_depend_on(tmp_path: Path) -> None:
    def fingerprint(**others: Any) -> str:
        arrays, files = others.pop("arrays", some_arrays()), others.pop("files", FILES)
        return write_surrogate(tmp_path / "s", a_manifest(**others), arrays, files)

    first = fingerprint()
    assert {fingerprint(**{key: value}) for key, value in WORDS.items()} == {first}
    assert fingerprint(files={**FILES, "card.html": b"other"}) == first
    changed = [fingerprint(**{key: value}) for key, value in ESSENTIAL.items()]
    changed.append(fingerprint(files={**FILES, "models/1.ubj": b"x"}))
    changed.append(fingerprint(arrays={**some_arrays(), "one": np.float32(1)}))
    assert len({first, *changed}) == 1 + len(changed)
    assert ESSENTIAL.keys() | WORDS.keys() | {"objective"} == a_manifest().keys() | {
        "scores",
        "about",
    }


def test_a_space_of_columns_is_kept(tmp_path: Path) -> None:
    space = Columns("mine", {"depth": [1, 2.5], "norm": ["batch", "layer"]})
    written(tmp_path, space=spec_of(space))
    again = Columns.from_spec(read_manifest(tmp_path)["space"])
    assert (again.name, again.columns, again.choices) == (space.name, space.columns, space.choices)


def test_metrics_read_back() -> None:
    for metric in (Metric("a", "valid", "max", "%", 0, 100), Metric("b", "test", "min", "")):
        table = metric_table(metric)
        assert metric_from(metric.name, table) == metric
        assert all(type(table[bound]) is float for bound in ("lower", "upper"))


def test_artefacts_are_found_by_their_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NASBENCH_TAB_HOME", str(tmp_path))
    before = paths.artefacts("surrogates")
    written(tmp_path / "surrogates" / "of-a-test")
    written(tmp_path / "surrogates" / ".of-a-test.killed" / "new")  # what a killed writer leaves
    found = paths.artefacts("surrogates")
    assert found.keys() - before.keys() == {"of-a-test"}


def test_an_existing_surrogate_is_replaced(tmp_path: Path) -> None:
    written(tmp_path / "s")
    files = {"models/0.ubj": b"new"}
    write_surrogate(tmp_path / "s", a_manifest(name="new"), {}, files)
    assert contents_of(tmp_path / "s").keys() == {"manifest.toml", "arrays.npz", "models/0.ubj"}
    assert read_surrogate(tmp_path / "s").files == files
    assert [path.name for path in tmp_path.iterdir()] == ["s"]


def test_a_link_to_a_folder_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    written(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert read_surrogate(tmp_path / "link").files == FILES
    assert contents_of(tmp_path / "real") == contents_of(tmp_path / "link")


@pytest.mark.parametrize(
    "there",
    [
        {"thesis.tex": b"all of it"},
        {"manifest.toml": b'format = "nasbench_tab table"', "table.h5": b""},
        {"manifest.toml": b"no TOML at all ["},
        {"manifest.toml": b"\xff"},
        {"manifest.toml": b'format = "nasbench_tab surrogate"\nfiles = 3'},
        {".git/config": b"x"},
    ],
)
def test_a_folder_of_something_else_is_left_alone(tmp_path: Path, there: dict[str, bytes]) -> None:
    folder = put(tmp_path / "s", there)
    with pytest.raises(ResultsError, match="is no surrogate's and would be lost"):
        written(folder)
    assert contents_of(folder) == there
    assert [path.name for path in tmp_path.iterdir()] == ["s"]


def test_a_surrogate_with_notes_beside_it_is_left_alone(tmp_path: Path) -> None:
    was = written(tmp_path / "s")
    (tmp_path / "s" / "notes.txt").write_text("mine")
    with pytest.raises(ResultsError, match=r"holds notes\.txt"):
        written(tmp_path / "s", name="other")
    assert contents_of(tmp_path / "s") == {**was, "notes.txt": b"mine"}
    (tmp_path / "file").write_text("x")
    with pytest.raises(ResultsError, match="holds file"):
        written(tmp_path / "file")


WRONG: list[tuple[dict[str, Any], dict[str, Any], dict[str, bytes], str]] = [
    ({"surprise": 1}, {}, {}, "Unknown key 'surprise'"),
    ({"licence": None}, {}, {}, "TOML"),
    ({"settings": {"a": {"b": None}}}, {}, {}, "None, which TOML does not have"),
    ({"settings": {3: 4}}, {}, {}, "the key 3"),
    ({"settings": {"a": "\ud800"}}, {}, {}, "surrogates not allowed"),
    ({"epochs": [2, 1]}, {}, {}, "epochs must ascend"),
    ({"epochs": [0, 1]}, {}, {}, "epochs must ascend"),
    ({"epochs": []}, {}, {}, "epochs must ascend"),
    ({"runs": 0}, {}, {}, "runs must be a whole number above 0"),
    ({"runs": True}, {}, {}, "runs must be a whole number above 0"),
    ({"objective": "test_accuracy"}, {}, {}, "'test_accuracy' must be a metric of the validation"),
    ({"objective": "absent"}, {}, {}, "'absent' must be a metric of the validation"),
    ({"metrics": {"a": {"split": "valid"}}}, {}, {}, "metric 'a': expected a table of direction"),
    ({"training_data": "sha256:12"}, {}, {}, "training_data must be a hash"),
    ({"space": ""}, {}, {}, "space must be a text or table"),
    ({}, {"a": np.array([None])}, {}, "array 'a' has type and shape .*no objects"),
    ({}, {"a": np.array([1j])}, {}, "array 'a' has type and shape"),
    ({}, {"a": np.array(["2020-01-01"], "M8[D]")}, {}, "array 'a' has type and shape"),
    ({}, {"a": np.zeros(2, [("x", "f8")])}, {}, "array 'a' has type and shape"),
    ({}, {"a": np.array([b"bytes"])}, {}, "array 'a' has type and shape"),
    ({}, {"../a": np.zeros(2)}, {}, "name must match"),
    ({}, {"a//b": np.zeros(2)}, {}, "name must match"),
    ({}, {}, {"../a": b""}, "no path of a file"),
    ({}, {}, {"/etc/a": b""}, "no path of a file"),
    ({}, {}, {"a\\b": b""}, "no path of a file"),
    ({}, {}, {"Manifest.toml": b""}, "no path of a file"),
    ({}, {}, {"models": b"", "models/0.ubj": b""}, "no path of a file"),
    ({}, {}, {"models/A": b"", "models/a": b""}, "no path of a file"),
]  # fmt: skip


@pytest.mark.parametrize(("keys", "arrays", "files", "words"), WRONG)
def test_what_breaks_a_rule_is_not_written(
    tmp_path: Path, keys: Any, arrays: Any, files: Any, words: str
) -> None:
    was = written(tmp_path / "s")
    with pytest.raises(SurrogateError, match=words):
        write_surrogate(tmp_path / "s", a_manifest(**keys), arrays, files)
    assert contents_of(tmp_path / "s") == was
    assert [path.name for path in tmp_path.iterdir()] == ["s"]


@pytest.mark.parametrize("key", sorted(a_manifest()))
def test_every_key_is_needed(tmp_path: Path, key: str) -> None:
    manifest = a_manifest()
    del manifest[key]
    with pytest.raises(SurrogateError, match=f"it lacks {key}"):
        write_surrogate(tmp_path / "s", manifest, {}, {})
    assert not list(tmp_path.iterdir())


def test_the_keys_of_the_docstring_are_the_keys() -> None:
    assert manifest_rules.__doc__
    lines = manifest_rules.__doc__.split("===\n")[-2].splitlines()
    listed = [word for line in lines for word in line[:15].replace(",", " ").split()]
    assert sorted(word for word in listed if word.strip("=")) == sorted(
        {*manifest_rules.NEEDED, *manifest_rules.OPTIONAL}
    )
