"""A network on labelled graphs as a candidate of tools/candidates.py; no part of the package.

Messages pass along the edges in topological order, forwards and backwards, in dense padded batches (after
Thost and Chen, "Directed acyclic graph neural networks", ICLR 2021).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nasbench_tab.spaces.base import Space

if TYPE_CHECKING:
    import torch

Floats = NDArray[np.float64]

WIDTH, LAYERS, MEMBERS, STEPS, BATCH = 48, 2, 3, 400, 128


def padded(space: Space, cells: NDArray[np.uint8]) -> tuple[list[list[str]], NDArray[np.float32]]:
    """Return labels and adjacency ``(n, N, N)`` of canonical graphs; the output is the last node."""
    graphs = [space.graph(space.canonical(cell)) for cell in map(tuple, cells.tolist())]
    most = max(len(graph.labels) for graph in graphs)
    edges = np.zeros((len(graphs), most, most), np.float32)
    labels = []
    for row, graph in enumerate(graphs):
        short = most - len(graph.labels)  # padding stands between the rest and the output
        place = [*range(len(graph.labels) - 1), most - 1]
        labels.append([*graph.labels[:-1], *["padding"] * short, graph.labels[-1]])
        for source, target in graph.edges:
            edges[row, place[source], place[target]] = 1
    return labels, edges


def network(n_labels: int) -> Any:
    import torch
    from torch import nn

    class Dag(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.label = nn.Embedding(n_labels, WIDTH)
            self.cells = nn.ModuleList(
                nn.ModuleList(nn.GRUCell(WIDTH, WIDTH) for _ in range(2)) for _ in range(LAYERS)
            )
            self.join = nn.ModuleList(nn.Linear(2 * WIDTH, WIDTH) for _ in range(LAYERS))
            self.head = nn.Sequential(
                nn.Linear(3 * WIDTH, WIDTH), nn.SiLU(), nn.Dropout(0.1), nn.Linear(WIDTH, 1)
            )

        def forward(self, kinds: torch.Tensor, edges: torch.Tensor) -> torch.Tensor:
            h = self.label(kinds)
            nodes = h.shape[1]
            there = (edges.sum(1) + edges.sum(2) > 0).float()[:, :, None]
            for pair, join in zip(self.cells, self.join, strict=True):
                forwards = self._walk(pair[0], h, edges, list(range(nodes)))  # type: ignore[index]
                backwards = self._walk(
                    pair[1],  # type: ignore[index]
                    h,
                    edges.transpose(1, 2),
                    list(range(nodes))[::-1],
                )
                h = h + torch.nn.functional.silu(join(torch.cat([forwards, backwards], 2)))
            mean = (h * there).sum(1) / there.sum(1).clamp(min=1)
            out: torch.Tensor = self.head(torch.cat([h[:, -1], h[:, 0], mean], 1))
            return out[:, 0]

        @staticmethod
        def _walk(
            cell: nn.Module, h: torch.Tensor, edges: torch.Tensor, order: list[int]
        ) -> torch.Tensor:
            done: dict[int, torch.Tensor] = {}
            for node in order:
                if done:
                    before = torch.stack(list(done.values()), 1)
                    weights = edges[:, list(done), node]
                    message = (weights[:, :, None] * before).sum(1)
                else:
                    message = torch.zeros_like(h[:, node])
                done[node] = cell(h[:, node], message)
            return torch.stack([done[node] for node in range(len(order))], 1)

    return Dag()


def dag_predictions(
    space: Space,
    fitted: NDArray[np.uint8],
    y: Floats,
    tested: NDArray[np.uint8],
    seed: int,
    steps: int = STEPS,
) -> Floats:
    """Return the mean of :data:`MEMBERS` networks, trained on squared errors of compressed accuracies."""
    import torch

    torch.set_num_threads(1)
    words, edges = padded(space, np.vstack([fitted, tested]))
    number = {word: i for i, word in enumerate(sorted({w for row in words for w in row}))}
    kinds = torch.tensor([[number[word] for word in row] for row in words])
    links, n = torch.from_numpy(edges), len(fitted)
    top = y.max() + 0.5 * (y.max() - np.median(y)) + 1e-6
    z = -np.log(top - y)
    centre, scale = z.mean(), z.std() or 1.0
    wanted = torch.tensor((z - centre) / scale, dtype=torch.float32)
    total = np.zeros(len(tested))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for _ in range(MEMBERS):
            model = network(len(number))
            optimiser = torch.optim.AdamW(model.parameters(), lr=4e-3, weight_decay=0.02)
            schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 4e-3, total_steps=steps)
            model.train()
            for _ in range(steps):
                rows = torch.randperm(n)[:BATCH]
                loss = ((model(kinds[rows], links[rows]) - wanted[rows]) ** 2).mean()
                optimiser.zero_grad()
                loss.backward()
                torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimiser.step()
                schedule.step()
            model.eval()
            with torch.no_grad():
                total += model(kinds[n:], links[n:]).double().numpy() / MEMBERS
    return np.asarray(top - np.exp(-(centre + scale * total)))
