"""The ledger of a comparison: what each strategy cost, with separate clocks kept separate.

Search, validation, final training, tuning and the strategy's own processor time are different costs,
and a total says which of them it holds. Lindauer and Hutter, "Best Practices for Scientific Research
on Neural Architecture Search", JMLR 21, 2020, ask for the time from end to end in two variants:
architecture identification, ``k * (T_search + T_valid)``, and the AutoML variant, which adds
``T_final``. See docs/ledger.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nasbench_tab.errors import InvalidArgumentError
from nasbench_tab.records import Protocol
from nasbench_tab.search.booking import TUNING, is_booked_on, read_tuning
from nasbench_tab.search.clocks import Clock, continued_from, run_clocks
from nasbench_tab.search.frame import distinct_cells
from nasbench_tab.search.protocol import is_integer
from nasbench_tab.search.results import Results
from nasbench_tab.stats.bootstrap import (
    FEW_RUNS,
    MIN_RUNS,
    mean_interval,
    resampling_weights,
    widened_level,
)

__all__ = [
    "Account",
    "Amount",
    "amount",
    "few_runs_note",
    "ledger",
    "ledger_rows",
]


class Amount(NamedTuple):
    """A mean over runs with its 95 % bootstrap interval, or a sum that has none.

    Attributes:
        mean: NaN where it was not recorded; then ``note`` says why.
        low: Lower end; NaN for fewer than 5 runs, or where it is no mean over runs.
        high: Upper end, likewise.
        n: Runs behind it; 0: it is no mean over runs.
        note: Why it is not recorded, or what qualifies it.
        at_least: Whether a part of it was not recorded, so that it is a lower bound.
    """

    mean: float
    low: float = float("nan")
    high: float = float("nan")
    n: int = 0
    note: str = ""
    at_least: bool = False

    @property
    def recorded(self) -> bool:
        """Return whether there is a figure."""
        return self.mean == self.mean

    @property
    def excludes_zero(self) -> bool | None:
        """Return whether zero lies outside the interval; None where there is no interval."""
        return None if self.low != self.low else self.low > 0 or self.high < 0


class Account(NamedTuple):
    """What one strategy cost on one benchmark: means over its runs.

    Attributes:
        benchmark: Its name.
        strategy: Its label.
        runs: Runs of the comparison.
        searches: ``k``, the searches behind one answer.
        evaluations: Of a run.
        distinct: Different cells in a run.
        trainings: Trainings begun in a run; one that is paused and continued counts once.
        elapsed: Simulated seconds on the protocol's clock when a run ended, workers side by side.
        search: Simulated training seconds of all evaluations of a run, summed over workers.
        validation: Simulated seconds of a run's validation passes, summed over workers.
        final: Simulated seconds of the full training of a run's last incumbent.
        tuning: Simulated seconds of the tuning that was booked on the strategy, a sum.
        overhead: Real processor seconds of a run: the strategy, and all bookkeeping around it.
        identification: ``k * (search + validation)``.
        automl: ``k * (search + validation) + final``.
        died: Evaluations of a run whose worker died; this and the next are None where none can.
        lost: Simulated seconds that they took; they are part of search.
    """

    benchmark: str
    strategy: str
    runs: int
    searches: int
    evaluations: Amount
    distinct: Amount
    trainings: Amount
    elapsed: Amount
    search: Amount
    validation: Amount
    final: Amount
    tuning: Amount
    overhead: Amount
    identification: Amount
    automl: Amount
    died: Amount | None = None
    lost: Amount | None = None


def ledger(results: Results, *, searches: int = 1) -> list[Account]:
    """Return the account of every strategy on every benchmark, in the comparison's order.

    Args:
        results: A comparison.
        searches: ``k``: how many searches are run to get one answer. A report of the mean over
            independent runs describes one search, so ``k`` is 1; who hands over the best of five
            searches pays for five.

    Raises:
        InvalidArgumentError: ``searches`` is no positive integer.
        ResultsError: A shard or the booked tuning is damaged.
    """
    if not (is_integer(searches) and searches > 0):
        raise InvalidArgumentError(
            f"searches must be a positive integer, the number of searches behind one answer; "
            f"got {searches!r}."
        )
    booked = read_tuning(results.directory)
    return [
        _account(results, name, label, int(searches), booked)
        for name in results.benchmarks
        for label in results.strategies
    ]


def ledger_rows(accounts: Sequence[Account]) -> list[dict[str, Any]]:
    """Return the accounts as plain rows, one for each figure, for a table or a frame.

    Keys: benchmark, strategy, clock (the field of :class:`Account`), unit, time (``"simulated"``,
    ``"real"`` or empty for counts), mean, low, high, n, at_least, note.
    """
    units = dict.fromkeys(Account._fields[6:], ("s", "simulated"))
    units |= dict.fromkeys(("evaluations", "distinct", "trainings", "died"), ("", ""))
    units["overhead"] = ("s", "real")
    return [
        {
            "benchmark": account.benchmark,
            "strategy": account.strategy,
            "clock": name,
            "unit": units[name][0],
            "time": units[name][1],
            **getattr(account, name)._asdict(),
        }
        for account in accounts
        for name in Account._fields[4:]
        if getattr(account, name) is not None
    ]


def amount(data: NDArray[Any], note: str = "", *, at_least: bool = False) -> Amount:
    """Return the mean of ``(R,)`` figures, one per run, with its interval; NaN are left out."""
    known = np.asarray(data, np.float64)
    known = known[np.isfinite(known)]
    n = len(known)
    if not n:
        return Amount(float("nan"), note=note or "no run has one")
    if n < len(data):
        note = "; ".join(filter(None, [note, f"{len(data) - n} of {len(data)} runs have none"]))
    low = high = float("nan")
    if n >= MIN_RUNS:
        found = mean_interval(known, _weights(n), widened_level(n))
        low, high = float(found.low), float(found.high)
    return Amount(float(known.mean()), low, high, n, note, at_least)


def few_runs_note(runs: int) -> list[str]:
    """Return the warning that so few runs deserve, if they do."""
    if runs < MIN_RUNS:
        return [f"{runs} runs: too few for an interval ({MIN_RUNS} are needed)."]
    if runs < FEW_RUNS:
        return [f"{runs} runs: intervals from fewer than {FEW_RUNS} runs are rough."]
    return []


@lru_cache(maxsize=8)
def _weights(n: int) -> NDArray[np.float64]:
    return resampling_weights(n, 2000, np.random.default_rng(20240))


def _account(
    results: Results, benchmark: str, label: str, k: int, booked: list[dict[str, Any]]
) -> Account:
    trials = results.trials(benchmark, label)
    clocks = run_clocks(results, benchmark, trials)
    run = np.repeat(np.arange(len(trials.lengths)), trials.lengths)
    begun = continued_from(results, trials) == 0
    search, validation = clocks.search.seconds, clocks.validation.seconds
    lacking = bool(np.isnan(validation).all())
    once = search if lacking else search + validation
    note = f"without validation: {clocks.validation.note}" if lacking else ""
    if np.isnan(search).all():
        note, lacking = clocks.search.note, False
    final = clocks.final
    total = Clock(k * once + final.seconds, final.note if np.isnan(final.seconds).all() else note)
    return Account(
        benchmark=benchmark,
        strategy=label,
        runs=len(trials.runs),
        searches=k,
        evaluations=amount(trials.lengths),
        distinct=amount(distinct_cells(trials)),
        trainings=amount(
            np.bincount(run, begun, minlength=len(trials.lengths)), _answers(results.protocol)
        ),
        elapsed=amount(*clocks.elapsed),
        search=amount(*clocks.search),
        validation=amount(*clocks.validation),
        final=amount(*final),
        tuning=_tuning(booked, label),
        overhead=amount(
            trials.cpu_seconds, "the whole run's, look-ups and bookkeeping included: an upper bound"
        ),
        identification=amount(k * once, note, at_least=lacking),
        automl=amount(*total, at_least=lacking),
        died=None if trials.died is None else amount(trials.died),
        lost=None if trials.lost is None else amount(trials.lost, clocks.elapsed.note),
    )


def _answers(protocol: Protocol) -> str:
    mean = "each answer is the mean over the cell's training seeds and is charged as one training"
    return mean if protocol.seeds == "mean" else ""


def _tuning(booked: list[dict[str, Any]], label: str) -> Amount:
    own = [record for record in booked if is_booked_on(record, label)]
    if not own:
        return Amount(float("nan"), note=f"no tuning was booked ({TUNING})")
    counts = [record["evaluations"] for record in own]
    notes = [f"{sum(counts)} evaluations"]
    overlap = sorted({name for record in own for name in record.get("overlap", [])})
    if overlap or any(record.get("tuned_on_test") for record in own):
        notes.append(f"tuned on a benchmark of this comparison ({', '.join(overlap)})")
    others = sorted({r["chosen"] for r in own if r.get("chosen") not in (None, label)})
    if others:
        notes.append(f"tuning chose {', '.join(others)}")
    if any(record["seconds"] is None for record in own):
        return Amount(float("nan"), note="; ".join([*notes, "some of it without simulated times"]))
    return Amount(float(sum(record["seconds"] for record in own)), note="; ".join(notes))
