"""Data leakage by tables: patients, lesions, images and copies over folds, shards, files and test.

A table of rows is asked: `image_id`, and where known `patient_id`, `lesion_id`, `target` and
`part`: the fold, shard or file in which a row lies; of test rows it is `test`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from melnb.data.audit.duplicates import find_identical
from melnb.tables.checks import TEST, TableError
from melnb.tables.delimited import read_delimited
from melnb.tables.findings import FAIL, NOT_CHECKED, PASS, REVIEW, Finding
from melnb.tables.marks import ALIKE, lasting_pairs
from melnb.tables.overlap import keys, make_groups, match, met_images
from melnb.tables.schema import ID_COLUMNS, PATIENT_COLUMNS
from melnb.tables.values import blank_missing

HELD_OUT = "test"
_PEOPLE = ("patient_id", "lesion_id")
# What anyone's tables call a column of ours; the first that is there is taken.
_NAMES = {
    "image_id": ID_COLUMNS,
    "patient_id": PATIENT_COLUMNS,
    "lesion_id": ("lesion_id", "lesion"),
    "target": ("target", "benign_malignant", "diagnosis", "dx", "label", "class", "truth"),
    "part": ("fold", "split", "partition", "set"),
}
# What up-sampling appends to the name of a row that it repeats.
_REPEATED = re.compile(r"[_\- ]*(?:aug|copy|dup|flip|rot|os)[a-z]*[_\-]?\d*$|[_ ]*\(\d+\)$", re.I)
_TEST_WORDS = (HELD_OUT, "testing", "test set", "test_set", "testset")
_OVER, _TIMES = 0.1, 3.0  # a class is up-sampled: share of its rows repeated; against the least


def audit_rows(images: pd.DataFrame, folds: pd.DataFrame | None = None) -> pd.DataFrame:
    """Return the rows of a prepared dataset as they are asked: its fold is a row's part.

    Args:
        images: The images table.
        folds: The folds table; None: no parts are known, but the test split.
    """
    rows = images.copy()
    if folds is None:
        split = rows.get("split", pd.Series(np.nan, rows.index, dtype=object))
        return rows.assign(part=split.where(split.eq(HELD_OUT)).astype(object))
    fold = rows["image_id"].map(folds.set_index("image_id")["fold"])
    named = fold.map(lambda k: HELD_OUT if k == TEST else f"fold {k:g}", na_action="ignore")
    return rows.assign(part=named.astype(object))


def read_parts(files: Sequence[str | Path], *, part: str = "") -> pd.DataFrame:
    """Read anyone's tables as rows to be asked.

    One file has its parts in a column (`fold`, `split` …); of several files each is a part, named
    by its stem, and one whose name begins with `test` holds test rows.

    Args:
        files: CSV files.
        part: The column that parts the rows, such as `tfrecord`; empty: as said above. Rows of
            part -1 are test rows in a column `fold`, and left out in any other.

    Raises:
        TableError: A file has no column of ids, or lacks the column asked for.
        OSError: A file cannot be read.
    """
    tables = []
    for file in files:
        table = read_delimited(file).reset_index(drop=True)
        rows = pd.DataFrame(
            {name: _column(table, aliases) for name, aliases in _NAMES.items()}, table.index
        )
        if rows["image_id"].isna().all():
            raise TableError(
                f"{file}: columns are {list(table.columns)}; an id is needed, in a column called "
                f"one of {list(ID_COLUMNS)}"
            )
        if part and part not in table:
            raise TableError(f"{file}: no column {part!r} among {list(table.columns)}")
        if part:
            rows["part"] = blank_missing(table[part])
        elif len(files) > 1:
            rows["part"] = _stem(file)
        tables.append(_without_aside(rows, part))
    return pd.concat(tables, ignore_index=True)


def _column(table: pd.DataFrame, aliases: Iterable[str]) -> pd.Series:
    names = {str(name).strip().casefold(): name for name in reversed([*table.columns])}
    column = next((names[alias] for alias in aliases if alias in names), None)
    if column is None:
        return pd.Series(np.nan, table.index, dtype=object)
    return blank_missing(table[column])


def _stem(file: str | Path) -> str:
    stem = Path(file).stem
    return HELD_OUT if stem.casefold().startswith(HELD_OUT) else stem


def _without_aside(rows: pd.DataFrame, part: str) -> pd.DataFrame:
    """Name the part of rows numbered -1, or leave them out."""
    values = rows["part"].map(lambda v: str(v).removesuffix(".0"), na_action="ignore")
    values = values.mask(values.astype(str).str.casefold().isin(_TEST_WORDS), HELD_OUT)
    aside = values.eq("-1")
    if part in ("", "fold"):
        return rows.assign(part=values.mask(aside, HELD_OUT))
    return rows.assign(part=values)[~aside]


def leak_findings(rows: pd.DataFrame, *, copies: pd.DataFrame | None = None) -> list[Finding]:
    """Say which patients, lesions, images and copies lie in two parts, and what else leaks.

    Args:
        rows: Of `audit_rows` or `read_parts`.
        copies: `duplicates.find_identical` or `find_copies`: `image_id` and `identical`, the number
            of a set of equal pictures; None: pictures were not compared.

    Returns:
        Findings of the checks MEL001 to MEL006 and MEL008.
    """
    learnt = rows[rows["part"].ne(HELD_OUT)]
    return [
        _parted(learnt, "MEL001", "patient"),
        _parted(learnt, "MEL002", "lesion"),
        _parted(learnt, "MEL003", "image"),
        _parted_copies(rows, copies),
        _two_labels(rows, copies),
        _upsampled(learnt, copies),
        _met(rows, copies),
    ]


def _parted(rows: pd.DataFrame, code: str, of: str) -> Finding:
    """Say which patients, lesions or images lie in two parts."""
    ids = keys(rows[f"{of}_id"], of=of) if f"{of}_id" in rows else pd.Series(dtype=object)
    if ids.isna().all():
        return Finding(code, NOT_CHECKED, 0, f"no {of}_id is known", f"give {of}_id")
    if rows["part"].isna().all():
        words = "no parts are known: no column fold or split, and one table"
        return Finding(code, NOT_CHECKED, 0, words, "give a column of parts, or several files")
    if rows["part"].nunique() == 1:
        name = rows["part"].dropna().iloc[0]
        words = f"beside test rows, of which MEL008 asks, {name!r} is the only part"
        return Finding(code, NOT_CHECKED, 0, words, "give a column of folds as well")
    asked = ids.notna() & rows["part"].notna()
    counts = rows.loc[asked, "part"].groupby(ids[asked]).nunique()
    parted = counts[counts > 1].index
    if not len(parted):
        silent = len(rows) - int(asked.sum())
        without = f"; {silent:,} rows without {of}_id or part were not asked" if silent else ""
        return Finding(code, PASS, 0, f"{len(counts):,} {of}s, each in one part{without}")
    first = rows.loc[ids == parted[0]]
    share = len(parted) / len(counts)
    words = (
        f"{len(parted):,} of {len(counts):,} {of}s ({share:.1%}) lie in two parts or more, the "
        f"first {first[f'{of}_id'].iloc[0]!r} in {_listed(first['part'])}"
    )
    return Finding(code, FAIL, int(ids.isin(parted).sum()), words)


def _parted_copies(rows: pd.DataFrame, copies: pd.DataFrame | None) -> Finding:
    """Say which equal pictures lie in two parts, or in one."""
    if copies is None:
        return Finding("MEL004", NOT_CHECKED, 0, "pictures were not compared", "run 02b_audit")
    number = _numbers(rows, copies)
    if number.isna().all():
        return Finding("MEL004", PASS, 0, "no two pictures are equal")
    parts = rows["part"].groupby(number).nunique()
    parted, sets = int((parts > 1).sum()), int(number.nunique())
    first = _listed(rows.loc[number == number.dropna().iloc[0], "image_id"])
    words = f"{sets:,} sets of equal pictures, {parted:,} of them in two parts; the first: {first}"
    severity = FAIL if parted else REVIEW
    return Finding("MEL004", severity, int(number.notna().sum()), words)


def _two_labels(rows: pd.DataFrame, copies: pd.DataFrame | None) -> Finding:
    """Say which copies of a picture, by name or by pixels, and which lesions have two targets."""
    if "target" not in rows or rows["target"].isna().all():
        return Finding("MEL005", NOT_CHECKED, 0, "no target is known", "give target")
    sets = {"image": keys(rows["image_id"])}
    if copies is not None:
        sets["picture"] = _numbers(rows, copies)
    if "lesion_id" in rows:
        sets["lesion"] = keys(rows["lesion_id"], of="lesion")
    for name, number in sets.items():
        labels = rows["target"].groupby(number).nunique()
        torn = labels[labels > 1].index
        if len(torn):
            first = rows[number == torn[0]]
            words = (
                f"{len(torn):,} {name}s have two targets, the first {_listed(first['image_id'])}: "
                f"{_listed(first['target'])}"
            )
            severity = REVIEW if name == "lesion" else FAIL
            return Finding("MEL005", severity, int(number.isin(torn).sum()), words)
    return Finding("MEL005", PASS, 0, f"asked of each {', '.join(sets)}: one target")


def _upsampled(rows: pd.DataFrame, copies: pd.DataFrame | None) -> Finding:
    """Say which class's rows are repeated, and whether the repeats lie in two parts."""
    if "target" not in rows or rows["target"].nunique() < 2:
        return Finding("MEL006", NOT_CHECKED, 0, "fewer than two targets are known", "give target")
    stems = rows["image_id"].map(lambda name: _REPEATED.sub("", str(name)))
    ids = keys(stems)
    if copies is not None:
        number = _numbers(rows, copies)
        ids = ids.mask(number.notna(), number.map("copy {}".format))
    repeated = ids.duplicated(keep=False)
    shares = repeated.groupby(rows["target"]).mean().sort_values()
    least, most, name = shares.iloc[0], shares.iloc[-1], shares.index[-1]
    if most < _OVER or most < _TIMES * least:
        return Finding("MEL006", PASS, 0, f"of no class are more than {most:.1%} of rows repeated")
    often = repeated & rows["target"].eq(name)
    parts = rows.loc[often, "part"].groupby(ids[often]).nunique()
    words = (
        f"{most:.1%} of the rows of {name!r} are repeated, {least:.1%} of those of "
        f"{shares.index[0]!r}; {int((parts > 1).sum()):,} repeats lie in two parts"
    )
    return Finding("MEL006", FAIL if (parts > 1).any() else REVIEW, int(often.sum()), words)


def _met(rows: pd.DataFrame, copies: pd.DataFrame | None) -> Finding:
    """Say which test rows have their image, lesion, patient or copy among the others."""
    test = rows["part"].eq(HELD_OUT)
    if not test.any() or test.all():
        which = "no" if not test.any() else "all"
        return Finding("MEL008", NOT_CHECKED, 0, f"{which} rows are test rows", "give a test part")
    columns = ["image_id", *(name for name in _PEOPLE if name in rows)]
    identical = None if copies is None else copies[["image_id", "identical"]]
    met = met_images(rows.loc[test, columns], rows.loc[~test, columns], identical=identical)
    if met.empty:
        return Finding("MEL008", PASS, 0, f"{int(test.sum()):,} test rows, none met in training")
    ways = ", ".join(f"{count:,} by {way}" for way, count in met["met_by"].value_counts().items())
    words = f"{len(met):,} of {int(test.sum()):,} test rows stand among the others: {ways}"
    return Finding("MEL008", FAIL, len(met), f"{words}; the first {met['image_id'].iloc[0]!r}")


def _numbers(rows: pd.DataFrame, copies: pd.DataFrame) -> pd.Series:
    """Return the number of each row's set of equal pictures, else NaN."""
    number = copies.drop_duplicates("image_id").set_index("image_id")["identical"]
    return rows["image_id"].map(number)


def _listed(values: pd.Series, most: int = 4) -> str:
    texts = list(dict.fromkeys(str(value) for value in values))
    return ", ".join(texts[:most]) + (" …" if len(texts) > most else "")


# Pairs that a person has settled: same_as.csv.

SAME_COLUMNS = ("image_id", "same_as", "kind", "similarity")


def identical_pictures(images: pd.DataFrame, *files: str | Path) -> pd.DataFrame:
    """Return sets of equal pictures: equal byte for byte, or settled to be so in files.

    Args:
        images: The images table.
        files: As `join_same` reads them; none: bytes alone say so.

    Returns:
        As `duplicates.find_identical`.
    """
    return join_same(find_identical(images), images, *files)


def join_same(identical: pd.DataFrame, images: pd.DataFrame, file: str | Path = "") -> pd.DataFrame:
    """Join pairs that are settled to sets of equal pictures, so that folds keep both together.

    Args:
        identical: Of `duplicates.find_identical`.
        images: The images table; pairs of which it lacks an image are passed over. Ids that differ
            by folder, suffix or case alone are of one image (`overlap.match`).
        file: `same_as.csv`: `image_id` and `same_as`, and a column `kind`, of which pairs called
            `look-alike` are passed over; with a column `when` too, the last row of a pair holds
            (`marks.add_pair`). Empty: nothing is joined.

    Returns:
        As `identical`, a row for each image of a set.

    Raises:
        TableError: The file lacks a column, or names no image of the table.
    """
    if not file:
        return identical
    pairs = read_delimited(file).reset_index(drop=True)
    for name in SAME_COLUMNS[:2]:
        if name not in pairs:
            raise TableError(f"{file}: columns are {list(pairs.columns)}; {name} is needed")
    if {"kind", "when"} <= {*pairs}:  # as a person settled them, one after the other
        pairs = lasting_pairs(pairs)
    if "kind" in pairs:
        pairs = pairs[pairs["kind"].ne(ALIKE)]
    places = {name: match(pairs[name], images["image_id"]) for name in SAME_COLUMNS[:2]}
    if len(pairs) and all((place < 0).all() for place in places.values()):
        raise TableError(
            f"{file} names {len(pairs)} pairs ({pairs['image_id'].iloc[0]} first), and no image of "
            f"them is among the {len(images)} of this dataset: name the file of its own pairs"
        )
    both = np.logical_and(*(place >= 0 for place in places.values()))
    ids = images["image_id"].to_numpy(dtype=object)
    pairs = pd.DataFrame({name: ids[place[both]] for name, place in places.items()})
    links = pd.concat(
        [pairs["image_id"], pairs["same_as"], identical["image_id"]], ignore_index=True
    )
    numbers = [f"pair {k}" for k in range(len(pairs))]
    sets = [*numbers, *numbers, *(f"set {k}" for k in identical["identical"])]
    graph = pd.DataFrame({"image_id": links, "patient_id": links, "lesion_id": sets})
    joined = graph.assign(identical=make_groups(graph)).drop_duplicates("image_id")
    members = images.merge(joined[["image_id", "identical"]], on="image_id")
    members["identical"] = pd.factorize(members["identical"])[0]
    return members.sort_values("identical", kind="stable")[list(identical.columns)].reset_index(
        drop=True
    )
