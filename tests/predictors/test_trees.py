"""The ensemble of trees: what it predicts, that both evaluators agree to the bit, what it refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasbench_tab.errors import SurrogateError
from nasbench_tab.predictors.trees import Settings, Trees, fit_trees, read_trees
from nasbench_tab.predictors.ubj import parse

xgb = pytest.importorskip("xgboost")

SMALL = Settings(members=3, rounds=12, depth=3)


def data(n: int = 80, seed: int = 0) -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 6, (n, 7)).astype(np.float32)
    y = np.stack([90 + x[:, 0] - x[:, 1] * x[:, 2], 1e-4 * x[:, 3]], axis=1)
    return x, y + rng.normal(size=y.shape) * [0.3, 1e-5], rng.integers(0, n // 2, n)


@cache
def fitted() -> Trees:
    return fit_trees(*data(), np.random.default_rng(1), SMALL)


def test_it_learns_each_target() -> None:
    x, y, groups = data(400)
    trees = fit_trees(x, y, groups, np.random.default_rng(0))
    x, y, _ = data(200, seed=1)
    mean = trees.members(x).mean(axis=1)
    assert (((mean - y) ** 2).mean(axis=0) < 0.1 * y.var(axis=0)).all()


@given(st.integers(0, 2**32 - 1), st.sampled_from([(1, 1), (1, 4), (5, 9), (4, 0)]))
@settings(max_examples=8, deadline=None)
def test_one_row_and_many_give_the_same_bits(seed: int, shape: tuple[int, int]) -> None:
    """Few rows walk, many are answered together, unless trees are deep; thresholds hit exactly, too."""
    members, depth = shape
    rng = np.random.default_rng(seed)
    x = rng.choice([-1e6, -0.1, 0, 1e-30, 0.1, 3, 1e6], (150, 5)).astype(np.float32)
    y = np.stack([rng.normal(size=150), rng.standard_cauchy(150)], axis=1)
    trees = fit_trees(x, y, np.arange(150), rng, Settings(members, 10, depth, rate=0.5))
    many = trees.members(x)
    assert many.shape == (150, members, 2)
    assert np.array_equal(many, np.concatenate([trees.members(row[None]) for row in x]))
    assert np.array_equal(many[:, :, :1], trees.members(x, 1))


def test_members_are_what_xgboost_says_of_the_files() -> None:
    x, *_ = data(100, seed=2)
    for k, name in enumerate(("target-0.ubj", "target-1.ubj")):
        booster = xgb.Booster()
        booster.load_model(bytearray(fitted().files()[name]))
        own = booster.predict(xgb.DMatrix(x)).astype(np.float64)
        assert np.array_equal(
            fitted().members(x)[:, :, k], fitted().centre[k] + fitted().scale[k] * own
        )


@pytest.mark.parametrize("shape", [(8, 5), (1, 1), (3, 8), (3, 9)])
def test_any_number_of_rows_is_what_xgboost_says(shape: tuple[int, int]) -> None:
    """Words of 64 rows, blocks of 512, and trees too deep to be filled up."""
    members, depth = shape
    rng = np.random.default_rng(depth)
    x = rng.normal(size=(1100, 4)).astype(np.float32)
    y = rng.standard_cauchy((1100, 1))
    settings = Settings(members, 6, depth, rate=0.5, leaf=0.0)
    trees = fit_trees(x, y, np.arange(1100), rng, settings)
    booster = xgb.Booster()
    booster.load_model(bytearray(trees.models[0]))
    own = booster.predict(xgb.DMatrix(x)).reshape(1100, members)
    expected = trees.centre[0] + trees.scale[0] * own.astype(np.float64)
    for n in (0, 1, 12, 13, 63, 64, 65, 511, 512, 513, 1088, 1100):
        assert np.array_equal(trees.members(x[:n])[:, :, 0], expected[:n])
        assert np.array_equal(trees.members(x[1100 - n :])[:, :, 0], expected[1100 - n :])


def test_files_hold_no_statistics_of_the_fit() -> None:
    for name, model in fitted().files().items():
        if name.endswith(".ubj"):
            trees = parse(model)["learner"]["gradient_booster"]["model"]["trees"]
            for tree in trees:
                assert not any(tree[part].any() for part in ("sum_hessian", "loss_changes"))
                assert not tree["base_weights"].any()
            assert any(tree["split_conditions"].any() for tree in trees)


def test_the_same_input_gives_the_same_files() -> None:
    again = fit_trees(*data(), np.random.default_rng(1), SMALL)
    assert again.files() == fitted().files()
    other = fit_trees(*data(), np.random.default_rng(2), SMALL)
    assert other.files() != fitted().files()


def test_rows_of_one_group_weigh_alike() -> None:
    """Members see each group of two once with one weight: twins as rows or as one row of weight two."""
    x, y, _ = data(60)
    groups = np.repeat(np.arange(30), 2)
    x[1::2], y[1::2] = x[::2], y[::2]
    spread = Settings(members=4, rounds=1, depth=6, rate=1.0, columns=1.0, leaf=0.0)
    members = fit_trees(x, y, groups, np.random.default_rng(0), spread).members(x)
    assert np.array_equal(members[::2], members[1::2])
    shuffled = fit_trees(x, y, np.arange(60), np.random.default_rng(0), spread).members(x)
    assert not np.array_equal(members, shuffled)


def test_without_spread_members_differ_only_by_their_columns() -> None:
    x, y, groups = data()
    alike = Settings(members=3, rounds=5, columns=1.0, spread=0.0)
    members = fit_trees(x, y, groups, np.random.default_rng(0), alike).members(x)
    assert np.ptp(members, axis=1).max() == 0


def test_a_row_without_a_target_is_left_out_for_that_target() -> None:
    x, y, _ = data()
    groups = np.arange(len(x)) // 2
    y[::8, 0] = np.nan
    known = np.isfinite(y[:, 0])
    all_rows = fit_trees(x, y, groups, np.random.default_rng(1), SMALL)
    some_rows = fit_trees(x[known], y[known], groups[known], np.random.default_rng(1), SMALL)
    assert all_rows.models[0] == some_rows.models[0]
    full = fit_trees(x, data()[1], groups, np.random.default_rng(1), SMALL)
    assert all_rows.models[1] == full.models[1]


def test_a_constant_target_is_that_constant() -> None:
    x, y, groups = data()
    y[:, 0] = 0.1
    members = fit_trees(x, y, groups, np.random.default_rng(0), SMALL).members(x, 1)
    assert np.allclose(members, 0.1, rtol=1e-15)


def test_an_isolated_group_is_known_to_every_member() -> None:
    """What a resample would leave out of every third member: one network with many spellings."""
    rng = np.random.default_rng(0)
    x = rng.integers(0, 5, (120, 6)).astype(np.float32)
    y, groups = 80 + x[:, :1].astype(float), np.arange(120)
    x[:20], y[:20], groups[:20] = 9, 10, 0
    members = fit_trees(x, y, groups, rng, Settings(members=8)).members(x[:1])[0, :, 0]
    assert (members < 30).all()


def test_files_hold_all_of_it() -> None:
    files = fitted().files()
    again = read_trees(files)
    x, *_ = data(90, seed=3)
    assert again.files() == files
    assert np.array_equal(again.members(x), fitted().members(x))
    assert np.array_equal(again.members(x[:3]), fitted().members(x[:3]))


def test_rows_are_answered_without_importing_xgboost(tmp_path: Path) -> None:
    for name, content in fitted().files().items():
        (tmp_path / name).write_bytes(content)
    code = (
        "import sys, pathlib, numpy as np\n"
        "from nasbench_tab.predictors.trees import read_trees\n"
        "files = {p.name: p.read_bytes() for p in pathlib.Path(sys.argv[1]).iterdir()}\n"
        "trees = read_trees(files)\n"
        "trees.members(np.zeros((700, 7), np.float32))\n"
        "print(trees.members(np.ones((2, 7), np.float32)).sum().item())\n"
        "assert not {'xgboost', 'scipy', 'sklearn', 'pandas'} & set(sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert float(done.stdout) == fitted().members(np.ones((2, 7), np.float32)).sum()


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (lambda x, y, g: (x[:-1], y, g), "Expected features"),
        (lambda x, y, g: (x, y[:, 0], g), "Expected features"),
        (lambda x, y, g: (x, y[:, :0], g), "Expected features"),
        (lambda x, y, g: (x, y, g[:-1]), "Expected features"),
        (lambda x, y, g: (np.where(x == 1, np.nan, x), y, g), "not finite"),
        (lambda x, y, g: (x, np.where(y > 92, np.inf, y), g), "not finite"),
        (lambda x, y, g: (x, np.where(y > 1, np.nan, y), g), "no value at all"),
        (lambda x, y, g: (x[:0], y[:0], g[:0]), "no value at all"),
    ],
)
def test_data_that_nothing_can_be_fitted_on_are_refused(broken: Any, words: str) -> None:
    x, y, groups = broken(*data())
    with pytest.raises(SurrogateError, match=words):
        fit_trees(x, y, groups, np.random.default_rng(0), SMALL)


@pytest.mark.parametrize("rows", [1, 100])
def test_other_features_are_refused(rows: int) -> None:
    for x in (np.zeros((rows, 6)), np.zeros(7), np.full((rows, 7), np.nan)):
        with pytest.raises(SurrogateError, match="rows of 7 finite features"):
            fitted().members(x.astype(np.float32))


def test_no_rows_give_no_predictions() -> None:
    assert fitted().members(np.empty((0, 7), np.float32)).shape == (0, 3, 2)


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"targets.json": b"{}"},
        {"target-0.ubj": b"", "target-1.ubj": b""},
        {"targets.json": b"{}", "target-1.ubj": b""},
        {"targets.json": b"{}", "target-0.ubj": b"", "other": b""},
    ],
)
def test_files_that_are_missing_or_too_many_are_refused(files: dict[str, bytes]) -> None:
    with pytest.raises(SurrogateError, match="The files of an ensemble"):
        read_trees(files)


@pytest.mark.parametrize(
    "targets",
    [b"", b"[]", b"{}", b"\xff", b'{"centre": [0], "scale": [1]}', b'{"centre": [0, NaN], "scale": [1, 1]}',
     b'{"centre": ["a", "b"], "scale": [1, 1]}', b'{"centre": [[0, 0]], "scale": [1, 1]}', b'{"centre": null, "scale": [1, 1]}'],
)  # fmt: skip
def test_scales_that_are_no_such_thing_are_refused(targets: bytes) -> None:
    with pytest.raises(SurrogateError, match="do not belong together"):
        read_trees({**fitted().files(), "targets.json": targets})


def answer(**files: bytes) -> Any:
    """What an ensemble with some other files says of a row; models are read when they are asked."""
    names = {name.replace("_", "-") + ".ubj": content for name, content in files.items()}
    return read_trees({**fitted().files(), **names}).members(np.ones((1, 7), np.float32))


@pytest.mark.parametrize("rows", [1, 100])
def test_models_of_different_fits_are_refused(rows: int) -> None:
    x, y, groups = data()
    other = fit_trees(x[:, :5], y, groups, np.random.default_rng(0), SMALL).files()
    more = fit_trees(x, y, groups, np.random.default_rng(0), SMALL._replace(members=4)).files()
    for foreign in (other, more):
        mixed = read_trees({**fitted().files(), "target-1.ubj": foreign["target-1.ubj"]})
        with pytest.raises(SurrogateError, match="do not belong together"):
            mixed.members(np.ones((rows, 7), np.float32))


@pytest.mark.parametrize("rows", [1, 100])
def test_a_damaged_model_is_refused_before_xgboost_sees_it(rows: int) -> None:
    damaged = read_trees({**fitted().files(), "target-1.ubj": fitted().models[1][:-20]})
    with pytest.raises(SurrogateError, match="cut short or altered"):
        damaged.members(np.ones((rows, 7), np.float32))


def test_a_model_cut_anywhere_is_refused() -> None:
    model = fitted().models[0]
    for end in np.linspace(0, len(model) - 1, 100).astype(int):
        with pytest.raises(SurrogateError, match="altered"):
            answer(target_0=model[:end])


def test_an_altered_model_is_refused_or_still_one() -> None:
    """Every byte counts, but some say nothing of predictions (names, gains): no other exception."""
    model, rng, refused = fitted().models[0], np.random.default_rng(0), 0
    for place in rng.integers(0, len(model), 300):
        altered = bytearray(model)
        altered[place] ^= 1 << int(rng.integers(8))
        try:
            found = answer(target_0=bytes(altered))
        except SurrogateError:
            refused += 1
        else:
            assert np.isfinite(found).all()
    assert refused > 50


def edited(**changes: Any) -> bytes:
    """One model with some entries of its first tree, or of the whole, changed by way of JSON."""
    booster = xgb.Booster()
    booster.load_model(bytearray(fitted().models[0]))
    document = json.loads(bytes(booster.save_raw("json")))
    model = document["learner"]["gradient_booster"]["model"]
    for name, value in changes.items():
        if name in model["trees"][0]:
            model["trees"][0][name] = value(model["trees"][0][name])
        elif name == "tree_info":
            model[name] = value(model[name])
        else:
            document["learner"]["learner_model_param"][name] = value
    return as_ubj(document)


def as_ubj(value: Any) -> bytes:
    def length(n: int) -> bytes:
        return b"L" + n.to_bytes(8, "big", signed=True)

    if isinstance(value, dict):
        pairs = [length(len(key)) + key.encode() + as_ubj(v) for key, v in value.items()]
        return b"{" + b"".join(pairs) + b"}"
    if isinstance(value, list) and value and not isinstance(value[0], dict | list):
        kind = ("D", ">f8") if isinstance(value[0], float) else ("L", ">i8")
        return (
            b"[$"
            + kind[0].encode()
            + b"#"
            + length(len(value))
            + np.array(value, kind[1]).tobytes()
        )
    if isinstance(value, list):
        return b"[#" + length(len(value)) + b"".join(map(as_ubj, value))
    if isinstance(value, str):
        return b"S" + length(len(value)) + value.encode()
    if isinstance(value, float):
        return b"D" + np.array(value, ">f8").tobytes()
    return b"L" + int(value).to_bytes(8, "big", signed=True)


def test_the_editor_changes_nothing_by_itself() -> None:
    x, *_ = data(20)
    again = read_trees({**fitted().files(), "target-0.ubj": edited()})
    assert np.array_equal(again.members(x), fitted().members(x))


@pytest.mark.parametrize(
    "changes",
    [
        {"left_children": lambda v: [2, *v[1:]]},  # two ways to one node
        {"left_children": lambda v: [0, *v[1:]]},  # a circle
        {"right_children": lambda v: [10**6, *v[1:]]},  # out of the tree
        {"right_children": lambda v: [*v[:-1], 1]},  # a leaf with a child
        {"split_indices": lambda v: [7, *v[1:]]},  # no such feature
        {"split_indices": lambda v: [-1, *v[1:]]},
        {"split_conditions": lambda v: [*v[:-1], 0.1]},  # a leaf that was not written
        {"split_conditions": lambda v: [*v[:-1], 512.0]},
        {"split_conditions": lambda v: [float("nan"), *v[1:]]},
        {"split_conditions": lambda v: v[:-1]},
        {"split_type": lambda v: [1, *v[1:]]},  # a category
        {"tree_param": lambda v: {**v, "num_deleted": "1"}},
        {"tree_param": lambda v: {**v, "num_nodes": "x"}},
        {"tree_param": lambda _: 3},
        {"tree_info": lambda v: [0] * len(v)},  # an output without trees
        {"tree_info": lambda v: [-1, *v[1:]]},
        {"tree_info": lambda v: v[1:]},
        {"num_target": "0"},
        {"num_target": "1000000000000"},
        {"num_feature": "3"},
        {"base_score": "[5E-1,5E-1,5E-1]"},
    ],
)
def test_a_model_that_contradicts_itself_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(SurrogateError, match="not one that this package wrote"):
        answer(target_0=edited(**changes))


def test_a_foreign_model_is_refused() -> None:
    x, y, _ = data()
    data_ = xgb.DMatrix(x, label=y[:, 0])
    for options in ({"booster": "gblinear"}, {"objective": "reg:absoluteerror"}, {}):
        booster = xgb.train({"nthread": 1, **options}, data_, 2)
        with pytest.raises(SurrogateError, match="not one that this package wrote"):
            answer(target_0=bytes(booster.save_raw("ubj")))


def test_a_target_that_no_unit_explains_is_refused() -> None:
    x = np.arange(40, dtype=np.float32).reshape(20, 2)
    y = np.ones((20, 1))
    y[3] = 1e300
    with pytest.raises(SurrogateError, match=r"target is 1e\+300.*diverged"):
        fit_trees(x, y, np.arange(20), np.random.default_rng(0))
