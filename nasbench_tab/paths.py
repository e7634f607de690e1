"""Where tables and surrogates are found: shipped in the package, in the checkout, in the user's folder."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["artefacts", "user_folder"]

_PACKAGE = Path(__file__).resolve().parent


def user_folder() -> Path:
    """Return the user's own folder: ``$NASBENCH_TAB_HOME``, or ``nasbench_tab`` in the data home."""
    home = os.environ.get("NASBENCH_TAB_HOME")
    if home:
        return Path(home)
    data_home = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(data_home) / "nasbench_tab"


def artefacts(kind: str) -> dict[str, Path]:
    """Return ``{name: folder}`` of all artefacts of a kind, ``"data"`` or ``"surrogates"``.

    A folder counts if it holds a ``manifest.toml``. What is shipped comes before the checkout's and
    both before the user's, so a user's folder cannot silently replace a shipped table.
    """
    found: dict[str, Path] = {}
    checkout = _PACKAGE.parent
    roots = [_PACKAGE / "_shipped", user_folder()]
    if (checkout / "pyproject.toml").is_file():  # else it is a folder of other people's packages
        roots.insert(1, checkout)
    for root in roots:
        for manifest in sorted((root / kind).glob("*/manifest.toml")):
            found.setdefault(manifest.parent.name, manifest.parent)
    return found
