"""A benchmark that answers for every architecture of its space: with predictions, and their doubt.

    bench = nbt.load("nb201-fashion@surrogate")       # or load(name, source="surrogate")
    answer = bench.lookup((3, 3, 1, 3, 1, 3))         # value, both deviations, interval, flag

``seed=None`` asks for the mean over training seeds; a number asks for one simulated training: the same
cell and seed give the same learning curve, other seeds other ones, with the noise of real repeats.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

from nasbench_tab.benchmarks.base import (
    ArchitectureLike,
    Architectures,
    Benchmark,
    cell_of,
    integer,
)
from nasbench_tab.benchmarks.table import TableBenchmark
from nasbench_tab.benchmarks.tablefile import Column, Table, Training
from nasbench_tab.errors import (
    InvalidArchitectureError,
    MissingValueError,
    SurrogateError,
    unknown_name,
)
from nasbench_tab.predictors.cost import work_of
from nasbench_tab.predictors.inputs import Inputs
from nasbench_tab.predictors.model import (
    Predicted,
    Surrogate,
    mean_curves,
    predict,
    simulated,
)
from nasbench_tab.predictors.noise import keys_of
from nasbench_tab.predictors.partial import Extrapolated
from nasbench_tab.predictors.parts import Listed, listed_from, space_of, surrogate_from
from nasbench_tab.predictors.store import read_surrogate
from nasbench_tab.records import Answer, Architecture, Metric
from nasbench_tab.spaces.base import Space

__all__ = ["SEEDS", "SurrogateBenchmark"]

#: Training seeds that a search draws from; a query may name any other.
SEEDS = tuple(range(20))
_SECONDS = "train_seconds"
_REMEMBERED = 4096  # architectures whose inputs are kept


class _Asked(NamedTuple):
    inputs: Inputs
    novel: NDArray[np.bool_]
    curves: dict[str, NDArray[np.float64]]  # by metric; filled for single cells when asked


class SurrogateBenchmark(Benchmark):
    """A fitted surrogate behind the contract of :class:`Benchmark`.

    Args:
        name: Under which it is loaded.
        surrogate: The fitted parts.
        fingerprint: Content hash.
        about: The manifest.
        listed: All answers, where the space can be listed.
        sample: ``(n, cell length)`` what stands for the space where it cannot.
    """

    predicts = True

    def __init__(
        self,
        name: str,
        surrogate: Surrogate,
        fingerprint: str,
        about: dict[str, Any],
        *,
        listed: Listed | None,
        sample: NDArray[np.uint8],
    ) -> None:
        self.name, self.fingerprint, self.about = name, fingerprint, about
        self.space, self.epochs = surrogate.space, surrogate.epochs
        self.dataset = str(about.get("dataset", ""))
        self.training = f"{self.epochs[-1]}-epochs"
        self.trainings = (self.training,)
        self.metrics: dict[str, Metric] = {n: m.metric for n, m in surrogate.models.items()}
        self.objective = self.metrics[surrogate.objective]
        self.has_seconds = surrogate.cost is not None
        if self.has_seconds:
            self.metrics[_SECONDS] = Metric(_SECONDS, "none", "min", "s", 0.0)
        kind = about.get("protocol", {}).get("epochs_kind", "curve")
        self.resumable = len(self.epochs) > 1 and kind == "curve"
        self._surrogate, self._listed, self._sample = surrogate, listed, sample
        # Where the space can be listed, all answers are there already: a table answers fastest.
        self._table = None if listed is None else self._as_table(listed)
        self._seen: dict[Architecture, _Asked] = {}

    @classmethod
    def read(
        cls, folder: Path, name: str, load_space: Callable[[str], Space]
    ) -> SurrogateBenchmark:
        """Return the surrogate in ``folder``.

        Raises:
            SurrogateError: A file is missing, altered or newer; see :mod:`nasbench_tab.predictors.store`.
        """
        stored = read_surrogate(folder)
        space = space_of(stored, load_space)
        listed = listed_from(stored, space)
        sample = stored.arrays.get("sample") if listed is None else listed.cells
        if sample is None or sample.dtype != np.uint8 or sample.shape[1:] != (len(space.choices),):
            raise SurrogateError(f"{folder} lacks the sample of its space. Fit it again.")
        parts = surrogate_from(stored, space)
        about = stored.manifest
        return cls(name, parts, about["hash"], about, listed=listed, sample=sample)

    @overload
    def query(
        self,
        archs: ArchitectureLike,
        metric: str | None = None,
        *,
        epoch: int | None = None,
        seed: int | None = None,
        mask: Literal[False] = False,
    ) -> float: ...
    @overload
    def query(
        self,
        archs: Architectures,
        metric: str | None = None,
        *,
        epoch: int | None = None,
        seed: int | None = None,
        mask: Literal[False] = False,
    ) -> NDArray[np.float64]: ...
    @overload
    def query(
        self,
        archs: Architectures,
        metric: str | None = None,
        *,
        epoch: int | None = None,
        seed: int | None = None,
        mask: Literal[True],
    ) -> np.ma.MaskedArray[Any, np.dtype[np.float64]]: ...
    def query(
        self,
        archs: ArchitectureLike | Architectures,
        metric: str | None = None,
        *,
        epoch: int | None = None,
        seed: int | None = None,
        mask: bool = False,
    ) -> float | NDArray[np.float64]:
        """Return one float for one architecture, a float64 array for many; see Benchmark.query.

        Raises:
            MissingValueError: An epoch beyond those that were trained, or a seed where the runs behind
                the surrogate had no repeats, so that it knows no seed noise.
        """
        if seed is None and self._table is not None:
            return self._table.query(archs, metric, epoch=epoch, mask=mask)  # type: ignore[call-overload,no-any-return]
        name, last, seed = self._asked(metric, epoch, seed)
        if isinstance(archs, list) or (isinstance(archs, np.ndarray) and archs.ndim):
            values = self._values(self._cells(archs), name, last, seed)
            return np.ma.MaskedArray(values, np.isnan(values)) if mask else values
        return float(self._values([cell_of(self.space, archs)], name, last, seed)[0])

    def lookup(
        self,
        arch: ArchitectureLike,
        metric: str | None = None,
        *,
        epoch: int | None = None,
        seed: int | None = None,
    ) -> Answer:
        """Return the prediction with its seconds, both deviations, interval and flag.

        With a seed, ``value`` is the simulated training's; all else is about the architecture.
        """
        name, last, seed = self._asked(metric, epoch, seed)
        cell = cell_of(self.space, arch)
        seconds, parts, flagged = self._answer(cell, name, last)
        if name == _SECONDS:
            return Answer(seconds, seconds, "surrogate", math.nan, 0)
        value, doubt, noise, lower, upper = parts
        if seed is not None:
            value = float(self._values([cell], name, last, seed)[0])
        return Answer(value, seconds, "surrogate", noise, 0, doubt, lower, upper, flagged)

    def extrapolate(
        self, arch: ArchitectureLike, values: Sequence[float], losses: Sequence[float] | None = None
    ) -> Extrapolated:
        """Return the whole curve of a training that has begun: what was seen, then what is expected.

        How much is learnt and how much is the last value carried on was chosen when the surrogate was
        fitted, by what errs less (:mod:`nasbench_tab.predictors.partial`).

        Args:
            arch: What is being trained.
            values: The objective after each of the first epochs.
            losses: Training losses of the same epochs; needed where the surrogate was fitted with them.

        Returns:
            ``(1, E)`` values and their deviations, 0 where they were seen.

        Raises:
            MissingValueError: The surrogate was fitted without curves.
            InvalidArgumentError: No epoch, too many, a value that is not finite, or losses missing.
        """
        partial = self._surrogate.partial
        if partial is None:
            raise MissingValueError(
                f"{self.name} was fitted on final values, not on learning curves, so that it knows nothing of "
                "how a training goes on. Fit it on runs with values at several epochs."
            )
        means = self._mean_curves([cell_of(self.space, arch)], self.objective.name)
        rows = None if losses is None else np.atleast_2d(np.asarray(losses, np.float64))
        return partial.extrapolate(np.atleast_2d(np.asarray(values, np.float64)), means, rows)

    def seeds(self, arch: ArchitectureLike) -> tuple[int, ...]:
        """Return the training seeds that a search draws from; empty where no seed noise is known."""
        cell_of(self.space, arch)
        return SEEDS if self._surrogate.models[self.objective.name].noise.known else ()

    def measured(self, seed: int | None = None) -> NDArray[np.uint8]:
        """Return all architectures of the space, or where they are too many a fixed uniform sample.

        The sample holds the best architecture that is known to the surrogate too.
        """
        del seed  # any seed can be simulated
        return self._sample

    def _asked(
        self, metric: str | None, epoch: int | None, seed: int | None
    ) -> tuple[str, int, int | None]:
        """Return the arguments, checked, as plain values."""
        name = self.objective.name if metric is None else metric
        if not isinstance(name, str) or name not in self.metrics:
            raise unknown_name(f"metric of {self.name}", name, self.metrics)
        last = self.epochs[-1] if epoch is None else integer("epoch", epoch)
        if last not in self.epochs:
            raise MissingValueError(
                f"{self.name} has no values at epoch {epoch}: the trainings it was fitted on have epochs "
                f"{self.epochs[0]} to {self.epochs[-1]} ({len(self.epochs)} of them), and it does not "
                "guess beyond."
            )
        if seed is None:
            return name, last, None
        known = self._surrogate.models.get(name)
        if known is not None and not known.noise.known:
            raise MissingValueError(
                f"{self.name} cannot simulate the training of seed {seed}: the runs that it was fitted on "
                "hold too few repeated trainings to know the seed noise. Ask without a seed (a search: "
                "seeds='mean')."
            )
        return name, last, integer("seed", seed)

    def _cells(self, archs: Architectures) -> list[Architecture]:
        """Return many architectures as cells."""
        if isinstance(archs, np.ndarray):
            if archs.dtype.kind not in "iu" or archs.ndim not in (1, 2):
                raise InvalidArchitectureError(
                    f"An array of architectures must hold integers in one dimension (official indices) "
                    f"or two (cells); got dtype {archs.dtype} and {archs.ndim} dimensions."
                )
            archs = list(map(tuple, archs.tolist())) if archs.ndim == 2 else archs.tolist()
        return [cell_of(self.space, arch) for arch in archs]

    def _values(
        self, cells: list[Architecture], name: str, epoch: int, seed: int | None
    ) -> NDArray[np.float64]:
        """Return ``(n,)`` values at one epoch: the mean, or one simulated training."""
        if name == _SECONDS:
            return self._seconds(cells, epoch)
        if seed is None:
            return self._predicted(cells, name, epoch)[0].mean
        own = [self.space.canonical(cell) for cell in cells]
        keys = keys_of(np.array(own, np.uint8).reshape(len(own), -1), seed)
        curves = simulated(self._surrogate, name, self._mean_curves(cells, name), keys)
        return curves[:, self.epochs.index(epoch)]

    def _answer(self, cell: Architecture, name: str, epoch: int) -> tuple[float, list[float], bool]:
        """Return one architecture's seconds, its prediction (none of seconds), and its flag."""
        listed, table = self._listed, self._table
        if listed is None or table is None:
            seconds = float(self._seconds([cell], epoch)[0])
            if name == _SECONDS:
                return seconds, [], False
            predicted, novel = self._predicted([cell], name, epoch)
            return seconds, [float(part[0]) for part in predicted], bool(novel[0])
        # Number by number: sooner than arrays of one.
        row, place = table.row_of(cell), self.epochs.index(epoch)
        network = listed.network[row]
        known = () if name == _SECONDS else listed.predicted[name]
        parts = [float(part[network, place]) for part in known]
        return float(listed.seconds[row, place]), parts, bool(listed.novel[network])

    def _predicted(
        self, cells: list[Architecture], name: str, epoch: int
    ) -> tuple[Predicted, NDArray[np.bool_]]:
        """Return predictions ``(n,)`` at one epoch, and which are flagged."""
        if self._listed is not None:
            rows, place = self._networks(cells), self.epochs.index(epoch)
            known = self._listed.predicted[name]
            parts = (part[rows, place].astype(np.float64) for part in known)
            return Predicted(*parts), self._listed.novel[rows]
        asked = self._inputs(cells)
        return predict(self._surrogate, name, asked.inputs, asked.novel, epoch), asked.novel

    def _mean_curves(self, cells: list[Architecture], name: str) -> NDArray[np.float64]:
        if self._listed is not None:
            means = self._listed.predicted[name].mean[self._networks(cells)]
            return means.astype(np.float64)
        asked = self._inputs(cells)
        # Kept, since a training is simulated one epoch after the other.
        if name not in asked.curves:
            asked.curves[name] = mean_curves(self._surrogate, name, asked.inputs)
            asked.curves[name].setflags(write=False)
        return asked.curves[name]

    def _seconds(self, cells: list[Architecture], epoch: int) -> NDArray[np.float64]:
        place, cost = self.epochs.index(epoch), self._surrogate.cost
        if self._listed is not None:
            return np.asarray(self._listed.seconds[self._rows(cells), place], np.float64)
        if cost is None:
            return np.full(len(cells), np.nan)
        work = work_of(self.space, np.array(cells, np.uint8).reshape(len(cells), -1))
        return cost.seconds(self._inputs(cells).inputs.x, work)[:, place]

    def _rows(self, cells: list[Architecture]) -> NDArray[np.intp]:
        """Return the places of listed cells."""
        if self._table is None:
            raise AssertionError("only for spaces that can be listed")
        return np.array([self._table.row_of(cell) for cell in cells], np.intp)

    def _networks(self, cells: list[Architecture]) -> NDArray[np.int32]:
        """Return the rows of listed cells' answers."""
        if self._listed is None:
            raise AssertionError("only for spaces that can be listed")
        return self._listed.network[self._rows(cells)]

    def _inputs(self, cells: list[Architecture]) -> _Asked:
        """Return what predictions need; that of single cells is kept, since searches ask again."""
        one = cells[0] if len(cells) == 1 else None
        if one is not None and one in self._seen:
            return self._seen[one]
        inputs = self._surrogate.inputs(np.array(cells, np.uint8).reshape(len(cells), -1))
        novelty = self._surrogate.novelty
        asked = _Asked(inputs, novelty.flag(novelty.score(inputs.x)), {})
        if one is not None:
            if len(self._seen) >= _REMEMBERED:
                self._seen.clear()
            self._seen[one] = asked
        return asked

    def _as_table(self, listed: Listed) -> TableBenchmark:
        """Return the predicted means as a table with one training."""
        columns = {
            name: Column(self.metrics[name], found.mean[listed.network][:, None])
            for name, found in listed.predicted.items()
        }
        if self.has_seconds:
            columns[_SECONDS] = Column(self.metrics[_SECONDS], listed.seconds[:, None])
        training = Training(
            dataset=self.dataset,
            objective=self.objective.name,
            epochs_kind="curve",
            seconds_kind="synthetic" if self.has_seconds else "none",
            seeds=(0,),
            epochs=self.epochs,
            columns=columns,
        )
        table = Table(
            name=self.name,
            space=self.space.name,
            by_index=len(listed.cells) == self.space.size,
            architectures=listed.cells,
            trainings={self.training: training},
            default_training=self.training,
            static={},
        )
        return TableBenchmark(table, self.space, self.fingerprint)
