"""Training networks that pass messages: they learn what the graph decides, and answer as they were trained."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nasbench_tab.predictors.dagnet import dagnet_from
from nasbench_tab.predictors.graphs import graphs_of
from nasbench_tab.predictors.tail import compressed
from nasbench_tab.registry import load_space

torch = pytest.importorskip("torch")

from nasbench_tab.train import dagnet as module  # noqa: E402 - after PyTorch is there
from nasbench_tab.train.dagnet import Settings, train_dagnet  # noqa: E402

RNG = np.random.default_rng
QUICK = Settings(members=2, width=16, steps=150, passes=1)


def data(n: int = 120, seed: int = 0) -> tuple[Any, Any]:
    """Return graphs of NAS-Bench-201, and how many pairs of convolutions follow one another."""
    space = load_space("nasbench201")
    cells = np.array(space.sample(RNG(seed), n), np.uint8)
    graphs = graphs_of(space, cells)
    conv = np.char.startswith(np.array(graphs.words)[graphs.kinds], "nor_conv")
    reached = graphs.edges.astype(int)
    for _ in range(reached.shape[1]):
        reached = reached + reached @ graphs.edges > 0
    after = (reached * conv[:, :, None] * conv[:, None]).sum(axis=(1, 2))
    return graphs, 90.0 + 2.0 * after


def test_they_learn_what_follows_what() -> None:
    graphs, y = data(400)
    tested, actual = data(100, seed=1)
    found = train_dagnet(graphs, y, RNG(0), QUICK).mean(tested)
    assert np.abs(found - actual).mean() < 0.3 * np.abs(y.mean() - actual).mean()


def test_answers_are_those_of_the_trained_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[Any] = []
    weights = module._Networks.weights

    def keep(self: Any) -> Any:
        kept.append(self)
        return weights(self)

    monkeypatch.setattr(module._Networks, "weights", keep)
    graphs, y = data()
    net = train_dagnet(graphs, y, RNG(0), QUICK)
    kinds = torch.from_numpy(graphs.kinds.astype(np.int64)).expand(2, -1, -1)
    edges = torch.from_numpy(graphs.edges.astype(np.float32)).expand(2, -1, -1, -1)
    with torch.no_grad():
        said = kept[0].eval()(kinds, edges).numpy().mean(axis=0)
    z = compressed(net.mean(graphs), net.sign, net.edge)
    assert np.allclose((z - net.centre) / net.scale, said, atol=1e-3)
    assert np.array_equal(dagnet_from(net.arrays()).mean(graphs), net.mean(graphs))


def test_one_seed_gives_the_same_networks_and_leaves_no_trace() -> None:
    graphs, y = data(60)
    torch.manual_seed(5)
    before, threads = torch.random.get_rng_state(), torch.get_num_threads()
    nets = [train_dagnet(graphs, y, RNG(seed), QUICK).mean(graphs) for seed in (0, 0, 1)]
    assert np.array_equal(nets[0], nets[1])
    assert not np.array_equal(nets[0], nets[2])
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.get_num_threads() == threads


def test_a_training_that_is_stopped_leaves_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_: Any) -> Any:
        assert torch.get_num_threads() == 1
        torch.rand(3)
        raise KeyboardInterrupt

    graphs, y = data(40)
    monkeypatch.setattr(module._Networks, "forward", stopped)
    threads = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        before = torch.random.get_rng_state()
        with pytest.raises(KeyboardInterrupt):
            train_dagnet(graphs, y, RNG(0), QUICK)
        assert torch.get_num_threads() == 3
        assert torch.equal(torch.random.get_rng_state(), before)
    finally:
        torch.set_num_threads(threads)


def test_a_value_that_is_missing_says_nothing() -> None:
    graphs, y = data(60)
    holes = y.copy()
    holes[::2] = np.nan
    net = train_dagnet(graphs, holes, RNG(0), QUICK)
    kept = train_dagnet(graphs.at(np.arange(1, 60, 2)), y[1::2], RNG(0), QUICK)
    assert np.array_equal(net.mean(graphs), kept.mean(graphs))


def test_a_target_that_is_always_the_same_is_predicted_so() -> None:
    graphs, y = data(40)
    y[:] = 7.0
    assert np.array_equal(train_dagnet(graphs, y, RNG(0), QUICK).mean(graphs), y)


@pytest.mark.parametrize("n", [1, 2, 31])
def test_few_rows(n: int) -> None:
    graphs, y = data(n)
    assert np.isfinite(train_dagnet(graphs, y, RNG(0), QUICK).mean(graphs)).all()
