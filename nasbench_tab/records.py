"""The plain data that passes between the parts. Nothing here computes anything.

An architecture is a tuple of small ints (each 0 to 255): the cell. Its meaning belongs to a
:class:`~nasbench_tab.spaces.base.Space`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from nasbench_tab.spaces.base import Space

__all__ = [
    "MEAN_SEED",
    "Answer",
    "Architecture",
    "CostedProposal",
    "Direction",
    "Graph",
    "Metric",
    "Observation",
    "Problem",
    "Proposal",
    "Protocol",
    "Run",
    "Split",
    "Status",
]

Architecture = tuple[int, ...]
Split = Literal["train", "valid", "test", "valid+test", "none"]
Direction = Literal["max", "min"]
Status = Literal["ok", "infeasible", "repeat", "failed"]

#: Stands in a run's ``seeds`` where the answer was a mean over training seeds, not one training.
MEAN_SEED = -(2**63)


class Metric(NamedTuple):
    """What a number is: its name, where it was measured and which way is better.

    ``direction`` truth table for :meth:`score` (greater is better):

    ========== ======= ======
    direction  value   score
    ========== ======= ======
    max        91.5    91.5
    min        0.25    -0.25
    ========== ======= ======
    """

    name: str
    split: Split
    direction: Direction
    unit: str
    lower: float = float("-inf")
    upper: float = float("inf")

    def score(self, value: float) -> float:
        """Return ``value`` oriented so that greater is better."""
        return value if self.direction == "max" else -value


class Answer(NamedTuple):
    """What a benchmark knows of one architecture.

    Attributes:
        value: The metric's value, in the metric's unit; a surrogate's is a prediction.
        seconds: Simulated training time up to the asked epoch; NaN where no time was recorded.
        source: Where the value comes from: ``"table"``, ``"surrogate"`` or ``"live"``.
        sd: Standard deviation over training seeds: of the trainings behind ``value`` (n - 1 in the
            denominator; NaN for a single one), or as a surrogate has learnt it (NaN if it could not).
        n_seeds: How many trainings are behind ``value``; 0 for a prediction.
        sd_model: How unsure a surrogate is of the mean over training seeds; NaN for what was measured.
        lower: Where the value of one training lies with the surrogate's nominal coverage of 90 %:
            from ``lower`` to ``upper``; NaN for what was measured.
        upper: See ``lower``.
        novel: Whether the architecture is unlike all that the surrogate was fitted on: its answer
            is a guess, and the interval is widened.
    """

    value: float
    seconds: float
    source: str
    sd: float
    n_seeds: int
    sd_model: float = math.nan
    lower: float = math.nan
    upper: float = math.nan
    novel: bool = False


class Proposal(NamedTuple):
    """An architecture that a strategy wants evaluated, and after how many epochs.

    ``epoch=None`` means the full training.
    """

    architecture: Architecture
    epoch: int | None = None


class CostedProposal(NamedTuple):
    """A proposal, and what the strategy's own work on it takes: scores of many cells, for example.

    Attributes:
        architecture: As in :class:`Proposal`.
        epoch: Likewise.
        extra_seconds: Simulated seconds that the strategy worked before it could propose this; they
            are on the clock, for all workers, whatever becomes of the proposal.
    """

    architecture: Architecture
    epoch: int | None
    extra_seconds: float


class Observation(NamedTuple):
    """What a strategy is told of one proposal: validation only.

    Attributes:
        architecture: As proposed.
        epoch: The 1-based epoch that was evaluated.
        score: Validation value, oriented so that greater is better (see :meth:`Metric.score`);
            minus infinity unless ``status`` is ``"ok"`` or ``"repeat"``.
        seconds: Simulated seconds that its training is charged for.
        status: ``"ok"``; ``"infeasible"``: a limit of the protocol is broken or the cell was asked
            for before where that is forbidden, nothing was charged; ``"repeat"``: the first answer once
            more, nothing was charged; ``"failed"``: the worker died before the training ended, which
            says nothing of the cell (see :attr:`Protocol.failures`).
    """

    architecture: Architecture
    epoch: int
    score: float
    seconds: float
    status: Status = "ok"


class Problem(NamedTuple):
    """All that a strategy is told before the search begins.

    Attributes:
        space: Where to search.
        metric: The validation metric behind every score.
        epochs: The 1-based epochs at which a value exists; the last is the full training.
        second: The metric of the protocol's second objective, or None.
        cost: What a cell of the space costs by that metric, less is better; free to ask, before it is
            trained too. None where there is one objective.
    """

    space: Space
    metric: Metric
    epochs: tuple[int, ...]
    second: Metric | None = None
    cost: Callable[[Architecture], float] | None = None


class Graph(NamedTuple):
    """A labelled directed acyclic graph: operations on nodes, plain edges.

    Attributes:
        labels: One label per node, in topological order; the first is ``"input"`` and the last
            ``"output"``; ``"sum"`` and ``"concat"`` nodes join several inputs.
        edges: Pairs ``(source, target)`` of node numbers, ``source < target``.
    """

    labels: tuple[str, ...]
    edges: tuple[tuple[int, int], ...]


class Protocol(NamedTuple):
    """How a search is simulated and scored: everything that changes a number, and nothing else.

    Two published results for "the same" method often differ in these switches more than in the
    method, so each is explicit and is stored with every result. Published sets of them are in
    :mod:`nasbench_tab.search.presets`.

    Attributes:
        evaluations: Budget in evaluations, or None.
        seconds: Budget in simulated seconds, or None. At least one of the two is needed.
        workers: Number of simulated workers; each takes a new proposal as soon as it is free.
        training: Which training of the table is searched on (a table may hold a short and a long
            one); None = its default.
        epoch: The epoch that counts as the full training while searching; None = the last.
        seeds: ``"random"``: one training seed is drawn for each query; ``"mean"``: the mean over
            the existing seeds; an integer: that training seed.
        validation: Validation passes that an evaluation is charged for besides its training:
            ``"none"``, ``"once"`` (at its end) or ``"every"`` (after each epoch).
        overhead: ``"none"``, or ``"measured"``: the strategy's own processor time is added to the
            clock, as some published code does; such runs are not the same twice.
        overshoot: What happens to evaluations that end after the budget in seconds:
            ``"keep"`` (they count), ``"drop"`` (they are discarded) or ``"interpolate"`` (they count,
            and the final value is that at the budget, on the line through the two points of the
            run that are nearest in time).
        repeats: Asking for the same cell at the same epoch again: ``"pay"`` (a new training with a
            freshly drawn seed), ``"reuse"`` (the first answer again, free, not an evaluation) or
            ``"forbid"`` (told to be infeasible, free).
        resume: Cost of a higher epoch of a training already seen: ``"restart"`` (all of it) or
            ``"continue"`` (only what is new; needs real learning curves).
        incumbent: ``"highest-seen"`` (best observed value at any epoch), ``"highest-epoch"`` (best
            among the evaluations at the highest epoch so far) or ``"full-training"`` (best among
            full trainings).
        final: What an incumbent is worth in the end: ``"mean"`` (over its training seeds) or
            ``"seen"`` (the training that the search saw).
        final_epoch: ``"last"``, or ``"best"``: the best epoch of the curve, chosen by the reported
            metric itself, as some papers do; it flatters.
        final_training: Which training of the table final values are taken from; None = the table's
            default.
        report: Names of further benchmarks of the same space, on which the incumbents' final values
            are reported too.
        missing: ``"refuse"`` (the space must be measured completely) or ``"masked"`` (search only
            among the measured cells).
        limits: Pairs ``(metric, at most)``, for example ``(("parameters", 1.0),)``, in the
            benchmark's units. A cell that breaks one is told to be infeasible, free of charge.
        patience: A run ends after this many proposals in a row that cost nothing.
        second: A metric that is known without training, for example ``"parameters"``, as a second
            objective: strategies may ask what a cell costs, and fronts are reported; None = one objective.
        failures: Probability that a worker dies during a full training, 0 to 0.99; None = 0. It dies at
            an equal rate in each epoch, so that a shorter training, or what is left of a continued one,
            fails more rarely. The time until then is on the clock, and the strategy is told
            ``"failed"``; there is no value, and the budget in evaluations is not touched. Another worker
            stands in at once. A training that was continued is where it was before, any other has to
            begin again.
    """

    evaluations: int | None = None
    seconds: float | None = None
    workers: int = 1
    training: str | None = None
    epoch: int | None = None
    seeds: Literal["random", "mean"] | int = "random"
    validation: Literal["none", "once", "every"] = "none"
    overhead: Literal["none", "measured"] = "none"
    overshoot: Literal["keep", "drop", "interpolate"] = "keep"
    repeats: Literal["pay", "reuse", "forbid"] = "pay"
    resume: Literal["restart", "continue"] = "restart"
    incumbent: Literal["highest-seen", "highest-epoch", "full-training"] = "highest-seen"
    final: Literal["mean", "seen"] = "mean"
    final_epoch: Literal["last", "best"] = "last"
    final_training: str | None = None
    report: tuple[str, ...] = ()
    missing: Literal["refuse", "masked"] = "refuse"
    limits: tuple[tuple[str, float], ...] = ()
    patience: int = 1000
    second: str | None = None
    failures: float | None = None


class Run(NamedTuple):
    """One search: its evaluations in the order in which they ended.

    Attributes:
        architectures: ``(n, length of a cell)`` uint8.
        epochs: ``(n,)`` int32, 1-based.
        seeds: ``(n,)`` int64 training seeds; :data:`MEAN_SEED` where a mean was used.
        values: ``(n,)`` float64 observed validation values, in the metric's own direction.
        seconds: ``(n,)`` float64 simulated time at which each evaluation ended (NaN throughout
            where the benchmark has no times).
        free: Number of proposals that cost nothing (repeats reused, infeasible cells).
        stop: ``"budget"``, ``"exhausted"`` (the strategy had nothing more to propose) or
            ``"stalled"`` (see :attr:`Protocol.patience`).
        cpu_seconds: CPU time of the whole run; the one field that differs between repetitions.
        died: Evaluations whose worker died (see :attr:`Protocol.failures`); not among the others.
        lost: Simulated seconds that these took, summed over workers (NaN without times).
        last_died: Simulated time of the last such death; NaN where there was none.
    """

    architectures: NDArray[np.uint8]
    epochs: NDArray[np.int32]
    seeds: NDArray[np.int64]
    values: NDArray[np.float64]
    seconds: NDArray[np.float64]
    free: int
    stop: str
    cpu_seconds: float
    died: int = 0
    lost: float = 0.0
    last_died: float = math.nan
