"""What docs/official tells people to type: every command is one, and what can be run here is run."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
import typer
from commandline import Command, succeeded
from importers.nasbench101_file import trainings, write

from nasbench_tab.cli import app
from nasbench_tab.importers.formats import FORMATS
from nasbench_tab.importers.nasbench101 import import_nasbench101
from nasbench_tab.importers.sources import SOURCES

FOLDER = Path(__file__).resolve().parent.parent / "docs/official"
PAGES = {path.name: path.read_text(encoding="utf-8") for path in sorted(FOLDER.glob("*.md"))}
_BLOCK = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)
COMMANDS = [
    (page, line.removeprefix("$ "))
    for page, text in PAGES.items()
    for kind, block in _BLOCK.findall(text)
    if kind in ("sh", "console")
    for line in block.splitlines()
    if line.removeprefix("$ ").startswith("nasbench-tab ")
]


def python(page: str) -> str:
    return "\n".join(block for kind, block in _BLOCK.findall(PAGES[page]) if kind == "python")


def test_there_is_something_to_check() -> None:
    assert len(COMMANDS) > 15
    assert {page for page, _ in COMMANDS} >= set(PAGES) - {"encodings.md", "nats_bench-compat.md"}


@pytest.mark.parametrize(("page", "line"), COMMANDS)
def test_every_command_is_one(page: str, line: str) -> None:
    del page
    _, name, *arguments = shlex.split(line, comments=True)
    group: Any = typer.main.get_command(app)
    context = group.commands[name].make_context(name, list(arguments))  # refuses unknown options
    if name == "import" and arguments:
        assert context.params["format_"] in FORMATS
    if name == "fetch" and arguments:
        assert context.params["name"] in SOURCES


def test_the_index_names_every_format_and_page() -> None:
    index = PAGES["README.md"]
    rows = index[index.index("| benchmark |") : index.index("Scripts written for")]
    for name in FORMATS:
        assert f"`{name}`" in rows
    for page in PAGES:
        assert page == "README.md" or f"]({page})" in index
    for text in PAGES.values():
        for link in re.findall(r"\]\(([^)#:]+)\)", text):
            assert (FOLDER / link).exists(), link


def test_the_commands_of_the_index_run(command: Command, shared_data: Path) -> None:
    shutil.copy(shared_data / "nasbench-macro/nas-bench-macro_cifar10.json", ".")
    lines = [line for page, line in COMMANDS if page == "README.md"]
    for line in lines:
        _, *arguments = shlex.split(line, comments=True)
        if arguments[0] == "fetch" and len(arguments) > 1:
            continue  # no network
        if arguments[0] == "compare":
            arguments += ["--jobs", "1", "--strategies", "random,evolution"]
        assert succeeded(command(*arguments))
    assert len(lines) == 5


def test_nats_bench_pages_run(command: Command, shared_data: Path) -> None:
    for space, where in (("tss", "nasbench201"), ("sss", "nats-bench-sss")):
        for path in (shared_data / where).glob(f"NATS-{space}-*.pickle.pbz2"):
            folder, _, name = path.name.partition("-simple.")
            Path(f"{folder}-simple").mkdir(exist_ok=True)
            shutil.copy(path, f"{folder}-simple/{name}")
        source = next(Path().glob(f"NATS-{space}-*-simple"))
        succeeded(command("import", f"nats-{space}", str(source), "--partial"))
    exec(compile(python("nats-bench.md"), "nats-bench.md", "exec"), {})  # noqa: S102
    names: dict[str, Any] = {}
    exec(compile(python("nats_bench-compat.md"), "compat.md", "exec"), names)  # noqa: S102
    assert names["cost"] == pytest.approx(153.695933)
    assert names["info"]["test-accuracy"] == pytest.approx(91.583333, abs=1e-6)


def test_the_page_on_nasbench101_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = python("nasbench101.md")
    found = re.search(r'cell = "([01]+)\|([^"]+)"', source)
    assert found is not None
    ops = tuple(found[2].split(","))
    bits = [int(bit) for bit in found[1]]
    matrix = [bits[i : i + len(ops)] for i in range(0, len(bits), len(ops))]
    write(tmp_path / "made-up.tfrecord", trainings([(matrix, ops)]))
    monkeypatch.setenv("NASBENCH_TAB_HOME", str(tmp_path))
    import_nasbench101(tmp_path / "made-up.tfrecord", tmp_path / "data", partial=True)
    exec(compile(source, "nasbench101.md", "exec"), {})  # noqa: S102


def test_the_page_on_encodings_runs() -> None:
    lines = python("encodings.md").splitlines()
    names: dict[str, Any] = {}
    for line, after in zip(lines, [*lines[1:], ""], strict=True):
        if line.startswith("#"):
            continue
        if after.startswith("# "):
            assert eval(line, names) == eval(after[2:])  # noqa: S307
        else:
            exec(line, names)  # noqa: S102
