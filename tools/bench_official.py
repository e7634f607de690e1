"""Official formats: how fast a file becomes a table, in how much memory, and what follows for the real one.

The file is written by the tests' own writer, in the published layout with made-up figures. Each import
runs in a process of its own, whose greatest resident memory is read when it ends.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from itertools import islice
from pathlib import Path
from typing import Any

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

start, clock, processor = resident(), time.perf_counter(), time.process_time()
read = []
import_official("nasbench101", Path(sys.argv[1]), Path(sys.argv[2]), partial=True,
    progress=lambda done, total: read.append(time.perf_counter()))
end = time.perf_counter()
print(json.dumps([end - clock, read[-1] - clock, time.process_time() - processor, start, resident()]))
"""


def bench_official(records: int = RECORDS) -> None:
    """Print records a second and peak memory of an import, and both for the published file."""
    per_network = 3 * len(BUDGETS)
    networks = records // per_network
    records = networks * per_network
    print(f"official: nasbench101, an import of {records:,} records ({networks:,} networks)")
    with tempfile.TemporaryDirectory(prefix="bench-official-") as folder:
        small = _imported(Path(folder), networks // 4)
        whole = _imported(Path(folder), networks)
    count = whole["records"]
    print(f"  bytes of a record                {whole['bytes'] / count:>12.1f}")
    print(f"  records a second                 {count / whole['seconds']:>12,.0f}")
    print(f"  records a second of processor    {count / whole['processor']:>12,.0f}")
    print(f"  seconds, of them reading         {whole['seconds']:>12.2f} {whole['reading']:.2f}")
    print(
        f"  MB resident before, at the peak  {whole['start'] / 1e3:>12.0f} {whole['peak'] / 1e3:.0f}"
    )
    each = (whole["peak"] - small["peak"]) / (whole["networks"] - small["networks"])
    factor = OFFICIAL_RECORDS / count
    peak = whole["peak"] + each * (OFFICIAL_RECORDS // per_network - whole["networks"])
    print(f"  projected to {OFFICIAL_RECORDS:,} records and {OFFICIAL_BYTES / 1e9:.2f} GB:")
    print(f"    seconds                        {factor * whole['seconds']:>12.0f}")
    print(f"    MB resident at the peak        {peak / 1e3:>12.0f}")


def _imported(folder: Path, networks: int) -> dict[str, Any]:
    """Return what the import of a made-up file of so many networks took."""
    file = folder / "made-up.tfrecord"
    records = write(file, trainings(islice(cells(), networks)))
    command = [sys.executable, "-c", _CHILD, str(file), str(folder / "out")]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    names = ("seconds", "reading", "processor", "start", "peak")
    found = dict(zip(names, json.loads(done.stdout), strict=True))
    return {**found, "records": records, "networks": networks, "bytes": file.stat().st_size}
