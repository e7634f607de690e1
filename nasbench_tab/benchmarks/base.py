"""The contract of a benchmark: a pure function from architectures to values.

A benchmark has ``name``, ``space``, ``metrics``, ``objective``, ``epochs`` and ``resumable``, and
answers ``query``, ``lookup`` and ``seeds``. It keeps no counters and no budget and draws no random
numbers: those belong to the search.

What counts as an architecture, everywhere: a published string; a tuple (the cell); an integer,
NumPy's too, or a one-dimensional integer array (official indices); a two-dimensional integer array
(cells); a list of any of these (many).
"""

from __future__ import annotations

import hashlib
import operator
from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal, TypeAlias, overload

import numpy as np
from numpy.typing import NDArray

from nasbench_tab.errors import (
    InvalidArchitectureError,
    InvalidArgumentError,
    MissingValueError,
)
from nasbench_tab.records import Answer, Architecture, Metric
from nasbench_tab.spaces.base import Space

__all__ = [
    "ArchitectureLike",
    "Architectures",
    "Benchmark",
    "cell_of",
    "index_of",
    "integer",
    "mixed_fingerprint",
]

ArchitectureLike: TypeAlias = str | Architecture | int | np.integer[Any]
Architectures: TypeAlias = list[Any] | NDArray[np.integer[Any]]


class Benchmark(ABC):
    """A named source of answers about the architectures of one space.

    Attributes:
        name: The name under which the registry knows it.
        space: The search space.
        dataset: What is trained on, by its published name.
        metrics: All metrics by name.
        objective: The validation metric that a search optimises.
        epochs: The 1-based epochs at which values exist; the last is the full training.
        resumable: Whether a training may be paused and resumed (a curve, not separate trainings).
        has_seconds: Whether ``lookup`` gives simulated training times.
        fingerprint: Content hash of the data behind the answers.
        stateful: Whether a query takes real time and leaves something behind: it trains.
        predicts: Whether it answers for every architecture of its space, where nothing was measured
            too: any training seed gives a simulated training, and :meth:`measured` lists all
            architectures of the space, or a fixed uniform sample where they are too many to list.
        training: Which way of training answers are about.
        trainings: All that it can be loaded with; empty where there is no choice.
        about: Its manifest: origin, licence, protocol, figures.
    """

    name: str
    space: Space
    dataset: str
    metrics: Mapping[str, Metric]
    objective: Metric
    epochs: tuple[int, ...]
    resumable: bool
    has_seconds: bool
    fingerprint: str
    stateful: bool = False
    predicts: bool = False
    training: str = ""
    trainings: tuple[str, ...] = ()
    about: Mapping[str, Any] = MappingProxyType({})

    @property
    def objective_epochs(self) -> tuple[int, ...]:
        """The epochs at which the objective is known: those that a search can ask for."""
        return self.epochs

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
        """Return one float for one architecture, a float64 array for many.

        Args:
            archs: One architecture or many; see the module's docstring.
            metric: A key of ``metrics``; None = the objective.
            epoch: 1-based; None = the last.
            seed: A training seed; None = the mean over the existing ones.
            mask: For many: return a masked array, with what is missing masked, instead of raising.

        Raises:
            MissingValueError: A value was never measured (the message says what exists).
            InvalidArchitectureError: Not an architecture of the space.
            UnknownNameError: No such metric.

        Here it is one :meth:`lookup` after another; a benchmark that can answer many at once overrides it.
        """
        if not (isinstance(archs, list) or (isinstance(archs, np.ndarray) and archs.ndim)):
            return self.lookup(archs, metric, epoch=epoch, seed=seed).value  # type: ignore[arg-type]
        values = np.full(len(archs), np.nan)
        for i, arch in enumerate(archs):
            given = tuple(arch.tolist()) if isinstance(arch, np.ndarray) and arch.ndim else arch
            try:
                values[i] = self.lookup(given, metric, epoch=epoch, seed=seed).value
            except MissingValueError:
                if not mask:
                    raise
        return np.ma.MaskedArray(values, np.isnan(values)) if mask else values

    @abstractmethod
    def lookup(
        self,
        arch: ArchitectureLike,
        metric: str | None = None,
        *,
        epoch: int | None = None,
        seed: int | None = None,
    ) -> Answer:
        """Return value, simulated seconds, source and seed spread of one architecture.

        Arguments and errors as in :meth:`query`.
        """

    @abstractmethod
    def seeds(self, arch: ArchitectureLike) -> tuple[int, ...]:
        """Return the training seeds that exist for this architecture's full training.

        Empty if it was never measured.
        """

    @abstractmethod
    def measured(self, seed: int | None = None) -> NDArray[np.uint8]:
        """Return all architectures with a full training (of this seed), ``(n, cell length)``.

        Where everything is answered (``predicts``), see there.
        """


def cell_of(space: Space, arch: object) -> Architecture:
    """Return the cell that one architecture names: a published string, a cell or an index.

    Raises:
        InvalidArchitectureError: It is none of this space.
    """
    if isinstance(arch, str):
        return space.parse(arch)
    if isinstance(arch, tuple):
        space.check(arch)
        return arch
    return space.unindex(index_of(arch))


def index_of(arch: object) -> int:
    """Return an official index as Python's own integer.

    Raises:
        InvalidArchitectureError: It is no integer.
    """
    try:
        if isinstance(arch, (bool, np.bool)):
            raise TypeError
        return operator.index(arch)  # type: ignore[arg-type]
    except TypeError:
        raise InvalidArchitectureError(
            f"{arch!r} is not an architecture. Expected a published string, a cell (tuple), an "
            "official index (integer), or a list or integer array of these."
        ) from None


def integer(name: str, value: object) -> int:
    """Return a whole number, NumPy's too, as Python's own.

    Raises:
        InvalidArgumentError: It is none.
    """
    try:
        return operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise InvalidArgumentError(f"{name} must be an integer or None, not {value!r}.") from None


def mixed_fingerprint(table: str, surrogate: str) -> str:
    """Return the content hash of a table and a surrogate together."""
    return f"sha256:{hashlib.sha256(f'{table} {surrogate}'.encode()).hexdigest()}"
