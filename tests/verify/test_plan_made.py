"""What a plan chooses, against a second way of finding it; its price and its power."""

from __future__ import annotations

import math
import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fitting.made_up import observed

import nasbench_tab as nbt
from nasbench_tab.benchmarks.surrogate import SEEDS
from nasbench_tab.errors import InvalidArgumentError, NasbenchTabError, ResultsError
from nasbench_tab.fitting.make import make_surrogate
from nasbench_tab.predictors.store import read_surrogate, write_surrogate
from nasbench_tab.records import Architecture, Protocol
from nasbench_tab.search.compare import compare
from nasbench_tab.search.results import load_results
from nasbench_tab.stats.cellmean import cell_mean, smallest_detectable
from nasbench_tab.train.recipes import recipe_hash
from nasbench_tab.train.splits import load_split, split_hash
from nasbench_tab.train.tasks import TASKS
from nasbench_tab.verify.make import make_plan
from nasbench_tab.verify.plan import TESTED, Claim, Plan, lanes, read_plan
from nasbench_tab.verify.task import find_task

from .tiny import CELLS, POOR, SPACE, TASK, make_comparison, make_guess, make_table, write_log

EVOLUTION = "evolution(population=3, tournament=2)"


def same(plan: Plan, **fields: Any) -> str:
    """A plan as text, without its date and whatever else is given."""
    return repr(plan._replace(date="", **fields))


def arm(plan: Plan, name: str, strategy: str = "") -> list[Claim]:
    return lanes(plan).get((name, strategy), [])


def network(claim: Claim) -> Architecture:
    return SPACE.canonical(claim.cell)


@pytest.mark.parametrize("top", [1, 2, 30])
@pytest.mark.parametrize("strategy", ["random", EVOLUTION])
def test_winners_are_the_incumbents_of_the_first_runs(
    compared: Path, strategy: str, top: int
) -> None:
    frame = load_results(compared).frame()
    rows = frame[frame.strategy == strategy].sort_values("run")
    ended: dict[Architecture, list[tuple[int, float]]] = {}
    columns = (rows[name].tolist() for name in ("architecture", "run", "observed"))
    for text, run, observed_value in zip(*columns, strict=True):
        ended.setdefault(SPACE.canonical(SPACE.parse(text)), []).append((run, observed_value))
    expected = list(ended.items())[:top]
    found = arm(make_plan(compared, top=top), "winners", strategy)
    assert [network(claim) for claim in found] == [cell for cell, _ in expected]
    for claim, (_, of_runs) in zip(found, expected, strict=True):
        assert list(zip(claim.runs, claim.observed, strict=True)) == of_runs
        assert claim.value == pytest.approx(np.mean(claim.observed), abs=1e-12)
        assert (claim.epoch, claim.source) == (2, "table")


def test_what_a_winners_claim_did_not_use(home: Path, compared: Path) -> None:
    results, bench = load_results(compared), nbt.load("mine")
    plan = make_plan(compared, top=30)
    known = 0
    for claim in plan.claims:
        if claim.arm != "winners":
            continue
        trials, used = results.trials("mine", claim.strategy), set()
        ends = np.cumsum(trials.lengths)
        for run in claim.runs:
            for at in range(ends[run] - trials.lengths[run], ends[run]):
                if SPACE.canonical(tuple(trials.architectures[at].tolist())) == network(claim):
                    used.add(int(trials.seeds[at]))
        left = {seed: bench.query(claim.cell, seed=seed) for seed in bench.seeds(claim.cell)}
        assert dict(claim.known) == {s: v for s, v in left.items() if s not in used}
        known += bool(claim.known)
    assert known  # else it has tested nothing


def test_the_benchmarks_best_and_the_random_cells(compared: Path) -> None:
    bench, plan = nbt.load("mine"), make_plan(compared, top=5)
    best = sorted((bench.query(cell) for cell in CELLS), reverse=True)[:5]
    assert [claim.value for claim in arm(plan, "top")] == best
    drawn = [network(claim) for claim in arm(plan, "random")]
    assert len(set(drawn)) == 5
    assert {*drawn} <= {*CELLS}
    assert [c.value for c in arm(plan, "random")] == bench.query(drawn).tolist()
    more = [network(claim) for claim in arm(make_plan(compared, top=8), "random")]
    assert more[:5] == drawn
    other = [network(claim) for claim in arm(make_plan(compared, top=5, seed=1), "random")]
    assert other != drawn


def test_known_cells_are_retrained_with_their_logged_seeds(compared: Path) -> None:
    bench = nbt.load("mine")
    for seeds in (1, 3):
        claims = arm(make_plan(compared, top=6, seeds=seeds), "known")
        assert len(claims) == 6
        for claim in claims:
            logged = bench.seeds(claim.cell)
            assert dict(claim.known) == {s: bench.query(claim.cell, seed=s) for s in logged}
            assert claim.seeds == logged[:seeds]


def test_fresh_seeds_are_fresh_and_belong_to_the_network(compared: Path) -> None:
    plan = make_plan(compared, top=30, seeds=4)
    assert plan.used_seeds == (0, 1)
    of_network: dict[Architecture, tuple[int, ...]] = {}
    for claim in plan.claims:
        if claim.arm not in TESTED:
            continue
        assert len({*claim.seeds} - {*plan.used_seeds}) == 4
        assert of_network.setdefault(network(claim), claim.seeds) == claim.seeds
    assert len({seed for seeds in of_network.values() for seed in seeds}) == 4 * len(of_network)
    for claim in make_plan(compared, top=30, seeds=2).claims:
        if claim.arm in TESTED:
            assert claim.seeds == of_network[network(claim)][:2]
    assert plan.trainings == len(
        {(network(claim), seed) for claim in plan.claims for seed in claim.seeds}
    )


def test_the_same_arguments_make_the_same_plan(compared: Path) -> None:
    assert same(make_plan(compared)) == same(make_plan(compared))
    assert same(make_plan(compared)) != same(make_plan(compared, seed=1), seed=0)


def test_another_strategy_moves_no_other_arm(home: Path, tmp_path: Path) -> None:
    alone = make_plan(make_comparison(tmp_path / "alone", strategies=["random"]))
    both = make_plan(home / "compared")
    for name in ("top", "random", "known"):
        assert arm(alone, name) == arm(both, name)
    assert arm(alone, "winners", "random") == arm(both, "winners", "random")


def test_a_table_of_one_seed_claims_by_that_seed(tmp_path: Path) -> None:
    bench = nbt.load("mine")
    plan = make_plan(make_comparison(tmp_path / "x", protocol={"seeds": 1}), top=4)
    for claim in plan.claims:
        if claim.arm not in TESTED:
            continue
        assert claim.value == bench.query(claim.cell, seed=1)
        assert dict(claim.known) == {0: bench.query(claim.cell, seed=0)}


def test_a_search_on_means_uses_every_training(tmp_path: Path) -> None:
    plan = make_plan(make_comparison(tmp_path / "x", protocol={"seeds": "mean"}))
    assert not any(claim.known for claim in plan.claims if claim.arm in TESTED)
    assert plan.residual_sd < make_plan_sd(plan.seed_sd, plan.seeds_each)


def make_plan_sd(seed_sd: float, seeds: int) -> float:
    """Of one training against the mean of others."""
    return seed_sd * math.sqrt(1 + 1 / seeds)


@pytest.mark.parametrize("seeds", [1, 4])
def test_power_and_margin(compared: Path, seeds: int) -> None:
    bench, plan = nbt.load("mine"), make_plan(compared, seeds=seeds, top=3)
    pairs = np.array([[bench.query(c, seed=s) for s in (0, 1)] for c in CELLS[1::2]])
    better = pairs[pairs.mean(axis=1) >= np.median(pairs.mean(axis=1))]
    assert plan.seed_sd == pytest.approx(np.sqrt(better.var(axis=1, ddof=1).mean()))
    assert plan.residual_sd == pytest.approx(make_plan_sd(plan.seed_sd, seeds))
    won = Counter[Architecture]()
    for claim in arm(plan, "winners", "random") + arm(plan, "winners", EVOLUTION):
        won[network(claim)] += len(claim.runs)
    shares = np.array([*won.values()]) / won.total()
    error = plan.residual_sd * math.sqrt((shares**2).sum())
    df = float(cell_mean(np.zeros(len(shares)), shares).df)
    assert plan.smallest == pytest.approx(smallest_detectable(error, df))
    assert plan.margin == pytest.approx(plan.seed_sd / 2, rel=0.05)
    assert make_plan(compared, margin=0.7).margin == 0.7


def test_the_price_is_that_of_distinct_trainings(compared: Path) -> None:
    bench, plan = nbt.load("mine"), make_plan(compared, top=30, seeds=2)
    once = {(network(claim), seed) for claim in plan.claims for seed in claim.seeds}
    total = sum(
        bench.query(cell, "train_seconds") + bench.query(cell, "eval_seconds") for cell, _ in once
    )
    assert plan.seconds == pytest.approx(total)
    assert plan.seconds_each == pytest.approx(total / len(once))
    assert "a chip" in plan.price


def test_a_verdict_that_is_out_of_reach_is_said_before_anything_is_trained(
    compared: Path, searched: Path
) -> None:
    plan = make_plan(compared)  # few networks, and one won most runs
    cells = {network(claim) for claim in plan.claims if claim.arm == "winners"}
    assert f"No verdict on the winners is possible: they are {len(cells)}" in " ".join(plan.notes)
    assert "No verdict" not in " ".join(read_plan(searched / "surrogate").notes)


def test_too_few_networks_are_said(compared: Path) -> None:
    assert not re.search("random: its 6 runs", " ".join(make_plan(compared, top=1).notes))
    assert re.search(
        r"random: its 6 runs .* fewer than 30", " ".join(make_plan(compared, top=30).notes)
    )


# --- Which task -----------------------------------------------------------------------------------------


def test_a_task_is_found_by_its_recipe_not_by_a_name() -> None:
    found = find_task(nbt.load("mine"))
    assert (found.task, found.same) == (TASK, True)
    fashion = find_task(nbt.load("nb201-fashion"))
    assert fashion.task.dataset == "fashion-mnist"
    assert fashion.same


def test_a_published_table_is_found_by_its_name(published: Path) -> None:
    plan = make_plan(published, top=2)
    assert (plan.task, plan.dataset, plan.canonical) == ("nb201-cifar10-200", "cifar10", False)
    assert not plan.same_recipe
    assert arm(plan, "known") == []
    assert "a seed means another training" in " ".join(plan.notes)
    assert "simulated" in plan.price
    assert {777, 888, 999, -1, -2} <= {*plan.used_seeds}
    assert plan.seconds > 200 * plan.trainings


def test_a_recipe_that_no_task_has(monkeypatch: pytest.MonkeyPatch, compared: Path) -> None:
    monkeypatch.delitem(TASKS, "tiny")
    with pytest.raises(InvalidArgumentError, match="which no task of this release has"):
        make_plan(compared)


def test_a_benchmark_without_a_recipe(tmp_path: Path) -> None:
    compare(["nbgraph-proteins"], ["random"], runs=2, budget=5, out=tmp_path / "x")
    with pytest.raises(InvalidArgumentError, match="What is missing is a task"):
        make_plan(tmp_path / "x")


@pytest.mark.parametrize("name", ["nb201-cifar100", "nb201-imagenet16-120"])
def test_published_tables_whose_images_no_task_has(name: str) -> None:
    with pytest.raises(InvalidArgumentError, match="nor is a recipe of its publishers here"):
        find_task(nbt.load(name))


def test_an_objective_that_trainings_do_not_log(home: Path, tmp_path: Path) -> None:
    log = write_log(tmp_path / "odd.jsonl")
    log.write_text(log.read_text().replace("valid_accuracy", "valid_f1"))
    from nasbench_tab.train.tabulate import tabulate

    tabulate([log], home / "data" / "odd", SPACE, objective="valid_f1")
    with pytest.raises(InvalidArgumentError, match="searched by 'valid_f1'"):
        make_plan(make_comparison(tmp_path / "x", "odd"))


# --- What is refused ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"top": 0}, "top must be"),
        ({"top": 1.5}, "top must be"),
        ({"top": True}, "top must be"),
        ({"seeds": 0}, "seeds must be"),
        ({"seeds": 10**6}, "seeds must be"),
        ({"trajectory": -1}, "trajectory must be"),
        ({"seed": -1}, "master seed"),
        ({"margin": 0.0}, "margin"),
        ({"margin": math.nan}, "margin"),
        ({"margin": math.inf}, "margin"),
        ({"benchmark": "other"}, "Unknown benchmark of these results"),
    ],
)
def test_arguments_that_cannot_be(compared: Path, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(NasbenchTabError, match=message):
        make_plan(compared, **arguments)


def test_a_folder_without_a_comparison(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match="holds no comparison"):
        make_plan(tmp_path)


def test_several_benchmarks(home: Path, tmp_path: Path) -> None:
    make_table(home, "twin", write_log(home / "twin.jsonl", range(20)))
    out = make_comparison(tmp_path / "x", "mine", "twin")
    with pytest.raises(InvalidArgumentError, match="Choose --benchmark: mine, twin"):
        make_plan(out)
    assert make_plan(out, benchmark="twin").benchmark == "twin"


def test_a_comparison_of_another_table(home: Path, tmp_path: Path) -> None:
    make_table(home, "changing", write_log(tmp_path / "a.jsonl"))
    out = make_comparison(tmp_path / "x", "changing")
    make_table(home, "changing", write_log(tmp_path / "b.jsonl", range(20)))
    with pytest.raises(ResultsError, match="made with another changing"):
        make_plan(out)


def test_without_repeats_a_margin_has_to_be_given(home: Path, tmp_path: Path) -> None:
    make_table(home, "single", write_log(tmp_path / "a.jsonl", range(0, 30, 2)))
    out = make_comparison(tmp_path / "x", "single")
    with pytest.raises(InvalidArgumentError, match="--margin"):
        make_plan(out)
    plan = make_plan(out, margin=0.5)
    assert math.isnan(plan.smallest)


# --- Surrogates -----------------------------------------------------------------------------------------

COLUMNS = TASK._replace(name="columns", space="small", recipe=TASK.recipe._replace(epochs=4))


@pytest.fixture(scope="module")
def guessed(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Comparisons on surrogates of made-up runs: ``kept`` carries its runs, ``bare`` does not."""
    root = tmp_path_factory.mktemp("guessed")
    words = {
        "split": split_hash(load_split(COLUMNS.split)),
        "recipe": recipe_hash(COLUMNS.recipe),
        "seconds": "measured",
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NASBENCH_TAB_HOME", str(root))
        seen = observed(networks=24, repeats=12)
        seen = seen._replace(protocol={**seen.protocol, **words})
        make_surrogate(seen, root / "surrogates" / "kept", settings=POOR, jobs=1)
        stored = read_surrogate(root / "surrogates" / "kept")
        arrays = {k: v for k, v in stored.arrays.items() if not k.startswith("runs/")}
        write_surrogate(root / "surrogates" / "bare", stored.manifest, arrays, stored.files)
        for name in ("kept", "bare"):
            compare([name], ["random"], runs=5, budget=8, out=root / name)
        compare(["kept"], ["random"], runs=5, protocol=Protocol(8, seeds="mean"), out=root / "mean")
    return root


@pytest.fixture
def at_guessed(guessed: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NASBENCH_TAB_HOME", str(guessed))
    monkeypatch.setitem(TASKS, "columns", COLUMNS)
    return guessed


def test_a_surrogates_claims_carry_its_doubt(at_guessed: Path) -> None:
    bench, plan = nbt.load("kept"), make_plan(at_guessed / "kept", top=3, seeds=2)
    assert (plan.source, plan.task, plan.same_recipe) == ("surrogate", "columns", True)
    for claim in plan.claims:
        answer = bench.lookup(claim.cell)
        assert (claim.sd_model, claim.sd_seed) == (answer.sd_model, answer.sd)
        assert (claim.lower, claim.upper, claim.source) == (answer.lower, answer.upper, "surrogate")
        if claim.arm not in ("winners", "trajectory"):
            assert claim.value == answer.value
    everything = bench.query(bench.measured())
    best = sorted(everything.tolist(), reverse=True)[:3]
    assert [claim.value for claim in arm(plan, "top")] == best


def test_a_surrogates_known_cells_are_its_own_runs(at_guessed: Path) -> None:
    plan, runs = make_plan(at_guessed / "kept", top=5), observed(networks=24, repeats=12).runs
    values = {
        (tuple(cell), seed): value
        for cell, seed, value in zip(
            runs.cells.tolist(),
            runs.seeds.tolist(),
            runs.curves["valid_accuracy"][:, -1].tolist(),
            strict=True,
        )
    }
    claims = arm(plan, "known")
    assert len(claims) == 5
    for claim in claims:
        logged = {seed: value for (cell, seed), value in values.items() if cell == claim.cell}
        assert dict(claim.known) == logged
        assert set(claim.seeds) == set(logged)
    assert {*SEEDS} <= {*plan.used_seeds}


def test_a_surrogate_without_its_runs_has_no_known_cells(at_guessed: Path) -> None:
    plan = make_plan(at_guessed / "bare")
    assert arm(plan, "known") == []
    assert "drift is not measured" in " ".join(plan.notes)


def test_a_surrogates_power(at_guessed: Path) -> None:
    drawn, mean = (make_plan(at_guessed / name, seeds=4) for name in ("kept", "mean"))
    for plan, seen in ((drawn, 1.0), (mean, 0.0)):
        winners = [claim for claim in plan.claims if claim.arm == "winners"]
        expected = np.mean([c.sd_model**2 + c.sd_seed**2 * (seen + 1 / 4) for c in winners])
        assert plan.residual_sd == pytest.approx(math.sqrt(expected))


@pytest.mark.slow
def test_a_table_mixed_with_a_surrogate(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NASBENCH_TAB_HOME", str(tmp_path))
    log = write_log(tmp_path / "mine.jsonl")
    make_table(tmp_path, "mine", log)
    make_guess(tmp_path, "mine", log)
    bench = nbt.load("mine@mixed")
    out = make_comparison(tmp_path / "x", "mine@mixed", protocol={"missing": "refuse"})
    plan = make_plan(out, top=6)
    assert plan.source == "mixed"
    assert {claim.source for claim in plan.claims} == {"table", "surrogate"}
    for claim in plan.claims:
        assert math.isnan(claim.sd_model) == (claim.source == "table")
    assert [claim.source for claim in arm(plan, "known")] == ["table"] * 6
    assert arm(plan, "top")[0].value == bench.query(bench.measured()).max()
    alone = make_comparison(tmp_path / "y", "mine@surrogate", protocol={"missing": "refuse"})
    assert make_plan(alone).task == "tiny"
