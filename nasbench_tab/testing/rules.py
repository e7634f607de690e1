"""How the checks say that a rule is broken."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["require", "require_raises"]


def require(condition: bool, rule: str) -> None:
    """Raise AssertionError with ``rule`` unless ``condition`` holds."""
    if not condition:
        raise AssertionError(rule)


def require_raises(expected: type[Exception], call: Callable[[], object], what: str) -> None:
    """Raise AssertionError unless ``call()`` raises ``expected``."""
    try:
        result = call()
    except expected:
        return
    except Exception as err:
        raise AssertionError(
            f"{what} raised {type(err).__name__}, not {expected.__name__}"
        ) from err
    raise AssertionError(f"{what} gave {result!r} instead of {expected.__name__}")
