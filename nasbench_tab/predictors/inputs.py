"""What predictors see of architectures: features, and graphs where messages are passed along them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nasbench_tab.predictors.features import features
from nasbench_tab.predictors.graphs import Graphs, graphs_of
from nasbench_tab.spaces.base import Space

__all__ = ["Inputs", "inputs_of"]


class Inputs(NamedTuple):
    """Of ``n`` architectures.

    Attributes:
        x: ``(n, F)`` float32 features.
        graphs: ``n``; None where no messages are passed.
    """

    x: NDArray[np.float32]
    graphs: Graphs | None = None

    def at(self, rows: NDArray[np.intp] | NDArray[np.bool_]) -> Inputs:
        """Return some of the rows."""
        return Inputs(self.x[rows], None if self.graphs is None else self.graphs.at(rows))


def inputs_of(space: Space, cells: NDArray[np.uint8], *, graphs: bool) -> Inputs:
    """Return features, and if asked for graphs, of ``(n, cell length)`` cells.

    Raises:
        SurrogateError: Operations that were not seen when the columns were laid out.
    """
    return Inputs(features(space, cells).x, graphs_of(space, cells) if graphs else None)
