"""A program of yours, in any language, as a strategy: JSON lines on its standard input and output.

    nasbench-tab compare nb201-cifar10 --strategies 'random,external(command="./my-search")' ...

What the program reads and writes, one JSON object a line:

    read   {"start": {"version": 1, "space": "nasbench201", "positions": {"1<-0": ["none", ...], ...},
                      "metric": "valid_accuracy", "unit": "%", "epochs": [200], "seed": 1234}}
    read   {"ask": 2}
    write  {"proposals": [{"cell": [3, 3, 4, 0, 3, 4]}, {"cell": [0, 1, 2, 3, 4, 0], "epoch": 200}]}
    read   {"tell": [{"cell": [3, 3, 4, 0, 3, 4], "epoch": 200, "score": 87.9, "seconds": 1830.2,
                      "status": "ok"}]}

``ask`` wants at most so many proposals, in one line; none means that there are no more for now.
``tell`` wants no answer. A score is greater the better, and null, as seconds are, where there is none. At the
end of the search the program's standard input closes; it should end then, and is killed if it does not.
"""

from __future__ import annotations

import json
import math
import os
import selectors
import shlex
import subprocess
import tempfile
import time
import weakref
from collections.abc import Sequence
from contextlib import suppress
from typing import IO, Any

import numpy as np

from nasbench_tab.errors import InvalidArgumentError, StrategyError
from nasbench_tab.records import Observation, Problem, Proposal
from nasbench_tab.strategies.base import real, rounded_epoch

__all__ = ["ExternalProcess"]

_SHOWN = 200  # characters of what a program wrote that a message quotes
_LONGEST = 2**24  # bytes of a line


class ExternalProcess:
    """A strategy in a process of its own, which is started when it is asked for the first time.

    Epochs between measured ones are rounded down, as everywhere. What the program writes to standard
    error is kept for the message, should it fail.

    Args:
        problem: Where to search.
        rng: The run's generator; it makes the program's seed.
        command: The program and its arguments, as in a shell, but without a shell.
        timeout: Real seconds that an answer, or reading a line, may take.
    """

    def __init__(
        self, problem: Problem, rng: np.random.Generator, *, command: str, timeout: float = 600.0
    ) -> None:
        self._timeout = real("external", "timeout", timeout, least=0.001, below=1e9)
        self._words = shlex.split(command) if isinstance(command, str) else []
        if not self._words:
            raise InvalidArgumentError(
                f"external needs a command, for example 'python search.py'; got {command!r}."
            )
        self._epochs = problem.epochs
        space, metric = problem.space, problem.metric
        self._start = {
            "version": 1,
            "space": space.name,
            "positions": space.options(),
            "metric": metric.name,
            "unit": metric.unit,
            "epochs": list(problem.epochs),
            "seed": int(rng.integers(2**31 - 1)),
        }
        self._process: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None
        self._read = b""

    def ask(self, n: int) -> list[Proposal]:
        """Return what the program proposes."""
        if self._process is None:
            self._begin()
        self._write({"ask": n})
        line = self._line()
        try:
            answer = json.loads(line)
            proposals = answer["proposals"]
            return [self._proposal(proposal) for proposal in proposals]
        except (KeyError, TypeError, ValueError, RecursionError) as err:
            raise self._failed(
                f"answered {line[:_SHOWN]!r}; expected one line such as "
                '{"proposals": [{"cell": [0, 1, 2], "epoch": 12}]}, epoch being optional'
            ) from err

    def tell(self, observations: Sequence[Observation]) -> None:
        """Hand the observations on."""
        told = [
            {
                "cell": list(map(int, cell)),
                "epoch": int(epoch),
                "score": float(score) if math.isfinite(score) else None,
                "seconds": float(seconds) if math.isfinite(seconds) else None,
                "status": status,
            }
            for cell, epoch, score, seconds, status in observations
        ]
        self._write({"tell": told})

    def _proposal(self, proposal: Any) -> Proposal:
        cell, epoch = tuple(proposal["cell"]), proposal.get("epoch")
        if not all(type(op) is int for op in cell):
            raise TypeError
        return Proposal(cell, None if epoch is None else rounded_epoch(self._epochs, epoch))

    def _begin(self) -> None:
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the process
        try:
            self._process = subprocess.Popen(  # noqa: S603 - what the user asked for
                self._words,
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log,
            )
        except OSError as err:
            self._log.close()
            raise InvalidArgumentError(
                f"external cannot start {shlex.join(self._words)!r}: {err.strerror or err}."
            ) from err
        weakref.finalize(self, _end, self._process, self._log)
        assert self._process.stdin is not None  # noqa: S101
        os.set_blocking(
            self._process.stdin.fileno(), False
        )  # one that never reads must not hold us
        self._write({"start": self._start})

    def _write(self, message: dict[str, Any]) -> None:
        if self._process is None or self._process.stdin is None:
            raise StrategyError("An external program was told something before it was asked.")
        pipe, until = self._process.stdin, time.monotonic() + self._timeout
        rest = memoryview(json.dumps(message).encode() + b"\n")
        with selectors.DefaultSelector() as ready:
            ready.register(pipe, selectors.EVENT_WRITE)
            while rest:
                if not ready.select(max(0.0, until - time.monotonic())):
                    raise self._failed(f"read nothing for {self._timeout:g} seconds")
                try:
                    rest = rest[os.write(pipe.fileno(), rest) :]
                except OSError as err:
                    raise self._failed("stopped reading", gone=True) from err

    def _line(self) -> str:
        """Return the next line of the program, without its end."""
        assert self._process is not None and self._process.stdout is not None  # noqa: S101, PT018
        pipe, until = self._process.stdout, time.monotonic() + self._timeout
        with selectors.DefaultSelector() as ready:
            ready.register(pipe, selectors.EVENT_READ)
            while b"\n" not in self._read:
                if len(self._read) > _LONGEST:
                    raise self._failed(f"wrote a line of more than {_LONGEST} bytes")
                if not ready.select(max(0.0, until - time.monotonic())):
                    raise self._failed(f"gave no answer within {self._timeout:g} seconds")
                part = os.read(pipe.fileno(), 65536)
                if not part:
                    raise self._failed("ended before it answered", gone=True)
                self._read += part
        line, _, self._read = self._read.partition(b"\n")
        return line.decode(errors="replace")

    def _failed(self, what: str, *, gone: bool = False) -> StrategyError:
        """Return the error, with exit code and the end of what the program said; end the program."""
        process, log = self._process, self._log
        assert process is not None and log is not None  # noqa: S101, PT018
        try:
            code: int | None = process.wait(1.0 if gone else 0.0)
        except subprocess.TimeoutExpired:
            code = None
            process.kill()
            process.wait()
        log.seek(0)
        said = log.read()[-2000:].decode(errors="replace").strip()
        how = "" if code is None else f" (exit code {code})"
        last = f" Its last words: {said[-_SHOWN * 2 :]}" if said else ""
        return StrategyError(f"The program {shlex.join(self._words)!r} {what}{how}.{last}")


def _end(process: subprocess.Popen[bytes], log: IO[bytes]) -> None:
    """Close the program's input; kill it if it does not end by itself."""
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with suppress(OSError):  # it is gone, and what was not written with it
                pipe.close()
    try:
        process.wait(1.0)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    log.close()
