"""Our NATS-Bench interface beside the real one, on the same official files: all calls, all arguments."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nasbench_tab.compat import nats_bench as ours

from .conftest import FOLDERS

reference = pytest.importorskip("nats_bench", reason="nats_bench (group bench) is not installed")

DATASETS = ("cifar10-valid", "cifar10", "cifar100", "ImageNet16-120")
SCHEDULES = {"tss": ("12", "200"), "sss": ("01", "12", "90")}
SEEDS = (111, 777, 888, 999)
Pair = tuple[Any, Any]


@pytest.fixture(scope="module", params=["tss", "sss"])
def both(request: pytest.FixtureRequest, simple_folder: Callable[[str], Path]) -> Pair:
    folder, space = str(simple_folder(request.param)), request.param
    return (
        ours.create(folder, space, fast_mode=True, verbose=False),
        reference.create(folder, space, fast_mode=True, verbose=False),
    )


def space_of(both: Pair) -> str:
    return "tss" if both[1].is_topology else "sss"


def outcome(call: Callable[[], Any]) -> tuple[str, Any]:
    """What a call gives from a set state of Python's generator, and where that stands afterwards."""
    random.seed(7)
    try:
        result = call()
    except Exception as err:  # noqa: BLE001 - whatever the reference raises
        return "error", err
    return "result", (result, random.getstate()[1])


def same(ours: Any, theirs: Any, where: object) -> None:
    """Equal in structure and names, numbers to 1e-12 relative; comments are ours."""
    if isinstance(theirs, dict):
        assert isinstance(ours, dict), where
        assert list(ours) == list(theirs), where
        for key in theirs:
            if key != "comment":
                same(ours[key], theirs[key], (where, key))
    elif isinstance(theirs, (list, tuple)):
        assert len(ours) == len(theirs), where
        for mine, other in zip(ours, theirs, strict=True):
            same(mine, other, where)
    elif theirs is None or isinstance(theirs, str):
        assert ours == theirs, where
    else:
        assert ours == theirs or math.isclose(ours, theirs, rel_tol=1e-12, abs_tol=0), where


def agree(both: Pair, call: Callable[[Any], Any], where: object) -> str:
    """Both give the same result from the same draws, or an error that the same script would catch."""
    (kind, mine), (other, theirs) = (outcome(lambda api=api: call(api)) for api in both)
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
    kinds = []
    for index, dataset, hp in cases(both):
        for iepoch, is_random in itertools.product(epochs_of(hp), (True, False, *SEEDS, 5)):
            where = (index, dataset, hp, iepoch, is_random)
            kinds.append(
                agree(
                    both,
                    lambda api, i=index, d=dataset, e=iepoch, h=hp, r=is_random: api.get_more_info(
                        i, d, iepoch=e, hp=h, is_random=r
                    ),
                    where,
                )
            )
    assert {"error", "result"} == set(kinds)
    assert kinds.count("result") > 300


def test_get_more_info_by_string_object_and_wrong_arguments(both: Pair) -> None:
    class Cell:
        def __init__(self, text: str) -> None:
            self.text = text

        def tostr(self) -> str:
            return self.text

    text = both[1].arch(0)
    for arch in (text, Cell(text), "none", Cell("none"), -1, len(both[1])):
        agree(both, lambda api, a=arch: api.get_more_info(a, "cifar100"), arch)
        agree(both, lambda api, a=arch: api.query_index_by_arch(a), arch)
    for hp in ("200", "90", "7", 12):
        agree(both, lambda api, h=hp: api.get_more_info(0, "cifar10", hp=h, is_random=False), hp)
    for dataset in ("cifar", "", None):
        agree(both, lambda api, d=dataset: api.get_more_info(0, d), dataset)
    for odd in (2.5, None, "777"):
        agree(both, lambda api, r=odd: api.get_more_info(0, "cifar100", is_random=r), odd)
    for arch in (3.0, None, (1, 2)):
        agree(both, lambda api, a=arch: api.query_index_by_arch(a), arch)


def test_simulate_train_eval(both: Pair) -> None:
    for api in both:
        api.reset_time()
    for index, dataset, hp in cases(both):
        for iepoch in epochs_of(hp):
            agree(
                both,
                lambda api, i=index, d=dataset, e=iepoch, h=hp: api.simulate_train_eval(
                    i, d, iepoch=e, hp=h
                ),
                (index, dataset, hp, iepoch),
            )
        agree(
            both,
            lambda api, i=index, d=dataset: api.simulate_train_eval(i, d, account_time=False),
            index,
        )
    agree(both, lambda api: api.simulate_train_eval("nowhere", "cifar10"), "unknown architecture")
    agree(both, lambda api: api.simulate_train_eval(0, "svhn"), "unknown dataset")
    agree(both, lambda api: api.simulate_train_eval(0, "cifar10", hp="7"), "unknown schedule")
    agree(both, lambda api: api.used_time, "used time")
    assert both[0].used_time > 0
    for api in both:
        api.reset_time()
        assert api.used_time == 0


def test_costs_latency_config_and_weights(both: Pair) -> None:
    for index, dataset, hp in cases(both):
        where = (index, dataset, hp)
        agree(both, lambda api, i=index, d=dataset, h=hp: api.get_cost_info(i, d, h), where)
        agree(both, lambda api, i=index, d=dataset, h=hp: api.get_latency(i, d, h), where)
        agree(both, lambda api, i=index, d=dataset: api.get_net_config(i, d), where)
        for seed in (None, 777, 5):
            agree(
                both,
                lambda api, i=index, d=dataset, h=hp, s=seed: api.get_net_param(i, d, s, h),
                (where, seed),
            )
    agree(both, lambda api: api.get_cost_info(0, "svhn"), "unknown dataset")
    agree(both, lambda api: api.get_cost_info(0, "cifar10", "7"), "unknown schedule")


ATTRIBUTES = (
    "name", "seed", "epochs", "params", "flop", "latency", "arch_config", "eval_names", "net_state_dict",
    "train_acc1es", "train_acc5es", "train_losses",
)  # fmt: skip


def test_arch_results(both: Pair) -> None:
    for index, hp in itertools.product(FOLDERS[space_of(both)][2], SCHEDULES[space_of(both)]):
        pair = tuple(api.query_meta_info_by_index(index, hp) for api in both)
        where = (index, hp)
        for name in ("arch_index", "arch_str", "dataset_seed", "clear_net_done"):
            same(getattr(pair[0], name), getattr(pair[1], name), (where, name))
        assert set(pair[0].all_results) == set(pair[1].all_results)
        for call in ("get_dataset_names", "get_total_epoch", "arch_idx_str"):
            agree(pair, lambda found, c=call: getattr(found, c)(), (where, call))
        assert repr(pair[0]).startswith(f"ArchResults(arch-index={index}")
        for dataset in (*DATASETS, "svhn"):
            for call in (
                "get_compute_costs",
                "get_dataset_seeds",
                "get_latency",
                "get_total_epoch",
            ):
                agree(
                    pair,
                    lambda found, c=call, d=dataset: getattr(found, c)(d),
                    (where, call, dataset),
                )
            for name, iepoch, is_random in itertools.product(
                ("train", "valid", "x-valid", "x-test", "ori-test", "else"),
                (None, 0, 5, int(hp) - 1, int(hp)),
                (True, False, 777),
            ):
                agree(
                    pair,
                    lambda found, d=dataset, n=name, e=iepoch, r=is_random: found.get_metrics(
                        d, n, e, r
                    ),
                    (where, dataset, name, iepoch, is_random),
                )


def test_results_count(both: Pair) -> None:
    for index, dataset, hp in cases(both):
        runs = tuple(api.query_by_index(index, dataset, hp) for api in both)
        assert list(runs[0]) == list(runs[1])
        for seed in runs[1]:
            pair, where = (runs[0][seed], runs[1][seed]), (index, dataset, hp, seed)
            for name in ATTRIBUTES:
                same(getattr(pair[0], name), getattr(pair[1], name), (where, name))
            for name in ("train_times", "eval_acc1es", "eval_losses", "eval_times"):
                mine, theirs = getattr(pair[0], name), getattr(pair[1], name)
                assert mine == dict(theirs), (where, name)
            for call in (
                "get_latency",
                "get_times",
                "get_total_epoch",
                "get_eval_set",
                "get_net_param",
            ):
                agree(pair, lambda run, c=call: getattr(run, c)(), (where, call))
            agree(pair, lambda run: run.get_config(None), where)
            agree(pair, lambda run: run.get_config(str.upper), where)
            assert repr(pair[0]) == repr(pair[1])
            for iepoch in epochs_of(hp):
                agree(pair, lambda run, e=iepoch: run.get_train(e), (where, iepoch))
                for name in ("valid", "x-valid", "x-test", "ori-test", "else"):
                    agree(
                        pair,
                        lambda run, n=name, e=iepoch: run.get_eval(n, e),
                        (where, name, iepoch),
                    )


def test_query_by_index(both: Pair) -> None:
    for arguments in (
        (0, None, "12"), (0, "cifar10", "12"), (0, "svhn", "12"), (0, "cifar10", "7"), (0, "cifar10", 12),
    ):  # fmt: skip
        mine, theirs = (
            outcome(lambda api=api, a=arguments: api.query_by_index(*a)) for api in both
        )
        assert mine[0] == theirs[0]
        if mine[0] == "error":
            assert isinstance(mine[1], type(theirs[1]))
        else:
            assert type(mine[1][0]).__name__ == type(theirs[1][0]).__name__
    agree(both, lambda api: api.query_meta_info_by_index(0, "7"), "unknown schedule")


def test_lists_of_architectures(both: Pair) -> None:
    mine, theirs = both
    assert len(mine) == len(theirs)
    assert mine.meta_archs == theirs.meta_archs
    assert mine.archstr2index == theirs.archstr2index
    for name in (
        "search_space_name", "full_train_epochs", "full_epochs_in_paper", "is_size", "is_topology",
        "fast_mode", "archive_dir", "filename",
    ):  # fmt: skip
        if name == "filename":
            assert mine.filename == Path(theirs.archive_dir).name
        else:
            assert getattr(mine, name) == getattr(theirs, name)
    for index in (0, 11, len(mine) - 1):
        agree(both, lambda api, i=index: api.arch(i), index)
        agree(both, lambda api, i=index: api[i], index)
    for index in (-1, len(mine)):
        agree(both, lambda api, i=index: api.arch(i), index)
    agree(both, lambda api: [api.random() for _ in range(20)], "random")


def fresh(simple_folder: Callable[[str], Path], space: str) -> Pair:
    folder = str(simple_folder(space))
    return (
        ours.create(folder, space, fast_mode=True, verbose=False),
        reference.create(folder, space, fast_mode=True, verbose=False),
    )


@pytest.mark.parametrize("space", ["tss", "sss"])
def test_find_best_and_statistics(space: str, simple_folder: Callable[[str], Path]) -> None:
    pair = fresh(simple_folder, space)
    hp = SCHEDULES[space][-1]
    agree(
        pair, lambda api: api.find_best("cifar10", "valid", hp=hp, enforce_all=False), "nothing yet"
    )
    for index in FOLDERS[space][2]:
        for api in pair:
            api.query_meta_info_by_index(index, hp)
        assert pair[0].evaluated_indexes == pair[1].evaluated_indexes
    assert sorted(pair[0].avaliable_hps) == sorted(pair[1].avaliable_hps)
    found = set()
    for dataset, name, each in itertools.product(
        ("cifar10", "cifar10-valid", "cifar100", "ImageNet16-120", "svhn"),
        ("train", "valid", "test", "x-valid", "x-test", "ori-test"),
        SCHEDULES[space],
    ):
        for limits in ({}, {"flop_max": 60.0}, {"param_max": 0.3}, {"flop_max": 0.0}):
            call = {"hp": each, "enforce_all": False, **limits}
            agree(
                pair,
                lambda api, d=dataset, n=name, c=call: api.find_best(d, n, **c),
                (dataset, name, call),
            )
        if dataset != "svhn":
            agree(pair, lambda api, d=dataset, h=each: api.statistics(d, h), (dataset, each))
            agree(
                pair, lambda api, d=dataset, h=each: api.statistics(d, int(h)), dataset
            ) if each != "01" else None
        found.add(pair[0].find_best("cifar10", "valid", hp=each, enforce_all=False)[0])
    assert found - {-1}
    agree(pair, lambda api: api.statistics("svhn", hp), "unknown dataset")


def test_topology_only(simple_folder: Callable[[str], Path]) -> None:
    pair = fresh(simple_folder, "tss")
    for index in range(0, 15_625, 251):
        agree(pair, lambda api, i=index: api.get_unique_str(i), index)
        text = pair[1].arch(index)
        agree(pair, lambda api, t=text: api.get_unique_str(t), text)
        agree(pair, lambda api, t=text: api.str2lists(t), text)
        agree(pair, lambda api, t=text: api.str2matrix(t).tolist(), text)
    order = ["nor_conv_3x3", "avg_pool_3x3", "none", "skip_connect", "nor_conv_1x1"]
    agree(pair, lambda api: api.str2matrix(api.arch(5), order).tolist(), "another order")
    agree(pair, lambda api: api.str2matrix(api.arch(5), order[:2]).tolist(), "too few")


def test_reload_and_clear(simple_folder: Callable[[str], Path]) -> None:
    pair = fresh(simple_folder, "tss")
    folder = str(simple_folder("tss"))
    for api in pair:
        api.reload(folder, 11)
        assert api.evaluated_indexes == {11}
        assert 11 in api.arch2infos_dict
        assert list(api.arch2infos_dict[11]) == ["12", "200"]
        api.clear_params(11)
        assert api.query_meta_info_by_index(11, "200").clear_net_done in (True, False)
        api.clear_params(11, "200")
        assert api.arch2infos_dict[11]["200"].clear_net_done
    for arguments in (("/nowhere", 11), (folder, 15_625), (folder, -1)):
        agree(pair, lambda api, a=arguments: api.reload(*a), arguments)
    agree(pair, lambda api: api.clear_params(11, "7"), "unknown schedule")


def test_a_dict_as_the_publishers_write_it(
    nats_file: Callable[[str], Any], simple_folder: Callable[[str], Path]
) -> None:
    content = {
        **nats_file("meta"),
        "arch2infos": {index: nats_file(f"{index:06d}") for index in (0, 11, 284)},
        "evaluated_indexes": {0, 11, 284},
    }
    pair = tuple(module.create(content, "tss", verbose=False) for module in (ours, reference))
    assert pair[0].evaluated_indexes == pair[1].evaluated_indexes == {0, 11, 284}
    for hp, name in itertools.product(("12", "200"), ("valid", "test", "train")):
        agree(pair, lambda api, h=hp, n=name: api.find_best("cifar10", n, hp=h), (hp, name))
    agree(pair, lambda api: api.get_more_info(11, "cifar100", hp="200"), "a draw")
    for lacking in ("meta_archs", "arch2infos", "evaluated_indexes"):
        less = {key: value for key, value in content.items() if key != lacking}
        for module in (ours, reference):
            with pytest.raises(ValueError, match=lacking):
                module.create(less, "tss", verbose=False)


def test_creation_errors_are_of_the_same_type(
    tmp_path: Path, simple_folder: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "nothing"))
    monkeypatch.setenv("NASBENCH_TAB_HOME", str(tmp_path / "home"))
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
    pair = tuple(
        module.create(None, "sss", fast_mode=True, verbose=False) for module in (ours, reference)
    )
    agree(pair, lambda api: api.get_more_info(284, "cifar10", hp="90"), "default folder")


def test_search_space_info() -> None:
    for main, aux in itertools.product(
        ("nats-bench", "nas-bench-201", "else"), ("tss", "topology", "sss", "size", None, "x")
    ):
        agree(
            (ours, reference),
            lambda module, m=main, a=aux: module.search_space_info(m, a),
            (main, aux),
        )
    assert ours.version() == reference.version()


def test_every_public_call_of_the_reference_is_there(both: Pair) -> None:
    theirs = {name for name in dir(both[1]) if not name.startswith("_")}
    assert theirs <= set(dir(both[0])), theirs - set(dir(both[0]))
