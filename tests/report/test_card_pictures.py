"""The pictures of a model card, and the page in a browser."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from nasbench_tab.fitting.assess import assess
from nasbench_tab.fitting.fit import fit_surrogate
from nasbench_tab.predictors.base import Runs, groups_of
from nasbench_tab.predictors.noise import fit_noise
from nasbench_tab.predictors.trees import Settings
from nasbench_tab.records import Metric
from nasbench_tab.report.card import pictures, write_card
from nasbench_tab.report.card_charts import _RADIUS, Line, Range, _binned, curves_svg, ranges_svg
from nasbench_tab.report.charts import styles
from nasbench_tab.report.curves import Curve
from nasbench_tab.search.agreement import agreement
from nasbench_tab.spaces.columns import Columns

from .cards import manifest, said
from .test_browser import BROWSER, DRIVER, colours, cut_off, lightness, opened, requests
from .test_browser import browser as _browser

browser = _browser  # the fixture
needs_browser = pytest.mark.skipif(
    BROWSER is None or DRIVER is None, reason="needs chromium and chromedriver on the PATH"
)


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
def test_the_page_fits_and_its_labels_do_not_clash(
    browser: Any, card_page: Path, width: int
) -> None:
    opened(browser, card_page, width=width)
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
    browser: Any, card_page: Path
) -> None:
    requests(browser)  # those of the tests before
    opened(browser, card_page, width=390)
    assert browser.get_log("browser") == []
    asked = [url for url in requests(browser) if not url.startswith("data:")]
    assert asked == [card_page.as_uri()]
    bottom = browser.execute_script(
        "return document.querySelector('.answer > p').getBoundingClientRect().bottom"
    )
    assert bottom < 500


@needs_browser
def test_light_and_dark_reach_into_the_charts(browser: Any, card_page: Path) -> None:
    for scheme in ("light", "dark"):
        opened(browser, card_page, scheme=scheme)
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
