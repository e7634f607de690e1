"""The table format: damaged files are refused, and a full disk changes nothing."""

from __future__ import annotations

import errno
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import h5py
import numpy as np
import pytest

from nasbench_tab.benchmarks import tablefile
from nasbench_tab.benchmarks.tablefile import Table, write_table
from nasbench_tab.errors import ResultsError, TableError

from .tablefiles import VALID, bits, load, replace

# --- damaged files ----------------------------------------------------------------------------


def test_missing_table_is_refused(synthetic: Table, tmp_path: Path) -> None:
    write_table(tmp_path, synthetic, {})
    (tmp_path / "table.h5").unlink()
    with pytest.raises(TableError, match=r"table\.h5 cannot be read as a table.*missing"):
        load(tmp_path)
    (tmp_path / "table.h5").mkdir()
    with pytest.raises(TableError, match=r"table\.h5 cannot be read as a table"):
        load(tmp_path)


@pytest.mark.parametrize(
    "content", [b"", b"not HDF5", b"\x89HDF\r\n\x1a\n", b"\0" * 4096, b"PK\x03\x04" * 1000]
)
def test_what_is_not_a_table_is_refused(synthetic: Table, tmp_path: Path, content: bytes) -> None:
    write_table(tmp_path, synthetic, {})
    (tmp_path / "table.h5").write_bytes(content)
    with pytest.raises(TableError, match=r"table\.h5"):
        load(tmp_path)


def test_another_hdf5_file_is_refused(synthetic: Table, tmp_path: Path) -> None:
    write_table(tmp_path, synthetic, {})
    with h5py.File(tmp_path / "table.h5", "w") as file:
        file["measurements"] = np.arange(3)
    with pytest.raises(TableError, match=r"table\.h5"):
        load(tmp_path)


def test_truncated_file_is_refused_wherever_it_ends(synthetic: Table, tmp_path: Path) -> None:
    write_table(tmp_path, synthetic, {})
    path = tmp_path / "table.h5"
    whole = path.read_bytes()
    for length in [*range(0, len(whole), 61), len(whole) - 1]:
        path.write_bytes(whole[:length])
        with pytest.raises(TableError, match=r"table\.h5"):
            load(tmp_path)


# In a process of its own: damaged metadata can crash or hang HDF5 itself, which no exception
# handler would survive. Damage to bytes that nothing uses may pass if the table is the same.
_FUZZ = """
import faulthandler, sys
from pathlib import Path

sys.path.insert(0, sys.argv[1])
from tablefiles import bits
from nasbench_tab.benchmarks.tablefile import read_manifest, read_table
from nasbench_tab.errors import TableError

faulthandler.enable()
folder, step = Path(sys.argv[2]), int(sys.argv[3])
manifest, path = read_manifest(folder), folder / "table.h5"
whole, table = path.read_bytes(), bits(read_table(folder, manifest))
tried = refused = 0
for position in range(0, len(whole), step):
    faulthandler.dump_traceback_later(20, exit=True)
    damaged = bytearray(whole)
    damaged[position] ^= 0xFF
    path.write_bytes(damaged)
    print(f"byte {position}", end="", flush=True)
    tried += 1
    try:
        assert bits(read_table(folder, manifest)) == table, position
    except TableError:
        refused += 1
    print(flush=True)
print(tried, refused)
"""


def test_a_damaged_byte_is_refused_wherever_it_is(synthetic: Table, tmp_path: Path) -> None:
    write_table(tmp_path, synthetic, {})
    size, step = (tmp_path / "table.h5").stat().st_size, 7
    done = subprocess.run(
        [sys.executable, "-c", _FUZZ, Path(__file__).parent, tmp_path, str(step)],
        capture_output=True,
        text=True,
        check=False,
    )
    last = done.stdout.splitlines()[-1]  # where it crashed, or the counts
    assert (done.returncode, done.stderr) == (0, ""), last
    tried, refused = map(int, last.split())
    assert tried == len(range(0, size, step))
    assert refused > tried / 3


def test_newer_version_is_refused(
    synthetic: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tablefile, "VERSION", 2)
    write_table(tmp_path, synthetic, {})
    assert bits(load(tmp_path)) == bits(synthetic)
    monkeypatch.setattr(tablefile, "VERSION", 1)
    with pytest.raises(TableError, match=r"version 2; this release reads .* 1\. Upgrade"):
        load(tmp_path)


def test_another_format_is_refused(
    synthetic: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tablefile, "FORMAT", "another format")
    write_table(tmp_path, synthetic, {})
    monkeypatch.undo()
    with pytest.raises(TableError, match="has format 'another format'"):
        load(tmp_path)


def _no_metrics(file: h5py.File) -> None:
    del file["trainings/curve/metrics"]


INCOMPLETE: dict[str, Callable[[h5py.File], None]] = {
    "no version": lambda f: f.attrs.__delitem__("version"),
    "version is a word": lambda f: f.attrs.__setitem__("version", "one"),
    "no name": lambda f: f.attrs.__delitem__("name"),
    "no space": lambda f: f.attrs.__delitem__("space"),
    "no by_index": lambda f: f.attrs.__delitem__("by_index"),
    "no default training": lambda f: f.attrs.__delitem__("default_training"),
    "unknown default training": lambda f: f.attrs.__setitem__("default_training", "another"),
    "no architectures": lambda f: f.__delitem__("architectures"),
    "architectures a group": lambda f: (
        f.__delitem__("architectures"),
        f.create_group("architectures"),
    )[0],
    "no trainings": lambda f: f.__delitem__("trainings"),
    "no seeds": lambda f: f.__delitem__("trainings/curve/seeds"),
    "no epochs": lambda f: f.__delitem__("trainings/curve/epochs"),
    "no metrics": _no_metrics,
    "no objective": lambda f: f["trainings/curve"].attrs.__delitem__("objective"),
    "no unit": lambda f: f[VALID].attrs.__delitem__("unit"),
    "no note": lambda f: f[VALID].attrs.__delitem__("note"),
    "bound is a word": lambda f: f[VALID].attrs.__setitem__("upper", "high"),
    "array for an attribute": lambda f: f[VALID].attrs.__setitem__("upper", [1.0, 2.0]),
    "empty attribute": lambda f: f[VALID].attrs.__setitem__("upper", h5py.Empty("f8")),
    "empty dataset": lambda f: replace(f, "static/macs", h5py.Empty("f4")),
    "metric is a group": lambda f: (f.__delitem__(VALID), f.create_group(VALID))[0],
    "seeds are a scalar": lambda f: replace(f, "trainings/curve/seeds", np.array(7)),
    "architectures are a scalar": lambda f: replace(f, "architectures", np.array(7, np.uint8)),
    "architectures are a line": lambda f: replace(f, "architectures", np.arange(12, dtype="u1")),
    "architectures without edges": lambda f: replace(f, "architectures", np.zeros((3, 0), "u1")),
    "words for numbers": lambda f: replace(f, "static/macs", np.array(["a"] * 12, "S3")),
}


@pytest.mark.parametrize("spoil", INCOMPLETE.values(), ids=INCOMPLETE)
def test_incomplete_file_with_a_right_hash_is_refused(
    synthetic: Table,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    spoil: Callable[[h5py.File], None],
) -> None:
    """What another program, or a broken one, may have written together with its hash."""
    fill = tablefile._fill

    def fill_and_spoil(file: h5py.File, table: Table, put: Callable[..., h5py.Dataset]) -> None:
        fill(file, table, put)
        spoil(file)

    monkeypatch.setattr(tablefile, "_fill", fill_and_spoil)
    with suppress(TableError, TypeError):  # some have no hash and cannot even be written
        write_table(tmp_path, synthetic, {})
    monkeypatch.undo()
    with pytest.raises(TableError):
        load(tmp_path)


# --- full disks -------------------------------------------------------------------------------

# In a process of its own, since HDF5 can crash when it cannot write its file to the end.
_FULL_DISK = """
import faulthandler, resource, sys
from pathlib import Path
from nasbench_tab.benchmarks.tablefile import read_manifest, read_table, write_table
from nasbench_tab.errors import ResultsError

faulthandler.enable()
source, target = Path(sys.argv[1]), Path(sys.argv[2])
table = read_table(source, read_manifest(source))
for limit in sys.argv[4:]:
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), resource.RLIM_INFINITY))
    try:
        write_table(target, table._replace(name="new"), {"title": "x" * int(sys.argv[3])})
    except ResultsError as err:
        assert "Could not write" in str(err) and "Nothing was changed" in str(err), err
    else:
        print("written under a limit of", limit)
    print(limit, *sorted(path.name for path in target.glob("*")), flush=True)
"""


@pytest.mark.parametrize("existing", [False, True], ids=["new", "existing"])
@pytest.mark.parametrize("too_large", ["table", "manifest"])
def test_full_disk_changes_nothing(
    synthetic: Table, tmp_path: Path, too_large: str, existing: bool
) -> None:
    pytest.importorskip("resource", reason="file size limits are a POSIX feature")
    source, target = tmp_path / "source", tmp_path / "target"
    write_table(source, synthetic, {})
    if existing:
        shutil.copytree(source, target)
    names = ["manifest.toml", "table.h5"] if existing else []
    size = (source / "table.h5").stat().st_size
    limits = [0, 100, *(size * part // 9 for part in range(1, 9)), size - 1]
    words = 0
    if too_large == "manifest":
        limits, words = [size + 1000], 2 * size
    done = subprocess.run(
        [sys.executable, "-c", _FULL_DISK, source, target, str(words), *map(str, limits)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [" ".join([str(limit), *names]) for limit in limits]
    for name in names:
        assert (target / name).read_bytes() == (source / name).read_bytes()


@pytest.mark.parametrize(
    ("number", "words"),
    [(errno.ENOSPC, "the disk is full"), (errno.EACCES, "Permission denied")],
)
def test_failing_write_is_named_and_leaves_the_old_table(
    synthetic: Table,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    words: str,
) -> None:
    write_table(tmp_path, synthetic, {})
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def fail(self: Path, target: Path) -> Path:
        raise OSError(number, words)

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(ResultsError, match=rf"Could not write .*: {words}\. Nothing was"):
        write_table(tmp_path, synthetic._replace(name="new"), {})
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_folder_that_cannot_be_made_is_named(synthetic: Table, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ResultsError, match=r"Could not write .*file/t/"):
        write_table(tmp_path / "file" / "t", synthetic, {})
