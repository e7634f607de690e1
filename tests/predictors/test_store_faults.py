"""Writers that are stopped anywhere leave the surrogate of before, or the new one, never a half."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from nasbench_tab.errors import ResultsError, SurrogateError
from nasbench_tab.predictors.store import read_surrogate

from .stored import contents_of, put, written

#: What writing asks of the system; each call of each is a place to fail at.
CALLS = [
    *(("os", "open"), ("os", "fsync"), ("tempfile", "mkdtemp")),
    *(("pathlib.Path", "mkdir"), ("pathlib.Path", "write_bytes"), ("pathlib.Path", "rename")),
]


class Faulty:
    """Stands for a function of the system and fails at its n-th call.

    Args:
        patch: Puts it in place.
        call: Where and which.
        n: Counted from 1; 0 = never.
        fault: What to raise, or a function that ends the process.
        after: Fail after the call was made, not before.
    """

    def __init__(
        self,
        patch: pytest.MonkeyPatch,
        call: tuple[str, str],
        n: int,
        fault: BaseException,
        after: bool,
    ) -> None:
        where, name = call
        holder: Any = Path if where == "pathlib.Path" else __import__(where)
        real: Callable[..., Any] = getattr(holder, name)
        self.calls = 0

        def faulty(*args: Any, **kwargs: Any) -> Any:
            self.calls += 1
            hit = self.calls == n
            if hit and not after:
                raise fault
            found = real(*args, **kwargs)
            if hit:
                raise fault
            return found

        patch.setattr(holder, name, faulty)


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize(
    ("call", "before"), [*((call, True) for call in CALLS), (CALLS[-1], False), (CALLS[-2], False)]
)
def test_a_fault_at_any_call(
    tmp_path: Path, call: tuple[str, str], before: bool, after: bool
) -> None:
    was = written(tmp_path / "was") if before else {}
    new = written(tmp_path / "new", name="new")
    stopped = 0
    for fault in (OSError(errno.ENOSPC, "full"), KeyboardInterrupt()):
        for n in range(1, 100):
            place = tmp_path / f"{type(fault).__name__}-{n}"
            place.mkdir()
            folder = put(place / "s", was)
            with pytest.MonkeyPatch.context() as patch:
                faulty = Faulty(patch, call, n, fault, after)
                with suppress(KeyboardInterrupt, ResultsError):
                    written(folder, name="new")
                    assert contents_of(folder) == new
                    stopped -= 1
                stopped += 1
            left = contents_of(folder) if folder.exists() else {}
            assert left in (was, new)
            # An error while cleaning up leaves what was to be cleaned up, hidden.
            more = {path.name for path in place.iterdir()} - {"s"}
            assert not more or (call[0] != "pathlib.Path" and more.pop().startswith(".s."))
            if faulty.calls < n:  # all places were tried
                break
        else:
            pytest.fail("there is no end of calls")
    assert stopped >= 2


# A real death: no finally, no cleaning up.
_KILLED = """
import os, sys
from pathlib import Path

sys.path.insert(0, sys.argv[1])
from tests.predictors.stored import contents_of, put, written

kept = Path(sys.argv[2])
was = contents_of(kept / "was")
names = ["mkdir", "open", "fsync", "rename", "rmdir", "unlink"]
real = {name: getattr(os, name) for name in names}

def killed_at(folder, n):
    calls = 0
    def wrap(name):
        def call(*args, **kwargs):
            nonlocal calls
            calls += 1
            if calls == n:
                os._exit(9)
            return real[name](*args, **kwargs)
        return call
    for name in names:
        setattr(os, name, wrap(name))
    written(folder, name="new")
    os._exit(0)

n = 0
while True:
    n += 1
    place = kept / str(n)
    folder = place / "s"
    put(folder, was)
    child = os.fork()
    if not child:
        killed_at(folder, n)
    _, status = os.waitpid(child, 0)
    print(n, os.waitstatus_to_exitcode(status), flush=True)
    if os.waitstatus_to_exitcode(status) == 0:
        break
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_killed_writer_leaves_a_whole_surrogate(tmp_path: Path) -> None:
    was, new = written(tmp_path / "was"), written(tmp_path / "new", name="new")
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", _KILLED, str(root), str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        cwd=root,
    )
    deaths = [line.split() for line in done.stdout.splitlines()]
    assert len(deaths) > 10
    assert [code for _, code in deaths] == ["9"] * (len(deaths) - 1) + ["0"]
    between = []
    for n, _ in deaths:
        folder = tmp_path / n / "s"
        if not folder.exists():
            between.append(n)
            with pytest.raises(SurrogateError, match=r"complete in .*old; move it to .*/s\."):
                read_surrogate(folder)
            (aside,) = folder.parent.glob(".s.*/old")
            aside.rename(folder)  # what the message says
            assert contents_of(folder) == was
        assert contents_of(folder) in (was, new)
        read_surrogate(folder)
    assert len(between) == 1
    # A later writer is not troubled by what lies there.
    assert written(tmp_path / between[0] / "s", name="new") == new


def test_no_permission_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(ResultsError, match=r"Could not write .*file/s: .*Nothing was changed"):
        written(tmp_path / "file" / "s")
