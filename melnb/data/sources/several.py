"""Several sources as one: multi-source training, leave one source out, copies between sources.

Ids of the ISIC archive are the archive's, whoever hands them on: `ISIC_0012345` of two sources is
one image, `IP_…` one patient, `IL_…` and `HAM_…` one lesion. Any other id is its source's own (two
clinics both have a patient 1), and gets the source's name in front. An image that stands in two
sources would be learnt and judged: it is refused, or kept in the first of them alone.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Literal

import numpy as np
import pandas as pd

from melnb.data.audit.duplicates import find_identical
from melnb.data.sources.layout import NOTES, make_images
from melnb.tables.checks import TableError
from melnb.tables.overlap import keys

Copies = Literal["error", "first"]
_ARCHIVE = r"(?i)(?:ISIC|HAM|IL|IP)_\d+(?:_downsampled)?"
_OWN = ("image_id", "patient_id", "lesion_id")


def join_sources(
    parts: Mapping[str, pd.DataFrame], *, task: str = "native", copies: Copies = "error"
) -> pd.DataFrame:
    """Join the images of several sources into one table.

    Args:
        parts: Images tables with the targets of a task, by the name that each source shall have.
        task: Of the targets: `native` asks for the same classes everywhere.
        copies: Of images that stand in two sources, by id or byte for byte: `error`, or `first`
            keeps the one of the source that is named first.

    Returns:
        The images table; `source` is the part's name, what was left out of later parts is in
        `attrs["in_another_source"]`, and the notes say of each pair of sources how many there were.

    Raises:
        ValueError: Task native, and the classes differ.
        TableError: An image stands in two sources, and `copies` is `error`.
    """
    _check_classes(parts, task)
    with_ids = {name: _with_own_ids(name, table) for name, table in parts.items()}
    shared = shared_images(with_ids)
    if len(shared) and copies == "error":
        first = shared.iloc[0]
        raise TableError(
            f"{len(shared)} images stand in two sources: {first['image_id']} of {first['source']} "
            f"is {first['shared']} of {first['first']}, by {first['met_by']}. A model would learn "
            "what it is judged on: set copies first to keep the one of the source named first"
        )
    kept = {
        name: table[~table["image_id"].isin(shared.loc[shared["source"] == name, "image_id"])]
        for name, table in with_ids.items()
    }
    joined = make_images("several", [*kept.values()])
    joined["source"] = np.repeat([*kept], [len(table) for table in kept.values()])
    attrs, notes = _told(parts)
    if len(shared):
        attrs["in_another_source"] = tuple(shared["image_id"])
        notes += _counted(shared)
    joined.attrs = dict(attrs) | ({NOTES: tuple(notes)} if notes else {})
    return joined


def shared_images(parts: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return the images that stand in an earlier source, too.

    Args:
        parts: Images tables by source.

    Returns:
        A row for each: `image_id`, `source`, `met_by` (image, or picture:
        the files are equal), `first` and `shared` (the earlier source, and the id there),
        `disagrees` (both have a target, and they differ).
    """
    columns = ["image_id", "patient_id", "lesion_id", "path", "target"]
    rows = [table[columns].astype(object).assign(source=name) for name, table in parts.items()]
    images = pd.concat(rows, ignore_index=True)
    order = pd.factorize(images["source"])[0]
    alike = find_identical(images.assign(image_id=images.index))
    number = images.index.to_series().map(alike.set_index("image_id")["identical"])
    meetings = pd.DataFrame(index=images.index, columns=["first", "shared", "met_by", "target"])
    for name, ids in (("picture", number), ("image", keys(images["image_id"]))):
        filled = ids.notna()
        at = pd.Series(images.index[filled], index=images.index[filled]).groupby(ids[filled])
        row = at.transform("first")
        later = row.index[order[row.index] > order[row]]
        met = images.loc[row[later], ["source", "image_id", "target"]].set_axis(later)
        meetings.loc[later, ["first", "shared", "target"]] = met.to_numpy(dtype=object)
        meetings.loc[later, "met_by"] = name
    overview = images[["image_id", "source"]].join(meetings.drop(columns="target"))
    both = images["target"].notna() & meetings["target"].notna()
    overview["disagrees"] = both & images["target"].astype(object).ne(meetings["target"])
    return overview[meetings["first"].notna()]


def _check_classes(parts: Mapping[str, pd.DataFrame], task: str) -> None:
    classes = {name: {*table["target"].dropna()} for name, table in parts.items()}
    stated = {name: names for name, names in classes.items() if names}
    if task == "native" and len({frozenset(names) for names in stated.values()}) > 1:
        listed = "; ".join(f"{name}: {', '.join(sorted(names))}" for name, names in stated.items())
        raise ValueError(
            f"task native: the sources have other classes ({listed}): use task melanoma, or "
            "diagnosis where each names its diagnoses"
        )


def _with_own_ids(name: str, table: pd.DataFrame) -> pd.DataFrame:
    """Return a part whose ids are its own, but for the archive's."""
    renamed = table.copy()
    renamed.attrs = {}
    for column in _OWN:
        ids = renamed[column].astype(object)
        local = ids.notna() & ~ids.astype(str).str.fullmatch(_ARCHIVE)
        mark = "-" if column == "image_id" else "/"
        renamed[column] = ids.where(~local, name + mark + ids.astype(str))
    return renamed


def _told(parts: Mapping[str, pd.DataFrame]) -> tuple[dict[Hashable, tuple[str, ...]], list[str]]:
    """Return what the parts' readers left out or noted, together."""
    attrs: dict[Hashable, tuple[str, ...]] = {}
    notes: list[str] = []
    for name, table in parts.items():
        notes += [f"{name}: {line}" for line in table.attrs.get(NOTES, ())]
        for kind, ids in table.attrs.items():
            if kind != NOTES:
                attrs[kind] = (*attrs.get(kind, ()), *ids)
    return attrs, notes


def _counted(shared: pd.DataFrame) -> list[str]:
    """Return a line for each two sources that share images."""
    lines = []
    for (source, first), group in shared.groupby(["source", "first"], sort=False):
        by = ", ".join(f"{n} by {how}" for how, n in group["met_by"].value_counts().items())
        odd = int(group["disagrees"].sum())
        targets = f"; {odd} of them have another target there, and that is taken" if odd else ""
        lines.append(f"{source}: {len(group)} images stand in {first} too ({by}) and are left out"
                     f"{targets}")  # fmt: skip
    return lines
