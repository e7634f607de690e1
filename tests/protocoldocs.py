"""The generated parts of docs/protocols.md: ``python tests/protocoldocs.py`` writes them anew."""

from __future__ import annotations

import re
from pathlib import Path

from nasbench_tab.cli_compare import preset_rows
from nasbench_tab.errors import InvalidArgumentError
from nasbench_tab.registry import benchmark_names, load
from nasbench_tab.search.presets import PRESETS, fit

PAGE = Path(__file__).resolve().parents[1] / "docs" / "protocols.md"


def generated() -> dict[str, str]:
    """Return ``{name: Markdown}`` of everything between ``<!-- name -->`` and ``<!-- end -->``."""
    return {"presets": _switches(), "sources": _sources(), "tables": _tables()}


def written(page: str) -> dict[str, str]:
    """Return the same as it stands in the page."""
    return dict(re.findall(r"<!-- (\w+) -->\n\n(.*?)\n\n<!-- end -->", page, re.S))


def _switches() -> str:
    _, *rows = preset_rows()
    return _table([["switch", *PRESETS], *rows])


def _sources() -> str:
    lines = []
    for preset in PRESETS.values():
        lines.append(f"- **{preset.name}**: {preset.title}. {preset.source}.")
        lines += [f"  - {note}" for note in preset.notes]
    return "\n".join(lines)


def _tables() -> str:
    """Return what each preset comes to on each shipped table; alike tables share a row."""
    said: dict[tuple[str, str], list[str]] = {}
    for name, preset in PRESETS.items():
        for benchmark in benchmark_names():
            try:
                changes = "; ".join(fit(preset, load(benchmark)).changes) or "honoured"
            except InvalidArgumentError as err:
                changes = f"cannot be run: {err}".replace(f" for {benchmark}; it has", "; there is")
            changes = re.sub("only [0-9,]+ of", "not all of the", changes)  # that table grows
            said.setdefault((name, changes), []).append(benchmark)
    rows = [[name, ", ".join(tables), changes] for (name, changes), tables in said.items()]
    return _table([["preset", "on", "what changes"], *rows])


def _table(rows: list[list[str]]) -> str:
    first, *rest = [[cell.replace("|", r"\|") for cell in row] for row in rows]
    ruled = [first, ["---"] * len(first), *rest]
    return "\n".join(f"| {' | '.join(row)} |" for row in ruled)


if __name__ == "__main__":
    page = PAGE.read_text(encoding="utf-8")
    for name, text in generated().items():
        page = re.sub(
            rf"(<!-- {name} -->\n\n).*?(\n\n<!-- end -->)",
            lambda found, text=text: found[1] + text + found[2],  # type: ignore[misc]
            page,
            flags=re.S,
        )
    PAGE.write_text(page, encoding="utf-8", newline="\n")
