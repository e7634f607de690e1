"""Which predictor of accuracies is the best: all candidates on the same draws of labels.

    .venv/bin/python tools/candidates.py                                  # nb201-cifar10, 30 draws: hours
    .venv/bin/python tools/candidates.py --labels 78 --draws 10 --only trees gp
    .venv/bin/python tools/candidates.py --table nb201-fashion --split "one each" --labels 78 390

Candidates are compared with the default, the ensemble of trees and Gaussian process. Labels, splits and
scores are those of tools/accuracy.py: one training a cell; halves of all cells, of cells that share no
network, or of one cell for each network.

- gp wl, gp both: Gaussian processes with a Weisfeiler-Lehman kernel on the graphs (depth 1, sums
  contracted, both directions, normalised histogram intersection), alone and added to the Matérn kernel
  on features (Ru et al., NAS-BOWL, ICLR 2021). Accuracies are compressed as in predictors/gp.py.
- lightgbm, hist-gb, extra-trees: on the features that the trees get.
- dag: the networks of train/dagnet.py alone, which pass messages along the graph. dag+, extra+: mean with the
  default; dag+ is what ``fit --message-passing`` makes.

The interval of a difference is Student's t over draws. Draws are not independent: two of them share labels.
Nadeau and Bengio (Machine Learning 2003) correct for it with the correlation r of two draws, by a variance
of (1 / draws + r / (1 - r)) s2; r is here the share of its labels that one draw expects to find in another,
labels / cells. (Theirs, tested / all, is meant for small test sets: it would be 0.99 at 78 labels.) p
is Holm's over all candidates. A gain counts if p < 0.05 and it is at least 0.01.
"""

from __future__ import annotations

import argparse
import importlib.util
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from accuracy import SCORES, Floats, Rows, halves
from accuracy import labels as cifar10_labels
from candidates_wl import histograms, process, wl_kernel
from joblib import Parallel, delayed
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from scipy.special import stdtr, stdtrit

import nasbench_tab as nbt
from nasbench_tab.predictors.base import groups_of
from nasbench_tab.predictors.ensemble import Ensemble, fit_ensemble
from nasbench_tab.predictors.features import features, metric_columns
from nasbench_tab.predictors.graphs import graphs_of
from nasbench_tab.stats.prediction import kendall_tau, point_scores, precision_at, tau_in_top

DEFAULT = "ensemble"


class Data(NamedTuple):
    """``n`` cells of a table: features, networks, labels, columns of the process, graphs' histograms."""

    name: str
    cells: NDArray[np.uint8]
    x: NDArray[np.float32]
    groups: Rows
    y: Floats
    columns: Rows


class Draw(NamedTuple):
    """Fitted rows, and the tested ones: one for each network."""

    data: Data
    fitted: Rows
    tested: Rows
    ensemble: Ensemble


Candidate = Callable[[Draw, int], Floats]


def table_data(name: str) -> Data:
    """Return the cells of a table, each with one training's label."""
    bench = nbt.load(name)
    if name == "nb201-cifar10":
        x, groups, y, columns = cifar10_labels()
        cells = np.array([bench.space.unindex(i) for i in range(len(y))], np.uint8)
        return Data(name, cells, x, groups, y, columns)
    cells = bench.measured()
    if len(cells) > 16_000:  # a fixed sample, so that tests take no longer than elsewhere
        cells = cells[np.sort(np.random.default_rng(0).permutation(len(cells))[:6000])]
    y = np.array([bench.query(c, seed=bench.seeds(c)[0]) for c in map(tuple, cells.tolist())])
    found = features(bench.space, cells)
    groups = groups_of(bench.space, cells)
    return Data(name, cells, found.x, groups, y, metric_columns(found.names))


def of_members(part: Any, x: NDArray[np.float32]) -> Floats:
    return np.asarray(part.members(x).mean(axis=1)[:, 0])


def estimator(make: Callable[[int], Any]) -> Candidate:
    """Return a candidate with scikit-learn's interface."""

    def predictions(draw: Draw, seed: int) -> Floats:
        data = draw.data
        fitted = make(seed).fit(data.x[draw.fitted], data.y[draw.fitted])
        return np.asarray(fitted.predict(data.x[draw.tested]), np.float64)

    return predictions


def lightgbm(seed: int) -> Any:
    import lightgbm as lgb

    return lgb.LGBMRegressor(
        n_estimators=400, learning_rate=0.05, num_leaves=15, min_child_samples=3, subsample=0.8,
        subsample_freq=1, colsample_bytree=0.5, random_state=seed, n_jobs=1, verbose=-1,
    )  # fmt: skip


def hist_gb(seed: int) -> Any:
    from sklearn.ensemble import HistGradientBoostingRegressor  # type: ignore[import-untyped]

    return HistGradientBoostingRegressor(
        max_iter=300, learning_rate=0.06, min_samples_leaf=3, max_features=0.5, early_stopping=False,
        random_state=seed,
    )  # fmt: skip


def extra_trees(seed: int) -> Any:
    from sklearn.ensemble import ExtraTreesRegressor

    return ExtraTreesRegressor(
        300, min_samples_leaf=2, max_features=0.5, random_state=seed, n_jobs=1
    )


def graph_process(draw: Draw, both: bool) -> Floats:
    data = draw.data
    counts = histograms(
        nbt.load(data.name).space, data.cells[np.r_[draw.fitted, draw.tested]], depth=1
    )
    x = data.x[:, data.columns]
    return process(
        (x[draw.fitted], x[draw.tested]) if both else None,
        wl_kernel(counts, len(draw.fitted)),
        data.y[draw.fitted],
    )


def dag(draw: Draw, seed: int) -> Floats:
    from nasbench_tab.train.dagnet import train_dagnet

    space, cells = nbt.load(draw.data.name).space, draw.data.cells
    fitted, tested = (graphs_of(space, cells[rows]) for rows in (draw.fitted, draw.tested))
    labels = draw.data.y[draw.fitted]
    return train_dagnet(fitted, labels, np.random.default_rng(seed)).mean(tested)


def gp(draw: Draw, _: int) -> Floats:
    assert draw.ensemble.gp is not None  # noqa: S101 - there are enough rows
    return draw.ensemble.gp.mean(draw.data.x[draw.tested][:, draw.ensemble.columns])[:, 0]


CANDIDATES: dict[str, Candidate] = {
    DEFAULT: lambda draw, _: of_members(draw.ensemble, draw.data.x[draw.tested]),
    "trees": lambda draw, _: of_members(draw.ensemble.trees, draw.data.x[draw.tested]),
    "gp": gp,
    "gp wl": lambda draw, _: graph_process(draw, both=False),
    "gp both": lambda draw, _: graph_process(draw, both=True),
    "lightgbm": estimator(lightgbm),
    "hist-gb": estimator(hist_gb),
    "extra-trees": estimator(extra_trees),
    "dag": dag,
}
#: Means of others.
BLENDS = {
    "extra+": (DEFAULT, "extra-trees"),
    "dag+": (DEFAULT, "dag"),
    "trees+gp both": ("trees", "gp both"),
}
NEEDS = {"lightgbm": "lightgbm", "hist-gb": "sklearn", "extra-trees": "sklearn", "dag": "torch"}


def scores_of(draw_number: int, way: str, n: int, data: Data, chosen: list[str]) -> Floats:
    """Return ``(candidates, scores)`` of one draw."""
    half, tested = halves(way, data.groups, np.random.default_rng(draw_number))
    fitted = np.random.default_rng([draw_number, n]).permutation(half)[:n]
    # Cells of one network have the same features: each network is asked once.
    _, first, network = np.unique(data.groups[tested], return_index=True, return_inverse=True)
    ensemble = fit_ensemble(
        data.x[fitted], data.y[fitted, None], data.groups[fitted],
        np.random.default_rng(draw_number), columns=data.columns,
    )  # fmt: skip
    draw = Draw(data, fitted, tested[first], ensemble)
    found: dict[str, Floats] = {}
    wanted = {part for name in chosen for part in BLENDS.get(name, (name,))}
    for name, candidate in CANDIDATES.items():
        if name in wanted:
            found[name] = candidate(draw, draw_number)
    for name in chosen:
        if name in BLENDS:
            found[name] = np.mean([found[part] for part in BLENDS[name]], axis=0)
    actual, rows = data.y[tested], []
    for name in chosen:
        predicted = found[name][network]
        at = precision_at(predicted, actual, max(1, len(actual) // 100))
        error = point_scores(predicted, actual)["mae"]
        rows.append([kendall_tau(predicted, actual), tau_in_top(predicted, actual), at, error])
    return np.array(rows)


class Difference(NamedTuple):
    """Of a candidate to the default: mean, interval, p before Holm's correction."""

    mean: float
    low: float
    high: float
    p: float


def difference(values: Floats, correlation: float) -> Difference:
    """Return the mean of paired differences of draws that correlate so much."""
    n, mean, spread = len(values), float(values.mean()), float(values.std(ddof=1))
    error = spread * float(np.sqrt(1 / n + correlation / (1 - correlation)))
    if error == 0:
        return Difference(mean, mean, mean, 1.0 if mean == 0 else 0.0)
    half = float(stdtrit(n - 1, 0.975)) * error
    return Difference(mean, mean - half, mean + half, float(2 * stdtr(n - 1, -abs(mean) / error)))


def holm(values: Iterable[float]) -> list[float]:
    """Return p values corrected for how many there are (Holm, 1979)."""
    given = list(values)
    corrected, least = [0.0] * len(given), 0.0
    for rank, place in enumerate(np.argsort(given, kind="stable").tolist()):
        least = max(least, min(1.0, given[place] * (len(given) - rank)))
        corrected[place] = least
    return corrected


def rows_of(chosen: list[str], scores: Floats, correlation: float) -> list[list[str]]:
    """Return a row of words for each candidate; ``scores`` are ``(draws, candidates, 4)``."""
    n = len(scores)
    base = scores[:, chosen.index(DEFAULT)]
    found = {
        name: difference(scores[:, k, 0] - base[:, 0], correlation)
        for k, name in enumerate(chosen)
        if name != DEFAULT
    }
    corrected = dict(zip(found, holm(d.p for d in found.values()), strict=True))
    rows = []
    for k, name in enumerate(chosen):
        means = [f"{value:.3f}" for value in scores[:, k].mean(axis=0)]
        half = float(stdtrit(n - 1, 0.975)) * scores[:, k, 0].std(ddof=1) / np.sqrt(n)
        row = [name, f"{scores[:, k, 0].mean():.4f} ± {half:.4f}", *means[1:]]
        if name in found:
            d, p = found[name], corrected[name]
            real = p < 0.05 and abs(d.mean) >= 0.01
            word = ("better" if d.mean > 0 else "worse") if real else "-"
            row += [f"{d.mean:+.4f} [{d.low:+.4f}, {d.high:+.4f}]", f"{p:.3f}", word]
        else:
            row += ["(default)", "", ""]
        rows.append(row)
    return rows


HEAD = ["candidate", *SCORES, "tau less default's", "p (Holm)", "verdict"]


def printed(title: str, rows: list[list[str]], console: Console) -> str:
    """Print a table, and return it as Markdown."""
    table = Table(title=title)
    for column in HEAD:
        table.add_column(column, justify="left" if column == HEAD[0] else "right")
    for row in rows:
        table.add_row(*row)
    console.print(table)
    lines = [f"**{title}**", "", f"| {' | '.join(HEAD)} |", "|---" * len(HEAD) + "|"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows), "", ""])


def main() -> None:
    names = [*CANDIDATES, *BLENDS]
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--table", default="nb201-cifar10")
    parser.add_argument("--draws", type=int, default=30)
    parser.add_argument("--labels", type=int, nargs="+", default=[32, 78, 390, 781])
    parser.add_argument("--split", nargs="+", default=["cells"], choices=["cells", "networks", "one each"])  # fmt: skip
    parser.add_argument("--only", nargs="+", default=names, choices=names, metavar="CANDIDATE")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--markdown", type=Path, help="write the tables there")
    given = parser.parse_args()
    if given.draws < 2:
        parser.error("--draws must be at least 2: an interval needs them")
    console, chosen = Console(width=150), [DEFAULT]
    for name in [n for n in given.only if n != DEFAULT]:
        needs = [NEEDS[part] for part in BLENDS.get(name, (name,)) if part in NEEDS]
        if absent := [module for module in needs if importlib.util.find_spec(module) is None]:
            console.print(f"{name} left out: {absent[0]} is not installed")
        else:
            chosen.append(name)
    data, text = table_data(given.table), ""
    for way in given.split:
        for n in given.labels:
            scores = np.array(
                Parallel(n_jobs=given.jobs)(
                    delayed(scores_of)(i, way, n, data, chosen) for i in range(given.draws)
                )
            )
            cells = len(data.y) if way != "one each" else int(data.groups.max()) + 1
            title = f"{given.table}, split by {way}: {n} labels, {cells // 2} tested, {given.draws} draws"
            text += printed(title, rows_of(chosen, scores, n / cells), console)
            if given.markdown:  # after each, so that a run that is stopped leaves something
                given.markdown.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
