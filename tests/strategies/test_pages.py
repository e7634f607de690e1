"""Every registered strategy has a page that names its settings with their true defaults."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from nasbench_tab.registry import _STRATEGIES, load_strategy

ROOT = Path(__file__).resolve().parents[2]
PAGES = ROOT / "docs" / "strategies"
SHIPPED = sorted(_STRATEGIES)
HEAD = "| setting | default | what |"
LONGEST = 60  # lines of a page


def defaults(name: str) -> dict[str, Any]:
    """Return a strategy's settings, from its signature."""
    parameters = inspect.signature(load_strategy(name)).parameters.values()
    return {p.name: p.default for p in parameters if p.kind == p.KEYWORD_ONLY}


def table(page: str) -> dict[str, Any]:
    """Return the settings and defaults that a page's table names."""
    lines = page.splitlines()
    start = lines.index(HEAD) + 2
    found: dict[str, Any] = {}
    for line in lines[start:]:
        if not line.startswith("|"):
            break
        setting, default, what = (cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1])
        assert what, f"{setting} is not explained"
        assert setting.strip("`") not in found, f"{setting} stands there twice"
        found[setting.strip("`")] = ast.literal_eval(default.strip("`"))
    return found


def faults(name: str, page: str, settings: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with a page."""
    found = []
    if not page.startswith(f"# {name}\n"):
        found.append(f"its title is not {name}")
    if len(page.splitlines()) > LONGEST:
        found.append(f"it has more than {LONGEST} lines")
    if HEAD not in page.splitlines():
        return [*found, f"it has no table {HEAD}"]
    said = table(page)
    found += [f"it does not name {key}" for key in settings if key not in said]
    found += [f"there is no setting {key}" for key in said if key not in settings]
    found += [
        f"the default of {key} is {settings[key]!r}, not {said[key]!r}"
        for key in settings
        if key in said
        and (said[key] != settings[key] or type(said[key]) is not type(settings[key]))
    ]
    if f"tests/golden/{name}.txt" not in page:
        found.append("it does not name its golden trajectory")
    if "nb201" in page and not re.search(r"\d+ runs", page):
        found.append("its figure does not say how many runs")
    return found


@pytest.mark.parametrize("name", SHIPPED)
def test_the_page_says_what_the_code_says(name: str) -> None:
    path = PAGES / f"{name}.md"
    assert path.is_file(), f"write {path.relative_to(ROOT)}; docs/strategies/evolution.md shows how"
    assert faults(name, path.read_text(encoding="utf-8"), defaults(name)) == []
    assert (ROOT / "tests" / "golden" / f"{name}.txt").is_file()


def test_every_page_belongs_to_a_strategy_and_is_in_the_index() -> None:
    pages = {path.stem for path in PAGES.glob("*.md")} - {"README"}
    assert pages <= set(SHIPPED)
    index = (PAGES / "README.md").read_text(encoding="utf-8")
    assert [name for name in SHIPPED if f"[{name}]({name}.md)" not in index] == []


GOOD = """# evolution
| setting | default | what |
|---|---|---|
| `population` | `10` | members |
| `mutation` | `"uniform"` | kernel, `a \\| b` |

`tests/golden/evolution.txt`
"""
SETTINGS = {"population": 10, "mutation": "uniform"}


def test_a_good_page_has_no_faults() -> None:
    assert faults("evolution", GOOD, SETTINGS) == []


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("# evolution", "# Evolution", "its title is not evolution"),
        ("`10`", "`20`", "the default of population is 10, not 20"),
        ("`10`", "`10.0`", "the default of population is 10, not 10.0"),
        ("`population`", "`members`", "it does not name population"),
        ("`population`", "`members`", "there is no setting members"),
        (HEAD, "| setting | what |", "it has no table"),
        ("evolution.txt", "other.txt", "it does not name its golden trajectory"),
        ("`tests", "2.1 on nb201-cifar100; `tests", "how many runs"),
        ("`tests", "\n" * 60 + "`tests", "more than 60 lines"),
    ],
)
def test_faults_of_a_page_are_found(old: str, new: str, words: str) -> None:
    assert any(words in fault for fault in faults("evolution", GOOD.replace(old, new), SETTINGS))
