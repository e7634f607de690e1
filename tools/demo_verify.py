"""Search on a surrogate, then train its winners for real: what `tools/demo --verify` does.

A surrogate of NAS-Bench-201 cells on Fashion-MNIST is searched by two strategies; the winners, the surrogate's
own best, random cells and cells whose trainings are known are trained on the CPU, and the bias is printed. The
images are the system's, those of a folder that is named, or a download; where there are none, the digits of
scikit-learn serve, on a surrogate that is fitted on trainings made here. Everything lies in the folder OUT.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NAME = "demo"  # of the surrogate that is searched, where none ships
#: No training begins later than this, whatever the machine, so that all ends within ten minutes.
BUDGET = "6m"


def run(*words: str | Path) -> None:
    """Show a command and run it."""
    print("$ nasbench-tab", *words, flush=True)
    call = [sys.executable, "-m", "nasbench_tab.cli", *map(str, words)]
    subprocess.run(call, check=True)


def images_missing(folder: Path | None) -> str:
    """Return why the images of Fashion-MNIST cannot be had; empty if they can."""
    from nasbench_tab.errors import DatasetError
    from nasbench_tab.train.datasets import load_images

    try:
        load_images("fashion-mnist", folder)
    except DatasetError as err:
        return str(err)
    return ""


def surrogate(out: Path, home: Path, digits: bool, cells: int) -> str:
    """Return the name of a surrogate to search: the shipped one, or one that is fitted here."""
    if not digits and (ROOT / "surrogates/nb201-fashion/manifest.toml").is_file():
        return "nb201-fashion@surrogate"
    source = "nb201-fashion"
    if digits:
        source = str(out / "digits.jsonl")
        collected = ("--cells", str(cells), "--every", "3", "--device", "cpu", "--log", source)
        run("collect", "nb201-digits", *collected)
    run("fit", source, "--out", home / "surrogates" / NAME)
    return NAME


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, add_help=True)
    parser.add_argument("out", type=Path)
    parser.add_argument("images", type=Path, nargs="?", help="folder of Fashion-MNIST's files")
    parser.add_argument("--digits", action="store_true", help="do not even look for Fashion-MNIST")
    parser.add_argument("--top", type=int, default=4, help="networks in each arm")
    parser.add_argument("--seeds", type=int, default=2, help="trainings of each")
    parser.add_argument("--trajectory", type=int, default=2)
    parser.add_argument("--cells", type=int, default=60, help="of the digits, to fit on")
    given = parser.parse_args()
    home, results = given.out / "home", given.out / "results"
    for old in (
        home / "surrogates",
        results,
        given.out / "digits.jsonl",
    ):  # what was downloaded stays
        if old.is_dir():
            shutil.rmtree(old)
        old.unlink(missing_ok=True)
    home.mkdir(parents=True, exist_ok=True)
    os.environ["NASBENCH_TAB_HOME"] = str(home.resolve())
    missing = "" if given.digits else images_missing(given.images)
    if missing:
        print(f"Fashion-MNIST cannot be had, so scikit-learn's digits serve instead. {missing}")
    digits = given.digits or bool(missing)
    name = surrogate(given.out, home, digits, given.cells)
    compared = ("--strategies", "random,evolution", "--runs", "20", "--budget", "100")
    run("compare", name, *compared, "--seed", "0", "--out", results)
    how: list[str | Path] = ["--top", str(given.top), "--seeds", str(given.seeds)]
    how += ["--trajectory", str(given.trajectory), "--device", "cpu", "--budget", BUDGET]
    if given.images is not None and not digits:
        how += ["--images", given.images]
    run("verify", results, *how)


if __name__ == "__main__":
    main()
