"""Commands about comparisons: compare, report, protocols, sensitivity; and trajectory, beside them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from nasbench_tab.errors import InvalidArgumentError
from nasbench_tab.records import Protocol
from nasbench_tab.terminal import escaped as _escaped
from nasbench_tab.terminal import out as _out
from nasbench_tab.terminal import progress_bar, with_progress

if TYPE_CHECKING:
    from nasbench_tab.search.results import Results
    from nasbench_tab.stats.bootstrap import Interval

__all__ = ["compare", "preset_rows", "protocols", "report", "sensitivity", "trajectory"]

_NUMBER = re.compile("[+-]?[0-9]+")
_BESIDE_PRESET = (
    *("benchmarks", "out", "preset", "nearest", "strategies", "runs", "seed", "jobs", "resume"),
)


def compare(
    context: typer.Context,
    benchmarks: Annotated[
        str, typer.Argument(help="Names, separated by commas; or an experiment's file.toml.")
    ],
    out: Annotated[Path, typer.Option(help="A new directory for the results.")],
    budget: Annotated[
        str | None,
        typer.Option(
            help="Per run: evaluations (100), simulated seconds (200000s), or both (100,200000s)."
        ),
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(help="A published protocol instead of budget and switches; see protocols."),
    ] = None,
    nearest: Annotated[
        bool, typer.Option("--nearest", help="With --preset: the nearest that can be run will do.")
    ] = False,
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
    failures: Annotated[
        float | None,
        typer.Option(help="Probability that a worker dies during a full training."),
    ] = None,
    jobs: Annotated[int, typer.Option(help="Processes on this machine; -1 = all cores.")] = -1,
    seeds: Annotated[
        str, typer.Option(help="Training seed of a query: random, mean or a number.")
    ] = "random",
    training: Annotated[
        str | None, typer.Option(help="Which training of the table is searched on.")
    ] = None,
    epoch: Annotated[
        int | None, typer.Option(help="The epoch that counts as full training in the search.")
    ] = None,
    validation: Annotated[
        str, typer.Option(help="Validation passes charged: none, once or every.")
    ] = "none",
    overhead: Annotated[
        str, typer.Option(help="The strategy's own time on the clock: none or measured.")
    ] = "none",
    overshoot: Annotated[
        str,
        typer.Option(help="Evaluations ending after the time budget: keep, drop or interpolate."),
    ] = "keep",
    repeats: Annotated[
        str, typer.Option(help="A cell asked for again: pay, reuse or forbid.")
    ] = "pay",
    resume_training: Annotated[
        str, typer.Option(help="A higher epoch: restart or continue.")
    ] = "restart",
    incumbent: Annotated[
        str, typer.Option(help="highest-seen, highest-epoch or full-training.")
    ] = "highest-seen",
    final: Annotated[
        str, typer.Option(help="An incumbent's worth: mean over training seeds, or the one seen.")
    ] = "mean",
    final_epoch: Annotated[
        str, typer.Option(help="Final values after the last epoch, or the best.")
    ] = "last",
    final_training: Annotated[
        str | None, typer.Option(help="Which training of the table final values come from.")
    ] = None,
    report_on: Annotated[
        str, typer.Option(help="More benchmarks of the same space to report incumbents on.")
    ] = "",
    missing: Annotated[
        str, typer.Option(help="Cells never measured: refuse or masked.")
    ] = "refuse",
    limit: Annotated[
        list[str] | None, typer.Option(help="A constraint, metric<=value; may be repeated.")
    ] = None,
    second: Annotated[
        str | None,
        typer.Option(help="A second objective that is known without training: parameters ..."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Finish an interrupted comparison.")
    ] = False,
) -> None:
    """Run strategies on benchmarks; write the results to a directory."""
    from nasbench_tab.search.compare import compare as run_comparison
    from nasbench_tab.search.specs import split_strategies

    switches = {
        "workers": workers,
        "training": training,
        "epoch": epoch,
        "seeds": int(seeds) if _NUMBER.fullmatch(seeds) else seeds,
        "validation": validation,
        "overhead": overhead,
        "overshoot": overshoot,
        "repeats": repeats,
        "resume": resume_training,
        "incumbent": incumbent,
        "final": final,
        "final_epoch": final_epoch,
        "final_training": final_training,
        "report": tuple(split_strategies(report_on)),
        "missing": missing,
        "limits": tuple(_limit(text) for text in limit or ()),
        "second": second,
        "failures": failures,
    }
    if benchmarks.endswith(".toml"):
        asked = _of_file(context, benchmarks)
    else:
        asked = {
            "benchmarks": split_strategies(benchmarks),
            "strategies": split_strategies(strategies),
            "runs": runs,
            "protocol": _protocol(context, budget, preset, switches),
            "preset": preset,
            "nearest": nearest,
            "seed": seed,
        }
    results = with_progress(run_comparison, **asked, out=out, jobs=jobs, resume=resume)
    _print_results(results)
    _out.print(f"Results: {out}\nReport:  nasbench-tab report {out}", markup=False)


def _of_file(context: typer.Context, path: str) -> dict[str, Any]:
    """Return the arguments of an experiment's file, which says all but where and how to run it."""
    from nasbench_tab.search.experiment import compare_arguments, read_experiment

    given = [
        name for name in _given(context) if name not in ("benchmarks", "out", "jobs", "resume")
    ]
    if given:
        raise InvalidArgumentError(
            f"{path} says what to compare; leave out --{', --'.join(given).replace('_', '-')}, or change "
            "the file."
        )
    return compare_arguments(read_experiment(path))


def _given(context: typer.Context) -> list[str]:
    """Return the names of the parameters that stand on the command line."""
    return [
        name
        for name in context.params
        if getattr(context.get_parameter_source(name), "name", "") == "COMMANDLINE"
    ]


def _print_results(results: Results) -> None:
    """Print final means and mean regret, with 95 % bootstrap intervals from 5 runs on."""
    from nasbench_tab.report.summary import interval  # the report's own, so that both agree

    frame = results.frame()
    fronts = results.protocol.second is not None
    titles = ["benchmark", "strategy", "runs", "mean", "sd", "mean regret [95 %]"]
    table = Table(*titles, *["hypervolume ratio [95 %]"] * fronts, box=None)
    table.columns[1].overflow = "fold"  # two labels that are cut may look the same
    for name in results.benchmarks:
        objective = results.objective(name).name
        for label in results.strategies:
            rows = frame[(frame["benchmark"] == name) & (frame["strategy"] == label)]
            values, shown = rows[objective].dropna(), []
            for column in ("regret", *["hypervolume"] * fronts):
                data = rows[column].dropna().to_numpy()
                text = f"{data.mean():#.4g}" if len(data) else "-"
                found = interval(data)
                if found is not None:
                    text += f" [{found.low:#.4g}, {found.high:#.4g}]"
                shown.append(text)
            mean, sd = (f"{x:#.5g}" for x in (values.mean(), values.std()))
            table.add_row(name, _escaped(label), str(len(values)), mean, sd, *shown)
    _out.print(table)


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


def trajectory(
    logs: Annotated[
        list[Path],
        typer.Argument(help="Logs of a one-shot method, one a run: JSON lines, or CSV."),
    ],
    benchmark: Annotated[str, typer.Option(help="The table that says what its answers are worth.")],
    out: Annotated[Path, typer.Option(help="A folder for the page.")],
    beside: Annotated[
        Path | None, typer.Option(help="A comparison on that table, drawn in the same chart.")
    ] = None,
    name: Annotated[str, typer.Option(help="Of the method; default: the first file's.")] = "",
    open_page: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
) -> None:
    """Score a one-shot method's own log against a table: its answers over time, and its ranking."""
    from nasbench_tab.report.trajectory import write_trajectory

    page = write_trajectory(logs, benchmark, out, beside=beside, name=name)
    _out.print(str(page), markup=False)
    if open_page:
        typer.launch(str(page))


def protocols(
    benchmark: Annotated[
        str | None, typer.Argument(help="Say what each preset comes to on this benchmark.")
    ] = None,
) -> None:
    """List the published protocols, switch by switch, and which tables can honour them."""
    from nasbench_tab import registry
    from nasbench_tab.search.presets import PRESETS, fit

    names = list(PRESETS)
    table = Table("switch", *names, box=None, padding=(0, 2, 0, 0))
    for row in preset_rows()[1:]:
        table.add_row(*map(_escaped, row))
    _out.print(table)
    for preset in PRESETS.values():
        _out.print(f"{preset.name}: {preset.title}. {preset.source}.", markup=False)
    if benchmark is None:
        return
    bench = registry.load(benchmark)
    for name in names:
        try:
            changes = fit(PRESETS[name], bench).changes
            said = "honoured" if not changes else "nearest: " + "; ".join(changes)
        except InvalidArgumentError as err:
            said = f"not there: {err}"
        _out.print(f"\n[bold]{name}[/] on {benchmark}: {_escaped(said)}")


def sensitivity(
    strategy: Annotated[
        str, typer.Argument(help="A strategy; bare, it takes a preset's settings.")
    ],
    benchmark: Annotated[str, typer.Argument(help="A benchmark.")],
    out: Annotated[Path, typer.Option(help="A directory; one comparison a protocol.")],
    presets: Annotated[
        str | None, typer.Option(help="Names, separated by commas; default: all.")
    ] = None,
    runs: Annotated[int, typer.Option(help="Seeded runs under each protocol.")] = 200,
    seed: Annotated[int, typer.Option(help="Master seed.")] = 0,
    jobs: Annotated[int, typer.Option(help="Processes on this machine; -1 = all cores.")] = -1,
) -> None:
    """Run one strategy under every published protocol that applies: how far does the answer move?"""
    from nasbench_tab import registry
    from nasbench_tab.report.words import regret_unit
    from nasbench_tab.search.presets import preset_named
    from nasbench_tab.search.sensitivity import sensitivity as run_sensitivity

    chosen = None if presets is None else [preset_named(n.strip()).name for n in presets.split(",")]
    progress = progress_bar()
    tasks: dict[str, Any] = {}

    def show(name: str, done: int, total: int) -> None:
        progress.start()
        if name not in tasks:
            tasks[name] = progress.add_task(name, total=total)
        progress.update(tasks[name], completed=done, total=total)

    try:
        answers = run_sensitivity(
            strategy,
            benchmark,
            out,
            runs=runs,
            presets=chosen,
            seed=seed,
            jobs=jobs,
            progress=show,
        )
    finally:
        progress.stop()
    objective = registry.load(benchmark).objective
    value = f"{objective.name}, {objective.unit} [95 %]"
    table = Table("protocol", "evaluations", "distinct", value, "better than default", box=None)
    for one in answers:
        cells = [f"{one.evaluations:,.0f}", f"{one.distinct:,.0f}"] if one.runs else ["-", "-"]
        cells += [_shown(one.value), "" if one.preset == "default" else _shown(one.shift)]
        table.add_row(one.preset + ("*" if one.changes else ""), *cells)
    _out.print(table)
    means = [float(one.value.estimate) for one in answers if one.runs]
    _out.print(
        f"{runs} runs each. Budgets and settings are the protocols'. One name, {len(means)} protocols: the "
        f"answer moves by {max(means) - min(means):.3g} {regret_unit(objective)}".rstrip()
        + ".",
        markup=False,
    )
    for one in answers:
        if one.changes:
            said = "; ".join(one.changes).rstrip(".")
            _out.print(f"* {one.preset}: {said}.", markup=False)


def preset_rows() -> list[list[str]]:
    """Return one row a switch: its name, then its value in each preset."""
    from nasbench_tab.search.presets import PRESETS, settings_of

    presets = list(PRESETS.values())
    defaults = Protocol()._asdict()
    fields = [
        name
        for name in defaults
        if name == "seconds" or any(p.protocol._asdict()[name] != defaults[name] for p in presets)
    ]
    rows = [
        ["paper and code", *(p.source for p in presets)],
        ["space", *(p.space or "any" for p in presets)],
        ["epochs of a training", *(str(p.epochs or "the table's") for p in presets)],
    ]
    for name in fields:
        row = [_switch(p.protocol._asdict()[name]) for p in presets]
        if name == "seconds":
            row = [
                ", ".join(f"{b:,.0f}" for b in dict.fromkeys(p.budgets.values())) or "-"
                for p in presets
            ]
        rows.append([name, *row])
    named = sorted({strategy for p in presets for strategy in p.settings})
    for strategy in named:
        shown = [settings_of(p, strategy) for p in presets]
        rows.append([strategy, *(text.partition("(")[2].rstrip(")") or "-" for text in shown)])
    rows.append(["reported", *("test" if p.test else "validation" for p in presets)])
    rows.append(["runs", *(str(p.runs) for p in presets)])
    return rows


def _switch(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "-"
    return "-" if value is None else str(value)


def _shown(found: Interval) -> str:
    if found.estimate != found.estimate:  # NaN: nothing was run
        return "-"
    text = f"{float(found.estimate):.4f}"
    if found.low == found.low:
        text += f" [{float(found.low):.4f}, {float(found.high):.4f}]"
    return text


def _protocol(
    context: typer.Context, budget: str | None, preset: str | None, switches: dict[str, Any]
) -> Protocol | None:
    """Return the protocol of the options; None where a preset says all."""
    if preset is not None:
        given = sorted(set(_given(context)) - set(_BESIDE_PRESET))
        if given:
            raise InvalidArgumentError(
                f"--preset {preset} sets budget and switches; leave out {', '.join(given)}."
            )
        return None
    if budget is None:
        raise InvalidArgumentError("Give --budget, for example --budget 100, or --preset.")
    from nasbench_tab.search.specs import parse_budget

    evaluations, seconds = parse_budget(budget)
    return Protocol(evaluations=evaluations, seconds=seconds, **switches)


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
