"""Random files in the layout of the official NAS-Bench-201 and NATS-Bench ones, by the standard pickle."""

from __future__ import annotations

import bz2
import io
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nasbench_tab.spaces.base import Space
from nasbench_tab.spaces.nasbench201 import NasBench201
from nasbench_tab.spaces.nats_size import CELL, NatsSize

TSS, SSS = NasBench201(), NatsSize()
LONG = (777, 888, 999)

#: ``{hp: (epochs, {dataset: seeds})}`` as published.
TSS_SCHEDULES: dict[str, tuple[int, dict[str, tuple[int, ...]]]] = {
    "12": (
        12,
        {
            "cifar10-valid": (111, 777),
            "cifar10": (111,),
            "cifar100": (111,),
            "ImageNet16-120": (111,),
        },
    ),
    "200": (200, dict.fromkeys(("cifar10-valid", "cifar10", "cifar100", "ImageNet16-120"), LONG)),
}
SSS_SCHEDULES: dict[str, tuple[int, dict[str, tuple[int, ...]]]] = {
    "01": (1, dict.fromkeys(TSS_SCHEDULES["200"][1], (777,))),
    "12": (12, dict.fromkeys(TSS_SCHEDULES["200"][1], LONG)),
    "90": (90, dict.fromkeys(TSS_SCHEDULES["200"][1], (777,))),
}
V11_SCHEDULES = {"less": TSS_SCHEDULES["12"], "full": TSS_SCHEDULES["200"]}
V10_SCHEDULES = {"less": (12, {"cifar10-valid": (777,)}), "full": TSS_SCHEDULES["200"]}

_CLASSES = {"cifar10-valid": 10, "cifar10": 10, "cifar100": 100, "ImageNet16-120": 120}


def run(
    rng: np.random.Generator, text: str, dataset: str, seed: int, epochs: int, *, long: bool
) -> dict[str, Any]:
    """Return one training; ``long``: only the last epoch has every set, as in 200-epoch runs."""
    curve = "x-valid" if dataset == "cifar10-valid" else "ori-test"
    sets = {
        "cifar10-valid": ["x-valid", "ori-test"],
        "cifar10": ["ori-test"],
    }.get(dataset, ["ori-test", "x-valid", "x-test"] if long else ["x-valid", "x-test", "ori-test"])

    def drawn(low: float, high: float) -> float:
        return float(rng.uniform(low, high))

    keys = [
        f"{name}@{epoch}"
        for name in sets
        for epoch in (range(epochs) if name == curve or not long else [epochs - 1])
    ]
    second = drawn(5, 20)
    config: dict[str, Any]
    if "~" in text:
        config = {"channel": 16, "num_cells": 5, "arch_str": text}
    else:
        config = {"name": "infer.shape.tiny", "channels": text, "arch_str": text, "genotype": CELL}
    return {
        "name": dataset,
        "net_state_dict": None,
        "train_acc1es": {epoch: drawn(0, 100) for epoch in range(epochs)},
        "train_acc5es": None if long else {epoch: drawn(0, 100) for epoch in range(epochs)},
        "train_losses": {epoch: drawn(0, 5) for epoch in range(epochs)},
        "train_times": OrderedDict((epoch, second) for epoch in range(epochs)),
        "arch_config": {**config, "class_num": _CLASSES[dataset]},
        "params": np.float64(0.8),
        "flop": 113.95,
        "seed": f"{seed:04d}",
        "epochs": epochs,
        "latency": [np.float64(drawn(0.01, 0.03))],
        "eval_names": sets,
        "eval_acc1es": {key: drawn(0, 100) for key in keys},
        "eval_times": {f"{name}@{epoch}": second / 3 for name in sets for epoch in range(epochs)},
        "eval_losses": {key: drawn(0, 5) for key in keys},
    }


def architecture(
    rng: np.random.Generator, index: int, space: Space, schedules: dict[str, Any]
) -> OrderedDict[str, dict[str, Any]]:
    """Return one architecture's results for each schedule."""
    text = space.format(space.unindex(index))
    made: OrderedDict[str, dict[str, Any]] = OrderedDict()
    for hp, (epochs, datasets) in schedules.items():
        made[hp] = {
            "arch_index": index,
            "arch_str": text,
            "all_results": {
                (dataset, seed): run(rng, text, dataset, seed, epochs, long=epochs == 200)
                for dataset, seeds in datasets.items()
                for seed in reversed(seeds)
            },
            "dataset_seed": {dataset: list(seeds) for dataset, seeds in datasets.items()},
            "clear_net_done": True,
        }
    return made


def official(
    seed: int, indices: Iterable[int], space: Space, schedules: dict[str, Any]
) -> dict[str, Any]:
    """Return what a single file holds, with the architectures ``indices`` only."""
    rng = np.random.default_rng(seed)
    infos = {index: architecture(rng, index, space, schedules) for index in indices}
    return {
        "meta_archs": [space.format(space.unindex(i)) for i in range(space.size or 0)],
        "total_archs": space.size,
        "arch2infos": infos,
        "evaluated_indexes": set(infos),
    }


def write_simple(folder: Path, content: dict[str, Any], protocol: int = 4) -> Path:
    """Write a "simple" folder."""
    folder.mkdir(parents=True)
    meta = {**content, "arch2infos": None, "evaluated_indexes": set()}
    items = {"meta": meta, **{f"{i:06d}": info for i, info in content["arch2infos"].items()}}
    for name, item in items.items():
        (folder / f"{name}.pickle.pbz2").write_bytes(packed(item, protocol))
    return folder


def packed(item: object, protocol: int = 4) -> bytes:
    """Return a bzip2 file of a pickle."""
    return bz2.compress(pickle.dumps(item, protocol), 1)


def torch_legacy(item: object, tensors: list[str] | None = None) -> bytes:
    """Return what torch.save wrote before 1.6."""
    machine = {
        "protocol_version": 1001,
        "little_endian": True,
        "type_sizes": {"short": 2, "int": 4},
    }
    parts = [0x1950A86A20F9469CFC6C, 1001, machine, item, tensors or []]
    return b"".join(pickle.dumps(part, 2) for part in parts)


def torch_zip(item: object) -> bytes:
    """Return what torch.save writes."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(item, 2))
        archive.writestr("archive/byteorder", "little")
        archive.writestr("archive/version", "3\n")
    return file.getvalue()


def first(space: Space, n: int) -> Space:
    """Return a space of which only the first cells are numbered, so that small files are whole ones."""
    space.size = n
    return space


#: Spaces of 300 cells, and cells in them.
FIRST_TSS, FIRST_SSS = first(NasBench201(), 300), first(NatsSize(), 300)
INDICES = (0, 11, 299)


def torch_saved(item: object, *, legacy: bool) -> bytes:
    torch = pytest.importorskip("torch")
    file = io.BytesIO()
    torch.save(item, file, _use_new_zipfile_serialization=not legacy)
    return file.getvalue()
