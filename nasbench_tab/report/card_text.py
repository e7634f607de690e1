"""The words of a model card: its verdict, what the surrogate may be used for, and what it is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Any

import nasbench_tab
from nasbench_tab.report.card_parts import Words, at, ends, reason, table, text, value, whole
from nasbench_tab.report.tables import Table
from nasbench_tab.report.words import NOTHING, listing, metric_name, number

__all__ = ["METHOD", "about", "headline", "made", "score_table", "uses"]

_Known = Mapping[str, Any]
_Terms = list[tuple[str, str]]

#: Verdict of an interval that holds the other: a wide one always does, so that it says not "as good".
_ALIKE = "not told apart"

#: Coverage of 90 % intervals that is called right.
_RIGHT = (0.88, 0.92)
_SHORT = 12  # of a list, more items are counted

METHOD: Sequence[tuple[str, str]] = (
    (
        "held out",
        (
            "What is assessed are refits in the surrogate’s manner, each on a part of its trainings; a network is in one part "
            "with all its trainings, under any of its names. The surrogate itself is fitted on all of them."
        ),
    ),
    (
        "a second training, beside it",
        (
            "Networks that were trained more than once: how well the first training by seed foretells the second. A perfect "
            "predictor of the mean would do a little better than that against one training, since only one of the two is "
            "noisy."
        ),
    ),
    (
        "Kendall’s tau",
        (
            "Share of pairs of networks in the right order less share in the wrong one, corrected for ties (tau-b). In the "
            "true top 10 %: only among the networks that are truly the best tenth, where telling bad from good does not help."
        ),
    ),
    (
        "precision at 1 %, 10 %",
        "Share of the predicted best 1 % or 10 % that are among the true best as many.",
    ),
    ("regret at 10", "The best true value less the best among the ten predicted best."),
    (
        "coverage, width",
        (
            "Share of single trainings inside the 90 % interval, each network counting once, and the interval’s mean width. "
            "It is about one training: the mean over seeds is known better."
        ),
    ),
    ("bias", "Predicted less measured."),
    (
        "flagged, far off",
        (
            "Answers carry a flag where an architecture is unlike all that the surrogate was fitted on. Far off: an error "
            "beyond three standard deviations of those that are stated."
        ),
    ),
    (
        "searches",
        (
            "Both are told of the same networks and start run by run from the same random numbers. A verdict on two "
            "strategies is better, worse or not told apart, by the paired 95 % bootstrap interval over runs. The table twice: "
            "the table searched again with other random numbers. Zela et al., Surrogate NAS benchmarks, ICLR 2022, compare "
            "anytime curves in the same way."
        ),
    ),
    (
        "intervals",
        (
            "95 %: Student’s t for means, that of a U-statistic for tau, Clopper and Pearson’s for shares, percentile "
            "bootstrap for ratios and searches. They speak of other networks from where these came; in “How many networks it "
            "takes” of other random splits, and of searches of other runs on these networks."
        ),
    ),
)


def headline(manifest: _Known, assessment: _Known, words: Words) -> tuple[str, list[str]]:
    """Return the verdict, and what else has to be known first, as sentences."""
    if not assessment:
        return "Not assessed: how good it is, is not known.", _at_the_fit(manifest)
    seeds = at(assessment, "seeds") or {}
    ratio, n = seeds.get("mae_ratio"), whole(seeds.get("networks"))
    taus = [at(seeds, who, "tau") for who in ("surrogate", "table")]
    by_error = _compared(*ends(ratio), 1.0, less_is_better=True)
    by_rank = _compared(*ends(taus[0]), value(taus[1]))
    other = _compared(*ends(taus[1]), value(taus[0]), less_is_better=True)
    by_rank = other if other == _ALIKE else by_rank  # the two must lie outside each other
    if not by_error:
        first = "How it compares with a second training is not known."
        finding = f"Why: {reason(assessment, 'seeds')}"
        if math.isfinite(value(ratio)):
            finding = f"Why: {n} networks were trained more than once, too few for an interval."
    else:
        than = {"better": "Better than", "worse": "Worse than", _ALIKE: "Not told apart from"}[
            by_error
        ]
        named = f"{than} a table with one training of each network"
        if by_error == by_rank:
            first = f"{named}, by error and by rank."
        else:
            first = f"{named} by error{f'; {by_rank} by rank' * bool(by_rank)}."
        finding = (
            f"Fitted on one training of each network, its error against the mean of other trainings is {text(ratio, 2)} "
            f"times that of the first training itself, for networks that it did not see ({n} networks that were trained "
            f"more than once). Rank, Kendall’s tau: {text(taus[0])} beside {text(taus[1])}."
        )
    return first, [finding, *_intervals(assessment), *_searched(assessment, words)]


def _compared(low: float, high: float, with_: float, *, less_is_better: bool = False) -> str:
    """Return how an interval lies to a number, in a word; nothing where either is not known."""
    if math.isnan(low + high + with_):
        return ""
    if low <= with_ <= high:
        return _ALIKE
    return "better" if (high < with_) == less_is_better else "worse"


def _at_the_fit(manifest: _Known) -> list[str]:
    """Return what the manifest's own scores say."""
    scores = at(manifest, "scores", str(manifest["objective"])) or {}
    if not math.isfinite(value(scores.get("tau"))):
        return []
    beside = value(scores.get("tau_between_seeds"))
    other = (
        f", beside {number(beside, 3)} between two trainings of {whole(scores.get('repeated_networks'))} networks"
        if math.isfinite(beside)
        else ""
    )
    return [
        (
            f"When it was fitted, Kendall’s tau of {whole(scores.get('networks'))} held-out networks was "
            f"{number(value(scores['tau']), 3)}{other}."
        )
    ]


def _intervals(assessment: _Known) -> list[str]:
    """Return whether intervals hold what they say."""
    coverage = at(assessment, "levels", "all", "coverage_90")
    share, (low, high) = value(coverage), ends(coverage)
    if not math.isfinite(share):
        return [f"Whether its intervals hold is not known: {reason(assessment, 'levels')}"]
    if _RIGHT[0] <= share <= _RIGHT[1] or low <= 0.9 <= high:
        verdict = "as they should"
    else:
        verdict = "too few: they are too narrow" if share < 0.9 else "too many: they are too wide"
    top = at(assessment, "levels", "top_10_percent", "coverage_90")
    best = f"; of the predicted best tenth {text(top)}" if math.isfinite(value(top)) else ""
    refits = at(assessment, "intervals", "coverage_90")
    again = ""
    if math.isfinite(value(refits)):
        labelled = whole(at(assessment, "intervals", "labelled"))
        again = f" Refitted with all steps on {labelled} networks, they hold {text(refits)} of the rest."
    return [
        f"Its 90 % intervals hold {text(coverage)} of single trainings, {verdict}{best}.{again}"
    ]


def _searched(assessment: _Known, words: Words) -> list[str]:
    """Return whether searches on it end at good networks."""
    gain = at(assessment, "agreement", "one_training", "gain")
    low, high = ends(gain)
    if not math.isfinite(low + high):
        return []
    where = (
        "better networks than"
        if low > 0
        else "worse networks than"
        if high < 0
        else "networks not told apart from those of"
    )
    unit = f" {words.unit}".rstrip()
    n = whole(at(assessment, "agreement", "one_training", "networks"))
    return [
        (
            f"Searches on it end at {where} searches on one training of each network, judged by other trainings: a gain of "
            f"{text(gain, words.places)}{unit} (among {n} networks)."
        )
    ]


def score_table(assessment: _Known, words: Words) -> Table:
    """Return the figures of the first screen, each beside what it is measured by."""
    levels, epochs = (assessment.get(part, {}) for part in ("levels", "epochs"))
    every, top = (at(levels, part) or {} for part in ("all", "top_10_percent"))

    def row(
        label: str, found: Any, beside: Any, decimals: int = 3, n: Any = None
    ) -> tuple[str, list[str]]:
        """Return a row; ``beside`` is a figure, or the words that stand there."""
        count = at(found, "n") if n is None else n
        if isinstance(beside, str):
            other, others = beside, NOTHING
        else:
            other, others = text(beside, decimals), _count(at(beside or {}, "n"))
        return label, [text(found, decimals), _count(count), other, others]

    def ceiling(key: str) -> Any:
        found = at(every, "ceiling", key)
        if found is None or isinstance(found, Mapping):
            return found
        return {"value": found, "n": _tenth(at(every, "ceiling", "repeated_networks"))}

    networks, seeds = every.get("networks"), assessment.get("seeds", {})
    repeated = at(epochs, "each", -1, "repeated", "networks")
    table_tau = {"value": at(epochs, "average", "repeated_table_tau"), "n": repeated}
    rows = [
        row("rank, Kendall’s tau", every.get("tau"), ceiling("tau")),
        row("tau in the true top 10 %", every.get("tau_top_10_percent"), ceiling("tau_top_10_percent"), n=_tenth(networks)),
        row("mean absolute error", every.get("mae"), ceiling("mae"), words.places),
        row("R2", every.get("r2"), NOTHING, n=networks),
        row("error against other trainings *", at(seeds, "surrogate", "mae"), at(seeds, "table", "mae"), words.places),
        row("rank against other trainings *", at(seeds, "surrogate", "tau"), at(seeds, "table", "tau")),
        row("the same, mean over epochs *", at(epochs, "average", "repeated_surrogate_tau"), table_tau, n=repeated),
        row("coverage of 90 % intervals", every.get("coverage_90"), "0.900 wanted"),
        row("the same, predicted best tenth", top.get("coverage_90"), "0.900 wanted"),
        row("the same, refits with all steps", at(assessment, "intervals", "coverage_90"), "0.900 wanted"),
        row("error of training time, %", at(assessment, "cost", "mean_error"), at(assessment, "cost", "ceiling", "mean_error"), 1),
    ]  # fmt: skip
    titles = ["surrogate", "n", "beside it", "n beside it"]
    return table(titles, [r for r in rows if r[1][0] != NOTHING])


def _tenth(networks: Any) -> int | None:
    """Return how many networks the best tenth holds."""
    return None if networks is None else max(2, round(0.1 * networks))


def _count(n: Any) -> str:
    return NOTHING if n is None else whole(n)


def uses(manifest: _Known, assessment: _Known, words: Words) -> tuple[list[str], list[str]]:
    """Return what the surrogate may be used for, and what not."""
    last, name = manifest["epochs"][-1], manifest["name"]
    noisy = at(manifest, "scores", str(manifest["objective"]), "seed_sd") is not None
    allowed = [
        "Comparing search strategies, quickly and often, on architectures that were never trained.",
        (
            f"Predicted {words.name} after epochs {manifest['epochs'][0]} to {last}, with its doubt: every answer carries both "
            "deviations and a 90 % interval."
        ),
        "Single simulated trainings (seed=…), the same each time for an architecture and a seed."
        if noisy
        else "Mean values only: too few networks were trained twice to know the seed noise, and it says so when asked.",
        "Choosing what to train next, and what that will take.",
    ]
    forbidden = [
        f"Epochs beyond {last}: it refuses to guess. Another dataset, recipe or kind of machine: it knows nothing of them.",
        "Architectures that it flags (novel): their answers are guesses, and the interval is widened, not right.",
        (
            "Leaderboards on noise-free means (seed=None) alone: a search then learns the surrogate’s own errors. Search "
            "simulated trainings (seeds=“random”), and report both."
        ),
        (
            "The last word on a winner: it was chosen for its error too. Train winners again, with fresh seeds, and report "
            "those values."
        ),
        "Searches that look inside it (its gradients, trees or features): then it is the surrogate that is searched.",
    ]
    level = at(assessment, "regions", "level")
    if math.isfinite(value(at(level or {}, "bias"))):
        unit = f" {words.unit}".rstrip()
        forbidden.append(
            "Networks better than all it was fitted on: fitted on the worse 80 %, it is off by "
            f"{text(level['bias'], words.places)}{unit} for the best fifth, and its 90 % intervals hold "
            f"{text(level.get('coverage_90'), 2)}."
        )
    origins = assessment.get("origins", {})
    weak = [
        f"{origin} (R2 {number(value(part.get('r2')), 2)})"
        for origin, part in origins.items()
        if origin not in ("all", "left_out") and value(part.get("r2")) < 0
    ]
    if weak:
        forbidden.append(
            f"Networks found by {listing(weak)} where it was fitted on none of them: it knows less than their mean."
        )
    if manifest.get("licence"):
        forbidden.append(
            f"What its licence does not allow: {str(manifest['licence']).rstrip('.')}."
        )
    else:
        forbidden.append(
            f"Passing on, before the licence of the trainings behind {name} is known: none is stated."
        )
    return allowed, forbidden


def about(manifest: _Known) -> _Terms:
    """Return what the surrogate is, as terms and texts."""
    space = manifest["space"]
    described = (
        space
        if isinstance(space, str)
        else f"{space['name']}: {', '.join(f'{c} ({len(levels)} levels)' for c, levels in space['columns'].items())}"
    )
    metrics = [
        f"{metric_name(name)} ({metric['split']} split{', ' * bool(metric['unit'])}{metric['unit']})"
        for name, metric in manifest["metrics"].items()
    ]
    origins = {name or "not known": n for name, n in manifest["origins"].items()}
    words = manifest.get("about", {})
    left = {why: n for why, n in (words.get("left_out") or {}).items() if n}
    terms = [
        ("what it is", str(words.get("title", ""))),
        ("space", described),
        ("dataset", str(manifest["dataset"])),
        ("searched on", metric_name(str(manifest["objective"]))),
        ("predicts", listing(metrics)),
        ("epochs", _listed(manifest["epochs"])),
        ("trainings", f"{manifest['runs']:,} of {manifest['networks']:,} networks"),
        ("training seeds", _listed(manifest["seeds"])),
        ("where they came from", listing([f"{name} {n:,}" for name, n in origins.items()])),
        ("left out", listing([f"{why} {n:,}" for why, n in left.items()])),
        ("licence", str(manifest.get("licence") or "not known")),
        ("citation", "; ".join(words.get("citation", []))),
        ("fingerprint", str(manifest.get("hash", ""))),
        ("hash of the trainings", str(manifest["training_data"])),
        ("data", "; ".join(words.get("data", []))),
    ]
    return [(term, said) for term, said in terms if said]


def made(manifest: _Known, assessment: _Known) -> _Terms:
    """Return how the trainings and the surrogate were made."""
    features = manifest["features"]
    terms = [
        ("model", str(manifest["kind"])),
        ("settings", _pairs(manifest["settings"])),
        (
            "features",
            f"version {features.get('version')}, {len(features.get('names', ()))} columns",
        ),
        ("versions", _pairs(manifest["versions"])),
        *((f"protocol, {key}", str(said)) for key, said in manifest["protocol"].items()),
    ]
    if assessment:
        terms.append(
            (
                "assessed with",
                f"seed {assessment.get('seed')}, {assessment.get('draws')} splits; {_pairs(assessment.get('settings', {}))}",
            )
        )
    drawn = [f"{name} {metadata.version(name)}" for name in ("altair", "vl-convert-python")]
    terms.append(
        ("card written with", ", ".join([f"nasbench_tab {nasbench_tab.__version__}", *drawn]))
    )
    return [(term, said) for term, said in terms if said]


def _pairs(known: _Known) -> str:
    return ", ".join(f"{key} {said}" for key, said in known.items())


def _listed(numbers: Sequence[int]) -> str:
    """Return numbers, or of many how many and from where to where."""
    if len(numbers) <= _SHORT:
        return ", ".join(map(str, numbers))
    return f"{len(numbers):,}, from {min(numbers)} to {max(numbers)}"
