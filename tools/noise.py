"""How real is a surrogate's seed noise? Best epochs before the last, and deviations, real and simulated.

    .venv/bin/python tools/noise.py nb201-fashion macro-fashion

Levels are what was predicted of a network while it was held out, and its noise is fitted without the fold of
networks that it is in (five folds, drawn thrice). Real deviations are those of trainings of
one network around their mean, with n trainings' degrees of freedom; simulated trainings are of the same networks.
The gain is the last epoch's value less that of the epoch before.
"""

from __future__ import annotations

import argparse
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from nasbench_tab.fitting.assess_figures import covered
from nasbench_tab.predictors.noise import fit_noise, keys_of
from nasbench_tab.predictors.parts import runs_from, space_of
from nasbench_tab.predictors.store import read_surrogate
from nasbench_tab.registry import load_space, surrogate_folder

Floats = NDArray[np.float64]
FIFTHS, SIMULATED, FOLDS, DRAWS = 5, 20, 5, 3
WIDTH = 100


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="+", metavar="SURROGATE")
    for name in parser.parse_args().names:
        tables(name)


def tables(name: str) -> None:
    """Print all tables of one surrogate."""
    stored = read_surrogate(surrogate_folder(name))
    space = space_of(stored, load_space)
    runs = runs_from(stored, space)
    metric = runs.metrics[runs.objective]
    values = runs.curves[runs.objective]
    rows = np.flatnonzero(np.isfinite(values).all(axis=1))
    means = np.asarray(stored.arrays[f"held_out/{runs.objective}"], np.float64)[rows]
    values, seeds, cells = values[rows], runs.seeds[rows], runs.cells[rows]
    _, groups, count = np.unique(runs.groups[rows], return_inverse=True, return_counts=True)
    cells = np.array([space.canonical(tuple(cell)) for cell in cells.tolist()], np.uint8)
    off = np.array([drawn(values, means, groups, seeds, cells, draw) for draw in range(DRAWS)])
    off = off.reshape(-1, *values.shape)
    curves = np.clip(means + off, metric.lower, metric.upper)
    up = 1.0 if metric.direction == "max" else -1.0
    spikes(name, up * values, up * curves, groups)
    repeated = count[groups] > 1
    deviations(name, values[repeated], means[repeated], off[:, repeated], groups[repeated])


def drawn(
    values: Floats,
    means: Floats,
    groups: NDArray[np.intp],
    seeds: NDArray[np.int64],
    cells: NDArray[np.uint8],
    draw: int,
) -> Floats:
    """Return ``(SIMULATED, n, E)`` residuals of simulated trainings, by noise that did not see their networks."""
    rng = np.random.default_rng(draw)
    fold = (rng.permutation(groups.max() + 1) % FOLDS)[groups]
    off = np.empty((SIMULATED, *values.shape))
    for out in range(FOLDS):
        rest, mine = fold != out, np.flatnonzero(fold == out)
        noise = fit_noise(values[rest], groups[rest], means[rest], seeds[rest])
        for turn in range(SIMULATED):
            own = keys_of(cells[mine], mine + turn * len(values))
            off[turn, mine] = noise.draw(means[mine], own)
    return off


def spikes(name: str, real: Floats, simulated: Floats, groups: NDArray[np.intp]) -> None:
    """Print how often the best epoch is not the last, by networks; greater is better."""
    shown = Table(title=f"{name}: best epoch before the last, {len(real)} trainings")
    for title in ("better than the end by more than", "real", "simulated"):
        shown.add_column(title)
    better = [curves.max(axis=-1) - curves[..., -1] for curves in (real, simulated)]
    for least in (0.0, 0.1, 0.3):
        found = [
            covered(share, groups) for share in (better[0] > least, (better[1] > least).mean(0))
        ]
        parts = [
            f"{100 * f['value']:.2f} % [{100 * f['low']:.2f}, {100 * f['high']:.2f}]" for f in found
        ]
        shown.add_row(f"{least}", *parts)
    Console(width=WIDTH).print(shown)


def deviations(
    name: str, values: Floats, means: Floats, off: Floats, groups: NDArray[np.intp]
) -> None:
    """Print deviations by epoch and by fifths of what is known of a network."""
    _, groups, count = np.unique(groups, return_inverse=True, return_counts=True)
    free = (1 - 1 / count)[groups]
    gains, steps = values[:, -1] - values[:, -2], off[..., -1] - off[..., -2]
    shown = Table(title=f"{name}: {len(values)} trainings of {len(count)} networks")
    for title in ("fifth by", "from", "to", "real deviation", "simulated"):
        shown.add_column(title)
    parts: list[tuple[str, Floats, Floats, Floats | None]] = [
        (f"level, epoch {e + 1}", of_groups(means[:, e], groups), values[:, e], off[..., e])
        for e in range(values.shape[1])
    ]
    predicted = of_groups(means[:, -1] - means[:, -2], groups)
    parts += [
        ("real gain", of_groups(gains, groups), gains, None),
        ("predicted gain", predicted, gains, steps),
    ]
    for what, by, real, fake in parts:
        edges = [by.min(), by.max()], np.quantile(by, np.linspace(0, 1, FIFTHS + 1))
        for low, high in (*pairwise(edges[0]), *pairwise(edges[1])):
            mine = (by >= low) & (by <= high)
            sd = "" if fake is None else f"{simulated_sd(fake[:, mine], free[mine]):.2f}"
            title = f"all: {what}" if (low, high) == tuple(edges[0]) else what
            own = f"{within(real[mine], groups[mine]):.2f}"
            shown.add_row(title, f"{low:.2f}", f"{high:.2f}", own, sd)
    Console(width=WIDTH).print(shown)
    centres = np.stack([of_groups(column, groups) for column in values.T], axis=1)
    around = (values - centres) / np.sqrt(free)[:, None]
    for what, residuals in (("real", around), ("simulated", off.reshape(-1, values.shape[1]))):
        each = np.diag(np.corrcoef(residuals.T), 1)
        print(f"correlation from one epoch to the next, {what}:", *(f"{r:.2f}" for r in each))


def simulated_sd(off: Floats, free: Floats) -> float:
    """Return the deviation of simulated trainings, networks weighted as in that of real ones."""
    return float(np.sqrt(((off**2).mean(axis=0) * free).sum() / free.sum()))


def of_groups(values: Floats, groups: NDArray[np.intp]) -> Floats:
    """Return each row's mean over the trainings of its network."""
    _, number = np.unique(groups, return_inverse=True)
    means: Floats = (np.bincount(number, values) / np.bincount(number))[number]
    return means


def within(values: Floats, groups: NDArray[np.intp]) -> float:
    """Return the deviation of trainings around their network's mean."""
    freedom = len(values) - len(np.unique(groups))
    return float(np.sqrt(((values - of_groups(values, groups)) ** 2).sum() / freedom))


if __name__ == "__main__":
    main()
