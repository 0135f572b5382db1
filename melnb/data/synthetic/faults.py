"""Planted faults: data leakage, copies, shortcuts, wrong labels, each for one check of the audit.

A fault is planted in the table of a cohort, which then says what its pictures show: `drawn_as` (the
image whose picture it is), `change` (`turned`: by a quarter, and saved again) and `quality` of the
JPEG. `fold` parts its training patients in three, and test rows are of fold -1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from melnb.tables.checks import TEST
from melnb.tables.findings import FAIL, REVIEW

FOLDS, QUALITY, WORSE = 3, 92, 40  # quality of JPEGs, and of those that are saved again
_WRONG = 0.08  # share of labels that are flipped
# What an image shows, whoever it is said to be of.
_LOOKS = ("drawn_as", "true_lesion_id", "true_patient_id", "true_diagnosis", "looks_like",
          "atypia", "keratotic", "ita", "skin_tone")  # fmt: skip

Plant = Callable[[pd.DataFrame, np.random.Generator], pd.DataFrame]


class Fault(NamedTuple):
    """A fault that can be planted.

    Attributes:
        code: Of the check that finds it.
        severity: That the check then says.
        words: What is done.
        plant: Takes a table with folds, and returns it with the fault.
        also: Further checks that cannot but see it.
    """

    code: str
    severity: str
    words: str
    plant: Plant
    also: tuple[str, ...] = ()


def plant_faults(cohort: pd.DataFrame, faults: Iterable[str], *, seed: int = 0) -> pd.DataFrame:
    """Plant faults in the table of a cohort, in the order of their names.

    Args:
        cohort: Of `make_cohort`.
        faults: Names of `FAULTS`; none: the clean table with its folds.
        seed: Of the rows that are chosen.

    Raises:
        ValueError: A name is unknown, or the cohort is too small for it.
    """
    table = cohort.assign(drawn_as=cohort["image_id"], change="", quality=QUALITY)
    table["fold"] = _dealt(table, np.random.default_rng([seed, 30]))
    for name in faults:
        if name not in FAULTS:
            raise ValueError(f"no fault {name!r}: faults are {', '.join(FAULTS)}")
        # By its name, so that a fault is the same whichever others are planted.
        rng = np.random.default_rng([seed, 31, *name.encode()])
        try:
            table = FAULTS[name].plant(table, rng).reset_index(drop=True)
        except (IndexError, StopIteration):
            raise ValueError(
                f"{len(cohort)} images are too few for {name}: make more of them"
            ) from None
    return table


def _dealt(table: pd.DataFrame, rng: np.random.Generator) -> np.ndarray:
    """Deal training patients out to folds, those with melanomas first."""
    learnt = table[table["split"].ne("test")]
    people = learnt["true_diagnosis"].eq("melanoma").groupby(learnt["patient_id"]).sum()
    order = people.sample(frac=1, random_state=rng).sort_values(ascending=False, kind="stable")
    fold = pd.Series(np.arange(len(order)) % FOLDS, index=order.index)
    return table["patient_id"].map(fold).fillna(TEST).astype("int64").to_numpy()


def _single(table: pd.DataFrame, rng: np.random.Generator) -> list[int]:
    """Return training rows that are alone of their lesion, and not of their patient, drawn."""
    size = table.groupby("lesion_id")["image_id"].transform("size")
    people = table.groupby("patient_id")["image_id"].transform("size")
    rows = table.index[table["fold"].ne(TEST) & size.eq(1) & people.gt(1)]
    return [int(k) for k in rng.permutation(rows)]


def _apart(table: pd.DataFrame, rng: np.random.Generator) -> tuple[int, int]:
    """Return two such rows of one diagnosis in two folds, of two patients."""
    rows = _single(table, rng)
    alike = table["diagnosis"].eq(_at(table, rows[0], "diagnosis"))
    alike &= table["fold"].ne(_at(table, rows[0], "fold"))
    return rows[0], next(k for k in rows[1:] if alike[k])


def _at(table: pd.DataFrame, row: int, column: str) -> Any:
    return table.at[row, column]


def _with(table: pd.DataFrame, rows: Any, **values: Any) -> pd.DataFrame:
    """Return the table with other values in some rows."""
    for name, value in values.items():
        table.loc[rows, name] = value
    return table


def _several(table: pd.DataFrame, rng: np.random.Generator) -> int:
    """Return a training row whose lesion has another image."""
    rows = table.index[table["fold"].ne(TEST) & table["lesion_id"].duplicated()]
    return int(rng.permutation(rows)[0])


def _torn_patient(table: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    row = _single(table, rng)[0]
    return _with(table, row, fold=(_at(table, row, "fold") + 1) % FOLDS)


def _torn_lesion(table: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    row = _several(table, rng)
    return _with(table, row, patient_id="SP_NEW", fold=(_at(table, row, "fold") + 1) % FOLDS)


def _torn_image(table: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    first, second = _apart(table, rng)
    return _with(table, second, image_id=f"{_at(table, first, 'image_id')}_downsampled")


def _copied(table: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    first, second = _apart(table, rng)
    looks = [*_LOOKS, *(str(c) for c in table if str(c).startswith("has_"))]
    return _with(table, second, **{name: _at(table, first, name) for name in looks})


def _nearly_copied(table: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    before = table["drawn_as"].copy()
    table = _copied(table, rng)
    return _with(table, table["drawn_as"].ne(before), change="turned", quality=WORSE)


def _two_labels(table: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    return _relabelled(table, [_several(table, rng)])


def _flipped(table: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    return _relabelled(table, _single(table, rng)[: max(2, round(_WRONG * len(table)))])


def _relabelled(table: pd.DataFrame, rows: list[int]) -> pd.DataFrame:
    """Call melanomas nevi, and all else melanomas."""
    melanoma = table.loc[rows, "diagnosis"].eq("melanoma")
    table.loc[rows, "diagnosis"] = np.where(melanoma, "nevus", "melanoma")
    return table


def _shifted(table: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    labelled = table["diagnosis"].notna()
    table.loc[labelled, "diagnosis"] = np.roll(table.loc[labelled, "diagnosis"].to_numpy(), 1)
    return table


def _upsampled(table: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    again = table[table["diagnosis"].eq("melanoma") & table["fold"].ne(TEST)]
    again = again.assign(image_id=again["image_id"] + "_aug", change="turned")
    return pd.concat([table, again]).sample(frac=1, random_state=rng)


def _sorted(table: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    return table.sort_values("diagnosis", kind="stable")


def _met_test(table: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    row = int(rng.permutation(table.index[table["fold"].eq(TEST)])[0])
    return _with(table, row, patient_id=_at(table, _single(table, rng)[0], "patient_id"))


def _file_shortcut(table: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    return table.assign(quality=np.where(_is_melanoma(table), WORSE, QUALITY))


def _patient_shortcut(table: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    return table.assign(age=np.where(_is_melanoma(table), 80.0, 30.0))


def _corner_shortcut(table: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    return table.assign(has_corners=_is_melanoma(table))


def _is_melanoma(table: pd.DataFrame) -> pd.Series:
    return table["true_diagnosis"].eq("melanoma")


FAULTS: dict[str, Fault] = {
    "torn_patient": Fault(
        "MEL001", FAIL, "an image of a patient lies in another fold", _torn_patient
    ),
    "torn_lesion": Fault(
        "MEL002", FAIL, "an image of a lesion lies in another fold, under another patient",
        _torn_lesion,
    ),
    "torn_image": Fault(
        "MEL003", FAIL, "an image bears the name of another and `_downsampled`, in another fold",
        _torn_image,
    ),
    "copy": Fault(
        "MEL004", FAIL, "a picture stands byte for byte in another fold, under other ids", _copied
    ),
    "two_labels": Fault("MEL005", REVIEW, "two images of a lesion differ in target", _two_labels),
    "upsampled": Fault(
        "MEL006", REVIEW, "each melanoma of training is there twice, turned", _upsampled
    ),
    "sorted_rows": Fault("MEL007", REVIEW, "rows are sorted by diagnosis", _sorted),
    "met_test": Fault("MEL008", FAIL, "a test image is of a patient of training", _met_test),
    "near_copy": Fault(
        "MEL009", FAIL, "a picture stands turned and saved again in another fold, under other ids",
        _nearly_copied,
    ),
    "shifted_labels": Fault(
        "MEL010", FAIL, "labels are those of the row before", _shifted,
        ("MEL005", "MEL014", "MEL015"),
    ),
    "file_shortcut": Fault(
        "MEL011", FAIL, "melanomas are saved at a lower quality", _file_shortcut, ("MEL014",)
    ),
    "patient_shortcut": Fault(
        "MEL012", FAIL, "those with melanomas are old", _patient_shortcut, ("MEL014",)
    ),
    "corner_shortcut": Fault(
        "MEL013", FAIL, "dark corners are around each melanoma and nothing else", _corner_shortcut,
        ("MEL011", "MEL014"),
    ),
    "flipped_labels": Fault("MEL015", REVIEW, "labels are flipped", _flipped),
}  # fmt: skip
"""By name; MEL014 is of predictions, not of data."""


def faults_table() -> list[str]:
    """Return Markdown: which planted fault makes which check say what."""
    codes = sorted({fault.code for fault in FAULTS.values()})
    lines = ["| planted | " + " | ".join(code.removeprefix("MEL0") for code in codes) + " |"]
    lines.append("|---|" + "---|" * len(codes))
    for name, fault in FAULTS.items():
        marks = {fault.code: f"**{fault.severity}**", **dict.fromkeys(fault.also, "also")}
        row = " | ".join(marks.get(code, "") for code in codes)
        lines.append(f"| `{name}`: {fault.words} | {row} |")
    return lines
