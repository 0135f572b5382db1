"""A synthetic data set: who has which lesion; pictures, true masks and a table on disk."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from filelock import FileLock
from numpy.typing import NDArray

from melnb.data.synthetic import textures
from melnb.data.synthetic.album import check_not_starting, write_pictures
from melnb.data.synthetic.faults import plant_faults
from melnb.tables import schema
from melnb.tables.files import naming, old_folder, replace_folder

# Who has which lesion: the table behind the pictures.
#
# Sex, age and site follow the SIIM-ISIC 2020 training set (33,126 images), and so does their
# relation to melanoma; values are missing somewhat more often than there, so that a small set has
# some. The shares of melanoma and of dark skin are the demonstration's own: both are far higher.

DIAGNOSES = ("melanoma", "nevus", "benign_keratosis")
_ATYPIA = {"melanoma": 1.6, "nevus": -1.1, "benign_keratosis": -0.9}  # means; deviation 1
_KERATOTIC = {"melanoma": 0.06, "nevus": 0.08, "benign_keratosis": 0.65}
_SITES = {
    "torso": 0.509, "lower extremity": 0.254, "upper extremity": 0.150, "head/neck": 0.072,
    "palms/soles": 0.011, "oral/genital": 0.004,
}  # fmt: skip
_MISSING = {"sex": 0.01, "age": 0.01, "site": 0.02}
_VIEWS = (0.62, 0.24, 0.10, 0.04)  # of lesions with 1, 2, 3, 4 images
_LESIONS = (1.25, 0.9, 30)  # of a patient: mean and deviation of the logarithm, most
_RULER = 0.12  # share of images with a ruler where it is no shortcut


def make_cohort(
    *,
    images: int = 600,
    seed: int = 0,
    positives: float = 0.2,
    test: float = 0.15,
    leak: float = 0.0,
    shortcut: float = 0.0,
    tone_gap: float = 0.0,
) -> pd.DataFrame:
    """Make the table of a synthetic data set; nothing is drawn or written.

    Args:
        images: Rows.
        seed: Of every random choice. One seed with other switches gives the same people,
            lesions and views.
        positives: Share of images that show a melanoma.
        test: Share of patients set aside; the diagnosis of every other one is withheld.
        leak: Share of lesions with several images whose later images go under a new patient and
            a new lesion: near-duplicates that no id gives away.
        shortcut: 0: a ruler tells nothing; 1: it lies beside every melanoma and nowhere else.
        tone_gap: Share of lesions on brown and dark skin whose looks are those of a class drawn
            at random: 1 leaves no signal there.

    Returns:
        One row per image: what a data set publishes, then the truth behind it: `true_*`,
        `looks_like`, `atypia`, `keratotic`, `ita` (degrees), `skin_tone`, `has_*`.

    Raises:
        ValueError: A parameter is out of range.
    """
    for name, number, least in (("images", images, 1), ("seed", seed, 0)):
        if number < least or number != int(number):
            raise ValueError(f"{name} is {number!r}: give a whole number of {least} or more")
    _check_shares(positives=positives, test=test, leak=leak, shortcut=shortcut, tone_gap=tone_gap)
    table = _people(np.random.default_rng([seed, 10]), images)
    table["true_diagnosis"] = _diagnoses(np.random.default_rng([seed, 11]), table, positives)
    _add_looks(np.random.default_rng([seed, 12]), table, tone_gap)
    _add_things(np.random.default_rng([seed, 13]), table, shortcut)
    _add_ids(np.random.default_rng([seed, 14]), table, leak, seed)
    _add_split(np.random.default_rng([seed, 15]), table, test)
    _lose_values(np.random.default_rng([seed, 16]), table)
    first = ["image_id", "patient_id", "lesion_id", "diagnosis", "sex", "age", "site", "split"]
    hidden = ["patient", "lesion", "order"]
    return table[first + [c for c in table.columns if c not in (*first, *hidden)]]


def _check_shares(**values: float) -> None:
    for name, value in values.items():
        if not 0 <= value <= 1:
            raise ValueError(f"{name} is {value!r}: give a share from 0 to 1")


def _people(rng: np.random.Generator, images: int) -> pd.DataFrame:
    """Make one row per image, with the patient's and the lesion's own traits, in random order."""
    location, spread, most = _LESIONS
    lesions = np.clip(rng.lognormal(location, spread, images), 1, most).astype(int)
    patient = np.repeat(np.arange(images), lesions)
    views = rng.choice(np.arange(1, len(_VIEWS) + 1), len(patient), p=_VIEWS)
    lesion = np.repeat(np.arange(len(patient)), views)[:images]
    order = np.concatenate([np.arange(v) for v in views[: lesion[-1] + 1]])[:images]
    light = rng.normal(48, 13, images)
    ita = np.where(rng.random(images) < 0.18, rng.uniform(-50, 28, images), light)
    people = pd.DataFrame(
        {
            "sex": np.where(rng.random(images) < 0.52, "male", "female"),
            "age": np.clip(5 * np.round(rng.normal(48, 15, images) / 5), 15, 90),
            "ita": np.clip(ita, -50, 78).round(2),
        }
    )
    table = people.iloc[patient[lesion]].reset_index(drop=True)
    sites = rng.choice(list(_SITES), len(patient), p=list(_SITES.values()))
    table.insert(2, "site", sites[lesion])
    table = table.assign(patient=patient[lesion], lesion=lesion, order=order)
    return table.iloc[rng.permutation(images)].reset_index(drop=True)


def _diagnoses(
    rng: np.random.Generator, table: pd.DataFrame, positives: float
) -> NDArray[np.object_]:
    """Choose each lesion's diagnosis; melanoma goes to the older, to men, to the head."""
    lesions = table.drop_duplicates("lesion")
    frailty = rng.normal(0, 0.7, int(table["patient"].max()) + 1)
    risk = (
        0.045 * lesions["age"]
        + 0.35 * (lesions["sex"] == "male")
        + 0.9 * (lesions["site"] == "head/neck")
        + frailty[lesions["patient"]]
        + rng.logistic(0, 1, len(lesions))
    )
    riskiest = lesions["lesion"].iloc[np.argsort(-risk.to_numpy())]
    seen = table["lesion"].value_counts().reindex(riskiest).cumsum()
    melanomas = seen.index[seen <= positives * len(table) + 0.5]
    older = 1 / (1 + np.exp(-(lesions["age"] - 62) / 10))
    keratosis = lesions["lesion"][rng.random(len(lesions)) < older]
    where = table["lesion"]
    other = np.where(where.isin(keratosis), "benign_keratosis", "nevus")
    return np.where(where.isin(melanomas), "melanoma", other).astype(object)


def _add_looks(rng: np.random.Generator, table: pd.DataFrame, tone_gap: float) -> None:
    """Add what the pictures show: whose looks, how atypical, horn or pigment cells."""
    lesion = table["lesion"].to_numpy()
    number = lesion.max() + 1
    truths = table.drop_duplicates("lesion")["true_diagnosis"].to_numpy()
    anyone = rng.choice(truths, number)[lesion]
    blurred = (table["ita"] <= textures.DARK_BELOW) & (rng.random(number)[lesion] < tone_gap)
    looks = pd.Series(np.where(blurred, anyone, table["true_diagnosis"]))
    table["looks_like"] = looks
    table["atypia"] = (looks.map(_ATYPIA) + rng.standard_normal(number)[lesion]).round(4)
    table["keratotic"] = rng.random(number)[lesion] < looks.map(_KERATOTIC)
    table["skin_tone"] = table["ita"].map(textures.skin_tone)


def _add_things(rng: np.random.Generator, table: pd.DataFrame, shortcut: float) -> None:
    """Add which artefacts a picture has: hair and ink by lesion, the rest by image."""
    images, lesion = len(table), table["lesion"].to_numpy()
    hairy, inked = rng.random((2, lesion.max() + 1))
    melanoma = table["true_diagnosis"] == "melanoma"
    ruler = np.where(melanoma, _RULER + shortcut * (1 - _RULER), _RULER * (1 - shortcut))
    table["has_hair"] = hairy[lesion] < np.where(table["sex"] == "male", 0.42, 0.25)
    table["has_ruler"] = rng.random(images) < ruler
    table["has_ink"] = inked[lesion] < 0.05
    table["has_bubbles"] = rng.random(images) < 0.10
    table["has_corners"] = rng.random(images) < 0.2


def _add_ids(rng: np.random.Generator, table: pd.DataFrame, leak: float, seed: int) -> None:
    """Add true ids and published ones, in which `leak` parts images of one lesion.

    Published ids of another seed are others: two cohorts have nobody in common.
    """
    mark = str(seed) if seed else ""
    table["image_id"] = [f"SYN{mark}_{n:07d}" for n in range(1, len(table) + 1)]
    table["true_patient_id"] = table["patient"].map("P{:06d}".format)
    table["true_lesion_id"] = table["lesion"].map("L{:06d}".format)
    several = np.unique(table.loc[table["order"] > 0, "lesion"])
    several = rng.permutation(several)
    parted = table["lesion"].isin(several[: round(leak * len(several))]) & (table["order"] > 0)
    # Numbers are dealt anew, so that a parted patient does not stand out as the last ones.
    strange = table["patient"].max() + 1 + table["lesion"]
    table["patient_id"] = _numbered(rng, table["patient"].where(~parted, strange), f"SP{mark}_")
    strange = table["lesion"].max() + 1 + table["lesion"]
    table["lesion_id"] = _numbered(rng, table["lesion"].where(~parted, strange), f"SL{mark}_")


def _numbered(rng: np.random.Generator, groups: pd.Series, prefix: str) -> list[str]:
    codes, names = pd.factorize(groups)
    numbers = rng.permutation(len(names)) + 1
    return [f"{prefix}{number:06d}" for number in numbers[codes]]


def _add_split(rng: np.random.Generator, table: pd.DataFrame, test: float) -> None:
    """Set a share of patients aside that is like the rest in melanomas and in images.

    Every other one's diagnosis is published, to judge by once; the others' are withheld.
    """
    melanoma = table["true_diagnosis"] == "melanoma"
    patients = melanoma.groupby(table["patient_id"]).agg(["sum", "size"])
    patients["chance"] = rng.random(len(patients))
    patients = patients.sort_values(["sum", "size", "chance"])
    steps = np.floor(np.arange(len(patients) + 1) * test + rng.random())
    chosen = patients.index[np.diff(steps) > 0]
    test_rows, withheld = (table["patient_id"].isin(of_split) for of_split in (chosen, chosen[::2]))
    table["split"] = np.where(test_rows, "test", "train")
    table["diagnosis"] = table["true_diagnosis"].where(~withheld, np.nan)


def _lose_values(rng: np.random.Generator, table: pd.DataFrame) -> None:
    """Empty some values: sex and age of a patient, site of a lesion."""
    for column, group in (("sex", "patient"), ("age", "patient"), ("site", "lesion")):
        lost = rng.random(table[group].max() + 1) < _MISSING[column]
        table[column] = table[column].where(~lost[table[group]], np.nan)


_DRAWING = 2  # raise it when the same settings give another set: old ones are then made again
_SETTINGS = "synthetic.json"


def make_dataset(
    folder: str | Path,
    *,
    images: int = 600,
    seed: int = 0,
    positives: float = 0.2,
    test: float = 0.15,
    leak: float = 0.0,
    shortcut: float = 0.0,
    tone_gap: float = 0.0,
    faults: Sequence[str] = (),
    image_size: int = 256,
    workers: int = 0,
) -> Path:
    """Make a synthetic data set, unless the folder already holds it.

    Writes `images/*.jpg`, `masks/*.png` (0 or 255) and `metadata.csv`, first into
    `<folder>.partial`, which is then renamed. A set made with other settings is replaced.

    Args:
        folder: Of the data set; its parent is made if need be.
        images: How many pictures.
        seed: Of every random choice: the same seed gives the same bytes.
        positives: As in `make_cohort`, and so `test`, `leak`, `shortcut` and `tone_gap`.
        test: See `positives`.
        leak: See `positives`.
        shortcut: See `positives`.
        tone_gap: See `positives`.
        faults: Names of `faults.FAULTS`, planted for an audit to find; `metadata.csv` then has
            `fold`, too.
        image_size: Pixels on a side, 32 or more.
        workers: Processes; 0: one for each core; 1: this one.

    Returns:
        The folder.

    Raises:
        ValueError: A parameter is out of range.
        FileExistsError: The folder holds something that is not a synthetic data set.
        RefusedError: The disk is full, say.
        RuntimeError: A worker died; a script without `if __name__ == "__main__":`, say.
    """
    if image_size < 32:
        raise ValueError(f"image_size is {image_size!r}: give 32 pixels or more")
    switches = {"positives": positives, "test": test, "leak": leak}
    switches |= {"shortcut": shortcut, "tone_gap": tone_gap}
    sizes = {"images": images, "seed": seed, "image_size": image_size}
    settings: dict[str, object] = {"drawing": _DRAWING, **sizes, **switches}
    settings |= {"faults": [*faults]} if faults else {}
    folder = Path(folder).absolute()
    if _settings(folder) == settings and not old_folder(folder).exists():
        return folder
    check_not_starting()
    cohort = make_cohort(images=images, seed=seed, **switches)
    cohort = plant_faults(cohort, faults, seed=seed) if faults else cohort
    with naming(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
    with naming(folder), FileLock(folder.with_name(f".{folder.name}.lock")):
        shutil.rmtree(old_folder(folder), ignore_errors=True)  # of a call that was killed
        if _settings(folder) != settings:  # another process may have made it meanwhile
            _check_replaceable(folder)
            unfinished = folder.with_name(f"{folder.name}.partial")
            shutil.rmtree(unfinished, ignore_errors=True)
            _write(unfinished, cohort, settings, workers)
            replace_folder(unfinished, folder)
    return folder


def read_dataset_images(folder: str | Path) -> pd.DataFrame:
    """Read a synthetic data set as an images table; half of the test rows have no diagnosis.

    Where faults are planted, `fold` is there too.

    Raises:
        FileNotFoundError: The folder holds no data set.
    """
    folder = Path(folder).absolute()
    settings = _settings(folder)
    if not settings:
        raise FileNotFoundError(f"no {_SETTINGS} in {folder}: make_dataset makes a data set there")
    table = schema.read_table(folder / "metadata.csv")
    table = table.assign(
        path=[str(folder / "images" / f"{name}.jpg") for name in table["image_id"]],
        target=table["diagnosis"],
        source="synthetic",
        mask_path=[str(folder / "masks" / f"{name}.png") for name in table["image_id"]],
        width=settings["image_size"],
        height=settings["image_size"],
    )
    columns = [*schema.IMAGE_COLUMNS, "mask_path", "width", "height", "split"]
    if planted_faults(folder):
        columns.append("fold")
    return schema.check_images(table[columns])


def planted_faults(folder: str | Path) -> list[str]:
    """Return the names of the faults that were planted in a synthetic data set."""
    return [*_settings(Path(folder)).get("faults", ())]


def _settings(folder: Path) -> dict[str, Any]:
    """Return what a finished set was made with; nothing if there is none."""
    path = folder / _SETTINGS
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}


def _check_replaceable(folder: Path) -> None:
    if folder.exists() and not _settings(folder) and any(folder.iterdir()):
        raise FileExistsError(
            f"{folder} holds files but no synthetic data set ({_SETTINGS} is missing): "
            "name a folder that does not exist yet"
        )


def _write(folder: Path, cohort: pd.DataFrame, settings: dict[str, Any], workers: int) -> None:
    """Write pictures, masks, table and, last, the settings."""
    rows = cohort.to_dict("records")
    size = settings["image_size"]
    write_pictures(rows, folder, seed=settings["seed"], image_size=size, workers=workers)
    schema.write_table(cohort, folder / "metadata.csv")
    (folder / _SETTINGS).write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
