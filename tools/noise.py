"""How real is a surrogate's seed noise? Deviations by level, and what the last epoch gains, real and simulated.

    .venv/bin/python tools/noise.py nb201-fashion macro-fashion

Levels are what was predicted of a network while it was held out. Real deviations are those of trainings of
one network around their mean, with n trainings' degrees of freedom; simulated trainings are of the same networks. The gain
is the last epoch's value less that of the epoch before.
"""

from __future__ import annotations

import argparse
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from nasbench_tab.predictors.noise import keys_of
from nasbench_tab.predictors.parts import runs_from, space_of, surrogate_from
from nasbench_tab.predictors.store import read_surrogate
from nasbench_tab.registry import load_space, surrogate_folder

Floats = NDArray[np.float64]
FIFTHS, SIMULATED = 5, 20


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="+", metavar="SURROGATE")
    for name in parser.parse_args().names:
        table(name)


def table(name: str) -> None:
    """Print both tables of one surrogate."""
    stored = read_surrogate(surrogate_folder(name))
    space = space_of(stored, load_space)
    runs, surrogate = runs_from(stored, space), surrogate_from(stored, space)
    values = runs.curves[runs.objective]
    _, number, count = np.unique(runs.groups, return_inverse=True, return_counts=True)
    rows = np.flatnonzero(np.isfinite(values).all(axis=1) & (count[number] > 1))
    noise = surrogate.models[runs.objective].noise
    means = np.asarray(stored.arrays[f"held_out/{runs.objective}"], np.float64)[rows]
    values, groups, cells = values[rows], number[rows], runs.cells[rows]
    turns = np.arange(SIMULATED)
    drawn = np.array([noise.draw(means, keys_of(cells, np.full(len(rows), t))) for t in turns])
    level = of_groups(means[:, -1], groups)
    gain = of_groups(values[:, -1] - values[:, -2], groups)
    predicted = of_groups(means[:, -1] - means[:, -2], groups)
    shown = Table(title=f"{name}: {len(rows)} trainings of {len(np.unique(groups))} networks")
    for title in ("fifth by", "from", "to", "real deviation", "simulated"):
        shown.add_column(title)
    for what, by, real, fake in (
        ("level", level, values[:, -1], drawn[:, :, -1]),
        ("real gain", gain, values[:, -1] - values[:, -2], None),
        (
            "predicted gain",
            predicted,
            values[:, -1] - values[:, -2],
            drawn[:, :, -1] - drawn[:, :, -2],
        ),
    ):
        edges = np.quantile(by, np.linspace(0, 1, FIFTHS + 1))
        for low, high in pairwise(edges):
            mine = (by >= low) & (by <= high)
            simulated = "" if fake is None else f"{np.sqrt((fake[:, mine] ** 2).mean()):.2f}"
            shown.add_row(
                *(
                    what,
                    f"{low:.2f}",
                    f"{high:.2f}",
                    f"{within(real[mine], groups[mine]):.2f}",
                    simulated,
                )
            )
    Console(width=100).print(shown)


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
