"""What a run knows about itself, in sentences: the answers of the report card, by key.

A key that cannot be answered from the records and tables is absent: the card then lists the item
as missing, and nobody is told more than was written down.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from melnb.display import cells
from melnb.evaluation.subgroups.subgroup_metrics import ALL
from melnb.evaluation.summaries import IMAGES, of_intervals, unit_of
from melnb.tables import diagnoses
from melnb.tables.checks import TEST
from melnb.tables.findings import Audit

NO_AUDIT = Audit()

Records = Sequence[Mapping[str, Any]]
_AUGMENTATION = (
    "rotation", "shear", "zoom", "shift", "flips", "brightness", "contrast", "saturation", "hue",
    "cutout",
)  # fmt: skip
_TRAINING = (
    "loss", "label_smoothing", "class_weights", "epochs", "batch_size", "optimizer", "schedule",
    "learning_rate",
)  # fmt: skip


def data_answers(
    records: Records, images: pd.DataFrame | None, audit: Audit = NO_AUDIT
) -> dict[str, str]:
    """Return what is known of the data: its source, preparation, folds, people and gaps.

    Args:
        records: Of the runs behind the predictions (`lookup.lineage`).
        images: Images table of those that were predicted; None when it is not known.
        audit: Of their dataset.
    """
    answers = {}
    prepared = [r["parameters"] for r in records if r["stage"] == "02_prepare"]
    if prepared:
        p = prepared[-1]
        sizes = " and ".join(f"{size} px" for size in p["image_sizes"])
        given = f"column {p['fold_column']} of the source" if p["fold_column"] else (
            "stratified by class, whole patients (else lesions) at a time"
        )  # fmt: skip
        answers = {
            "source": f"{p['source']}, dataset {p['dataset']}, task {p['task']}",
            "preprocessing": f"made square ({p['fit']}), {sizes}, JPEG quality {p['quality']}",
            "selection": f"rows: {p['rows'] or 'all'}; rows without a picture: {p['missing']}; "
            f"unreadable pictures: {'listed and left out' if p['skip_unreadable'] else 'an error'}",
            "partitions": f"{p['n_folds']} folds, {given}, seed {p['seed']}",
            "disjoint": "no patient and no lesion lies in two folds, where their ids are known; "
            "known duplicates are left out",
        }
    if audit.run:
        answers["audit"] = f"{audit.sentence.removeprefix('Audit: ')} ({audit.run})"
    return answers | (_people(images) if images is not None and len(images) else {})


def model_answers(records: Records) -> dict[str, str]:
    """Return what is known of the models: network, weights, training, views and blending."""
    trained = [r for r in records if r["stage"] == "03_train"]
    answers = {"goal": "evaluation of predictions that were given; how they were made is unknown"}
    if trained:
        last = [r["parameters"] for r in trained]
        seconds = sum(float(r["seconds"]) for r in trained)
        answers = {
            "goal": "development and internal evaluation of a classifier",
            "network": _each(last, lambda p: f"{p['backbone']} at {p['image_size']} px, "
            f"{p['pooling']} pooling, dropout {p['dropout']:g}, {p['head']}"),
            "initial_weights": " | ".join(dict.fromkeys(_weights(r) for r in trained)),
            "training": _each(last, lambda p: _settings(p, _TRAINING)),
            "augmentation": _each(last, lambda p: _settings(p, _AUGMENTATION)),
            "epoch_choice": _each(last, lambda p: f"the epoch of the best {p['monitor']} on the "
            "held-out fold, which flatters that fold a little"),
            "imbalance": _each(last, lambda p: f"class weights {p['class_weights']}"),
            "colour": "as stored, scaled inside the network; "
            + _each(last, lambda p: _settings(p, ("brightness", "contrast", "saturation", "hue"))),
            "predictors": "the picture alone",
            "internal": "an image of a fold is scored by the model that was trained without that "
            "fold; test images by the mean of all folds' models",
            "software": f"{trained[-1]['device']}; {_words(trained[-1]['versions'])}; "
            f"{len(trained)} fits in {seconds / 60:,.1f} minutes",
        }  # fmt: skip
    return answers | _use(records)


def result_answers(
    predictions: pd.DataFrame,
    *,
    positive: str,
    cluster: str,
    scores: pd.DataFrame,
    point: pd.DataFrame,
    calibration: pd.DataFrame | None = None,
    groups: pd.DataFrame | None = None,
    compared: pd.DataFrame | None = None,
    decided: pd.DataFrame | None = None,
    over: pd.DataFrame | None = None,
    calibrator: str = "none",
) -> dict[str, str]:
    """Return what was found, each number with its interval; what could not be is no answer.

    Args:
        predictions: Predictions table that is reported.
        positive: The class looked for.
        cluster: Column whose images err together; empty: none.
        scores: `ranking.metrics_by_fold`.
        point: `decisions.points.operating_point`.
        calibration: `calibration_scores`: columns `metric`, `value`, `low`, `high`.
        groups: `subgroups.estimates.subgroup_metrics`.
        compared: `ranking.auc_comparison`.
        decided: `class_gain.class_gain`.
        over: `shortcuts.over_best_shortcut`.
        calibrator: The method that was applied, fitted on other folds.
    """
    row, name = point.iloc[0], diagnoses.title(positive).lower()
    pooled = _pooled(scores)
    judged = predictions[predictions["truth"].notna()]
    unit = unit_of(predictions)
    if judged.empty:
        return {"numbers": f"{len(predictions):,} {unit}s without a truth: predicted, not judged"}
    by_fold = scores[(scores["metric"] == "AUC") & scores["rows"].str.startswith("fold")]
    answers = {
        "outcome": f"{name} against the rest, as the source labels it",
        "numbers": _counts(judged, positive),
        "discrimination": _estimates((r, r["metric"]) for _, r in pooled.iterrows()),
        "by_fold": _estimates((r, f"AUC of {r['rows']}") for _, r in by_fold.iterrows()),
        "unit": _unit(judged, unit),
        "uncertainty": of_intervals(cluster, float(row["confidence"]), unit),
        "clusters": _clusters(judged, cluster, unit),
        "threshold_choice": _threshold(row),
        "operating_point": _operating_point(row),
        "cross_table": ", ".join(f"{n.upper()} {int(row[n]):,}" for n in ("tp", "fp", "tn", "fn")),
        "failures": "the worst errors are shown in report.html",
    }  # fmt: skip
    answers |= {"partition_numbers": _by_fold(judged, positive)}
    answers |= _further_answers(calibration, groups, compared)
    answers |= {"class_decision": _class_decision(decided), "shortcut": _over_shortcut(over)}
    if calibrator != "none":
        answers["calibrator"] = f"{calibrator}, for each fold fitted on the others"
    if len(by_fold) < 2:
        del answers["by_fold"]
    return {key: text for key, text in answers.items() if text}


def _further_answers(
    calibration: pd.DataFrame | None, groups: pd.DataFrame | None, compared: pd.DataFrame | None
) -> dict[str, str]:
    answers = {}
    if calibration is not None and len(calibration):
        estimates = calibration[calibration["value"].notna()]
        texts = [_estimate(r, str(r["metric"])) for _, r in estimates.iterrows()]
        answers["calibration"] = "; ".join(texts)
    if groups is not None and len(groups):
        answers |= _group_answers(groups)
    if compared is not None and len(compared):
        answers["comparison"] = "; ".join(
            _estimate(dict(r, value=r["difference"]), f"AUC against {r['second']}")
            for _, r in compared.iterrows()
        )
    return answers


def _over_shortcut(over: pd.DataFrame | None) -> str:
    """Return the best shortcut's area and what is beyond it; empty: none was measured."""
    if over is None or over.empty:
        return ""
    row = over.iloc[0]
    ends = {"low": row["auc_second_low"], "high": row["auc_second_high"]}
    text = _estimate({"value": row["auc_second"], **ends}, f"AUC of the {row['second']} alone")
    beyond = _estimate(dict(row, value=row["difference"]), "AUC beyond it, paired")
    return f"{text}; {beyond if pd.notna(row['difference']) else row['note']}"


def _weights(record: Mapping[str, Any]) -> str:
    """Return what a network began with, and where that was from, as far as it was recorded."""
    name, results = str(record["parameters"]["weights"]), record["results"]
    if not results.get("weights_source"):
        return name
    licence = results.get("weights_licence") or "not recorded"
    return f"{name}: {results['weights_source']} (licence {licence}; {results['weights_digest']})"


def _people(images: pd.DataFrame) -> dict[str, str]:
    answers = {"diagnoses": _shares(images["diagnosis"]), "sites": _shares(images["site"])}
    age, sex = images["age"].dropna(), _shares(images["sex"])
    if len(age):
        low, middle, high = age.quantile([0.25, 0.5, 0.75])
        answers["demographics"] = f"age {middle:.0f} (quartiles {low:.0f}-{high:.0f}); sex: {sex}"
    columns = ("patient_id", "lesion_id", "sex", "age", "site", "diagnosis")
    gaps = {c: images[c].isna().mean() for c in columns if c in images}
    answers["missing"] = "; ".join(
        f"{cells.words(c)} unknown in {share:.1%}" for c, share in gaps.items() if share
    ) or "no value of patient, lesion, sex, age, site or diagnosis is unknown"  # fmt: skip
    return {key: text for key, text in answers.items() if text}


def _use(records: Records) -> dict[str, str]:
    """Return how predictions were made of models, and what is there to be used again."""
    answers = {}
    predicted = [r["parameters"] for r in records if r["stage"] == "04_predict"]
    blended = [r["parameters"] for r in records if r["stage"] == "05_ensemble"]
    views = _each(predicted, lambda p: f"views: {p['views']}, averaged as {p['average']}")
    members = _each(blended, lambda p: f"{p['method']} of {', '.join(p['members'])}")
    if views or members:
        answers["ensembling"] = "; ".join(text for text in (members, views) if text)
    gains = [r["results"] for r in records if r["results"].get("gain") is not None]
    if gains:
        answers["robustness"] = "gain of test-time augmentation: " + "; ".join(
            _estimate({"value": g["gain"], "low": g["gain_low"], "high": g["gain_high"]}, "AUC")
            for g in gains
        )
    nets = {r["parameters"]["backbone"] for r in records if r["stage"] == "03_train"}
    if nets:
        answers["technology"] = f"convolutional network ({', '.join(sorted(nets))})"
        commit = next((str(r["commit"])[:9] for r in records if r.get("commit")), "unknown")
        answers["availability"] = f"code: melnb, commit {commit}; weights: model.keras of each fold"
    return answers


def _group_answers(estimates: pd.DataFrame) -> dict[str, str]:
    groups = estimates[(estimates["column"] != ALL) & (estimates["metric"] == "AUC")]
    if groups.empty:
        return {}
    names = list(dict.fromkeys(groups["column"].astype(str)))
    hidden = int(groups["note"].astype(str).str.contains("suppressed").sum())
    words = f"performance by {', '.join(cells.words(n).lower() for n in names)}"
    answers = {"subgroups": f"{words}; {hidden} of {len(groups)} levels too small to show"}
    tones = groups[groups["column"].astype(str).str.contains("tone|ita")]
    if len(tones):
        levels = ", ".join(f"{r['level']} {int(r['n']):,}" for _, r in tones.iterrows())
        answers["skin_tone"] = f"individual typology angle, measured outside the lesion: {levels}"
    return answers


def _pooled(scores: pd.DataFrame) -> pd.DataFrame:
    pooled = scores[scores["rows"] == "out of fold"]
    return pooled if len(pooled) else scores


def _class_decision(gains: pd.DataFrame | None) -> str:
    """Return what the chosen decision of many classes brings, nested; empty: none was chosen."""
    if gains is None or "chosen" not in gains:
        return ""
    chosen = gains[gains["chosen"].astype(bool) & (gains["rows"] == "nested")]
    return "; ".join(
        f"{r['rule']}, fitted on the other folds: {r['metric']} {cells.number(r['value'])}, "
        + _estimate(dict(r, value=r["gain"]), "gain over the most probable class")
        for _, r in chosen[chosen["gain"].notna()].iterrows()
    )


def _unit(known: pd.DataFrame, unit: str) -> str:
    """Return what was judged; empty: images."""
    if unit == "image":
        return ""
    images = int(known[IMAGES].sum())
    return f"{unit}: the mean of its images ({images:,} images of {len(known):,} {unit}s)"


def _counts(known: pd.DataFrame, positive: str) -> str:
    number = f"{len(known):,} {unit_of(known)}s"
    texts = [number, f"{int((known['truth'] == positive).sum()):,} positive"]
    for column, word in (("patient_id", "patients"), ("lesion_id", "lesions")):
        if column in known and known[column].notna().any() and word != f"{unit_of(known)}s":
            texts.append(f"{known[column].nunique():,} {word}")
    return ", ".join(texts)


def _by_fold(known: pd.DataFrame, positive: str) -> str:
    alone = known.loc[known["fold"] != TEST, "fold"].nunique() == 1
    return "; ".join(
        f"{'test' if fold == TEST else 'one fold' if alone else f'fold {fold}'}: "
        f"{_counts(part, positive)}"
        for fold, part in known.groupby("fold")
    )


def _clusters(known: pd.DataFrame, cluster: str, unit: str) -> str:
    if not cluster or cluster == f"{unit}_id":
        return ""
    sizes = known[cluster].value_counts()
    return (
        f"{sizes.mean():.1f} {unit}s of each {cluster.removesuffix('_id')}, at most {sizes.max():,}"
    )


def _threshold(row: Mapping[str, Any] | pd.Series) -> str:
    how = "the largest sensitivity + specificity" if row["choose"] == "youden" else (
        f"{row['choose']} {row['at']:g}"
    )  # fmt: skip
    if pd.isna(row["threshold"]):
        return ""
    if row["choose"] == "threshold":
        return f"{row['threshold']:.4g}, given"
    return f"{row['threshold']:.4g}, chosen by {how} on out-of-fold rows"


def _operating_point(row: Mapping[str, Any] | pd.Series) -> str:
    sentence = _estimates(
        ({"value": row[m], "low": row[f"{m}_low"], "high": row[f"{m}_high"]}, m)
        for m in ("sensitivity", "specificity", "ppv", "npv")
    )
    if not sentence:
        return ""
    fixed = "at this fixed threshold"
    how = fixed if row["choose"] == "threshold" else (
        f"of resamples that choose the threshold anew; what the choice holds, {fixed}"
    )  # fmt: skip
    return f"{sentence}. PPV and NPV at a prevalence of {row['prevalence']:.3g}; intervals {how}"


def _estimates(rows: Iterable[tuple[Mapping[str, Any] | pd.Series, str]]) -> str:
    return "; ".join(_estimate(row, name) for row, name in rows if pd.notna(row["value"]))


def _estimate(row: Mapping[str, Any] | pd.Series, name: str) -> str:
    text = f"{cells.words(name)} {cells.number(float(row['value']))}"
    if pd.isna(row["low"]) or pd.isna(row["high"]):
        return text
    return f"{text} ({cells.number(float(row['low']))} – {cells.number(float(row['high']))})"


def _shares(values: pd.Series, most: int = 9) -> str:
    counts = values.value_counts()
    named = [f"{name} {n:,}" for name, n in counts.head(most).items()]
    rest = int(counts.iloc[most:].sum())
    return ", ".join([*named, *([f"others {rest:,}"] if rest else [])])


def _settings(parameters: Mapping[str, Any], names: Iterable[str]) -> str:
    return ", ".join(f"{n.replace('_', ' ')} {parameters[n]}" for n in names if n in parameters)


def _each(parameters: Sequence[Mapping[str, Any]], words: Any) -> str:
    """Return what is said of each, once where all say the same."""
    return " | ".join(dict.fromkeys(words(p) for p in parameters))


def _words(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())
