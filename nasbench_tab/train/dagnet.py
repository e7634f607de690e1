"""Train networks that pass messages along architectures' graphs; see :mod:`nasbench_tab.predictors.dagnet`.

All networks step together: their weights are one tensor, and so are both directions. They differ in their first
weights and in the rows that they draw. One core trains a few thousand small graphs in a minute, which is
sooner than a GPU does: a step is many small products, one node after the other.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from nasbench_tab.predictors.dagnet import GREATEST, DagNet, on_grid
from nasbench_tab.predictors.graphs import Graphs
from nasbench_tab.predictors.tail import compressed, tail_of

__all__ = ["Settings", "train_dagnet"]

_Floats = NDArray[np.float64]


class Settings(NamedTuple):
    """How the networks are trained.

    The defaults were chosen on nb201-cifar100 and nb201-imagenet16-120 (800 and 4,208 networks).

    Attributes:
        members: Networks; their mean is the answer.
        width: Units of a state.
        steps: Of AdamW, at least.
        passes: Over the rows, at least, where there are many.
        rate: Greatest learning rate of the one cycle.
        decay: Of the weights.
        dropout: Of the head's units.
    """

    members: int = 3
    width: int = 48
    steps: int = 1500
    passes: int = 20
    rate: float = 8e-3
    decay: float = 0.02
    dropout: float = 0.1


def train_dagnet(
    graphs: Graphs, y: _Floats, rng: np.random.Generator, settings: Settings | None = None
) -> DagNet:
    """Return networks trained on the mean squared error of one target, its long tail compressed.

    The same graphs, targets and generator give the same networks on one machine and version of PyTorch, whatever
    the number of its threads: one is used.

    Args:
        graphs: ``n``.
        y: ``(n,)`` values; where one is NaN, the row is left out.
        rng: Source of all that is drawn.
        settings: None = the defaults.
    """
    settings = settings or Settings()
    known = np.isfinite(y)
    graphs, y = graphs.at(known), y[known]
    tail = tail_of(y)
    z = compressed(y, *tail)
    centre, scale = float(z.mean()), float(z.std())
    n = len(y)
    batch = min(n, max(32, min(256, n // 25)))  # 60 passes and more where labels are few
    steps = max(settings.steps, math.ceil(settings.passes * n / batch))
    kinds = torch.from_numpy(graphs.kinds.astype(np.int64))
    edges = torch.from_numpy(graphs.edges.astype(np.float32))
    wanted = torch.from_numpy(((z - centre) / (scale or 1.0)).astype(np.float32))
    with _alone(int(rng.integers(2**62))):
        model = _Networks(len(graphs.words), settings)
        optimiser = torch.optim.AdamW(
            model.parameters(), lr=settings.rate, weight_decay=settings.decay
        )
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, settings.rate, total_steps=steps)
        for _ in range(steps):
            rows = torch.stack([torch.randperm(n)[:batch] for _ in range(settings.members)])
            loss = ((model(kinds[rows], edges[rows]) - wanted[rows]) ** 2).mean()
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), math.sqrt(settings.members))
            optimiser.step()
            schedule.step()
        return DagNet(graphs.words, **model.weights(), sign=tail[0], edge=tail[1], centre=centre, scale=scale)  # fmt: skip


@contextmanager
def _alone(seed: int) -> Iterator[None]:
    """One thread, and a stream of random numbers of its own; what was before comes back."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            yield
    finally:
        torch.set_num_threads(threads)


class _Networks(nn.Module):
    def __init__(self, labels: int, settings: Settings) -> None:
        super().__init__()
        members, width = settings.members, settings.width

        def weight(*shape: int, gain: float = 1.0) -> nn.Parameter:
            return nn.Parameter(torch.randn(*shape) * gain / math.sqrt(shape[-2]))

        def bias(*shape: int) -> nn.Parameter:
            return nn.Parameter(torch.zeros(*shape))

        self.dropout = settings.dropout
        self.own = nn.Parameter(torch.randn(members, labels, width))
        self.enter = weight(2, members, width, 3 * width)
        self.enter_bias = bias(2, members, 1, 3 * width)
        self.forth = weight(2, members, width, 3 * width)
        self.forth_bias = bias(2, members, 1, 3 * width)
        self.join, self.join_bias = weight(members, 2 * width, width), bias(members, 1, width)
        self.head, self.head_bias = weight(members, 3 * width, width), bias(members, 1, width)
        self.last, self.last_bias = weight(members, width, 1, gain=0.3), bias(members, 1, 1)

    def forward(self, kinds: Tensor, edges: Tensor) -> Tensor:
        """Return ``(M, b)`` of labels ``(M, b, N)`` and edges ``(M, b, N, N)``."""
        members, batch, nodes = kinds.shape
        width = self.own.shape[2]
        of_member = torch.arange(members)[:, None]
        there = ((edges.sum(2) + edges.sum(3)) > 0).float()
        there[:, :, 0] = there[:, :, -1] = 1.0
        both = torch.stack([kinds, kinds.flip(2)])
        pairs = torch.stack([edges, edges.transpose(2, 3).flip(2, 3)])
        table = self._entering()
        entering = torch.stack([table[way, of_member, both[way].flatten(1)] for way in (0, 1)])
        entering = entering.view(2, members, batch, nodes, 3 * width)
        states = self._walked(entering, pairs)
        joined = torch.cat([states[0], states[1].flip(2)], 3).view(members, batch * nodes, -1)
        joined = functional.silu(torch.baddbmm(self.join_bias, joined, self.join))
        own = self.own[of_member, kinds.flatten(1)]
        whole = (joined + own).clamp(-GREATEST, GREATEST).view(members, batch, nodes, width)
        mean = (whole * there[..., None]).sum(2) / there.sum(2, keepdim=True)
        read = torch.cat([whole[:, :, -1], whole[:, :, 0], mean], 2)
        hidden = functional.silu(torch.baddbmm(self.head_bias, read, self.head))
        hidden = functional.dropout(hidden, self.dropout, self.training)
        return torch.baddbmm(self.last_bias, hidden, self.last)[:, :, 0]

    def _entering(self) -> Tensor:
        return torch.matmul(self.own, self.enter) + self.enter_bias

    def _walked(self, entering: Tensor, edges: Tensor) -> Tensor:
        """Return the states of all nodes, ``(2, M, b, N, W)``."""
        ways, members, batch, nodes = entering.shape[:4]
        width = entering.shape[4] // 3
        states: list[Tensor] = []
        for node in range(nodes):
            if states:
                into = edges[..., :node, node][..., None, :]
                message = torch.matmul(into, torch.stack(states, 3))[..., 0, :]
                message = message.clamp(-GREATEST, GREATEST)
            else:
                message = entering.new_zeros(ways, members, batch, width)
            gates = torch.matmul(message, self.forth) + self.forth_bias
            here = entering[..., node, :]
            ready, keep = torch.sigmoid(gates[..., : 2 * width] + here[..., : 2 * width]).chunk(
                2, dim=-1
            )
            fresh = torch.tanh(here[..., 2 * width :] + ready * gates[..., 2 * width :])
            states.append(fresh + keep * (message - fresh))
        return torch.stack(states, 3)

    @torch.no_grad()
    def weights(self) -> dict[str, _Floats]:
        """Return the weights with which the networks answer, by name."""
        parts = {
            "own": self.own,
            "enter": self._entering(),
            "forward": self.forth,
            "forward_bias": self.forth_bias,
            "join": self.join,
            "join_bias": self.join_bias,
            "head": self.head,
            "head_bias": self.head_bias,
            "last": self.last,
            "last_bias": self.last_bias,
        }
        return {name: on_grid(part.numpy()) for name, part in parts.items()}
