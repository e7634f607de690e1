"""The model card: the verdict that the figures give, and every part or its reason."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasbench_tab.errors import ResultsError
from nasbench_tab.report.card import PAGE, write_card
from nasbench_tab.report.card_parts import left_out, reason
from nasbench_tab.report.card_text import headline, score_table

from .cards import ODD, figure, manifest, read, said, sample, undrawn, words_of_metric

_Known = dict[str, Any]


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


def test_all_of_it_is_on_the_page(card_page: Path) -> None:
    text = said(card_page)
    assert card_page.name == PAGE
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
    page = read(card_page)
    assert sum(tag == "svg" and a.get("class") == "chart" for tag, a in page.tags) == 15
    assert "Not known:" not in text


def test_nothing_comes_from_elsewhere(card_page: Path) -> None:
    page = read(card_page)
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
