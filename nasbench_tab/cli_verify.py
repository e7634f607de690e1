"""The commands that check a comparison's claims against real trainings."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from nasbench_tab.errors import InvalidArgumentError
from nasbench_tab.terminal import escaped, out, with_progress

if TYPE_CHECKING:
    from nasbench_tab.verify.plan import Plan

__all__ = ["bias", "verify"]

_Directory = Annotated[Path, typer.Argument(help="Results of nasbench-tab compare.")]
_DURATION = re.compile(r"(?:([0-9.]+)h)?(?:([0-9.]+)m)?(?:([0-9.]+)s)?")
_ARMS = {
    "winners": "winners of {}",
    "top": "the benchmark's own best",
    "random": "random cells",
    "known": "known cells, logged seeds",
    "trajectory": "along a run of {}",
}


def verify(
    directory: _Directory,
    top: Annotated[
        int | None,
        typer.Option(
            help="Networks in each arm, and of each strategy; default: 8, since a verdict needs 6."
        ),
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(help="Fresh trainings of each network; default: 3.")
    ] = None,
    trajectory: Annotated[
        int | None,
        typer.Option(
            help="Earlier incumbents of each strategy's first run, trained once for the picture of the "
            "search; in no test. Default: 3."
        ),
    ] = None,
    benchmark: Annotated[
        str | None, typer.Option(help="Which of the comparison's, where it has several.")
    ] = None,
    margin: Annotated[
        float | None,
        typer.Option(
            help="A bias below this does not matter; default: half the deviation between training seeds."
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Master seed of the plan; default: 0.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:1.")] = "auto",
    jobs: Annotated[
        int, typer.Option(help="Processes; -1 = one for each core. Several share a GPU.")
    ] = -1,
    budget: Annotated[
        str | None, typer.Option(help="Begin no training after 2h, 30m, 45s or 1h30m.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print plan, power and price; write nothing.")
    ] = False,
    images: Annotated[
        Path | None,
        typer.Option(
            "--images",
            "--folder",
            help="Where the dataset's files lie; default: the system's, or a download.",
        ),
    ] = None,
) -> None:
    """Retrain a comparison's winners for real, with controls; stop it when you like, it goes on."""
    from nasbench_tab.verify.run import settled_plan
    from nasbench_tab.verify.run import verify as run_plan

    limit = None if budget is None else _seconds(budget)
    plan = settled_plan(
        directory,
        benchmark=benchmark,
        top=top,
        seeds=seeds,
        margin=margin,
        seed=seed,
        trajectory=trajectory,
    )
    _print_plan(plan)
    if dry_run:
        return
    done = with_progress(
        run_plan, directory, plan, device=device, jobs=jobs, budget=limit, folder=images
    )
    out.print(
        f"{done.ok} trainings well, {done.diverged} diverged, {done.failed} failed, {done.missing} not "
        f"made yet.\nPlan and run log: {directory / 'verification'}",
        markup=False,
    )
    if done.missing or done.failed:
        out.print("The same command goes on and tries again what failed.", markup=False)
    if done.ok:
        out.print()
        _print_bias(directory)


def bias(
    directory: _Directory,
    learn: Annotated[
        Path | None,
        typer.Option(
            help="Also fit a surrogate into this folder, on what is behind the benchmark and on the new "
            "trainings, and say what became of the bias."
        ),
    ] = None,
    jobs: Annotated[int, typer.Option(help="Of --learn: processes; -1 = all cores.")] = -1,
) -> None:
    """Say how far the claims were off, by the fresh trainings that nasbench-tab verify has made so far."""
    _print_bias(directory)
    if learn is None:
        return
    from nasbench_tab.verify.learn import learn as fit_again
    from nasbench_tab.verify.record import learned_lines, write_learned

    learned = with_progress(fit_again, directory, learn, jobs=jobs)
    path = write_learned(directory, learned)
    lines = ["", *learned_lines(learned), f"Folder: {learn}", f"Record: {path}"]
    out.print("\n".join(lines), markup=False)


def _print_bias(directory: Path) -> None:
    """Judge the trainings that there are, write the record and print it."""
    from nasbench_tab.verify.bias import bias as judged
    from nasbench_tab.verify.record import bias_lines, write_bias

    found = judged(directory)
    path = write_bias(directory, found)
    out.print("\n".join([*bias_lines(found), f"Record: {path}"]), markup=False)


def _print_plan(plan: Plan) -> None:
    """Print what is trained, what it costs and what it can find."""
    from nasbench_tab.verify.plan import lanes

    table = Table("arm", "networks", "trainings", "hours", box=None, padding=(0, 2, 0, 0))
    for column in table.columns[1:]:
        column.justify = "right"
    for (arm, strategy), claims in lanes(plan).items():
        n = sum(len(claim.seeds) for claim in claims)
        seconds = math.fsum(len(claim.seeds) * claim.seconds for claim in claims)
        arm_words = escaped(_ARMS[arm].format(strategy))
        table.add_row(arm_words, str(len(claims)), str(n), _hours(seconds))
    table.add_row("in all, each once", "", str(plan.trainings), _hours(plan.seconds))
    unit = f" {plan.unit}" if plan.unit else ""
    out.print(
        f"Verify {plan.objective} of {plan.benchmark} with the task {plan.task}.", markup=False
    )
    out.print(table)
    lines = (
        [f"Hours of one process: {plan.price}."] if plan.seconds > 0 else [f"Price: {plan.price}."]
    )
    if plan.smallest > 0:
        lines.append(
            f"Winners' error is assumed to have a deviation of {plan.residual_sd:.3g}{unit}: a bias of "
            f"{plan.smallest:.3g}{unit} would be found in 80 % of verifications; below {plan.margin:.3g}"
            f"{unit} it does not matter."
        )
    else:
        lines.append(
            f"How small a bias can be found is not known; below {plan.margin:.3g}{unit} it does not matter."
        )
    out.print("\n".join(lines), markup=False)
    for note in plan.notes:
        out.print(f"[bold yellow]Note:[/] {escaped(note)}")


def _hours(seconds: float) -> str:
    return "-" if math.isnan(seconds) else f"{seconds / 3600:.3g}"


def _seconds(text: str) -> float:
    """Return the seconds of 2h, 30m, 45s or 1h30m."""
    match = _DURATION.fullmatch(text.strip())
    try:
        parts = [float(part or 0) for part in match.groups()] if match else [0.0]
    except ValueError:
        parts = [0.0]
    total = sum(part * unit for part, unit in zip(parts, (3600, 60, 1), strict=False))
    if not total > 0:
        raise InvalidArgumentError(
            f"--budget {text!r}: expected a time, as in 2h, 30m, 45s or 1h30m."
        )
    return total
