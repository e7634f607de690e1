"""Every error that nasbench_tab raises on purpose.

    NasbenchTabError
    ├── UnknownNameError            a benchmark, strategy, space, metric or training that is not there
    ├── InvalidArchitectureError    not an architecture of this space
    ├── InvalidArgumentError        a budget, seed, epoch format ... that cannot mean anything
    ├── MissingValueError           a well-formed question about something that was never measured
    ├── TableError                  a table file that is truncated, altered, too new or inconsistent
    ├── SurrogateError              a surrogate that cannot be trusted, or runs that none can be fitted on
    ├── DatasetError                a dataset file that is missing, damaged or not the published one
    ├── LogError                    a run log that is damaged, of another version or contradicts itself
    ├── TrainingError               a real training that cannot go on (memory, a foreign checkpoint)
    ├── FormatError                 an official benchmark's file that is damaged, unsafe or of another format
    │   └── UnsafePickleError       a pickle that names something outside the allow-list
    ├── StrategyError               a strategy that breaks the ask/tell contract
    └── ResultsError                a results directory that cannot be read, resumed or written

Each message says what was wrong, what was expected, what was got and what to do. The command line
turns every one of them into its message and exit code 2.
"""

from __future__ import annotations

from collections.abc import Iterable

__all__ = [
    "DatasetError",
    "FormatError",
    "InvalidArchitectureError",
    "InvalidArgumentError",
    "LogError",
    "MissingValueError",
    "NasbenchTabError",
    "ResultsError",
    "StrategyError",
    "SurrogateError",
    "TableError",
    "TrainingError",
    "UnknownNameError",
    "UnsafePickleError",
    "unknown_name",
]


class NasbenchTabError(Exception):
    """Base of all errors of this package."""


class UnknownNameError(NasbenchTabError, LookupError):
    """A name that nothing answers to; the message offers the nearest ones."""


class InvalidArchitectureError(NasbenchTabError, ValueError):
    """A value that is not an architecture of the space at hand."""


class InvalidArgumentError(NasbenchTabError, ValueError):
    """An argument that cannot mean anything (a zero budget, a negative number of runs ...)."""


class MissingValueError(NasbenchTabError, LookupError):
    """The question is well formed, but this value was never measured."""


class TableError(NasbenchTabError):
    """A table that cannot be trusted: truncated, altered, inconsistent or from a newer version."""


class SurrogateError(NasbenchTabError):
    """A surrogate that is altered, truncated, inconsistent or too new, or runs that allow no fit."""


class DatasetError(NasbenchTabError):
    """A dataset file that is missing, damaged or not the published one."""


class LogError(NasbenchTabError):
    """A run log that is damaged, of another version, or whose runs cannot stand in one table; a trajectory too."""


class TrainingError(NasbenchTabError):
    """A real training that cannot go on: out of memory, or a checkpoint of another training."""


class FormatError(NasbenchTabError):
    """An official benchmark's file that is truncated, damaged, unsafe or of another format.

    The message names the file, the offset where there is one, what was expected and what was got.
    """


class UnsafePickleError(FormatError):
    """A pickle that asks for an object outside the allow-list."""


class StrategyError(NasbenchTabError):
    """A strategy that breaks the ask/tell contract."""


class ResultsError(NasbenchTabError):
    """A results directory that cannot be read, resumed or written."""


def unknown_name(kind: str, name: object, known: Iterable[str]) -> UnknownNameError:
    """Return the error for an unknown name, with the nearest known names first.

    Args:
        kind: What was looked for, for example ``"benchmark"``.
        name: What the caller asked for.
        known: All names that would have worked.
    """
    import difflib  # here, since only a mistake needs it

    names = sorted(known)
    near = difflib.get_close_matches(str(name), names, n=3, cutoff=0.5)
    hint = f" Did you mean {', '.join(near)}?" if near else ""
    listing = ", ".join(names) if names else "none"
    return UnknownNameError(f"Unknown {kind} {name!r}.{hint} Known: {listing}.")
