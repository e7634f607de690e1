"""Write the golden files anew: ``python tests/golden/renew.py`` from the root of the checkout.

Do so only where a change of the numbers is meant, and say in CHANGELOG why they changed.
"""

from __future__ import annotations

from pathlib import Path

from nasbench_tab.records import Protocol, Run
from nasbench_tab.registry import load
from nasbench_tab.search.presets import PRESETS, fit, settings_of
from nasbench_tab.search.run import run_search

BENCHMARK, FOLDER = "nb201-cifar10", Path(__file__).resolve().parent
EVALUATIONS = 60

#: Evaluations of strategies whose choices hang on floating-point sums of a library, which differ in their
#: last bits between processors: the uniform draws at the beginning, which do not, and the first batch or
#: two, which test_golden shows to be the same when all scores are off in the seventh digit.
ROUNDED = {"bananas": 20, "gp-wl": 20, "surrogate-ei": 20}


def golden(strategy: str) -> str:
    """Return the text of a strategy's golden file."""
    n = ROUNDED.get(strategy, EVALUATIONS)
    run = run_search(strategy, BENCHMARK, Protocol(evaluations=n), seed=0, run=0)
    return _text(run, [f"{strategy} on {BENCHMARK}, Protocol(evaluations={n}), seed 0, run 0"])


def golden_preset(name: str) -> str:
    """Return the text of a preset's golden file: what is run under it, and its first 60 evaluations.

    The cells and values of a run with one worker do not depend on the clock, so that time which is
    measured does not show.
    """
    fitted = fit(PRESETS[name], load(BENCHMARK))
    strategy = settings_of(PRESETS[name], "evolution")
    protocol, defaults = fitted.protocol._asdict(), Protocol()._asdict()
    switches = [f"{k}={v!r}" for k, v in protocol.items() if v != defaults[k]]
    run = run_search(strategy, BENCHMARK, fitted.protocol._replace(evaluations=60), seed=0, run=0)
    head = [
        f"{name} on {BENCHMARK}: Protocol({', '.join(switches)})",
        *(f"changed: {change}" for change in fitted.changes),
        f"{strategy}, evaluations=60, seed 0, run 0",
    ]
    return _text(run, head)


def _text(run: Run, head: list[str]) -> str:
    head = [*head, "official index of the cell, observed validation accuracy"]
    cells = map(tuple, run.architectures.tolist())
    rows = zip(map(load(BENCHMARK).space.index, cells), run.values.tolist(), strict=True)
    lines = [*(f"# {line}" for line in head), *(f"{index} {value!r}" for index, value in rows)]
    return "\n".join(lines) + "\n"


def shipped() -> list[str]:
    """Return the names of all strategies that come with the package."""
    from nasbench_tab.registry import _STRATEGIES

    return sorted(_STRATEGIES)


if __name__ == "__main__":
    for name in shipped():
        (FOLDER / f"{name}.txt").write_text(golden(name), encoding="utf-8", newline="\n")
    for name in PRESETS:
        path = FOLDER / "presets" / f"{name}.txt"
        path.write_text(golden_preset(name), encoding="utf-8", newline="\n")
