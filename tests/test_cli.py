"""The command line: what it prints, what it writes, and exit code 2 with a message for bad input."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import pytest
from rich.console import Console

import nasbench_tab
from nasbench_tab import cli, registry
from nasbench_tab.registry import load
from nasbench_tab.search.results import load_results

ARCH = "|nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|none~0|nor_conv_3x3~1|avg_pool_3x3~2|"


class Done(NamedTuple):
    code: int
    out: str
    err: str


Command = Callable[..., Done]


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    """Return the function that runs the command line in an empty current folder."""
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    monkeypatch.setenv("NASBENCH_TAB_HOME", str(tmp_path / "home"))
    # A console takes its width when it is made, which may have been in a narrower terminal.
    monkeypatch.setattr(cli, "_out", Console(highlight=False, soft_wrap=True, width=200))
    monkeypatch.setattr(sys, "path", list(sys.path))

    def run(*arguments: str) -> Done:
        monkeypatch.setattr(sys, "argv", ["nasbench-tab", *arguments])
        with pytest.raises(SystemExit) as exited:
            cli.main()
        captured = capsys.readouterr()
        code = exited.value.code
        assert code is None or isinstance(code, int)
        return Done(code or 0, captured.out, captured.err)

    return run


def compare(*more: str, budget: str = "4", out: str = "out") -> list[str]:
    return [
        *("compare", "nb201-cifar10", "--runs", "3", "--jobs", "1", "--budget", budget),
        *("--out", out, "--strategies", "random,evolution", *more),
    ]


def succeeded(done: Done) -> str:
    assert done.code == 0, done.err
    assert "Traceback" not in done.err
    return done.out


# list, info, --version, --help.


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ([], registry.benchmark_names),
        (["benchmarks"], registry.benchmark_names),
        (["strategies"], registry.strategy_names),
        (["spaces"], registry.space_names),
        (["surrogates"], list),
    ],
)
def test_list_prints_a_name_a_line(
    command: Command, kind: list[str], names: Callable[[], list[str]]
) -> None:
    assert succeeded(command("list", *kind)).splitlines() == names()


@pytest.mark.parametrize("name", registry.benchmark_names())
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


# Bad input: exit code 2, a message, no traceback, nothing written.


def below(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def line(value: Any) -> str:
    return " ".join(value) if isinstance(value, list) else ""


def refused(command: Command, arguments: list[str], words: str) -> None:
    before = below(Path.cwd())
    done = command(*arguments)
    assert done.code == 2
    assert "Traceback" not in done.err
    message = " ".join(done.err.split())
    assert re.search(words, message), message
    assert done.out == ""
    assert below(Path.cwd()) == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["list", "strategy"], r"error: Unknown list 'strategy'. Did you mean strategies"),
        (["info", "nb201-cifar1"], "Unknown benchmark 'nb201-cifar1'. Did you mean .*nb201-cifar10"),
        (["info", "[bold]x"], r"Unknown benchmark '\[bold\]x'"),
        (["query", "cifar", "11"], "Unknown benchmark 'cifar'"),
        (["query", "nb201-cifar10", "15625"], "no NAS-Bench-201 architecture 15625. .* 0 to 15624"),
        (["query", "nb201-cifar10", "--", "-1"], "no NAS-Bench-201 architecture -1. .* 0 to 15624"),
        (["query", "nb201-cifar10", "--", "--5"], "'--5' is not a NAS-Bench-201 architecture"),
        (["query", "nb201-cifar10", "--", "+-5"], r"'\+-5' is not a NAS-Bench-201 architecture"),
        (["query", "nb201-cifar10", "²"], "'²' is not a NAS-Bench-201 architecture"),
        (["query", "nb201-cifar10", "11.5"], "'11.5' is not a NAS-Bench-201 architecture"),
        (["query", "nb201-cifar10", ""], "'' is not a NAS-Bench-201 architecture"),
        (["query", "nb201-cifar10", ARCH[:-1]], "must start and end with|is not a NAS-Bench-201"),
        (["query", "nb201-cifar10", ARCH.replace("none", "nun")], "Unknown operation 'nun'. Did you mean none"),
        (["query", "nb201-cifar10", ARCH.replace("none~0", "none~1")], "must come from node 0"),
        (["query", "nb201-cifar10", "11", "--metric", "acuracy"], "Unknown metric of nb201-cifar10 'acuracy'. Did you mean valid_accuracy"),
        (["query", "nb201-cifar10", "11", "--epoch", "12"], "no values at epoch 12. It has 200"),
        (["query", "nb201-cifar10", "11", "--epoch", "0"], "no values at epoch 0. It has 200"),
        (["query", "nb201-cifar10", "11", "--seed", "5"], "no training seed 5. It has 777, 888, 999"),
        (["query", "nb201-cifar10", "11", "--seed", "x"], "Invalid value for '--seed'"),
        (["query", "nb201-cifar10"], "Missing argument"),
        (["query", "nbgraph-cora", "8888"], "no architecture 8888 in nasbench-graph"),
        (["serach"], "No such command 'serach'"),
        (["list", "--colour"], "No such option"),
        (["report", "nothing"], "nothing holds no comparison"),
    ],
    ids=line,
)  # fmt: skip
def test_bad_input(command: Command, arguments: list[str], words: str) -> None:
    refused(command, arguments, words)


def test_a_seed_that_exists_but_not_for_this_cell(command: Command) -> None:
    bench = load("nb201-cifar10")
    index = next(i for i in range(1000) if -1 in bench.seeds(i))
    refused(
        command,
        ["query", "nb201-cifar10", str(index), "--seed", "777"],
        "no valid_accuracy of .* for training seed 777.*exist for this cell: -1, -2",
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (["--budget", "0"], "budget in evaluations must be a positive integer; got 0"),
        (["--budget", "-5"], "budget in evaluations must be a positive integer; got -5"),
        (["--budget", "0s"], "budget in seconds must be positive; got 0.0"),
        (["--budget", "-1s"], "budget in seconds must be positive; got -1.0"),
        (["--budget", "nans"], "budget in seconds must be positive; got nan"),
        (["--budget", "infs"], "budget in seconds must be positive; got inf"),
        (["--budget", ""], "needs a budget"),
        (["--budget", ","], "needs a budget"),
        (["--budget", "ten"], "--budget 'ten': expected evaluations"),
        (["--budget", "1e3"], "--budget '1e3': expected evaluations"),
        (["--budget", "10m"], "--budget '10m': expected evaluations"),
        (["--budget", "s"], "--budget 's': expected evaluations"),
        (["--budget", "10;20s"], "--budget '10;20s': expected evaluations"),
        (["--budget", "10,20"], "--budget '10,20': expected evaluations"),
        (["--budget", "10s,20s"], "--budget '10s,20s': expected evaluations"),
        (["--runs", "0"], "runs? .*0"),
        (["--runs", "many"], "Invalid value for '--runs'"),
        (["--seed", "-1"], "master seed must .*-1"),
        (["--jobs", "0"], "jobs"),
        (["--workers", "0"], "workers must be a positive integer; got 0"),
        (["--seeds", "men"], "protocol's 'seeds' 'men'. Did you mean mean"),
        (["--seeds", "7"], "no training seed 7. It has 777, 888, 999"),
        (["--seeds=--7"], "protocol's 'seeds' '--7'"),
        (["--seeds", "²"], "protocol's 'seeds' '²'"),
        (["--seeds", "777"], "holds 8169 of the 15625 .*missing='masked'|--missing"),
        (["--overshoot", "kep"], "protocol's 'overshoot' 'kep'. Did you mean keep"),
        (["--repeats", "free"], "protocol's 'repeats' 'free'. .*pay, reuse"),
        (["--resume-training", "continu"], "protocol's 'resume' 'continu'. Did you mean continue"),
        (["--resume-training", "continue"], "holds separate trainings"),
        (["--incumbent", "best"], "protocol's 'incumbent' 'best'"),
        (["--missing", "surrogate"], "protocol's 'missing' 'surrogate'"),
        (["--limit", "parameters<1"], "--limit 'parameters<1': expected metric<=value"),
        (["--limit", "parameters<="], "--limit 'parameters<=': expected metric<=value"),
        (["--limit", "parameters<=one"], "--limit 'parameters<=one': expected metric<=value"),
        (["--limit", "parameters<=nan"], "limit on 'parameters' must be a number"),
        (["--limit", "<=1"], "Unknown metric of nb201-cifar10 ''"),
        (["--limit", "parametres<=1"], "Unknown metric .*'parametres'. Did you mean .*parameters"),
        (["--limit", "valid_accuracy<=1"], "limit on 'valid_accuracy' would show the strategy"),
        (["--strategies", "evolutoin"], "Unknown strategy 'evolutoin'. Did you mean evolution"),
        (["--strategies", "random,random"], "'random' is given twice"),
        (["--strategies", "evolution(popluation=5)"], "no setting 'popluation'"),
        (["--strategies", "evolution(5)"], "every setting needs its name"),
        (["--strategies", "evolution(population=0)"], "population"),
        (["--strategies", "evolution(population='x')"], "population"),
        (["--strategies", "no_such_module:Thing"], "no module 'no_such_module'"),
        (["--strategies", ""], "at least one benchmark and one strategy"),
    ],
    ids=line,
)  # fmt: skip
def test_bad_comparisons(command: Command, change: list[str], words: str) -> None:
    refused(command, compare(*change), words)


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ("nb201-cifar1", "Unknown benchmark 'nb201-cifar1'"),
        ("nb201-cifar10,nb201-cifar10", "given twice"),
        ("", "at least one benchmark"),
        ("nb201-cifar10;nbgraph-cora", "Unknown benchmark 'nb201-cifar10;nbgraph-cora'"),
    ],
)
def test_bad_benchmarks_of_a_comparison(command: Command, names: str, words: str) -> None:
    refused(command, ["compare", names, "--budget", "3", "--out", "out", "--jobs", "1"], words)


def test_options_that_must_be_given(command: Command) -> None:
    refused(command, ["compare", "nb201-cifar10", "--budget", "3"], "Missing option '--out'")
    refused(command, ["compare", "nb201-cifar10", "--out", "out"], "Missing option '--budget'")


@pytest.mark.parametrize("resume", [[], ["--resume"]])
def test_a_foreign_output_directory_is_left_alone(command: Command, resume: list[str]) -> None:
    Path("out").mkdir()
    Path("out/thesis.tex").write_text("mine", encoding="utf-8")
    refused(command, compare(*resume), "out exists and holds something that is no comparison")


@pytest.mark.parametrize("resume", [[], ["--resume"]])
def test_another_experiment_is_left_alone(command: Command, resume: list[str]) -> None:
    succeeded(command(*compare()))
    refused(command, compare(*resume, budget="5"), "out holds another experiment")


def test_a_file_in_the_place_of_the_directory(command: Command) -> None:
    Path("out").write_text("mine", encoding="utf-8")
    refused(command, compare(), "out exists and holds something that is no comparison")


# Tables that cannot be trusted.


@pytest.fixture
def copied(command: Command, tmp_path: Path) -> Path:
    """Return the folder of a copy of a shipped table under the name ``copied``."""
    folder = tmp_path / "home" / "data" / "copied"
    shutil.copytree(registry.table_folder("nbgraph-proteins"), folder)
    return folder


def altered(path: Path) -> None:
    with h5py.File(path / "table.h5", "r+") as file:
        file["architectures"][0, 0] = 8 - file["architectures"][0, 0]


def truncated(path: Path) -> None:
    content = (path / "table.h5").read_bytes()
    (path / "table.h5").write_bytes(content[: len(content) // 2])


def without_manifest_text(path: Path) -> None:
    (path / "manifest.toml").write_text("name = ", encoding="utf-8")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (altered, r"table\.h5 is not the table that its manifest describes.* altered"),
        (truncated, r"table\.h5 .*truncated or damaged"),
        (lambda path: (path / "table.h5").unlink(), "cannot be read as a table .*missing"),
        (without_manifest_text, r"manifest\.toml cannot be read"),
    ],
    ids=["altered", "truncated", "missing", "manifest"],
)
def test_a_damaged_table(
    command: Command, copied: Path, damage: Callable[[Path], Any], words: str
) -> None:
    damage(copied)
    for arguments in (
        ["info", "copied"],
        ["query", "copied", "61237"],
        ["compare", "copied", "--budget", "3", "--out", "out", "--jobs", "1"],
    ):
        refused(command, arguments, words)
    assert "copied" in succeeded(command("list"))


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
