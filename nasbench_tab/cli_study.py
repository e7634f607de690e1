"""The commands that study one strategy: tune its settings, book what that cost, switch its parts."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from nasbench_tab.errors import InvalidArgumentError, unknown_name
from nasbench_tab.records import Protocol
from nasbench_tab.terminal import escaped, out, with_progress

if TYPE_CHECKING:
    from nasbench_tab.search.ledger import Amount

__all__ = ["ablate", "book", "tune"]

_Strategy = Annotated[
    str, typer.Argument(help="A name, with settings as name(key=value); your own as module:Name.")
]
_Benchmarks = Annotated[str, typer.Option(help="Names, separated by commas.")]
_Budget = Annotated[
    str, typer.Option(help="Per run: evaluations (100), seconds (200000s), or both (100,200000s).")
]
_Out = Annotated[Path, typer.Option("--out", help="A new directory for the results.")]
_Seed = Annotated[int, typer.Option(help="Master seed.")]
_Jobs = Annotated[int, typer.Option(help="Processes on this machine; -1 = all cores.")]
_Resume = Annotated[bool, typer.Option("--resume", help="Finish what was interrupted.")]
_Set = Annotated[
    list[str] | None,
    typer.Option("--set", help="A switch of the protocol, as in missing=masked; may be repeated."),
]
_WORD = re.compile(r"[A-Za-z][\w.-]*")


def tune(
    strategy: _Strategy,
    over: Annotated[
        str, typer.Option(help="Settings and their values: population=5,10,20;tournament=2,3.")
    ],
    benchmarks: _Benchmarks,
    budget: _Budget,
    directory: _Out,
    runs: Annotated[int, typer.Option(help="Seeded runs of each setting on each benchmark.")] = 50,
    method: Annotated[str, typer.Option(help="grid, or random (with --trials).")] = "grid",
    trials: Annotated[int | None, typer.Option(help="Settings to draw from the grid.")] = None,
    set_: _Set = None,
    seed: _Seed = 0,
    jobs: _Jobs = -1,
    resume: _Resume = False,
) -> None:
    """Try many settings of a strategy on benchmarks kept for that; book the cost."""
    from nasbench_tab.search.tune import tune as run_tuning

    space = _space([part for part in over.split(";") if part.strip()], "--over")
    found = with_progress(
        run_tuning,
        strategy,
        space,
        _names(benchmarks),
        runs=runs,
        out=directory,
        protocol=_protocol(budget, set_),
        method=method,
        trials=trials,
        seed=seed,
        jobs=jobs,
        resume=resume,
    )
    table = Table("settings", "mean normalised regret [95 %]", "behind the best [95 %]", box=None)
    for one in found.tried:
        settings = ", ".join(f"{name}={value!r}" for name, value in one.settings.items())
        mark = " (as given)" if one.default else ""
        behind = "best" if one is found.best else _figure(one.behind)
        table.add_row(escaped(settings + mark), _figure(one.score), behind)
    out.print(table)
    if found.alike is not None:
        out.print(
            f"{found.alike} of the {len(found.tried) - 1} others cannot be told apart from the best.",
            markup=False,
        )
    record = found.record
    simulated = "no" if record["seconds"] is None else f"{record['seconds']:,.0f}"
    out.print(
        f"Cost: {record['evaluations']:,} evaluations, {simulated} simulated seconds, "
        f"{record['cpu_seconds']:.1f} processor seconds here.",
        markup=False,
    )
    for note in found.notes:
        out.print(f"[bold yellow]Note:[/] {escaped(note)}")
    out.print(
        f"Best:    {found.best.label}\nResults: {directory}\n"
        f"Then:    nasbench-tab compare OTHERS ... --out RESULTS, and nasbench-tab book RESULTS {directory}",
        markup=False,
    )


def book(
    results: Annotated[Path, typer.Argument(help="Results of nasbench-tab compare.")],
    tuning: Annotated[Path, typer.Argument(help="Results of nasbench-tab tune.")],
    strategy: Annotated[
        str | None, typer.Option(help="Label that the cost is booked on, where it is not clear.")
    ] = None,
) -> None:
    """Book the cost of a tuning on a strategy of a comparison."""
    from nasbench_tab.search.booking import book_tuning

    record = book_tuning(results, tuning, strategy)
    out.print(
        f"{record['evaluations']:,} evaluations of tuning booked on {record['booked_on']}.",
        markup=False,
    )
    if record["booked_on"] != record["chosen"]:
        out.print(
            f"[bold yellow]Note:[/] the tuning chose {escaped(record['chosen'])}, not these settings."
        )
    if record["tuned_on_test"]:
        out.print(
            f"[bold red]Tuned on the test:[/] {escaped(', '.join(record['overlap']))} took part in "
            "tuning and in the comparison. The comparison favors this strategy there."
        )


def ablate(
    strategy: _Strategy,
    benchmarks: _Benchmarks,
    budget: _Budget,
    directory: _Out,
    switch: Annotated[
        list[str] | None,
        typer.Option(help="A setting's other values, as in population=10,50; may be repeated."),
    ] = None,
    protocol_switch: Annotated[
        list[str] | None,
        typer.Option(help="The same for the protocol, as in repeats=reuse; may be repeated."),
    ] = None,
    runs: Annotated[int, typer.Option(help="Seeded runs of each variant.")] = 200,
    set_: _Set = None,
    seed: _Seed = 0,
    jobs: _Jobs = -1,
    resume: _Resume = False,
) -> None:
    """Switch one option of a strategy at a time and report the differences."""
    from nasbench_tab.search.ablate import ablate as run_ablation
    from nasbench_tab.search.ledger import few_runs_note

    rows = with_progress(
        run_ablation,
        strategy,
        _space(switch or [], "--switch"),
        _names(benchmarks),
        runs=runs,
        out=directory,
        protocol=_protocol(budget, set_),
        protocol_switches=_space(protocol_switch or [], "--protocol-switch"),
        seed=seed,
        jobs=jobs,
        resume=resume,
    )
    table = Table("benchmark", "switch", "from", "to", "mean regret", "difference [95 %]", box=None)
    for row in rows:
        texts = (row.benchmark, row.switch, repr(row.before), repr(row.after))
        values = f"{row.base.mean:#.4g} -> {row.variant.mean:#.4g}"
        verdict = {True: "", False: "  not told apart", None: ""}[row.delta.excludes_zero]
        table.add_row(*map(escaped, texts), values, _figure(row.delta, sign="+") + verdict)
    out.print(table)
    notes = [
        *few_runs_note(runs),
        "A positive difference: the variant is worse than the base.",
        "Intervals are one by one: of 20 switches that do nothing, about one excludes zero.",
        *sorted({f"{row.switch}={row.after}: {row.delta.note}." for row in rows if row.delta.note}),
    ]
    for note in notes:
        out.print(f"[bold yellow]Note:[/] {escaped(note)}")
    out.print(f"Results: {directory}", markup=False)


def _protocol(budget: str, changes: Sequence[str] | None) -> Protocol:
    from nasbench_tab.search.specs import parse_budget

    evaluations, seconds = parse_budget(budget)
    fields = {}
    for name, values in _space(changes or [], "--set").items():
        if name not in Protocol._fields:
            raise unknown_name("switch of the protocol", name, Protocol._fields)
        if len(values) > 1:
            raise InvalidArgumentError(f"--set {name}: expected one value; got {values}.")
        fields[name] = values[0]
    return Protocol(**{"evaluations": evaluations, "seconds": seconds, **fields})


def _space(texts: Sequence[str], option: str) -> dict[str, list[Any]]:
    """Return {setting: values} of texts like ``population=5,10``."""
    space: dict[str, list[Any]] = {}
    for text in texts:
        name, sign, values = text.partition("=")
        if not sign or not name.strip():
            raise InvalidArgumentError(f"{option} {text!r}: expected setting=value,value.")
        space.setdefault(name.strip(), []).extend(_values(values, f"{option} {text!r}"))
    return space


def _values(text: str, where: str) -> list[Any]:
    from nasbench_tab.search.specs import split_strategies

    values = []
    for part in split_strategies(text):  # it leaves commas inside brackets alone
        try:
            values.append(ast.literal_eval(part))
        except (SyntaxError, ValueError) as err:
            if not _WORD.fullmatch(part):
                raise InvalidArgumentError(
                    f"{where}: {part!r} is no plain Python value and no word."
                ) from err
            values.append(part)
    if not values:
        raise InvalidArgumentError(f"{where}: there is no value.")
    return values


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _figure(amount: Amount, sign: str = "") -> str:
    if not amount.recorded:
        return "-"
    numbers = [f"{value:{sign}#.4g}" for value in (amount.mean, amount.low, amount.high)]
    return numbers[0] if amount.low != amount.low else "{} [{}, {}]".format(*numbers)
