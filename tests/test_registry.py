"""Names: what is shipped, the user's own folder, third-party packages, and near misses."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from nasbench_tab import paths, registry
from nasbench_tab.benchmarks.tablefile import Column, Table, Training, write_table
from nasbench_tab.errors import (
    NasbenchTabError,
    StrategyError,
    TableError,
    UnknownNameError,
    unknown_name,
)
from nasbench_tab.records import Metric, Protocol
from nasbench_tab.search.compare import compare
from nasbench_tab.search.run import run_search
from nasbench_tab.spaces.nasbench201 import NasBench201
from nasbench_tab.strategies.evolution import Evolution
from nasbench_tab.strategies.random_search import RandomSearch

SHIPPED_SPACES = {
    "nasbench101",
    "nasbench201",
    "nasbench201-macro",
    "nasbench-graph",
    "nasbench-graph-proteins",
}
SHIPPED_STRATEGIES = {
    *("random", "evolution", "local-search", "reinforce", "successive-halving", "asha"),
    *("hyperband", "bohb", "dehb", "freeze-thaw"),
    *("bananas", "gp-wl", "surrogate-ei", "tpe"),
    *("gradient-ascent", "ppo", "proxy", "nsga2", "pareto-local-search", "petridish-growth"),
}
SHIPPED_TABLES = {"nb201-cifar10", "nb201-cifar100", "nb201-imagenet16-120", "nbgraph-cora"}


def table(name: str, space: str = "nasbench201", cell_length: int = 6) -> Table:
    """Return a table of five cells."""
    values = np.arange(50.0, 55.0).reshape(5, 1, 1)
    column = Column(Metric("valid_accuracy", "valid", "max", "%"), values)
    training = Training(
        "data",
        "valid_accuracy",
        "separate trainings",
        "none",
        (1,),
        (9,),
        {"valid_accuracy": column},
    )
    cells = np.repeat(np.arange(5, dtype=np.uint8)[:, None], cell_length, axis=1)
    return Table(name, space, False, cells, {"plain": training}, "plain", {})


# Shipped names.


def test_shipped_names_are_listed_in_order() -> None:
    for names, shipped in [
        (registry.space_names(), SHIPPED_SPACES),
        (registry.strategy_names(), SHIPPED_STRATEGIES),
        (registry.benchmark_names(), SHIPPED_TABLES),
    ]:
        assert shipped <= set(names)
        assert names == sorted(names)


def test_names_resolve() -> None:
    assert isinstance(registry.load_space("nasbench201"), NasBench201)
    assert registry.load_space("nasbench201") is registry.load_space("nasbench201")
    assert registry.load_strategy("evolution") is Evolution
    bench = registry.load("nb201-cifar10")
    assert (bench.name, bench.training) == ("nb201-cifar10", "200-epochs")
    assert bench.space is registry.load_space("nasbench201")
    assert registry.load("nb201-cifar10", training="200-epochs").fingerprint == bench.fingerprint
    assert registry.table_folder("nb201-cifar10").joinpath("table.h5").is_file()


@pytest.mark.parametrize(
    ("look_up", "name", "message"),
    [
        (registry.load, "nb201-cifar1", r"Unknown benchmark 'nb201-cifar1'\. Did you mean nb201-cifar10[^.]*\? Known: .*nbgraph-cora"),
        (registry.load, "cifar", r"Unknown benchmark 'cifar'"),
        (registry.load, "", r"Unknown benchmark ''\. Known: macro-fashion, nb201-cifar10, "),
        (registry.table_folder, "nbgraph-coral", r"Did you mean nbgraph-cora"),
        (registry.load_space, "nas-bench-201", r"Unknown search space|Unknown space 'nas-bench-201'\. Did you mean nasbench201"),
        (registry.load_strategy, "localsearch", r"Unknown strategy 'localsearch'\. Did you mean local-search"),
        (registry.load_strategy, "Random", r"Unknown strategy 'Random'\. Did you mean random"),
        (registry.load_strategy, "zzz", r"Unknown strategy 'zzz'\. Known: asha, .*local-search"),
    ],
)  # fmt: skip
def test_unknown_names_offer_the_nearest(
    look_up: Callable[[str], object], name: str, message: str
) -> None:
    with pytest.raises(UnknownNameError, match=message) as caught:
        look_up(name)
    assert isinstance(caught.value, LookupError)


def test_the_error_for_an_unknown_name() -> None:
    message = "Unknown fruit 'aple'. Did you mean apple? Known: apple, kiwi."
    assert str(unknown_name("fruit", "aple", ["kiwi", "apple"])) == message
    assert str(unknown_name("fruit", 3, [])) == "Unknown fruit 3. Known: none."


def test_an_unknown_training() -> None:
    with pytest.raises(
        UnknownNameError, match=r"training of nb201-cifar10 '12-epochs'.*200-epochs"
    ):
        registry.load("nb201-cifar10", training="12-epochs")


# Own strategies by module and name.


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return a current folder with two own modules, forgotten again afterwards."""
    (tmp_path / "own_good.py").write_text(
        "import math\nclass Mine: ...\ndef propose(problem, rng, history): ...\n_hidden = len\n",
        encoding="utf-8",
    )
    (tmp_path / "own_bad.py").write_text("raise RuntimeError('half done')\n", encoding="utf-8")
    (tmp_path / "own_needs.py").write_text("import no_such_thing\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p not in {"", "."}])
    yield tmp_path
    for name in ("own_good", "own_bad", "own_needs"):
        sys.modules.pop(name, None)


def test_own_strategies_lie_in_the_current_folder(own: Path) -> None:
    assert registry.load_strategy("own_good:Mine").__module__ == "own_good"
    assert registry.load_strategy("own_good:propose").__name__ == "propose"
    assert registry.load_strategy("nasbench_tab.strategies.evolution:Evolution") is Evolution


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("own_goood:Mine", UnknownNameError, r"'own_goood:Mine': there is no module 'own_goood'.*package\.module:Name"),
        ("own_needs:Mine", UnknownNameError, r"there is no module 'no_such_thing'"),
        ("own_good:Mein", UnknownNameError, r"strategy in module own_good 'Mein'.*Did you mean Mine\? Known: Mine, propose"),
        ("own_good:", UnknownNameError, r"strategy in module own_good ''"),
        ("own_bad:Mine", StrategyError, r"importing own_bad failed with RuntimeError: half done"),
        (":Mine", StrategyError, r"Strategy ':Mine'"),
        (".own_good:Mine", StrategyError, r"Strategy '\.own_good:Mine'"),
    ],
)  # fmt: skip
def test_own_strategies_that_are_not_there(
    own: Path, name: str, kind: type[NasbenchTabError], message: str
) -> None:
    with pytest.raises(kind, match=message):
        registry.load_strategy(name)


# Folders of tables.


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NASBENCH_TAB_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_a_table_in_the_users_folder_is_found(home: Path) -> None:
    assert "mine" not in registry.benchmark_names()
    write_table(home / "data" / "mine", table("mine"), {"title": "My table"})
    assert "mine" in registry.benchmark_names()
    bench = registry.load("mine")
    assert bench.name == "mine"
    assert bench.about["title"] == "My table"
    assert bench.query((3,) * 6) == 53.0
    assert registry.table_folder("mine") == home / "data" / "mine"


def test_the_users_folder_is_where_the_environment_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NASBENCH_TAB_HOME", str(tmp_path / "a"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "b"))
    monkeypatch.setenv("HOME", str(tmp_path / "c"))
    assert paths.user_folder() == tmp_path / "a"
    monkeypatch.setenv("NASBENCH_TAB_HOME", "")
    assert paths.user_folder() == tmp_path / "b" / "nasbench_tab"
    monkeypatch.delenv("NASBENCH_TAB_HOME")
    monkeypatch.delenv("XDG_DATA_HOME")
    assert paths.user_folder() == tmp_path / "c" / ".local" / "share" / "nasbench_tab"


def test_a_users_table_does_not_replace_a_shipped_one(home: Path) -> None:
    write_table(home / "data" / "nb201-cifar10", table("nb201-cifar10"), {})
    assert registry.load("nb201-cifar10").query(11) == pytest.approx(87.94, abs=0.01)


def test_a_folder_without_manifest_is_no_table(home: Path) -> None:
    (home / "data" / "empty").mkdir(parents=True)
    (home / "data" / "manifest.toml").touch()
    assert not {"empty", "data", "manifest.toml"} & set(registry.benchmark_names())
    with pytest.raises(UnknownNameError, match="benchmark 'empty'"):
        registry.load("empty")


def test_a_benchmark_has_the_name_that_it_was_asked_for_by(home: Path) -> None:
    write_table(home / "data" / "first", table("first"), {})
    shutil.copytree(home / "data" / "first", home / "data" / "second")
    assert registry.load("second").name == "second"


def test_a_table_of_an_unknown_space(home: Path) -> None:
    write_table(home / "data" / "mine", table("mine", space="nasbench-201"), {})
    with pytest.raises(UnknownNameError, match=r"space 'nasbench-201'.*mean nasbench201"):
        registry.load("mine")


def test_a_table_without_its_file(home: Path) -> None:
    write_table(home / "data" / "mine", table("mine"), {})
    (home / "data" / "mine" / "table.h5").unlink()
    with pytest.raises(
        TableError, match=r"table\.h5 cannot be read.*missing, truncated or damaged"
    ):
        registry.load("mine")


# Third-party packages.

PLUGIN = '''
"""A third party's space, strategy and table."""

from pathlib import Path

from nasbench_tab.records import Graph, Proposal
from nasbench_tab.spaces.base import Space


class Switches(Space):
    name, choices, size = "switches", (2, 3), 6

    def parse(self, text):
        return self.check(tuple(map(int, text)))

    def format(self, arch):
        return "".join(map(str, arch))

    def canonical(self, arch):
        return arch

    def graph(self, arch):
        return Graph(("input", "output"), ((0, 1),))

    def index(self, arch):
        return 3 * arch[0] + arch[1]

    def unindex(self, index):
        return divmod(index, 3)


class Cycle:
    def __init__(self, problem, rng, *, start=0):
        self.space, self.next = problem.space, start - 1

    def ask(self, n):
        self.next += 1
        return [Proposal(self.space.unindex(self.next % 6))]

    def tell(self, observations):
        pass


HERE = Path(__file__).parent


def table_folder():
    return str(HERE / "third-table")


def broken_folder():
    raise RuntimeError("no network")


class BrokenSpace(Switches):
    def __init__(self):
        raise RuntimeError("no licence")
'''

ENTRY_POINTS = """
[nasbench_tab.spaces]
switches = third_party:Switches
space-broken-inside = third_party:BrokenSpace

[nasbench_tab.strategies]
cycle = third_party:Cycle
gone = third_party_gone:Thing
lost = third_party:Nothing

[nasbench_tab.tables]
third-table = third_party:table_folder
third-path = third_party:HERE
table-broken-inside = third_party:broken_folder
table-gone = third_party_gone:folder
"""


@pytest.fixture
def third_party(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Install a package that ships a space, a strategy and tables; some of it is broken."""
    site = tmp_path / "site"
    install(site, "third_party", ENTRY_POINTS)
    (site / "third_party.py").write_text(PLUGIN, encoding="utf-8")
    cells = np.array([divmod(i, 3) for i in range(6)], np.uint8)
    own = table("third-table", "switches")
    [column] = own.trainings["plain"].columns.values()
    values = np.arange(60.0, 66.0).reshape(6, 1, 1)
    training = own.trainings["plain"]._replace(
        columns={"valid_accuracy": column._replace(values=values)}
    )
    own = own._replace(architectures=cells, trainings={"plain": training})
    write_table(site / "third-table", own, {"title": "A third party's"})
    monkeypatch.syspath_prepend(str(site))
    registry.load_space.cache_clear()
    yield site
    registry.load_space.cache_clear()
    sys.modules.pop("third_party", None)


def install(site: Path, name: str, entry_points: str) -> None:
    info = site / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"
    (info / "METADATA").write_text(metadata, encoding="utf-8")
    (info / "entry_points.txt").write_text(textwrap.dedent(entry_points), encoding="utf-8")


def test_third_party_names_are_listed_without_being_imported(third_party: Path) -> None:
    assert {"switches", "space-broken-inside"} <= set(registry.space_names())
    assert {"cycle", "gone", "lost"} <= set(registry.strategy_names())
    assert {"third-table", "table-gone"} <= set(registry.benchmark_names())
    assert "third_party" not in sys.modules


def test_a_third_partys_space_strategy_and_table_work_together(third_party: Path) -> None:
    bench = registry.load("third-table")
    assert type(bench.space).__module__ == "third_party"
    assert bench.query("12") == 65.0
    assert bench.query(4) == 64.0
    run = run_search("cycle(start=2)", "third-table", Protocol(evaluations=5))
    assert run.values.tolist() == [62.0, 63.0, 64.0, 65.0, 60.0]
    assert registry.table_folder("third-table") == third_party / "third-table"
    for shipped in SHIPPED_STRATEGIES - {"proxy"}:  # that space knows no figures
        assert len(run_search(shipped, bench, Protocol(evaluations=5)).values) == 5


def test_an_entry_point_may_name_the_folder_itself(third_party: Path) -> None:
    assert registry.table_folder("third-path") == third_party


def test_a_shipped_strategy_searches_and_compares_on_a_third_partys_table(
    third_party: Path, tmp_path: Path
) -> None:
    results = compare(["third-table"], ["cycle", "random"], runs=2, budget=6, out=tmp_path / "o")
    frame = results.frame()
    assert frame[frame["strategy"] == "cycle"]["architecture"].tolist() == ["12", "12"]


@pytest.mark.parametrize(
    ("look_up", "name", "message"),
    [
        (registry.load_strategy, "gone", r"plug-in 'gone' \(third_party_gone:Thing\) cannot be loaded: ModuleNotFoundError: .*uninstall"),
        (registry.load_strategy, "lost", r"plug-in 'lost' \(third_party:Nothing\) cannot be loaded: AttributeError"),
        (registry.load, "table-gone", r"plug-in 'table-gone' .* cannot be loaded: ModuleNotFoundError"),
        (registry.load, "table-broken-inside", r"plug-in 'table-broken-inside' .*RuntimeError: no network"),
        (registry.load_space, "space-broken-inside", r"plug-in 'space-broken-inside' .*RuntimeError: no licence"),
    ],
)  # fmt: skip
def test_a_broken_plugin_is_named_and_breaks_nothing_else(
    third_party: Path, look_up: Callable[[str], object], name: str, message: str
) -> None:
    with pytest.raises(NasbenchTabError, match=message) as caught:
        look_up(name)
    assert caught.value.__cause__ is not None
    assert registry.load_strategy("random") is RandomSearch
    assert registry.load_strategy("cycle").__name__ == "Cycle"
    assert registry.load("third-table").name == "third-table"


def test_near_misses_of_third_party_names_are_offered(third_party: Path) -> None:
    with pytest.raises(UnknownNameError, match=r"strategy 'cycel'.*Did you mean cycle"):
        registry.load_strategy("cycel")
    with pytest.raises(
        UnknownNameError, match=r"benchmark 'third-tabel'.*Did you mean third-table"
    ):
        registry.load("third-tabel")
    with pytest.raises(UnknownNameError, match=r"space 'switch'.*Did you mean switches"):
        registry.load_space("switch")


def test_a_package_without_such_entry_points_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = registry.space_names(), registry.strategy_names(), registry.benchmark_names()
    install(tmp_path, "stranger", "[console_scripts]\nrandom = stranger:main\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    after = registry.space_names(), registry.strategy_names(), registry.benchmark_names()
    assert before == after


CLASHES = [
    ("spaces", "nasbench201", registry.space_names),
    ("strategies", "random", registry.strategy_names),
    ("tables", "nb201-cifar10", registry.benchmark_names),
]


@pytest.mark.parametrize(("group", "name", "names"), CLASHES, ids=["space", "strategy", "table"])
def test_a_plugin_with_a_shipped_name_is_ignored_with_a_warning(
    group: str,
    name: str,
    names: Callable[[], list[str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    install(tmp_path, "clash", f"[nasbench_tab.{group}]\n{name} = clash_module:Thing\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.warns(
        UserWarning, match=rf"plug-in '{name}' \(clash_module:Thing\) is ignored: its name is taken"
    ):
        listed = names()
    assert listed.count(name) == 1


@pytest.mark.filterwarnings("ignore:The plug-in")
def test_a_plugin_with_a_shipped_name_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clashes = "\n".join(f"[nasbench_tab.{g}]\n{n} = clash_module:Thing" for g, n, _ in CLASHES)
    install(tmp_path, "clash", clashes)
    monkeypatch.syspath_prepend(str(tmp_path))
    registry.load_space.cache_clear()
    assert registry.load_strategy("random") is RandomSearch
    assert isinstance(registry.load_space("nasbench201"), NasBench201)
    assert registry.load("nb201-cifar10").query(11) == pytest.approx(87.94, abs=0.01)


def test_of_two_plugins_with_one_name_one_is_used_and_one_is_named(
    third_party: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path / "second", "second", "[nasbench_tab.strategies]\ncycle = second:Other\n")
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path / "second")])  # found later
    with pytest.warns(UserWarning, match=r"plug-in 'cycle' \(second:Other\) is ignored"):
        strategy = registry.load_strategy("cycle")
    assert strategy.__module__ == "third_party"
