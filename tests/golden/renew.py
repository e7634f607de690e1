"""Write the golden files anew: ``python tests/golden/renew.py`` from the root of the checkout.

Do so only where a change of the numbers is meant, and say in CHANGELOG why they changed.
"""

from __future__ import annotations

from pathlib import Path

from nasbench_tab.records import Protocol
from nasbench_tab.registry import load
from nasbench_tab.search.run import run_search

FOLDER = Path(__file__).resolve().parent


def golden(strategy: str) -> str:
    """Return the text of a strategy's golden file."""
    bench = load("nb201-cifar10")
    run = run_search(strategy, bench, Protocol(evaluations=60), seed=0, run=0)
    head = [
        f"# {strategy} on nb201-cifar10, Protocol(evaluations=60), seed 0, run 0",
        "# official index of the cell, observed validation accuracy",
    ]
    cells = map(tuple, run.architectures.tolist())
    rows = zip(map(bench.space.index, cells), run.values.tolist(), strict=True)
    return "\n".join([*head, *(f"{index} {value!r}" for index, value in rows)]) + "\n"


def shipped() -> list[str]:
    """Return the names of all strategies that come with the package."""
    from nasbench_tab.registry import _STRATEGIES

    return sorted(_STRATEGIES)


if __name__ == "__main__":
    for name in shipped():
        (FOLDER / f"{name}.txt").write_text(golden(name), encoding="utf-8", newline="\n")
