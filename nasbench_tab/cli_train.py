"""The commands that train for real and that make tables of logs."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nasbench_tab.errors import (
    InvalidArgumentError,
    TrainingError,
)
from nasbench_tab.terminal import out, with_progress

if TYPE_CHECKING:
    from nasbench_tab.records import Architecture
    from nasbench_tab.spaces.base import Space
    from nasbench_tab.train.log import LoggedRun
    from nasbench_tab.train.loop import Trainer

__all__ = ["collect", "tabulate", "train"]

_Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:1.")]
_Folder = Annotated[
    Path | None,
    typer.Option(help="Where the dataset's files lie; default: the system's, or a download."),
]


def train(
    task: Annotated[str, typer.Argument(help="For example nb201-fashion.")],
    arch: Annotated[str, typer.Argument(help="Published string or official index.")],
    seed: Annotated[int, typer.Option(help="Training seed.")] = 0,
    device: _Device = "auto",
    folder: _Folder = None,
    log: Annotated[Path | None, typer.Option(help="Append the run to this .jsonl file.")] = None,
    checkpoint: Annotated[
        Path | None, typer.Option(help="Write here after each epoch, and continue from it.")
    ] = None,
) -> None:
    """Train one cell for real; print the curve, and the table's entry beside it."""
    from nasbench_tab import registry
    from nasbench_tab.train import need_torch
    from nasbench_tab.train.tasks import task_named

    need_torch()
    from nasbench_tab.train.log import RunLog
    from nasbench_tab.train.once import check_seed, key_of, train_once
    from nasbench_tab.train.tensors import load_data, pick_device

    chosen = task_named(task)
    space = registry.load_space(chosen.space)
    cell = _cell(space, arch)
    check_seed(seed)
    data = load_data(chosen, pick_device(device), folder)
    written = None if log is None else RunLog(log)
    if written is not None:  # a log that cannot be read is refused before anything is trained
        written.holds(key_of(chosen, space, data, cell, seed))

    def show(trainer: Trainer) -> None:
        if trainer.diverged:
            return
        now = {name: values[-1] for name, values in trainer.curve.items() if values}
        if now:
            out.print(
                f"epoch {trainer.epoch:>3}  train {now['train_accuracy']:6.2f} %  "
                f"valid {now['valid_accuracy']:6.2f} %  test {now['test_accuracy']:6.2f} %  "
                f"{now['train_seconds']:.1f} s"
            )

    run = train_once(
        chosen, space, data, cell, seed, origin="train", checkpoint=checkpoint, on_epoch=show
    )
    if run.error:
        raise TrainingError(run.error)
    if written is not None and not written.append(run):
        out.print(f"{log} holds this run already.", markup=False)
    out.print(f"{run.architecture}  seed {seed}  {run.status} on {run.device}", markup=False)
    _beside_table(task, run)


def _beside_table(task: str, run: LoggedRun) -> None:
    """Print what the table of the same name says of the same training."""
    from nasbench_tab import registry

    if run.status != "ok" or task not in registry.benchmark_names():
        return
    from nasbench_tab.train.recheck import recheck

    found = recheck(registry.load(task), run)
    if found is None:
        out.print(f"The table {task} does not hold this training.")
        return
    verdict = "the same curve, to the last bit" if found.same else f"{found.off:+.2f} points here"
    out.print(f"The table {task} says {found.value:.2f} %: {verdict}.")


def collect(
    task: Annotated[str, typer.Argument(help="For example nb201-fashion.")],
    log: Annotated[
        Path,
        typer.Option(help="A .jsonl file to append to, or a folder with runs.jsonl and shards."),
    ],
    cells: Annotated[
        int | None,
        typer.Option(
            help="This many cells of the fixed random order, or evaluations of --strategy; default: all."
        ),
    ] = None,
    listed: Annotated[
        Path | None,
        typer.Option("--list", help="A file of cells instead: published strings or indices."),
    ] = None,
    strategy: Annotated[
        str | None,
        typer.Option(
            help="Train what this strategy proposes instead, with the first of the seeds, one after "
            'another: evolution, "reinforce(learning_rate=0.2)".'
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the strategy.")] = 0,
    origin: Annotated[
        str | None,
        typer.Option(help="Why, kept with each run; default: collection, or the strategy's name."),
    ] = None,
    seeds: Annotated[str, typer.Option(help="Training seeds.")] = "0,1,2",
    every: Annotated[
        int, typer.Option(help="All seeds for every n-th cell, the first seed for the others.")
    ] = 8,
    jobs: Annotated[int, typer.Option(help="Processes of one thread each; -1 = all cores.")] = -1,
    device: _Device = "auto",
    folder: _Folder = None,
) -> None:
    """Train many cells into a log; stop it when you like, the same command goes on."""
    from nasbench_tab import registry
    from nasbench_tab.train import need_torch
    from nasbench_tab.train.tasks import task_named

    need_torch()
    from nasbench_tab.train.collect import collect as collect_runs
    from nasbench_tab.train.plan import planned

    chosen = task_named(task)
    space = registry.load_space(chosen.space)
    if cells is not None and cells < 1:
        raise InvalidArgumentError(f"--cells must be 1 or more; got {cells}.")
    if every < 1:
        raise InvalidArgumentError(f"--every must be 1 or more; got {every}.")
    if strategy is not None:
        if cells is None or listed is not None:
            raise InvalidArgumentError(
                "--strategy needs --cells, and proposes cells without --list."
            )
        options = {"log": log, "seeds": _seeds(seeds)[:1], "device": device, "folder": folder}
        _propose(task, strategy, cells, seed, origin, options)
        return
    wanted = _in_order(space, cells) if listed is None else _listed(space, listed)
    pairs = planned(wanted[:cells], _seeds(seeds), every)
    found = with_progress(
        *(collect_runs, chosen, space, pairs, log),
        origin=origin or "collection",
        jobs=jobs,
        device=device,
        folder=folder,
    )
    out.print(
        f"{found.ok} trained, {found.diverged} diverged, {found.failed} failed; "
        f"{found.present} were there already. Log: {log}",
        markup=False,
    )


def _propose(
    task: str, strategy: str, cells: int, seed: int, origin: str | None, options: dict[str, Any]
) -> None:
    """Let a strategy search on the live benchmark, which logs what it trains.

    A strategy with the same seed asks for the same again, and what the log holds is not trained again: so
    a search that was killed goes on.
    """
    from nasbench_tab import registry
    from nasbench_tab.records import Protocol
    from nasbench_tab.search.run import run_search
    from nasbench_tab.search.specs import strategy_spec

    name = strategy_spec(strategy).label.partition("(")[0]
    bench = registry.load(task, source="live", origin=origin or name, **options)
    run = run_search(strategy, bench, Protocol(evaluations=cells, repeats="reuse"), seed=seed)
    best = f", the best {bench.objective.name} {run.values.max():.2f}" if len(run.values) else ""
    out.print(f"{len(run.values)} evaluations{best}. Log: {options['log']}", markup=False)


def _in_order(space: Space, cells: int | None) -> list[Architecture]:
    """Return cells of the fixed random order: all of them, or ``cells`` of a space too large to list."""
    from nasbench_tab.train.plan import LISTED, collection_order, draws

    if math.prod(space.choices) <= LISTED:
        return collection_order(space)
    if cells is None:
        raise InvalidArgumentError(f"{space.name} is too large to train all of it; give --cells.")
    return draws(space, cells)


def tabulate(
    logs: Annotated[list[Path], typer.Argument(help="Logs (.jsonl, .gz, .xz, .csv) or folders.")],
    folder: Annotated[
        Path, typer.Option("--out", help="The table's folder; its name is the table's.")
    ],
    objective: Annotated[
        str, typer.Option(help="Validation metric to search by.")
    ] = "valid_accuracy",
) -> None:
    """Make a table of logs, for anyone's trainings; failures stay failures."""
    from nasbench_tab import registry
    from nasbench_tab.train.tabulate import tabulate as make_table

    made = make_table(logs, folder, registry.load_space, objective=objective)
    counts = ", ".join(f"{n} with seed {seed}" for seed, n in made.trainings.items())
    out.print(
        f"{made.table}: {made.architectures} architectures; trainings: {counts}; "
        f"{made.diverged} diverged, {made.failed} failed, {made.torn} bytes of unfinished lines "
        f"left out.\n{made.hash}\nFolder: {folder}",
        markup=False,
    )


def _cell(space: Space, text: str) -> Architecture:
    return space.unindex(int(text)) if re.fullmatch("[+-]?[0-9]+", text) else space.parse(text)


def _listed(space: Space, path: Path) -> list[Architecture]:
    try:
        lines = path.read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as err:
        raise InvalidArgumentError(f"--list {path} cannot be read: {err}.") from err
    if not lines:
        raise InvalidArgumentError(f"--list {path} is empty; expected one architecture a line.")
    return [_cell(space, line) for line in lines]


def _seeds(text: str) -> tuple[int, ...]:
    try:
        seeds = tuple(int(part) for part in text.split(","))
    except ValueError as err:
        raise InvalidArgumentError(f"--seeds {text!r}: expected numbers, as in 0,1,2.") from err
    if min(seeds) < 0:
        raise InvalidArgumentError(f"--seeds {text!r}: training seeds are 0 or more.")
    return seeds
