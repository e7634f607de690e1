"""Made-up files of NATS-Bench, of small spaces."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from nasbench_tab.importers import nats
from nasbench_tab.spaces.base import Space
from nasbench_tab.spaces.nasbench201 import NasBench201

from . import official_nats as made
from .official_nats import FIRST_SSS as SSS
from .official_nats import FIRST_TSS as TSS
from .official_nats import INDICES, first


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nats, "_TOPOLOGY", nats._TOPOLOGY._replace(space=TSS))
    monkeypatch.setattr(nats, "_SIZE", nats._SIZE._replace(space=SSS))


@pytest.fixture(scope="module")
def tss() -> dict[str, Any]:
    return made.official(1, INDICES, TSS, made.TSS_SCHEDULES)


@pytest.fixture(scope="module")
def one() -> dict[str, Any]:
    return made.official(1, [11], TSS, made.TSS_SCHEDULES)


@pytest.fixture(scope="module")
def sss() -> dict[str, Any]:
    return made.official(2, (0, 284, 299), SSS, made.SSS_SCHEDULES)


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], Space]:
    """Makes the topology space smaller still."""

    def shrink(n: int) -> Space:
        space = first(NasBench201(), n)
        monkeypatch.setattr(nats, "_TOPOLOGY", nats._TOPOLOGY._replace(space=space))
        return space

    return shrink
