"""NATS-Bench's whole size space, from others' exports of its test accuracies, as a table: looked up and searched.

The official file of all 32,768 networks is not at hand. These figures are of test images, so the table is
this test's own and says so in its metric's name.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from nasbench_tab.benchmarks.tablefile import Column, Table, Training, write_table
from nasbench_tab.records import Metric
from nasbench_tab.registry import load, load_space
from nasbench_tab.search.compare import compare

BEST = {"Cifar10": 93.65, "Cifar100": 71.34, "ImageNet": 47.40}


def exported(path: Path) -> Table:
    frame = pd.read_csv(path)
    space = load_space("nats-size")
    cells = np.array([space.unindex(int(index)) for index in frame["index"]], np.uint8)
    accuracy = Metric("test_as_valid_accuracy", "valid", "max", "%", 0.0, 100.0)
    column = Column(accuracy, frame["accuracy"].to_numpy(np.float64)[:, None, None])
    training = Training(
        path.stem,
        accuracy.name,
        "separate trainings",
        "none",
        (777,),
        (90,),
        {accuracy.name: column},
    )
    size = Metric("parameters", "none", "min", "M", 0.0)
    static = {"parameters": Column(size, frame["num_param"].to_numpy(np.float64) / 1e6)}
    return Table("sss", "nats-size", True, cells, {"90-epochs": training}, "90-epochs", static)


@pytest.mark.parametrize("name", BEST)
def test_it_is_searched_to_the_published_best(
    name: str, shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = exported(shared_data / f"nats-bench-sss/{name}-NATS.csv")
    write_table(tmp_path / "data" / "sss", table, {"title": "NATS-Bench's size space"})
    monkeypatch.setenv("NASBENCH_TAB_HOME", str(tmp_path))
    bench = load("sss")
    values = bench.query(np.arange(32_768))
    assert round(float(values.max()), 2) == BEST[name]
    found = compare(
        ["sss"], ["random", "evolution"], runs=20, budget=150, out=tmp_path / "out", jobs=1
    )
    mean = {
        label: found.trials("sss", label).final["test_as_valid_accuracy"].mean()
        for label in ("random", "evolution")
    }
    assert values.max() >= mean["evolution"] > mean["random"]
