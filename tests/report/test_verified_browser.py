"""The part on real trainings in a real browser: nothing too wide, nothing on top of another, both schemes."""

from __future__ import annotations

from typing import Any

import pytest

from nasbench_tab.report.page import write_report

from .conftest import Compared, early
from .retrained import off_by, verified
from .test_browser import BROWSER, DRIVER, browser, colours, cut_off, lightness, opened

__all__ = ["browser"]  # a fixture

pytestmark = pytest.mark.skipif(
    BROWSER is None or DRIVER is None, reason="needs chromium and chromedriver on the PATH"
)

_OVERLAPS = """
const clashes = [];
for (const chart of document.querySelectorAll('#verified svg.chart')) {
  const boxes = [...chart.querySelectorAll('text')].map(t => [t.textContent, t.getBoundingClientRect()]);
  boxes.forEach(([a, p], i) => boxes.slice(i + 1).forEach(([b, q]) => {
    if (p.left < q.right && q.left < p.right && p.top + 2 < q.bottom && q.top + 2 < p.bottom) clashes.push([a, b]);
  }));
}
return clashes;
"""
_SMALL = """
return [...document.querySelectorAll('#verified svg.chart text')]
  .filter(t => t.getBoundingClientRect().height < 9 && t.textContent).map(t => t.textContent);
"""
_OUTSIDE = """
return [...document.querySelectorAll('#verified svg.chart')].flatMap(chart => {
  const frame = chart.getBoundingClientRect();
  return [...chart.querySelectorAll('text')].filter(t => t.getBoundingClientRect().right > frame.right + 1
    || t.getBoundingClientRect().left < frame.left - 1).map(t => t.textContent);
});
"""


def test_the_verified_part_can_be_read_everywhere(browser: Any, compared: Compared) -> None:
    strategies = ["random", early("a-rather-long-name(with=1, more=2, and_even_more=3)", 3, 5)]
    results = compared(strategies, evaluations=5, seeds="random")
    verified(results, off_by(2.0, 0.5), {0: "failed"}, surrogate=3.0)
    page = write_report(results.directory)
    for width, scheme in ((390, "dark"), (1200, "light")):
        opened(browser, page, width=width, scheme=scheme)
        assert browser.execute_script("return document.documentElement.scrollWidth") == width
        assert cut_off(browser) == []
        assert browser.execute_script(_OVERLAPS) == []
        assert browser.execute_script(_SMALL) == []
        assert browser.execute_script(_OUTSIDE) == []
        (ground,) = colours(browser, "body", "backgroundColor")
        for selector, style in (
            ("#verified svg.chart text", "fill"),
            ("#verified svg.chart .mark-rule.role-mark line", "stroke"),
            ("#verified svg.chart .mark-symbol path[fill^='#']", "fill"),
        ):
            found = colours(browser, selector, style)
            assert found, selector
            for colour in found:
                assert abs(lightness(colour) - lightness(ground)) > 0.3, (selector, colour)
    assert browser.get_log("browser") == []
