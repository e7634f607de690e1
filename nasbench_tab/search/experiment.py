"""An experiment as a user writes it: ``experiment.toml``, read strictly and written exactly.

::

    benchmarks = ["nb201-cifar10", "nb201-cifar100"]
    strategies = ["random", "evolution(population=20)"]
    runs = 200
    seed = 0

    [protocol]
    evaluations = 100

    [protocol.limits]
    parameters = 1.0

What ``[protocol]`` may hold, and of which kind, comes from :class:`~nasbench_tab.records.Protocol`
itself; a switch that is not given has its default. docs/experiment.md has every key.

>>> from nasbench_tab.records import Protocol
>>> folder = getfixture("tmp_path")
>>> asked = Experiment(("nb201-cifar10",), ("random",), 5, Protocol(evaluations=10))
>>> write_experiment(folder / "experiment.toml", asked)
>>> read_experiment(folder / "experiment.toml") == asked
True
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import NoneType
from typing import Any, NamedTuple, get_type_hints

from nasbench_tab.atomic import write_text
from nasbench_tab.errors import InvalidArgumentError, unknown_name
from nasbench_tab.records import Protocol
from nasbench_tab.registry import load
from nasbench_tab.search.annotated import fitted, is_table, words
from nasbench_tab.search.presets import PRESETS, as_written, fit, preset_named
from nasbench_tab.toml import plain, toml, toml_key

__all__ = [
    "FILE",
    "Experiment",
    "compare_arguments",
    "experiment_of",
    "experiment_text",
    "parse_experiment",
    "protocol_from",
    "read_experiment",
    "write_experiment",
]

#: What the file is called in a results directory.
FILE = "experiment.toml"

_HEAD = "# An experiment of nasbench_tab. Run it: nasbench-tab compare experiment.toml --out DIR\n"


class Experiment(NamedTuple):
    """What a comparison is asked to do.

    Attributes:
        benchmarks: Names.
        strategies: As in :func:`nasbench_tab.compare`: names, with settings in brackets.
        runs: Runs of each strategy on each benchmark.
        protocol: Budget and all other switches; None: those of ``preset``.
        seed: Master seed.
        preset: Name of a published protocol (:mod:`nasbench_tab.search.presets`), or None. Where there
            is a protocol too, it must be what the preset comes to on these benchmarks.
        nearest: Whether the nearest protocol will do where a benchmark cannot honour the preset.
        tuning: Directories or files that record how the strategies' settings were tuned.
    """

    benchmarks: tuple[str, ...]
    strategies: tuple[str, ...]
    runs: int
    protocol: Protocol | None
    seed: int = 0
    preset: str | None = None
    nearest: bool = False
    tuning: tuple[str, ...] = ()


def read_experiment(path: str | Path) -> Experiment:
    """Return the experiment in a file.

    Raises:
        InvalidArgumentError: It cannot be read, is no TOML, lacks a key, or a value is of the wrong
            kind; the message names the line or the key.
        UnknownNameError: A key that does not exist; the nearest are named.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as err:
        raise InvalidArgumentError(
            f"The experiment {path} cannot be read: {err}. Expected a TOML file; docs/experiment.md "
            "shows one."
        ) from err
    return parse_experiment(text, str(path))


def parse_experiment(text: str, where: str = FILE) -> Experiment:
    """Return the experiment that a text holds; ``where`` is named in errors, which are as above."""
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as err:
        raise InvalidArgumentError(
            f'{where} is no TOML: {err}. Text needs quotes, as in seeds = "mean".'
        ) from err
    hints = get_type_hints(Experiment)
    _check_keys(where, found, hints)
    lacking = [key for key in ("benchmarks", "strategies", "runs") if key not in found]
    if "protocol" not in found and "preset" not in found:
        lacking.append("[protocol] with a budget (evaluations or seconds), or a preset")
    if lacking:
        raise InvalidArgumentError(f"{where} lacks {', '.join(lacking)}.")
    given = found.pop("protocol", None)
    if not isinstance(given, (dict, NoneType)):
        raise _wrong(f"{where}, protocol", "a table, [protocol]", given)
    protocol = None if given is None else protocol_from(given, f"{where}, protocol")
    values = {key: _kept(f"{where}, {key}", value, hints[key]) for key, value in found.items()}
    return Experiment(protocol=protocol, **values)


def protocol_from(fields: Mapping[str, Any], where: str = "protocol") -> Protocol:
    """Return the protocol with these fields, given as plain data of TOML or JSON.

    Raises:
        InvalidArgumentError: A value is of the wrong kind.
        UnknownNameError: A field does not exist.
    """
    hints = _switches()
    _check_keys(where, fields, hints)
    return Protocol(**{k: _kept(f"{where}.{k}", v, hints[k]) for k, v in fields.items()})


def experiment_of(described: Mapping[str, Any]) -> Experiment:
    """Return the experiment that a results directory's manifest describes.

    Tuning is not in a manifest: it is booked on a finished comparison, in ``tuning.json``.

    Args:
        described: The part ``"experiment"`` of ``manifest.json``.
    """
    preset = described.get("preset") or {}
    labels = [entry["label"] for entry in described["strategies"]]
    known = PRESETS.get(preset.get("name", ""))
    if known is not None:  # a bare label would take the preset's settings
        entries = described["strategies"]
        labels = [as_written(known, entry["label"], entry["settings"]) for entry in entries]
    return Experiment(
        benchmarks=tuple(entry["name"] for entry in described["benchmarks"]),
        strategies=tuple(labels),
        runs=described["runs"],
        protocol=protocol_from(described["protocol"]),
        seed=described["seed"],
        preset=preset.get("name"),
        nearest=bool(preset.get("changes")),
    )


def compare_arguments(experiment: Experiment) -> dict[str, Any]:
    """Return the arguments for :func:`nasbench_tab.compare` but ``out``.

    Raises:
        InvalidArgumentError: It has a preset and a protocol, and this release's preset comes to another
            protocol on its benchmarks.
        UnknownNameError: A benchmark or the preset does not exist.
    """
    arguments = experiment._asdict()
    del arguments["tuning"]
    protocol: Protocol | None = arguments["protocol"]
    if experiment.preset is None or protocol is None:
        return arguments
    preset = preset_named(experiment.preset)
    for name in experiment.benchmarks:
        published = fit(preset, load(name)).protocol
        for field, value, here in zip(Protocol._fields, protocol, published, strict=True):
            if value != here:
                raise InvalidArgumentError(
                    f"The experiment says preset {preset.name!r} and {field} = {value!r}; on {name} that "
                    f"preset has {here!r}. Leave out [protocol] or the preset."
                )
    return {**arguments, "protocol": None}


def write_experiment(path: str | Path, experiment: Experiment) -> None:
    """Write an experiment so that reading gives exactly the same, or raise and write nothing.

    Raises:
        InvalidArgumentError: TOML cannot hold it, or it is no experiment.
        ResultsError: The file cannot be written.
    """
    write_text(Path(path), experiment_text(experiment))


def experiment_text(experiment: Experiment) -> str:
    """Return an experiment as TOML; protocol switches at their defaults are left out.

    Raises:
        InvalidArgumentError: TOML cannot hold it, or it is no experiment.
    """
    try:
        text = _rendered(experiment)
        read = parse_experiment(text)
    except (TypeError, ValueError, LookupError) as err:  # ours are among them
        raise InvalidArgumentError(f"This experiment cannot be written as TOML: {err}") from err
    back = _named_values(read)
    for name, asked in _named_values(experiment).items():
        if asked != back.get(name):
            raise InvalidArgumentError(
                f"This experiment cannot be written as TOML: {name} = {asked!r} would be read as "
                f"{back.get(name)!r}."
            )
    return text


def _named_values(experiment: Experiment) -> dict[str, Any]:
    values = experiment._asdict()
    protocol: Protocol | None = values.pop("protocol")
    switches = {} if protocol is None else protocol._asdict()
    values |= {f"protocol.{key}": value for key, value in switches.items()}
    return {key: plain(value) for key, value in values.items()}


def _rendered(experiment: Experiment) -> str:
    top = {key: value for key, value in experiment._asdict().items() if key != "protocol"}
    defaults = Experiment._field_defaults
    lines = [
        f"{key} = {toml(value, key in ('benchmarks', 'strategies'))}"
        for key, value in top.items()
        if key in ("runs", "seed") or key not in defaults or value != defaults[key]
    ]
    if experiment.protocol is None:
        return _HEAD + "\n".join([*lines, ""])
    switches, tables = ["", "[protocol]"], []
    for key, value in experiment.protocol._asdict().items():
        if value == Protocol._field_defaults[key]:
            continue
        if is_table(_switches()[key]) and len(dict(value)) == len(value):
            tables += ["", f"[protocol.{key}]"]
            tables += [f"{toml_key(name)} = {toml(limit)}" for name, limit in value]
        else:
            switches.append(f"{key} = {toml(value)}")
    return _HEAD + "\n".join([*lines, *switches, *tables, ""])


@cache
def _switches() -> dict[str, Any]:
    return get_type_hints(Protocol)


def _check_keys(where: str, found: Mapping[str, Any], known: Mapping[str, Any]) -> None:
    for key in found:
        if key not in known:
            raise unknown_name(f"key in {where}:", key, known)


def _kept(where: str, value: Any, hint: Any) -> Any:
    """Return a value as an annotation wants it, or raise InvalidArgumentError."""
    try:
        return fitted(value, hint)
    except ValueError as err:
        raise _wrong(where, words(hint), value) from err


def _wrong(where: str, expected: str, got: object) -> InvalidArgumentError:
    return InvalidArgumentError(f"{where} must be {expected}; got {got!r}.")
