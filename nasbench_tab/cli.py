"""The command line: arguments only; each command calls the library and prints what it returns."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from nasbench_tab import (
    __version__,
    cli_compare,
    cli_judge,
    cli_official,
    cli_study,
    cli_surrogate,
    cli_train,
    cli_verify,
)
from nasbench_tab.errors import InvalidArgumentError, NasbenchTabError, unknown_name
from nasbench_tab.terminal import err as _err
from nasbench_tab.terminal import escaped as _escaped
from nasbench_tab.terminal import out as _out

if TYPE_CHECKING:
    from nasbench_tab.benchmarks.base import Benchmark

__all__ = ["app", "main"]

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    help="Compare neural architecture search strategies on tabular benchmarks, without a GPU.",
)
_PREDICTED = {"sd_model", "lower", "upper", "novel"}
_NUMBER = re.compile("[+-]?[0-9]+")


def main() -> None:
    """Run the command line; an error of ours becomes its message and exit code 2."""
    try:
        app()
    except NasbenchTabError as err:
        _err.print(f"[bold red]error:[/] {_escaped(str(err))}")
        sys.exit(2)


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        _out.print(__version__)
        raise typer.Exit


@app.command("list")
def list_names(
    kind: Annotated[
        str, typer.Argument(help="benchmarks, strategies, adapters, spaces, tasks or surrogates")
    ] = "benchmarks",
) -> None:
    """List what there is, a name a line."""
    from nasbench_tab import registry

    kinds: dict[str, Callable[[], list[str]]] = {
        "benchmarks": registry.benchmark_names,
        "strategies": registry.strategy_names,
        "adapters": registry.adapter_names,
        "spaces": registry.space_names,
        "tasks": registry.task_names,
        "surrogates": registry.surrogate_names,
    }
    if kind not in kinds:
        raise unknown_name("list", kind, kinds)
    for name in kinds[kind]():
        _out.print(name, markup=False)


@app.command()
def info(name: Annotated[str, typer.Argument(help="A benchmark.")]) -> None:
    """Say what a benchmark is: origin, protocol, metrics and what it lacks."""
    from nasbench_tab import registry

    bench = registry.load(name)
    about = bench.about
    if bench.predicts:
        _print_rows(name, str(about.get("about", {}).get("title", name)), _about_surrogate(bench))
        _print_metrics(bench, {})
        return
    of_all = "" if bench.space.size is None else f"of {bench.space.size} "
    rows = {
        "space": f"{bench.space.name}: {len(bench.measured())} {of_all}architectures answered for",
        "coverage": about.get("coverage", ""),
        "training": f"{bench.training} on {bench.dataset}",
        "protocol": about.get("protocol", ""),
        "epochs": ", ".join(map(str, bench.epochs)),
        "training times": about["trainings"][bench.training]["train_seconds"],
        "training seeds": about.get("seed_note", ""),
        "lacks": "; ".join(about.get("lacks", [])) or "nothing",
        "origin": about.get("origin", ""),
        "licence": about.get("licence", ""),
        "citation": "\n".join(about.get("citation", [])),
        "content hash": bench.fingerprint,
        "folder": str(registry.table_folder(name)),
    }
    _print_rows(name, about.get("title", name), rows)
    notes = {**about.get("static", {}), **about["trainings"][bench.training].get("metrics", {})}
    _print_metrics(bench, {metric: known.get("note", "") for metric, known in notes.items()})


def _about_surrogate(bench: Benchmark) -> dict[str, str]:
    """Return what there is to say of a surrogate, or of a table mixed with one."""
    about = bench.about
    scores = about.get("scores", {}).get(bench.objective.name, {})
    words = {
        "tau": "Kendall's tau",
        "tau_between_seeds": "Kendall's tau between two training seeds",
        "mae": "mean absolute error",
        "coverage_90": "coverage of the 90 % interval",
    }
    held_out = ", ".join(f"{words[key]} {scores[key]:.3g}" for key in words if key in scores)
    origins = ", ".join(f"{n} {origin or 'not stated'}" for origin, n in about["origins"].items())
    # A table does not keep why it was trained.
    why = f" ({origins})" if any(about["origins"]) else ""
    return {
        "space": f"{bench.space.name}: every architecture is answered for",
        "fitted on": f"{about['runs']:,} trainings of {about['networks']:,} networks{why}",
        "model": str(about["kind"]),
        "training": f"{bench.training} on {bench.dataset}",
        "held-out networks": held_out,
        "licence": about.get("licence", ""),
        "training data": about["training_data"],
        "content hash": bench.fingerprint,
    }


def _print_rows(name: str, title: str, rows: dict[str, str]) -> None:
    _out.print(f"[bold]{_escaped(title)}[/]  ({name})")
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for key, value in rows.items():
        table.add_row(key, _escaped(value))
    _out.print(table)


def _print_metrics(bench: Benchmark, notes: dict[str, str]) -> None:
    metrics = Table(
        "metric", "split", "unit", "better", "what it is", box=None, padding=(0, 2, 0, 0)
    )
    for metric in bench.metrics.values():
        star = " (objective)" if metric == bench.objective else ""
        better = "higher" if metric.direction == "max" else "lower"
        note = _escaped(notes.get(metric.name, ""))
        metrics.add_row(metric.name + star, metric.split, metric.unit, better, note)
    _out.print()
    _out.print(metrics)


@app.command()
def query(
    name: Annotated[str, typer.Argument(help="A benchmark.")],
    arch: Annotated[
        list[str],
        typer.Argument(help="Published strings or official indices (a bare integer is an index)."),
    ],
    metric: Annotated[str | None, typer.Option(help="Default: the objective.")] = None,
    epoch: Annotated[int | None, typer.Option(help="1-based; default: the last.")] = None,
    seed: Annotated[int | None, typer.Option(help="Training seed; default: the mean.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Look architectures up."""
    from nasbench_tab import registry

    bench = registry.load(name)
    asked_metric = metric or bench.objective.name
    for text in arch:
        asked: str | int = int(text) if _NUMBER.fullmatch(text) else text
        answer = bench.lookup(asked, metric, epoch=epoch, seed=seed)
        cell = bench.space.unindex(asked) if isinstance(asked, int) else bench.space.parse(asked)
        if as_json:
            record: dict[str, Any] = {
                "benchmark": name,
                "architecture": bench.space.format(cell),
                "index": bench.space.index(cell),
                "metric": asked_metric,
                "epoch": epoch or bench.epochs[-1],
                "seed": seed,
                **answer._asdict(),
            }
            if answer.source != "surrogate":  # what only predictions have
                record = {k: v for k, v in record.items() if k not in _PREDICTED}
            plain = {k: None if v != v else v for k, v in record.items()}  # noqa: PLR0124 - NaN
            _out.print(json.dumps(plain), markup=False)
        else:
            spread = f" ± {answer.sd:.3g} over {answer.n_seeds} seeds" if answer.n_seeds > 1 else ""
            if answer.source == "surrogate" and asked_metric != "train_seconds":
                spread = f"  predicted; 90 % of trainings lie in {answer.lower:.6g} to {answer.upper:.6g}"
                spread += " (unlike all that was fitted: a guess)" if answer.novel else ""
            unit = bench.metrics[asked_metric].unit
            _out.print(
                f"{bench.space.format(cell)}  {answer.value:.6g} {unit}{spread}", markup=False
            )


@app.command()
def landscape(
    name: Annotated[str, typer.Argument(help="A benchmark.")],
    seeds: Annotated[
        str, typer.Option(help="Values: mean, one (training of each cell), or a training seed.")
    ] = "mean",
    metric: Annotated[str | None, typer.Option(help="Default: the objective.")] = None,
) -> None:
    """Say how hard a table is to climb: optima, basins and steps of steepest ascent, exactly."""
    from nasbench_tab import registry
    from nasbench_tab.search.landscape import landscape as found
    from nasbench_tab.search.landscape import landscape_rows

    if seeds not in ("mean", "one") and not _NUMBER.fullmatch(seeds):
        raise InvalidArgumentError(f"--seeds {seeds!r}: expected mean, one or a training seed.")
    which: Any = seeds if seeds in ("mean", "one") else int(seeds)
    table = Table("what", "figure", "note", box=None, padding=(0, 2, 0, 0))
    table.columns[2].overflow = "fold"
    for row in landscape_rows(found(registry.load(name), which, metric)):
        table.add_row(*map(_escaped, row))
    _out.print(table)


for _command in (
    cli_compare.compare,
    cli_compare.report,
    cli_compare.protocols,
    cli_compare.sensitivity,
    cli_compare.trajectory,
    cli_judge.check,
    cli_judge.replay,
    cli_study.tune,
    cli_study.book,
    cli_study.ablate,
    cli_official.fetch,
    cli_train.train,
    cli_train.collect,
    cli_train.tabulate,
    cli_surrogate.fit,
    cli_surrogate.assess,
    cli_verify.verify,
    cli_verify.bias,
):
    app.command()(_command)
app.command("import")(cli_official.import_)  # a word of Python's


if __name__ == "__main__":
    main()
