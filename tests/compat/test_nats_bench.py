"""NATS-Bench's interface: golden values, the imported tables behind it, and where it differs on purpose."""

from __future__ import annotations

import bz2
import itertools
import math
import pickle
import random
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nasbench_tab.compat.nats_bench import NATStopology, create
from nasbench_tab.compat.nats_results import MissingResultError
from nasbench_tab.errors import FormatError, InvalidArgumentError, NasbenchTabError
from nasbench_tab.spaces.nasbench201 import NasBench201

from .conftest import FOLDERS

DATASETS = ("cifar10-valid", "cifar10", "cifar100", "ImageNet16-120")
SOURCES = ("simple", "tables")

#: Architecture 11, means over seeds, as the reference answered: train, valid, test, valtest accuracy and
#: train-all-time, to the digits that were written down.
GOLDEN = [
    ("cifar10-valid", "12", None, (63.446, 63.278, 63.510, None, 149.5447)),
    ("cifar10-valid", "200", None, (99.7813, 87.940, 87.650, None, 2492.4114)),
    ("cifar10-valid", "200", 5, (48.1507, 42.7693, None, None, 74.7723)),
    ("cifar10", "200", None, (99.5473, None, 91.5833, None, 4984.8227)),
    ("cifar100", "200", None, (96.1027, 67.4533, 67.6067, 67.5300, 4984.8227)),
    ("cifar100", "200", 5, (16.9053, None, None, 13.7567, 149.5447)),
    ("ImageNet16-120", "200", None, (33.0297, 30.4111, 30.1667, 30.2889, 15123.9521)),
]
KEYS = ("train-accuracy", "valid-accuracy", "test-accuracy", "valtest-accuracy", "train-all-time")


@pytest.fixture
def api(
    request: pytest.FixtureRequest, simple_folder: Callable[[str], Path], tables_folder: Path
) -> NATStopology:
    where = simple_folder("tss") if request.param == "simple" else tables_folder
    return NATStopology(where, fast_mode=request.param == "simple", verbose=False)


from_both = pytest.mark.parametrize("api", SOURCES, indirect=True)
from_simple = pytest.mark.parametrize("api", ["simple"], indirect=True)


@from_both
@pytest.mark.parametrize(("dataset", "hp", "iepoch", "values"), GOLDEN)
def test_golden_values(
    api: Any, dataset: str, hp: str, iepoch: int | None, values: tuple[float | None, ...]
) -> None:
    info = api.get_more_info(11, dataset, iepoch=iepoch, hp=hp, is_random=False)
    for key, value in zip(KEYS, values, strict=True):
        if value is None:
            assert key not in info
        else:
            assert info[key] == pytest.approx(value, abs=6e-5)
    assert ("comment" in info) == (dataset in ("cifar10", "cifar10-valid"))


@from_both
def test_golden_costs(api: Any) -> None:
    costs = api.get_cost_info(11, "cifar100", "200")
    golden = {
        "flops": 113.95722, "params": 0.808276, "latency": 0.016138938, "T-train@epoch": 24.924114,
        "T-x-valid@total": 166.050069, "T-ori-test@total": 332.100137,
    }  # fmt: skip
    assert {key: costs[key] for key in golden} == pytest.approx(golden, rel=1e-7)
    assert api.simulate_train_eval(11, "cifar10", hp="12")[2] == pytest.approx(153.695933, abs=5e-7)


@from_both
def test_the_best_of_the_three(api: Any) -> None:
    for index in (0, 11, 284):
        api.get_more_info(index, "cifar10")
    found = api.find_best("cifar10", "test", hp="200", enforce_all=False)
    assert found == (11, pytest.approx(91.5833, abs=5e-5))
    assert (
        api.find_best("cifar10", "test", hp=200, enforce_all=False) == found
    )  # the reference: KeyError
    assert api.find_best("cifar10", "test", flop_max=0, hp="200", enforce_all=False) == (-1, None)


# --- the imported tables ------------------------------------------------------------------------------


@pytest.mark.parametrize("space", ["tss", "sss"])
def test_tables_answer_as_the_records_do(
    space: str, simple_folder: Callable[[str], Path], tables_folder: Path
) -> None:
    records = create(simple_folder(space), space, fast_mode=True, verbose=False)
    tables = create(tables_folder, space, verbose=False)
    assert tables.meta_archs == records.meta_archs
    assert tables.evaluated_indexes == set(FOLDERS[space][2])
    for index in FOLDERS[space][2]:
        results, again = (
            {hp: api.query_meta_info_by_index(index, hp) for hp in schedules(space)}
            for api in (records, tables)
        )
        for hp in schedules(space):
            assert again[hp].dataset_seed == results[hp].dataset_seed
            for key, run in results[hp].all_results.items():
                other = again[hp].all_results[key]
                for name in (
                    "name", "seed", "epochs", "params", "flop", "arch_config", "eval_names",
                    "train_acc1es", "train_acc5es", "train_losses", "eval_acc1es", "eval_losses",
                ):  # fmt: skip
                    assert getattr(other, name) == getattr(run, name), (index, hp, key, name)
                assert other.get_latency() == pytest.approx(run.get_latency(), rel=1e-12)
                assert other.eval_times == pytest.approx(run.eval_times, rel=1e-11)
                assert other.train_times == pytest.approx(run.train_times, rel=1e-11)
                for iepoch in (0, run.epochs // 2, run.epochs - 1):
                    assert other.get_train(iepoch) == pytest.approx(
                        run.get_train(iepoch), rel=1e-12
                    )
            for dataset in DATASETS:
                costs = (found[hp].get_compute_costs(dataset) for found in (again, results))
                assert next(costs) == pytest.approx(next(costs), rel=1e-12)
    random.seed(3)
    drawn = [
        tables.get_more_info(index, "cifar100")["train-loss"] for index in FOLDERS[space][2] * 5
    ]
    random.seed(3)
    assert drawn == [
        records.get_more_info(index, "cifar100")["train-loss"] for index in FOLDERS[space][2] * 5
    ]


def schedules(space: str) -> tuple[str, ...]:
    return ("12", "200") if space == "tss" else ("01", "12", "90")


def test_tables_in_the_users_folder(
    tables_folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("NASBENCH_TAB_HOME", str(tables_folder.parent))
    for fast_mode in (False, True):
        made = create(None, "sss", fast_mode=fast_mode, verbose=False)
        assert made.get_more_info(284, "cifar10", hp="90")["test-accuracy"] > 80
    monkeypatch.setenv("NASBENCH_TAB_HOME", str(tmp_path))
    with pytest.raises(InvalidArgumentError, match="nasbench-tab import nats-sss"):
        create(None, "sss", verbose=False)


def test_tables_of_one_dataset_only(tables_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(tables_folder / "nats-tss-cifar100", tmp_path / "nats-tss-cifar100")
    made = create(tmp_path, "tss", verbose=False)
    assert made.get_more_info(11, "cifar100", hp="200", is_random=False)["test-accuracy"] > 67
    with pytest.raises(KeyError, match="it was on cifar100"):
        made.get_more_info(11, "cifar10", hp="200")
    shutil.copytree(tables_folder / "nats-sss-cifar10", tmp_path / "nats-tss-cifar10")
    with pytest.raises(FormatError, match="nats-size"):
        create(tmp_path, "tss", verbose=False)


def test_no_draw_depends_on_what_was_read_before(tables_folder: Path) -> None:
    first, second = (create(tables_folder, "tss", verbose=False) for _ in range(2))
    second.get_more_info(284, "cifar10", is_random=False)
    drawn = []
    for made in (first, second):
        random.seed(1)
        drawn.append([made.simulate_train_eval(11, "cifar10", hp="200") for _ in range(9)])
    assert drawn[0] == drawn[1]
    assert len({accuracy for accuracy, *_ in drawn[0]}) > 1


# --- where it differs on purpose ----------------------------------------------------------------------


@from_simple
def test_numpy_integers_are_indices_and_schedules_may_be_integers(api: Any) -> None:
    assert api.query_index_by_arch(np.int64(11)) == 11
    for hp in ("200", 200, np.int64(200)):
        info = api.get_more_info(np.int64(11), "cifar10", hp=hp, is_random=np.int64(777))
        assert info == api.get_more_info(11, "cifar10", hp="200", is_random=777)
    assert api.get_cost_info(np.int32(11), "cifar10", 12)["flops"] == 113.95137
    assert api.query_by_index(np.int64(11), "cifar10", 200)[777].seed == "0777"


@from_both
def test_a_published_string_is_taken_wherever_an_index_is(api: Any) -> None:
    name = api.arch(11)
    assert api.get_cost_info(name, "cifar10") == api.get_cost_info(11, "cifar10")
    assert api.get_latency(name, "cifar10") == api.get_latency(11, "cifar10")
    assert api.get_net_config(name, "cifar10") == api.get_net_config(11, "cifar10")
    assert api.query_by_index(name, "cifar10").keys() == api.query_by_index(11, "cifar10").keys()


@from_simple
def test_an_unknown_architecture_is_named(api: Any) -> None:
    for call in ("simulate_train_eval", "get_more_info", "get_cost_info"):
        with pytest.raises(InvalidArgumentError, match=r"\|none~0\|"):
            getattr(api, call)("|none~0|", "cifar10")
    with pytest.raises(InvalidArgumentError, match=r"\|none~0\|"):
        api.get_unique_str("|none~0|")  # the reference: that of the last architecture


@from_simple
def test_no_record_of_an_architecture(api: Any) -> None:
    with pytest.raises(MissingResultError, match="no record of architecture 5"):
        api.get_more_info(5, "cifar10")
    with pytest.raises(MissingResultError, match="no record of architecture 1 "):
        api.find_best("cifar10", "valid", hp="200")
    assert api.evaluated_indexes == {0}


@from_simple
def test_show_and_text(api: Any, capsys: pytest.CaptureFixture[str]) -> None:
    api.show(11)
    shown = capsys.readouterr().out
    assert "--- architecture 000011" in shown
    assert (
        "cifar100: 113.96 M FLOPs, 0.808 M parameters, latency 16.14 ms, seeds 777, 888, 999"
        in shown
    )
    assert "x-valid: 67.45 %" in shown
    assert api.query_info_str_by_arch(11, "200") in shown
    assert api.query_by_arch(api.arch(11), 200) == api.query_info_str_by_arch(11, "200")
    api.get_more_info(0, "cifar10")
    api.show()
    shown = capsys.readouterr().out
    assert shown.index("architecture 000000") < shown.index("architecture 000011")
    with pytest.raises(InvalidArgumentError):
        api.show(20_000)


def test_it_says_where_records_are_from(
    simple_folder: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    create(simple_folder("tss"), "tss", fast_mode=True)
    assert "NATS-tss-v1_0-3ffb9-simple" in capsys.readouterr().out
    create(simple_folder("tss"), "tss", fast_mode=True, verbose=False)
    assert not capsys.readouterr().out


def test_a_folder_without_fast_mode_has_all_of_its_records(
    simple_folder: Callable[[str], Path],
) -> None:
    made = create(simple_folder("tss"), "tss", verbose=False)
    assert made.evaluated_indexes == {0, 11, 284}
    assert made.avaliable_hps == ["12", "200"]
    assert dict.fromkeys(made.arch2infos_dict) == dict.fromkeys((0, 11, 284))
    assert made.find_best("cifar10", "valid", hp="200")[0] == 11
    assert made.statistics("cifar100", 200) == {3: 3}


def test_copies_do_not_reach_what_is_kept(simple_folder: Callable[[str], Path]) -> None:
    made = create(simple_folder("tss"), "tss", fast_mode=True, verbose=False)
    before = made.get_more_info(11, "cifar10", hp="200", is_random=False)
    taken = made.query_meta_info_by_index(11, "200")
    for run in taken.query("cifar10").values():
        run.train_acc1es.clear()
    taken.all_results.clear()
    assert made.get_more_info(11, "cifar10", hp="200", is_random=False) == before


def test_few_architectures_are_kept(
    simple_folder: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nasbench_tab.compat.nats_api._KEPT", 2)
    made = create(simple_folder("tss"), "tss", fast_mode=True, verbose=False)
    first = [made.get_more_info(i, "cifar10", is_random=False) for i in (0, 11, 284)]
    assert len(made._results) == 2
    assert [made.get_more_info(i, "cifar10", is_random=False) for i in (0, 11, 284)] == first
    assert made.evaluated_indexes == {0, 11, 284}


# --- files and folders --------------------------------------------------------------------------------


def test_a_single_file_of_some_architectures(
    nats_file: Callable[[str], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = {
        **nats_file("meta"),
        "arch2infos": {11: nats_file("000011")},
        "evaluated_indexes": {11},
    }
    path = tmp_path / "NATS-tss-v1_0-3ffb9.pickle.pbz2"
    path.write_bytes(bz2.compress(pickle.dumps(plain(content), protocol=4)))
    made = create(str(path), "tss", verbose=False)
    assert made.filename == path.name
    assert made.evaluated_indexes == {11}
    assert made.get_more_info(11, "cifar100", hp="200", is_random=False)[
        "valid-accuracy"
    ] == pytest.approx(67.4533, abs=5e-5)
    for bound in ("_MOST_HELD", "_MOST_BYTES"):
        with monkeypatch.context() as patch:
            patch.setattr(f"nasbench_tab.compat.nats_sources.{bound}", 0)
            with pytest.raises(FormatError, match="nasbench-tab import nats-tss"):
                create(str(path), "tss", verbose=False)


def plain(value: Any) -> Any:
    """Python's own numbers in the place of NumPy's, which a pickle of ours may hold in another layout."""
    if isinstance(value, dict):
        return {plain(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple, set)):
        return type(value)(plain(inner) for inner in value)
    return value.item() if isinstance(value, np.generic) else value


def test_a_record_of_another_architecture_is_refused(
    simple_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = tmp_path / "folder"
    shutil.copytree(simple_folder("tss"), folder)
    (folder / "000011.pickle.pbz2").rename(folder / "000012.pickle.pbz2")
    made = create(folder, "tss", fast_mode=True, verbose=False)
    with pytest.raises(FormatError, match="expected the record of architecture 12"):
        made.get_more_info(12, "cifar10")
    (folder / "000000.pickle.pbz2").rename(folder / "0.pickle.pbz2")  # older folders
    assert made.get_more_info(0, "cifar10", is_random=False)["test-accuracy"] > 0
    damaged = (folder / "000284.pickle.pbz2").read_bytes()[:-100]
    (folder / "000284.pickle.pbz2").write_bytes(damaged)
    with pytest.raises(FormatError, match=r"000284\.pickle"):
        made.get_more_info(284, "cifar10")
    assert made.evaluated_indexes == {0}


def test_a_folder_of_nothing(tmp_path: Path) -> None:
    with pytest.raises(NasbenchTabError, match="meta"):
        create(tmp_path, "tss", verbose=False)


def test_a_dict_of_another_architecture_is_refused(nats_file: Callable[[str], Any]) -> None:
    content = {
        **nats_file("meta"),
        "arch2infos": {12: nats_file("000011")},
        "evaluated_indexes": {12},
    }
    with pytest.raises(FormatError, match="architecture 12"):
        create(content, "tss", verbose=False)


def test_a_script_runs_with_one_import_changed(simple_folder: Callable[[str], Path]) -> None:
    script = textwrap.dedent(
        f"""
        import random
        from nasbench_tab.compat.nats_bench import create

        random.seed(5)
        api = create({str(simple_folder("tss"))!r}, "tss", fast_mode=True, verbose=False)
        best = None
        for index in (0, 11, 284):
            accuracy, latency, cost, total = api.simulate_train_eval(index, dataset="cifar10", hp="12")
            if best is None or accuracy > best[0]:
                best = accuracy, index
        info = api.get_more_info(best[1], "cifar10", None, hp=api.full_train_epochs, is_random=False)
        print(best[1], round(total, 3), round(info["test-accuracy"], 3))
        """
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    index, total, accuracy = done.stdout.split()
    assert int(index) in (0, 11, 284)
    assert math.isclose(float(total), sum_of_costs(simple_folder), abs_tol=1e-3)
    assert 80 < float(accuracy) < 95


def sum_of_costs(simple_folder: Callable[[str], Path]) -> float:
    """12 trainings on 25,000 images and one validation pass for each, straight from the records."""
    made = create(simple_folder("tss"), "tss", fast_mode=True, verbose=False)
    total = 0.0
    for index in (0, 11, 284):
        run = made.query_meta_info_by_index(index, "12").query("cifar10-valid", 777)
        total += 12 * run.train_times[0] + run.eval_times["x-valid@0"]
    return total


def test_labels_are_those_of_the_space(simple_folder: Callable[[str], Path]) -> None:
    made, space = NATStopology(simple_folder("tss"), fast_mode=True, verbose=False), NasBench201()
    for index in itertools.islice(range(15_625), 0, None, 1_000):
        assert made.get_unique_str(index) == space.unique_string(space.unindex(index))
        assert made.meta_archs[index] == space.format(space.unindex(index))
