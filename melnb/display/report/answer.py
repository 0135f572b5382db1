"""The answer: what a clinician reads first, in one sentence, four figures and what limits them.

Every number is one that Python computed for the tables below it; here it only becomes words, which
hold for none, one and many, for any class, and where a number or its interval is not there.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import pandas as pd

from melnb.evaluation.decisions.operating_point import OUT_OF_FOLD
from melnb.evaluation.subgroups.subgroup_metrics import ALL, UNKNOWN
from melnb.evaluation.summaries import cluster_column, of_intervals, unit_of
from melnb.tables import diagnoses
from melnb.tables.checks import TEST

ELSEWHERE = 0.02  # of melanomas among lesions seen in practice, for the cost of a find
_PERCENT = "\N{NO-BREAK SPACE}%"
_SHOWN = 5  # groups that are named
_UNAUDITED = "Whether the data leak, or a shortcut could win, was not audited (02b_audit)."
_RESEARCH = (
    "For research: no medical device. Other cameras, skins, ages or referrals may do much worse."
)


@dataclass(frozen=True)
class Figure:
    """A large number with its words.

    Attributes:
        name: By which the page moves it with the threshold.
        value: Itself.
        words: Of what.
        more: Counts and interval.
    """

    name: str
    value: str
    words: str
    more: str


@dataclass(frozen=True)
class Answer:
    """What stands on top of a report.

    Attributes:
        sentence: How good, how sure, at what cost, on whom.
        figures: Four; none where nothing can be judged.
        limits: What limits it, a sentence each.
        audit: What an audit of the data found; empty: there was none.
    """

    sentence: str
    figures: tuple[Figure, ...] = ()
    limits: tuple[str, ...] = ()
    audit: str = ""


def answer(
    numbers: Mapping[str, pd.DataFrame], predictions: pd.DataFrame, *, positive: str,
    confidence: float = 0.95, unjudged: str = "", audited: str = "",
) -> Answer:  # fmt: skip
    """Return the answer of a report's numbers.

    Args:
        numbers: By the names of the functions that made them: `metrics_by_fold` and
            `operating_point`; and where they are known `operating_point_by_fold`,
            `locked_test_points`, `subgroup_metrics`, `gap_tests`, `over_best_shortcut`,
            `unjudged_facts`.
        predictions: The rows that are reported.
        positive: The class looked for.
        confidence: Of the intervals.
        unjudged: Why rows without a truth are not judged; empty: all have one.
        audited: What an audit of the dataset found, in a sentence; empty: there was none.
    """
    judged = predictions[predictions["truth"].notna()]
    if judged.empty:
        limits = (unjudged, "" if audited else _UNAUDITED, _RESEARCH)
        return Answer(_unjudged_sentence(numbers, predictions), limits=limits, audit=audited)
    scores, point = numbers["metrics_by_fold"], numbers["operating_point"].iloc[0]
    rank, names = _pooled_auc(scores), Names.of(positive, unit_of(predictions))
    clauses = (_ranks(rank, names), _finds(point, names), _judged_on(judged, str(point["rows"])))
    sentence = "; ".join(clauses)
    return Answer(
        sentence[0].upper() + sentence[1:] + ".",
        tuple(_figures(rank, point, names)),
        tuple(_limits(numbers, judged, point, names, confidence, unjudged, audited)),
        audited,
    )


@dataclass(frozen=True)
class Names:
    """What a positive and another row are called.

    Attributes:
        one: With its article: `a melanoma`.
        other: `another lesion`.
        many: `melanomas`.
        unit: `image`, `lesion` or `patient`.
    """

    one: str
    other: str
    many: str
    unit: str

    @classmethod
    def of(cls, positive: str, unit: str) -> Names:
        """Name a class: an ontology's diagnosis is a noun, anything else a label."""
        whom = "patient" if unit == "patient" else "lesion"
        title = diagnoses.title(positive)
        if positive not in diagnoses.NAMES or positive in ("unknown", "other"):
            called = f"labelled {positive.replace('_', ' ')}"
            return cls(f"a {whom} {called}", f"another {whom}", f"{whom}s {called}", unit)
        noun = title if title.isupper() else title.lower()
        article = "an" if noun[0].lower() in "aeiou" else "a"
        plural = noun[:-2] + "es" if noun.endswith("sis") else f"{noun}s"
        plural = noun[:-2] + "i" if noun.endswith("nevus") else plural
        if unit == "patient":
            return cls(f"a patient with {article} {noun}", "another patient", plural, unit)
        return cls(f"{article} {noun}", "another lesion", plural, unit)


def whole_percent(share: float) -> str:
    """Return a share as people say it; never 0 or 100 where it is neither."""
    near = math.floor(100 * share + 0.5)
    return f"{near}" if near not in (0, 100) or share in (0, 1) else _fixed(100 * share)


def _fixed(value: float) -> str:
    """Return a number with one decimal, as the page's `toFixed` rounds it: a half away from 0."""
    return str(Decimal(value).quantize(Decimal("0.1"), ROUND_HALF_UP))


def number_needed(value: float) -> str:
    """Return how many are flagged for each find."""
    if not math.isfinite(value):
        return "–"
    return _fixed(value).removesuffix(".0") if value < 99.95 else f"{value:,.0f}"


def _range(low: float, high: float, written: Any = whole_percent) -> str:
    """Return `77 to 96`; empty where an end is not known."""
    ends = (float(low), float(high))
    return " to ".join(map(written, ends)) if all(map(math.isfinite, ends)) else ""


def _share(value: float, low: float, high: float) -> str:
    """Return `85 % (70 to 95 %)`; empty where there is no share."""
    if math.isnan(value):
        return ""
    between = _range(low, high)
    ends = f" ({between}{_PERCENT})" if between else ""
    return f"{whole_percent(value)}{_PERCENT}{ends}"


def _pooled_auc(scores: pd.DataFrame) -> pd.Series:
    """Return the area of all rows: those of folds together, or the only ones."""
    areas = scores[scores["metric"] == "AUC"]
    pooled = areas[areas["rows"] == OUT_OF_FOLD]
    return (pooled if len(pooled) else areas).iloc[0]


def _ranks(rank: pd.Series, names: Names) -> str:
    if math.isnan(rank["value"]):
        why = str(rank["note"]).removeprefix("not estimable: ")
        return f"how well it ranks cannot be said ({why})"
    times = whole_percent(rank["value"])
    between = _range(rank["low"], rank["high"])
    times = {"0": "never", "1": "once in 100"}.get(times, f"{times} times in 100")
    return f"ranks {names.one} above {names.other} {times}" + (f" ({between})" if between else "")


def _finds(point: pd.Series, names: Names) -> str:
    if math.isnan(point["threshold"]):
        why = str(point["note"]).split("; ")[0].removeprefix("not estimable: ")
        return "no threshold could be chosen" + (f": {why}" if why else "")
    hits, all_hits = int(point["tp"]), int(point["tp"] + point["fn"])
    wrong, others = int(point["fp"]), int(point["fp"] + point["tn"])
    between = _range(point["sensitivity_fixed_low"], point["sensitivity_fixed_high"])
    share = _of(hits, all_hits, "the only one") + (f" ({between}{_PERCENT})" if between else "")
    text = f"at threshold {point['threshold']:.2g} it "
    text += f"finds {share}" if all_hits else f"has no {names.one.split(' ', 1)[1]} to find"
    if not others:
        return text
    return f"{text} and flags {_others(wrong, others)}{_cost(point)}"


def _of(number: int, every: int, only: str) -> str:
    """Return how many of how many: `none of 9`, `all 9`, `the only one`, `3 of 9`."""
    if every == 1:
        return only if number else f"not {only}"
    words = {0: f"none of {every:,}", every: f"all {every:,}"}
    return words.get(number, f"{number:,} of {every:,}")


def _others(number: int, every: int) -> str:
    """Return how many of how many others: `the only other`, `3 of 9 others`."""
    return _of(number, every, "the only other") + ("" if every == 1 else " others")


def _cost(point: pd.Series) -> str:
    needed = float(point["number_needed_to_biopsy"])
    if not math.isfinite(needed) or not point["tp"]:
        return ""
    text = number_needed(needed)
    prevalence = point["positives"] / max(point["n"], 1)
    where = "" if math.isclose(point["prevalence"], prevalence, rel_tol=1e-9) else (
        f"where {whole_percent(point['prevalence'])}{_PERCENT} are positive, "
    )  # fmt: skip
    return f": {where}{text} {'biopsy' if text == '1' else 'biopsies'} for each"


def _judged_on(known: pd.DataFrame, rows: str) -> str:
    unit = unit_of(known)
    text = _count(len(known), unit)
    if unit != "patient" and "patient_id" in known and known["patient_id"].notna().any():
        whole = known["patient_id"].notna().all()
        number = _count(known["patient_id"].nunique(), "patient")
        text += f" of {number if whole else number.replace(' ', ' known ', 1)}"
    if _is_unsaid(known):
        return f"{text}, as they were predicted elsewhere"
    return f"{text}, {'out of fold' if rows == OUT_OF_FOLD else 'a test set'}"


def _is_unsaid(known: pd.DataFrame) -> bool:
    """Return whether rows are of one fold because their file has no folds: a network that is judged
    on the one fold that it was trained without has a file that says so.
    """
    column = known.attrs.get("read_as", {}).get("fold_column", "none")
    return column == "none" and known.loc[known["fold"] != TEST, "fold"].nunique() == 1


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _unjudged_sentence(numbers: Mapping[str, pd.DataFrame], predictions: pd.DataFrame) -> str:
    number = _count(len(predictions), unit_of(predictions))
    text = f"{number} without a truth: scored, and nobody can say how well"
    facts = numbers.get("unjudged_facts", pd.DataFrame({"measure": []}))
    flagged = facts[facts["measure"] == "flagged"]
    if len(flagged):
        row = flagged.iloc[0]
        text += f"; {_share(row['value'], row['low'], row['high'])} are flagged"
    return f"{text}."


def _figures(rank: pd.Series, point: pd.Series, names: Names) -> Iterator[Figure]:
    """Yield the large numbers that there are."""
    if not math.isnan(rank["value"]):
        area = f"AUC {rank['value']:.3f}"
        more = " · ".join(filter(None, (_range(rank["low"], rank["high"]), area)))
        yield Figure("rank", f"{whole_percent(rank['value'])} in 100", "pairs ranked rightly", more)
    if math.isnan(point["threshold"]):
        return
    for name, words, k, n, ends in (
        ("found", f"of {names.many} found", point["tp"], point["tp"] + point["fn"],
         (point["sensitivity_fixed_low"], point["sensitivity_fixed_high"])),
        ("alarms", "of others flagged in vain", point["fp"], point["fp"] + point["tn"],
         (1 - point["specificity_fixed_high"], 1 - point["specificity_fixed_low"])),
    ):  # fmt: skip
        if n:
            between = _range(*ends)
            counts = f"{k:,} of {n:,}"
            more = " · ".join(filter(None, (counts, f"{between}{_PERCENT}" if between else "")))
            yield Figure(name, f"{whole_percent(k / n)}{_PERCENT}", words, more)
    needed = point["number_needed_to_biopsy"]
    if math.isfinite(needed):
        low, high = (point[f"number_needed_to_biopsy_fixed_{end}"] for end in ("low", "high"))
        more = _range(low, high, number_needed)
        yield Figure("cost", number_needed(needed), "biopsies for each found", more)


def _limits(
    numbers: Mapping[str, pd.DataFrame], known: pd.DataFrame, point: pd.Series, names: Names,
    confidence: float, unjudged: str, audited: str,
) -> Iterator[str]:  # fmt: skip
    cluster = cluster_column(known)
    how = of_intervals(cluster, confidence, unit_of(known))
    yield f"How sure: {how}." + _few(numbers["metrics_by_fold"])
    if _is_unsaid(known) and str(point["rows"]) == OUT_OF_FOLD:
        seen = f"Whether the model had seen these {names.unit}s when it learnt"
        yield f"{seen}, the file does not say."
    yield from _honest(numbers.get("operating_point_by_fold"), point, names.unit)
    if str(point["rows"]) == OUT_OF_FOLD:
        yield _tested(numbers.get("locked_test_points"), names.unit)
    yield from _elsewhere(point, names)
    yield from _groups(numbers.get("subgroup_metrics"), numbers.get("gap_tests"), names, cluster)
    yield from filter(None, (_shortcut(numbers.get("over_best_shortcut")), unjudged))
    yield from filter(None, ("" if audited else _UNAUDITED, _RESEARCH))


def _shortcut(over: pd.DataFrame | None) -> str:
    """Return how far one gets without the lesion, and the model beyond it; empty: unknown."""
    if over is None or over.empty:
        return ""
    row = over.iloc[0]
    area = f"AUC {row['auc_second']:.3f}"
    if pd.notna(row["auc_second_low"]):
        area += f" ({row['auc_second_low']:.3f} to {row['auc_second_high']:.3f})"
    text = f"Without the lesion, by the {row['second']} alone: {area}"
    if pd.isna(row["low"]):
        return f"{text}."
    more, low, high = (f"{row[c]:+.3f}".replace("-", "−") for c in ("difference", "low", "high"))
    return f"{text}; this one {more} ({low} to {high}) on the same rows."


def _few(scores: pd.DataFrame) -> str:
    note = str(_pooled_auc(scores)["note"])
    return f" Rough: {note.removeprefix('rough: ')}." if note.startswith("rough: ") else ""


def _honest(by_fold: pd.DataFrame | None, point: pd.Series, unit: str) -> Iterator[str]:
    """Yield what thresholds chosen on the other folds do: these rows chose theirs."""
    if by_fold is None or not {"rows", "tp"} <= {*by_fold} or point["choose"] == "threshold":
        return
    row = by_fold.iloc[-1]
    if by_fold["threshold"].notna().any() and row["rows"] in ("all folds", "all parts"):
        tp, fn, fp, tn = (int(row[name]) for name in ("tp", "fn", "fp", "tn"))
        parts = str(row["rows"]).removeprefix("all ")
        yield (
            f"These {unit}s chose the threshold, which flatters it: by thresholds that the other "
            f"{parts} chose it finds {_of(tp, tp + fn, 'the only one')} and flags "
            f"{_others(fp, fp + tn)}."
        )


def _tested(points: pd.DataFrame | None, unit: str) -> str:
    """Return what the locked threshold did on test rows, judged once."""
    if points is None or not {"tp", "judged"} <= {*points} or points.empty:
        return f"No test {unit} with a known truth has judged the locked threshold."
    row = points.iloc[0]
    n, times = int(row["n"]), max(1, round((row["tp"] + row["fn"]) / max(row["positives"], 1)))
    by = f" by each of {times} networks" if times > 1 else ""
    finds = _share(row["sensitivity"], row["sensitivity_low"], row["sensitivity_high"])
    alarms = _share(*(1 - row[f"specificity{end}"] for end in ("", "_high", "_low")))
    what = " and ".join(
        words for words, share in ((f"finds {finds}", finds), (f"flags {alarms} of others", alarms))
        if share
    )  # fmt: skip
    return f"Locked and judged once on {_count(n, f'test {unit}')}{by}: {what}."


def _elsewhere(point: pd.Series, names: Names) -> Iterator[str]:
    """Yield what a find costs where positives are as rare as in practice."""
    sensitivity, alarms = float(point["sensitivity"]), 1 - float(point["specificity"])
    if not sensitivity > 0 or math.isnan(alarms) or point["prevalence"] < 2 * ELSEWHERE:
        return
    needed = 1 + alarms * (1 - ELSEWHERE) / (sensitivity * ELSEWHERE)
    yield (
        f"Here {whole_percent(point['prevalence'])} in 100 are {names.many}. Where "
        f"{100 * ELSEWHERE:g} in 100 are, it takes {number_needed(needed)} biopsies for each."
    )


def _groups(
    groups: pd.DataFrame | None, gaps: pd.DataFrame | None, names: Names, cluster: str
) -> Iterator[str]:
    """Yield in whom it is worse, and of whom nothing can be said."""
    if gaps is not None and {"p_holm", "metric"} <= {*gaps}:
        shown = gaps[(gaps["metric"] == "sensitivity") & (gaps["p_holm"] < 0.05)]
        for row in shown.head(_SHOWN).to_dict("records"):
            low, high = (whole_percent(row[f"value_{end}"]) for end in ("lowest", "highest"))
            yield (
                f"For whom not: it finds fewer in {_level(row['column'], row['lowest'])} "
                f"({low} %) than in {_level(row['column'], row['highest'])} ({high} %)."
            )
        tested = gaps[(gaps["metric"] == "sensitivity") & gaps["gap"].notna()]
        if len(tested) and shown.empty:
            least = tested["detectable"].max()
            yield (
                "For whom not: between groups no gap in what is found was shown, but one of up to "
                f"{whole_percent(least)} points could have gone unseen."
            )
    if groups is None or "level" not in groups:
        return
    levels = groups[(groups["metric"] == "sensitivity") & (groups["column"] != ALL)]
    levels = levels[~levels["column"].isin(["diagnosis", "source"]) & (levels["level"] != UNKNOWN)]
    few = levels[levels["note"].astype(str).str.startswith(("suppressed", "not estimable: no row"))]
    if len(few):
        named = [_level(row["column"], row["level"]) for row in few.to_dict("records")]
        more = len(named) - _SHOWN
        rest = f" and {more} more" if more > 0 else ""
        whom = f"{names.many} or patients" if cluster else names.many
        yield f"Too few {whom} to say anything of {', '.join(named[:_SHOWN])}{rest}."


def _level(column: Any, level: Any) -> str:
    name = str(column).replace("_", " ")
    return str(level) if name == "sex" else f"{name} {level}"
