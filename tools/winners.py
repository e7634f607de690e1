"""How optimistic are the winners on nb201-fashion? Real trainings of winners of the table and of surrogates.

    .venv/bin/python tools/winners.py out/winners            # hours of processor time; goes on where it was killed
    .venv/bin/python tools/winners.py out/winners --print    # the table of docs/verification.md, from what is there
    .venv/bin/python tools/winners.py out/winners --again    # then learn, and a second round with 300 networks

Random search and evolution search (a) the table by one training seed, 50 runs of 100 evaluations, (b) surrogates
fitted on the trainings of 100 and 300 random networks and of all, by their means, 12 runs of 50. Winners, the benchmark's own best, random cells and known
cells are then trained with fresh seeds, and the bias of each is estimated.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from nasbench_tab.train.log import RunLog, read_log

ROOT = Path(__file__).resolve().parent.parent
LOGS = ROOT / "data/nb201-fashion/logs"
STUDIES = {
    "table, one seed": "nb201-fashion",
    "surrogate of 100 networks": "fashion-100",
    "surrogate of 300 networks": "fashion-300",
    "surrogate of all networks": "fashion-all",
}


def run(*words: str | Path) -> None:
    """Show a command and run it."""
    print("$ nasbench-tab", *words, flush=True)
    call = [sys.executable, "-m", "nasbench_tab.cli", *map(str, words)]
    subprocess.run(call, check=True)


def fit(name: str, out: Path, home: Path) -> None:
    """Fit a surrogate on the trainings of as many random networks as its name says."""
    folder, source = home / "surrogates" / name, LOGS
    if folder.is_dir():
        return
    size = name.rpartition("-")[2]
    if size != "all":
        runs = read_log(LOGS).runs
        cells = sorted({one.architecture for one in runs})
        chosen = set(np.random.default_rng(0).permutation(cells)[: int(size)].tolist())
        source = out / f"{name}.jsonl"
        source.unlink(missing_ok=True)
        log = RunLog(source)
        for one in runs:
            if one.architecture in chosen:
                log.append(one)
    run("fit", source, "--out", folder)


def study(name: str, out: Path, home: Path, top: int, seeds: int, jobs: int) -> None:
    results = out / name
    if name != "nb201-fashion":
        fit(name, out, home)
    if not results.is_dir():
        how: tuple[str, ...] = (
            "--runs",
            "50",
            "--budget",
            "100",
            "--seeds",
            "0",
            "--missing",
            "masked",
        )
        if name != "nb201-fashion":
            # By means a longer search, or more of them, would end in the same few cells again and again.
            how = ("--runs", "12", "--budget", "50", "--seeds", "mean")
        searched = ("--strategies", "random,evolution", "--seed", "0")
        run("compare", name, *searched, *how, "--out", results)
    arms = ("--top", str(top), "--seeds", str(seeds), "--trajectory", "0")
    run("verify", results, *arms, "--device", "cpu", "--jobs", str(jobs))


def again(out: Path, home: Path, top: int, seeds: int, jobs: int) -> None:
    """Refit each surrogate with the trainings of its winners, and search and verify one of them once more."""
    for name in list(STUDIES.values())[1:]:
        folder = home / "surrogates" / f"{name}-again"
        if not folder.is_dir():
            run("bias", out / name, "--learn", folder)
    study("fashion-300-again", out, home, top, seeds, jobs)


def interval(one: dict[str, Any]) -> str:
    low, mean, high = (
        math.nan if one[key] is None else one[key] for key in ("low", "mean", "high")
    )
    return f"{mean:+.2f} [{low:+.2f}, {high:+.2f}]"


def print_table(out: Path, seeds: int) -> None:
    print(
        "| claims of | arm | cells x seeds | bias [95 %] | by choosing alone | in the interval | verdict |"
    )
    print("|---|---|---|---|---|---|---|")
    for words, name in STUDIES.items():
        file = out / name / "verification" / "bias.json"
        if not file.is_file():
            continue
        found = json.loads(file.read_text())
        for lane in found["lanes"]:
            arm = {"top": "own best", "random": "random cells"}.get(lane["arm"], "winners")
            arm += f" of {lane['strategy']}" if lane["strategy"] else ""
            explained, covered = lane["expected"], lane["covered"]
            alone = "" if explained is None else f"{explained['excess']['estimate']:+.2f}"
            held = f"{covered['share']:.0%}" if covered.get("share") is not None else ""
            print(
                f"| {words} | {arm} | {lane['bias']['n']} x {seeds} | {interval(lane['bias'])} | {alone} | "
                f"{held} | {lane['verdict']['word']} |"
            )
        drift = found["drift"]
        print(
            f"| {words} | known cells | {drift['n']} | drift {interval(drift)} | | | {found['identical']} of "
            f"{found['known']} the same to the last bit |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--top", type=int, default=8, help="networks in each arm")
    parser.add_argument("--seeds", type=int, default=3, help="trainings of each")
    parser.add_argument("--jobs", type=int, default=-1)
    parser.add_argument("--print", action="store_true", help="train nothing")
    parser.add_argument("--again", action="store_true", help="learn from it, and a second round")
    given = parser.parse_args()
    home = given.out / "home"
    home.mkdir(parents=True, exist_ok=True)
    os.environ["NASBENCH_TAB_HOME"] = str(home.resolve())
    if not given.print:
        for name in STUDIES.values():
            study(name, given.out, home, given.top, given.seeds, given.jobs)
    if given.again:
        again(given.out, home, given.top, given.seeds, given.jobs)
    print_table(given.out, given.seeds)


if __name__ == "__main__":
    main()
