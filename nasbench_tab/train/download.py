"""Fetch one published file: it arrives complete and with its checksum, or not at all."""

from __future__ import annotations

import hashlib
from pathlib import Path

from nasbench_tab.atomic import replacing
from nasbench_tab.errors import DatasetError, ResultsError

__all__ = ["download"]


def download(url: str, path: Path, md5: str, instead: str) -> bytes:
    """Download ``url`` to ``path`` with a progress bar on standard error; return its content.

    A part of a file is never left under its name. A complete file with another checksum is kept
    beside ``path`` as ``<name>.rejected``, for a look at it; nothing reads it again.

    Args:
        url: Where the file is published.
        path: Where it goes; not there yet.
        md5: Its published MD5.
        instead: What the user can do if it fails, "put ... into ...".

    Raises:
        DatasetError: No connection, no such address, another checksum, no way to write, or pooch
            and tqdm are not installed.
    """
    try:
        import pooch  # type: ignore[import-untyped]
        import requests

        fetch = pooch.HTTPDownloader(
            progressbar=True,
            chunk_size=2**16,
            headers={"Accept-Encoding": "identity"},  # the checksum is that of the .gz itself
        )
    except (ImportError, ValueError) as err:  # pooch without tqdm says ValueError
        raise DatasetError(
            f"Downloading {url} needs pooch and tqdm ({err}). Run: pip install "
            f"'nasbench_tab[train]'. Or {instead}."
        ) from err
    try:
        with replacing(path) as temporary:
            try:
                fetch(url, str(temporary), None)
            except requests.RequestException as err:
                raise DatasetError(
                    f"Downloading {url} failed ({type(err).__name__}: {err}). Nothing was kept of "
                    f"it. Try again later, or {instead}."
                ) from err
            data = temporary.read_bytes()
            digest = hashlib.md5(data, usedforsecurity=False).hexdigest()
            if digest != md5:
                aside = path.with_name(f"{path.name}.rejected")
                temporary.replace(aside)
                raise DatasetError(
                    f"What came from {url} is not the published file: MD5 {md5} expected, {digest} "
                    f"got. It is kept aside as {aside} and never used. Try again later, or "
                    f"{instead}."
                )
    except ResultsError as err:
        raise DatasetError(f"Downloading {url} failed. {err}") from err
    return data
