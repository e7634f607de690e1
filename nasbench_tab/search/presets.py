"""Published protocols as data: what the numbers in a paper were made with.

    >>> from nasbench_tab.registry import load
    >>> from nasbench_tab.search.presets import PRESETS, fit
    >>> fitted = fit(PRESETS["naszilla"], load("nb201-cifar10"))
    >>> fitted.protocol.evaluations, fitted.changes
    (150, ('test accuracy of the incumbent is not in the table; its validation accuracy is reported',))

Eleven switches distinguish the numbers that are published as, say, "regularized evolution on
NAS-Bench-201". A preset sets all of them as one source did. A table that lacks what a preset needs cannot
honour it; :func:`fit` then names every change that makes the nearest protocol that can be run there, and
nothing uses that without being told to.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from nasbench_tab.benchmarks.base import Benchmark
from nasbench_tab.errors import InvalidArgumentError, unknown_name
from nasbench_tab.records import Protocol
from nasbench_tab.registry import load
from nasbench_tab.search.specs import strategy_spec

__all__ = [
    "DEFAULT",
    "PRESETS",
    "Fitted",
    "Preset",
    "as_written",
    "fit",
    "preset_named",
    "settings_of",
]


class Preset(NamedTuple):
    """One published way of running and scoring a search.

    Attributes:
        name: What it is called here.
        title: What it is.
        source: Paper, and the code that the switches were read in.
        protocol: The switches; the budget in seconds is in ``budgets`` where it depends on the dataset.
        space: The search space that it was published for.
        budgets: ``{benchmark: simulated seconds}``; empty where the protocol holds the budget. Tables of the
            official files have the budgets of the shipped ones of the same dataset: see :func:`fit`.
        epochs: Length of the trainings that are searched on, in epochs; None = the table's.
        settings: Strategy settings, ``{strategy: {setting: value}}``.
        runs: Runs behind a published mean.
        test: Whether what was published is the test accuracy.
        notes: What no switch can say.
        curve: Whether it needs learning curves, for strategies with fidelities.
        finals: ``{benchmark: training}`` whose test values are reported, where that is not the default:
            one on the training and validation images together.
    """

    name: str
    title: str
    source: str
    protocol: Protocol
    space: str
    budgets: dict[str, float]
    epochs: int | None
    settings: dict[str, dict[str, object]]
    runs: int
    test: bool
    notes: tuple[str, ...] = ()
    curve: bool = False
    finals: Mapping[str, str] = MappingProxyType({})


class Fitted(NamedTuple):
    """A preset on one benchmark.

    Attributes:
        preset: Its name.
        protocol: What can be run there.
        changes: In words, everything in which that differs from the preset; empty = honoured.
    """

    preset: str
    protocol: Protocol
    changes: tuple[str, ...]


_C10, _C100, _IN16 = "nb201-cifar10", "nb201-cifar100", "nb201-imagenet16-120"
_NB201 = "nasbench201"

#: How the names of further tables of NAS-Bench-201 begin, in the place of the shipped tables' "nb201".
_FAMILIES = ("nats-tss", "nb201v10", "nb201v11")
#: CIFAR-10's test values are of trainings on all of its training images.
_ALL_IMAGES = {_C10: "200-epochs-train+valid"}

#: Our own default, for comparison: 100 evaluations, everything else as Protocol() has it.
DEFAULT = Preset(
    name="default",
    title="nasbench_tab's default",
    source="this package",
    protocol=Protocol(evaluations=100),
    space="",
    budgets={},
    epochs=None,
    settings={},
    runs=500,
    test=False,
)

#: All presets by name.
PRESETS = {
    preset.name: preset
    for preset in (
        DEFAULT,
        Preset(
            name="nats-2021",
            title="NATS-Bench, topology space, multi-trial methods",
            source="Dong, Liu, Musial and Gabrys, TPAMI 2021; AutoDL-Projects f46486e, exps/NATS-algos",
            protocol=Protocol(validation="once", overshoot="interpolate", training="12-epochs"),
            space=_NB201,
            budgets={_C10: 20_000.0, _C100: 40_000.0, _IN16: 120_000.0},
            epochs=12,
            settings={
                "evolution": {"population": 10, "tournament": 3, "mutation": "node-first"},
                "reinforce": {"learning_rate": 0.01, "momentum": 0.9},
                "bohb": {
                    "num_samples": 4,
                    "random_fraction": 0.0,
                    "bandwidth_factor": 1.0,
                    "min_bandwidth": 0.3,
                },
            },
            runs=500,
            test=True,
            notes=(
                "searched on 12-epoch trainings with a schedule of their own, reported after 200 epochs",
                "the published deviation over runs is that of the population (n in the denominator)",
            ),
            finals=_ALL_IMAGES,
        ),
        Preset(
            name="nb201-2020",
            title="NAS-Bench-201, multi-trial methods",
            source="Dong and Yang, ICLR 2020; AutoDL-Projects f46486e, exps/NAS-Bench-201-algos",
            protocol=Protocol(
                validation="once",
                overshoot="drop",
                overhead="measured",
                training="12-epochs",
                report=(_C100, _IN16),
            ),
            space=_NB201,
            budgets={_C10: 12_000.0},
            epochs=12,
            settings={
                "evolution": {"population": 10, "tournament": 3, "mutation": "node-first"},
                "reinforce": {"learning_rate": 0.5, "momentum": 0.9},
            },
            runs=500,
            test=True,
            notes=(
                "searched on CIFAR-10 only; the cell that was found is reported on all three datasets",
                "wall-clock time of the search code is part of the clock, so no two machines agree",
                "its REINFORCE keeps the evaluation that crosses the budget; evolution drops it",
            ),
            finals=_ALL_IMAGES,
        ),
        Preset(
            name="naszilla",
            title="naszilla: BANANAS, local search and encodings",
            source="White, Neiswanger and Savani, AAAI 2021; White, Nolen and Savani, UAI 2021; naszilla 7e65491",
            protocol=Protocol(evaluations=150, seeds="mean", repeats="reuse"),
            space=_NB201,
            budgets={},
            epochs=200,
            settings={
                "evolution": {"population": 30, "tournament": 10, "mutation": "each-position"},
                "local-search": {"initial": 10},
            },
            runs=200,
            test=True,
            notes=(
                "its random search draws without replacement; repeats that are free come to the same",
                "its evolution starts from 10 cells and grows to 29 members; ours founds 30 first",
            ),
        ),
        Preset(
            name="nb101-2019",
            title="NAS-Bench-101, black-box methods",
            source="Ying et al., ICML 2019; automl/nas_benchmarks 1b09906",
            protocol=Protocol(),
            space="nasbench101",
            budgets=dict.fromkeys(("nasbench101", _C10, _C100, _IN16), 1e7),
            epochs=108,
            settings={
                "evolution": {"population": 100, "tournament": 10},
                "reinforce": {"learning_rate": 0.1, "momentum": 0.9},
                "bohb": {"random_fraction": 0.33, "bandwidth_factor": 1.0, "min_bandwidth": 0.3},
            },
            runs=500,
            test=True,
            notes=(
                "its reinforcement learning takes plain gradient steps; ours are Adam's",
                "cells that are no valid network cost nothing and have error 1",
            ),
        ),
        Preset(
            name="dehb-2021",
            title="DEHB on NAS-Bench-201",
            source="Awad, Mallik and Hutter, IJCAI 2021; automl/DEHB e277f36, branch experiments",
            protocol=Protocol(validation="every"),
            space=_NB201,
            budgets=dict.fromkeys((_C10, _C100, _IN16), 1e7),
            epochs=200,
            settings={
                **{
                    name: {"eta": 3} for name in ("successive-halving", "asha", "hyperband", "bohb")
                },
                "dehb": {"eta": 3, "mutation_factor": 0.5, "crossover": 0.5},
            },
            runs=500,
            test=False,
            notes=(
                "strategies with fidelities use epochs 12 to 200 of the 200-epoch curve, the others all",
            ),
            curve=True,
        ),
    )
}


def preset_named(name: str) -> Preset:
    """Return a preset.

    Raises:
        UnknownNameError: There is none of this name.
    """
    if name not in PRESETS:
        raise unknown_name("preset", name, PRESETS)
    return PRESETS[name]


def settings_of(preset: Preset, strategy: str) -> str:
    """Return ``strategy`` with the preset's settings, where it has settings of its own: as given."""
    settings = preset.settings.get(strategy, {})
    if not settings:
        return strategy
    return f"{strategy}({', '.join(f'{key}={value!r}' for key, value in settings.items())})"


def as_written(preset: Preset, label: str, settings: Mapping[str, object]) -> str:
    """Return what to write for a strategy of a comparison under ``preset`` to have it there again.

    That is its label, but where this is a bare name that would take the preset's settings, and it has
    its own: the settings in question are written out.
    """
    given = settings_of(preset, label)
    if given == label or strategy_spec(given).label == label:
        return label
    named = ", ".join(f"{key}={settings[key]!r}" for key in preset.settings[label])
    return f"{label}({named})"


def fit(preset: Preset, bench: Benchmark) -> Fitted:
    """Return the protocol that is nearest to ``preset`` on ``bench``, and how it differs.

    A preset names the shipped tables. On those of the official files, ``nats-tss-cifar10`` for example, it
    means ``nb201-cifar10``, and reports on the other tables that were made of the same file.

    Raises:
        InvalidArgumentError: The preset has no budget for this benchmark, and none can be derived.
    """
    protocol, changes = preset.protocol, []
    family, meant = _meant(bench.name)
    protocol = protocol._replace(
        report=tuple(name.replace("nb201-", f"{family}-", 1) for name in protocol.report)
    )
    if preset.space and bench.space.name != preset.space:
        budget = ", and so was its budget" if preset.budgets else ""
        changes.append(
            f"it was published for the space {preset.space}, not {bench.space.name}{budget}"
        )
    if preset.budgets:
        if meant not in preset.budgets:
            raise InvalidArgumentError(
                f"{preset.name} has no published budget for {bench.name}; it has for {', '.join(preset.budgets)}."
            )
        protocol = protocol._replace(seconds=preset.budgets[meant])
    if protocol.seconds is not None and not bench.has_seconds:
        raise InvalidArgumentError(
            f"{preset.name} has a budget in seconds, and {bench.name} has no training times."
        )
    trainings = bench.trainings
    if protocol.training is not None and protocol.training not in trainings:
        seconds = (protocol.seconds or 0.0) * bench.epochs[-1] / (preset.epochs or bench.epochs[-1])
        changes.append(
            f"trainings of {preset.epochs} epochs are not in the table; the full ones ({bench.epochs[-1]} "
            f"epochs) are searched, with a budget for as many of them: {seconds:,.0f} s"
        )
        protocol = protocol._replace(training=None, seconds=seconds)
        searched = bench
    else:
        searched = (
            bench if protocol.training is None else load(bench.name, training=protocol.training)
        )
        if preset.epochs not in (None, searched.epochs[-1]):
            changes.append(
                f"its full training has {preset.epochs} epochs, that of the table {searched.epochs[-1]}"
            )
        if protocol.training is not None and protocol.training == bench.training:
            changes.append(
                f"final values too are of {protocol.training}, the table's default; it reports longer trainings"
            )
    if preset.curve and not searched.resumable:
        changes.append(
            "learning curves are not in the table; strategies with fidelities see only the epochs that are"
        )
    if protocol.validation != "none" and "eval_seconds" not in searched.metrics:
        changes.append("validation times are not in the table; only training is charged")
        protocol = protocol._replace(validation="none")
    cells = searched.measured()
    complete = bench.predicts or len(cells) == bench.space.size
    if not complete and protocol.missing == "refuse":
        changes.append(f"only {len(cells):,} of {bench.space.size or 0:,} cells were measured")
        protocol = protocol._replace(missing="masked")
    tested = bench
    final = preset.finals.get(meant)
    if final in trainings:
        protocol = protocol._replace(final_training=final)
        tested = load(bench.name, training=final)
    if preset.test and not any(m.split in ("test", "valid+test") for m in tested.metrics.values()):
        changes.append(
            "test accuracy of the incumbent is not in the table; its validation accuracy is reported"
        )
    elif final not in (None, *trainings):
        changes.append(
            f"trainings on training and validation images ({final}) are not in the table; the reported test "
            "accuracy is of those on the training images alone"
        )
    return Fitted(preset.name, protocol, tuple(changes))


def _meant(name: str) -> tuple[str, str]:
    """Return how a table's name begins, and the shipped table of the same dataset, or itself."""
    for family in _FAMILIES:
        if name.startswith(f"{family}-"):
            return family, name.replace(family, "nb201", 1).removesuffix("-hw")
    return "nb201", name.removesuffix("-hw")
