"""The wheel as a user gets it: built, installed elsewhere, asked."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import zipfile
from configparser import ConfigParser
from pathlib import Path

import pytest

import nasbench_tab
from nasbench_tab.registry import benchmark_names, load

CHECKOUT = Path(nasbench_tab.__file__).resolve().parents[1]
TABLES = sorted(path.parent.name for path in CHECKOUT.glob("data/*/manifest.toml"))
SURROGATES = sorted(path.parent for path in CHECKOUT.glob("surrogates/*/manifest.toml"))


def run(*arguments: str | Path, cwd: Path, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel with the hatchling that is installed: no network."""
    folder = tmp_path_factory.mktemp("wheel")
    run("-m", "hatchling", "build", "--target", "wheel", "--directory", folder, cwd=CHECKOUT)
    [built] = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def site(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel into a folder of its own."""
    folder = tmp_path_factory.mktemp("site")
    offline = ["--no-deps", "--no-index", "--disable-pip-version-check", "--no-compile", "--quiet"]
    run("-m", "pip", "install", *offline, "--target", folder, wheel, cwd=folder)
    return folder


def elsewhere(site: Path, code: str, folder: Path) -> str:
    """Run ``code`` with the installed package and without the checkout."""
    head = (
        "import sys\n"
        f"sys.path = [p for p in sys.path if not p.startswith({str(CHECKOUT)!r}) or 'site-packages' in p]\n"
        "import nasbench_tab as nbt\n"
        f"assert nbt.__file__.startswith({str(site)!r}), nbt.__file__\n"
    )
    env = {"PYTHONPATH": str(site), "NASBENCH_TAB_HOME": str(folder / "home")}
    return run("-W", "error", "-c", head + code, cwd=folder, env=env)


def test_the_wheel_holds_the_package_and_every_table(wheel: Path) -> None:
    assert TABLES
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        for table in TABLES:
            for file in ("manifest.toml", "table.h5"):
                inside = f"nasbench_tab/_shipped/data/{table}/{file}"
                assert archive.read(inside) == (CHECKOUT / "data" / table / file).read_bytes()
        assert SURROGATES
        for folder in SURROGATES:
            for path in filter(Path.is_file, folder.rglob("*")):
                inside = f"nasbench_tab/_shipped/{path.relative_to(CHECKOUT).as_posix()}"
                assert archive.read(inside) == path.read_bytes()
    package = CHECKOUT / "nasbench_tab"
    files = [path for path in package.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    assert {path.relative_to(CHECKOUT).as_posix() for path in files} <= names
    assert "nasbench_tab/py.typed" in names
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)
    assert any(name.endswith(".dist-info/licenses/NOTICE") for name in names)


def test_the_wheel_holds_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert len(set(names)) == len(names)
    assert {name.split("/")[0].partition("-")[0] for name in names} == {"nasbench_tab"}
    shipped = {name.rpartition("/")[2] for name in names if "/_shipped/data/" in name}
    assert shipped == {"manifest.toml", "table.h5"}
    names = [name for name in names if "/_shipped/surrogates/" not in name]  # test_accuracy/ ...
    for unwanted in ("prepare.py", "test_", "conftest", "__pycache__", ".pyc", "tools/", "docs/"):
        assert not [name for name in names if unwanted in name], unwanted


def test_the_wheel_has_the_command_and_the_dependencies(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        info = f"nasbench_tab-{nasbench_tab.__version__}.dist-info"
        metadata = archive.read(f"{info}/METADATA").decode()
        scripts = ConfigParser()
        scripts.read_string(archive.read(f"{info}/entry_points.txt").decode())
    assert dict(scripts["console_scripts"]) == {"nasbench-tab": "nasbench_tab.cli:main"}
    assert f"Version: {nasbench_tab.__version__}\n" in metadata
    for dependency in ("numpy", "h5py", "joblib", "typer"):
        assert f"Requires-Dist: {dependency}" in metadata
    heavy = [line for line in metadata.splitlines() if re.search("torch|xgboost|scikit", line)]
    required = [line for line in heavy if line.startswith("Requires-Dist")]
    assert required
    assert all("extra ==" in line for line in required)


def test_the_installed_package_answers(site: Path, tmp_path: Path) -> None:
    code = "import json; print(json.dumps([nbt.load('nb201-cifar10').query(11), nbt.__version__]))"
    expected = [load("nb201-cifar10").query(11), nasbench_tab.__version__]
    assert json.loads(elsewhere(site, code, tmp_path)) == expected


def test_the_installed_package_has_every_benchmark(site: Path, tmp_path: Path) -> None:
    code = (
        "from nasbench_tab import registry\n"
        f"tables = {TABLES}\n"
        "for name in registry.benchmark_names():\n"
        "    table, _, source = name.partition('@')\n"
        "    predicts = source or name not in tables\n"
        "    folder = registry.surrogate_folder if predicts else registry.table_folder\n"
        "    assert '_shipped' in str(folder(table))\n"
        "    print(name, nbt.load(name).fingerprint)\n"
    )
    listed = dict(line.split() for line in elsewhere(site, code, tmp_path).splitlines())
    beside = {True: "@surrogate", False: ""}  # where a table has the name, it is the table's
    asked = [*TABLES, *(f"{f.name}{beside[f.name in TABLES]}" for f in SURROGATES)]
    assert {name: listed.get(name) for name in asked} == {
        name: load(name).fingerprint for name in asked
    }
    assert set(listed) == set(benchmark_names()) >= set(asked)


def test_the_installed_package_compares_and_reports(site: Path, tmp_path: Path) -> None:
    code = (
        "r = nbt.compare(['nb201-cifar10'], ['random'], runs=2, budget=3, out='out', jobs=1)\n"
        "print(nbt.load_results('out').content_hash() == r.content_hash())\n"
        "page = nbt.write_report('out')\n"
        "print(page.is_file())\n"
    )
    assert elsewhere(site, code, tmp_path).split() == ["True", "True"]
