"""What several test modules share: published data, a small table, the command line, steady hypothesis."""

from __future__ import annotations

import bz2
import sys
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commandline import Command, Done
from hypothesis import settings
from rich.console import Console

from nasbench_tab import cli
from nasbench_tab.benchmarks.tablefile import Column, Table, Training
from nasbench_tab.importers.unpickle import NUMPY_SCALARS, load_plain
from nasbench_tab.records import Metric

# The same examples on every run, and no deadline: a busy machine is not a bug.
settings.register_profile("steady", deadline=None, derandomize=True)
settings.load_profile("steady")

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of published benchmark data; skips where it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip("the published benchmark data (../shared/data) are not on this machine")
    return SHARED_DATA


@pytest.fixture(scope="session")
def nats_file(shared_data: Path) -> Callable[[str], Any]:
    """Reads an official NATS-Bench topology file, by ``"meta"`` or its six digits."""
    allow = {("collections", "OrderedDict"): OrderedDict, **NUMPY_SCALARS}

    def read(part: str) -> Any:
        path = shared_data / "nasbench201" / f"NATS-tss-v1_0-3ffb9-simple.{part}.pickle.pbz2"
        with bz2.open(path, "rb") as file:
            return load_plain(file, allow, path.name)

    return read


def _numbers(*shape: int, start: int = 0, step: int = 7919) -> np.ndarray[Any, np.dtype[Any]]:
    """Numbers between 0 and 99.9 that look random and are the same everywhere."""
    size = int(np.prod(shape))
    return ((start + step * np.arange(1, size + 1)) % 1000 / 10).reshape(shape)


@pytest.fixture
def synthetic() -> Table:
    """Twelve NAS-Bench-201 cells, two ways of training, three seeds, gaps.

    Training ``curve``: row 3 lacks the last epoch of seed 7, row 4 all of seed -1, row 5 seeds 7
    and 3 and row 6 everything. Training ``short``: one seed, complete, a loss.
    """
    n = 12
    cells = np.array([(i % 5, i // 5, 1, 2, 3, 4) for i in range(n)], np.uint8)
    valid = _numbers(n, 3, 3).astype(np.float32)
    valid[3, 0, 2] = valid[4, 1] = valid[5, [0, 2]] = valid[6] = np.nan
    test = np.where(np.isnan(valid), np.nan, _numbers(n, 3, 3, start=13)).astype(np.float32)
    seconds = np.where(
        np.isnan(valid), np.nan, np.cumsum(_numbers(n, 3, 3, start=5) + 1.0 / 3.0, axis=2)
    )
    latency = _numbers(n, start=3) / 1000
    latency[2] = np.nan
    percent = (0.0, 100.0)
    curve = Training(
        dataset="cifar10-valid",
        objective="valid_accuracy",
        epochs_kind="curve",
        seconds_kind="measured",
        seeds=(7, -1, 3),
        epochs=(1, 2, 4),
        columns={
            "valid_accuracy": Column(
                Metric("valid_accuracy", "valid", "max", "%", *percent), valid, 'with "quotes" \\ ✓'
            ),
            "test_accuracy": Column(Metric("test_accuracy", "test", "max", "%", *percent), test),
            "train_seconds": Column(Metric("train_seconds", "none", "min", "s", 0.0), seconds),
        },
    )
    short = Training(
        dataset="cifar10",
        objective="valid_loss",
        epochs_kind="separate trainings",
        seconds_kind="none",
        seeds=(0,),
        epochs=(12,),
        columns={
            "valid_loss": Column(Metric("valid_loss", "valid", "min", ""), _numbers(n, 1, 1) / 7)
        },
    )
    return Table(
        name="synthetic",
        space="nasbench201",
        by_index=False,
        architectures=cells,
        trainings={"curve": curve, "short": short},
        default_training="curve",
        static={
            "latency": Column(Metric("latency", "none", "min", "s", 0.0), latency, "batch of 256"),
            "macs": Column(Metric("macs", "none", "min", "M"), np.arange(n, dtype=np.float32)),
        },
    )


@pytest.fixture(autouse=True, scope="module")
def _no_workers_left() -> Iterator[None]:
    """End worker processes after each file: they keep the environment that they were started in."""
    yield
    loky = sys.modules.get("joblib.externals.loky.reusable_executor")
    if loky is not None and loky._executor is not None:
        loky.get_reusable_executor().shutdown(wait=True)


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    """Return the function that runs the command line in an empty current folder."""
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    monkeypatch.setenv("NASBENCH_TAB_HOME", str(tmp_path / "home"))
    # A console takes its width when it is made, which may have been in a narrower terminal.
    monkeypatch.setattr(cli, "_out", Console(highlight=False, soft_wrap=True, width=200))
    monkeypatch.setattr(sys, "path", list(sys.path))

    def run(*arguments: str) -> Done:
        monkeypatch.setattr(sys, "argv", ["nasbench-tab", *arguments])
        with pytest.raises(SystemExit) as exited:
            cli.main()
        captured = capsys.readouterr()
        code = exited.value.code
        assert code is None or isinstance(code, int)
        return Done(code or 0, captured.out, captured.err)

    return run
