"""The page of a one-shot method: what is on it, with which clock, and beside which searches."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from nasbench_tab.cli import app
from nasbench_tab.errors import InvalidArgumentError, LogError
from nasbench_tab.registry import load
from nasbench_tab.report.trajectory import _curve, write_trajectory
from nasbench_tab.search.trajectory import score_trajectories

from .conftest import Compared

NAME = "small"


def logs(folder: Path, n: int, *, scored: bool = True) -> list[Path]:
    bench = load(NAME)
    cells = [bench.space.format(tuple(cell)) for cell in bench.measured().tolist()]
    paths = []
    for run in range(n):
        rng = np.random.default_rng(run)
        lines = [
            {"time_seconds": 10.0 * i + run, "architecture": cells[int(rng.integers(len(cells)))]}
            for i in range(1, 8)
        ]
        if scored:
            lines += [
                {"architecture": cell, "score": float(rng.normal()), "chosen": False}
                for cell in cells
            ]
        path = folder / f"supernet{run}.jsonl"
        path.write_text("".join(json.dumps(entry) + "\n" for entry in lines), encoding="utf-8")
        paths.append(path)
    return paths


def words(page: Path) -> str:
    text = re.sub(r"<(style|svg).*?</\1>", " ", page.read_text(encoding="utf-8"), flags=re.S)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", text))


def test_the_page_says_what_it_is(home: Path, tmp_path: Path) -> None:
    page = write_trajectory(logs(tmp_path, 6), NAME, tmp_path / "out", name="<b>net</b>")
    text = words(page)
    assert "&lt;b&gt;net&lt;/b&gt; on small" in text
    assert "clock: real time of the method" in text
    assert "Trained again, the entry of such a cell moves by about" in text
    assert "supernet5.jsonl" in text
    assert "one training" in text
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        *("index.html", "trajectory.json", "trajectory.csv", "figures"),
    }
    shown = {path.name for path in (tmp_path / "out" / "figures").iterdir()}
    assert shown == {
        f"{stem}.{kind}"
        for stem in ("regret-valid_quality", "precision")
        for kind in ("svg", "pdf")
    }
    assert (
        "simulated time"
        not in (tmp_path / "out" / "figures" / "regret-valid_quality.svg").read_text()
    )


def test_the_table_of_choices(home: Path, tmp_path: Path) -> None:
    write_trajectory(logs(tmp_path, 2), NAME, tmp_path / "out")
    with (tmp_path / "out" / "trajectory.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 14
    bench = load(NAME)
    for row in rows:
        assert float(row["valid_quality"]) == bench.query(row["architecture"])
    assert [float(row["time_seconds"]) for row in rows[7:9]] == [11.0, 21.0]


def test_twice_the_same_bytes(home: Path, tmp_path: Path) -> None:
    paths = logs(tmp_path, 5)
    one = write_trajectory(paths, NAME, tmp_path / "a").read_bytes()
    assert write_trajectory(paths, NAME, tmp_path / "b").read_bytes() == one


def test_beside_a_comparison_each_curve_has_its_clock(compared: Compared, tmp_path: Path) -> None:
    results = compared(["random", "evolution(population=5)"], [NAME], 24)
    page = write_trajectory(
        logs(tmp_path, 1), NAME, tmp_path / "out", beside=results.directory, name="net"
    )
    chart = (tmp_path / "out" / "figures" / "regret-valid_quality.svg").read_text(encoding="utf-8")
    for label in ("net, real time", "random, simulated time"):
        assert label in chart
    text = words(page)
    assert "random, 24 runs 15 evaluations" in text
    assert ", simulated" in text
    other = compared(["random"], ["small-errors"], 2)
    with pytest.raises(InvalidArgumentError, match="compares on small-errors; none of these is"):
        write_trajectory(logs(tmp_path, 1), NAME, tmp_path / "no", beside=other.directory)
    assert not (tmp_path / "no").exists()


def test_without_scores_there_is_nothing_to_rank(home: Path, tmp_path: Path) -> None:
    page = write_trajectory(logs(tmp_path, 1, scored=False), NAME, tmp_path / "out")
    assert "There is nothing to rank. No ranks of supernet0.jsonl" in words(page)
    assert not (tmp_path / "out" / "figures" / "precision.svg").exists()


def test_a_curve_is_the_answer_at_each_moment(home: Path, tmp_path: Path) -> None:
    runs = score_trajectories(logs(tmp_path, 3), load(NAME))
    curve = _curve(runs, "valid_quality", "net")
    assert curve.x[0] == 12.0  # from where all have an answer
    assert curve.x[-1] == 72.0
    assert curve.low is None  # too few for an interval
    for at, mean in zip(curve.x, curve.mean, strict=True):
        now = []
        for run in runs:
            [last] = [i for i, s in enumerate(run.seconds) if s <= at][-1:]
            now.append(run.regret["valid_quality"][last])
        assert mean == pytest.approx(np.mean(now))


def test_a_single_answer_at_once(home: Path, tmp_path: Path) -> None:
    cell = load(NAME).space.format(tuple(load(NAME).measured()[0].tolist()))
    path = tmp_path / "one.csv"
    path.write_text(f"time_seconds,architecture\n0,{cell}\n", encoding="utf-8")
    assert "75.0" not in words(write_trajectory([path], NAME, tmp_path / "out"))


def test_the_command(home: Path, tmp_path: Path) -> None:
    paths = [str(path) for path in logs(tmp_path, 2)]
    wanted = ["--benchmark", NAME, "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(app, ["trajectory", *paths, *wanted], catch_exceptions=False)
    assert done.exit_code == 0
    assert (tmp_path / "out" / "index.html").is_file()
    (tmp_path / "bad.jsonl").write_text("{}\n", encoding="utf-8")
    refused = CliRunner().invoke(app, ["trajectory", str(tmp_path / "bad.jsonl"), *wanted])
    assert isinstance(refused.exception, LogError)
