"""Surrogates for the tests of how they are stored: made in memory, altered, put down."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasbench_tab.predictors import manifest as manifest_rules
from nasbench_tab.predictors.store import metric_table, write_surrogate
from nasbench_tab.records import Metric
from nasbench_tab.toml import toml_tables

Contents = dict[str, bytes]


def a_manifest(**others: Any) -> dict[str, Any]:
    """A good manifest, with other keys as given."""
    accuracy = metric_table(Metric("valid_accuracy", "valid", "max", "%", 0.0, 100.0))
    good = {
        "name": "mine",
        "kind": "trees",
        "space": "nasbench201",
        "dataset": "digits",
        "objective": "valid_accuracy",
        "metrics": {"valid_accuracy": accuracy, "test_accuracy": {**accuracy, "split": "test"}},
        "epochs": [1, 2, 5],
        "training_data": "sha256:" + "0" * 64,
        "protocol": {"split": "sha256:s", "recipe": 'with "quotes" and ✓'},
        "runs": 40,
        "networks": 30,
        "seeds": [0, 1],
        "origins": {"random": 30, "": 10},
        "features": {"version": 1, "names": ["paths", "depth"]},
        "settings": {"members": 2, "shrinkage": 0.05, "depth": {"most": 5}},
        "versions": {"numpy": "2.4.6"},
        "licence": "Apache-2.0",
    }
    return {**good, **others}


def some_arrays() -> dict[str, NDArray[Any]]:
    return {
        "curves/basis": np.arange(6.0).reshape(2, 3) / 7,
        "curves/seen": np.array([True, False, True]),
        "cells": np.arange(12, dtype=np.uint8).reshape(3, 4),
        "words": np.array(["none", "skip_connect", "✓"]),
        "one": np.array(np.nan, np.float32),
        "nothing": np.zeros((0, 3), np.int64),
    }


FILES = {"models/0.ubj": b"\x00tree\xff" * 9, "models/1.ubj": b"", "card.html": b"<p>mine</p>"}


def written(folder: Path, **others: Any) -> Contents:
    """Write a surrogate to ``folder`` and return its files."""
    write_surrogate(folder, a_manifest(**others), some_arrays(), FILES)
    return contents_of(folder)


def contents_of(folder: Path) -> Contents:
    """Every file below ``folder``."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def put(folder: Path, contents: Contents) -> Path:
    """Write files as they are, without any care."""
    for path, data in contents.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    return folder


def resealed(contents: Contents, npz: bytes | None = None, **others: Any) -> Contents:
    """The files with other keys in the manifest and its hashes made good, as by someone who means harm.

    A value of None takes a key out.
    """
    manifest = tomllib.loads(contents["manifest.toml"].decode())
    given = dict(contents)
    if npz is not None:
        given["arrays.npz"] = npz
        manifest["files"]["arrays.npz"] = {"sha256": manifest_rules.sha256(npz), "size": len(npz)}
    manifest.update(others)
    manifest = {key: value for key, value in manifest.items() if value is not None}
    try:
        manifest["hash"] = manifest_rules.fingerprint_of(manifest)
        manifest["manifest_hash"] = manifest_rules.seal_of(manifest)
    except (KeyError, TypeError, AttributeError):
        pass  # so broken that there is nothing to hash
    return {**given, "manifest.toml": toml_tables(manifest).encode()}
