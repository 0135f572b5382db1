"""Members joined by image id, and which of their rows may teach which.

What is fitted for the rows of a fold is fitted on the other folds, and what is fitted for test rows
on all out-of-fold rows; no patient or lesion may lie on both sides.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd

from melnb.patients.overlap import match
from melnb.tables import TEST, TableError, check_folds, check_predictions, class_names

Members = Mapping[str, pd.DataFrame]


def align(members: Members, *, same_folds: bool = True) -> dict[str, pd.DataFrame]:
    """Return the members with the same images in the same order, joined by id (`overlap.match`).

    Images bear the first member's ids, and classes stand in its order. What one member knows of a
    row (a test row's truth, a `patient_id`) is given to all.

    Args:
        members: Name and predictions of each member, in any order of rows.
        same_folds: Refuse members that were cut into folds otherwise, as whatever is fitted must.
            Else each keeps its own; test rows must be those of all.

    Raises:
        TableError: An image is missing from a member, or classes, folds or truths differ.
    """
    if not members:
        raise TableError("ensemble: there are no members: name one or more runs")
    for name, table in members.items():
        try:
            check_predictions(table)
        except TableError as error:
            raise TableError(f"member {name}: {error}") from error
    members = _named_alike(members)
    _check_same_images(members)
    tables = {n: t.sort_values("image_id", ignore_index=True) for n, t in members.items()}
    first = next(iter(tables.values()))
    classes = class_names(first)
    shared = first[["image_id", "fold"]].assign(truth=_known(tables, "truth"))
    for name, table in tables.items():
        if set(class_names(table)) != set(classes):
            raise TableError(
                f"member {name} has the classes {list(class_names(table))}, not {list(classes)}: "
                "blend runs of one task"
            )
        _check_same_folds(name, table, shared, same_folds)
        _check_same(name, table, "truth", shared)
    for column in sorted({str(c) for table in tables.values() for c in table.columns}):
        if column.endswith("_id") and column != "image_id":
            shared[column] = _known(tables, column)
    own = [*(f"p_{c}" for c in classes), "run", "views", "kind"]
    return {
        name: pd.concat([shared.assign(fold=table["fold"]), table[own]], axis=1)
        for name, table in tables.items()
    }


def shared_images(members: Members) -> tuple[dict[str, pd.DataFrame], pd.DataFrame]:
    """Return the members with those images alone that all of them hold, and what was left out.

    Returns:
        The members; and `member`, `images`, `left_out` (how many), `example` (one of them).

    Raises:
        TableError: Not one image is held by all.
    """
    members = _named_alike(members)
    ids = [{*table["image_id"]} for table in members.values()]
    shared = set.intersection(*ids) if ids else set()
    if not shared:
        raise TableError(f"ensemble: not one image is held by all of {list(members)}")
    kept = {n: t[t["image_id"].isin(shared)].reset_index(drop=True) for n, t in members.items()}
    lost = [sorted(own - shared) for own in ids]
    counts = {
        "member": list(members), "images": [len(own) for own in ids],
        "left_out": [len(names) for names in lost], "example": [(n or [""])[0] for n in lost],
    }  # fmt: skip
    return kept, pd.DataFrame(counts)


def teaching_rows(rows: pd.DataFrame) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Yield each fold, which rows are its own, and which may be fitted on for them.

    Cross-fitting: Wolpert 1992, Neural Networks 5:241. The truths of test rows are never among
    those fitted on.

    Args:
        rows: A predictions table.

    Yields:
        `fold` (-1, the test rows, always), its own rows and its teachers, as n booleans each.

    Raises:
        TableError: A patient or a lesion lies in two folds, or there is but one to fit on.
    """
    check_folds(rows, rows.reindex(columns=["image_id", "patient_id", "lesion_id"]))
    fold = rows["fold"].to_numpy()
    usable = fold != TEST
    number = len(np.unique(fold[usable]))
    if number < 2:
        raise TableError(
            f"ensemble: rows with a truth lie in {number} fold(s), and weights for one are fitted "
            "on the others: give members with two or more folds, or use method mean"
        )
    for k in sorted({TEST, *map(int, fold)}):
        yield k, fold == k, usable & (fold != k)


def _named_alike(members: Members) -> dict[str, pd.DataFrame]:
    """Give each member's images the ids that the first member has for them."""
    first = next(iter(members.values()), pd.DataFrame(columns=["image_id"]))["image_id"]
    named = {}
    for name, table in members.items():
        there = match(table["image_id"], first)
        ids = table["image_id"].to_numpy(dtype=object)
        theirs = np.where(there < 0, ids, first.to_numpy(dtype=object)[there])
        twice = pd.Series(theirs).duplicated(keep=False).to_numpy()
        named[name] = table.assign(image_id=np.where(twice, ids, theirs))
    return named


def _known(tables: Mapping[str, pd.DataFrame], column: str) -> pd.Series:
    """Return a column of aligned tables, each cell from the first member that knows it."""
    cells = [table[column].astype(object) for table in tables.values() if column in table]
    known = cells[0].where(cells[0].notna(), np.nan)
    for other in cells[1:]:
        known = known.where(known.notna(), other)
    return known


def _check_same_images(members: Members) -> None:
    everything = set().union(*(table["image_id"] for table in members.values()))
    lacks = []
    for name, table in members.items():
        lost = sorted(everything - set(table["image_id"]))
        if lost:
            shown = ", ".join(lost[:5]) + (" …" if len(lost) > 5 else "")
            lacks.append(f"{name} lacks {len(lost)} ({shown})")
    if lacks:
        raise TableError(
            f"ensemble: members hold different images: {'; '.join(lacks)}: "
            "predict the same images with every member first, or leave out what one lacks: "
            "shared_only=true"
        )


def _check_same_folds(
    name: str, table: pd.DataFrame, shared: pd.DataFrame, same_folds: bool
) -> None:
    if same_folds:
        instead = "; methods mean and rank, without select, need no same folds"
        _check_same(name, table, "fold", shared, instead)
    wrong = ((table["fold"] == TEST) != (shared["fold"] == TEST)).to_numpy()
    if wrong.any():
        row = int(wrong.argmax())
        raise TableError(
            f"member {name}: {table['image_id'].iloc[row]} is of fold {table['fold'].iloc[row]}, "
            f"but {shared['fold'].iloc[row]} in another member ({int(wrong.sum())} such images): "
            "a test row (-1) is one for all; a file without folds needs a column of truths"
        )


def _check_same(
    name: str, table: pd.DataFrame, column: str, shared: pd.DataFrame, instead: str = ""
) -> None:
    wrong = table[column].notna() & (table[column].astype(object) != shared[column])
    if wrong.any():
        row = int(wrong.to_numpy().argmax())
        raise TableError(
            f"member {name}: {column} of {table['image_id'].iloc[row]} is "
            f"{table[column].iloc[row]}, but {shared[column].iloc[row]} in another member "
            f"({int(wrong.sum())} such images): blend runs of the same folds and labels{instead}"
        )
