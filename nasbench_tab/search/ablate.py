"""Ablation: switch one option at a time, everything else as it was, and report the difference.

Lindauer and Hutter, "Best Practices for Scientific Research on Neural Architecture Search", JMLR 21,
2020, ask for it (best practice 6). A variant differs from the base in one setting of the strategy, or in one
switch of the protocol. Run ``i`` of all of them sees the same table noise for the same cell; the
strategy's own generator depends on its settings (see :mod:`nasbench_tab.search.randomness`), so that pairing takes
away some of the noise and not all of it. The interval knows: it is that of the paired difference.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nasbench_tab.atomic import write_text
from nasbench_tab.errors import InvalidArgumentError, ResultsError, unknown_name
from nasbench_tab.records import Protocol
from nasbench_tab.search.compare import compare
from nasbench_tab.search.ledger import Amount, amount
from nasbench_tab.search.results import Results, load_results, slug
from nasbench_tab.search.run import searcher
from nasbench_tab.search.specs import strategy_spec
from nasbench_tab.strategies.base import StrategySpec

__all__ = ["ABLATION", "AblationRow", "ablate", "ablation", "read_ablation"]

#: The file that says what was switched.
ABLATION = "ablation.json"


class AblationRow(NamedTuple):
    """One variant on one benchmark against the base; values in the objective's unit.

    Attributes:
        benchmark: Its name.
        label: The variant's strategy.
        switch: What was switched: a setting, or ``protocol.<field>``.
        before: Its value in the base.
        after: Its value in the variant.
        base: Mean regret of the base.
        variant: Mean regret of the variant.
        delta: Variant minus base, paired by run: positive means that the variant is worse.
    """

    benchmark: str
    label: str
    switch: str
    before: Any
    after: Any
    base: Amount
    variant: Amount
    delta: Amount


class _Variant(NamedTuple):
    spec: StrategySpec
    protocol: Protocol
    switch: str
    before: Any
    after: Any
    directory: str  # below the ablation's own; empty: that itself


def ablate(
    strategy: str | StrategySpec | Callable[..., Any],
    switches: Mapping[str, Sequence[Any]],
    benchmarks: Sequence[str],
    *,
    runs: int,
    out: str | Path,
    budget: int | None = None,
    protocol: Protocol | None = None,
    protocol_switches: Mapping[str, Sequence[Any]] | None = None,
    seed: int = 0,
    jobs: int | None = None,
    resume: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> list[AblationRow]:
    """Run a strategy and its variants, one option switched in each, and return the differences.

    The base and the variants of the strategy are one comparison in ``out``; each switch of the
    protocol is a comparison of its own below ``out/protocol``, since runs of different protocols do
    not belong into one. ``out/ablation.json`` is written last.

    Args:
        strategy: The base, as in :func:`nasbench_tab.run_search`.
        switches: The other values of each setting.
        benchmarks: As in :func:`nasbench_tab.compare`, like the remaining arguments.
        runs: Likewise.
        out: Likewise.
        budget: Likewise.
        protocol: Likewise.
        protocol_switches: The other values of each switch of the protocol.
        seed: Likewise.
        jobs: Likewise.
        resume: Likewise.
        progress: Likewise.

    Raises:
        InvalidArgumentError: Nothing to switch; a setting that does not exist, has a wrong value, is
            given twice or is that of the base; a protocol that a benchmark cannot follow. Nothing
            was run.
        ResultsError: ``out`` holds something else, or cannot be written.
    """
    if (budget is None) == (protocol is None):
        raise InvalidArgumentError("Give either budget (evaluations) or a protocol.")
    protocol = Protocol(evaluations=budget) if protocol is None else protocol
    base = strategy_spec(strategy)
    variants = [
        *_variants(base, switches, protocol),
        *_protocol_variants(base, protocol_switches or {}, protocol),
    ]
    if not variants:
        raise InvalidArgumentError(
            "An ablation needs something to switch, for example switches={'population': [50]}; "
            f"{base.label} has the settings {', '.join(base.settings) or 'none'}."
        )
    own = [variant for variant in variants if not variant.directory]
    apart = [variant for variant in variants if variant.directory]
    if isinstance(benchmarks, (list, tuple)):  # else the comparison says what they should be
        for variant in apart:  # it checks its own variants before it runs anything
            for name in benchmarks:
                searcher(base, name, variant.protocol)
    out = Path(out)
    specs = [base, *(variant.spec for variant in own)]
    before = 0

    def show(done: int, _: int) -> None:
        if progress is not None:
            each = runs * len(benchmarks)
            progress(before + done, each * (len(specs) + len(apart)))

    common: dict[str, Any] = {"runs": runs, "seed": seed, "jobs": jobs, "resume": resume}
    compare(benchmarks, specs, out=out, protocol=protocol, progress=show, **common)
    before = runs * len(benchmarks) * len(specs)
    for variant in apart:
        compare(
            benchmarks,
            [base],
            out=out / variant.directory,
            protocol=variant.protocol,
            progress=show,
            **common,
        )
        before += runs * len(benchmarks)
    record = {"base": base.label, "variants": [_plain(variant) for variant in variants]}
    write_text(out / ABLATION, json.dumps(record, indent=1, ensure_ascii=False) + "\n")
    return ablation(load_results(out))


def _plain(variant: _Variant) -> dict[str, Any]:
    record = {
        "label": variant.spec.label,
        "switch": variant.switch,
        "from": variant.before,
        "to": variant.after,
    }
    return {**record, "directory": variant.directory} if variant.directory else record


def _variants(
    base: StrategySpec, switches: Mapping[str, Sequence[Any]], protocol: Protocol
) -> list[_Variant]:
    name = base.label.partition("(")[0]
    variants = []
    for setting, values in switches.items():
        if setting not in base.settings:
            raise InvalidArgumentError(
                f"Strategy {name!r} has no setting {setting!r}. "
                f"It has: {', '.join(base.settings) or 'none'}."
            )
        before = base.settings[setting]
        for after in _others(setting, values, before, base.label):
            spec = StrategySpec.make(name, base.factory, {**base.settings, setting: after})
            now = spec.settings[setting]
            variants.append(_Variant(spec, protocol, setting, before, now, ""))
    return variants


def _protocol_variants(
    base: StrategySpec, switches: Mapping[str, Sequence[Any]], protocol: Protocol
) -> list[_Variant]:
    variants = []
    for field, values in switches.items():
        if field not in Protocol._fields:
            raise unknown_name("switch of the protocol", field, Protocol._fields)
        before = getattr(protocol, field)
        for value in _others(field, values, before, "the protocol"):
            after = value.item() if isinstance(value, np.generic) else value
            changed = protocol._replace(**{field: after})
            where = f"protocol/{slug(f'{field}={after}')}"
            variants.append(_Variant(base, changed, f"protocol.{field}", before, after, where))
    return variants


def _others(name: str, values: object, before: Any, base: str) -> Sequence[Any]:
    if isinstance(values, str) or not isinstance(values, Sequence) or not values:
        raise InvalidArgumentError(
            f"The other values of {name} must be a list of at least one; got {values!r}."
        )
    for i, value in enumerate(values):
        if value in values[:i]:
            raise InvalidArgumentError(f"The value {name}={value!r} is given twice.")
        if value == before:
            raise InvalidArgumentError(
                f"{name}={value!r} is what {base} has already: that switches nothing."
            )
    return values


def read_ablation(directory: str | Path) -> dict[str, Any]:
    """Return the contents of ``ablation.json``: base, and for each variant label, switch, from, to.

    Raises:
        ResultsError: It is missing or damaged.
    """
    path = Path(directory) / ABLATION
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        variants = record["variants"]
        known = isinstance(record["base"], str) and isinstance(variants, list)
        known = known and all(map(_is_variant, variants))
    except FileNotFoundError as err:
        raise ResultsError(
            f"{directory} holds no finished ablation (no {ABLATION}). Make one with nasbench-tab ablate, "
            "or finish it with --resume."
        ) from err
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as err:
        raise ResultsError(
            f"{path} cannot be read ({type(err).__name__}: {err}). Run the ablation again with --resume."
        ) from err
    if not known:
        raise ResultsError(f"{path} is damaged. Run the ablation again with --resume.")
    found: dict[str, Any] = record
    return found


def _is_variant(variant: object) -> bool:
    if not isinstance(variant, dict) or not {"label", "switch", "from", "to"} <= {*variant}:
        return False
    names = (variant["label"], variant["switch"], variant.get("directory", ""))
    return all(isinstance(name, str) for name in names)


def ablation(results: Results) -> list[AblationRow]:
    """Return a row for each variant on each benchmark.

    Runs in which either side ended without an incumbent are left out, and ``delta.note`` says how many.
    The intervals are one by one: of 20 variants that change nothing about one excludes zero.

    Raises:
        ResultsError: This is no ablation, or a part of it is missing.
    """
    record = read_ablation(results.directory)
    base = record["base"]
    rows = []
    compared = {"": results}
    frames: dict[str, Any] = {"": results.frame()}
    for variant in record["variants"]:
        where = variant.get("directory", "")
        if where not in frames:
            compared[where] = load_results(results.directory / where)
            frames[where] = compared[where].frame()
        for name in results.benchmarks:
            regret = _regret(frames[""], name, base)
            other = _regret(frames[where], name, variant["label"])
            note = _moved_optimum(results, compared[where], name)
            if len(other) != len(regret):
                raise ResultsError(
                    f"{results.directory / where} has {len(other)} runs of {variant['label']} on {name}, "
                    f"the base {len(regret)}. Run the ablation again in a new directory."
                )
            rows.append(
                AblationRow(
                    benchmark=name,
                    label=variant["label"],
                    switch=variant["switch"],
                    before=variant["from"],
                    after=variant["to"],
                    base=amount(regret),
                    variant=amount(other),
                    delta=amount(other - regret, note),
                )
            )
    return rows


def _moved_optimum(base: Results, variant: Results, benchmark: str) -> str:
    before, after = (one.benchmark(benchmark)["optimum"] for one in (base, variant))
    if before == after:
        return ""
    return f"the switch also moves the optimum that regret is measured from, {before:.6g} to {after:.6g}"


def _regret(frame: Any, benchmark: str, label: str) -> NDArray[np.float64]:
    here = frame[(frame["benchmark"] == benchmark) & (frame["strategy"] == label)]
    return np.asarray(here.sort_values("run")["regret"], np.float64)
