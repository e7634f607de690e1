"""What recipes share: find a data file in an installed public package, rebuild a table's folder."""

from __future__ import annotations

import hashlib
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from nasbench_tab.benchmarks.tablefile import read_manifest
from nasbench_tab.errors import TableError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["package_file", "rebuild"]


def package_file(package: str, version: str, member: str, sha256: str) -> Path:
    """Return the path of ``member`` in an installed package, after checking what it is.

    Raises:
        TableError: The package is not installed, has another version, or the file has another
            SHA-256.
    """
    install = f"Run: pip install {package}=={version}"
    try:
        distribution = metadata.distribution(package)
    except metadata.PackageNotFoundError as err:
        raise TableError(
            f"The recipe needs {package} {version}, which is not installed. {install}"
        ) from err
    if distribution.version != version:
        raise TableError(
            f"The recipe needs {package} {version}, but {distribution.version} is installed. {install}"
        )
    path = Path(str(distribution.locate_file(member)))
    digest = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "no such file"
    if digest != sha256:
        raise TableError(
            f"{path}: SHA-256 {sha256} expected, {digest} got. {install} --force-reinstall"
        )
    return path


def rebuild(prepare: Callable[[str, Path], str], script: str) -> str:
    """Build the table of a recipe's own folder again; return its hash and whether it is as before.

    Args:
        prepare: Takes the table's name and its folder, returns the content hash.
        script: Path of the recipe, which lies in the folder named like the table.
    """
    folder = Path(script).resolve().parent
    before = read_manifest(folder).get("hash") if (folder / "manifest.toml").is_file() else None
    digest = prepare(folder.name, folder)
    if before is None:
        verdict = "there was no manifest before"
    elif digest == before:
        verdict = "the same as in the manifest before"
    else:
        verdict = f"NOT the same: the manifest before had {before}"
    return f"{folder.name}: {digest} ({verdict})"
