"""Imports point one way; this walks all of them and keeps it so.

errors <- records <- spaces <- {stats, predictors} <- benchmarks <- search <- {report, verify} <- cli
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import nasbench_tab

PACKAGE = Path(nasbench_tab.__file__).parent
ROOT = "(root)"  # nasbench_tab itself: its version, and lazily everything

#: What each part may import at run time, inside functions too. What is not listed is forbidden.
MAY: dict[str, set[str]] = {
    "errors": set(),
    "paths": set(),
    "terminal": set(),
    "records": {"errors"},
    "atomic": {"errors"},
    "toml": {"errors"},
    "spaces": {"errors", "records"},
    "stats": {"errors", "records", "spaces"},
    "predictors": {"errors", "records", "spaces", "atomic", "toml"},
    "strategies": {"errors", "records", "spaces", "predictors"},
    "benchmarks": {"errors", "records", "spaces", "atomic", "toml", "stats", "predictors"},
    # Beside the benchmarks: finding them, filling them, training for them.
    "registry": {"errors", "records", "spaces", "paths", "benchmarks", "train", "predictors"},
    "importers": {"errors", "records", "spaces", "atomic", "benchmarks", "paths"},
    "train": {
        *(
            "errors",
            "records",
            "spaces",
            "atomic",
            "paths",
            "predictors",
            "benchmarks",
            "importers",
        ),
        ROOT,
    },
}
# Other benchmarks' interfaces, answered from records and tables.
MAY["compat"] = {"errors", "records", "spaces", "paths", "benchmarks", "importers"}
# From runs to a surrogate: it reads logs and tables, and knows nothing of searches.
MAY["fitting"] = {*MAY["train"], "stats", "predictors", "train", "registry", ROOT}
# Optimizers of other libraries: strategies themselves, driven by the one loop there is.
MAY["adapters"] = {
    *("errors", "records", "spaces", "strategies", "benchmarks", "registry"),
    "search",
}
MAY["search"] = MAY["benchmarks"] | {"benchmarks", "registry", "strategies", "fitting", ROOT}
MAY["verify"] = MAY["search"] | {"search", "train", "importers"}
# A report shows what a verification found: one record type, not a second one that has to keep in step.
MAY["report"] = MAY["search"] | {"search", "paths", "fitting", "verify"}
MAY["cli_verify"] = {*MAY["report"], "report", "verify", "train", "terminal"}
MAY["testing"] = MAY["search"] | {"search", "train"}
MAY["cli_train"] = {*MAY["train"], "train", "registry", "search", "terminal"}
MAY["cli_compare"] = MAY["cli_study"] = {*MAY["report"], "report", "terminal"}
MAY["cli_surrogate"] = {*MAY["report"], "report", "train", "terminal"}
MAY["cli_official"] = {*MAY["importers"], "importers", "paths", "terminal"}
MAY["cli_judge"] = {*MAY["report"], "report", "terminal"}
MAY["cli"] = set(MAY) - {"testing"} | {ROOT}
MAY[ROOT] = set(MAY) - {"cli", "testing", ROOT}


def part_of(module: str) -> str:
    """Return the part that a dotted module name below nasbench_tab belongs to."""
    names = module.split(".")
    return names[1] if len(names) > 1 else ROOT


def run_time_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """Walk a tree, but not into ``if TYPE_CHECKING:``."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING"):
            yield from (n for other in child.orelse for n in (other, *run_time_nodes(other)))
            continue
        yield child
        yield from run_time_nodes(child)


def imports(source: str, module: str, is_package: bool) -> Iterator[tuple[str, int]]:
    """Yield (dotted name, line) of everything that a module imports when it runs."""
    for node in run_time_nodes(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = module.split(".")[: None if is_package else -1]
                above = above[: len(above) - node.level + 1]
                base = ".".join([*above, *filter(None, [node.module])])
            yield from ((f"{base}.{alias.name}", node.lineno) for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            argument = node.args[0]
            if isinstance(argument, ast.Constant):
                yield str(argument.value), node.lineno


def exists(name: str, root: Path) -> bool:
    """Return whether a dotted name below the package is a module, not a function in one."""
    path = root.joinpath(*name.split(".")[1:])
    return path.is_dir() or path.with_suffix(".py").is_file()


def violations(root: Path) -> list[str]:
    """Return a line for every import below ``root`` that the table does not allow."""
    found = []
    for path in sorted(root.rglob("*.py")):
        relative = path.relative_to(root).with_suffix("")
        is_package = relative.name == "__init__"
        module = ".".join(["nasbench_tab", *relative.parts[: -1 if is_package else None]])
        here = part_of(module)
        for name, line in imports(path.read_text(encoding="utf-8"), module, is_package):
            where = f"{path.relative_to(root)}:{line}"
            if name.partition(".")[0] == "torch" and here != "train":
                found.append(f"{where} imports torch")
            if name.partition(".")[0] != "nasbench_tab":
                continue
            there = part_of(name) if exists(name, root) or name.count(".") > 1 else ROOT
            if there != here and there not in MAY.get(here, set()):
                found.append(f"{where}: {here} imports {there}")
    return found


def test_every_part_has_its_place() -> None:
    parts = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or path.is_dir()}
    parts -= {"__init__", "__pycache__", "_shipped"}
    assert parts <= set(MAY), "say in MAY what the new part may import"


def test_imports_point_one_way() -> None:
    assert violations(PACKAGE) == []


def test_the_table_itself_has_no_circle() -> None:
    left = {part: allowed - {ROOT} for part, allowed in MAY.items() if part != ROOT}
    while left:
        free = {part for part, allowed in left.items() if not allowed & set(left)}
        assert free, f"a circle among {sorted(left)}"
        left = {part: allowed for part, allowed in left.items() if part not in free}


@pytest.mark.parametrize(
    ("part", "never"),
    [
        ("strategies", {"benchmarks", "search", "registry", "importers", "cli"}),
        ("spaces", {"benchmarks", "strategies", "search", "stats", "train"}),
        ("benchmarks", {"search", "strategies", "registry", "report", "train"}),
        ("search", {"report", "verify", "cli", "train"}),
        ("importers", {"search", "strategies", "registry"}),
        ("stats", {"benchmarks", "search", "report"}),
    ],
)
def test_the_table_says_what_the_design_says(part: str, never: set[str]) -> None:
    assert not MAY[part] & never
    assert not [other for other, allowed in MAY.items() if "cli" in allowed]


BAD = [
    ("strategies/x.py", "from nasbench_tab.benchmarks.base import Benchmark", "strategies imports benchmarks"),
    ("strategies/x.py", "import nasbench_tab.search.run", "strategies imports search"),
    ("strategies/x.py", "def f():\n    from nasbench_tab.search import run", "strategies imports search"),
    ("strategies/x.py", "from nasbench_tab import load", "strategies imports (root)"),
    ("strategies/x.py", "from nasbench_tab import benchmarks", "strategies imports benchmarks"),
    ("strategies/x.py", "from ..search.run import searcher", "strategies imports search"),
    ("strategies/__init__.py", "from ..search import run", "strategies imports search"),
    ("spaces/x.py", "import importlib\nimportlib.import_module('nasbench_tab.stats.exact')", "spaces imports stats"),
    ("benchmarks/x.py", "if True:\n    from nasbench_tab.registry import load", "benchmarks imports registry"),
    ("search/x.py", "from nasbench_tab.cli import app", "search imports cli"),
    ("errors.py", "try:\n    from nasbench_tab.records import Run\nexcept ImportError: ...", "errors imports records"),
    ("newcomer/x.py", "from nasbench_tab.errors import TableError", "newcomer imports errors"),
    ("search/x.py", "import torch", "x.py:1 imports torch"),
]  # fmt: skip
GOOD = [
    ("strategies/x.py", "from nasbench_tab.records import Run\nfrom .base import uniforms"),
    ("records.py", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from nasbench_tab.spaces.base import Space"),
    ("search/x.py", "import nasbench_tab\nfrom nasbench_tab import __version__"),
    ("train/x.py", "import torch.nn"),
    ("cli.py", "from nasbench_tab.report.page import write_report"),
]  # fmt: skip


def planted(root: Path, file: str, source: str) -> list[str]:
    for part in ("strategies", "benchmarks", "search", "spaces", "stats", "newcomer"):
        (root / part).mkdir(exist_ok=True)
    (root / file).parent.mkdir(exist_ok=True)
    (root / file).write_text(source, encoding="utf-8")
    return violations(root)


@pytest.mark.parametrize(("file", "source", "words"), BAD)
def test_a_forbidden_import_is_found(tmp_path: Path, file: str, source: str, words: str) -> None:
    found = planted(tmp_path, file, source)
    assert len(found) == 1
    assert words in found[0]


@pytest.mark.parametrize(("file", "source"), GOOD)
def test_an_allowed_import_is_not_reported(tmp_path: Path, file: str, source: str) -> None:
    assert planted(tmp_path, file, source) == []
