"""The command line: what its commands print and write."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from commandline import ARCH, Command, below, compare, succeeded

import nasbench_tab
from nasbench_tab import registry
from nasbench_tab.registry import load
from nasbench_tab.search.results import load_results

# list, info, --version, --help.


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ([], registry.benchmark_names),
        (["benchmarks"], registry.benchmark_names),
        (["strategies"], registry.strategy_names),
        (["adapters"], registry.adapter_names),
        (["spaces"], registry.space_names),
        (["surrogates"], registry.surrogate_names),
    ],
)
def test_list_prints_a_name_a_line(
    command: Command, kind: list[str], names: Callable[[], list[str]]
) -> None:
    assert succeeded(command("list", *kind)).splitlines() == names()


TABLES = [n for n in registry.benchmark_names() if "@" not in n and n != "macro-fashion"]


@pytest.mark.parametrize("name", TABLES)
def test_info_says_what_a_benchmark_is(command: Command, name: str) -> None:
    out = " ".join(succeeded(command("info", name)).split())
    bench = load(name)
    for word in (
        bench.about["title"],
        f"{len(bench.measured())} of {bench.space.size} architectures",
        bench.training,
        bench.dataset,
        bench.fingerprint,
        bench.about["licence"],
        *bench.about["lacks"],
        *bench.about["citation"],
        *bench.metrics,
        f"{bench.objective.name} (objective)",
    ):
        assert " ".join(str(word).split()) in out


def test_the_version(command: Command) -> None:
    assert succeeded(command("--version")).strip() == nasbench_tab.__version__


@pytest.mark.parametrize("what", [[], ["list"], ["info"], ["query"], ["compare"], ["report"]])
def test_help(command: Command, what: list[str]) -> None:
    out = succeeded(command(*what, "--help"))
    assert f"nasbench-tab {' '.join(what)}".strip() in out


def test_no_command_prints_help(command: Command) -> None:
    done = command()
    assert done.code == 2
    assert "compare" in done.out + done.err


# query.


def test_a_query_by_string_and_by_index(command: Command) -> None:
    value = load("nb201-cifar10").query(11)
    by_index = succeeded(command("query", "nb201-cifar10", "11"))
    assert by_index == succeeded(command("query", "nb201-cifar10", ARCH))
    assert by_index.startswith(f"{ARCH}  {value:.6g} % ± ")
    assert by_index.endswith(" seeds\n")


def test_many_queries_with_metric_and_seed(command: Command) -> None:
    bench = load("nb201-cifar10")
    out = succeeded(command("query", "nb201-cifar10", "11", ARCH, "+0", "--metric", "parameters"))
    assert len(out.splitlines()) == 3
    assert out.splitlines()[0] == f"{ARCH}  {bench.query(11, 'parameters'):.6g} M"
    seed = bench.seeds(11)[0]
    out = succeeded(command("query", "nb201-cifar10", "11", "--seed", str(seed)))
    assert out == f"{ARCH}  {bench.query(11, seed=seed):.6g} %\n"


def test_a_query_as_json(command: Command) -> None:
    bench = load("nb201-cifar10")
    lines = succeeded(command("query", "nb201-cifar10", "11", "12", "--json")).splitlines()
    records = [json.loads(line) for line in lines]
    answer = bench.lookup(11)
    assert records[0] == {
        "benchmark": "nb201-cifar10",
        "architecture": ARCH,
        "index": 11,
        "metric": "valid_accuracy",
        "epoch": 200,
        "seed": None,
        "value": answer.value,
        "seconds": answer.seconds,
        "source": "table",
        "sd": answer.sd,
        "n_seeds": answer.n_seeds,
    }
    assert records[1]["index"] == 12


def test_json_has_null_where_nothing_is_known(command: Command) -> None:
    seed = str(load("nb201-cifar10").seeds(11)[0])
    done = command("query", "nb201-cifar10", "11", "--json", "--seed", seed, "--epoch", "200")
    [record] = map(json.loads, succeeded(done).splitlines())
    assert record["sd"] is None
    assert (record["seed"], record["epoch"], record["n_seeds"]) == (int(seed), 200, 1)


# compare.


def test_compare_writes_results_and_prints_a_table(command: Command) -> None:
    out = succeeded(command(*compare()))
    results = load_results("out")
    assert results.strategies == ["random", "evolution"]
    assert results.manifest["experiment"]["runs"] == 3
    frame = results.frame()
    for label in results.strategies:
        mean = frame[frame["strategy"] == label]["valid_accuracy"].mean()
        assert re.search(rf"nb201-cifar10 +{label} +3 +{mean:.3f} ", out)
    assert "Results: out" in out
    assert "nasbench-tab report out" in out


def test_every_switch_reaches_the_protocol(command: Command) -> None:
    switches = [
        *("--workers", "2", "--seeds", "mean", "--overshoot", "drop", "--repeats", "reuse"),
        *("--resume-training", "restart", "--incumbent", "full-training", "--missing", "masked"),
        *("--limit", "parameters<=1.1", "--limit", "latency <= 0.03", "--seed", "5"),
    ]
    succeeded(command(*compare(*switches, budget="4, 1000000s")))
    results = load_results("out")
    assert results.protocol == nasbench_tab.Protocol(
        evaluations=4,
        seconds=1e6,
        workers=2,
        seeds="mean",
        overshoot="drop",
        repeats="reuse",
        resume="restart",
        incumbent="full-training",
        missing="masked",
        limits=(("parameters", 1.1), ("latency", 0.03)),
    )
    assert results.manifest["experiment"]["seed"] == 5


@pytest.mark.parametrize(
    ("budget", "evaluations", "seconds"),
    [("7", 7, None), ("30000s", None, 30000.0), ("3e4s", None, 30000.0), ("30000s,7", 7, 30000.0)],
)
def test_budgets(
    command: Command, budget: str, evaluations: int | None, seconds: float | None
) -> None:
    succeeded(command(*compare(budget=budget)))
    protocol = load_results("out").protocol
    assert (protocol.evaluations, protocol.seconds) == (evaluations, seconds)


def test_a_fixed_training_seed(command: Command) -> None:
    succeeded(command(*compare("--seeds", "-1", "--missing", "masked")))
    results = load_results("out")
    assert results.protocol.seeds == -1
    assert set(results.trials("nb201-cifar10", "random").seeds.tolist()) == {-1}


def test_several_benchmarks_and_strategies_with_settings(command: Command) -> None:
    names, strategies = (
        "nb201-cifar10, nbgraph-proteins",
        "random,evolution(population=5,tournament=2)",
    )
    succeeded(
        command(
            *("compare", names, "--strategies", strategies, "--runs", "2", "--jobs", "1"),
            *("--budget", "3", "--out", "out"),
        )
    )
    results = load_results("out")
    assert results.benchmarks == ["nb201-cifar10", "nbgraph-proteins"]
    assert results.strategies == ["random", "evolution(population=5, tournament=2)"]


def test_an_own_strategy_from_the_current_folder(command: Command) -> None:
    source = "def propose(problem, rng, history):\n    return (len(history) % 5,) * 6\n"
    Path("my_own_cli.py").write_text(source, encoding="utf-8")
    try:
        succeeded(command(*compare("--strategies", "my_own_cli:propose")))
    finally:
        sys.modules.pop("my_own_cli", None)
    trials = load_results("out").trials("nb201-cifar10", "my_own_cli:propose")
    assert trials.architectures[:4, 0].tolist() == [0, 1, 2, 3]


def test_resume_finishes_an_interrupted_comparison(command: Command) -> None:
    succeeded(command(*compare()))
    results = load_results("out")
    expected = results.content_hash()
    results.shard_paths[0].unlink()
    done = command(*compare())
    assert done.code == 2
    assert "--resume" in done.err
    succeeded(command(*compare("--resume")))
    assert load_results("out").content_hash() == expected


# report.


def test_report_writes_a_page_and_prints_its_path(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr("typer.launch", opened.append)
    succeeded(command(*compare()))
    before = below(Path("out"))
    page = Path(succeeded(command("report", "out", "--out", "elsewhere")).strip())
    assert page.is_file()
    assert page.is_relative_to("elsewhere")
    assert below(Path("out")) == before
    assert opened == []
    again = Path(succeeded(command("report", "out", "--open")).strip())
    assert again.is_relative_to("out/report")
    assert opened == [str(again)]


# The installed command, in processes of its own.


def installed(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    script = Path(sys.executable).with_name("nasbench-tab")
    return subprocess.run(
        [script, *arguments], cwd=cwd, capture_output=True, text=True, check=False
    )


def test_the_installed_command(tmp_path: Path) -> None:
    done = installed("query", "nb201-cifar10", "11", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(ARCH)
    bad = installed("query", "nb201-cifar10", "99999", cwd=tmp_path)
    assert (bad.returncode, bad.stdout) == (2, "")
    assert bad.stderr.startswith("error: There is no NAS-Bench-201 architecture 99999")


def test_the_installed_command_compares_in_processes(tmp_path: Path) -> None:
    source = "def propose(problem, rng, history):\n    return problem.space.sample(rng, 1)[0]\n"
    (tmp_path / "my_idea.py").write_text(source, encoding="utf-8")
    arguments = [
        *("compare", "nb201-cifar10", "--strategies", "random,my_idea:propose", "--runs", "60"),
        *("--budget", "5", "--out", "out", "--jobs", "2"),
    ]
    done = installed(*arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    results = load_results(tmp_path / "out")
    assert results.strategies == ["random", "my_idea:propose"]
    assert len(results.frame()) == 120


def test_an_error_in_a_worker_process_is_a_message_too(tmp_path: Path) -> None:
    source = "def propose(problem, rng, history):\n    return [0] * 6\n"
    (tmp_path / "my_idea.py").write_text(source, encoding="utf-8")
    done = installed(
        *("compare", "nb201-cifar10", "--strategies", "my_idea:propose", "--runs", "60"),
        *("--budget", "5", "--out", "out", "--jobs", "2"),
        cwd=tmp_path,
    )
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert "error: Strategy 'my_idea:propose' proposed" in done.stderr
