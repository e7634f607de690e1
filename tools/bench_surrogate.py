"""Surrogates: what an answer, a curve, a batch and loading take, beside the trees alone and a table.

The surrogate of nb201-fashion is the one that is there, else one fitted now in a temporary folder. Its space
can be listed, so that its answers lie ready; the figures of single answers and batches are of the same
surrogate without them, which is how it works where no table can exist.

All times are CPU time on one thread: the seconds that pass where the core is free.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from bench_timing import line, side_by_side
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

import nasbench_tab as nbt
from nasbench_tab.benchmarks.surrogate import SurrogateBenchmark
from nasbench_tab.fitting.make import make_surrogate
from nasbench_tab.fitting.observed import observe
from nasbench_tab.predictors.features import features
from nasbench_tab.predictors.forest import Forest, forest_of, outputs
from nasbench_tab.predictors.graphs import graphs_of
from nasbench_tab.predictors.inputs import Inputs
from nasbench_tab.predictors.model import predict
from nasbench_tab.registry import surrogate_folder, surrogate_names

NAME = "nb201-fashion"
ROWS = 10_000


def bench_surrogate() -> None:
    print(f"surrogate: of {NAME} (single answers and batches: without its ready answers)")
    print("  CPU time on one thread")
    with tempfile.TemporaryDirectory() as home, threadpool_limits(1):
        if NAME in surrogate_names():
            folder = surrogate_folder(NAME)
        else:
            folder = Path(home) / "surrogates" / NAME
            begin = time.perf_counter()
            make_surrogate(observe(NAME), folder)
            print(f"  none is there: fitted in {time.perf_counter() - begin:.0f} s")
            os.environ["NASBENCH_TAB_HOME"] = home
        listed = nbt.load(NAME, source="surrogate")
        bare = SurrogateBenchmark(
            NAME,
            listed._surrogate,
            listed.fingerprint,
            dict(listed.about),
            listed=None,
            sample=listed.measured(),
        )
        single(bare)
        batches(bare)
        passing(bare)
        ready(listed)
        load(folder)


def single(bench: SurrogateBenchmark) -> None:
    """Print the median of single questions, each a cell that was not asked before."""
    model = bench._surrogate.models[bench.objective.name].ensemble.trees.models[0]
    forest = forest_of(model)
    n_trees = len(forest.leaves)
    cells = list(dict.fromkeys(map(bench.space.canonical, map(tuple, bench.measured().tolist()))))
    fresh: Iterator[Any] = iter(cells)
    x = features(bench.space, np.array(cells[:512], np.uint8)).x
    rows = iter([row[None] for row in x] * 20)
    booster = booster_of(model)
    calls: dict[str, Callable[[], object]] = {
        "lookup with interval, a cell not seen before": lambda: bench.lookup(next(fresh)),
        "lookup with interval, a cell seen before": lambda: bench.lookup(cells[0]),
        f"a simulated curve ({len(bench.epochs)} epochs), not seen before": lambda: curve(
            bench, next(fresh)
        ),
        f"peer: {n_trees:,} trees, one row, xgboost": lambda: booster.inplace_predict(next(rows)),
    }
    session = onnx_session(forest)
    if session is not None:
        calls["peer: the same trees, one row, onnxruntime"] = lambda: session.run(
            None, {"x": next(rows)}
        )
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for round_ in range(520):
        for name, call in calls.items():
            begin = time.process_time()
            call()
            if round_ >= 20:  # the first warm up
                seconds[name].append(time.process_time() - begin)
    peer = statistics.median(seconds[f"peer: {n_trees:,} trees, one row, xgboost"])
    for name, values in seconds.items():
        middle, high = np.quantile(values, [0.5, 0.95])
        print(
            f"  {name:<58}{middle * 1e6:>10.0f} us  (95 % below {high * 1e6:.0f}); "
            f"{middle / peer:.2f} times xgboost"
        )


def passing(bench: SurrogateBenchmark) -> None:
    """Print what networks that pass messages add; how long they were trained changes no time."""
    if find_spec("torch") is None:
        print("  message passing: left out, PyTorch is not installed")
        return
    from nasbench_tab.train.dagnet import Settings, train_dagnet

    surrogate, name = bench._surrogate, bench.objective.name
    cells = np.array(bench.space.sample(np.random.default_rng(0), ROWS), np.uint8)
    y, few = np.arange(64.0), graphs_of(bench.space, cells[:64])
    net = train_dagnet(few, y, np.random.default_rng(0), Settings(steps=1, passes=0))
    model = surrogate.models[name]
    ensemble = model.ensemble._replace(net=net)
    models = {name: model._replace(ensemble=ensemble)}
    with_net = surrogate._replace(models=models)
    inputs = with_net.inputs(cells)
    one, none = with_net.inputs(cells[:1]), np.zeros(ROWS, bool)
    last = surrogate.epochs[-1]
    said = "mean and interval, {}: one cell", "mean and interval, {}: a row of many"
    calls: dict[str, tuple[Callable[[], object], int]] = {}
    for word, of in (("without messages", surrogate), ("message passing", with_net)):
        calls[said[0].format(word)] = partial(predict, of, name, one, none[:1], last), 200
        calls[said[1].format(word)] = partial(predict, of, name, inputs, none, last), 1
    calls["graphs of cells: a row of many"] = partial(graphs_of, bench.space, cells), 1
    seconds = side_by_side(calls, time.process_time, repeats=5)
    print("  message passing (ratio: without messages against it)")
    for what, values in seconds.items():
        many = what.endswith("of many")
        each, peer = (
            [s / ROWS for s in v] if many else v
            for v in (values, seconds[said[many].format("without messages")])
        )
        line(f"  {what}", each, 1e6, "us", peer)


def curve(bench: SurrogateBenchmark, cell: Any) -> list[float]:
    return [bench.query(cell, epoch=epoch, seed=7) for epoch in bench.epochs]


def batches(bench: SurrogateBenchmark) -> None:
    surrogate, name = bench._surrogate, bench.objective.name
    model = surrogate.models[name].ensemble
    cells = np.array(bench.space.sample(np.random.default_rng(0), ROWS), np.uint8)
    macro = nbt.load_space("nasbench201-macro")
    large = np.array(macro.sample(np.random.default_rng(0), ROWS), np.uint8)
    x = features(bench.space, cells).x
    trees, none = model.trees, np.zeros(ROWS, bool)
    booster = booster_of(trees.models[0])
    limit = "peer: its trees in xgboost"
    calls: dict[str, tuple[Callable[[], object], int]] = {
        limit: (partial(booster.inplace_predict, x), 1),
        "ensemble, mean and interval at the last epoch": (
            partial(predict, surrogate, name, Inputs(x), none, surrogate.epochs[-1]),
            1,
        ),
        "of it: trees": (partial(trees.members, x, 1), 1),
        "query of cells: features, flag, mean and interval": (lambda: bench.query(cells), 1),
        "flag": (lambda: surrogate.novelty.flag(surrogate.novelty.score(x)), 1),
        f"features, {bench.space.name}": (partial(features, bench.space, cells), 1),
        f"features, {macro.name}": (partial(features, macro, large), 1),
    }
    if model.gp is not None:
        calls["of it: Gaussian process"] = (partial(model.gp.mean, x[:, model.columns], 1), 1)
    seconds = side_by_side(calls, time.process_time, repeats=7)
    print(f"  {ROWS:,} rows at once, each (ratio: the trees alone in xgboost against it)")
    for what, values in seconds.items():
        line(f"  {what}", [s / ROWS for s in values], 1e6, "us", [s / ROWS for s in seconds[limit]])


def ready(listed: SurrogateBenchmark) -> None:
    """Print what a listed surrogate's answer takes beside its table's."""
    table = nbt.load(NAME)
    cell = table.space.canonical(table.space.unindex(11))
    known = tuple(table.measured()[0].tolist())
    calls: dict[str, tuple[Callable[[], object], int]] = {
        "query of ready answers": (lambda: listed.query(cell), 20_000),
        "lookup of ready answers": (lambda: listed.lookup(cell), 2_000),
        "peer: query of the table": (lambda: table.query(known), 20_000),
        "peer: lookup of the table": (lambda: table.lookup(known), 2_000),
    }
    seconds = side_by_side(calls, time.process_time)
    for what, values in seconds.items():
        peer = "peer: lookup of the table" if "lookup" in what else "peer: query of the table"
        line(what, values, 1e6, "us", seconds[peer])


def load(folder: Path) -> None:
    print("  a fresh process (CPU seconds; ratio: import numpy, h5py against it)")
    programs = {
        "import numpy, h5py": "import numpy, h5py",
        "load": f"import nasbench_tab as nbt; b = nbt.load('{NAME}', source='surrogate')",
    }
    programs["load and lookup"] = f"{programs['load']}; b.lookup(0)"
    xgboost = "import sys; sys.exit('xgboost' in sys.modules)"
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    seconds: dict[str, list[float]] = {name: [] for name in programs}
    for _ in range(9):
        for name, program in programs.items():
            before = os.times()
            subprocess.run(
                [sys.executable, "-c", f"{program}\n{xgboost}"], check=True, env=environment
            )
            after = os.times()
            seconds[name].append(
                after.children_user
                + after.children_system
                - before.children_user
                - before.children_system
            )
    for name, values in seconds.items():
        line(f"  {name}", values, 1, "s ", seconds["import numpy, h5py"])
    print("    none of these imports xgboost")
    contents = [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
    print(
        f"  {'size of the folder':<58}{sum(map(len, contents)) / 2**20:>10.1f} MiB, compressed as in git "
        f"{sum(len(zlib.compress(content)) for content in contents) / 2**20:.1f} MiB"
    )


def onnx_session(forest: Forest) -> Any:
    """Return the trees in onnxruntime on one thread, or None where it is not installed."""
    try:
        import onnxruntime
        from onnx import TensorProto, helper
    except ImportError:
        print("  (onnxruntime is left out: it or onnx is not installed)")
        return None
    tree, number, output = tree_of_nodes(forest)
    order = np.argsort(tree, kind="stable")  # it wants trees one after the other
    leaf = (forest.left == np.arange(len(forest.left)))[order]
    left = number[forest.left[order]]
    # Leaves ask a question that is none.
    feature = np.append(forest.feature, 0)[forest.question[order]]
    threshold = np.append(forest.threshold, np.float32(0))[forest.question[order]]
    tree, number, output = tree[order], number[order], output[order]
    node = helper.make_node(
        "TreeEnsembleRegressor",
        ["x"],
        ["y"],
        domain="ai.onnx.ml",
        n_targets=len(forest.starts),
        nodes_treeids=tree.tolist(),
        nodes_nodeids=number.tolist(),
        nodes_featureids=feature.tolist(),
        nodes_values=threshold.tolist(),
        nodes_modes=np.where(leaf, "LEAF", "BRANCH_LT").tolist(),
        nodes_truenodeids=np.where(leaf, 0, left).tolist(),
        nodes_falsenodeids=np.where(leaf, 0, left + 1).tolist(),
        target_treeids=tree[leaf].tolist(),
        target_nodeids=number[leaf].tolist(),
        target_ids=output[leaf].tolist(),
        target_weights=forest.value[order][leaf].tolist(),
    )
    graph = helper.make_graph(
        [node],
        "trees",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, forest.n_features])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, len(forest.starts)])],
    )
    opsets = [helper.make_opsetid("ai.onnx.ml", 3), helper.make_opsetid("", 18)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=9)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    row = np.zeros((1, forest.n_features), np.float32)
    if not np.allclose(session.run(None, {"x": row})[0], outputs(forest, row), atol=1e-5):
        raise AssertionError("onnxruntime was given other trees")
    return session


def tree_of_nodes(forest: Forest) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
    """Return each node's tree, its number in that tree, and the output that the tree belongs to."""
    n_trees = len(forest.leaves)
    tree = np.zeros(len(forest.left), np.intp)
    tree[:n_trees] = np.arange(n_trees)
    for node, left in enumerate(forest.left.tolist()):  # children come after their parents
        if left != node:
            tree[left : left + 2] = tree[node]
    order = np.argsort(tree, kind="stable")
    first = np.searchsorted(tree[order], np.arange(n_trees))
    number = np.empty_like(tree)
    number[order] = np.arange(len(tree)) - first[tree[order]]
    return tree, number, np.searchsorted(forest.starts, tree, side="right") - 1


def booster_of(model: bytes) -> Any:
    import xgboost

    booster = xgboost.Booster({"nthread": 1})
    booster.load_model(bytearray(model))
    return booster
