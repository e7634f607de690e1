"""How long NATS-Bench's interface takes to answer, beside the real package on the same files.

    python tools/bench_nats_api.py FOLDER

FOLDER is an official "simple" folder of the topology space that holds architecture 11, complete or not.
Processor time, medians of 15 rounds in which all take their turn.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import nats_bench
from bench_timing import line, side_by_side

from nasbench_tab.compat import nats_bench as ours
from nasbench_tab.importers.nats import import_nats_tss

#: An architecture that is asked about, and how.
_ASKED: dict[str, Callable[[Any], object]] = {
    "get_more_info, means over three seeds": lambda api: api.get_more_info(
        11, "cifar100", hp="200", is_random=False
    ),
    "simulate_train_eval": lambda api: api.simulate_train_eval(11, "cifar10", hp="12"),
}


def main() -> None:
    """Open all three, ask, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = str(parser.parse_args().folder)
    with tempfile.TemporaryDirectory() as made:
        import_nats_tss(Path(folder), Path(made), partial=True)
        opened: dict[str, Callable[[], Any]] = {
            "nats_bench": lambda: nats_bench.create(folder, "tss", True, False),
            "simple folder": lambda: ours.create(folder, "tss", True, False),
            "tables": lambda: ours.create(made, "tss", False, False),
        }
        for what, ask in _ASKED.items():
            apis = {name: make() for name, make in opened.items()}
            _print(what, {name: (partial(ask, api), 50) for name, api in apis.items()})
        _print(
            "open, and answer once",
            {name: (partial(_once, make), 1) for name, make in opened.items()},
        )


def _once(make: Callable[[], Any]) -> None:
    _ASKED["simulate_train_eval"](make())


def _print(what: str, calls: dict[str, tuple[Callable[[], object], int]]) -> None:
    print(what)
    seconds = side_by_side(calls, time.process_time)
    for name, times in seconds.items():
        line(name, times, 1e3, "ms", None if name == "nats_bench" else seconds["nats_bench"])


if __name__ == "__main__":
    main()
