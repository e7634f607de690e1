"""How good a surrogate is: refitted on parts of its runs, and judged on networks that it did not see.

:func:`assess` returns plain data, ready for JSON: no NaN, no arrays. ``NETWORKS`` is what is split: all
trainings of one network are on one side. Units are those of the objective unless said.

Written the same everywhere:

* An estimate with its 95 % interval is ``{"value", "low", "high", "n"}``; no ends with ``n < 5``. Means
  have Student's interval, Kendall's tau (tau-b) that of a U-statistic, shares Clopper and Pearson's. ``n``
  counts networks, but in ``sizes`` draws of the split: draws share networks, so that those intervals
  say how far a figure depends on the draw.
* ``left_out`` beside them names what is missing: ``{name: reason}``.
* ``ceiling`` beside a tau is what the first training of the same networks says of their second:
  ``repeated_networks``, ``tau``, ``tau_top_10_percent``, ``mae``. Scores are against one training of each
  network, its first by seed unless said, so that the two compare.
* ``coverage_90`` is the share of single trainings inside the 90 % interval, each network counting once;
  ``width_90`` is the interval's mean width; 50, 80, 95 likewise.
* *fit scores* are ``networks``, ``tau``, ``tau_top_10_percent`` (among the true best tenth), ``mae``,
  ``rmse``, ``bias`` (predicted less true), ``r2`` and ``ceiling``.

Keys of the result:

``objective, unit, direction, epochs_known, runs, networks, draws, seed, settings, left_out``
    What was assessed, and which of the following are missing.
``sizes``
    ``{"78": ...}`` by number of labelled networks, each labelled by one training, drawn: ``labelled``,
    ``tested``, ``draws``, and as means over the draws ``tau``, ``tau_top_10_percent``,
    ``precision_at_1_percent``, ``precision_at_10_percent``, ``mae``, ``rmse``, ``bias``, ``r2``,
    ``r2_above_fence`` (without networks that are far out at the bad end; ``share_below_fence`` of them),
    ``regret_at_1``, ``_5``, ``_10``, the same ``_in_seed_sd`` (of the best network's level), and
    ``best_rank_of_10`` (best true rank among the ten predicted best). The largest is 80 % of all.
``intervals``
    Whole surrogates of 80 % of the networks with all their trainings, on the rest: ``labelled``,
    ``draws``, ``runs``, ``coverage_*``, ``width_*``, ``crps`` (``n`` draws).
``levels``
    Out of fold, intervals fitted without the fold they are judged on. ``all``: fit scores, ``runs``,
    ``coverage_*``, ``width_*``, ``crps``. ``bins``: a list by tenth of the predicted value, ascending:
    ``predicted_from``, ``predicted_to``, ``networks``, ``runs``, ``mae``, ``bias``, ``coverage_90``,
    ``width_90``. ``top_10_percent``: fit scores and the same of the predicted best tenth, with
    ``plain_coverage_90`` and ``plain_width_90`` of intervals of one width for all.
    ``plain_width_ratio_top``: mean width at the top, as a share of that plain one.
``origins``
    ``{origin: ...}``, fitted without any network of that origin: ``fitted_networks``, fit scores,
    ``runs``, ``coverage_90``, ``width_90``, ``flagged`` (share flagged as novel), and
    ``far_off_if_flagged``, ``far_off_if_not_flagged``: how many of them err by more than 3 standard
    deviations. ``all``: those three together.
``regions``
    The same keys for ``level`` (fitted on the worse 80 % of networks, tested on the better rest; that they are
    the better by their own noise too is part of the bias) and ``parameters`` (fitted on the smaller).
``seeds``
    Out of fold, labelled by the first training, against the mean of the others: ``labelled``, ``networks``
    with others, ``surrogate`` and ``table`` (the first training itself) with ``mae`` and ``tau``,
    ``mae_ratio`` (surrogate / table, bootstrap over networks), ``ceiling``.
``epochs``
    ``each``: a list by epoch (at most 32): ``epoch``, fit scores, ``coverage_90``, and ``repeated``: both
    ``surrogate`` and ``table`` (one training) against the mean of the other trainings: ``tau``, ``r2``,
    ``mae``. ``average`` over those. ``simulated``: ``spike_threshold`` (5 % of real trainings have a best
    epoch that much better than their last), ``real_spikes``, ``simulated_spikes`` (shares), ``deviations``
    between seeds by epoch (``real_sd``, ``simulated_sd``), ``runs``, ``simulated_runs``,
    ``repeated_networks``.
``partial``
    ``seen``: ``{"3": ...}`` by last epoch seen: ``method`` that is best and ``scores`` of all methods
    (``tau``, ``mae`` of the final value); ``runs``, ``networks``, ``ceiling``.
``cost``
    Seconds of a full training, out of fold: ``networks``, ``mean_error``, ``median_error`` in percent,
    ``spearman``, ``tau``, and ``ceiling`` (two trainings of one network: ``mean_error``, ``tau``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from joblib import Parallel, delayed

from nasbench_tab.errors import InvalidArgumentError, SurrogateError
from nasbench_tab.fitting.assess_cost import cost
from nasbench_tab.fitting.assess_curves import epochs, partial
from nasbench_tab.fitting.assess_figures import Known, leave_out
from nasbench_tab.fitting.assess_folds import crossed, fold_tasks, levels, seeds
from nasbench_tab.fitting.assess_parts import data_of, done
from nasbench_tab.fitting.assess_splits import intervals, origins, regions, sizes
from nasbench_tab.predictors.base import Runs
from nasbench_tab.predictors.model import Surrogate
from nasbench_tab.predictors.trees import Settings
from nasbench_tab.train import need_torch

__all__ = ["DRAWS", "assess"]

#: Random splits at each size.
DRAWS = 10


def assess(
    runs: Runs,
    surrogate: Surrogate,
    *,
    settings: Settings | None = None,
    draws: int = DRAWS,
    seed: int = 0,
    jobs: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Return the assessment of a surrogate's objective; what it holds is said above.

    Args:
        runs: Those that the surrogate was fitted on.
        surrogate: Assessed are refits in its manner; it says itself what seed noise is.
        settings: Of its trees; None = the defaults.
        draws: Random splits at each size.
        seed: Of all draws, folds and bootstraps: the same seed, the same assessment, whatever ``jobs`` is.
        jobs: Processes; -1 = one for each core.
        progress: Called with (tasks done, tasks in all).

    Raises:
        SurrogateError: The runs are not of the surrogate's objective and epochs, or of too few networks.
        InvalidArgumentError: No draws.
        TrainingError: The surrogate passes messages, and PyTorch is not installed.
    """
    if draws < 1:
        raise InvalidArgumentError(f"draws must be at least 1; got {draws!r}.")
    if surrogate.passes_messages:
        need_torch()
    settings = settings or Settings()
    data = data_of(runs, surrogate, settings)
    streams = np.random.default_rng(seed).spawn(7)
    fold, folded = fold_tasks(data, streams[0])
    parts = [
        sizes(data, draws, streams[1]),
        intervals(data, draws, streams[2]),
        origins(data, streams[3]),
        regions(data, streams[4]),
        seeds(data, streams[5]),
        cost(data, streams[6]),
    ]
    tasks = folded + [task for part in parts for task in part.tasks]
    found = Parallel(n_jobs=jobs, return_as="generator")(delayed(done)(task) for task in tasks)
    results = []
    for result in found:
        results.append(result)
        if progress is not None:
            progress(len(results), len(tasks))
    metric = data.runs.metrics[data.runs.objective]
    report: Known = {
        "objective": metric.name,
        "unit": metric.unit,
        "direction": metric.direction,
        "epochs_known": list(data.runs.epochs),
        "runs": len(data.final),
        "networks": len(data.first),
        "draws": draws,
        "seed": seed,
        "settings": {k: v for k, v in settings._asdict().items() if v is not None},
        "left_out": {},
    }

    def section(name: str, function: Callable[..., Known], *args: Any) -> None:
        try:
            report[name] = function(*args)
        except SurrogateError as err:
            leave_out(report, name, err)

    start = len(folded)
    for part in parts:
        section(part.name, part.finish, results[start : start + len(part.tasks)])
        start += len(part.tasks)
    section("partial", partial, data)
    try:
        predicted = crossed(data, fold, results[: len(folded)])
    except SurrogateError as err:
        for name in ("levels", "epochs"):
            leave_out(report, name, err)
        return report
    section("levels", levels, data, predicted)
    section("epochs", epochs, data, predicted)
    return report
