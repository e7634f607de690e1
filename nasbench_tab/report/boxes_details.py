"""Boxes C1 to C3 of the checklist: details that have to be reported. One function a box.

Every function looks for what would make its box fail, then for what is missing, and only then passes.
"""

from __future__ import annotations

from typing import Any

from nasbench_tab.errors import NasbenchTabError, ResultsError
from nasbench_tab.report.boxes import Decision, decided
from nasbench_tab.report.evidence import Evidence, lacking_setup
from nasbench_tab.search.booking import TUNING, is_booked_on, read_tuning
from nasbench_tab.search.experiment import FILE as EXPERIMENT
from nasbench_tab.search.experiment import experiment_of, read_experiment
from nasbench_tab.search.ledger import ledger

__all__ = ["end_to_end", "setup", "tuned"]


def tuned(found: Evidence) -> Decision:
    """C1: for every strategy that has settings there is a record of its tuning and of the cost."""
    where, command = (
        f"{TUNING}; manifest.json: experiment.strategies[].settings",
        "nasbench-tab tune --help",
    )
    results = found.results
    with_settings = {
        label: settings
        for label in results.strategies
        if (settings := results.strategy(label)["settings"])
    }
    if not with_settings:
        return Decision("not applicable", "no strategy has a setting", where, command)
    try:
        # A tuning's own record, in the directory that it tuned in, is booked on nothing.
        records = [r for r in read_tuning(results.directory) if r.get("booked_on", "") is not None]
    except ResultsError as err:
        return Decision("not recorded", str(err), where, command)
    wrong, missing, said = [], [], []
    wrong += [
        f"{TUNING} books tuning on {_named(record)}, which took no part"
        for record in records
        if not any(is_booked_on(record, label) for label in results.strategies)
    ]
    for label, settings in with_settings.items():
        own = [record for record in records if is_booked_on(record, label)]
        if not own:
            missing.append(f"nothing says how the settings of {label} were chosen")
        for record in own:
            off = [
                key
                for key, values in dict(record.get("space") or {}).items()
                if settings.get(key) not in values
            ]
            if off:
                wrong.append(f"{label}: {', '.join(off)} is none of the values that were tried")
            costs = [record.get("seconds"), record.get("cpu_seconds")]
            if not record["benchmarks"] or record["evaluations"] < 1 or costs == [None, None]:
                missing.append(f"{TUNING}: benchmarks or cost of tuning {label} are not there")
            on = ", ".join(record["benchmarks"])
            flag = ", which this comparison uses too" if record.get("overlap") else ""
            cost = " and ".join(
                f"{value:,.0f} s {kind}"
                for value, kind in zip(costs, ("simulated", "of CPU"), strict=True)
                if value is not None
            )
            said.append(f"{label}: {record['evaluations']:,} evaluations on {on}{flag}, {cost}")
    return decided(wrong, missing, "; ".join(said), where, command)


def _named(record: dict[str, Any]) -> str:
    return str(record.get("booked_on") or record["strategy"])


def end_to_end(found: Evidence) -> Decision:
    """C2: search, validation, final training and overhead are all known; the total is their sum."""
    where = "runs/*/*/*.npz: seconds, cpu_seconds; the table's metrics train_seconds, eval_seconds"
    command = "nasbench-tab report DIR"
    try:
        accounts = ledger(found.results)
    except ResultsError as err:  # the tuning that was booked is damaged
        return Decision("not recorded", str(err), where, command)
    missing, said = [], []
    for account in accounts:
        clocks = ("search", "validation", "final", "overhead")
        parts = {clock: getattr(account, clock) for clock in clocks}
        missing += [
            f"{account.benchmark}: {clock} time is not known ({part.note})"
            for clock, part in parts.items()
            if not part.recorded
        ]
        said.append(
            f"{account.benchmark}, {account.strategy}: {account.automl.mean:,.0f} s simulated with the "
            f"final training, {account.overhead.mean:.2g} s of CPU"
        )
    return decided(found.mistimed, dict.fromkeys(missing), "; ".join(said), where, command)


def setup(found: Evidence) -> Decision:
    """C3: versions, machine, protocol and tables are all there, and experiment.toml agrees."""
    where = f"manifest.json: versions, machine, experiment; {EXPERIMENT}; the table's manifest.toml"
    manifest = found.results.manifest
    wrong, missing = [], [*lacking_setup(manifest), *found.absent.values()]
    path = found.results.directory / EXPERIMENT
    if not path.exists():
        missing.append(f"there is no {EXPERIMENT}, which runs the experiment again")
    else:
        try:
            if read_experiment(path)._replace(tuning=()) != experiment_of(found.experiment):
                wrong.append(f"{EXPERIMENT} is not the experiment of manifest.json")
        except NasbenchTabError as err:
            wrong.append(str(err))
    for name, bench in found.tables.items():
        own = bench.about.get("device") and bench.about.get("versions")
        if not (own or bench.about.get("citation")):
            missing.append(
                f"the manifest of {name} names neither devices and versions nor a publication"
            )
    software = ", ".join(f"{k} {v}" for k, v in manifest["versions"].items())
    machine = ", ".join(f"{k} {v}" for k, v in manifest["machine"].items())
    passed = f"{software}; {machine}; every table by its hash, every switch of the protocol"
    return decided(wrong, missing, passed, where, "python -m json.tool DIR/manifest.json")
