"""All cells of NAS-Bench-201, and weights with which two oracles evaluate them."""

from __future__ import annotations

from itertools import product

import numpy as np

from nasbench_tab.spaces.nasbench201 import NasBench201

SPACE = NasBench201()
SIZE = 15_625
NONE, SKIP, CONV1, CONV3, POOL = range(5)
CELLS = list(product(range(5), repeat=6))

#: Cells and graphs are evaluated over the integers modulo a prime, with random weights.
PRIME = 2**31 - 1
WEIGHTS = np.random.default_rng(1).integers(1, PRIME, size=(5, 6, 3))
