"""The tasks: what is to be learnt of each image, its target."""

from __future__ import annotations

import numpy as np
import pandas as pd

from melnb.data.sources.vocabulary import GROUPS, UNKNOWN, find_odds
from melnb.diagnoses import MELANOMA, NAMES, OTHER

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
    found = {"target": counts.index, "images": counts.to_numpy(), "learnt_as": learnt_as}
    target = images["target"].where(~images["target"].isin(merged), OTHER)
    return images.assign(target=target), pd.DataFrame(found)


def _melanoma(images: pd.DataFrame, labelled: pd.Series) -> pd.Series:
    classes = set(images["target"].dropna())
    named = images[DIAGNOSIS if "malignant" in classes else "target"]
    # A test set may do without, if its classes say that it does.
    held_out = images["split"].eq("test") if "split" in images else False
    none = named.isin({*NAMES, OTHER, "benign"} - {UNKNOWN, MELANOMA}) & held_out
    if labelled.any() and not (named[labelled] == MELANOMA).any() and not none[labelled].all():
        raise ValueError(
            f"task melanoma: none of {labelled.sum()} labelled images is named melanoma (classes: "
            f"{sorted(classes)}): use task native, or name melanoma so, by its class folder or in "
            "the column diagnosis"
        )
    return pd.Series(np.where(named == MELANOMA, MELANOMA, OTHER), images.index, dtype=object)


def _masked(images: pd.DataFrame) -> pd.Series:
    if "mask_path" not in images or images["mask_path"].isna().all():
        raise ValueError(f"task mask: none of {len(images)} images has a mask (column mask_path)")
    return pd.Series(LESION, images.index, dtype=object).where(images["mask_path"].notna())


def _diagnoses(images: pd.DataFrame) -> pd.Series:
    """Return each image's diagnosis; where it is unknown, the target if that says more."""
    target, said = images["target"], images[DIAGNOSIS].fillna(UNKNOWN).astype(object)
    odd = find_odds(target, said)
    if odd.any():
        row = images[odd].iloc[0]
        raise ValueError(
            f"task diagnosis: {row['image_id']} has diagnosis {row[DIAGNOSIS]} but target "
            f"{row['target']} ({odd.sum()} such images): correct one of the two columns"
        )
    own = target.where(~target.isin(GROUPS), UNKNOWN)
    named = said.where(said != UNKNOWN, own)
    classes = set(named[target.notna()])
    if classes and classes <= {MELANOMA, UNKNOWN}:
        raise ValueError(
            f"task diagnosis: no diagnosis besides {sorted(classes)} is named in "
            f"{target.notna().sum()} labelled images: use task melanoma or native"
        )
    return named
