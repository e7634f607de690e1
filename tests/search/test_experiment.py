"""experiment.toml: read strictly, written exactly, and run as asked."""

from __future__ import annotations

import math
import tomllib
from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasbench_tab.errors import InvalidArgumentError, ResultsError, UnknownNameError
from nasbench_tab.records import Protocol
from nasbench_tab.search.compare import compare
from nasbench_tab.search.experiment import (
    Experiment,
    compare_arguments,
    experiment_of,
    experiment_text,
    parse_experiment,
    protocol_from,
    read_experiment,
    write_experiment,
)

PLAIN = Experiment(("a",), ("random",), 3, Protocol(evaluations=5))
# Everything that a file in UTF-8 can hold: no halves of surrogate pairs.
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
NUMBER = st.one_of(st.integers(), st.floats(allow_nan=False))
HINTS = get_type_hints(Protocol)


def values_of(hint: Any) -> st.SearchStrategy[Any]:
    """Return values of an annotation's kind, whatever fields the protocol will have."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Literal:
        return st.sampled_from(inner)
    if origin is tuple and inner[-1] is Ellipsis:
        return st.lists(values_of(inner[0]), max_size=3).map(tuple)
    if origin is tuple:
        return st.tuples(*map(values_of, inner))
    if inner:  # a union
        return st.one_of(*(values_of(choice) for choice in inner))
    kinds: dict[Any, st.SearchStrategy[Any]] = {
        int: st.integers(),
        float: NUMBER,
        str: TEXT,
        bool: st.booleans(),
        NoneType: st.none(),
    }
    return kinds[hint]


PROTOCOLS = st.fixed_dictionaries(
    {}, optional={name: values_of(hint) for name, hint in HINTS.items()}
).map(lambda fields: Protocol(**fields))
NAMES = st.lists(TEXT, max_size=3).map(tuple)
EXPERIMENTS = st.builds(
    Experiment,
    benchmarks=NAMES,
    strategies=NAMES,
    runs=st.integers(),
    protocol=PROTOCOLS,
    seed=st.integers(),
    preset=st.none() | TEXT,
    nearest=st.booleans(),
    tuning=NAMES,
)


@given(EXPERIMENTS)
def test_what_is_written_is_read_again_bit_by_bit(experiment: Experiment) -> None:
    back = parse_experiment(experiment_text(experiment))
    assert repr(back) == repr(experiment)  # 1 is not 1.0, -0.0 is not 0.0


@given(PROTOCOLS)
def test_only_what_differs_from_the_default_is_written(protocol: Protocol) -> None:
    written = tomllib.loads(experiment_text(PLAIN._replace(protocol=protocol)))["protocol"]
    defaults = Protocol()._asdict()
    assert set(written) == {k for k, v in protocol._asdict().items() if v != defaults[k]}


def test_none_is_always_a_default() -> None:
    """TOML has no null: a field that may be None by choice only could not be written."""
    optional = [name for name, hint in HINTS.items() if NoneType in get_args(hint)]
    assert optional
    assert all(Protocol._field_defaults[name] is None for name in optional)


def test_the_file_on_disk(tmp_path: Path) -> None:
    path = tmp_path / "new" / "experiment.toml"
    experiment = PLAIN._replace(
        strategies=("evolution(population=5)", 'mine:Odd(word="é\\"")'),
        protocol=Protocol(evaluations=5, limits=(("parameters", 1.0), ("a b", 2))),
    )
    write_experiment(path, experiment)
    assert read_experiment(path) == experiment
    assert "[protocol.limits]\nparameters = 1.0\n" in path.read_text(encoding="utf-8")


def test_limits_on_one_metric_twice_are_kept_in_order() -> None:
    twice = Protocol(evaluations=1, limits=(("p", 2.0), ("p", 1.0)))
    assert parse_experiment(experiment_text(PLAIN._replace(protocol=twice))).protocol == twice


def test_numbers_of_numpy_become_pythons_own() -> None:
    asked = PLAIN._replace(
        runs=np.int64(3),  # type: ignore[arg-type]
        protocol=Protocol(evaluations=np.int32(5), seconds=np.float64(0.1)),  # type: ignore[arg-type]
    )
    back = parse_experiment(experiment_text(asked))
    assert back.protocol is not None
    assert (type(back.runs), type(back.protocol.evaluations)) == (int, int)
    assert back.protocol.seconds == 0.1


@pytest.mark.parametrize(
    "experiment",
    [
        PLAIN._replace(benchmarks=("half a pair \ud800",)),
        PLAIN._replace(protocol=Protocol(seconds=math.nan)),
        PLAIN._replace(protocol=Protocol(evaluations=True)),
        PLAIN._replace(protocol=Protocol(seeds=None)),  # type: ignore[arg-type]
        PLAIN._replace(protocol=Protocol(seeds="often")),  # type: ignore[arg-type]
        PLAIN._replace(strategies=(len,)),  # type: ignore[arg-type]
        PLAIN._replace(protocol=None),
        PLAIN._replace(runs="3"),  # type: ignore[arg-type]
    ],
)
def test_what_toml_cannot_hold_is_refused_and_nothing_is_written(
    tmp_path: Path, experiment: Experiment
) -> None:
    with pytest.raises(InvalidArgumentError, match="cannot be written as TOML"):
        write_experiment(tmp_path / "experiment.toml", experiment)
    assert not list(tmp_path.iterdir())


GOOD = 'benchmarks = ["a"]\nstrategies = ["random"]\nruns = 2\n'
BUDGET = "[protocol]\nevaluations = 5\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["benchmarks, strategies, runs", "budget"]),
        (GOOD, ["lacks [protocol] with a budget"]),
        (GOOD + "protocol = 5", ["protocol must be a table", "5"]),
        ('runs = 2\nstrategies = "random"\n' + BUDGET, ["lacks benchmarks"]),
        (
            GOOD.replace('["random"]', '"random"') + BUDGET,
            ["strategies must be a list", "'random'"],
        ),
        (GOOD.replace("2", "2.0") + BUDGET, ["runs must be a whole number", "2.0"]),
        (GOOD.replace("2", "true") + BUDGET, ["runs must be a whole number", "True"]),
        (GOOD + "nearest = 1\n" + BUDGET, ["nearest must be true or false"]),
        (GOOD + BUDGET + 'seeds = "radnom"', ["protocol.seeds", '"random" or "mean"', "radnom"]),
        (GOOD + BUDGET + "overshoot = true", ["protocol.overshoot", '"keep" or "drop"']),
        (GOOD + BUDGET + 'seconds = "1"', ["protocol.seconds must be a number", "'1'"]),
        (GOOD + BUDGET + "limits = 3", ["protocol.limits must be a table of names"]),
        (GOOD + BUDGET + 'limits = {p = "1"}', ["protocol.limits", "a number"]),
        (GOOD + BUDGET + 'limits = [["p"]]', ["protocol.limits"]),
        (GOOD + BUDGET + "report = [1]", ["protocol.report must be a list, each part text"]),
        (GOOD + BUDGET + "seeds = mean", ["no TOML", "line 6", "needs quotes"]),
        (GOOD + "runs = 3\n" + BUDGET, ["no TOML", "line 4"]),
    ],
)
def test_a_wrong_file_is_refused_with_key_value_and_what_was_expected(
    tmp_path: Path, text: str, words: list[str]
) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(InvalidArgumentError) as raised:
        read_experiment(path)
    for word in [str(path), *words]:
        assert word in str(raised.value)


@pytest.mark.parametrize(
    ("text", "near"),
    [
        ("benchmark = []\n", "Did you mean benchmarks"),
        (GOOD + BUDGET + "evaluation = 5\n", "Did you mean evaluations"),
        (GOOD + BUDGET + "[protocol.limit]\n", "Did you mean limits"),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest(text: str, near: str) -> None:
    with pytest.raises(UnknownNameError, match=near):
        parse_experiment(text)


@pytest.mark.parametrize("contents", [None, b"\xff\xfe"])
def test_a_file_that_cannot_be_read(tmp_path: Path, contents: bytes | None) -> None:
    path = tmp_path / "experiment.toml"
    if contents is not None:
        path.write_bytes(contents)
    with pytest.raises(InvalidArgumentError, match="cannot be read"):
        read_experiment(path)


def test_a_manifest_that_has_the_wrong_fields() -> None:
    with pytest.raises(UnknownNameError, match="newer"):
        protocol_from({"evaluations": 1, "newer": 2})


def test_a_manifest_gives_the_experiment_that_was_asked_for(
    tmp_path: Path, toy_tables: Path
) -> None:
    asked = Experiment(
        ("toy-curves", "toy-errors"),
        ("random", "evolution(population=3)"),
        2,
        Protocol(seconds=300.0, missing="masked", resume="continue"),
        seed=4,
    )
    results = compare(**compare_arguments(asked), out=tmp_path / "out")
    assert experiment_of(results.manifest["experiment"]) == asked
    write_experiment(tmp_path / "experiment.toml", asked)
    again = compare(
        **compare_arguments(read_experiment(tmp_path / "experiment.toml")), out=tmp_path / "2"
    )
    assert again.content_hash() == results.content_hash()


def test_a_preset_with_its_own_protocol_and_with_another(tmp_path: Path) -> None:
    options: dict[str, Any] = {"runs": 1, "preset": "naszilla", "nearest": True}
    results = compare(["nb201-cifar10"], ["random"], out=tmp_path / "1", **options)
    asked = experiment_of(results.manifest["experiment"])
    assert (asked.preset, asked.nearest) == ("naszilla", True)
    again = compare(**compare_arguments(asked), out=tmp_path / "2")
    assert again.content_hash() == results.content_hash()
    bare = asked._replace(protocol=None)
    assert compare_arguments(parse_experiment(experiment_text(bare))) == compare_arguments(asked)
    other = asked._replace(protocol=Protocol(evaluations=150))
    with pytest.raises(InvalidArgumentError, match="seeds = 'random'; on nb201-cifar10"):
        compare_arguments(other)


def test_a_directory_that_cannot_be_written_is_an_error_of_ours(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ResultsError, match="Could not write"):
        write_experiment(tmp_path / "file" / "experiment.toml", PLAIN)
