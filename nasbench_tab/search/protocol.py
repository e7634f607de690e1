"""Can this protocol be followed on this benchmark, and what may be searched under it?"""

from __future__ import annotations

import math
import operator
from functools import cache
from numbers import Real
from typing import get_args, get_type_hints

from nasbench_tab.benchmarks.base import Benchmark
from nasbench_tab.errors import InvalidArgumentError, unknown_name
from nasbench_tab.records import Protocol
from nasbench_tab.search.costs import cost_metric
from nasbench_tab.spaces.base import Space
from nasbench_tab.spaces.masked import MaskedSpace

__all__ = ["check_protocol", "is_integer", "searched_epochs", "searched_space", "switches"]

_MOST_FAIL = 0.99  # a search in which hardly any training ends would hardly ever end


def searched_space(bench: Benchmark, protocol: Protocol) -> Space:
    """Return the space that a strategy may search under ``protocol``.

    Raises:
        InvalidArgumentError: Part of the space was never measured and the protocol refuses that.
    """
    if bench.predicts or bench.stateful:  # every architecture is answered for
        return bench.space
    seed = None if isinstance(protocol.seeds, str) else protocol.seeds
    cells = bench.measured(seed)
    if len(cells) == bench.space.size:
        return bench.space
    if protocol.missing == "masked":
        return MaskedSpace(bench.space, list(map(tuple, cells.tolist())))
    of_seed = "" if seed is None else f" with training seed {seed}"
    raise InvalidArgumentError(
        f"{bench.name} holds {len(cells)} of the {bench.space.size or 'unlimited'} architectures of "
        f"{bench.space.name}{of_seed}. Choose missing='masked' to search among the measured ones."
    )


def searched_epochs(bench: Benchmark, protocol: Protocol) -> tuple[int, ...]:
    """Return the epochs that a strategy may ask for; the last counts as the full training."""
    last = bench.epochs[-1] if protocol.epoch is None else protocol.epoch
    return tuple(epoch for epoch in bench.objective_epochs if epoch <= last)


@cache
def switches() -> dict[str, tuple[str, ...]]:
    """Return the values of every switch of a protocol that has a fixed choice of them."""
    named = {
        name: tuple(
            value
            for part in (hint, *get_args(hint))
            for value in get_args(part)
            if isinstance(value, str)
        )
        for name, hint in get_type_hints(Protocol).items()
    }
    # Sorted, since typing takes Literals that differ in their order for the same.
    return {name: tuple(sorted(set(values))) for name, values in named.items() if values}


def check_protocol(protocol: Protocol, bench: Benchmark) -> None:
    """Raise InvalidArgumentError if ``protocol`` makes no sense or cannot be followed on ``bench``."""
    if not isinstance(protocol, Protocol):
        raise InvalidArgumentError(f"Expected Protocol(evaluations=...); got {protocol!r}.")
    evaluations, seconds = protocol.evaluations, protocol.seconds
    if evaluations is None and seconds is None:
        raise InvalidArgumentError("A search needs a budget: evaluations, seconds, or both.")
    if evaluations is not None and not (is_integer(evaluations) and evaluations > 0):
        raise InvalidArgumentError(
            f"The budget in evaluations must be a positive integer; got {evaluations!r}."
        )
    if seconds is not None and not (_is_number(seconds) and 0 < seconds < math.inf):
        raise InvalidArgumentError(f"The budget in seconds must be positive; got {seconds!r}.")
    if seconds is not None and not bench.has_seconds:
        raise InvalidArgumentError(
            f"{bench.name} has no training times, so a budget in seconds means nothing there. "
            "Give the budget in evaluations."
        )
    if not (is_integer(protocol.workers) and protocol.workers > 0):
        raise InvalidArgumentError(f"workers must be a positive integer; got {protocol.workers!r}.")
    if not (is_integer(protocol.patience) and protocol.patience > 0):
        raise InvalidArgumentError(
            f"patience must be a positive integer; got {protocol.patience!r}."
        )
    failures = 0 if protocol.failures is None else protocol.failures
    if not (_is_number(failures) and 0 <= failures <= _MOST_FAIL):
        raise InvalidArgumentError(
            f"failures must be a probability of at most {_MOST_FAIL}; got {protocol.failures!r}."
        )
    for name, known in switches().items():
        value = getattr(protocol, name)
        if value not in known and not (name == "seeds" and is_integer(value)):
            raise unknown_name(f"value of the protocol's {name!r}", value, known)
    _check_fidelity(protocol, bench)
    if protocol.overhead == "measured" and not bench.has_seconds:
        raise InvalidArgumentError(
            f"{bench.name} has no training times, so there is no clock that a strategy's own time could be "
            "added to. Choose overhead='none'."
        )
    if protocol.validation != "none" and not bench.has_seconds:
        raise InvalidArgumentError(
            f"{bench.name} has no training times, so validation passes cannot be charged there. Choose "
            "validation='none'."
        )
    if bench.objective.split != "valid":
        others = ", ".join(name for name in bench.trainings if name != bench.training)
        raise InvalidArgumentError(
            f"{bench.name} has no validation metric in its training {bench.training!r}, whose "
            f"{bench.objective.name!r} is of the {bench.objective.split} split; no search may see that. Search "
            f"on another training ({others or 'there is none'}) and name this one as final_training."
        )
    if protocol.validation != "none" and "eval_seconds" not in bench.metrics:
        raise InvalidArgumentError(
            f"{bench.name} has no validation times (metric eval_seconds), so validation passes cannot be "
            "charged there. Choose validation='none'."
        )
    if protocol.overshoot == "interpolate" and seconds is None:
        raise InvalidArgumentError(
            "overshoot='interpolate' is about a budget in seconds; this protocol has none."
        )
    if protocol.resume == "continue" and not bench.resumable:
        raise InvalidArgumentError(
            f"{bench.name} holds separate trainings, not learning curves: a training there cannot be "
            "continued. Choose resume='restart'."
        )
    if not isinstance(protocol.report, tuple) or not all(
        isinstance(name, str) for name in protocol.report
    ):
        raise InvalidArgumentError(
            f"report must be a tuple of names of benchmarks, for example ('nb201-cifar100',); got "
            f"{protocol.report!r}."
        )
    _check_limits(protocol.limits, bench)
    if protocol.second is not None:
        cost_metric(bench, protocol.second)


def _check_fidelity(protocol: Protocol, bench: Benchmark) -> None:
    trainings = bench.trainings
    for name in ("training", "final_training"):
        label = getattr(protocol, name)
        if label is not None and label not in trainings:
            raise unknown_name(f"training of {bench.name}", label, trainings)
    if protocol.training not in (None, bench.training):
        raise InvalidArgumentError(
            f"The protocol searches on training {protocol.training!r}; this {bench.name} was loaded with "
            f"{bench.training!r}. Load it with training={protocol.training!r}."
        )
    known = bench.objective_epochs
    if protocol.epoch is not None and not (is_integer(protocol.epoch) and protocol.epoch in known):
        raise InvalidArgumentError(
            f"{bench.name} has values after epoch {', '.join(map(str, known))}; the protocol's "
            f"epoch is {protocol.epoch!r}."
        )


def _check_limits(limits: object, bench: Benchmark) -> None:
    pairs = isinstance(limits, (tuple, list)) and all(
        isinstance(pair, (tuple, list)) and len(pair) == 2 for pair in limits
    )
    if not pairs:
        raise InvalidArgumentError(f"limits must be pairs (metric, at most); got {limits!r}.")
    for metric, limit in limits:  # type: ignore[attr-defined]
        if metric not in bench.metrics:
            raise unknown_name(f"metric of {bench.name}", metric, bench.metrics)
        if bench.metrics[metric].split != "none":
            free = [name for name, known in bench.metrics.items() if known.split == "none"]
            raise InvalidArgumentError(
                f"A limit on {metric!r} would show the strategy more than it may see; "
                f"limits are for {', '.join(free)}."
            )
        if not _is_number(limit) or math.isnan(limit):
            raise InvalidArgumentError(f"The limit on {metric!r} must be a number; got {limit!r}.")


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def is_integer(value: object) -> bool:
    """Return whether ``value`` is a whole number, NumPy's too, and no bool."""
    try:
        operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        return False
    return not isinstance(value, bool)
