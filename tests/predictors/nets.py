"""Networks on graphs with drawn weights, for tests that need no PyTorch."""

from __future__ import annotations

import numpy as np

from nasbench_tab.predictors.dagnet import DagNet, on_grid, weight_shapes

RNG = np.random.default_rng


def drawn_net(words: tuple[str, ...], *, members: int = 2, width: int = 5, seed: int = 0) -> DagNet:
    """Return networks whose weights are random."""
    rng, shapes = RNG(seed), weight_shapes(members, len(words), width)
    weights = {name: on_grid(rng.normal(0, 0.7, shape)) for name, shape in shapes.items()}
    return DagNet(words, **weights, sign=0, edge=0.0, centre=1.0, scale=3.0)
