"""The commands that make and judge surrogates: fit, assess."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nasbench_tab.errors import InvalidArgumentError
from nasbench_tab.terminal import out, with_progress

if TYPE_CHECKING:
    from nasbench_tab.fitting.observed import Observed

__all__ = ["assess", "fit"]

_CSV = "Your own CSV"


def fit(
    sources: Annotated[
        list[str],
        typer.Argument(
            help="A table by name or folder, logs (docs/run-log.md), or a CSV of yours."
        ),
    ],
    folder: Annotated[
        Path, typer.Option("--out", help="The surrogate's folder; its name is the surrogate's.")
    ],
    objective: Annotated[
        str | None, typer.Option(help="Of logs or a table: the validation metric; default: theirs.")
    ] = None,
    training: Annotated[
        str | None, typer.Option(help="Of a table: which of its trainings.")
    ] = None,
    seed: Annotated[
        int, typer.Option(help="Of the fit (bootstraps, folds), not of the trainings.")
    ] = 0,
    licence: Annotated[str | None, typer.Option(help="Of the runs and the surrogate.")] = None,
    without_runs: Annotated[
        bool,
        typer.Option("--without-runs", help="Do not write the runs down; assess needs them."),
    ] = False,
    message_passing: Annotated[
        bool,
        typer.Option(
            "--message-passing",
            help="Add networks that pass messages along the cell: more accurate from some 800 networks on, "
            "minutes to fit, an hour to assess (PyTorch).",
        ),
    ] = False,
    jobs: Annotated[int, typer.Option(help="Processes; -1 = all cores.")] = -1,
    value: Annotated[
        str, typer.Option(help="Column of the validation value.", rich_help_panel=_CSV)
    ] = "",
    architecture: Annotated[
        str,
        typer.Option(help="Column of architectures of --space.", rich_help_panel=_CSV),
    ] = "",
    space: Annotated[
        str, typer.Option(help="Search space of --architecture.", rich_help_panel=_CSV)
    ] = "",
    columns: Annotated[
        str,
        typer.Option(
            help="Instead: the columns that are the space, as in depth,width.", rich_help_panel=_CSV
        ),
    ] = "",
    test: Annotated[str, typer.Option(help="Column of the test value.", rich_help_panel=_CSV)] = "",
    seed_column: Annotated[
        str, typer.Option(help="Column of the trainings' seeds.", rich_help_panel=_CSV)
    ] = "",
    repeats: Annotated[
        bool,
        typer.Option(
            "--repeats",
            help="Rows of one architecture are trainings whose seeds the file does not name.",
            rich_help_panel=_CSV,
        ),
    ] = False,
    epoch: Annotated[
        str, typer.Option(help="Column of the epoch, from 1.", rich_help_panel=_CSV)
    ] = "",
    seconds: Annotated[
        str, typer.Option(help="Column of training seconds so far.", rich_help_panel=_CSV)
    ] = "",
    origin: Annotated[
        str, typer.Option(help="Column of why a run was made.", rich_help_panel=_CSV)
    ] = "",
    metric: Annotated[
        str, typer.Option(help="What --value holds: valid_loss ...", rich_help_panel=_CSV)
    ] = "valid_accuracy",
    unit: Annotated[str, typer.Option(help="Its unit: %, fraction ...", rich_help_panel=_CSV)] = "",
    dataset: Annotated[str, typer.Option(help="What was trained on.", rich_help_panel=_CSV)] = "",
) -> None:
    """Make a surrogate of logged runs: answers for every architecture, with their doubt."""
    from nasbench_tab.fitting.csvcolumns import ColumnNames
    from nasbench_tab.fitting.make import make_surrogate, need_extra
    from nasbench_tab.fitting.observed import observe

    need_extra()
    names = ColumnNames(
        value=value,
        architecture=architecture,
        columns=tuple(part.strip() for part in columns.split(",") if part.strip()),
        test=test,
        seed=seed_column,
        epoch=epoch,
        seconds=seconds,
        origin=origin,
        metric=metric,
        unit=unit,
        dataset=dataset,
        repeats=repeats,
    )
    if value:
        if objective is not None or training is not None:
            raise InvalidArgumentError(
                "--objective and --training are about logs and tables; with --value say --metric."
            )
        observed = _own_csv(sources, names, space)
        observed = observed if licence is None else observed._replace(licence=licence)
    elif names != ColumnNames(value="") or space:
        raise InvalidArgumentError(
            "Columns of your own CSV were named, but not that of the validation value: give --value. A log "
            "in the format of docs/run-log.md needs none of these."
        )
    else:
        observed = observe(*sources, objective=objective, training=training, licence=licence)
    made = with_progress(
        *(make_surrogate, observed, folder),
        seed=seed,
        message_passing=message_passing,
        keep_runs=not without_runs,
        jobs=jobs,
    )
    scores = made.scores[observed.runs.objective]
    out.print(
        f"{made.name}: {len(observed.runs.cells):,} trainings of {scores['networks']:,} networks\n"
        f"{made.fingerprint}\nFolder: {folder}",
        markup=False,
    )
    out.print(f"Held-out networks, {observed.runs.objective}:  {_in_words(scores)}", markup=False)


def _own_csv(sources: list[str], names: Any, space: str) -> Observed:
    from nasbench_tab import registry
    from nasbench_tab.fitting.csvcolumns import read_columns

    if len(sources) != 1:
        raise InvalidArgumentError(
            f"With --value one CSV file is read; got {', '.join(sources) or 'none'}."
        )
    if bool(space) != bool(names.architecture):
        raise InvalidArgumentError("--architecture and --space belong together; give both.")
    return read_columns(Path(sources[0]), names, registry.load_space(space) if space else None)


def _in_words(scores: dict[str, Any]) -> str:
    words = {
        "tau": "Kendall's tau",
        "tau_between_seeds": "between two training seeds",
        "mae": "mean absolute error",
        "r2": "R2",
        "coverage_90": "coverage of the 90 % interval",
    }
    return ", ".join(f"{words[key]} {scores[key]:.3f}" for key in words if key in scores)


def assess(
    folder: Annotated[
        Path, typer.Argument(help="The surrogate's folder, or the name of one of yours or ours.")
    ],
    draws: Annotated[
        int, typer.Option(help="Random splits at each number of labelled networks.")
    ] = 10,
    seed: Annotated[int, typer.Option(help="Of all draws.")] = 0,
    jobs: Annotated[int, typer.Option(help="Processes; -1 = all cores.")] = -1,
) -> None:
    """Say how far a surrogate can be trusted; its model card is card.html in its folder."""
    from nasbench_tab import registry
    from nasbench_tab.report.assessed import FIGURES, assess_folder
    from nasbench_tab.report.card import PAGE

    where = folder if folder.exists() else registry.surrogate_folder(str(folder))
    found = with_progress(assess_folder, where, draws=draws, seed=seed, jobs=jobs)
    for size in found.get("sizes", {}).values():
        if isinstance(size, dict) and "tau" in size:
            out.print(f"{size['labelled']:>6,} labelled networks: {_spoken(size)}", markup=False)
    out.print(f"Model card: {where / PAGE}\nFigures:    {where / FIGURES}", markup=False)


def _spoken(size: dict[str, Any]) -> str:
    tau = size["tau"]
    between = f" [{tau['low']:.3f}, {tau['high']:.3f}]" if "low" in tau else ""
    return f"Kendall's tau {tau['value']:.3f}{between} over {tau['n']} draws"
