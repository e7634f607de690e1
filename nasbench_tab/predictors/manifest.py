"""The manifest of a stored surrogate: its keys, the checks that it must pass, and its hashes.

Keys, for :func:`~nasbench_tab.predictors.store.write_surrogate`. Tables marked free may hold any texts, numbers, lists
and tables; every other key is refused.

=============== =========================================================== =========
key             holds                                                       needed
=============== =========================================================== =========
name            of the surrogate                                            yes
kind            of the predictor, for example ``"trees"``                   yes
space           registered name, or the table that describes its columns    yes
dataset         what was trained on                                         yes
objective       validation metric that a search optimises                   yes
metrics         table of tables: see :func:`metric_table`                   yes
epochs          1-based, ascending                                          yes
training_data   content hash of the runs, ``"sha256:..."``                  yes
protocol        free: how those were trained (split, recipe, device ...)    yes
runs, networks  how many trainings, of how many distinct networks           yes
seeds           ids of the training seeds                                   yes
origins         ``{origin: number of runs}``                                yes
features        free: names of the inputs, version of their computation     yes
settings        free: all else that decides the fit                         yes
versions        ``{library: version}``                                      yes
licence         of runs and surrogate; ``""`` = not known                   yes
scores          free: how good it is, and on what                           no
about           free: title, citation, origin of the data, what it lacks    no
=============== =========================================================== =========

The *fingerprint*, key ``hash``, covers what answers depend on: arrays, models, and the keys from ``kind``
to ``training_data``, ``features`` and ``settings``. ``manifest_hash`` covers every key. Hashes find damage
and mistakes; they do not prove who wrote a folder.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from typing import Any, get_args

from nasbench_tab.errors import SurrogateError, unknown_name
from nasbench_tab.predictors.arrays import check_shapes
from nasbench_tab.records import Direction, Metric, Split

__all__ = [
    "ADDED",
    "ARRAYS",
    "FORMAT",
    "MANIFEST",
    "NEEDED",
    "OPTIONAL",
    "VERSION",
    "check_manifest",
    "fingerprint_of",
    "metric_from",
    "metric_table",
    "seal_of",
    "sha256",
]

FORMAT = "nasbench_tab surrogate"
#: 2: the Gaussian process's rows are whole steps. 3: seed noise squeezes gains; networks that pass messages.
VERSION = 3
MANIFEST, ARRAYS = "manifest.toml", "arrays.npz"

_MOST = 2**30  # bytes of a file
#: Key -> what it must be, in the words of _is.
NEEDED = {
    **dict.fromkeys(("name", "kind", "dataset", "objective"), "a text that is not empty"),
    "space": "a text or table",
    "metrics": "a table",
    "epochs": "a list of whole numbers",
    "training_data": "a hash, sha256:...",
    **dict.fromkeys(("protocol", "features", "settings"), "a table"),
    **dict.fromkeys(("runs", "networks"), "a whole number above 0"),
    "seeds": "a list of whole numbers",
    "origins": "a table of whole numbers",
    "versions": "a table of texts",
    "licence": "a text",
}
OPTIONAL = {"scores": "a table", "about": "a table"}
ADDED = {
    "format": "a text",
    "version": "a whole number above 0",
    "arrays": "a table",
    "files": "a table",
    "hash": "a hash, sha256:...",
    "manifest_hash": "a hash, sha256:...",
}
#: What answers depend on, besides arrays and models.
_ESSENTIAL = (
    *("format", "version", "kind", "space", "dataset", "objective", "metrics", "epochs"),
    *("training_data", "features", "settings"),
)
_HASH = re.compile("sha256:[0-9a-f]{64}")
_PART = "[A-Za-z0-9_][A-Za-z0-9_.-]*"
_PATH = re.compile(f"{_PART}(/{_PART})*")

_Require = Callable[[object, str], None]


def metric_table(metric: Metric) -> dict[str, Any]:
    """Return a metric as the manifest holds it under its name."""
    table = metric._asdict()
    del table["name"]
    return {**table, "lower": float(metric.lower), "upper": float(metric.upper)}


def metric_from(name: str, table: Mapping[str, Any]) -> Metric:
    """Return the metric of a checked manifest's ``metrics[name]``."""
    return Metric(name, **table)


def check_manifest(manifest: dict[str, Any], where: str) -> None:
    """Raise SurrogateError where a manifest breaks a rule, or does not carry its own hashes.

    Args:
        manifest: With the keys that writing adds.
        where: Its place, for messages.
    """

    def require(condition: object, problem: str) -> None:
        if not condition:
            raise SurrogateError(
                f"{where}: {problem}. If it was read, it was altered or another program wrote it: get "
                "the surrogate again, or fit it again."
            )

    require(_is_plain(manifest), "it holds a date, or more than 12 tables in one another")
    known = {**NEEDED, **OPTIONAL, **ADDED}
    for key, value in manifest.items():
        if key not in known:
            raise SurrogateError(f"{where}: {unknown_name('key', key, known)}")
        if not _is(known[key], value):
            require(False, f"{key} must be {known[key]}; got {value!r:.100}")
    lacks = sorted((NEEDED.keys() | ADDED.keys()) - manifest.keys())
    require(not lacks, f"it lacks {', '.join(lacks)}")
    epochs = manifest["epochs"]
    require(
        epochs and epochs[0] >= 1 and sorted({*epochs}) == epochs,
        f"epochs must ascend from 1 or more; got {epochs!r:.100}",
    )
    for name, table in manifest["metrics"].items():
        problem = _metric_problem(table)
        require(not problem, f"metric {name!r}: {problem}")
    objective = manifest["metrics"].get(manifest["objective"], {})
    require(
        objective.get("split") == "valid",
        f"the objective {manifest['objective']!r} must be a metric of the validation split",
    )
    _check_listing(manifest["files"], require)
    check_shapes(manifest["arrays"], where)
    require(manifest["hash"] == fingerprint_of(manifest), "its hash is not that of its content")
    require(manifest["manifest_hash"] == seal_of(manifest), "it is not as it was written")


def _check_listing(files: dict[str, Any], require: _Require) -> None:
    """Check what the manifest says of files: their paths are used to open them."""
    require(ARRAYS in files, f"files lacks {ARRAYS}")
    taken = {MANIFEST}  # in small letters: some file systems do not tell them apart
    for path, expected in files.items():
        folders = [path[: i.start()].lower() for i in re.finditer("/", path)]
        require(
            _PATH.fullmatch(path) and path.lower() not in taken and not taken & {*folders},
            f"{path!r} is no path of a file, or it stands in another's place; expected "
            "plain letters, digits, dots, dashes and underscores between slashes",
        )
        taken.add(path.lower())
        size = expected.get("size") if isinstance(expected, dict) else None
        require(
            isinstance(expected, dict)
            and expected.keys() == {"sha256", "size"}
            and _is("a hash, sha256:...", expected["sha256"])
            and type(size) is int
            and 0 <= size <= _MOST,
            f"{path!r} needs sha256 and a size up to {_MOST:,}; got {expected!r:.200}",
        )


def _is_plain(value: object, levels: int = 12) -> bool:
    """Return whether a value holds texts and numbers only, in at most so many levels of tables."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return levels >= 0 and all(_is_plain(part, levels - 1) for part in value)
    return isinstance(value, str | int | float)


def _metric_problem(table: object) -> str:
    keys = set(Metric._fields) - {"name"}
    if not isinstance(table, dict) or table.keys() != keys:
        return f"expected a table of {', '.join(sorted(keys))}; got {table!r:.200}"
    if table["split"] not in get_args(Split) or table["direction"] not in get_args(Direction):
        return f"split {table['split']!r} and direction {table['direction']!r} are not known"
    bounds = table["lower"], table["upper"]
    if not all(type(bound) is float for bound in bounds) or not bounds[0] < bounds[1]:
        return f"bounds must be two numbers with a point, the lower first; got {bounds!r}"
    return (
        "" if isinstance(table["unit"], str) else f"unit must be text; got {table['unit']!r:.100}"
    )


def _is(words: str, value: object) -> bool:
    """Return whether a value is what the words of NEEDED say."""
    whole = type(value) is int
    table = value if isinstance(value, dict) else None
    return {
        "a text": isinstance(value, str),
        "a text that is not empty": isinstance(value, str) and value != "",
        "a text or table": isinstance(value, str | dict) and len(value) > 0,
        "a hash, sha256:...": isinstance(value, str) and _HASH.fullmatch(value) is not None,
        "a whole number above 0": whole and value > 0,  # type: ignore[operator]
        "a list of whole numbers": isinstance(value, list) and all(type(v) is int for v in value),
        "a table": table is not None,
        "a table of texts": table is not None and all(isinstance(v, str) for v in table.values()),
        "a table of whole numbers": table is not None
        and all(type(v) is int for v in table.values()),
    }[words]


def fingerprint_of(manifest: Mapping[str, Any]) -> str:
    """Return the hash of what answers depend on: see the module's docstring."""
    models = {
        path: listed
        for path, listed in manifest["files"].items()
        if path == ARRAYS or path.startswith("models/")
    }
    return _json_hash([{key: manifest.get(key) for key in _ESSENTIAL}, models, manifest["arrays"]])


def seal_of(manifest: Mapping[str, Any]) -> str:
    """Return the hash of all other keys, for the key ``manifest_hash``."""
    return _json_hash({key: value for key, value in manifest.items() if key != "manifest_hash"})


def _json_hash(value: object) -> str:
    return sha256(json.dumps(value, sort_keys=True).encode())


def sha256(data: bytes) -> str:
    """Return ``"sha256:..."`` of some bytes."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"
