"""Search spaces as ConfigSpace's, and back.

    >>> import nasbench_tab as nbt
    >>> from nasbench_tab.adapters.configspace import from_configuration, to_configspace
    >>> space = to_configspace(nbt.load_space("nasbench201"), epochs=(200,))  # doctest: +SKIP
    >>> from_configuration(space.sample_configuration())                      # doctest: +SKIP
    (3, 0, 1, 1, 4, 2)

Every position is a categorical hyperparameter with the operations' names. The name of the space and the
epochs at which there are values stand in ``meta``, of the whole and, since ConfigSpace's files keep only
those, of each hyperparameter, with its position. What else a cell must obey
(:attr:`~nasbench_tab.spaces.base.Space.rule`) is not exported.

Lindauer, Eggensperger, Feurer, Biedenkapp, Marben, Müller and Hutter, "BOAH", arXiv:1908.06756, describe
ConfigSpace. Written against ConfigSpace 1.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nasbench_tab.adapters.base import library
from nasbench_tab.errors import InvalidArchitectureError, InvalidArgumentError
from nasbench_tab.records import Architecture
from nasbench_tab.registry import load_space
from nasbench_tab.spaces.base import Space
from nasbench_tab.spaces.columns import Columns, spec_of

__all__ = ["from_configspace", "from_configuration", "to_configspace", "to_configuration"]


def to_configspace(space: Space, epochs: Sequence[int] = (), *, seed: int = 0) -> Any:
    """Return the ``ConfigurationSpace`` of a search space.

    Args:
        space: A search space; of a masked one all cells are exported, measured or not.
        epochs: Epochs at which the benchmark has values, ``bench.epochs``.
        seed: Of the random configurations that it gives.
    """
    configspace = library("ConfigSpace", "configspace")
    meta = {"space": spec_of(space), "epochs": [int(epoch) for epoch in epochs]}
    made = configspace.ConfigurationSpace(name=space.name, seed=seed, meta=meta)
    made.add(
        configspace.Categorical(name, list(levels), meta={"position": position, **meta})
        for position, (name, levels) in enumerate(space.options().items())
    )
    return made


def from_configspace(configspace: Any) -> tuple[Space, tuple[int, ...]]:
    """Return the search space and the epochs of what :func:`to_configspace` gave.

    Raises:
        UnknownNameError: There is no such search space.
        InvalidArgumentError: It was not made by :func:`to_configspace`, or was changed since.
    """
    names = _positions(configspace)
    meta = configspace[names[0]].meta
    spec = meta["space"]
    space = load_space(spec) if isinstance(spec, str) else Columns.from_spec(spec)
    found = {name: tuple(configspace[name].choices) for name in names}
    if found != space.options() or len(names) != len(configspace):
        raise InvalidArgumentError(
            f"This ConfigurationSpace says that it is {space.name}, and has other hyperparameters: "
            f"{', '.join(configspace)}."
        )
    return space, tuple(meta["epochs"])


def to_configuration(configspace: Any, arch: Architecture) -> Any:
    """Return the ``Configuration`` of a cell in what :func:`to_configspace` gave.

    Raises:
        InvalidArchitectureError: The cell has other positions or options.
    """
    positions = _positions(configspace)
    try:
        values = {
            name: configspace[name].choices[op] for name, op in zip(positions, arch, strict=True)
        }
        if min(arch) < 0:
            raise IndexError("a negative number")
    except (IndexError, TypeError, ValueError) as err:
        raise InvalidArchitectureError(
            f"{arch!r} is not a cell of {configspace.name}: expected {len(positions)} numbers of options."
        ) from err
    return library("ConfigSpace", "configspace").Configuration(configspace, values=values)


def from_configuration(configuration: Any) -> Architecture:
    """Return the cell of a configuration of what :func:`to_configspace` gave."""
    space = configuration.config_space
    return tuple(space[name].choices.index(configuration[name]) for name in _positions(space))


def _positions(configspace: Any) -> list[str]:
    """Return the names of the hyperparameters in the order of a cell's positions."""
    needed = {"space", "position", "epochs"}
    ours = [name for name in configspace if needed <= set(configspace[name].meta or ())]
    if not ours:
        raise InvalidArgumentError(
            "This ConfigurationSpace does not say which search space it is; expected one made by "
            "to_configspace, with space, position and epochs in the meta of each hyperparameter."
        )
    return sorted(ours, key=lambda name: int(configspace[name].meta["position"]))
