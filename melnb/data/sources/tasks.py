"""The tasks: what is to be learnt of each image, its target."""

from __future__ import annotations

import re
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd

from melnb.data.sources.layout import optional_column
from melnb.data.sources.vocabulary import (
    GROUPS,
    UNKNOWN,
    find_classes,
    find_odds,
    read_flags,
    read_hierarchy,
    read_malignancy,
    read_one_hot,
)
from melnb.tables.checks import TEST, TableError
from melnb.tables.diagnoses import MELANOMA, NAMES, OTHER, find_diagnosis
from melnb.tables.overlap import match
from melnb.tables.schema import check_predictions
from melnb.tables.values import NAMES as UNSAID_NAMES
from melnb.tables.values import NO, YES, blank_missing, whole_ids

# Labels of any table: in a column, or in one of 0 and 1 for each class.

_BINARY = dict.fromkeys(NO, False) | dict.fromkeys(YES, True)
_MALIGNANCY = ("malignant", "malignancy", "benign malignant", "cancer", "skin cancer")
_TELLING = frozenset({"label", "labels", "class", "truth", "ground_truth", "gt", "y", "y_true"})


def read_labels(table: pd.DataFrame, file: Path) -> pd.DataFrame:
    """Read labels that stand in several columns, or say no more than benign or malignant.

    Args:
        table: `image_id`, and columns of no name of ours; the index holds lines of the file.
        file: For messages.

    Returns:
        The table with `target` and `diagnosis`, where it says them.
    """
    classes = find_classes(table, file)
    labelled = table[list(classes.values())].notna().any(axis=1)
    if len(classes) > 1 and labelled.any():
        name = read_one_hot(table[labelled], file, list(classes))
        named = name.where(name.isin(NAMES), UNKNOWN)
        return table.drop(columns=list(classes.values())).assign(target=name, diagnosis=named)
    for alone in {MELANOMA, "malignant"} & classes.keys():
        read_flags(table.loc[labelled, classes[alone]], file)  # says which is neither 0 nor 1
    # Of another class alone a column may be a feature: it is read where it is asked for.
    sure = (MELANOMA, "malignant", "benign")
    flags = [c for c in map(str, table) if _meaning(c)[0] in sure and _is_flags(table[c])]
    diagnosis = read_hierarchy(table)
    widest = optional_column(table, "benign_malignant", "diagnosis_1", "iddx_1")
    if len(flags) == 1:
        table = table.assign(target=read_targets(table[flags[0]], file, own=False))
    elif widest is not None:
        target, doubt = read_malignancy(widest, file)
        table = table.assign(target=target)
        table.attrs["indeterminate"] = tuple(table["image_id"][doubt])
    return table if diagnosis is None else table.assign(diagnosis=diagnosis)


def check_labels(table: pd.DataFrame, file: Path) -> None:
    """Refuse a table of which target, diagnosis and marked class contradict each other.

    Raises:
        TableError: They do; the first line is named.
    """
    columns = {
        name: table[name].astype(object) for name in ("target", "diagnosis") if name in table
    }
    marked = _marked(table.drop(columns=list(columns)), file)
    if marked is not None:
        columns["class marked"] = marked
    for (one, first), (other, second) in combinations(columns.items(), 2):
        odd = find_odds(first, second) | find_odds(second, first)
        if odd.any():
            line = odd.index[odd][0]
            raise TableError(
                f"{file} line {line}: {table['image_id'].loc[line]} is {first[line]} by its {one} "
                f"and {second[line]} by its {other} ({int(odd.sum())} such rows): correct one, or "
                f"say that {one} is not meant (columns={{{one}: ''}})"
            )


def _marked(table: pd.DataFrame, file: Path) -> pd.Series | None:
    """Return the class of each row that has one mark among columns of 0 and 1, if there are any."""
    classes = find_classes(table, file)
    cells = table[list(classes.values())].replace({"0.0": "0", "1.0": "1"})
    if len(classes) < 2 or not (cells.isin(["0", "1"]) | cells.isna()).all(axis=None):
        return None
    marks = (cells == "1").set_axis(list(classes), axis="columns")
    return marks.idxmax(axis="columns").where(marks.sum(axis="columns") == 1).astype(object)


def check_no_labels(table: pd.DataFrame, file: Path) -> None:
    """Refuse a table without labels if a column of no telling name holds what may be some."""
    for name in map(str, table.columns):
        texts = [str(text) for text in table[name].dropna().unique()[:100]]
        ours = "diagnosis" if all(map(_is_diagnosis, texts)) else "target"
        classes = all(_is_diagnosis(text) or text.lower() in GROUPS for text in texts)
        marks = _is_diagnosis(name) or name.lower() in _TELLING
        if texts and (classes or (marks and {t.lower() for t in texts} <= _BINARY.keys())):
            raise TableError(
                f"{file}: no column target or diagnosis, but {name!r} holds "
                f"{', '.join(texts[:3])}: read it as one (columns={{{ours}: {name}}}), or say that "
                f"there is none (columns={{{ours}: ''}})"
            )


def read_targets(values: pd.Series, file: Path, *, own: bool) -> pd.Series:
    """Read classes; a word for missing is none, and one that may name a class is refused."""
    cells = whole_ids(blank_missing(values, names=False))
    texts = {str(text) for text in cells.dropna().unique()}
    numbers = {text for text in texts if text.lstrip("-").isdigit()}
    if "-1" in texts and texts == numbers:
        if "0" not in texts:
            raise TableError(
                f"{file}: {values.name} says -1 beside {sorted(texts - {'-1'})}: is -1 a class, "
                "or is it unknown? Write 0 and 1, or leave the cells empty"
            )
        cells = cells.mask(cells == "-1")
    unsaid = cells[cells.astype(str).str.lower().isin(UNSAID_NAMES)]
    if len(unsaid) and not own:
        raise TableError(
            f"{file} line {unsaid.index[0]}: {values.name} is {unsaid.iloc[0]!r} ({len(unsaid)} of "
            f"{len(values)} such): is that a class, or is it not known? Leave the cell empty where "
            f"it is not known; name a class otherwise (no_lesion, say); or map the column as the "
            f"diagnosis (columns: diagnosis={values.name}), which may be unknown"
        )
    texts -= {"-1"}
    if texts and {text.lower() for text in texts} <= _BINARY.keys():
        yes, no = _meaning(str(values.name))
        cells = cells.str.lower().map(_BINARY)
        return cells.map({True: yes or MELANOMA, False: no or OTHER})
    soft = cells[cells.astype(str).str.fullmatch(r"\d*[.,]\d+")]
    if len(soft):
        raise TableError(
            f"{file} line {soft.index[0]}: {values.name} is {soft.iloc[0]!r} ({len(soft)} such "
            "rows), a fraction and no class: predictions are no labels; write 0 and 1, or names"
        )
    names = {}
    for text in texts:
        try:
            names[text] = find_diagnosis(text)
        except ValueError:  # a class of the user's own
            names[text] = "_".join(text.lower().split())
    return cells.map(names)


def _is_flags(values: pd.Series) -> bool:
    texts = {str(text).lower() for text in blank_missing(values, names=False).dropna().unique()}
    return bool(texts) and texts <= _BINARY.keys()


def _meaning(column: str) -> tuple[str, str]:
    """Return what 1 and 0 mean in a column; empty where its name does not say it."""
    words = re.findall(r"[^\W_]+", column.lower())
    text = " ".join(word for word in words if word not in ("is", "has"))
    if text in _MALIGNANCY:
        return "malignant", "benign"
    if text == "benign":
        return "benign", "malignant"
    return (find_diagnosis(text), OTHER) if _is_diagnosis(text) else ("", "")


def _is_diagnosis(text: str) -> bool:
    try:
        return find_diagnosis(text) != UNKNOWN
    except ValueError:
        return False


# The unknown: images without a diagnosis, some of which a model can name.
#
# Of the benign images of SIIM-ISIC 2020 five in six have the diagnosis unknown, and most of them
# are nevi. A network that learns diagnoses would learn the two names as two classes that look
# alike.

_NAMED = ("malignant", MELANOMA)  # targets that are never renamed, whatever the diagnosis says


RELABEL_COLUMNS = (
    "diagnosis", "percentile", "threshold", "known", "unknown", "relabelled", "not_predicted",
)  # fmt: skip


def relabel_unknown(
    images: pd.DataFrame,
    predictions: pd.DataFrame | None = None,
    *,
    of: str = "nevus",
    percentile: float = 5.0,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Give unknown images the diagnosis that a model sees in them as surely as in known ones.

    The threshold is a percentile of the score of images that are known to be `of`; unknown images
    that reach it are called so (Pan 2020, second place of SIIM-ISIC 2020: the 5th percentile of
    known nevi). So about the remaining share of true ones among the unknown is found; how many
    of those renamed are something else is not known.

    The threshold is fitted on out-of-fold rows (fold 0 or more) alone, for a network is sure of
    what it has learnt, and then applied to unknown images in any row, those of fold -1 too, which
    no network has learnt from. Test images of the table and melanomas are never touched.

    Args:
        images: The images table.
        predictions: A predictions table of a model that was trained on labelled diagnoses; None:
            nothing is renamed, and there is no row of counts.
        of: The diagnosis to look for.
        percentile: Of the scores of known images, 0 to 100; the greater, the fewer are renamed.

    Returns:
        The table with `diagnosis` changed, and `target` where it was unknown too; and one row of
        counts: `diagnosis, percentile, threshold, known` (images that the threshold is from),
        `unknown` (before), `relabelled, not_predicted` (unknown, but in no row).

    Raises:
        ValueError: Predictions do not hold the class or any known image of it out of fold, the
            percentile is out of bounds, or `of` cannot be given.
    """
    if of not in NAMES or of in (UNKNOWN, MELANOMA):
        raise ValueError(f"of is {of!r}; use a diagnosis other than {UNKNOWN} and {MELANOMA}")
    if not 0 <= percentile <= 100:
        raise ValueError(f"percentile is {percentile}; use 0 to 100")
    if predictions is None:
        return images, pd.DataFrame(columns=list(RELABEL_COLUMNS))
    rows = _rows(predictions, of)
    there = match(images["image_id"], rows["image_id"])
    score, fold = (rows[n].reindex(there).set_axis(images.index) for n in ("score", "fold"))
    learnt = images["split"].ne("test") if "split" in images else pd.Series(True, images.index)
    scores = score[learnt & (images["diagnosis"] == of) & (fold != TEST)].dropna()
    if scores.empty:
        raise ValueError(
            f"relabel: predictions hold no out-of-fold row of an image known as {of}: "
            "give those of a model that was trained on folds of these images"
        )
    threshold = float(np.percentile(scores, percentile))
    unknown = learnt & (images["diagnosis"] == UNKNOWN) & ~images["target"].isin(_NAMED)
    relabelled = unknown & (score >= threshold)
    same = relabelled & (images["target"].isna() | (images["target"] == UNKNOWN))
    changed = images.assign(
        diagnosis=images["diagnosis"].where(~relabelled, of),
        target=images["target"].where(~same, of),
    )
    counts = {
        "diagnosis": of, "percentile": percentile, "threshold": threshold, "known": len(scores),
        "unknown": int(unknown.sum()), "relabelled": int(relabelled.sum()),
        "not_predicted": int((unknown & score.isna()).sum()),
    }  # fmt: skip
    return changed, pd.DataFrame([counts])


def _rows(predictions: pd.DataFrame, of: str) -> pd.DataFrame:
    """Return the image, the score of a class and the fold."""
    check_predictions(predictions)
    if f"p_{of}" not in predictions:
        names = [c for c in predictions if str(c).startswith("p_")]
        raise ValueError(f"relabel: predictions have no column p_{of} (classes: {names})")
    rows = predictions[["image_id", f"p_{of}", "fold"]].reset_index(drop=True)
    return rows.set_axis(["image_id", "score", "fold"], axis=1)


DIAGNOSIS = "diagnosis"
MASK = "mask"
LESION = "lesion"  # the one class of task mask
TASKS = ("native", MELANOMA, DIAGNOSIS, MASK)


def set_task(images: pd.DataFrame, task: str) -> pd.DataFrame:
    """Return the table with the targets of a task; images without a target stay without.

    Task `native` leaves the source's own classes as they are. Task `melanoma` keeps melanoma and
    calls every other class `other`. Task `diagnosis` makes every diagnosis of the ontology a class,
    `unknown` among them: that an image is not known to be more than benign is learnt too, as the
    winners of SIIM-ISIC 2020 did (Ha et al. 2020), and melanoma is read off. Where the classes
    are malignant and benign, the diagnosis tells which are melanoma.

    Task `mask` learns where the lesion is: every image with a mask is of the one class `lesion`,
    whatever the source says of it, and an image without one has no target.

    Raises:
        ValueError: There is no such task; nothing tells which images are melanoma; or no
            diagnosis but melanoma is named, or the diagnosis is at odds with the target; or, of
            task mask, no image has a mask.
    """
    if task not in TASKS:
        raise ValueError(f"no task {task!r} (tasks: {', '.join(TASKS)})")
    if task == "native":
        return images
    if task == MASK:
        return images.assign(target=_masked(images))
    labelled = images["target"].notna()
    target = _diagnoses(images) if task == DIAGNOSIS else _melanoma(images, labelled)
    return images.assign(target=target.where(labelled))


def merge_rare(images: pd.DataFrame, *, rarest: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Merge classes of too few images to be learnt and measured into `other`.

    Images of split test do not count. If all rare classes together are too few still, the next
    larger joins them. Melanoma is never merged; nor is a class of test images alone, which no
    model of these data can know.

    Args:
        images: The images table, its targets set.
        rarest: The fewest images of a class; 0: nothing is merged.

    Returns:
        The table with targets merged (the diagnosis stays), and one row per class as it was, the
        most frequent first: `target, images` (to learn from), `learnt_as`.
    """
    learnt = images[images["split"].ne("test")] if "split" in images else images
    counts = learnt["target"].value_counts()
    others = counts.drop(MELANOMA, errors="ignore").sort_index().sort_values(kind="stable")
    merged = list(others.index[others < rarest])
    while merged and counts[merged].sum() < rarest and len(merged) < len(others):
        merged = list(others.index[: len(merged) + 1])
    learnt_as = [OTHER if name in merged else name for name in counts.index]
    columns = {"target": counts.index, "images": counts.to_numpy(), "learnt_as": learnt_as}
    target = images["target"].where(~images["target"].isin(merged), OTHER)
    return images.assign(target=target), pd.DataFrame(columns)


def _melanoma(images: pd.DataFrame, labelled: pd.Series) -> pd.Series:
    classes = set(images["target"].dropna())
    named = images[DIAGNOSIS if "malignant" in classes else "target"]
    # A test set may do without, if its classes say that it does.
    held_out = images["split"].eq("test") if "split" in images else False
    none = named.isin({*NAMES, OTHER, "benign"} - {UNKNOWN, MELANOMA}) & held_out
    if labelled.any() and not (named[labelled] == MELANOMA).any() and not none[labelled].all():
        raise ValueError(
            f"task melanoma: none of {labelled.sum()} labelled images is named melanoma (classes: "
            f"{sorted(classes)}): use task native, and name the one looked for in the report "
            "(positive), or name melanoma so, by its class folder or in the column diagnosis"
        )
    return pd.Series(np.where(named == MELANOMA, MELANOMA, OTHER), images.index, dtype=object)


def _masked(images: pd.DataFrame) -> pd.Series:
    if "mask_path" not in images or images["mask_path"].isna().all():
        raise ValueError(f"task mask: none of {len(images)} images has a mask (column mask_path)")
    return pd.Series(LESION, images.index, dtype=object).where(images["mask_path"].notna())


def _diagnoses(images: pd.DataFrame) -> pd.Series:
    """Return each image's diagnosis; where it is unknown, the target if that says more."""
    target, texts = images["target"], images[DIAGNOSIS].fillna(UNKNOWN).astype(object)
    odd = find_odds(target, texts)
    if odd.any():
        row = images[odd].iloc[0]
        raise ValueError(
            f"task diagnosis: {row['image_id']} has diagnosis {row[DIAGNOSIS]} but target "
            f"{row['target']} ({odd.sum()} such images): correct one of the two columns"
        )
    groups = target.where(~target.isin(GROUPS), UNKNOWN)
    named = texts.where(texts != UNKNOWN, groups)
    classes = set(named[target.notna()])
    if classes and classes <= {MELANOMA, UNKNOWN}:
        raise ValueError(
            f"task diagnosis: no diagnosis besides {sorted(classes)} is named in "
            f"{target.notna().sum()} labelled images: use task melanoma or native"
        )
    return named
