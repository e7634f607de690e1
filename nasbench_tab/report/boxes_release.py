"""Boxes A1 to A5 of the checklist: what is released. One function a box.

Every function looks for what would make its box fail, then for what is missing, and only then passes.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from nasbench_tab.errors import NasbenchTabError
from nasbench_tab.paths import artefacts, user_folder
from nasbench_tab.registry import load_space
from nasbench_tab.report.boxes import Decision, decided
from nasbench_tab.report.evidence import (
    Evidence,
    final_tables,
    info_command,
    installed_version,
    misnumbered,
    release,
)

__all__ = ["method_code", "method_settings", "space_code", "training_code", "training_seeds"]

_OURS = "nasbench_tab."  # modules of this package, which is released under Apache-2.0


def training_code(found: Evidence) -> Decision:
    """A1: the table is released, and names origin, licence, publication and way of training."""
    where = "the table's manifest.toml: origin, licence, citation, protocol, hash"
    tables, missing = final_tables(found.results)
    for name, (bench, _) in tables.items():
        lacking = [
            key for key in ("origin", "licence", "citation", "protocol") if not bench.about.get(key)
        ]
        if lacking:
            missing.append(f"the manifest of {name} has no {', '.join(lacking)}")
        if not _shipped(name):
            missing.append(
                f"{name} does not come with nasbench_tab: say where its code is released"
            )
    said = [f"{name}: {bench.about.get('origin')}" for name, (bench, _) in tables.items()]
    return decided([], missing, "; ".join(said), where, info_command(found))


def space_code(found: Evidence) -> Decision:
    """A2: the space is one of this package, and it reads the cells that the manifest names."""
    where = "manifest.json: experiment.benchmarks[].space, optimum_architecture, versions"
    wrong, missing, said = list[str](), list[str](), dict[str, str]()
    for about in found.experiment["benchmarks"]:
        try:
            space = load_space(about["space"])
            text = about["optimum_architecture"]
            if space.format(space.parse(text)) != text:
                wrong.append(f"{about['space']} writes the best cell of {about['name']} otherwise")
        except LookupError as err:
            missing.append(f"the space {about['space']} is not at hand ({err})")
            continue
        except NasbenchTabError as err:
            wrong.append(f"{about['space']} cannot read the best cell of {about['name']} ({err})")
            continue
        module = type(space).__module__
        if not module.startswith(_OURS):
            missing.append(f"{space.name} is {module}'s, which does not say where it is released")
        said[space.name] = f"{space.name}: {module}"
    said_ = f"{'; '.join(said.values())}, in {release(found)}"
    return decided(wrong, missing, said_, where, "nasbench-tab list spaces")


def training_seeds(found: Evidence) -> Decision:
    """A3: the table says how was trained, and with which seeds the final cells were."""
    where = "the table's manifest.toml: protocol, seed_note, trainings.<training>.seeds"
    (tables, missing), said = final_tables(found.results), []
    for name, (bench, cells) in tables.items():
        if not bench.about.get("protocol"):
            missing.append(f"the manifest of {name} has no protocol")
        seeds = {cell: bench.seeds(cell) for cell in cells}
        unnamed = sum(min(own, default=-1) < 0 for own in seeds.values())
        if unnamed:
            missing.append(
                f"{name}: {unnamed} of {len(cells)} final cells were trained with seeds that the "
                "source does not name"
            )
        known = sorted({seed for own in seeds.values() for seed in own})
        said.append(
            f"{name}: the {len(cells)} final cells were trained with the seeds {_some(known)}"
        )
    return decided([], missing, "; ".join(said), where, info_command(found))


def method_code(found: Evidence) -> Decision:
    """A4: the strategies' sources are those of this package, by their hash."""
    where = "manifest.json: experiment.strategies[].factory, source_sha256, versions.nasbench_tab"
    wrong: list[str] = []
    missing, said = [], []
    same_release = found.results.manifest["versions"].get("nasbench_tab") == installed_version()
    for label in found.results.strategies:
        about = found.results.strategy(label)
        if not about["factory"].startswith(_OURS):
            missing.append(f"{label} is {about['factory']}, whose code is not part of nasbench_tab")
        elif label not in found.specs:
            missing.append(found.unknown[label])
        elif found.specs[label].source_hash() != about["source_sha256"]:
            text = f"the source of {label} that was run is not that of nasbench_tab {installed_version()}"
            (wrong if same_release else missing).append(text)
        said.append(f"{label}: {about['factory']}, sha256 {about['source_sha256'][:12]}")
    passed = f"{'; '.join(said)}; all in {release(found)}"
    return decided(wrong, missing, passed, where, "nasbench-tab replay DIR --runs 1")


def method_settings(found: Evidence) -> Decision:
    """A5: every setting of every strategy is there, defaults too, as its label says; and all seeds."""
    where = "manifest.json: experiment.strategies[].settings, seed, runs; runs/*/*/*.npz: runs"
    wrong, missing, said = [], [], []
    for label in found.results.strategies:
        about = found.results.strategy(label)
        spec = found.specs.get(label)
        if spec is None:
            missing.append(f"{found.unknown[label]}, so that nobody can see whether settings lack")
        elif spec.source_hash() != about["source_sha256"]:
            missing.append(
                f"{label} is another one here, so that nobody can see whether settings lack"
            )
        elif lacking := sorted(spec.settings.keys() - about["settings"].keys()):
            wrong.append(f"{label}: {', '.join(lacking)} not recorded")
        elif differing := _differing(spec.settings, about["settings"]):
            wrong.append(f"{label}: {', '.join(differing)}")
        said.append(f"{label}({', '.join(f'{k}={v!r}' for k, v in about['settings'].items())})")
    seed, runs = found.experiment["seed"], found.experiment["runs"]
    wrong += misnumbered(found)
    passed = (
        f"{'; '.join(said)}; master seed {seed}, runs 0 to {runs - 1}, each with its own generator"
    )
    return decided(wrong, missing, passed, where, "python -m json.tool DIR/manifest.json")


def _differing(wanted: dict[str, Any], said: dict[str, Any]) -> list[str]:
    """Return in words which settings are not what a strategy's label stands for."""
    plain = json.loads(json.dumps(wanted))  # tuples are lists in a manifest
    return [
        f"{key}={value!r} recorded, where its label stands for {plain.get(key, 'none')!r}"
        for key, value in said.items()
        if key not in plain or plain[key] != value
    ]


def _shipped(name: str) -> bool:
    """Return whether a table comes with this package, and not from a plug-in or a user's folder."""
    folder = artefacts("data").get(name)
    return folder is not None and not folder.is_relative_to(user_folder())


def _some(numbers: Sequence[int], most: int = 6) -> str:
    shown = ", ".join(map(str, numbers[:most]))
    return shown if len(numbers) <= most else f"{shown} ... ({len(numbers)} in all)"
