"""Real training: networks, data, the loop, run logs. The only part that imports torch."""

from __future__ import annotations

from importlib.util import find_spec

from nasbench_tab.errors import TrainingError

__all__ = ["need_torch"]


def need_torch() -> None:
    """Raise TrainingError, with the way to get it, where PyTorch is not installed."""
    if find_spec("torch") is None:
        raise TrainingError(
            "Training needs PyTorch, which is not installed: pip install 'nasbench_tab[train]', "
            "or first the PyTorch build for your machine."
        )
