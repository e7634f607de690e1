"""Official files that were altered, cut or of something else: refused, and no table is left."""

from __future__ import annotations

import bz2
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nasbench_tab.errors import FormatError, ResultsError, UnsafePickleError
from nasbench_tab.importers.nats import import_nasbench201, import_nats_sss, import_nats_tss
from nasbench_tab.spaces.base import Space

from . import official_nats as made
from .official_nats import FIRST_TSS as TSS
from .official_nats import torch_saved

pytestmark = pytest.mark.usefixtures("small")


def edited(content: dict[str, Any], edit: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    copy: dict[str, Any] = pickle.loads(pickle.dumps(content))  # noqa: S301 - our own
    edit(copy)
    return copy


def _swap_order(content: dict[str, Any]) -> None:
    names = content["meta_archs"]
    names[0], names[1] = names[1], names[0]


def _unknown_operation(content: dict[str, Any]) -> None:
    for results in content["arch2infos"][11].values():
        results["arch_str"] = results["arch_str"].replace("nor_conv_3x3", "nor_conv_5x5")


def _first_run(content: dict[str, Any], hp: str = "12") -> dict[str, Any]:
    run: dict[str, Any] = content["arch2infos"][11][hp]["all_results"]["cifar100", 111]
    return run


def _rename_hp(content: dict[str, Any]) -> None:
    content["arch2infos"][11]["300"] = content["arch2infos"][11].pop("200")


FAULTS: dict[str, tuple[Callable[[dict[str, Any]], None], str]] = {
    "other order": (_swap_order, "list of architectures is not that of nasbench201"),
    "unknown operation": (
        _unknown_operation,
        "architecture 11: arch_str: expected .*got .*conv_5x5",
    ),
    "other schedule": (_rename_hp, "schedules: expected .*'12', '200'.*'300'"),
    "other index": (
        lambda c: c["arch2infos"].update({12: c["arch2infos"].pop(11)}),
        r"arch2infos\[12\] is of architecture 11",
    ),
    "a key more": (lambda c: _first_run(c).update(extra=1), "unknown .*extra"),
    "a key less": (lambda c: _first_run(c).pop("flop"), "missing flop"),
    "weights": (lambda c: _first_run(c).update(net_state_dict={}), "net_state_dict"),
    "another seed": (lambda c: _first_run(c).update(seed="0222"), "its own name and seed"),
    "an epoch too many": (
        lambda c: _first_run(c)["eval_acc1es"].update({"x-valid@12": 1.0}),
        "eval_acc1es: expected keys such as .*x-valid@12",
    ),
    "no number": (lambda c: _first_run(c)["train_losses"].update({3: "x"}), "expected numbers"),
    "above 100 %": (
        lambda c: _first_run(c)["train_acc1es"].update({3: 100.5}),
        "train_acc1es: expected values from 0 to 100",
    ),
    "a negative time": (
        lambda c: _first_run(c)["eval_times"].update({"x-test@3": -1.0}),
        "eval_times: expected values of at least 0",
    ),
    "fewer epochs": (lambda c: _first_run(c).update(epochs=11), "expected keys such as"),
    "another total": (lambda c: c.update(total_archs=7), "total_archs"),
    "missing after all": (
        lambda c: c["evaluated_indexes"].add(12),
        "says that it holds architecture 12",
    ),
    "a planted global": (
        lambda c: _first_run(c).update(arch_config={"x": print}),
        "asks for '(__builtin__|builtins).print'",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_named(fault: str, one: dict[str, Any], tmp_path: Path) -> None:
    edit, message = FAULTS[fault]
    content = edited(one, edit)
    source = tmp_path / "file.pickle.pbz2"
    source.write_bytes(made.packed(content))
    with pytest.raises(FormatError, match=message) as caught:
        import_nats_tss(source, tmp_path / "out", partial=True)
    assert str(source) in str(caught.value)
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize(
    ("altered", "other"), [("cifar10-valid", "ori-test"), ("ImageNet16-120", "x-test")]
)
def test_swapped_splits_are_refused(
    altered: str, other: str, few: Callable[[int], Space], tmp_path: Path
) -> None:
    space = few(3)
    content = made.official(8, range(3), space, made.TSS_SCHEDULES)
    for results in content["arch2infos"].values():
        for (dataset, _), run in results["200"]["all_results"].items():
            if dataset == altered:  # only the last epoch has both
                run["eval_acc1es"][f"{other}@199"] = run["eval_acc1es"]["x-valid@199"]
    source = made.write_simple(tmp_path / "simple", content)
    with pytest.raises(
        FormatError, match="accuracy on the test split equals that on the valid split"
    ):
        import_nats_tss(source, tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())  # nor a table of another dataset


def test_the_other_space_is_refused(
    tss: dict[str, Any], sss: dict[str, Any], tmp_path: Path
) -> None:
    for name, content, read in (("a", tss, import_nats_sss), ("b", sss, import_nats_tss)):
        source = made.write_simple(tmp_path / name, content)
        with pytest.raises(FormatError, match="another benchmark's file"):
            read(source, tmp_path / "out", partial=True)


def test_files_of_a_folder_are_what_they_are_called(tss: dict[str, Any], tmp_path: Path) -> None:
    source = made.write_simple(tmp_path / "simple", tss)
    (source / "000011.pickle.pbz2").rename(source / "000012.pickle.pbz2")
    with pytest.raises(
        FormatError, match=r"000012.pickle.pbz2: .* architecture 11, which its name"
    ):
        import_nats_tss(source, tmp_path / "out", partial=True)
    (source / "000012.pickle.pbz2").rename(source / "11.pickle.pbz2")
    import_nats_tss(source, tmp_path / "out", partial=True)  # the API takes such names too
    (source / "000011.pickle.pbz2").write_bytes((source / "11.pickle.pbz2").read_bytes())
    with pytest.raises(FormatError, match="architecture 11, which stands in"):
        import_nats_tss(source, tmp_path / "out", partial=True)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "cannot be read|truncated"),
        (b"BZh9", "unpacked|truncated"),
        (b"BZh9" + b"x" * 99, "cannot be unpacked"),
        (bz2.compress(pickle.dumps({}, 4)), "expected the keys"),
        (bz2.compress(pickle.dumps({}, 4) + b"x"), "goes on behind its end"),
        (pickle.dumps([1], 4), "protocol 2 or newer"),
        (b"PK\3\4", "truncated at byte 4"),
        (b"hello", "cannot be read"),
    ],
)
def test_other_files_are_refused(content: bytes, message: str, tmp_path: Path) -> None:
    source = tmp_path / "a.pickle.pbz2"
    source.write_bytes(content)
    with pytest.raises(FormatError, match=message):
        import_nats_tss(source, tmp_path / "out", partial=True)


def test_a_torch_file_with_weights_or_of_another_version_is_refused(tmp_path: Path) -> None:
    content = made.official(9, [0], TSS, made.V11_SCHEDULES)
    path = tmp_path / "NAS-Bench-201-v1_1-096897.pth"
    good = made.torch_legacy(content)
    for data, message in (
        (made.torch_legacy(content, ["123"]), "holds network weights"),
        (good + b"\x00" * 8, "goes on behind its end"),
        (good.replace(pickle.dumps(1001, 2), pickle.dumps(1002, 2)), "newer version"),
        (good[:-3], "truncated"),
    ):
        path.write_bytes(data)
        with pytest.raises(FormatError, match=message):
            import_nasbench201(path, tmp_path / "out", partial=True)
    other = tmp_path / "NAS-Bench-201-v2_0-123456.pth"
    other.write_bytes(good)
    with pytest.raises(FormatError, match="a newer version cannot be read"):
        import_nasbench201(other, tmp_path / "out", partial=True)


def test_real_weights_are_refused(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    content = made.official(9, [0], TSS, made.V11_SCHEDULES)
    run = content["arch2infos"][0]["full"]["all_results"]["cifar100", 777]
    run["net_state_dict"] = {"stem.0.weight": torch.zeros(3)}
    path = tmp_path / "NAS-Bench-201-v1_1-096897.pth"
    for legacy in (True, False):
        path.write_bytes(torch_saved(content, legacy=legacy))
        with pytest.raises(UnsafePickleError, match=r"torch\._utils.*weights"):
            import_nasbench201(path, tmp_path / "out", partial=True)


def test_a_full_disk_leaves_nothing(
    tss: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nasbench_tab.importers import scratch

    class Full(scratch.ScratchColumn):
        def write(self, row: int, values: Any) -> None:
            if row:
                raise scratch._failed(self._path, OSError(28, "No space left on device"))
            super().write(row, values)

    monkeypatch.setattr("nasbench_tab.importers.nats_tables.ScratchColumn", Full)
    source = made.write_simple(tmp_path / "simple", tss)
    with pytest.raises(ResultsError, match="free space"):
        import_nats_tss(source, tmp_path / "out", partial=True)
    assert not list((tmp_path / "out").iterdir())
