"""Resolve names: what is shipped first, then what third parties ship as entry points.

Entry-point groups: ``nasbench_tab.spaces`` (a class or factory without arguments),
``nasbench_tab.strategies`` (a class or function), and ``nasbench_tab.tables`` and
``nasbench_tab.surrogates`` (a folder, or a function that returns one, with ``manifest.toml`` and what
belongs to it). Nothing is imported until it is asked for; a plug-in that cannot be loaded warns and
does not break the others.

One name may have several sources: ``nb201-fashion`` is a table, ``nb201-fashion@surrogate`` the
surrogate of that name and ``nb201-fashion@mixed`` both.
"""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from nasbench_tab import paths
from nasbench_tab.benchmarks.base import Benchmark, mixed_fingerprint
from nasbench_tab.benchmarks.table import TableBenchmark
from nasbench_tab.benchmarks.tablefile import read_manifest, read_table
from nasbench_tab.errors import (
    InvalidArgumentError,
    NasbenchTabError,
    StrategyError,
    UnknownNameError,
    unknown_name,
)
from nasbench_tab.spaces.base import Space
from nasbench_tab.train import need_torch
from nasbench_tab.train.tasks import TASKS, task_named

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from nasbench_tab.benchmarks.surrogate import SurrogateBenchmark
    from nasbench_tab.train.live import LiveBenchmark

__all__ = [
    "SOURCES",
    "adapter_names",
    "benchmark_names",
    "fingerprint",
    "load",
    "load_space",
    "load_strategy",
    "space_names",
    "strategy_names",
    "surrogate_folder",
    "surrogate_names",
    "table_folder",
    "task_names",
]

#: Where answers may come from.
SOURCES = ("table", "surrogate", "mixed", "live")

_SPACES = {
    "nasbench101": "nasbench_tab.spaces.nasbench101:NasBench101",
    "nasbench201": "nasbench_tab.spaces.nasbench201:NasBench201",
    "nasbench201-macro": "nasbench_tab.spaces.nasbench201_macro:NasBench201Macro",
    "nasbench-graph": "nasbench_tab.spaces.nasbench_graph:NasBenchGraph",
    "nasbench-graph-proteins": "nasbench_tab.spaces.nasbench_graph:NasBenchGraphProteins",
    "darts": "nasbench_tab.spaces.darts:Darts",
    "nasbench-nlp": "nasbench_tab.spaces.nasbench_nlp:NasBenchNLP",
    "nasbench-macro": "nasbench_tab.spaces.nasbench_macro:NasBenchMacro",
    "nats-size": "nasbench_tab.spaces.nats_size:NatsSize",
}
_STRATEGIES = {
    "random": "nasbench_tab.strategies.random_search:RandomSearch",
    "evolution": "nasbench_tab.strategies.evolution:Evolution",
    "local-search": "nasbench_tab.strategies.local_search:LocalSearch",
    "reinforce": "nasbench_tab.strategies.reinforce:Reinforce",
    "successive-halving": "nasbench_tab.strategies.successive_halving:SuccessiveHalving",
    "asha": "nasbench_tab.strategies.asha:Asha",
    "hyperband": "nasbench_tab.strategies.hyperband:Hyperband",
    "bohb": "nasbench_tab.strategies.bohb:Bohb",
    "dehb": "nasbench_tab.strategies.dehb:Dehb",
    "freeze-thaw": "nasbench_tab.strategies.freeze_thaw:FreezeThaw",
    "gradient-ascent": "nasbench_tab.strategies.gradient_ascent:GradientAscent",
    "ppo": "nasbench_tab.strategies.ppo:Ppo",
    "proxy": "nasbench_tab.strategies.proxy:Proxy",
    "nsga2": "nasbench_tab.strategies.nsga2:Nsga2",
    "pareto-local-search": "nasbench_tab.strategies.pareto_local_search:ParetoLocalSearch",
    "petridish-growth": "nasbench_tab.strategies.petridish_growth:PetridishGrowth",
    "bananas": "nasbench_tab.strategies.bananas:Bananas",
    "gp-wl": "nasbench_tab.strategies.gp_wl:GPWL",
    "surrogate-ei": "nasbench_tab.strategies.surrogate_ei:SurrogateEI",
    "tpe": "nasbench_tab.strategies.tpe:TPE",
}
# Strategies that need an optional library, or a program of the user's. They are known by name, and not
# among strategy_names(), all of which work wherever this package does.
_ADAPTERS = {
    "optuna": "nasbench_tab.adapters.optuna:OptunaSearch",
    "nevergrad": "nasbench_tab.adapters.nevergrad:NevergradSearch",
    "pymoo": "nasbench_tab.adapters.pymoo:PymooSearch",
    "smac": "nasbench_tab.adapters.smac:SmacSearch",
    "external": "nasbench_tab.adapters.external:ExternalProcess",
}


@overload
def load(name: str, *, training: str | None = None, source: Literal["table"]) -> TableBenchmark: ...
@overload
def load(
    name: str, *, training: str | None = None, source: Literal["surrogate"]
) -> SurrogateBenchmark: ...
@overload
def load(name: str, *, source: Literal["live"], **options: Any) -> LiveBenchmark: ...
@overload
def load(
    name: str,
    *,
    training: str | None = None,
    source: Literal["table", "surrogate", "mixed", "live"] | None = None,
    **options: Any,
) -> Benchmark: ...
def load(
    name: str,
    *,
    training: str | None = None,
    source: Literal["table", "surrogate", "mixed", "live"] | None = None,
    **options: Any,
) -> Benchmark:
    """Return the benchmark ``name``.

    Args:
        name: For example ``"nb201-cifar10"``; ``benchmark_names()`` lists all. ``"name@source"`` names
            the source too.
        training: Which way of training, where a table holds several; None = its default.
        source: ``"table"``; ``"surrogate"``: predictions for every architecture; ``"mixed"``: the table
            where it was measured, else the surrogate; ``"live"``: every query trains (the extra
            ``train`` is needed). None = what the name says, else the table, or the surrogate where
            there is no table.
        options: For ``"live"``: see :class:`~nasbench_tab.train.live.LiveBenchmark`.

    Raises:
        UnknownNameError: No such benchmark, training or source; the nearest names are offered.
        TableError: Its files are damaged, altered or from a newer version.
        SurrogateError: The same of a surrogate.
    """
    name, kind = _sourced(name, source)
    if kind == "live":
        if training is not None:
            raise InvalidArgumentError("A live benchmark has one way of training: its task's.")
        need_torch()
        from nasbench_tab.train.live import LiveBenchmark

        task = task_named(name)
        return LiveBenchmark(task, load_space(task.space), **options)
    if options:
        raise InvalidArgumentError(f"Only a live benchmark takes {', '.join(options)}.")
    if kind == "table":
        return _table(name, training)
    from nasbench_tab.benchmarks.surrogate import SurrogateBenchmark

    label = name if _known("tables", name) is None else f"{name}@{kind}"
    surrogate = SurrogateBenchmark.read(surrogate_folder(name), label, load_space)
    if kind == "surrogate":
        if training not in (None, surrogate.training):
            raise unknown_name(f"training of {label}", training, surrogate.trainings)
        return surrogate
    from nasbench_tab.benchmarks.mixed import MixedBenchmark

    return MixedBenchmark(f"{name}@mixed", _table(name, training), surrogate)


def _table(name: str, training: str | None) -> TableBenchmark:
    folder = table_folder(name)
    manifest = read_manifest(folder)
    table = read_table(folder, manifest)._replace(name=name)
    return TableBenchmark(table, load_space(table.space), manifest["hash"], training, manifest)


def _sourced(name: object, source: str | None) -> tuple[str, str]:
    """Return a benchmark's name and source, from ``"name@source"`` or from both."""
    if not isinstance(name, str):
        raise unknown_name("benchmark", name, benchmark_names())
    plain, at, named = name.partition("@")
    if at:
        if source is not None and source != named:
            raise InvalidArgumentError(f"{name!r} names its source already; got {source!r} too.")
        source = named
    if source is None:
        surrogate_only = _known("tables", plain) is None and _known("surrogates", plain) is not None
        return plain, "surrogate" if surrogate_only else "table"
    if source not in SOURCES:
        raise unknown_name("source", source, SOURCES)
    return plain, source


def fingerprint(name: str) -> str:
    """Return the content hash of a benchmark's data without loading it; name as for :func:`load`.

    Raises:
        UnknownNameError: There is no such benchmark.
        InvalidArgumentError: It is a live one, which is known once it is loaded.
    """
    name, source = _sourced(name, None)
    if source == "live":
        raise InvalidArgumentError(f"{name}@live is known by its log; load it.")
    hashes = []
    if source in ("table", "mixed"):
        hashes.append(str(read_manifest(table_folder(name)).get("hash")))
    if source in ("surrogate", "mixed"):
        from nasbench_tab.predictors.store import read_manifest as read_surrogate_manifest

        hashes.append(str(read_surrogate_manifest(surrogate_folder(name))["hash"]))
    return hashes[0] if len(hashes) == 1 else mixed_fingerprint(*hashes)


def benchmark_names() -> list[str]:
    """Return the names of all benchmarks, tables and surrogates."""
    tables, surrogates = set(_all("tables")), set(_all("surrogates"))
    both = {f"{name}@{source}" for name in tables & surrogates for source in ("surrogate", "mixed")}
    return sorted(tables | surrogates | both)


def table_folder(name: str) -> Path:
    """Return the folder that holds the table ``name``.

    Raises:
        UnknownNameError: There is none.
    """
    return _folder("tables", name)


def surrogate_folder(name: str) -> Path:
    """Return the folder that holds the surrogate ``name``.

    Raises:
        UnknownNameError: There is none.
    """
    return _folder("surrogates", name)


def surrogate_names() -> list[str]:
    """Return the names of all surrogates."""
    return sorted(_all("surrogates"))


_ARTEFACTS = {"tables": "data", "surrogates": "surrogates"}


def _all(kind: str) -> dict[str, Path | EntryPoint]:
    return {**_entry_points(f"nasbench_tab.{kind}"), **paths.artefacts(_ARTEFACTS[kind])}


def _known(kind: str, name: str) -> Path | EntryPoint | None:
    """Return where an artefact is; plug-ins are only looked at for what is not shipped."""
    own = paths.artefacts(_ARTEFACTS[kind]).get(name)
    return own if own is not None else _entry_points(f"nasbench_tab.{kind}").get(name)


def _folder(kind: str, name: str) -> Path:
    found = _known(kind, name)
    if found is None:
        # Of a name that is a surrogate's, or the table's, only the other kind is missing.
        if kind == "tables" and name not in (known := benchmark_names()):
            raise unknown_name("benchmark", name, known)
        raise unknown_name(kind.removesuffix("s"), name, _all(kind))
    return found if isinstance(found, Path) else Path(_loaded(found, call=True))


def space_names() -> list[str]:
    """Return the names of all search spaces."""
    return sorted({**_SPACES, **_entry_points("nasbench_tab.spaces")})


@cache
def load_space(name: str) -> Space:
    """Return the search space ``name``: a registered one, or the columns that a surrogate was fitted on.

    Raises:
        UnknownNameError: No such space; the nearest names are offered.
        InvalidArgumentError: Two surrogates call different sets of columns by this name.
    """
    if name not in _SPACES and name not in _entry_points("nasbench_tab.spaces"):
        columns = _columns_named(name)
        if columns is not None:
            return columns
    space: Space = _resolve("space", name, _SPACES, "nasbench_tab.spaces", call=True)
    return space


def _columns_named(name: str) -> Space | None:
    """Return the space of columns that surrogates at hand have by this name, or None."""
    from nasbench_tab.predictors.store import read_manifest as read_surrogate_manifest
    from nasbench_tab.spaces.columns import Columns

    found: dict[str, Space] = {}
    for surrogate in surrogate_names():
        try:
            spec = read_surrogate_manifest(surrogate_folder(surrogate))["space"]
        except NasbenchTabError:
            continue  # it says so itself when it is asked for
        if isinstance(spec, dict) and spec.get("name") == name:
            found[str(spec)] = Columns.from_spec(spec)
    if len(found) > 1:
        raise InvalidArgumentError(
            f"Surrogates here call {len(found)} different sets of columns {name!r}. Fit one of them again "
            "from a file of another name."
        )
    return next(iter(found.values()), None)


def strategy_names() -> list[str]:
    """Return the names of all strategies, without :func:`adapter_names`."""
    return sorted({**_STRATEGIES, **_entry_points("nasbench_tab.strategies")})


def adapter_names() -> list[str]:
    """Return the names of the strategies that are other libraries' optimizers.

    Each needs an extra of the same name, and ``external`` a program.
    """
    return sorted(_ADAPTERS)


def task_names() -> list[str]:
    """Return the names of all tasks that can be trained."""
    return sorted(TASKS)


def load_strategy(name: str) -> Callable[..., Any]:
    """Return the class or function of a strategy.

    Args:
        name: A registered name, or ``package.module:Name`` for your own (the current folder counts).

    Raises:
        UnknownNameError: No such strategy, module or attribute.
        StrategyError: Its module cannot be imported.
    """
    if ":" not in name:
        factory: Callable[..., Any] = _resolve(
            "strategy", name, {**_STRATEGIES, **_ADAPTERS}, "nasbench_tab.strategies"
        )
        return factory
    module_name, _, attribute = name.partition(":")
    if "" not in sys.path:
        sys.path.insert(0, "")  # as `python -m` does: your own module lies in the current folder
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as err:
        raise UnknownNameError(
            f"Strategy {name!r}: there is no module {err.name!r}. Expected package.module:Name, "
            "importable from the current folder or installed."
        ) from err
    except Exception as err:
        raise StrategyError(
            f"Strategy {name!r}: importing {module_name} failed with {type(err).__name__}: {err}"
        ) from err
    try:
        own: Callable[..., Any] = getattr(module, attribute)
    except AttributeError:
        public = [key for key, value in vars(module).items() if callable(value) and key[0] != "_"]
        raise unknown_name(f"strategy in module {module_name}", attribute, public) from None
    return own


def _resolve(
    kind: str, name: str, shipped: dict[str, str], group: str, *, call: bool = False
) -> Any:
    if name in shipped:
        module, _, attribute = shipped[name].partition(":")
        target = getattr(importlib.import_module(module), attribute)
        return target() if call else target
    plugins = _entry_points(group)
    if name not in plugins:
        raise unknown_name(kind, name, [*shipped, *plugins])
    return _loaded(plugins[name], call=call)


def _loaded(plugin: EntryPoint, *, call: bool) -> Any:
    """Return what a plug-in names, called if it is a factory."""
    try:
        target = plugin.load()
        return target() if call and callable(target) else target
    except Exception as err:
        raise NasbenchTabError(
            f"The plug-in {plugin.name!r} ({plugin.value}) cannot be loaded: "
            f"{type(err).__name__}: {err}. Mend or uninstall the package that ships it."
        ) from err


def _entry_points(group: str) -> dict[str, EntryPoint]:
    from importlib import metadata  # here, since shipped names do not need it

    taken: dict[str, set[str]] = {
        "nasbench_tab.spaces": {*_SPACES},
        "nasbench_tab.strategies": {*_STRATEGIES, *_ADAPTERS},
        "nasbench_tab.tables": {*paths.artefacts("data")},
        "nasbench_tab.surrogates": {*paths.artefacts("surrogates")},
    }
    found: dict[str, EntryPoint] = {}
    for plugin in metadata.entry_points(group=group):
        if plugin.name in taken[group] or plugin.name in found:
            warnings.warn(
                f"The plug-in {plugin.name!r} ({plugin.value}) is ignored: its name is taken.",
                stacklevel=3,
            )
        else:
            found[plugin.name] = plugin
    return found
