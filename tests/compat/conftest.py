"""The official records at hand as the folders that their publishers' interface reads."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from nasbench_tab.importers.nats import import_nats_sss, import_nats_tss

FOLDERS = {
    "tss": ("nasbench201", "NATS-tss-v1_0-3ffb9-simple", (0, 11, 284)),
    "sss": ("nats-bench-sss", "NATS-sss-v1_0-50262-simple", (0, 284)),
}


@pytest.fixture(scope="session")
def simple_folder(
    shared_data: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Path]:
    """Gives the "simple" folder of a search space, with the records that there are."""
    made: dict[str, Path] = {}

    def folder(space: str) -> Path:
        if space not in made:
            where, name, indexes = FOLDERS[space]
            made[space] = tmp_path_factory.mktemp(space) / name
            made[space].mkdir()
            for part in ("meta", *(f"{index:06d}" for index in indexes)):
                source = shared_data / where / f"{name}.{part}.pickle.pbz2"
                shutil.copy(source, made[space] / f"{part}.pickle.pbz2")
        return made[space]

    return folder


@pytest.fixture(scope="session")
def tables_folder(
    simple_folder: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A folder with the tables of both search spaces, of the records that there are."""
    folder = tmp_path_factory.mktemp("home") / "data"
    for space, import_records in (("tss", import_nats_tss), ("sss", import_nats_sss)):
        import_records(simple_folder(space), folder, partial=True)
    return folder
