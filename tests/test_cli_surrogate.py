"""The commands that make surrogates, from a CSV of one's own to an answer and a comparison."""

from __future__ import annotations

import json
import shutil
from functools import partial
from pathlib import Path

import pytest
from commandline import Command, succeeded
from fitting.made_up import EPOCHS, SETTINGS, observed

from nasbench_tab import train
from nasbench_tab.fitting import make
from nasbench_tab.predictors.manifest import VERSION

NAMED = (
    *("--value", "val", "--columns", "depth,width,kernel", "--epoch", "epoch", "--jobs", "1"),
    *("--seed-column", "seed", "--test", "test", "--seconds", "time", "--dataset", "mine"),
)
ARCH = "depth=2,width=16,kernel=3"


@pytest.fixture(scope="module")
def csv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The made-up runs as a team might have logged them."""
    runs = observed(networks=60, repeats=25).runs
    lines = ["depth,width,kernel,seed,epoch,val,test,time"]
    for row, cell in enumerate(map(tuple, runs.cells.tolist())):
        of = dict(part.split("=") for part in runs.space.format(cell).split(","))
        for place, epoch in enumerate(EPOCHS):
            values = [runs.curves[name][row, place] for name in ("valid_accuracy", "test_accuracy")]
            numbers = [f"{number:.6f}" for number in (*values, runs.seconds[row, place])]
            head = [of["depth"], of["width"], of["kernel"], str(runs.seeds[row]), str(epoch)]
            lines.append(",".join([*head, *numbers]))
    path = tmp_path_factory.mktemp("csv") / "runs.csv"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


@pytest.fixture
def mine(csv: Path, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The surrogate of the CSV in the user's folder, fitted with few trees."""
    monkeypatch.setattr(make, "Settings", lambda: SETTINGS)
    out = tmp_path / "home" / "surrogates" / "mine"
    said = succeeded(command("fit", str(csv), "--out", str(out), *NAMED))
    assert "85 trainings of 60 networks" in said
    assert "Kendall's tau" in said
    return out


def test_from_a_csv_to_an_answer_and_a_comparison(mine: Path, command: Command) -> None:
    assert "mine" in succeeded(command("list", "benchmarks")).split()
    assert "60 networks" in succeeded(command("info", "mine"))
    assert "predicted" in succeeded(command("query", "mine", ARCH))
    answer = json.loads(succeeded(command("query", "mine", ARCH, "--json")))
    assert answer["source"] == "surrogate"
    assert answer["lower"] < answer["value"] < answer["upper"]
    assert answer["seconds"] > 0
    search = ("--strategies", "random,evolution", "--runs", "3", "--budget", "20", "--jobs", "1")
    succeeded(command("compare", "mine", *search, "--out", "results"))
    assert Path("results").is_dir()


def test_messages_are_passed_where_it_is_asked_for(
    csv: Path, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch")
    from nasbench_tab.train import dagnet

    few = dagnet.Settings(members=1, width=4, steps=3, passes=1)
    monkeypatch.setattr(make, "Settings", lambda: SETTINGS)
    monkeypatch.setattr(dagnet, "train_dagnet", partial(dagnet.train_dagnet, settings=few))
    out = tmp_path / "home" / "surrogates" / "passing"
    succeeded(command("fit", str(csv), "--out", str(out), "--message-passing", *NAMED))
    assert "message passing" in succeeded(command("info", "passing"))
    assert "predicted" in succeeded(command("query", "passing", ARCH))


def test_without_pytorch_message_passing_is_refused(
    csv: Path, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train, "find_spec", lambda _: None)
    done = command("fit", str(csv), "--out", str(tmp_path / "no"), "--message-passing", *NAMED)
    assert done.code == 2
    assert "nasbench_tab[train]" in done.err
    assert not (tmp_path / "no").exists()


def test_a_changed_model_is_refused(mine: Path, command: Command) -> None:
    model = next(mine.rglob("*.ubj"))
    data = bytearray(model.read_bytes())
    data[len(data) // 2] ^= 1
    model.write_bytes(bytes(data))
    done = command("query", "mine", ARCH)
    assert done.code == 2
    assert model.name in done.err


def test_a_newer_surrogate_is_refused(mine: Path, command: Command) -> None:
    manifest = mine / "manifest.toml"
    text = manifest.read_text(encoding="utf-8")
    own = f"version = {VERSION}\n"
    assert own in text
    manifest.write_text(text.replace(own, "version = 99\n", 1), encoding="utf-8")
    done = command("query", "mine", ARCH)
    assert done.code == 2
    assert "Upgrade" in done.err
    shutil.rmtree(mine)
    assert "Unknown benchmark" in command("query", "mine", ARCH).err


def test_trainings_without_named_seeds_are_fitted_with_repeats(
    csv: Path, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(make, "Settings", lambda: SETTINGS)
    header, *rows = csv.read_text(encoding="utf-8").splitlines()
    last = [row for row in rows if row.split(",")[4] == str(EPOCHS[-1])]
    path = tmp_path / "final.csv"
    path.write_text("\n".join([header, *last]), encoding="utf-8")
    plain = ("--value", "val", "--columns", "depth,width,kernel", "--jobs", "1")
    refused = command("fit", str(path), "--out", str(tmp_path / "x"), *plain)
    assert refused.code == 2
    assert "--repeats" in refused.err
    said = succeeded(command("fit", str(path), "--out", str(tmp_path / "x"), *plain, "--repeats"))
    assert "85 trainings of 60 networks" in said
    assert "between two training seeds" in said


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--repeats",), "--value"),
        (
            ("--value", "val", "--columns", "depth", "--epoch", "epoch", "--repeats"),
            "seeds or epochs",
        ),
        (("--seconds", "time"), "--value"),
        (("--value", "val"), "columns"),
        (("--value", "nothing", "--columns", "depth"), "nothing"),
        (("--value", "val", "--architecture", "depth"), "--space"),
        (("--value", "val", "--columns", "depth", "--objective", "x"), "--metric"),
    ],
)
def test_what_cannot_be_fitted(
    csv: Path, command: Command, tmp_path: Path, options: tuple[str, ...], words: str
) -> None:
    done = command("fit", str(csv), "--out", str(tmp_path / "x"), *options)
    assert done.code == 2
    assert words in done.err
    assert not (tmp_path / "x").exists()


def test_assess_writes_figures_and_a_card(mine: Path, command: Command) -> None:
    before = json.loads(succeeded(command("query", "mine", ARCH, "--json")))
    said = succeeded(command("assess", "mine", "--draws", "2", "--jobs", "1"))
    assert "Kendall's tau" in said
    found = json.loads((mine / "assessment.json").read_text(encoding="utf-8"))
    assert found["networks"] == 60
    assert found["sizes"]["32"]["tau"]["value"] > 0.5
    assert "<html" in (mine / "card.html").read_text(encoding="utf-8")
    # It is the same surrogate, and still whole.
    assert json.loads(succeeded(command("query", "mine", ARCH, "--json"))) == before
