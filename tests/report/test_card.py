"""The model card: the verdict that the figures give, every part or its reason, and the page in a browser."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from nasbench_tab.errors import ResultsError
from nasbench_tab.fitting.assess import assess
from nasbench_tab.fitting.fit import fit_surrogate
from nasbench_tab.predictors.base import Runs, groups_of
from nasbench_tab.predictors.noise import fit_noise
from nasbench_tab.predictors.trees import Settings
from nasbench_tab.records import Metric
from nasbench_tab.report import card_curves, card_final, card_search
from nasbench_tab.report.card import PAGE, pictures, write_card
from nasbench_tab.report.card_charts import _RADIUS, Line, Range, _binned, curves_svg, ranges_svg
from nasbench_tab.report.card_parts import left_out, reason
from nasbench_tab.report.card_text import headline, score_table
from nasbench_tab.report.charts import styles
from nasbench_tab.report.curves import Curve
from nasbench_tab.search.agreement import agreement
from nasbench_tab.spaces.columns import Columns

from .test_browser import BROWSER, DRIVER, colours, cut_off, lightness, opened, requests
from .test_browser import browser as _browser

_Known = dict[str, Any]

ODD = "<b>50% & {x}</b>"
browser = _browser  # the fixture
needs_browser = pytest.mark.skipif(
    BROWSER is None or DRIVER is None, reason="needs chromium and chromedriver on the PATH"
)


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


class _Text(HTMLParser):
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


def read(page: Path) -> _Text:
    found = _Text()
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


@pytest.fixture
def plain_charts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    return undrawn(monkeypatch)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return one page with all its charts, for the tests that only look at it."""
    return write_card(tmp_path_factory.mktemp("card"), manifest(), sample())


def words_of_metric() -> Any:
    from nasbench_tab.report.card_parts import words_of

    return words_of("valid_accuracy", "%")


@pytest.mark.parametrize(
    ("ratio", "tau", "verdict"),
    [
        ((0.7, 0.9), 0.84, "Better than a table with one training of each network by error; not told apart by rank."),
        ((0.7, 0.9), 0.90, "Better than a table with one training of each network, by error and by rank."),
        ((0.9, 1.1), 0.84, "Not told apart from a table with one training of each network, by error and by rank."),
        ((1.1, 1.3), 0.70, "Worse than a table with one training of each network, by error and by rank."),
        ((1.1, 1.3), 0.90, "Worse than a table with one training of each network by error; better by rank."),
        ((1.0, 1.3), 0.84, "Not told apart from a table with one training of each network, by error and by rank."),
    ],
)  # fmt: skip
def test_the_verdict_is_the_data_s(ratio: tuple[float, float], tau: float, verdict: str) -> None:
    known = sample()
    known["seeds"]["mae_ratio"] = {
        "value": sum(ratio) / 2,
        "low": ratio[0],
        "high": ratio[1],
        "n": 120,
    }
    known["seeds"]["surrogate"]["tau"] = figure(tau, n=120)
    first, findings = headline(manifest(), known, words_of_metric())
    assert first == verdict
    assert "120 networks" in findings[0]


@pytest.mark.parametrize(
    ("coverage", "half", "verdict"),
    [
        (0.905, 0.01, "as they should"),
        (0.84, 0.08, "as they should"),  # so few that it may be 0.9
        (0.84, 0.03, "too few: they are too narrow"),
        (0.97, 0.02, "too many: they are too wide"),
    ],
)
def test_intervals_are_judged(coverage: float, half: float, verdict: str) -> None:
    known = sample()
    known["levels"]["all"]["coverage_90"] = figure(coverage, half)
    _, findings = headline(manifest(), known, words_of_metric())
    assert verdict in findings[1]


@pytest.mark.parametrize(
    ("low", "high", "where"),
    [(0.1, 0.3, "better networks than"), (-0.3, -0.1, "worse networks than"), (-0.1, 0.1, "networks not told apart from those of")],
)  # fmt: skip
def test_searches_are_judged(low: float, high: float, where: str) -> None:
    known = sample()
    gain = {"value": (low + high) / 2, "low": low, "high": high}
    known["agreement"]["one_training"]["gain"] = gain
    assert where in headline(manifest(), known, words_of_metric())[1][2]


def test_without_repeats_there_is_no_verdict_and_a_reason() -> None:
    known = sample()
    del known["seeds"]
    known["left_out"]["seeds"] = "3 networks were trained with a second seed; expected 10."
    first, findings = headline(manifest(), known, words_of_metric())
    assert first == "How it compares with a second training is not known."
    assert findings[0] == "Why: 3 networks were trained with a second seed; expected 10."


def test_every_figure_of_the_first_table_has_its_n_and_what_it_is_measured_by() -> None:
    table = score_table(sample(), words_of_metric())
    assert table.titles == ["surrogate", "n", "beside it", "n beside it"]
    rows = {row.label: [cell.text for cell in row.cells] for row in table.rows}
    assert rows["rank, Kendall’s tau"] == [
        "0.810 [0.790,\u00a00.830]",
        "400",
        "0.830 [0.810,\u00a00.850]",
        "120",
    ]
    assert rows["tau in the true top 10 %"] == ["0.270", "40", "0.250", "12"]
    assert rows["error against other trainings *"][0] == "0.33 [0.31,\u00a00.35]"
    assert all(cells[1] != "–" for cells in rows.values())


def test_all_of_it_is_on_the_page(written: Path) -> None:
    text = said(written)
    assert written.name == PAGE
    for words in (
        "made-up, a surrogate benchmark",
        "Better than a table with one training of each network by error; not told apart by rank.",
        "fitted on 520 trainings of 400 networks",
        "CC0-1.0",
        f"sha256:{'2' * 64}",
        f"sha256:{'1' * 64}",
        "members 5, folds 5",
        "nasbench_tab 0.1.0, xgboost 3.2.0",
        "five epochs",
        "random 420 and <b>50% & {x}</b> 100",
        "diverged 3",
        "Epochs beyond 5: it refuses to guess.",
        "Networks found by <b>50% & {x}</b> (R2 −0.40)",
        "local-search: 12 networks; expected 20.",
        "reinforce was not run: it draws from all of the space.",
        "neighbors are the ten most similar trained networks",
        "Mean distance of the curves 0.21 percentage points as shown, 0.37 as measured",
        "better than their end by more than 0.12 percentage points: 0.050 [0.030, 0.070] of real ones",
        "0.52 times as wide",
    ):
        assert words in text.replace("\u00a0", " "), words
    page = read(written)
    assert sum(tag == "svg" and a.get("class") == "chart" for tag, a in page.tags) == 15
    assert "Not known:" not in text


def test_nothing_comes_from_elsewhere(written: Path) -> None:
    page = read(written)
    assert not [tag for tag, _ in page.tags if tag in ("script", "img", "iframe", "object", "b")]
    links = [a["href"] for tag, a in page.tags if tag == "link" and a.get("href")]
    assert links == ["data:,"]
    asked = [
        v for _, a in page.tags for k, v in a.items() if k in ("src", "href", "xlink:href") and v
    ]
    assert all(v.startswith(("data:", "#")) for v in asked)
    ids = [a["id"] for _, a in page.tags if a.get("id")]
    assert len(ids) == len(set(ids))


def test_the_same_again(plain_charts: list[str], tmp_path: Path) -> None:
    pages = [write_card(tmp_path / f"{i}.html", manifest(), sample()) for i in range(2)]
    assert pages[0].read_bytes() == pages[1].read_bytes()
    assert [page.name for page in pages] == ["0.html", "1.html"]
    assert len(plain_charts) == 30


PARTS = ("sizes", "levels", "origins", "regions", "seeds", "epochs", "partial", "cost", "agreement")


@pytest.mark.parametrize("part", PARTS)
def test_what_is_missing_has_its_reason(part: str, plain_charts: list[str], tmp_path: Path) -> None:
    known = sample()
    known["left_out"][part] = f"the dog ate {ODD}"
    whole = known.pop(part)
    if part == "agreement":
        known[part] = {"reason": known["left_out"].pop(part)}
    text = said(write_card(tmp_path, manifest(), known))
    assert f"Not known: the dog ate {ODD}." in text
    assert reason({part: whole}, part) == ""
    assert reason({}, part) == "it was not assessed."


def test_a_reason_that_many_share_stands_there_once() -> None:
    found = {"left_out": {"390": "too few.", "781": "too few", "tau": "all alike"}}
    assert left_out(found, {"390": "390 labels", "781": "781 labels"}) == [
        "Not known, 390 labels and 781 labels: too few.",
        "Not known, tau: all alike.",
    ]


def test_a_few_far_out_do_not_squeeze_the_picture(plain_charts: list[str], tmp_path: Path) -> None:
    known = sample()
    near = np.linspace(80, 90, 40).tolist()
    known["pictures"] |= {"predicted": [*near, 3.0], "measured": [*near, 10.0]}
    text = said(write_card(tmp_path, manifest(), known))
    assert "1 of 41 networks lie far out and are not drawn" in text
    known["pictures"] |= {"predicted": [5.0] * 41, "measured": [5.0] * 40 + [5.1]}
    assert "1 of 41 networks lie far out" in said(write_card(tmp_path, manifest(), known))
    known["pictures"] |= {"predicted": near, "measured": near}
    assert "far out" not in said(write_card(tmp_path, manifest(), known))


def test_a_part_with_nothing_but_reasons_says_them() -> None:
    known = {"origins": {"left_out": {"random": "3 networks; expected 20", "evolution": "none."}}}
    assert reason(known, "origins") == "random: 3 networks; expected 20; evolution: none."


def test_without_an_assessment_the_card_says_so(plain_charts: list[str], tmp_path: Path) -> None:
    text = said(write_card(tmp_path, manifest(licence=""), {}))
    assert "Not assessed: how good it is, is not known." in text
    assert "0.812, beside 0.834 between two trainings of 120 networks." in text.replace(
        "0.835", "0.834"
    )
    assert "its licence" not in text
    assert "none is stated" in text
    assert text.count("it was not assessed.") >= len(PARTS)
    assert not plain_charts


def paths(known: Any, here: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Yield the paths of all figures that an assessment may lack."""
    if isinstance(known, dict):
        for key, part in known.items():
            if key in OMISSIBLE:
                yield (*here, key)
            yield from paths(part, (*here, key))
    elif isinstance(known, list):
        for i, part in enumerate(known):
            yield from paths(part, (*here, i))


OMISSIBLE = {
    *("tau", "tau_top_10_percent", "r2", "ceiling", "repeated", "simulated", "mae", "low", "noise"),
    *("repeated_surrogate_tau", "repeated_table_tau", "mae_ratio", "bias", "flagged", "one_training"),
    *("far_off_if_flagged", "regret_at_10", "precision_at_1_percent"),
    *("predicted", "pictures", "all", "top_10_percent", "plain_width_ratio_top", "mean_error"),
}  # fmt: skip
# A ranking and a search have these always.
WHOLE = [p for p in paths(sample()) if p[0] != "agreement" or p[-1] == "one_training"]


@settings(max_examples=30, deadline=None)
@given(st.sets(st.sampled_from(WHOLE), min_size=1, max_size=12))
def test_any_figure_may_be_missing(lacking: set[tuple[str | int, ...]]) -> None:
    known = sample()
    for path in sorted(lacking, key=lambda p: (-len(p), str(p))):  # what lies deepest goes first
        part: Any = known
        for step in path[:-1]:
            part = part[step]
        del part[path[-1]]
    with pytest.MonkeyPatch.context() as patched, TemporaryDirectory() as folder:
        undrawn(patched)
        text = said(write_card(Path(folder), manifest(), known))
    assert not re.search(r"(?<!seed=)\b(nan|None|inf|Undefined)\b", text)
    assert "made-up, a surrogate benchmark" in text


def test_a_space_of_columns_and_no_seed_noise(plain_charts: list[str], tmp_path: Path) -> None:
    space = {"name": "mine", "columns": {"depth": [1, 2], "width": [8, 16, 32]}}
    text = said(write_card(tmp_path, manifest(space=space, scores={}), sample()))
    assert "mine: depth (2 levels), width (3 levels)" in text
    assert "Mean values only" in text


def test_a_fraction_has_four_decimals_and_no_unit(plain_charts: list[str], tmp_path: Path) -> None:
    metrics = {"valid_auc": {"split": "valid", "direction": "max", "unit": "fraction"}}
    about = manifest(metrics=metrics, objective="valid_auc", scores={})
    text = said(write_card(tmp_path, about, sample())).replace("\u00a0", " ")
    assert "0.3330 [0.3130, 0.3530]" in text
    assert "percentage points" not in text


def test_a_page_that_cannot_be_written_is_an_error(plain_charts: list[str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ResultsError, match="Could not write"):
        write_card(tmp_path / "file" / "card.html", manifest(), sample())
    assert (tmp_path / "file").read_text() == "in the way"


# Pictures.


def runs_of(n: int = 60, seeds: int = 2) -> Runs:
    """Return runs of ``n`` networks of a small space, the more noisy the worse they are."""
    space = Columns("small", {name: [*range(4)] for name in "abc"})
    cells = np.array([space.unindex(i) for i in range(n)], np.uint8)
    many = np.repeat(cells, seeds, axis=0)
    rng = np.random.default_rng(0)
    level = 70 + 5.0 * many[:, 0] + 1.0 * many[:, 1]
    final = level + rng.normal(0, 1 + (85 - level) / 10)
    curves = np.column_stack([final - 4, final])
    return Runs(
        space=space,
        cells=many,
        groups=groups_of(space, many),
        seeds=np.tile(np.arange(seeds), n),
        origins=tuple("random" if i // seeds % 2 else "evolution" for i in range(n * seeds)),
        epochs=(1, 2),
        objective="valid_accuracy",
        metrics={"valid_accuracy": Metric("valid_accuracy", "valid", "max", "%", 0.0, 100.0)},
        curves={"valid_accuracy": curves},
        seconds=np.tile([1.0, 2.0], (len(many), 1)),
    )


def test_pictures_hold_each_network_once() -> None:
    runs = runs_of()
    values = runs.curves["valid_accuracy"]
    values[3, -1] = np.nan  # network 1 has one training left
    found = pictures(runs, np.tile(np.arange(120.0)[:, None] // 2, (1, 2)))
    assert found["predicted"] == np.arange(60.0).tolist()
    assert found["measured"][0] == pytest.approx(values[:2, -1].mean())
    assert found["measured"][1] == values[2, -1]
    assert "noise" not in found


def test_noise_of_real_repeats_is_pooled() -> None:
    runs = runs_of(64, seeds=3)
    all_values = runs.curves["valid_accuracy"]
    means = all_values.reshape(64, 3, 2).mean(axis=1).repeat(3, axis=0)
    noise = fit_noise(all_values, runs.groups, means, runs.seeds)
    surrogate: Any = SimpleNamespace(models={"valid_accuracy": SimpleNamespace(noise=noise)})
    found = pictures(runs, means, surrogate)["noise"]
    assert sum(found["networks"]) == 64
    assert found["seen_level"] == sorted(found["seen_level"])
    # Pooled over all parts it is the pooled deviation of all networks.
    pooled = np.sqrt(np.average(np.square(found["seen_sd"]), weights=found["networks"]))
    values = runs.curves["valid_accuracy"][:, -1].reshape(64, 3)
    assert pooled == pytest.approx(np.sqrt(values.var(axis=1, ddof=1).mean()))
    assert found["seen_sd"][0] > found["seen_sd"][-1]
    assert all(sd > 0 for sd in found["sd"])


@given(arrays(np.float64, st.tuples(st.integers(1, 60), st.just(2)), elements=st.floats(-300, 300)))
def test_every_point_lies_in_its_hexagon(pixels: NDArray[np.float64]) -> None:
    centres, count = _binned(pixels)
    assert count.sum() == len(pixels)
    assert len(np.unique(centres, axis=0)) == len(centres)
    distance = np.linalg.norm(pixels[:, None] - centres, axis=2).min(axis=1)
    assert distance.max() <= _RADIUS + 1e-9


def test_a_chart_ends_where_values_do() -> None:
    x = np.array([1.0, 2.0, 3.0])
    near = Curve("surrogate", x, np.array([0.9, 0.99, 0.95]), np.full(3, 0.85), np.full(3, 1.0))
    svg = curves_svg(
        [near], styles(["surrogate"]), "a title", "x", "Share",
        lines=[Line("wanted", 0.9)], banded=False, within=(0.0, 1.0),
    )  # fmt: skip
    labels = re.findall(r"<text[^>]*>([^<]+)</text>", svg)
    assert {"a title", "Share", "wanted", "surrogate"} <= set(labels)
    assert max(float(label) for label in labels if re.fullmatch(r"[\d.]+", label)) <= 3  # of x
    assert "1.05" not in labels


def test_one_point_and_one_row_are_drawn_too() -> None:
    alone = Curve("surrogate", np.array([5.0]), np.array([0.5]))
    assert "<svg" in curves_svg([alone], styles(["surrogate"]), "t", "x", "y", log=True)
    assert "<svg" in ranges_svg(
        [Range("only", 0.0, np.nan, np.nan)], "t", "x", value="a", beside="b"
    )


# In a browser.


@needs_browser
@pytest.mark.parametrize("width", [390, 768, 1280])
def test_the_page_fits_and_its_labels_do_not_clash(browser: Any, written: Path, width: int) -> None:
    opened(browser, written, width=width)
    assert browser.execute_script("return document.documentElement.scrollWidth") == width
    assert cut_off(browser) == []
    clashes = browser.execute_script(
        """
        const clashes = [];
        for (const chart of document.querySelectorAll('svg.chart')) {
          const frame = chart.getBoundingClientRect();
          const boxes = [...chart.querySelectorAll('text')].map(t => [t.textContent, t.getBoundingClientRect()]);
          boxes.forEach(([a, p], i) => {
            if (p.left < -1 || p.right > innerWidth + 1) clashes.push(['outside', a]);
            boxes.slice(i + 1).forEach(([b, q]) => {
              if (p.left < q.right && q.left < p.right && p.top + 2 < q.bottom && q.top + 2 < p.bottom)
                clashes.push([a, b]);
            });
          });
        }
        return clashes;
        """
    )
    assert clashes == []


@needs_browser
def test_no_error_no_request_and_the_verdict_on_the_first_screen(
    browser: Any, written: Path
) -> None:
    requests(browser)  # those of the tests before
    opened(browser, written, width=390)
    assert browser.get_log("browser") == []
    asked = [url for url in requests(browser) if not url.startswith("data:")]
    assert asked == [written.as_uri()]
    bottom = browser.execute_script(
        "return document.querySelector('.answer > p').getBoundingClientRect().bottom"
    )
    assert bottom < 500


@needs_browser
def test_light_and_dark_reach_into_the_charts(browser: Any, written: Path) -> None:
    for scheme in ("light", "dark"):
        opened(browser, written, scheme=scheme)
        (ground,) = colours(browser, "body", "backgroundColor")
        assert (lightness(ground) < 0.2) == (scheme == "dark")
        for selector, style in (
            ("svg.chart text", "fill"),
            ("svg.chart .mark-line path", "stroke"),
            ("svg.chart .mark-rule.role-mark line", "stroke"),
            ("svg.chart .mark-symbol.role-mark path", "fill"),
        ):
            found = colours(browser, selector, style) - {"none"}
            assert found, selector
            for colour in found:
                assert abs(lightness(colour) - lightness(ground)) > 0.3, (scheme, selector, colour)


@pytest.mark.slow
def test_a_real_assessment_makes_a_card(tmp_path: Path) -> None:
    runs, small = runs_of(), Settings(members=3, rounds=20)
    surrogate, held_out = fit_surrogate(runs, np.random.default_rng(0), settings=small)
    known = assess(runs, surrogate, settings=small, draws=2)
    means = held_out["valid_accuracy"].mean
    known["agreement"] = agreement(runs, means, repetitions=5)
    known["pictures"] = pictures(runs, means, surrogate)
    before = copy.deepcopy(known)
    text = said(write_card(tmp_path, manifest(), known))
    assert known == before
    missing = re.findall(r"Not known: [^.]*\.", text)
    assert missing == [], known["left_out"]
