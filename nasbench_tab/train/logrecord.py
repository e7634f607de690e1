"""One run of a log: its fields, its JSON line, and the checks that every line must pass."""

from __future__ import annotations

import json
import math
from typing import Any, Literal, NamedTuple, get_args

from nasbench_tab.errors import LogError

__all__ = ["FORMAT", "IDENTITY", "SEE", "Key", "LoggedRun", "RunStatus", "line_of", "run_of"]

FORMAT = 1

RunStatus = Literal["ok", "diverged", "failed"]
#: What makes a run this run.
IDENTITY = ("space", "dataset", "split", "recipe", "device_kind", "architecture", "seed")
Key = tuple[str, str, str, str, str, str, int]

_TEXTS = (
    *("space", "dataset", "architecture", "task", "split", "recipe", "origin", "device"),
    *("device_kind", "error", "started"),
)
#: The end of every message about a record.
SEE = "Correct it, or the program that wrote it; docs/run-log.md has the format."


class LoggedRun(NamedTuple):
    """One training as it is logged.

    Attributes:
        space: Search space, by its registered name.
        dataset: What was trained on.
        architecture: Published string of the cell, as it was trained.
        seed: Of the training.
        status: ``"ok"``; ``"diverged"``: the loss left the finite numbers; ``"failed"``: no result,
            see ``error``; it may be tried again.
        curve: A list for each metric with a value for each epoch, the first epoch's first. A diverged
            run's lists end before the first epoch that is not finite, a failed run has none.
        epochs: Planned length of the full training; 0 = the length of the curve.
        task: Name of the task, where there is one.
        split: Hash of the split.
        recipe: Hash of the recipe.
        recipe_fields: The recipe itself.
        origin: Why this cell was trained: ``"random"``, ``"evolution"``, ``"collection"``, ``"query"``.
        device: Model of the processor.
        device_kind: ``"cpu"`` or ``"cuda"``.
        threads: Threads that computed; 0 = not known.
        error: Why the run failed.
        versions: Of python, numpy, torch and nasbench_tab.
        started: ISO 8601, UTC.
        parameters: Of the network, in millions.
    """

    space: str
    dataset: str
    architecture: str
    seed: int
    status: RunStatus
    curve: dict[str, list[float]]
    epochs: int = 0
    task: str = ""
    split: str = ""
    recipe: str = ""
    recipe_fields: dict[str, Any] | None = None
    origin: str = ""
    device: str = ""
    device_kind: str = ""
    threads: int = 0
    error: str = ""
    versions: dict[str, str] = {}  # noqa: RUF012 - a default that nobody changes
    started: str = ""
    parameters: float | None = None

    @property
    def key(self) -> Key:
        """What makes this run this run; two finished runs of one key must agree."""
        return (
            *(self.space, self.dataset, self.split, self.recipe, self.device_kind),
            *(self.architecture, self.seed),
        )

    @property
    def done(self) -> int:
        """Number of epochs in the curve."""
        return max(map(len, self.curve.values()), default=0)


def line_of(run: LoggedRun) -> bytes:
    """Return a run's JSON line.

    Raises:
        LogError: The run breaks a rule of the format, or would not read back as it is.
    """
    where = f"The run of {run.architecture}, seed {run.seed}"
    try:
        text = json.dumps({"format": FORMAT, **run._asdict()}, allow_nan=False)
        back = run_of(json.loads(text), where)
    except (TypeError, ValueError, RecursionError) as err:
        raise LogError(
            f"{where} cannot be logged ({err}). Expected plain text, finite numbers, lists, dicts."
        ) from err
    if back != run:  # tuples, keys that are no text ...
        names = [n for n, a, b in zip(run._fields, run, back, strict=True) if a != b]
        raise LogError(
            f"{where} cannot be logged: {', '.join(names)} would not read back as given. Expected "
            "plain text, finite numbers, lists, and dicts with text for keys."
        )
    return f"{text}\n".encode()


def run_of(record: object, where: str) -> LoggedRun:
    """Return a JSON object as a run; fields that are not known are left out.

    Args:
        record: What stands in the line.
        where: ``file:line``, for messages.

    Raises:
        LogError: A field is missing, of another type or contradicts the others.
    """
    if not isinstance(record, dict):
        raise LogError(f"{where}: expected a JSON object, got {type(record).__name__}. {SEE}")

    def require(condition: object, field: str, expected: str) -> None:
        if not condition:
            got = repr(record[field])[:100] if field in record else "nothing"
            raise LogError(f"{where}: {field!r} must be {expected}; got {got}. {SEE}")

    version: Any = record.get("format")
    require(_whole(version, 1), "format", f"a whole number up to {FORMAT}")
    if version > FORMAT:
        raise LogError(
            f"{where}: format {version} is newer than this release reads ({FORMAT}). "
            "Upgrade nasbench_tab."
        )
    defaults = LoggedRun._field_defaults
    fields = {name: record[name] for name in LoggedRun._fields if name in record}
    for name in LoggedRun._fields:
        require(name in fields or name in defaults, name, "there")
    for name in _TEXTS:
        require(_text(fields.get(name, "")), name, "text")
        require(name in defaults or fields[name], name, "text that is not empty")
    require(_whole(fields["seed"], 1 - 2**63, 2**63 - 1), "seed", "a whole number of 64 bits")
    for name in ("epochs", "threads"):
        require(_whole(fields.get(name, 0), 0, 2**31 - 1), name, "a whole number, at least 0")
    parameters = fields.get("parameters")
    require(
        parameters is None or (_number(parameters) and float(parameters) >= 0),
        "parameters",
        "a number of millions, at least 0, or null",
    )
    recipe = fields.get("recipe_fields")
    require(recipe is None or isinstance(recipe, dict), "recipe_fields", "an object or null")
    versions = fields.get("versions", {})
    require(
        isinstance(versions, dict) and all(map(_text, versions.values())),
        "versions",
        "an object of texts",
    )
    statuses = get_args(RunStatus)
    require(fields["status"] in statuses, "status", f"one of {', '.join(statuses)}")
    fields["curve"] = _curve(fields["curve"], where)
    run = LoggedRun(**fields)
    planned, done = run.epochs or run.done, run.done
    if run.status == "failed":
        require(not done, "curve", "empty for a failed run")
    elif run.status == "ok":
        require(done, "curve", "at least one epoch long for a run with status ok")
        require(done == planned, "epochs", f"the length of the curve of an ok run, {done}")
    require(done <= planned, "epochs", f"at least the length of the curve, {done}")
    return run


def _curve(curve: object, where: str) -> dict[str, list[float]]:
    def require(condition: object, problem: str) -> None:
        if not condition:
            raise LogError(f"{where}: 'curve' {problem}. {SEE}")

    if not isinstance(curve, dict):
        raise LogError(f"{where}: 'curve' must be an object of lists; got {curve!r:.100}. {SEE}")
    for name, values in curve.items():
        require(
            isinstance(values, list), f"{name!r} must be a list of numbers; got {values!r:.100}"
        )
        for epoch, value in enumerate(values, 1):
            require(
                _number(value),
                f"{name!r} must be a finite number at epoch {epoch}; got {value!r:.100}",
            )
    lengths = {name: len(values) for name, values in curve.items()}
    require(len(set(lengths.values())) < 2, f"must have lists of one length; got {lengths}")
    return {name: list(map(float, values)) for name, values in curve.items()}


def _text(value: object) -> bool:
    try:
        return isinstance(value, str) and value.encode() is not None
    except UnicodeEncodeError:  # half a surrogate pair
        return False


def _whole(value: object, least: int, most: int = 2**63) -> bool:
    return type(value) is int and least <= value <= most


def _number(value: object) -> bool:
    try:
        return isinstance(value, int | float) and type(value) is not bool and math.isfinite(value)
    except OverflowError:  # a whole number beyond all floats
        return False
