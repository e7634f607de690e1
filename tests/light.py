"""Model-based strategies with smaller models: the same code in a tenth of the time."""

from __future__ import annotations

#: What stands for a strategy in the default suite where it runs many times. As they are registered they
#: run under ``-m slow``, in the golden tests and in their own.
LIGHT = {
    "bananas": "bananas(layers=2,epochs=20)",
    "gp-wl": "gp-wl(pool=60,depth=1)",
    "surrogate-ei": "surrogate-ei(rounds=10)",
    "tpe": "tpe",  # no model to make smaller; in fewer runs
}


def light(name: str) -> str:
    """Return the light form of a strategy, or the strategy itself where it is light as it is."""
    return LIGHT.get(name, name)
