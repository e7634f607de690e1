"""The page in a real browser: no errors, no requests, no overflow, both colour schemes."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nasbench_tab.report.page import write_report

from .conftest import ODD_LABEL, Compared, early
from .tables import many

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
DRIVER = shutil.which("chromedriver")

pytestmark = pytest.mark.skipif(
    BROWSER is None or DRIVER is None,
    reason="needs chromium and chromedriver on the PATH",
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A headless browser that finds no host and records what it asks for."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    for argument in (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        "--disable-dev-shm-usage",
        "--host-resolver-rules=MAP * ~NOTFOUND",
    ):
        options.add_argument(argument)
    options.binary_location = str(BROWSER)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    yield driver
    driver.quit()


_WRITTEN: list[Path] = []


@pytest.fixture
def written(compared: Compared) -> Path:
    """Return one page for all tests that only look at it: making it takes seconds."""
    if not _WRITTEN:
        strategies = ["random", early(ODD_LABEL), "evolution(population=5)"]
        results = compared(strategies, ("small", "small-errors"))
        _WRITTEN.append(write_report(results.directory))
    return _WRITTEN[0]


def opened(browser: Any, page: Path, *, scheme: str = "light", width: int = 1200) -> None:
    feature = {"name": "prefers-color-scheme", "value": scheme}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500},
    )
    browser.get(page.as_uri())


def requests(browser: Any) -> list[str]:
    messages = (json.loads(entry["message"])["message"] for entry in browser.get_log("performance"))
    return [
        message["params"]["request"]["url"]
        for message in messages
        if message["method"] == "Network.requestWillBeSent"
    ]


def test_no_error_and_no_request(browser: Any, written: Path) -> None:
    alone = written.parent.parent / "alone.html"  # nothing lies beside it
    alone.write_bytes(written.read_bytes())
    opened(browser, alone)
    assert browser.get_log("browser") == []
    asked = [url for url in requests(browser) if not url.startswith("data:")]
    assert asked == [alone.as_uri()]
    assert browser.execute_script("return document.compatMode") == "CSS1Compat"
    assert ODD_LABEL in browser.execute_script("return document.body.innerText")
    assert browser.execute_script("return document.querySelectorAll('b').length") == 0


@pytest.mark.parametrize("width", [390, 600, 768, 1024, 1200])
def test_nothing_is_wider_than_the_page(browser: Any, written: Path, width: int) -> None:
    opened(browser, written, width=width)
    assert browser.execute_script("return document.documentElement.scrollWidth") == width
    wide = browser.execute_script(
        "return [...document.querySelectorAll('table, figure, svg, pre, td, th, p, dd')]"
        ".filter(e => e.getBoundingClientRect().right > innerWidth + 0.5).map(e => e.outerHTML.slice(0, 80))"
    )
    assert wide == []
    # Nor does a table scroll within its frame, where nobody would look for more.
    assert cut_off(browser) == []


def cut_off(browser: Any) -> list[str]:
    found: list[str] = browser.execute_script(
        "return [...document.querySelectorAll('.wide')].filter(e => e.scrollWidth > e.clientWidth + 1)"
        ".map(e => e.innerText.slice(0, 60))"
    )
    return found


def test_six_benchmarks_fit_too(browser: Any, compared: Compared, home: Path) -> None:
    # A long first table, links to every part, and a diagram of groups.
    strategies = [
        "random",
        early(ODD_LABEL, 2, 3),
        early("a-rather-long-name(with=1, more=2)", 5, 6),
    ]
    page = write_report(compared(strategies, many(home, 6), 6).directory)
    for width in (390, 1024):
        opened(browser, page, width=width)
        assert browser.execute_script("return document.documentElement.scrollWidth") == width
        assert cut_off(browser) == []
        # On a phone every figure has the title of its column beside it.
        shown = browser.execute_script(
            "return [...document.querySelectorAll('.answer td')]"
            ".map(e => [e.dataset.title, getComputedStyle(e, '::before').content])"
        )
        assert len(shown) >= 6 * 4
        assert all(title and (text != "none") == (width == 390) for title, text in shown)
    opened(browser, page, width=390)
    assert "0px" not in colours(browser, ".boxes tbody tr", "paddingTop")
    missing = browser.execute_script(
        "return [...document.querySelectorAll('a[href^=\"#\"]')].filter(a => {"
        "const e = document.getElementById(a.getAttribute('href').slice(1));"
        "return !e || !e.getBoundingClientRect().height; }).length"
    )
    assert missing == 0
    opened(browser, page, scheme="dark")
    (ground,) = colours(browser, "body", "backgroundColor")
    chart = "#together svg.chart[aria-label^='Mean ranks, and']"
    for selector, style in (
        (f"{chart} text", "fill"),
        (f"{chart} .mark-rule.role-mark line", "stroke"),
        (f"{chart} .mark-symbol path", "fill"),
    ):
        found = colours(browser, selector, style)
        assert found, selector
        for colour in found:
            assert abs(lightness(colour) - lightness(ground)) > 0.3, (selector, colour)


def test_fronts_fit_and_can_be_read_in_both_schemes(browser: Any, compared: Compared) -> None:
    strategies = ["random", "nsga2(population=5)", early(ODD_LABEL)]
    page = write_report(compared(strategies, runs=8, second="macs").directory)
    fronts = "svg.chart[aria-label^='Median front']"
    for width in (390, 1024):
        opened(browser, page, width=width)
        assert browser.execute_script("return document.documentElement.scrollWidth") == width
        assert cut_off(browser) == []
        assert overlapping_labels(browser) == []
        outside = browser.execute_script(
            "const chart = document.querySelector(arguments[0]), box = chart.getBoundingClientRect();"
            "return [...chart.querySelectorAll('path, text')].map(e => e.getBoundingClientRect())"
            ".filter(e => e.right > box.right + 1 || e.top < box.top - 1).length",
            fronts,
        )
        assert outside == 0
    opened(browser, page, scheme="dark")
    (ground,) = colours(browser, "body", "backgroundColor")
    for selector, style in (
        (f"{fronts} text", "fill"),
        (f"{fronts} .mark-line path", "stroke"),
        (f"{fronts} .mark-symbol path", "fill"),
    ):
        found = colours(browser, selector, style)
        assert found, selector
        for colour in found:
            assert abs(lightness(colour) - lightness(ground)) > 0.3, (selector, colour)


def colours(browser: Any, selector: str, style: str) -> set[str]:
    found = browser.execute_script(
        "return [...document.querySelectorAll(arguments[0])].map(e => getComputedStyle(e)[arguments[1]])",
        selector,
        style,
    )
    return set(found)


def lightness(colour: str) -> float:
    red, green, blue = map(float, re.findall(r"[\d.]+", colour)[:3])
    return (0.2126 * red + 0.7152 * green + 0.0722 * blue) / 255


def test_both_colour_schemes_reach_into_the_drawings(browser: Any, written: Path) -> None:
    for scheme in ("light", "dark"):
        opened(browser, written, scheme=scheme)
        dark = scheme == "dark"
        (ground,) = colours(browser, "body", "backgroundColor")
        assert (lightness(ground) < 0.2) == dark
        for selector, style in (
            ("svg.chart text", "fill"),
            ("svg.chart .mark-line path", "stroke"),
            ("svg.chart .role-legend-symbol path", "fill"),
            ("svg.nb-cell text", "fill"),
            ("svg.nb-cell .nb-box", "stroke"),
            (".swatch path:last-child", "fill"),
        ):
            found = colours(browser, selector, style)
            assert found, selector
            for colour in found:  # light on dark, dark on light
                assert abs(lightness(colour) - lightness(ground)) > 0.3, (scheme, selector, colour)
        for colour in colours(browser, "svg.nb-cell .nb-box", "fill"):
            assert (lightness(colour) < 0.35) == dark


def test_labels_of_a_chart_do_not_overlap(browser: Any, written: Path) -> None:
    for width in (390, 1200):
        opened(browser, written, width=width)
        assert overlapping_labels(browser) == []


def overlapping_labels(browser: Any) -> list[Any]:
    found: list[Any] = browser.execute_script(
        """
        const clashes = [];
        for (const chart of document.querySelectorAll('svg.chart')) {
          const boxes = [...chart.querySelectorAll('text')].map(t => [t.textContent, t.getBoundingClientRect()]);
          boxes.forEach(([a, p], i) => boxes.slice(i + 1).forEach(([b, q]) => {
            if (p.left < q.right && q.left < p.right && p.top + 2 < q.bottom && q.top + 2 < p.bottom)
              clashes.push([a, b]);
          }));
        }
        return clashes;
        """
    )
    return found


def test_it_prints(browser: Any, written: Path) -> None:
    opened(browser, written, scheme="dark")
    printed = browser.execute_cdp_cmd("Page.printToPDF", {"preferCSSPageSize": True})
    assert len(printed["data"]) > 10_000
    browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia",
        {"media": "print", "features": [{"name": "prefers-color-scheme", "value": "dark"}]},
    )
    (ground,) = colours(browser, "body", "backgroundColor")
    assert lightness(ground) > 0.99  # paper is white, whatever the screen
    paper = {
        "width": 690,
        "height": 980,
        "deviceScaleFactor": 1,
        "mobile": False,
    }  # A4 within margins
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", paper)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= 690
    (colour,) = colours(browser, "body", "color")
    assert lightness(colour) < 0.35
