"""Our NATS-Bench interface beside the real one, on the same official files: all calls, all arguments."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from importers.official_nats import TSS, TSS_SCHEDULES, official

from nasbench_tab.compat import nats_bench as ours

from .conftest import FOLDERS

reference = pytest.importorskip("nats_bench", reason="nats_bench (group bench) is not installed")

DATASETS = ("cifar10-valid", "cifar10", "cifar100", "ImageNet16-120")
SCHEDULES = {"tss": ("12", "200"), "sss": ("01", "12", "90")}
SETS = ("valid", "x-valid", "x-test", "ori-test", "else")
SEEDS = (111, 777, 888, 999)
Pair = tuple[Any, Any]


@pytest.fixture(scope="module", params=["tss", "sss"])
def both(request: pytest.FixtureRequest, simple_folder: Callable[[str], Path]) -> Pair:
    return fresh(simple_folder, request.param)


def fresh(simple_folder: Callable[[str], Path], space: str) -> Pair:
    folder = str(simple_folder(space))
    return (
        ours.create(folder, space, fast_mode=True, verbose=False),
        reference.create(folder, space, fast_mode=True, verbose=False),
    )


def space_of(both: Pair) -> str:
    return "tss" if both[1].is_topology else "sss"


def outcome(target: Any, call: str, *arguments: Any, **named: Any) -> tuple[str, Any]:
    """What a call gives from a set state of Python's generator, and where that stands afterwards."""
    random.seed(7)
    try:
        result = getattr(target, call)(*arguments, **named)
    except Exception as err:  # noqa: BLE001 - whatever the reference raises
        return "error", err
    return "result", (result, random.getstate()[1])


def same(mine: Any, theirs: Any, where: object) -> None:
    """Equal in structure and names, numbers to 1e-12 relative; comments are ours."""
    if isinstance(theirs, dict):
        assert isinstance(mine, dict), where
        assert list(mine) == list(theirs), where
        for key in theirs:
            if key != "comment":
                same(mine[key], theirs[key], (where, key))
    elif isinstance(theirs, (list, tuple)):
        assert len(mine) == len(theirs), where
        for one, other in zip(mine, theirs, strict=True):
            same(one, other, where)
    elif isinstance(theirs, np.ndarray):
        assert mine.dtype == theirs.dtype, where
        np.testing.assert_array_equal(mine, theirs)
    elif theirs is None or isinstance(theirs, str):
        assert mine == theirs, where
    elif isinstance(theirs, float) and math.isnan(theirs):
        assert math.isnan(mine), where
    else:
        assert mine == theirs or math.isclose(mine, theirs, rel_tol=1e-12, abs_tol=0), where


def agree(both: Pair, call: str, *arguments: Any, **named: Any) -> str:
    """Both give the same result from the same draws, or an error that the same script would catch."""
    where = (call, arguments, named)
    kind, mine = outcome(both[0], call, *arguments, **named)
    other, theirs = outcome(both[1], call, *arguments, **named)
    assert kind == other, (where, mine, theirs)
    if kind == "error":
        assert isinstance(mine, type(theirs)), (where, mine, theirs)
    else:
        same(mine, theirs, where)
    return kind


def epochs_of(hp: str) -> list[Any]:
    last = int(hp) - 1
    return [None, 0, min(5, last), last // 2, last, last + 1, -1]


def cases(both: Pair) -> Iterator[tuple[Any, ...]]:
    space = space_of(both)
    yield from itertools.product(FOLDERS[space][2], DATASETS, SCHEDULES[space])


def test_get_more_info(both: Pair) -> None:
    kinds = [
        agree(both, "get_more_info", index, dataset, iepoch=iepoch, hp=hp, is_random=is_random)
        for index, dataset, hp in cases(both)
        for iepoch, is_random in itertools.product(epochs_of(hp), (True, False, *SEEDS, 5))
    ]
    assert set(kinds) == {"error", "result"}
    assert kinds.count("result") > 300


def test_get_more_info_by_string_object_and_wrong_arguments(both: Pair) -> None:
    class Cell:
        def __init__(self, text: str) -> None:
            self.text = text

        def tostr(self) -> str:
            return self.text

    text = both[1].arch(0)
    for arch in (text, Cell(text), "none", Cell("none"), -1, len(both[1])):
        agree(both, "get_more_info", arch, "cifar100")
        agree(both, "query_index_by_arch", arch)
    for hp in ("200", "90", "7", 12, None, 12.0):
        agree(both, "get_more_info", 0, "cifar10", hp=hp, is_random=False)
    for dataset in ("cifar", "", None):
        agree(both, "get_more_info", 0, dataset)
    for odd in (2.5, None, "777"):
        agree(both, "get_more_info", 0, "cifar100", is_random=odd)
    for thing in (3.0, None, (1, 2)):
        agree(both, "query_index_by_arch", thing)


def test_simulate_train_eval(both: Pair) -> None:
    for api in both:
        api.reset_time()
    for index, dataset, hp in cases(both):
        for iepoch in epochs_of(hp):
            agree(both, "simulate_train_eval", index, dataset, iepoch=iepoch, hp=hp)
        agree(both, "simulate_train_eval", index, dataset, account_time=False)
    agree(both, "simulate_train_eval", "nowhere", "cifar10")
    agree(both, "simulate_train_eval", 0, "svhn")
    agree(both, "simulate_train_eval", 0, "cifar10", hp="7")
    same(both[0].used_time, both[1].used_time, "used time")
    assert both[0].used_time > 0
    for api in both:
        api.reset_time()
        assert api.used_time == 0


def test_costs_latency_config_and_weights(both: Pair) -> None:
    for index, dataset, hp in cases(both):
        agree(both, "get_cost_info", index, dataset, hp)
        agree(both, "get_latency", index, dataset, hp)
        agree(both, "get_net_config", index, dataset)
        for seed in (None, 777, 5):
            agree(both, "get_net_param", index, dataset, seed, hp)
    agree(both, "get_cost_info", 0, "svhn")
    agree(both, "get_cost_info", 0, "cifar10", "7")


def test_arch_results(both: Pair) -> None:
    for index, hp in itertools.product(FOLDERS[space_of(both)][2], SCHEDULES[space_of(both)]):
        mine, theirs = (api.query_meta_info_by_index(index, hp) for api in both)
        pair = mine, theirs
        for name in ("arch_index", "arch_str", "dataset_seed", "clear_net_done"):
            same(getattr(mine, name), getattr(theirs, name), (index, hp, name))
        assert set(mine.all_results) == set(theirs.all_results)
        for call in ("get_dataset_names", "get_total_epoch", "arch_idx_str"):
            agree(pair, call)
        assert repr(mine) == repr(theirs)
        for dataset in (*DATASETS, "svhn"):
            for call in (
                "get_compute_costs",
                "get_dataset_seeds",
                "get_latency",
                "get_total_epoch",
            ):
                agree(pair, call, dataset)
            for name, iepoch, is_random in itertools.product(
                ("train", *SETS), (None, 0, 5, int(hp) - 1, int(hp)), (True, False, 777)
            ):
                agree(pair, "get_metrics", dataset, name, iepoch, is_random)


def test_results_count(both: Pair) -> None:
    for index, dataset, hp in cases(both):
        runs = [api.query_by_index(index, dataset, hp) for api in both]
        assert list(runs[0]) == list(runs[1])
        for seed, theirs in runs[1].items():
            mine, where = runs[0][seed], (index, dataset, hp, seed)
            for name in (
                "name", "seed", "epochs", "params", "flop", "latency", "arch_config", "eval_names",
                "net_state_dict", "train_acc1es", "train_acc5es", "train_losses",
            ):  # fmt: skip
                same(getattr(mine, name), getattr(theirs, name), (where, name))
            for name in ("train_times", "eval_acc1es", "eval_losses", "eval_times"):
                assert getattr(mine, name) == dict(getattr(theirs, name)), (where, name)
            pair = mine, theirs
            for call in (
                "get_latency",
                "get_times",
                "get_total_epoch",
                "get_eval_set",
                "get_net_param",
            ):
                agree(pair, call)
            agree(pair, "get_config", None)
            agree(pair, "get_config", str.upper)
            assert repr(mine) == repr(theirs)
            for iepoch in epochs_of(hp):
                agree(pair, "get_train", iepoch)
                for name in SETS:
                    agree(pair, "get_eval", name, iepoch)


def test_query_by_index(both: Pair) -> None:
    for arguments in (
        (0, None, "12"), (0, "cifar10", "12"), (0, "svhn", "12"), (0, "cifar10", "7"), (0, "cifar10", 12),
    ):  # fmt: skip
        mine, theirs = (outcome(api, "query_by_index", *arguments) for api in both)
        assert mine[0] == theirs[0]
        if mine[0] == "error":
            assert isinstance(mine[1], type(theirs[1]))
        else:
            assert type(mine[1][0]).__name__ == type(theirs[1][0]).__name__
    agree(both, "query_meta_info_by_index", 0, "7")


def test_lists_of_architectures(both: Pair) -> None:
    mine, theirs = both
    assert len(mine) == len(theirs)
    assert mine.meta_archs == theirs.meta_archs
    assert mine.archstr2index == theirs.archstr2index
    for name in (
        "search_space_name", "full_train_epochs", "full_epochs_in_paper", "is_size", "is_topology",
        "fast_mode", "archive_dir", "filename",
    ):  # fmt: skip
        assert getattr(mine, name) == getattr(theirs, name)
    for index in (0, 11, len(mine) - 1, -1, len(mine)):
        agree(both, "arch", index)
        if index < len(mine):
            agree(both, "__getitem__", index)
    drawn = []
    for api in both:
        random.seed(11)
        drawn.append([api.random() for _ in range(20)])
    assert drawn[0] == drawn[1]


@pytest.mark.parametrize("space", ["tss", "sss"])
def test_find_best_and_statistics(space: str, simple_folder: Callable[[str], Path]) -> None:
    pair = fresh(simple_folder, space)
    longest = SCHEDULES[space][-1]
    agree(
        pair, "find_best", "cifar10", "valid", hp=longest, enforce_all=False
    )  # nothing is read yet
    for index in FOLDERS[space][2]:
        for api in pair:
            api.query_meta_info_by_index(index, longest)
        assert pair[0].evaluated_indexes == pair[1].evaluated_indexes
    assert sorted(pair[0].avaliable_hps) == sorted(pair[1].avaliable_hps)
    limits: list[dict[str, float]] = [{}, {"flop_max": 60.0}, {"param_max": 0.3}, {"flop_max": 0.0}]
    for dataset, name, hp in itertools.product(
        ("cifar10", "cifar10-valid", "cifar100", "ImageNet16-120", "svhn"),
        ("train", "valid", "test", "x-valid", "x-test", "ori-test"),
        SCHEDULES[space],
    ):
        for limit in limits:
            agree(pair, "find_best", dataset, name, hp=hp, enforce_all=False, **limit)
    for dataset, hp in itertools.product((*DATASETS, "svhn"), SCHEDULES[space]):
        agree(pair, "statistics", dataset, hp)
        if hp != "01":
            agree(pair, "statistics", dataset, int(hp))


def test_topology_only(simple_folder: Callable[[str], Path]) -> None:
    pair = fresh(simple_folder, "tss")
    for index in range(0, 15_625, 251):
        text = pair[1].arch(index)
        agree(pair, "get_unique_str", index)
        agree(pair, "get_unique_str", text)
        agree(pair, "str2lists", text)
        agree(pair, "str2matrix", text)
    order = ["nor_conv_3x3", "avg_pool_3x3", "none", "skip_connect", "nor_conv_1x1"]
    agree(pair, "str2matrix", text, order)
    agree(pair, "str2matrix", text, order[:2])


def test_reload_and_clear(simple_folder: Callable[[str], Path]) -> None:
    pair = fresh(simple_folder, "tss")
    folder = str(simple_folder("tss"))
    for api in pair:
        api.reload(folder, 11)
        assert api.evaluated_indexes == {11}
        assert 11 in api.arch2infos_dict
        assert list(api.arch2infos_dict[11]) == ["12", "200"]
        api.clear_params(11)
        api.clear_params(11, "200")
        assert api.arch2infos_dict[11]["200"].clear_net_done
    for arguments in (("/nowhere", 11), (folder, 15_625), (folder, -1)):
        agree(pair, "reload", *arguments)
    agree(pair, "clear_params", 11, "7")


def test_a_dict_as_the_publishers_write_it(nats_file: Callable[[str], Any]) -> None:
    content = {
        **nats_file("meta"),
        "arch2infos": {index: nats_file(f"{index:06d}") for index in (0, 11, 284)},
        "evaluated_indexes": {0, 11, 284},
    }
    pair: Pair = (
        ours.create(content, "tss", verbose=False),
        reference.create(content, "tss", verbose=False),
    )
    assert pair[0].evaluated_indexes == pair[1].evaluated_indexes == {0, 11, 284}
    for hp, name in itertools.product(("12", "200"), ("valid", "test", "train")):
        agree(pair, "find_best", "cifar10", name, hp=hp)
    agree(pair, "get_more_info", 11, "cifar100", hp="200")
    for lacking in ("meta_archs", "arch2infos", "evaluated_indexes"):
        less = {key: value for key, value in content.items() if key != lacking}
        for module in (ours, reference):
            with pytest.raises(ValueError, match=lacking):
                module.create(less, "tss", verbose=False)


def test_creation_errors_are_of_the_same_type(
    tmp_path: Path, simple_folder: Callable[[str], Path]
) -> None:
    a_file = tmp_path / "file.pickle.pbz2"
    a_file.write_bytes(b"")
    for arguments in (
        (str(simple_folder("tss")), "xss"), (str(tmp_path / "no"), "tss"), (str(a_file), "tss", True),
    ):  # fmt: skip
        for module in (ours, reference):
            with pytest.raises(ValueError, match=r"\w"):
                module.create(*arguments, verbose=False)


def test_default_folder(
    simple_folder: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(simple_folder("sss").parent))
    pair: Pair = (
        ours.create(None, "sss", fast_mode=True, verbose=False),
        reference.create(None, "sss", fast_mode=True, verbose=False),
    )
    agree(pair, "get_more_info", 284, "cifar10", hp="90")


def test_search_space_info() -> None:
    for main, aux in itertools.product(
        ("nats-bench", "nas-bench-201", "else"), ("tss", "topology", "sss", "size", None, "x")
    ):
        agree((ours, reference), "search_space_info", main, aux)
    assert ours.version() == reference.version()


def test_every_public_name_of_the_reference_is_there(both: Pair) -> None:
    theirs = {name for name in dir(both[1]) if not name.startswith("_")}
    assert theirs <= set(dir(both[0]))


# Records as they are elsewhere in the full file: fewer seeds, figures of another network, no times.


def odd_records() -> dict[str, Any]:
    """Made-up records in the official layout with what the three at hand do not show."""
    content = official(3, range(12), TSS, TSS_SCHEDULES)
    for index, results in content["arch2infos"].items():
        for held in results.values():
            for (dataset, seed), run in list(held["all_results"].items()):
                if index in (1, 5, 7) and seed == 777 and len(held["dataset_seed"][dataset]) > 1:
                    del held["all_results"][dataset, seed]
                    held["dataset_seed"][dataset].remove(seed)
                if index == 2 and seed == 888:
                    del held["all_results"][dataset, seed]
                    held["dataset_seed"][dataset].remove(seed)
                if index in (2, 3, 4, 5) and seed == 999:  # of a cell with one convolution more
                    run["params"], run["flop"] = np.float64(0.9), 120.5
                if index == 4 and seed == 777:
                    run["params"], run["flop"] = np.float64(0.7), 99.5
                if index == 6:
                    run["latency"] = None if seed == 777 else [0.01, 0.02]
                if index == 8:
                    run["latency"] = None
                if index == 9:
                    run["train_times"], run["eval_times"] = None, {}
                if index == 10:
                    run["train_losses"][3] = run["eval_losses"]["ori-test@0"] = math.nan
                if index == 11:
                    run["train_times"] = {e: 1.5 + 0.1 * e for e in range(run["epochs"])}
    return content


def test_odd_records() -> None:
    content = odd_records()
    pair: Pair = (
        ours.create(content, "tss", verbose=False),
        reference.create(content, "tss", verbose=False),
    )
    kinds = []
    for index, dataset, hp in itertools.product(range(12), DATASETS, ("12", "200")):
        for iepoch, is_random in itertools.product((None, 0, 3, 50), (True, False, 777, 999)):
            kinds.append(agree(pair, "get_more_info", index, dataset, iepoch, hp, is_random))
        kinds.append(agree(pair, "get_cost_info", index, dataset, hp))
        if index != 9:  # the reference adds up what is None there
            steps = ((index, dataset, iepoch, hp) for iepoch in (None, 3))
            kinds += [agree(pair, "simulate_train_eval", *step) for step in steps]
    assert set(kinds) == {"error", "result"}
    for dataset, name, hp in itertools.product(DATASETS, ("train", "valid", "test"), ("12", "200")):
        kinds.append(agree(pair, "find_best", dataset, name, hp=hp))
        agree(pair, "statistics", dataset, hp)
    assert pair[0].get_cost_info(3, "cifar10", "200")["params"] == 0.8  # that of seed 888
    assert pair[0].get_cost_info(4, "cifar10", "200")["params"] == 0.8  # neither first nor last
    assert outcome(pair[0], "get_cost_info", 2, "cifar10", "200")[0] == "error"  # there is none
    assert pair[0].get_latency(6, "cifar10", "200") == pytest.approx(0.015)
    assert pair[0].get_latency(8, "cifar10", "200") is None
    assert pair[0].get_more_info(9, "cifar10", hp="200")["train-all-time"] is None
    with pytest.raises(KeyError, match="no times"):
        pair[0].simulate_train_eval(9, "cifar10")
    assert math.isnan(
        pair[0].get_more_info(10, "cifar10", 3, hp="200", is_random=777)["train-loss"]
    )
