"""Assessments and manifests of a made-up surrogate, and what its card says, for tests."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nasbench_tab.report import card_curves, card_final, card_search
from nasbench_tab.report.card_charts import Range
from nasbench_tab.report.curves import Curve

_Known = dict[str, Any]

ODD = "<b>50% & {x}</b>"


def figure(value: float, half: float = 0.02, n: int = 400) -> _Known:
    return {"value": value, "low": value - half, "high": value + half, "n": n}


def ceiling(tau: float = 0.83, n: int = 120) -> _Known:
    return {
        "repeated_networks": n,
        "tau": figure(tau, n=n),
        "tau_top_10_percent": 0.25,
        "mae": figure(0.31, n=n),
    }


def fit_scores(tau: float = 0.81, r2: float = 0.91, n: int = 400) -> _Known:
    return {
        "networks": n,
        "tau": figure(tau, n=n),
        "tau_top_10_percent": 0.27,
        "mae": figure(0.44, n=n),
        "rmse": 0.6,
        "bias": figure(-0.03, n=n),
        "r2": r2,
        "ceiling": ceiling(),
    }


def outside(r2: float) -> _Known:
    return {
        "fitted_networks": 300,
        **fit_scores(0.55, r2, 100),
        "runs": 120,
        "coverage_90": figure(0.83, 0.05, 100),
        "width_90": 2.0,
        "flagged": figure(0.2, 0.05, 100),
        "far_off_if_flagged": figure(0.3, 0.1, 20),
        "far_off_if_not_flagged": figure(0.04, 0.02, 80),
    }


def sample() -> _Known:
    """Return an assessment with every part, as :mod:`nasbench_tab.fitting.assess` documents them."""
    coverage = {"coverage_90": figure(0.905), "width_90": 1.9}
    size: _Known = {
        **{key: figure(0.7, n=10) for key in ("tau", "mae", "r2", "tau_top_10_percent")},
        **{f"precision_at_{k}_percent": figure(0.4, n=10) for k in (1, 10)},
        "regret_at_10": figure(0.1, 0.05, 10),
        "tested": 300,
        "draws": 10,
        "ceiling": ceiling(),
    }
    bins = [
        {
            "predicted_from": 70.0 + i,
            "predicted_to": 71.0 + i,
            "networks": 40,
            "runs": 52,
            "mae": figure(0.5, n=40),
            "bias": figure(0.01, n=40),
            "coverage_90": figure(0.89, 0.05, 40),
            "width_90": 2.5 - 0.1 * i,
        }
        for i in range(10)
    ]
    epochs = [
        {
            "epoch": epoch,
            **fit_scores(0.5 + 0.05 * epoch),
            "coverage_90": figure(0.9),
            "repeated": {
                "networks": 120,
                "surrogate": {"tau": figure(0.6 + 0.04 * epoch, n=120), "r2": 0.8, "mae": 1.0},
                "table": {"tau": figure(0.55 + 0.04 * epoch, n=120), "r2": 0.7, "mae": 1.2},
            },
        }
        for epoch in range(1, 6)
    ]
    band = {"mean": [84.0, 85.0, 86.0], "low": [83.5, 84.8, 85.9], "high": [84.5, 85.2, 86.1]}
    estimate = {"value": 0.4, "low": 0.3, "high": 0.5}
    search = {
        "metric": "valid_accuracy",
        "networks": 400,
        "strategies": ["random", "evolution"],
        "evaluations": 100,
        "repetitions": 50,
        "neighbors": "nearest",
        "left_out": {"reinforce": "it draws from all of the space"},
        "curves": {
            name: {"evaluations": [1, 10, 100], "table": band, "surrogate": band, "true": band}
            for name in ("random", "evolution")
        },
        "distance": {"shown": 0.21, "true": 0.37, "itself": 0.05},
        "rankings": [
            {
                "evaluations": 100,
                "table": ["evolution", "random"],
                "surrogate": ["evolution", "random"],
                "tau": {"value": 1.0, "low": -1.0, "high": 1.0},
                "tau_itself": 1.0,
                "pairs": 1,
                "agree": 1.0,
                "agree_itself": 1.0,
                "contradict": 0.0,
            }
        ],
        "found": {
            name: dict.fromkeys(("table", "surrogate", "loss"), estimate)
            for name in ("random", "evolution")
        },
        "one_training": {
            "networks": 120,
            "evaluations": 30,
            "strategies": {
                name: dict.fromkeys(("training", "surrogate", "gain"), estimate)
                for name in ("random", "evolution")
            },
            "gain": {"value": 0.05, "low": -0.1, "high": 0.2},
        },
    }
    score = {"tau": 0.8, "mae": 0.5}
    # Through JSON, since nothing in it is one object at two places.
    known = {
        "objective": "valid_accuracy",
        "unit": "%",
        "direction": "max",
        "epochs_known": [1, 2, 3, 4, 5],
        "runs": 520,
        "networks": 400,
        "draws": 10,
        "seed": 0,
        "settings": {"members": 5},
        "left_out": {},
        "sizes": {
            **{str(n): {"labelled": n, **size} for n in (32, 78, 320)},
            "left_out": {"390": "of 400 networks at most 320 are labelled"},
        },
        "intervals": {"labelled": 320, "draws": 3, "runs": 300, **coverage},
        "levels": {
            "all": {**fit_scores(), "runs": 520, **coverage},
            "bins": bins,
            "top_10_percent": {**fit_scores(0.3, 0.1, 40), **bins[-1]},
            "plain_width_ratio_top": 0.52,
        },
        "origins": {
            "random": outside(0.8),
            ODD: outside(-0.4),
            "all": {"flagged": figure(0.2)},
            "left_out": {"local-search": "12 networks; expected 20"},
        },
        "regions": {"level": outside(-2.0), "parameters": outside(0.3)},
        "seeds": {
            "labelled": 400,
            "networks": 120,
            "surrogate": {"mae": figure(0.333, n=120), "tau": figure(0.842, n=120)},
            "table": {"mae": figure(0.4, n=120), "tau": figure(0.831, n=120)},
            "ceiling": ceiling(),
            "mae_ratio": figure(0.83, 0.1, 120),
        },
        "epochs": {
            "each": epochs,
            "average": {"epochs": 5, "tau": 0.7, "repeated_surrogate_tau": 0.76, "repeated_table_tau": 0.7},
            "simulated": {
                "runs": 520,
                "repeated_networks": 120,
                "spike_threshold": 0.12,
                "real_spikes": figure(0.05),
                "simulated_spikes": figure(0.055),
                "deviations": [
                    {"epoch": e, "real_sd": 2 / e, "simulated_sd": 1.9 / e} for e in range(1, 6)
                ],
            },
        },
        "partial": {
            "runs": 520,
            "networks": 400,
            "seen": {"2": {"method": "head", "scores": {"last": score, "head": score}}},
            "ceiling": ceiling(),
        },
        "cost": {
            "networks": 400,
            "mean_error": figure(6.2, 0.4),
            "tau": figure(0.9),
            "ceiling": {"mean_error": figure(4.1, 0.3, 120), "tau": figure(0.93, n=120)},
        },
        "agreement": search,
        "pictures": {
            "predicted": np.linspace(70, 88, 60).tolist(),
            "measured": (np.linspace(70, 88, 60) + np.sin(np.arange(60))).tolist(),
            "noise": {
                "level": [70.0, 80.0, 88.0],
                "sd": [0.9, 0.5, 0.3],
                "seen_level": [75.0, 86.0],
                "seen_sd": [0.8, 0.35],
                "networks": [60, 60],
            },
        },
    }  # fmt: skip
    plain: _Known = json.loads(json.dumps(known))
    return plain


def manifest(**other: Any) -> _Known:
    return {
        "name": "made-up",
        "kind": "trees",
        "space": "nasbench201",
        "dataset": "fashion-mnist",
        "objective": "valid_accuracy",
        "metrics": {
            "valid_accuracy": {"split": "valid", "direction": "max", "unit": "%"},
            "test_accuracy": {"split": "test", "direction": "max", "unit": "%"},
        },
        "epochs": [1, 2, 3, 4, 5],
        "training_data": f"sha256:{'1' * 64}",
        "hash": f"sha256:{'2' * 64}",
        "protocol": {"description": "five epochs", "device_kind": "cpu"},
        "runs": 520,
        "networks": 400,
        "seeds": [0, 1],
        "origins": {"random": 420, ODD: 100},
        "features": {"version": 1, "names": ["a", "b"]},
        "settings": {"members": 5, "folds": 5},
        "versions": {"nasbench_tab": "0.1.0", "xgboost": "3.2.0"},
        "licence": "CC0-1.0",
        "scores": {
            "valid_accuracy": {
                "tau": 0.8123,
                "tau_between_seeds": 0.8345,
                "networks": 400,
                "repeated_networks": 120,
                "seed_sd": 0.3,
            }
        },
        "about": {"title": "made up for tests", "left_out": {"diverged": 3}},
        **other,
    }


class Text(HTMLParser):
    """What a page says, without markup, and the tags that it has."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self._silent = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._silent += tag in ("style", "script")

    def handle_endtag(self, tag: str) -> None:
        self._silent -= tag in ("style", "script")

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self.said.append(data)


def read(page: Path) -> Text:
    found = Text()
    found.feed(page.read_text(encoding="utf-8"))
    return found


def said(page: Path) -> str:
    return " ".join(" ".join(read(page).said).split())


def undrawn(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Draw nothing, since that takes seconds, and return the titles of what would have been drawn."""
    titles: list[str] = []

    def nothing(data: Any, *words: Any, **_: Any) -> str:
        assert len(data)  # no chart of nothing
        for one in data:
            shown = (
                one.mean if isinstance(one, Curve) else one.value if isinstance(one, Range) else one
            )
            assert np.isfinite(shown).all()
        titles.append(next(w for w in words if isinstance(w, str)))
        return '<svg viewBox="0 0 1 1"></svg>'

    for module in (card_final, card_curves, card_search):
        for name in ("curves_svg", "hexagons_svg", "ranges_svg"):
            monkeypatch.setattr(module, name, nothing, raising=False)
    return titles


def words_of_metric() -> Any:
    from nasbench_tab.report.card_parts import words_of

    return words_of("valid_accuracy", "%")
