"""Does the statistics of the winners' bias keep its promises? Studies of a known truth with a planted bias.

    .venv/bin/python tools/bias_simulation.py                    # 10,000 studies a row, half a minute of one core
    .venv/bin/python tools/bias_simulation.py --studies 1000

A study: a search takes the cell with the best claim of N draws, once in each of its runs; the winners are
trained afresh and the bias is estimated. Its true value is known: the selection's own (the mean over all
studies of claim less truth) moved to 0 or to one deviation between seeds. All figures are in units of that deviation.
Nothing below is fitted to the outcome; the functions are those of nasbench_tab.stats.

Columns: type I = how often the two-sided test at 5 % rejects where there is no bias; coverage of the 95 %
interval; power = how often a bias of 1 is found; equivalence = how often the test says "less than 1" where
the bias is 1 (wrong), and where it is 0 (right). Studies with too few cells for a verdict count as not
rejecting and are left out of the coverage.

A second table shows what the winners' bias is made of where no bias is planted: by theory, by pairs of claim
and another training of 400 drawn cells, and in drawn cells, all of them and those of the winners' claims. The
last ones are as overestimated as the winners: such a control hides the curse.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

import nasbench_tab as nbt
from nasbench_tab.stats.bias import MIN_CELLS, MIN_EFFECTIVE
from nasbench_tab.stats.cellmean import (
    Mean,
    cell_gaps,
    cell_mean,
    interval,
    p_equivalence,
    p_two_sided,
    total,
)
from nasbench_tab.stats.selection import excess_of_pairs, level_matched, normal_excess

Floats = NDArray[np.float64]
Noise = Callable[[np.random.Generator, tuple[int, ...]], Floats]
NAN = float("nan")


def normal(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    return rng.standard_normal(shape)


def heavy(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Student's t with three degrees of freedom, scaled to variance 1; its kurtosis is infinite."""
    return np.asarray(rng.standard_t(3, shape) / np.sqrt(3))


def tails(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Student's t with five degrees of freedom, scaled to variance 1."""
    return np.asarray(rng.standard_t(5, shape) / np.sqrt(5 / 3))


def outliers(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """One in twenty has three times the deviation of the others; variance 1."""
    wide = np.where(rng.random(shape) < 0.05, 3.0, 1.0)
    return np.asarray(rng.standard_normal(shape) * wide / np.sqrt(0.95 + 0.05 * 9))


def skewed(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Mostly a little too good, at times far too bad: 1 less an exponential number."""
    return 1 - rng.standard_exponential(shape)


class Scenario(NamedTuple):
    """One kind of study.

    Attributes:
        name: Of its row.
        runs: Search runs; each has one winner.
        seeds: Fresh trainings of each winner.
        error: Deviation of the claims' error.
        noise: Law of the errors of claims and trainings.
        spread: Deviation of the truth between cells; 0 = the truth is nb201-cifar10's.
        draws: Evaluations of a run.
        pool: Cells that the runs of a study share; 0 = so many that no cell is found twice.
        fails: Probability that a training fails.
        known: Cells by which the drift is measured, with as many seeds; 0 = there is no drift.
        method: How the mean and its error are found.
    """

    name: str
    runs: int = 20
    seeds: int = 3
    error: float = 1.0
    noise: Noise = normal
    spread: float = 2.0
    draws: int = 100
    pool: int = 0
    fails: float = 0.0
    known: int = 0
    method: str = "t and skewness"


class Studies(NamedTuple):
    """Many studies of one scenario, ``S`` of them, with ``n`` winners at most.

    Attributes:
        gaps: ``(S, n)`` claim less mean of the fresh values, no bias planted; NaN = no winner or no value.
        trainings: ``(S, n, R)`` the same for single trainings.
        runs: ``(S, n)`` runs that each won.
        drift: Of the known cells; None = there is none.
        curse: Mean over the studies of claim less truth.
    """

    gaps: Floats
    trainings: Floats
    runs: Floats
    drift: Mean | None
    curse: float


def simulate(
    scenario: Scenario, studies: int, rng: np.random.Generator, surface: Floats
) -> Studies:
    """Return studies; ``surface`` holds the values of a real table, in seed deviations."""
    truth, claim, runs = _winners(scenario, studies, rng, surface)
    cells = truth.shape
    drift, moved = None, np.zeros(cells)
    if scenario.known:
        known = 0.5 + 0.2 * scenario.noise(rng, (studies, scenario.known, 1))
        shape = (studies, scenario.known, scenario.seeds)
        # Retrained less on record: both are trainings, on two machines that share no rounding.
        differences = known + scenario.noise(rng, shape) - scenario.noise(rng, shape)
        drift = cell_mean(differences.mean(axis=-1))
        moved = 0.5 + 0.2 * scenario.noise(rng, cells)
    fresh = (truth + moved)[..., None] + scenario.noise(rng, (*cells, scenario.seeds))
    fresh[rng.random(fresh.shape) < scenario.fails] = np.nan
    shares = runs / runs.sum(axis=1, keepdims=True)
    curse = float(np.where(runs > 0, shares * (claim - truth), 0.0).sum(axis=1).mean())
    fresh[runs == 0] = np.nan
    gaps = cell_gaps(claim, fresh, "max")
    return Studies(gaps, claim[..., None] - fresh, runs, drift, curse)


def _winners(
    scenario: Scenario, studies: int, rng: np.random.Generator, surface: Floats
) -> tuple[Floats, Floats, Floats]:
    """Return ``(S, n)`` truth, claim and runs of each study's winners."""
    shape = (studies, scenario.pool or scenario.runs * scenario.draws)
    truth = np.empty(shape)
    truth = (
        scenario.spread * rng.standard_normal(shape)
        if scenario.spread
        else rng.choice(surface, shape)
    )
    claim = truth + scenario.error * scenario.noise(rng, shape)
    rows = np.arange(studies)[:, None]
    if not scenario.pool:
        each = claim.reshape(studies, scenario.runs, scenario.draws)
        won = each.argmax(axis=2) + scenario.draws * np.arange(scenario.runs)
        return truth[rows, won], claim[rows, won], np.ones(won.shape)
    seen = rng.integers(scenario.pool, size=(studies, scenario.runs, scenario.draws))
    at = np.arange(studies)[:, None, None]
    best = claim[at, seen].argmax(axis=2)
    won = np.sort(np.take_along_axis(seen, best[..., None], axis=2)[..., 0], axis=1)
    runs = (won[:, :, None] == won[:, None, :]).sum(axis=2).astype(float)
    again = np.diff(won, axis=1, prepend=-1) == 0
    runs[again] = 0.0  # a cell stands once, with all its runs
    return truth[rows, won], claim[rows, won], runs


def estimated(found: Studies, method: str, rng: np.random.Generator) -> tuple[Mean, Floats, Floats]:
    """Return the mean of each study and both ends of its interval, the drift taken out."""
    mean = cell_mean(found.gaps, found.runs)
    if method == "REML":
        mean = reml(found.trainings)
    if method == "t":
        mean = mean._replace(skewness=np.zeros_like(mean.mean))
    if found.drift is not None:
        mean = total(mean, found.drift)
    low, high = interval(mean)
    if method == "bootstrap":
        low, high = bootstrap(found.gaps, rng)
    return mean, low, high


def reml(trainings: Floats) -> Mean:
    """Return the means of balanced mixed models, fitted by restricted maximum likelihood (closed form)."""
    studies, n, seeds = trainings.shape
    means = trainings.mean(axis=2)
    between = seeds * means.var(axis=1, ddof=1)
    inside = ((trainings - means[..., None]) ** 2).sum(axis=(1, 2)) / (n * (seeds - 1))
    pooled = (between * (n - 1) + inside * n * (seeds - 1)) / (n * seeds - 1)
    at_zero = between < inside  # the cells' variance would be negative
    square = np.where(at_zero, pooled, between)
    df = np.where(at_zero, n * seeds - 1, n - 1).astype(float)
    return Mean(means.mean(axis=1), np.sqrt(square / (n * seeds)), df, np.zeros(studies))


def bootstrap(
    gaps: Floats, rng: np.random.Generator, resamples: int = 1000
) -> tuple[Floats, Floats]:
    """Return percentile intervals over cells at the level that makes up for few of them."""
    from nasbench_tab.stats.bootstrap import resampling_weights, widened_level

    n = gaps.shape[1]
    tail = (1 - widened_level(n)) / 2
    drawn = resampling_weights(n, resamples, rng) @ gaps.T
    low, high = np.quantile(drawn, [tail, 1 - tail], axis=0)
    return low, high


class Row(NamedTuple):
    """Shares of the studies of one scenario; see the module's docstring."""

    cells: float
    curse: float
    error: float
    type_i: float
    coverage: float
    power: float
    wrong: float
    right: float


def row(scenario: Scenario, studies: int, rng: np.random.Generator, surface: Floats) -> Row:
    """Simulate one scenario."""
    found = simulate(scenario, studies, rng, surface)
    mean, low, high = estimated(found, scenario.method, rng)
    known = np.isfinite(found.gaps)
    weight = np.where(known, found.runs, 0.0)
    effective = weight.sum(axis=1) ** 2 / (weight**2).sum(axis=1)
    able = (known.sum(axis=1) >= MIN_CELLS) & (effective >= MIN_EFFECTIVE)

    def planted(bias: float) -> Mean:
        return mean._replace(mean=mean.mean - found.curse + bias)

    def share(which: NDArray[np.bool_]) -> float:
        return float((which & able).mean())

    covered = (low <= found.curse) & (found.curse <= high)
    if scenario.method == "bootstrap":
        apart = found.curse - 1
        power, wrong, right = share((low > apart) | (high < apart)), NAN, NAN
        type_i = share(~covered)
    else:
        type_i, power = (share(p_two_sided(planted(bias)) <= 0.05) for bias in (0.0, 1.0))
        wrong, right = (share(p_equivalence(planted(bias), 1.0) <= 0.05) for bias in (1.0, 0.0))
    cells = float(np.median(known.sum(axis=1)))
    coverage = float(covered[able].mean()) if able.any() else NAN
    return Row(
        cells, found.curse, float(mean.se[able].mean()), type_i, coverage, power, wrong, right
    )


def scenarios() -> list[Scenario]:
    """Return those of docs/verification.md."""
    plain = Scenario("normal errors, claims off by 1")
    ways = [
        kind._replace(name=f"{kind.name}, {method}", method=method)
        for kind in (
            plain._replace(runs=12),
            plain._replace(runs=12, error=0.3, name="normal errors, claims off by 0.3"),
            plain._replace(name="5 % outliers", noise=outliers),
            plain._replace(name="t with 3 df", noise=heavy),
        )
        for method in ("t", "bootstrap", "REML", "t and skewness")
    ]
    kinds = [
        plain,
        plain._replace(name="12 runs", runs=12),
        plain._replace(name="6 runs", runs=6),
        plain._replace(name="claims off by 0.3", error=0.3),
        plain._replace(name="claims off by 1.5", error=1.5),
        plain._replace(name="skewed errors", noise=skewed),
        plain._replace(name="5 % outliers", noise=outliers),
        plain._replace(name="5 % outliers, 12 runs", noise=outliers, runs=12),
        plain._replace(name="t with 5 df", noise=tails),
        plain._replace(name="t with 3 df", noise=heavy),
        plain._replace(name="t with 3 df, 12 runs", noise=heavy, runs=12),
        plain._replace(name="t with 3 df, 50 runs", noise=heavy, runs=50),
        plain._replace(name="runs share 300 cells", pool=300, draws=30),
        plain._replace(name="runs share 100 cells", pool=100, draws=30),
        plain._replace(name="30 % of trainings fail", fails=0.3),
        *(plain._replace(name=f"drift by {m} known cells", known=m) for m in (6, 12, 20)),
        plain._replace(
            name="t with 5 df, 300 shared cells, 20 % fail, drift by 12",
            noise=tails,
            pool=300,
            draws=30,
            fails=0.2,
            known=12,
        ),
        plain._replace(name="truth of nb201-cifar10", spread=0.0),
        plain._replace(name="the same, t with 5 df, 12 runs", spread=0.0, runs=12, noise=tails),
        plain._replace(name="the same, t with 3 df", spread=0.0, noise=heavy),
    ]
    return [*kinds, *ways]


class Controls(NamedTuple):
    """Means over studies, claims off by 1 and no bias planted.

    Attributes:
        winners: Bias of the winners: the curse.
        drawn: Bias of cells that were drawn.
        difference: Winners less drawn cells of the same claims.
        matched: Share of winners with such a cell.
        theory: Expected bias of the winners, for normal truth and error.
        pairs: The same by pairs of claim and another training of 400 drawn cells.
    """

    winners: float
    drawn: float
    difference: float
    matched: float
    theory: float
    pairs: float


def controls(studies: int, rng: np.random.Generator, spread: float = 2.0) -> Controls:
    """Return what controls show: drawn cells, drawn cells of the winners' claims, expectation."""
    scenario = Scenario("", spread=spread)
    truth, claim, _ = _winners(scenario, studies, rng, np.empty(0))
    fresh = truth[..., None] + rng.standard_normal((*truth.shape, scenario.seeds))
    gaps = cell_gaps(claim, fresh, "max")
    cells = spread * rng.standard_normal((studies, 400))
    drawn = cells + rng.standard_normal(cells.shape)
    values = cells[..., None] + rng.standard_normal((*cells.shape, scenario.seeds))
    drawn_gaps = cell_gaps(drawn, values, "max")
    each = [
        level_matched(*of, caliper=0.25) for of in zip(claim, gaps, drawn, drawn_gaps, strict=True)
    ]
    pairs = [
        excess_of_pairs(a, b, scenario.draws, "max", rng, resamples=1)
        for a, b in zip(drawn, values[..., 0], strict=True)
    ]
    return Controls(
        float(gaps.mean()),
        float(drawn_gaps.mean()),
        float(np.nanmean([one.difference for one in each])),
        float(np.mean([one.n for one in each])) / scenario.runs,
        normal_excess(scenario.draws, spread, scenario.error),
        float(np.mean([one.excess.estimate for one in pairs])),
    )


def nb201() -> Floats:
    """Return the mean accuracies of nb201-cifar10 in units of the best tenth's deviation between seeds."""
    bench = nbt.load("nb201-cifar10")
    return np.asarray(bench.query(np.arange(15_625))) / 0.2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--studies", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    surface = nb201()
    print(
        "| study | cells | selection's bias | mean error | type I | coverage | power | equivalence wrong / right |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for i, scenario in enumerate(scenarios()):
        rng = np.random.default_rng([asked.seed, i])
        parts = [
            row(scenario, min(500, asked.studies), rng, surface)
            for _ in range(max(1, asked.studies // 500))
        ]
        found = Row(*np.mean(parts, axis=0).tolist())
        print(
            f"| {scenario.name} | {found.cells:.0f} | {found.curse:.2f} | {found.error:.2f} | "
            f"{found.type_i:.1%} | {found.coverage:.1%} | {found.power:.1%} | {found.wrong:.1%} / {found.right:.1%} |".replace(
                "nan%", "-"
            ),
            flush=True,
        )
    many = max(100, asked.studies // 10)
    print(
        "\n| truth's deviation | winners | by theory | by pairs | drawn cells "
        "| winners less drawn of like claim | winners matched |"
    )
    print("|---|---|---|---|---|---|---|")
    for i, spread in enumerate((0.5, 1.0, 2.0)):
        of = controls(many, np.random.default_rng([asked.seed, 100 + i]), spread)
        print(
            f"| {spread} | {of.winners:+.2f} | {of.theory:+.2f} | {of.pairs:+.2f} | {of.drawn:+.2f} "
            f"| {of.difference:+.2f} | {of.matched:.0%} |"
        )


if __name__ == "__main__":
    main()
