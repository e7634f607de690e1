"""The command line: arguments only; each command calls the library and prints what it returns."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from nasbench_tab import __version__, cli_train
from nasbench_tab.errors import InvalidArgumentError, NasbenchTabError, unknown_name
from nasbench_tab.records import Protocol
from nasbench_tab.terminal import err as _err
from nasbench_tab.terminal import escaped as _escaped
from nasbench_tab.terminal import out as _out
from nasbench_tab.terminal import progress_bar

if TYPE_CHECKING:
    from nasbench_tab.search.results import Results

__all__ = ["app", "main"]

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    help="Compare neural architecture search strategies on tabular benchmarks, without a GPU.",
)
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
        str, typer.Argument(help="benchmarks, strategies, spaces, tasks or surrogates")
    ] = "benchmarks",
) -> None:
    """List what there is, a name a line."""
    from nasbench_tab import paths, registry

    kinds: dict[str, Callable[[], list[str]]] = {
        "benchmarks": registry.benchmark_names,
        "strategies": registry.strategy_names,
        "spaces": registry.space_names,
        "tasks": registry.task_names,
        "surrogates": lambda: sorted(paths.artefacts("surrogates")),
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
    _out.print(f"[bold]{_escaped(about.get('title', name))}[/]  ({name})")
    rows = {
        "space": f"{bench.space.name}: {len(bench.measured())} of {bench.space.size} architectures answered for",
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
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for key, value in rows.items():
        table.add_row(key, _escaped(value))
    _out.print(table)
    notes = {**about.get("static", {}), **about["trainings"][bench.training].get("metrics", {})}
    metrics = Table(
        "metric", "split", "unit", "better", "what it is", box=None, padding=(0, 2, 0, 0)
    )
    for metric in bench.metrics.values():
        star = " (objective)" if metric == bench.objective else ""
        better = "higher" if metric.direction == "max" else "lower"
        note = _escaped(notes.get(metric.name, {}).get("note", ""))
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
            plain = {k: None if v != v else v for k, v in record.items()}  # noqa: PLR0124 - NaN
            _out.print(json.dumps(plain), markup=False)
        else:
            spread = f" ± {answer.sd:.3g} over {answer.n_seeds} seeds" if answer.n_seeds > 1 else ""
            unit = bench.metrics[asked_metric].unit
            _out.print(
                f"{bench.space.format(cell)}  {answer.value:.6g} {unit}{spread}", markup=False
            )


@app.command()
def compare(
    benchmarks: Annotated[str, typer.Argument(help="Names, separated by commas.")],
    out: Annotated[Path, typer.Option(help="A new directory for the results.")],
    budget: Annotated[
        str,
        typer.Option(
            help="Per run: evaluations (100), simulated seconds (200000s), or both (100,200000s)."
        ),
    ],
    strategies: Annotated[
        str,
        typer.Option(
            help="Names, separated by commas; with settings as name(key=value); your own as "
            "package.module:Name."
        ),
    ] = "random,evolution,local-search,reinforce",
    runs: Annotated[
        int, typer.Option(help="Seeded runs of each strategy on each benchmark.")
    ] = 500,
    seed: Annotated[int, typer.Option(help="Master seed.")] = 0,
    workers: Annotated[int, typer.Option(help="Simulated workers of each run.")] = 1,
    jobs: Annotated[int, typer.Option(help="Processes on this machine; -1 = all cores.")] = -1,
    seeds: Annotated[
        str, typer.Option(help="Training seed of a query: random, mean or a number.")
    ] = "random",
    overshoot: Annotated[
        str, typer.Option(help="Evaluations ending after the time budget: keep or drop.")
    ] = "keep",
    repeats: Annotated[str, typer.Option(help="A cell asked for again: pay or reuse.")] = "pay",
    resume_training: Annotated[
        str, typer.Option(help="A higher epoch: restart or continue.")
    ] = "restart",
    incumbent: Annotated[str, typer.Option(help="highest-seen or full-training.")] = "highest-seen",
    missing: Annotated[
        str, typer.Option(help="Cells never measured: refuse or masked.")
    ] = "refuse",
    limit: Annotated[
        list[str] | None, typer.Option(help="A constraint, metric<=value; may be repeated.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Finish an interrupted comparison.")
    ] = False,
) -> None:
    """Run strategies on benchmarks; write the results to a directory."""
    from nasbench_tab.search.compare import compare as run_comparison
    from nasbench_tab.search.specs import split_strategies

    evaluations, seconds = _budget(budget)
    protocol = Protocol(
        evaluations=evaluations,
        seconds=seconds,
        workers=workers,
        seeds=int(seeds) if _NUMBER.fullmatch(seeds) else seeds,  # type: ignore[arg-type]
        overshoot=overshoot,  # type: ignore[arg-type]
        repeats=repeats,  # type: ignore[arg-type]
        resume=resume_training,  # type: ignore[arg-type]
        incumbent=incumbent,  # type: ignore[arg-type]
        missing=missing,  # type: ignore[arg-type]
        limits=tuple(_limit(text) for text in limit or ()),
    )
    progress = progress_bar()
    task = progress.add_task("runs", total=None)

    def show(done: int, total: int) -> None:
        progress.start()  # with the first block, so that an error stands alone
        progress.update(task, completed=done, total=total)

    try:
        results = run_comparison(
            split_strategies(benchmarks),
            split_strategies(strategies),
            runs=runs,
            out=out,
            protocol=protocol,
            seed=seed,
            jobs=jobs,
            resume=resume,
            progress=show,
        )
    finally:
        progress.stop()
    _print_results(results)
    _out.print(f"Results: {out}\nReport:  nasbench-tab report {out}", markup=False)


def _print_results(results: Results) -> None:
    """Print final means and mean regret, with 95 % bootstrap intervals from 5 runs on."""
    from nasbench_tab.report.summary import interval  # the report's own, so that both agree

    frame = results.frame()
    table = Table("benchmark", "strategy", "runs", "mean", "sd", "mean regret [95 %]", box=None)
    table.columns[1].overflow = "fold"  # two labels that are cut may look the same
    for name in results.benchmarks:
        objective = results.objective(name).name
        for label in results.strategies:
            rows = frame[(frame["benchmark"] == name) & (frame["strategy"] == label)]
            values, regret = rows[objective].dropna(), rows["regret"].dropna().to_numpy()
            shown = f"{regret.mean():#.4g}" if len(regret) else "-"
            found = interval(regret)
            if found is not None:
                shown += f" [{found.low:#.4g}, {found.high:#.4g}]"
            mean, sd = (f"{x:#.5g}" for x in (values.mean(), values.std()))
            table.add_row(name, _escaped(label), str(len(values)), mean, sd, shown)
    _out.print(table)


@app.command()
def report(
    directory: Annotated[Path, typer.Argument(help="Results of nasbench-tab compare.")],
    out: Annotated[Path | None, typer.Option(help="Default: DIRECTORY/report.")] = None,
    open_page: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
) -> None:
    """Write the report of a comparison: one HTML page, figures, a LaTeX table."""
    from nasbench_tab.report.page import write_report

    page = write_report(directory, out)
    _out.print(str(page), markup=False)
    if open_page:
        typer.launch(str(page))


def _budget(text: str) -> tuple[int | None, float | None]:
    """Return (evaluations, seconds) of ``"100"``, ``"200000s"`` or ``"100,200000s"``."""
    parts = [part for part in map(str.strip, text.split(",")) if part]
    try:
        seconds = [float(part[:-1]) for part in parts if part.endswith("s")]
        evaluations = [int(part) for part in parts if not part.endswith("s")]
        if len(seconds) > 1 or len(evaluations) > 1:
            raise ValueError
    except ValueError as err:
        raise InvalidArgumentError(
            f"--budget {text!r}: expected evaluations (100), seconds (200000s) or both (100,200000s)."
        ) from err
    return evaluations[0] if evaluations else None, seconds[0] if seconds else None


def _limit(text: str) -> tuple[str, float]:
    name, sign, most = text.partition("<=")
    try:
        if not sign:
            raise ValueError
        return name.strip(), float(most)
    except ValueError as err:
        raise InvalidArgumentError(
            f"--limit {text!r}: expected metric<=value, for example parameters<=1.0."
        ) from err


for _command in (cli_train.train, cli_train.collect, cli_train.tabulate):
    app.command()(_command)


if __name__ == "__main__":
    main()
