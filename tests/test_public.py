"""What can be imported, and what an import costs."""

from __future__ import annotations

import importlib
import pkgutil
import subprocess
import sys

import pytest

import nasbench_tab

HEAVY = {"pandas", "scipy", "altair", "vl_convert", "sklearn", "xgboost", "torch", "matplotlib"}
MODULES = sorted(
    module.name for module in pkgutil.walk_packages(nasbench_tab.__path__, "nasbench_tab.")
)


def loaded_after(code: str) -> set[str]:
    """Return the top-level modules that a fresh interpreter has loaded after ``code``."""
    report = "\nimport sys\nprint(*sorted({name.partition('.')[0] for name in sys.modules}))"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code + report],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.split())


@pytest.mark.parametrize("name", nasbench_tab.__all__)
def test_every_public_name_exists_and_is_documented(name: str) -> None:
    value = getattr(nasbench_tab, name)
    assert value is getattr(nasbench_tab, name)
    assert name in dir(nasbench_tab)
    assert name == "__version__" or value.__doc__


def test_the_public_names_are_those_of_their_home() -> None:
    for name, home in nasbench_tab._HOME.items():
        module = importlib.import_module(home)
        assert name in module.__all__
        assert getattr(nasbench_tab, name) is getattr(module, name)
    assert set(nasbench_tab.__all__) == {*nasbench_tab._HOME, "__version__"}


def test_a_name_that_is_not_there() -> None:
    with pytest.raises(AttributeError, match="module 'nasbench_tab' has no attribute 'serach'"):
        nasbench_tab.serach  # noqa: B018


def needs_torch(module: str) -> bool:
    return module.startswith("nasbench_tab.train")


@pytest.mark.parametrize("module", [name for name in MODULES if not needs_torch(name)])
def test_every_name_in_all_exists_and_every_module_says_what_it_is(module: str) -> None:
    imported = importlib.import_module(module)
    assert imported.__doc__
    for name in getattr(imported, "__all__", []):
        assert hasattr(imported, name), name


def test_public_names_can_be_star_imported() -> None:
    space: dict[str, object] = {}
    exec("from nasbench_tab import *", space)  # noqa: S102
    assert set(nasbench_tab.__all__) <= set(space)


def test_an_import_loads_nothing_heavy() -> None:
    loaded = loaded_after("import nasbench_tab")
    assert "nasbench_tab" in loaded
    assert not loaded & {*HEAVY, "h5py", "joblib", "typer", "rich"}


def test_a_query_loads_nothing_that_it_does_not_need() -> None:
    loaded = loaded_after("import nasbench_tab as n; n.load('nb201-cifar10').query(11)")
    assert {"numpy", "h5py"} <= loaded
    assert not loaded & {*HEAVY, "joblib", "typer", "rich"}


def test_a_search_loads_nothing_that_it_does_not_need() -> None:
    loaded = loaded_after(
        "import nasbench_tab as n\n"
        "n.run_search('reinforce', 'nb201-cifar10', n.Protocol(evaluations=3))"
    )
    assert "nasbench_tab" in loaded
    assert not loaded & {*HEAVY, "typer", "rich"}


def test_the_command_line_loads_nothing_heavy_to_list_names() -> None:
    code = (
        "import sys\nfrom nasbench_tab import cli\nsys.argv = ['nasbench-tab', 'list']\n"
        "import contextlib, io\n"
        "with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):\n"
        "    cli.main()\n"
    )
    assert not loaded_after(code) & HEAVY
