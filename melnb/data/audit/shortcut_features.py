"""Shortcuts: baselines that never see the lesion, but the file, the patient or the border.

Spurious features: a model that gets far with them alone learnt how the set was gathered.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from melnb.data.audit.looks import BORDER, FILE, THUMBNAIL, Look, look_at
from melnb.data.pictures import PictureError, read_picture
from melnb.tables.checks import TEST
from melnb.tables.processes import count_cores, make_pool

_FEW, _CHUNK = 200, 32  # pictures for which another process does not pay; handed out at a time
_MOSTLY = 0.5  # of the images whose value must be known, or nobody has asked
_PATIENT = ("sex", "age", "site", "images_per_patient")


@dataclass(frozen=True)
class Looks:
    """What a look at n pictures says; pictures that cannot be read are among them.

    Attributes:
        table: `image_id`, `digest`, `note`, the numbers of the file and those of the border.
        thumbnails: n x 64 x 64 x 3, uint8, in the same order.
    """

    table: pd.DataFrame
    thumbnails: np.ndarray

    @property
    def unread(self) -> pd.DataFrame:
        """The pictures that could not be read, and why."""
        failed = self.table["note"].ne("")
        return self.table.loc[failed, ["image_id", "note"]].reset_index(drop=True)


def shortcut_features(
    looks: Looks, images: pd.DataFrame, folds: pd.DataFrame
) -> dict[str, pd.DataFrame]:
    """Return what baselines learn from that never see the lesion.

    Args:
        looks: Of `look_at_pictures` of the same images.
        images: The images table.
        folds: The folds table: with fewer than two folds nothing can be learnt and judged.

    Returns:
        `file` (size, proportion, bytes, JPEG tables; of what was not looked at, the size that its
        table knows), `patient` (sex, age, site, images of the
        patient) and `border` (colours at the four sides and outside the largest ellipse), each
        `image_id` and the columns that vary; what never does, or is mostly unknown, is left out.
    """
    learnt = folds.loc[folds["fold"].ne(TEST), ["image_id", "fold"]]
    targets = images.loc[images["image_id"].isin(learnt["image_id"]), "target"]
    if targets.nunique() < 2 or learnt["fold"].nunique() < 2:
        return {}
    counts = images["patient_id"].map(images["patient_id"].value_counts())
    people = images.assign(images_per_patient=counts.astype(float))
    given = {"file": (_with_sizes(looks.table, images), FILE), "patient": (people, _PATIENT),
             "border": (looks.table, BORDER)}  # fmt: skip
    tables = {
        name: table[["image_id", *(c for c in columns if _tells(table[c]))]]
        for name, (table, columns) in given.items()
    }
    return {
        name: table.reset_index(drop=True)
        for name, table in tables.items()
        if len(table.columns) > 1
    }


def _tells(column: pd.Series) -> bool:
    return bool(column.nunique() > 1 and column.notna().mean() >= _MOSTLY)


def _with_sizes(looked: pd.DataFrame, images: pd.DataFrame) -> pd.DataFrame:
    """Return looks with the size that the images table knows, where there was no picture."""
    if not {"width", "height"} <= {*images}:
        return looked
    sizes = images.set_index("image_id")[["width", "height"]].astype(float)
    sizes = sizes.reindex(looked["image_id"]).reset_index(drop=True)
    sizes["aspect"] = sizes["width"] / sizes["height"]
    sizes["megapixels"] = sizes["width"] * sizes["height"] / 1e6
    return looked.reset_index(drop=True).fillna(sizes)


def look_at_pictures(images: pd.DataFrame, *, workers: int = 0) -> Looks:
    """Look at each picture once: about a thousand small ones a second on two cores.

    Args:
        images: The images table; a row without a path is a picture that cannot be read.
        workers: Processes; 0: one for each core; 1: this one.
    """
    paths = images["path"].fillna("").astype(str).tolist()
    processes = min(workers or count_cores(), len(paths) // _FEW + 1)
    if processes <= 1:
        looks = [look_at(path) for path in paths]
    else:
        with make_pool(processes) as pool:
            looks = list(pool.map(look_at, paths, chunksize=_CHUNK))
    return _joined(images, looks)


def _joined(images: pd.DataFrame, looks: list[Look]) -> Looks:
    numbers = np.array([[*look.file, *look.border] for look in looks], dtype=float)
    names = [*FILE, *BORDER]
    table = pd.DataFrame(numbers.reshape(-1, len(names)), columns=names)
    words = {"digest": [k.digest for k in looks], "note": [k.note for k in looks]}
    head = pd.DataFrame({"image_id": images["image_id"].to_numpy(), **words})
    empty = np.zeros((0, THUMBNAIL, THUMBNAIL, 3), np.uint8)
    thumbnails = np.stack([k.thumbnail for k in looks]) if looks else empty
    return Looks(pd.concat([head, table], axis=1), thumbnails)


def find_copies(images: pd.DataFrame, looks: Looks) -> pd.DataFrame:
    """Find pictures that are equal pixel for pixel, whatever their files are.

    Those whose size and small pixels agree are compared whole.

    Args:
        images: The images table.
        looks: Of `look_at_pictures` of these images, in any order; others are not compared.

    Returns:
        `identical` (number of the set, from 0), `image_id`, `patient_id`, `lesion_id`, `target`,
        `path`, as of `find_identical`.
    """
    digest_of = looks.table.set_index("image_id")["digest"]
    digests = images["image_id"].map(digest_of).fillna("")
    alike = digests.ne("") & digests.duplicated(keep=False)
    pixels = [_pixels(path) for path in images.loc[alike, "path"]]
    copies = images[alike].assign(identical=np.array([*pixels, None], dtype=object)[:-1])
    copies = copies[copies["identical"].notna() & copies["identical"].duplicated(keep=False)]
    copies = copies.sort_values("image_id", kind="stable")
    copies["identical"] = pd.factorize(copies["identical"])[0]
    columns = ["identical", "image_id", "patient_id", "lesion_id", "target", "path"]
    return copies.sort_values("identical", kind="stable")[columns].reset_index(drop=True)


def _pixels(path: str) -> bytes | None:
    """Return all that there is of a picture, to compare."""
    try:
        picture = read_picture(path)
    except PictureError:
        return None
    return f"{picture.size}".encode() + picture.tobytes()
