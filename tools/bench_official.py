"""Official formats: how fast a file becomes a table, in how much memory, and what follows for the real one.

The file is written by the tests' own writer, in the published layout with made-up figures. What is measured
runs in a process of its own, whose greatest resident memory is read when it ends.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from itertools import islice
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from importers.nasbench101_file import BUDGETS, cells, trainings, write  # noqa: E402 - see above

RECORDS = 200_000
#: Of nasbench_full.tfrecord: records and bytes.
OFFICIAL_RECORDS, OFFICIAL_BYTES = 5_083_488, 1_950_000_000

# The greatest resident memory is Linux's own count; that of getrusage begins with the parent's.
_CHILD = """
import json, re, sys, time
from pathlib import Path
import h5py
from nasbench_tab.importers import nasbench101
from nasbench_tab.importers.formats import import_official

def resident():
    return int(re.search(r"VmHWM:\\s*(\\d+) kB", Path("/proc/self/status").read_text())[1])

read = []
start, clock, processor = resident(), time.perf_counter(), time.process_time()
"""

_IMPORT = """
import_official("nasbench101", Path(sys.argv[1]), Path(sys.argv[2]), partial=True,
    progress=lambda done, total: read.append(time.perf_counter()))
end = time.perf_counter()
print(json.dumps([end - clock, read[-1] - clock, time.process_time() - processor, start, resident()]))
"""

# As large as the published one, as if it had just been read; figures and cells are noise.
_WHOLE = """
import numpy as np
from nasbench_tab.benchmarks.tablefile import write_table

rng, n = np.random.default_rng(0), nasbench101.N_NETWORKS
found = nasbench101._Trainings("made up")
found.reserve(2_000_000_000)
for values in found.values.values():
    for row in values:
        row[:] = rng.random(row.shape, np.float32)
found.row = {f"{i * 0x9E3779B97F4A7C15 % 2**128:032x}": i for i in range(n)}
found.prints.extend(range(n))
for i in range(n):  # distinct ones
    found.cells += bytes([i >> bit & 1 for bit in range(21)] + [0] * 5)
found.counts += b"\\3" * (4 * n)
found.parameters[:] = rng.integers(1, 10**8, len(found.parameters))
clock = time.perf_counter()
table = found.table(False)
write_table(Path(sys.argv[2]), table, nasbench101._about("made up", "", table))
print(json.dumps([time.perf_counter() - clock, start, resident()]))
"""


def bench_official(records: int = RECORDS) -> None:
    """Print records a second and peak memory of an import, and both for the published file."""
    per_network = 3 * len(BUDGETS)
    networks = records // per_network
    print(
        f"official: nasbench101, {networks * per_network:,} records of {networks:,} networks imported"
    )
    with tempfile.TemporaryDirectory(prefix="bench-official-") as folder:
        file = Path(folder) / "made-up.tfrecord"
        count = write(file, trainings(islice(cells(), networks)))
        seconds, reading, processor, before, peak = _measured(_IMPORT, file, Path(folder) / "part")
        size = file.stat().st_size
        file.unlink()
        writing, _, largest = _measured(_WHOLE, file, Path(folder) / "whole")
    print(f"  bytes of a record                 {size / count:>12.1f}")
    print(f"  records a second                  {count / seconds:>12,.0f}")
    print(f"  records a second of processor     {count / processor:>12,.0f}")
    print(f"  seconds, and reading of them      {seconds:>12.1f} {reading:.1f}")
    print(f"  MB resident before, at the peak   {before / 1e3:>12.0f} {peak / 1e3:.0f}")
    print("  a table as large as the published one, checked and written:")
    print(f"    seconds                         {writing:>12.1f}")
    print(f"    MB resident at the peak         {largest / 1e3:>12.0f}")
    print(f"  projected to {OFFICIAL_RECORDS:,} records, {OFFICIAL_BYTES / 1e9:.2f} GB:")
    print(
        f"    seconds                         {OFFICIAL_RECORDS * reading / count + writing:>12.0f}"
    )


def _measured(program: str, file: Path, out: Path) -> list[float]:
    """Return the numbers that a program prints."""
    command = [sys.executable, "-c", _CHILD + program, str(file), str(out)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: list[float] = json.loads(done.stdout)
    return found
