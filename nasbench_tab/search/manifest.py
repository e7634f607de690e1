"""What a results directory's manifest must hold for anything to read it."""

from __future__ import annotations

from typing import Any

from nasbench_tab.search.protocol import switches

__all__ = ["check_manifest"]

_NONE = type(None)
_NUMBER, _TEXT = (int, float), (str, _NONE)
_METRIC = {
    **dict.fromkeys(("name", "split", "unit"), str),
    "direction": ("min", "max"),
    "lower?": _NUMBER,
    "upper?": _NUMBER,
}
# A type or several; float: any finite number; a range or texts: one of them; a list with one kind: a list of
# that; with several: exactly these. A key with a question mark may be missing, a star is every key.
_MANIFEST: dict[str, Any] = {
    "versions": {"*": _TEXT},
    "machine": {"*": (str, int, _NONE)},
    "experiment": {
        "benchmarks": [
            {
                **dict.fromkeys(("name", "space", "dataset", "hash", "optimum_architecture"), str),
                **dict.fromkeys(("architectures", "architectures_in_table"), int),
                "optimum": float,
                "mean": float,
                "epochs": [int],
                "has_seconds": bool,
                "objective": _METRIC,
                "test_metrics": {"*": _METRIC},
                "reported_hashes?": {"*": str},
                "trainings_per_architecture?": [int, int],
                "second?": {"metric": _METRIC, "front?": [[float, float]]},
            }
        ],
        "strategies": [{"label": str, "factory": str, "settings": dict, "source_sha256": str}],
        "protocol": {
            **{f"{name}?": known for name, known in switches().items() if name != "seeds"},
            **dict.fromkeys(("evaluations?", "epoch?"), (int, _NONE)),
            **dict.fromkeys(("training?", "final_training?", "second?"), _TEXT),
            "seconds?": (*_NUMBER, _NONE),
            "failures?": (*_NUMBER, _NONE),
            "seeds?": (str, int),
            "report?": [str],
            "workers?": int,
            "patience?": int,
            "limits": [[str, _NUMBER]],
        },
        "runs": range(1, 2**31),
        "block": range(1, 2**31),
        "seed": int,
        "preset?": {"name": str, "changes": [str]},
    },
}


def check_manifest(manifest: dict[str, Any]) -> None:
    """Raise ValueError if a part of a manifest is missing or is not of its kind."""
    _check(manifest, _MANIFEST, "")


def _check(value: Any, kind: Any, where: str) -> None:
    if isinstance(kind, range) or (isinstance(kind, tuple) and isinstance(kind[0], str)):
        fits = isinstance(value, type(kind[0])) and value in kind  # a range is slow with texts
    elif kind is float:
        fits = isinstance(value, _NUMBER) and abs(value) < 1e300
    else:
        fits = isinstance(value, type(kind) if isinstance(kind, (dict, list)) else kind)
    if not fits or (isinstance(value, bool) and kind is not bool):
        raise ValueError(f"{where} is {value!r:.60}")
    if isinstance(kind, list):
        kinds = kind if len(kind) > 1 else kind * len(value)
        if len(kinds) != len(value) or (isinstance(kind[0], dict) and not value):
            raise ValueError(f"{where} has {len(value)} entries")
        for number, (part, inner) in enumerate(zip(value, kinds, strict=True)):
            _check(part, inner, f"{where}[{number}]")
    elif isinstance(kind, dict):
        for key, inner in kind.items():
            name = key.removesuffix("?")
            if name == key != "*" and name not in value:
                raise ValueError(f"{where or 'it'} has no {name}")
            for found in value if name == "*" else {name} & value.keys():
                _check(value[found], inner, f"{where}.{found}".lstrip("."))
