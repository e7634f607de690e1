"""A program on the other side of a pipe: a good one, and all that one can do wrong."""

from __future__ import annotations

import gc
import json
import shlex
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from nasbench_tab import drive, registry
from nasbench_tab.adapters.external import ExternalProcess
from nasbench_tab.errors import InvalidArgumentError, StrategyError
from nasbench_tab.records import Problem
from nasbench_tab.testing import check_blind, check_strategy

BENCH = registry.load("nb201-cifar10")
EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "external_process.py"
COMMAND = shlex.join([sys.executable, str(EXAMPLE)])
GOOD = f"external(command={COMMAND!r})"


def program(tmp_path: Path, source: str, *, timeout: float = 60.0) -> str:
    path = tmp_path / "program.py"
    path.write_text("import json, sys, time\n" + source, encoding="utf-8")
    command = shlex.join([sys.executable, "-S", str(path)])
    return f"external(command={command!r},timeout={timeout})"


def answering(text: str) -> str:
    return (
        f"for line in sys.stdin:\n    if 'ask' in json.loads(line): print({text!r}, flush=True)\n"
    )


def test_the_example_keeps_the_contract() -> None:
    check_strategy(GOOD, BENCH, evaluations=20)
    check_blind(GOOD, evaluations=10)


def test_it_learns() -> None:
    run = drive(GOOD, BENCH, 200, seed=0)
    assert run.values.max() > 91.0
    assert run.values[-50:].mean() > run.values[:50].mean()


def test_epochs_are_rounded_down(tmp_path: Path) -> None:
    cell = [3, 3, 4, 0, 3, 4]
    answer = json.dumps({"proposals": [{"cell": cell, "epoch": 3.9}]})
    run = drive(program(tmp_path, answering(answer)), "nb201-fashion@surrogate", 2)
    assert run.epochs.tolist() == [3, 3]


def test_what_the_program_reads(tmp_path: Path) -> None:
    source = (
        "log = open(sys.argv[0] + '.log', 'w')\n"
        "for line in sys.stdin:\n"
        "    print(line, end='', file=log, flush=True)\n"
        "    if 'ask' in json.loads(line):\n"
        '        print(\'{"proposals": [{"cell": [3, 3, 3, 3, 3, 3]}]}\', flush=True)\n'
    )
    limits = (("parameters", 0.1),)
    drive(program(tmp_path, source), BENCH, 1, limits=limits, patience=2)
    lines = (tmp_path / "program.py.log").read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith(
        '{"start": {"version": 1, "space": "nasbench201", "positions": {"1<-0"'
    )
    assert '"epochs": [200], "seed": ' in lines[0]
    assert lines[1] == '{"ask": 1}'
    assert lines[2] == (
        '{"tell": [{"cell": [3, 3, 3, 3, 3, 3], "epoch": 200, "score": null, "seconds": 0.0, '
        '"status": "infeasible"}]}'
    )


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("sys.exit(3)", r"(ended before it answered|stopped reading) \(exit code 3\)"),
        ("sys.stdin.readline(); sys.stdin.readline(); sys.exit('no luck')",
         r"ended before it answered \(exit code 1\)\. Its last words: no luck"),
        ("sys.stdin.readline(); print('{\"proposals\": [', end='', flush=True)", "ended before it"),
        (answering("hello"), "answered 'hello'; expected one line such as"),
        (answering(""), "answered ''"),
        (answering("[]"), r"answered '\[\]'"),
        (answering("{}"), "answered '{}'"),
        (answering('{"proposals": 3}'), "expected one line"),
        (answering('{"proposals": [3]}'), "expected one line"),
        (answering('{"proposals": [{}]}'), "expected one line"),
        (answering('{"proposals": [{"cell": 3}]}'), "expected one line"),
        (answering('{"proposals": [{"cell": [1.5, 0, 0, 0, 0, 0]}]}'), "expected one line"),
        (answering('{"proposals": [{"cell": [true, 0, 0, 0, 0, 0]}]}'), "expected one line"),
        (answering('{"proposals": [{"cell": [0,0,0,0,0,0], "epoch": "x"}]}'), "expected one line"),
        (answering('{"proposals": [{"cell": [0,0,0,0,0,0], "epoch": NaN}]}'), "expected one line"),
        (answering("[" * 100_000), "expected one line"),
        (answering('{"proposals": [{"cell": [9, 0, 0, 0, 0, 0]}]}'), r"\(9, 0, 0, 0, 0, 0\) is not a cell"),
        (answering('{"proposals": [{"cell": [0]}]}'), r"\(0,\) is not a cell"),
        (answering('{"proposals": [{"cell": [0,0,0,0,0,0]}, {"cell": [0,0,0,0,0,0]}]}'),
         "asked for 1 proposals and gave 2"),
    ],
)  # fmt: skip
def test_a_program_that_dies_or_talks_nonsense(tmp_path: Path, source: str, words: str) -> None:
    with pytest.raises(StrategyError, match=words):
        drive(program(tmp_path, source), BENCH, 3)


def test_one_that_says_nothing_is_given_up(tmp_path: Path) -> None:
    begin = time.monotonic()
    with pytest.raises(StrategyError, match=r"gave no answer within 0\.2 seconds"):
        drive(program(tmp_path, "time.sleep(1000)", timeout=0.2), BENCH, 3)
    assert time.monotonic() - begin < 60


def test_one_that_never_reads_is_given_up(tmp_path: Path) -> None:
    answer = '{"proposals": [{"cell": [0, 0, 0, 0, 0, 0]}]}\n'
    talks = program(tmp_path, f"while True: sys.stdout.write({answer!r})", timeout=0.3)
    with pytest.raises(StrategyError, match=r"read nothing for 0\.3 seconds"):
        drive(talks, BENCH, 5000)


def test_a_program_that_is_not_there() -> None:
    with pytest.raises(InvalidArgumentError, match=r"cannot start .nowhere-to-be-found.: No such"):
        drive("external(command='nowhere-to-be-found')", BENCH, 3)


def test_nothing_more_to_propose(tmp_path: Path) -> None:
    run = drive(program(tmp_path, answering('{"proposals": []}')), BENCH, 3)
    assert (len(run.values), run.stop) == (0, "exhausted")


@pytest.mark.parametrize(
    "source", ["for line in sys.stdin: answer(line)", "while True: answer(sys.stdin.readline())"]
)
def test_the_program_ends_with_the_search(tmp_path: Path, source: str) -> None:
    answer = '{"proposals": [{"cell": [0, 0, 0, 0, 0, 0]}]}'
    helper = f"def answer(line):\n    if 'ask' in (line or 'x'): print({answer!r}, flush=True)\n"
    path = tmp_path / "program.py"
    path.write_text("import sys\n" + helper + source, encoding="utf-8")
    problem = Problem(BENCH.space, BENCH.objective, BENCH.epochs)
    command = shlex.join([sys.executable, "-S", str(path)])
    at_work = ExternalProcess(problem, np.random.default_rng(0), command=command)
    at_work.ask(1)
    process = at_work._process
    assert process is not None
    assert process.poll() is None
    del at_work
    gc.collect()
    assert process.poll() is not None
