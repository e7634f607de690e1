"""Learning-curve extrapolation: the rest of a training of which the first epochs were seen.

For each number ``k`` of epochs seen, these are tried on held-out networks:

========= ==========================================================================================
surrogate what was predicted without looking
last      last value, plus the mean rise from there
best      best value so far, plus the mean rise from there
losses    regression on the sum of training losses (Ru et al., "Speedy performance estimation for neural
          architecture search", NeurIPS 2021)
loss      regression on the last training loss
head      regression of what the surrogate missed, see below
rise      regression of what follows from the last value, on the same features
========= ==========================================================================================

The features of the last two: the surrogate's final value and its value at epoch ``k``, the last, the
best and the mean recent value seen, the last and the summed training loss. All regressions are ridge,
with squares and products. ``head`` or ``rise``, whichever errs less, is kept only where its Kendall tau
is higher than those of ``last``, ``losses`` and ``loss`` and its mean absolute error below all others' by
more than two standard errors of the difference. Otherwise the plain method that errs least is.

Parametric laws (pow4, mmf4; Domhan et al., IJCAI 2015) were measured and left out: behind ``last`` in
tau and error at every ``k`` where they can be fitted, on 5-epoch and on 100-epoch curves.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nasbench_tab.errors import InvalidArgumentError, SurrogateError

__all__ = [
    "METHODS", "MIN_NETWORKS", "Extrapolated", "Partial", "Score", "fit_partial", "held_out",
    "partial_from",
]  # fmt: skip

_Floats = NDArray[np.float64]

METHODS = ("surrogate", "last", "best", "losses", "loss", "head", "rise")
_LEARNED = ("head", "rise")
_NEEDS_LOSSES = ("losses", "loss")

#: With fewer networks there is nothing to choose a method by.
MIN_NETWORKS = 20

_MAX_LENGTHS = 31
_FOLDS = 5
_LEVELS = 5  # of the predicted final value, each with its own deviation
_RIDGES = np.logspace(-2, 3, 11)


class Score(NamedTuple):
    """How a method did on held-out networks; of the final value.

    Attributes:
        tau: Kendall's tau-b between predicted and true.
        mae: Mean absolute error, in the metric's unit.
    """

    tau: float
    mae: float


class Extrapolated(NamedTuple):
    """Curves of which the first ``k`` epochs were seen.

    Attributes:
        values: ``(n, E)``: what was seen, then what is expected.
        sd: ``(n, E)`` deviation of one training around that; 0 where it was seen.
    """

    values: _Floats
    sd: _Floats


class _Line(NamedTuple):
    """Adds to ``R`` epochs a line in ``F`` terms: features between ``low`` and ``high``, squares, products."""

    low: _Floats  # (f,)
    high: _Floats
    centre: _Floats  # (F,)
    scale: _Floats
    weights: _Floats  # (F, R)
    rest: _Floats  # (R,)


class _Length(NamedTuple):
    """What is done when ``k`` epochs were seen."""

    method: str
    scores: dict[str, Score]
    line: _Line
    levels: _Floats  # (B,) predicted final values, ascending
    sds: _Floats  # (B, R) deviation there


class Partial(NamedTuple):
    """Extrapolates.

    Attributes:
        n_epochs: ``E``.
        best: ``"max"`` or ``"min"``: which values are good.
        with_losses: Whether training losses must be given.
        lengths: By ``k``, the number of epochs seen. For numbers between, the epochs after the next lower
            ``k`` count as not seen.
    """

    n_epochs: int
    best: str
    with_losses: bool
    lengths: dict[int, _Length]

    @property
    def chosen(self) -> dict[int, tuple[str, dict[str, Score]]]:
        """For each ``k`` the method that is used, and how each method did."""
        return {k: (length.method, length.scores) for k, length in self.lengths.items()}

    def extrapolate(
        self, values: _Floats, means: _Floats, losses: _Floats | None = None
    ) -> Extrapolated:
        """Return whole curves.

        Args:
            values: ``(n, k)`` of the first epochs.
            means: ``(n, E)`` the surrogate's curves.
            losses: ``(n, k)`` training losses; needed if ``with_losses``, else not looked at.

        Raises:
            InvalidArgumentError: Shapes that do not fit together, or a value that is not finite.
        """
        values, means = np.asarray(values, np.float64), np.asarray(means, np.float64)
        losses = None if losses is None else np.asarray(losses, np.float64)
        _check(values, means, losses, self.n_epochs)
        if self.with_losses and losses is None:
            raise InvalidArgumentError(
                "This extrapolation was fitted with training losses, and none were given. Give those of the "
                "epochs seen, or fit one without."
            )
        losses = losses if self.with_losses else None
        seen = values.shape[1]
        whole, sd = np.array(means), np.zeros_like(means)
        if seen < self.n_epochs:
            k = max(k for k in self.lengths if k <= seen)
            length = self.lengths[k]
            base, features = _inputs(
                length.method, values[:, :k], means, _upto(losses, k), self.best
            )
            rest = _follow(length.line, base, features)
            whole[:, k:] = rest
            sd[:, k:] = np.stack(
                [np.interp(rest[:, -1], length.levels, column) for column in length.sds.T], axis=1
            )
        whole[:, :seen], sd[:, :seen] = values, 0.0
        return Extrapolated(whole, sd)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return what :func:`partial_from` needs, as plain arrays."""
        found: dict[str, NDArray[Any]] = {
            "shape": np.array([self.n_epochs, self.best == "max", self.with_losses], np.int64),
            "lengths": np.array(list(self.lengths), np.int64),
        }
        for k, length in self.lengths.items():
            found[f"{k}/method"] = np.array([METHODS.index(length.method)], np.int64)
            found[f"{k}/scores"] = np.array(
                [length.scores.get(name, Score(np.nan, np.nan)) for name in METHODS]
            )
            found |= {f"{k}/{name}": part for name, part in length.line._asdict().items()}
            found |= {f"{k}/levels": length.levels, f"{k}/sds": length.sds}
        return found


def fit_partial(
    values: _Floats,
    means: _Floats,
    groups: NDArray[np.intp],
    rng: np.random.Generator,
    *,
    losses: _Floats | None = None,
    best: str = "max",
) -> Partial | None:
    """Fit an extrapolation, or return None: one epoch only, or fewer than :data:`MIN_NETWORKS` networks.

    Args:
        values: ``(n, E)`` curves; runs with a missing value are left out.
        means: ``(n, E)`` the surrogate's curves of those runs, **out of fold**: predicted without any run
            of the same network. Others would teach the head to trust the surrogate too much.
        groups: ``(n,)`` same number = same network.
        rng: Of the folds.
        losses: ``(n, E)`` training losses, where they were logged.
        best: ``"max"`` or ``"min"``: which values are good.

    Raises:
        InvalidArgumentError: Arrays that do not fit together.
    """
    values, means, groups = np.asarray(values, float), np.asarray(means, float), np.asarray(groups)
    losses = None if losses is None else np.asarray(losses, float)
    if best not in ("max", "min"):
        raise InvalidArgumentError(f'best must be "max" or "min"; got {best!r}.')
    shapes = {np.shape(part) for part in (values, means, losses) if part is not None}
    if len(shapes) != 1 or values.ndim != 2 or groups.shape != (len(values),):
        raise InvalidArgumentError(
            f"Values, means and losses must be (runs, epochs), all alike, with a group for each run; got "
            f"{sorted(shapes)}, groups {groups.shape}."
        )
    complete = np.isfinite(values).all(axis=1) & np.isfinite(means).all(axis=1)
    if losses is not None:
        complete &= np.isfinite(losses).all(axis=1)
    values, means, groups = values[complete], means[complete], groups[complete]
    losses = None if losses is None else losses[complete]
    n_epochs = values.shape[1]
    if n_epochs < 2 or len(np.unique(groups)) < MIN_NETWORKS:
        return None
    wanted = np.unique(np.geomspace(1, n_epochs - 1, _MAX_LENGTHS).round().astype(int))
    if n_epochs - 1 <= _MAX_LENGTHS:
        wanted = np.arange(1, n_epochs)
    lengths = {}
    for k in wanted.tolist():
        guesses = held_out(values, means, groups, k, rng, losses=losses, best=best)
        signals = {}
        if losses is not None:
            sign = -1.0 if best == "max" else 1.0
            signals = {"loss": sign * losses[:, k - 1], "losses": sign * losses[:, :k].sum(axis=1)}
        method, scores = _choose(guesses, values, groups, signals)
        base, features = _inputs(method, values[:, :k], means, _upto(losses, k), best)
        line = _fit_line(base, features, values[:, k:])
        levels, sds = _deviations(guesses[method], values[:, k:])
        lengths[k] = _Length(method, scores, line, levels, sds)
    return Partial(n_epochs, best, losses is not None, lengths)


def held_out(
    values: _Floats,
    means: _Floats,
    groups: NDArray[np.intp],
    k: int,
    rng: np.random.Generator,
    *,
    losses: _Floats | None = None,
    best: str = "max",
    folds: int = _FOLDS,
) -> dict[str, _Floats]:
    """Return what each method says of ``(n, E - k)`` epochs after the first ``k``, fitted on other networks.

    Arguments as in :func:`fit_partial`, all finite.
    """
    networks, number = np.unique(groups, return_inverse=True)
    fold = (rng.permutation(len(networks)) % folds)[number]
    n_epochs = values.shape[1]
    guesses = {}
    for method in METHODS:
        if method in _NEEDS_LOSSES and losses is None:
            continue
        base, features = _inputs(method, values[:, :k], means, _upto(losses, k), best)
        guess = np.empty((len(values), n_epochs - k))
        for out in range(folds):
            fit, rest = fold != out, fold == out
            line = _fit_line(base[fit], features[fit], values[fit, k:])
            guess[rest] = _follow(line, base[rest], features[rest])
        guesses[method] = guess
    return guesses


def partial_from(arrays: Mapping[str, NDArray[Any]]) -> Partial:
    """Return the extrapolation that :meth:`Partial.arrays` wrote down.

    Raises:
        SurrogateError: Something is missing, or does not fit together.
    """
    try:
        n_epochs, maximise, with_losses = np.asarray(arrays["shape"], np.int64).tolist()
        lengths = {}
        for k in np.asarray(arrays["lengths"], np.int64).tolist():
            (place,) = np.asarray(arrays[f"{k}/method"], np.int64).tolist()
            table = np.asarray(arrays[f"{k}/scores"], np.float64)
            scores = {
                name: Score(*row)
                for name, row in zip(METHODS, table.tolist(), strict=True)
                if np.isfinite(row[1])
            }
            line = _Line(*(np.array(arrays[f"{k}/{name}"], float) for name in _Line._fields))
            levels, sds = (np.array(arrays[f"{k}/{name}"], float) for name in ("levels", "sds"))
            length = _Length(METHODS[range(len(METHODS))[place]], scores, line, levels, sds)
            _check_length(length, k, n_epochs, bool(with_losses))
            lengths[k] = length
        if list(lengths) != sorted(lengths) or min(lengths) != 1 or max(lengths) >= n_epochs:
            raise ValueError(f"it was fitted for {sorted(lengths)[:8]} of {n_epochs} epochs")
    except (KeyError, TypeError, ValueError, IndexError) as err:
        raise SurrogateError(
            f"An extrapolation of learning curves is inconsistent: {err!r}. Fit the surrogate again."
        ) from err
    return Partial(n_epochs, "max" if maximise else "min", bool(with_losses), lengths)


def _check_length(length: _Length, k: int, n_epochs: int, with_losses: bool) -> None:
    line, rest = length.line, n_epochs - k
    if length.method in _NEEDS_LOSSES and not with_losses:
        raise ValueError(f"{length.method} needs losses")
    if line.rest.shape != (rest,) or not 0 < k < n_epochs:
        raise ValueError(f"{line.rest.shape} values for the epochs after {k} of {n_epochs}")
    none = np.zeros((1, k))
    _, features = _inputs(
        length.method, none, np.zeros((1, n_epochs)), none if with_losses else None, "max"
    )
    f, wide = features.shape[1], _expand(features).shape[1]
    good = (
        [part.shape for part in line] == [(f,), (f,), (wide,), (wide,), (wide, rest), (rest,)]
        and all(np.isfinite(part).all() for part in (*line, length.levels, length.sds))
        and (line.low <= line.high).all()
        and (line.scale > 0).all()
        and length.levels.ndim == 1
        and len(length.levels) > 0
        and (np.diff(length.levels) >= 0).all()
        and length.sds.shape == (len(length.levels), rest)
        and (length.sds >= 0).all()
    )
    if not good:
        raise ValueError(f"the parts of {length.method!r} after {k} epochs do not fit together")


def _inputs(
    method: str, seen: _Floats, means: _Floats, losses: _Floats | None, best: str
) -> tuple[_Floats, _Floats]:
    """Return ``(n, E - k)`` to start from and ``(n, f)`` features of what is added."""
    n, k = seen.shape
    last, ahead = seen[:, -1:], means[:, k:]
    top = seen.max(axis=1, keepdims=True) if best == "max" else seen.min(axis=1, keepdims=True)
    if method in _LEARNED:
        recent = seen[:, -max(1, k // 4) :].mean(axis=1, keepdims=True)
        columns = [means[:, -1:], means[:, k - 1 : k], last, top, recent]
        if losses is not None:
            columns += [losses[:, -1:], losses.sum(axis=1, keepdims=True)]
        return ahead if method == "head" else np.repeat(last, ahead.shape[1], 1), np.hstack(columns)
    if method in _NEEDS_LOSSES and losses is not None:
        feature = losses[:, -1:] if method == "loss" else losses.sum(axis=1, keepdims=True)
        return np.zeros_like(ahead), feature
    start = {"surrogate": ahead, "last": last, "best": top}[method]
    return np.array(np.broadcast_to(start, ahead.shape)), np.empty((n, 0))


def _terms(features: _Floats, low: _Floats, high: _Floats) -> _Floats:
    # Squares run away outside of what they were fitted on.
    span = np.where(high > low, high - low, 1.0)
    return _expand(2 * (np.clip(features, low, high) - low) / span - 1)


def _expand(features: _Floats) -> _Floats:
    i, j = np.triu_indices(features.shape[1])
    return np.hstack([features, features[:, i] * features[:, j]])


def _fit_line(base: _Floats, features: _Floats, wanted: _Floats) -> _Line:
    """Fit what is to be added to ``base``."""
    off = wanted - base
    rest = off.mean(axis=0)
    if not features.shape[1]:
        none = np.zeros(0)
        return _Line(none, none, none, none, np.zeros((0, len(rest))), rest)
    low, high = features.min(axis=0), features.max(axis=0)
    terms = _terms(features, low, high)
    centre, scale = terms.mean(axis=0), terms.std(axis=0)
    scale[scale < 1e-12] = 1.0
    left, sizes, right = np.linalg.svd((terms - centre) / scale, full_matrices=False)
    moved = left.T @ (off - rest)

    def missed(penalty: float) -> float:  # squared, each run left out once
        kept = sizes**2 / (sizes**2 + penalty)
        leverage = (left**2 * kept).sum(axis=1) + 1 / len(left)
        miss = (off - rest - left @ (moved * kept[:, None])) / np.maximum(1 - leverage, 1e-3)[
            :, None
        ]
        return float((miss**2).sum())

    penalty = min(_RIDGES.tolist(), key=missed)
    weights = right.T @ (moved * (sizes / (sizes**2 + penalty))[:, None])
    return _Line(low, high, centre, scale, weights, rest)


def _follow(line: _Line, base: _Floats, features: _Floats) -> _Floats:
    terms = (_terms(features, line.low, line.high) - line.centre) / line.scale
    return np.asarray(base + terms @ line.weights + line.rest)


def _choose(
    guesses: dict[str, _Floats],
    values: _Floats,
    groups: NDArray[np.intp],
    signals: dict[str, _Floats],
) -> tuple[str, dict[str, Score]]:
    """Return the method to keep, and all scores of the final value.

    ``signals`` order the runs too: a regression on a signal is credited with the better of the two taus.
    """
    from scipy.stats import kendalltau  # here, since SciPy is slow to import

    final = values[:, -1]
    misses = {name: np.abs(guess[:, -1] - final) for name, guess in guesses.items()}

    def tau(guess: _Floats) -> float:
        flat = np.ptp(guess) == 0 or np.ptp(final) == 0
        return 0.0 if flat else float(kendalltau(guess, final).statistic)

    scores = {
        name: Score(
            max(tau(guess[:, -1]), tau(signals.get(name, guess[:, -1]))), float(misses[name].mean())
        )
        for name, guess in guesses.items()
    }
    _, number = np.unique(groups, return_inverse=True)

    learned = min(_LEARNED, key=lambda name: scores[name].mae)
    plain = [name for name in scores if name not in _LEARNED]

    def beaten(name: str) -> bool:
        gain = misses[name] - misses[learned]
        # Runs of one network count together.
        error = np.sqrt((np.bincount(number, gain - gain.mean()) ** 2).sum()) / len(gain)
        by_tau = name in ("surrogate", "best") or scores[learned].tau > scores[name].tau
        return bool(by_tau and gain.mean() > 2 * error)

    if all(map(beaten, plain)):
        return learned, scores
    return min(plain, key=lambda name: scores[name].mae), scores


def _deviations(guess: _Floats, wanted: _Floats) -> tuple[_Floats, _Floats]:
    """Return levels of the predicted final value, and the root mean square error of each epoch there."""
    parts = np.array_split(np.argsort(guess[:, -1], kind="stable"), _LEVELS)
    levels = np.array([guess[part, -1].mean() for part in parts])
    return levels, np.stack([np.sqrt(((guess - wanted)[part] ** 2).mean(axis=0)) for part in parts])


def _upto(losses: _Floats | None, k: int) -> _Floats | None:
    return None if losses is None else losses[:, :k]


def _check(values: _Floats, means: _Floats, losses: _Floats | None, n_epochs: int) -> None:
    if (
        values.ndim != 2
        or not 1 <= values.shape[1] <= n_epochs
        or means.shape != (len(values), n_epochs)
        or (losses is not None and losses.shape != values.shape)
    ):
        raise InvalidArgumentError(
            f"Expected values of the first 1 to {n_epochs} epochs, (n, k), means (n, {n_epochs}) and losses "
            f"(n, k) or None; got {values.shape}, {means.shape} and {None if losses is None else losses.shape}."
        )
    for name, part in (("value", values), ("mean", means), ("loss", losses)):
        if part is not None and not np.isfinite(part).all():
            raise InvalidArgumentError(
                f"Every {name} must be finite; got {part[~np.isfinite(part)][0]}."
            )
