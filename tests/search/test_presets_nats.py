"""The published protocols on tables of the official files: honoured, and what is searched and reported there."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from nasbench_tab.benchmarks.tablefile import write_table
from nasbench_tab.errors import InvalidArgumentError, UnknownNameError
from nasbench_tab.importers.nats import import_nats_tss
from nasbench_tab.records import Protocol
from nasbench_tab.registry import load
from nasbench_tab.report.page import write_report
from nasbench_tab.search.compare import compare
from nasbench_tab.search.final import reported
from nasbench_tab.search.presets import PRESETS, fit

from .natslike import ALL, DATASETS, LONG, SECONDS, SHORT, nats_like, shelved_all

BUDGETS = {"cifar10": 20_000, "cifar100": 40_000, "imagenet16-120": 120_000}


@pytest.fixture(scope="module", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A user's folder with full-size tables in the form of the imported NATS-Bench file."""
    home = tmp_path_factory.mktemp("nats")
    shelved_all(home)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NASBENCH_TAB_HOME", str(home))
        yield home


@pytest.mark.parametrize("dataset", DATASETS)
def test_nats_2021_is_honoured(dataset: str) -> None:
    fitted = fit(PRESETS["nats-2021"], load(f"nats-tss-{dataset}"))
    assert fitted.changes == ()
    assert fitted.protocol == Protocol(
        seconds=BUDGETS[dataset],
        training=SHORT,
        validation="once",
        overshoot="interpolate",
        final_training=ALL if dataset == "cifar10" else None,
    )


@pytest.mark.parametrize("name", ["nb201v10-cifar10", "nb201v11-cifar10", "nats-tss-cifar10-hw"])
def test_other_tables_of_the_same_dataset_have_the_same_budget(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NASBENCH_TAB_HOME", str(tmp_path))
    write_table(
        tmp_path / "data" / name, nats_like("cifar10")._replace(name=name), {"title": "made up"}
    )
    fitted = fit(PRESETS["nb201-2020"], load(name))
    assert fitted.changes == ()
    assert fitted.protocol.seconds == 12_000
    family = name.partition("-cifar10")[0]
    assert fitted.protocol.report == (f"{family}-cifar100", f"{family}-imagenet16-120")
    other = nats_like("cifar10")._replace(name="mine-cifar10")
    write_table(tmp_path / "data" / other.name, other, {"title": "made up"})
    with pytest.raises(InvalidArgumentError, match="no published budget for mine-cifar10"):
        fit(PRESETS["nb201-2020"], load(other.name))


@pytest.mark.parametrize("name", ["naszilla", "dehb-2021"])
@pytest.mark.parametrize("dataset", DATASETS)
def test_protocols_on_long_trainings_are_honoured(name: str, dataset: str) -> None:
    fitted = fit(PRESETS[name], load(f"nats-tss-{dataset}"))
    assert fitted.changes == ()
    assert fitted.protocol.final_training is None  # these report the record that was searched


@pytest.mark.parametrize("dataset", DATASETS)
def test_what_nats_2021_searches_and_reports(dataset: str, tmp_path: Path) -> None:
    table, bench = nats_like(dataset), load(f"nats-tss-{dataset}")
    results = compare(
        [bench.name], ["random", "evolution"], runs=3, out=tmp_path / "out", preset="nats-2021"
    )
    assert results.manifest["experiment"]["preset"] == {"name": "nats-2021", "changes": []}
    train, valid = SECONDS[dataset]
    one = 12 * train + valid  # a training of 12 epochs and one validation pass
    for label in results.strategies:
        trials = results.trials(bench.name, label)
        assert set(trials.epochs.tolist()) == {12}
        assert set(trials.seeds.tolist()) == {111, 777}
        assert trials.lengths.tolist() == [-(-BUDGETS[dataset] // one)] * 3
        assert trials.seconds[:3] == pytest.approx([one, 2 * one, 3 * one])
        rows = [bench.space.index(tuple(cell)) for cell in trials.architectures.tolist()]
        short = table.trainings[SHORT].columns["valid_accuracy"].values[rows]
        seeds = np.searchsorted((111, 777), trials.seeds)
        np.testing.assert_array_equal(trials.values, short[range(len(rows)), seeds, -1])
        last = table.trainings[ALL if dataset == "cifar10" else LONG].columns["test_accuracy"]
        tests = last.values[rows][:, :, -1].astype(float).mean(axis=1)
        valids = table.trainings[LONG].columns["valid_accuracy"].values[rows][:, :, -1]
        np.testing.assert_allclose(trials.final["test_accuracy"], tests, rtol=1e-12)
        np.testing.assert_allclose(
            trials.final["valid_accuracy"], valids.astype(float).mean(axis=1), rtol=1e-12
        )
        assert set(trials.final) == {"valid_accuracy", "test_accuracy"}
    about = results.manifest["experiment"]["benchmarks"][0]
    means = (
        table.trainings[LONG].columns["valid_accuracy"].values[:, :, -1].astype(float).mean(axis=1)
    )
    assert about["optimum"] == pytest.approx(means.max(), rel=1e-12)


def test_nb201_2020_searches_cifar10_and_reports_all_three(tmp_path: Path) -> None:
    bench = load("nats-tss-cifar10")
    fitted = fit(PRESETS["nb201-2020"], bench)
    assert fitted.changes == ()
    assert fitted.protocol.report == ("nats-tss-cifar100", "nats-tss-imagenet16-120")
    assert fitted.protocol.final_training == ALL
    with pytest.raises(InvalidArgumentError, match="no published budget for nats-tss-cifar100"):
        fit(PRESETS["nb201-2020"], load("nats-tss-cifar100"))
    results = compare([bench.name], ["random"], runs=2, out=tmp_path / "out", preset="nb201-2020")
    assert results.manifest["experiment"]["preset"]["changes"] == []
    trials = results.trials(bench.name, "random")
    others = [
        f"{name}:{split}_accuracy" for name in fitted.protocol.report for split in ("valid", "test")
    ]
    assert list(trials.final) == ["valid_accuracy", "test_accuracy", *others]
    rows = [bench.space.index(tuple(cell)) for cell in trials.architectures.tolist()]
    hundred = nats_like("cifar100").trainings[LONG].columns["test_accuracy"].values[rows][:, :, -1]
    np.testing.assert_allclose(
        trials.final["nats-tss-cifar100:test_accuracy"],
        hundred.astype(float).mean(axis=1),
        rtol=1e-12,
    )


@pytest.mark.slow
def test_the_report_of_such_a_comparison(tmp_path: Path) -> None:
    compare(["nats-tss-cifar10"], ["random"], runs=2, out=tmp_path / "out", preset="nb201-2020")
    write_report(tmp_path / "out")
    page = (tmp_path / "out" / "report" / "index.html").read_text(encoding="utf-8")
    assert "nb201-2020" in page
    assert ALL in page


def test_a_training_on_all_images_is_reported_and_never_searched() -> None:
    bench = load("nats-tss-cifar10")
    found = reported(bench, Protocol(evaluations=1, final_training=ALL))
    assert [(what.name, what.bench.training) for what in found] == [
        ("valid_accuracy", LONG), ("test_accuracy", ALL),
    ]  # fmt: skip
    for final in ("mean", "seen"):
        protocol = Protocol(evaluations=1, final_training=ALL, final=final)
        if final == "seen":
            with pytest.raises(InvalidArgumentError, match="Choose final='mean'"):
                reported(bench, protocol)
    with pytest.raises(InvalidArgumentError, match="no search may see that"):
        compare(
            ["nats-tss-cifar10"],
            ["random"],
            runs=1,
            out="never",
            protocol=Protocol(evaluations=5, training=ALL),
        )
    assert not Path("never").exists()


def test_cells_without_a_final_training_are_refused(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NASBENCH_TAB_HOME", str(tmp_path))
    table = nats_like("cifar10")
    values = table.trainings[ALL].columns["test_accuracy"].values.copy()
    values[5] = np.nan
    columns = {**table.trainings[ALL].columns}
    columns["test_accuracy"] = columns["test_accuracy"]._replace(values=values)
    trainings = {**table.trainings, ALL: table.trainings[ALL]._replace(columns=columns)}
    write_table(
        tmp_path / "data" / table.name, table._replace(trainings=trainings), {"title": "gaps"}
    )
    with pytest.raises(
        InvalidArgumentError, match=f"in its training '{ALL.replace('+', chr(92) + '+')}'"
    ):
        compare([table.name], ["random"], runs=1, out=tmp_path / "out", preset="nats-2021")
    without = table._replace(trainings={SHORT: trainings[SHORT], LONG: trainings[LONG]})
    write_table(tmp_path / "data" / table.name, without, {"title": "no training on all images"})
    (change,) = fit(PRESETS["nats-2021"], load(table.name)).changes
    assert change.startswith(f"trainings on training and validation images ({ALL}) are not")
    with pytest.raises(
        UnknownNameError, match="nats-tss-cifar100"
    ):  # its other tables are not there
        compare(
            [table.name],
            ["random"],
            runs=1,
            out=tmp_path / "out",
            preset="nb201-2020",
            nearest=True,
        )


def test_the_three_official_records_at_hand(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Imported, searched on 12 epochs, and reported after 200: the test values that their publishers report."""
    name = "NATS-tss-v1_0-3ffb9-simple"
    (tmp_path / name).mkdir()
    for part in ("meta", "000000", "000011", "000284"):
        source = shared_data / "nasbench201" / f"{name}.{part}.pickle.pbz2"
        shutil.copy(source, tmp_path / name / f"{part}.pickle.pbz2")
    monkeypatch.setenv("NASBENCH_TAB_HOME", str(tmp_path))
    import_nats_tss(tmp_path / name, tmp_path / "data", partial=True)
    bench = load("nats-tss-cifar10")
    fitted = fit(PRESETS["nats-2021"], bench)
    assert fitted.changes == ("only 3 of 15,625 cells were measured",)
    for preset in (
        "nb201-2020",
        "naszilla",
        "dehb-2021",
    ):  # nothing else is lacking for those either
        assert fit(PRESETS[preset], bench).changes == fitted.changes
    results = compare(
        [bench.name], ["random"], runs=4, out=tmp_path / "out", preset="nats-2021", nearest=True
    )
    trials = results.trials(bench.name, "random")
    rows = {bench.space.index(tuple(cell)) for cell in trials.architectures.tolist()}
    assert rows == {0, 11, 284}
    eleven = np.array([bench.space.index(tuple(c)) == 11 for c in trials.architectures.tolist()])
    # Golden values of the reference: CIFAR-10 test after training on all images, validation after half.
    assert trials.final["test_accuracy"][eleven] == pytest.approx(91.5833, abs=5e-5)
    assert trials.final["valid_accuracy"][eleven] == pytest.approx(87.940, abs=5e-4)
    assert np.mean(np.unique(trials.values[eleven])) == pytest.approx(63.278, abs=5e-4)
    # Seconds: simulate_train_eval(11, "cifar10") of the reference takes 153.695933.
    ends = np.concatenate([[0], trials.seconds])
    first = np.cumsum(trials.lengths) - trials.lengths
    spent = np.diff(ends)
    spent[first] = trials.seconds[first]
    assert spent[eleven] == pytest.approx(153.695933, abs=1e-5)
