"""Networks on graphs with drawn weights, for tests that need no PyTorch."""

from __future__ import annotations

import numpy as np

from nasbench_tab.predictors.dagnet import DagNet, on_grid

RNG = np.random.default_rng


def drawn_net(words: tuple[str, ...], *, members: int = 2, width: int = 5, seed: int = 0) -> DagNet:
    """Return networks whose weights are random."""
    rng, labels = RNG(seed), len(words)
    shapes = {
        "own": (members, labels, width),
        "enter": (2, members, labels, 3 * width),
        "forward": (2, members, width, 3 * width),
        "forward_bias": (2, members, 1, 3 * width),
        "join": (members, 2 * width, width),
        "join_bias": (members, 1, width),
        "head": (members, 3 * width, width),
        "head_bias": (members, 1, width),
        "last": (members, width, 1),
        "last_bias": (members, 1, 1),
    }
    weights = {name: on_grid(rng.normal(0, 0.7, shape)) for name, shape in shapes.items()}
    return DagNet(words, **weights, sign=0, edge=0.0, centre=1.0, scale=3.0)
