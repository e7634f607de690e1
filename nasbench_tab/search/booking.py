"""Tuning that is booked on a comparison: its file ``tuning.json``, and how a record comes into it.

A record holds strategy, space ({setting: [values]}), benchmarks, runs, evaluations, seconds (simulated,
or null where a benchmark has no times), cpu_seconds (real) and the directory of the tuning; booked
ones also booked_on, tuned_on_test and overlap.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nasbench_tab.atomic import write_text
from nasbench_tab.errors import InvalidArgumentError, ResultsError
from nasbench_tab.search.results import Results, load_results

__all__ = ["TUNING", "book_tuning", "is_booked_on", "read_tuning", "write_tuning"]

#: The file's name.
TUNING = "tuning.json"


def read_tuning(directory: str | Path) -> list[dict[str, Any]]:
    """Return the records of tuning in ``directory``; none where nothing was booked.

    Raises:
        ResultsError: The file is damaged.
    """
    path = Path(directory) / TUNING
    try:
        records = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []
    except (OSError, ValueError, RecursionError) as err:
        raise ResultsError(
            f"{path} cannot be read ({err}). Delete it and book the tuning again."
        ) from err
    problems = _problems(records)
    if problems:
        raise ResultsError(
            f"{path} is no list of tuning records (strategy, benchmarks, evaluations, seconds ...): "
            f"{problems[0]}. Delete it and book the tuning again."
        )
    found: list[dict[str, Any]] = records
    return found


def write_tuning(directory: str | Path, records: list[dict[str, Any]]) -> None:
    """Write the records of tuning, all or nothing."""
    text = json.dumps(records, indent=1, ensure_ascii=False, allow_nan=False)
    write_text(Path(directory) / TUNING, text + "\n")


def is_booked_on(record: dict[str, Any], label: str) -> bool:
    """Return whether a record of tuning is booked on the strategy ``label``.

    ``tune`` leaves a record that is booked on nothing yet; one that was written by hand may name the
    strategy without its settings.
    """
    if "booked_on" in record:
        return bool(record["booked_on"] == label)
    return record["strategy"] in (label, label.partition("(")[0])


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value)


def _is_texts(value: object) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def _is_seconds(value: object) -> bool:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return value is None or (number and 0 <= value < 1e300)  # type: ignore[operator]


def _is_space(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(values, list) for values in value.values())


#: What a record holds: a test of each value and what it should be.
_NEEDED: dict[str, tuple[Callable[[object], bool], str]] = {
    "strategy": (_is_text, "a name"),
    "benchmarks": (_is_texts, "a list of names"),
    "evaluations": (_is_count, "a number of evaluations"),
    "seconds": (_is_seconds, "a number of seconds, or null"),
}
_OPTIONAL: dict[str, tuple[Callable[[object], bool], str]] = {
    "cpu_seconds": (_is_seconds, "a number of seconds, or null"),
    "space": (lambda value: value is None or _is_space(value), "{setting: [values]}"),
    "overlap": (_is_texts, "a list of names"),
    "tuned_on_test": (lambda value: isinstance(value, bool), "true or false"),
    "chosen": (lambda value: value is None or _is_text(value), "a strategy's label"),
    "booked_on": (lambda value: value is None or _is_text(value), "a strategy's label, or null"),
}


def _problems(records: object) -> list[str]:
    """Return what keeps ``records`` from being a list of records of tuning."""
    if not isinstance(records, list):
        return [f"it is a {type(records).__name__}"]
    problems = []
    for number, record in enumerate(records, start=1):
        if not isinstance(record, dict):
            problems.append(f"record {number} is {record!r:.60}")
            continue
        for key, (fits, words) in {**_NEEDED, **_OPTIONAL}.items():
            if key not in record and key in _NEEDED:
                problems.append(f"record {number} has no {key}")
            elif key in record and not fits(record[key]):
                problems.append(
                    f"{key} of record {number} must be {words}; got {record[key]!r:.60}"
                )
    return problems


def book_tuning(
    results_dir: str | Path, tuning_dir: str | Path, strategy: str | None = None
) -> dict[str, Any]:
    """Book the tuning in ``tuning_dir`` on a strategy of the comparison in ``results_dir``.

    The record is copied into the comparison's ``tuning.json``. Booking the same tuning again changes
    nothing. Where both share a benchmark, by name or by content, the record says
    ``"tuned_on_test": true`` and which.

    Args:
        results_dir: A finished comparison.
        tuning_dir: What :func:`nasbench_tab.search.tune.tune` wrote.
        strategy: The label that the cost is booked on; None = the label with the settings that tuning
            chose, else the only one with that strategy's name.

    Returns:
        The record.

    Raises:
        ResultsError: Either directory is not what it should be.
        InvalidArgumentError: It is not clear which strategy was tuned.
    """
    results, tuning = load_results(results_dir), load_results(tuning_dir)
    own = [r for r in read_tuning(tuning_dir) if r.get("booked_on", "") is None]
    if not own:
        raise ResultsError(
            f"{tuning_dir} holds no tuning of its own. Make one with nasbench-tab tune, or finish it "
            "with --resume."
        )
    if results.directory.resolve() == tuning.directory.resolve():
        raise InvalidArgumentError(
            f"{results_dir} is the tuning itself. Book it on a comparison on other benchmarks."
        )
    record = own[-1]
    if record.get("chosen") is None:
        raise ResultsError(
            f"{Path(tuning_dir) / TUNING} does not say which settings tuning chose (chosen). Finish the "
            "tuning with nasbench-tab tune --resume."
        )
    hashes = {tuning.benchmark(name)["hash"] for name in tuning.benchmarks}
    overlap = [
        name
        for name in results.benchmarks
        if name in record["benchmarks"] or results.benchmark(name)["hash"] in hashes
    ]
    record = {
        **record,
        "directory": Path(tuning_dir).as_posix(),
        "booked_on": _tuned_label(results, record, strategy),
        "content_hash": tuning.content_hash(),
        "tuned_on_test": bool(overlap),
        "overlap": overlap,
    }
    key = ("content_hash", "booked_on")
    others = [
        known
        for known in read_tuning(results_dir)
        if [known.get(name) for name in key] != [record[name] for name in key]
    ]
    write_tuning(results_dir, [*others, record])
    return record


def _tuned_label(results: Results, record: dict[str, Any], strategy: str | None) -> str:
    if strategy is not None:
        results.strategy(strategy)  # raises where it took no part
        return strategy
    if record.get("chosen") in results.strategies:
        return str(record["chosen"])
    name = str(record["strategy"]).partition("(")[0]
    alike = [label for label in results.strategies if label.partition("(")[0] == name]
    if len(alike) == 1:
        return str(alike[0])
    raise InvalidArgumentError(
        f"The tuning chose {record.get('chosen')!r}, which took no part in {results.directory} "
        f"({', '.join(results.strategies)}). Say which strategy it is booked on."
    )
