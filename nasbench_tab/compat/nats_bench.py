"""NATS-Bench's interface: a script that was written for it runs with one import changed.

    from nasbench_tab.compat.nats_bench import create   # was: from nats_bench import create
    api = create("NATS-tss-v1_0-3ffb9-simple", "tss", fast_mode=True, verbose=False)
    api.get_more_info(11, "cifar10-valid", hp="200", is_random=False)["valid-accuracy"]

Calls, arguments, meaning and draws (from Python's ``random``) are those of the reference, version 1.8.
Where the records are from is told by :func:`create`: an official "simple" folder, read safely and one
architecture at a time, or tables that were imported. What differs is listed in
docs/official/nats_bench-compat.md.

Dong, Liu, Musial and Gabrys, "NATS-Bench: Benchmarking NAS Algorithms for Architecture Topology and Size",
TPAMI 2021.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasbench_tab.compat.nats_api import NatsBench
from nasbench_tab.compat.nats_results import ArchResults, ResultsCount
from nasbench_tab.compat.nats_sources import SIZE, TOPOLOGY
from nasbench_tab.errors import InvalidArgumentError
from nasbench_tab.spaces.convert.nasbench201 import from_string, to_matrix
from nasbench_tab.spaces.nasbench201 import OPERATIONS, NasBench201

__all__ = [
    "ArchResults",
    "NATSsize",
    "NATStopology",
    "ResultsCount",
    "create",
    "search_space_info",
    "version",
]

_TSS, _SSS = ("tss", "topology"), ("sss", "size")


def version() -> str:
    """Return the version of the reference whose interface this is."""
    return "v1.8"


def create(
    file_path_or_dict: str | os.PathLike[str] | dict[str, Any] | None,
    search_space: str,
    fast_mode: bool = False,
    verbose: bool = True,
) -> NatsBench:
    """Return the benchmark of a search space.

    Args:
        file_path_or_dict: An official "simple" folder; a folder with tables of ``nasbench-tab import``;
            a single official file of at most 1,000 architectures, or such a dict; None = the publishers'
            "simple" folder in ``$TORCH_HOME`` (in fast mode, where it is), else the imported tables in
            the user's folder.
        search_space: "tss" or "topology"; "sss" or "size".
        fast_mode: Whether ``evaluated_indexes`` grows as architectures are asked for. Records are read
            when they are asked for in any case.
        verbose: Whether to say where the records are from.

    Raises:
        InvalidArgumentError: No such search space, or nothing is there.
        FormatError: What is there is damaged, unsafe or of another format.
    """
    if search_space in _TSS:
        return NATStopology(file_path_or_dict, fast_mode, verbose)
    if search_space in _SSS:
        return NATSsize(file_path_or_dict, fast_mode, verbose)
    raise InvalidArgumentError(
        f"Unknown search space {search_space!r}; expected one of {', '.join((*_TSS, *_SSS))}."
    )


def search_space_info(main_tag: str, aux_tag: str | None) -> dict[str, Any]:
    """Return what a search space is made of.

    Args:
        main_tag: "nats-bench", or "nas-bench-201".
        aux_tag: "tss", "topology", "sss" or "size"; None for NAS-Bench-201.
    """
    if (main_tag, aux_tag) == ("nas-bench-201", None) or (
        main_tag == "nats-bench" and aux_tag in _TSS
    ):
        return {"op_names": list(OPERATIONS), "num_nodes": 4}
    if main_tag == "nats-bench" and aux_tag in _SSS:
        return {"candidates": list(range(8, 65, 8)), "num_layers": 5}
    raise InvalidArgumentError(
        f"Unknown search space {main_tag!r}, {aux_tag!r}; expected 'nats-bench' with one of "
        f"{', '.join((*_TSS, *_SSS))}, or 'nas-bench-201' with None."
    )


class NATSsize(NatsBench):
    """The size space: 32,768 networks of one cell with channels of their own in five places."""

    _facts = SIZE


class NATStopology(NatsBench):
    """The topology space: the 15,625 cells of NAS-Bench-201."""

    _facts = TOPOLOGY

    def get_unique_str(self, arch: Any) -> str:
        """Return the publishers' label of isomorphic cells, of an index or a published string."""
        space = NasBench201()
        return space.unique_string(space.parse(self.arch(self._index(arch))))

    @staticmethod
    def str2lists(arch_str: str) -> list[tuple[tuple[str, int], ...]]:
        """Return ``(operation, source node)`` of each edge, one tuple for each node."""
        names = iter(OPERATIONS[op] for op in from_string(arch_str))
        return [tuple((next(names), source) for source in range(target)) for target in (1, 2, 3)]

    @staticmethod
    def str2matrix(
        arch_str: str, search_space: list[str] | tuple[str, ...] = OPERATIONS
    ) -> NDArray[np.float64]:
        """Return the ``(4, 4)`` matrix of operation numbers, row the target node, column the source.

        Args:
            arch_str: A published string.
            search_space: The operations in the order of their numbers.

        Raises:
            InvalidArgumentError: An operation is not among them.
        """
        used = [OPERATIONS[op] for op in from_string(arch_str)]
        unknown = [name for name in used if name not in search_space]
        if unknown:
            raise InvalidArgumentError(f"The operation {unknown[0]!r} is not in {search_space}.")
        places = np.array(
            [search_space.index(name) if name in search_space else 0 for name in OPERATIONS], float
        )
        matrix = places[to_matrix(from_string(arch_str))]
        return np.tril(matrix, -1)
