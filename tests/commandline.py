"""What a command line has printed, and arguments for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

ARCH = "|nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|none~0|nor_conv_3x3~1|avg_pool_3x3~2|"


class Done(NamedTuple):
    code: int
    out: str
    err: str


Command = Callable[..., Done]


def compare(*more: str, budget: str = "4", out: str = "out") -> list[str]:
    return [
        *("compare", "nb201-cifar10", "--runs", "3", "--jobs", "1", "--budget", budget),
        *("--out", out, "--strategies", "random,evolution", *more),
    ]


def succeeded(done: Done) -> str:
    assert done.code == 0, done.err
    assert "Traceback" not in done.err
    return done.out


def below(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
