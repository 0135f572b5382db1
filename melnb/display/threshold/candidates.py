"""The images that can be among the worst errors at some threshold, with their pictures.

At any threshold the worst missed positives are the lowest-scored ones, as many as lie below it,
and the worst false alarms the highest-scored others: two lists that a threshold only cuts off.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import pandas as pd

from melnb import diagnoses
from melnb.display.gallery import OpenPicture, open_file, read_tile
from melnb.display.threshold.levels import Grouping
from melnb.evaluation.rows import first_by_score

Picture: TypeAlias = bytes | str | None
Pictures: TypeAlias = Mapping[str, Picture] | Callable[[str], Picture]
"""From an image's id to its picture: a JPEG, a `data:image/…` address, or nothing."""


def pictures_of(
    images: pd.DataFrame, *, size: int = 96, open_picture: OpenPicture = open_file
) -> Callable[[str], bytes]:
    """Return what reads the small JPEG of an image; empty when there is none.

    Args:
        images: Images table.
        size: Pixels on a side.
        open_picture: Opens a path as a square picture.
    """
    rows = images.set_index("image_id")[["path"]].to_dict("index")

    def read(image_id: str) -> bytes:
        row = rows.get(image_id)
        return read_tile(pd.Series(row), size, open_picture) if row else b""

    return read


def candidates(
    rows: pd.DataFrame,
    groups: list[Grouping],
    *,
    kept: int,
    pictures: Pictures | None = None,
) -> dict[str, list[dict[str, Any]]]:
    """Return the lowest-scored positives and the highest-scored others, the worst first.

    Args:
        rows: `rows.binary_rows` and `label`, the class of each row; numbered from 0.
        groups: Of the same rows; their levels are among an image's facts.
        kept: Images of each kind.
        pictures: Asked for these images alone.

    Returns:
        `missed` and `alarms`: each image's `score`, its `facts` as pairs of a name and a value
        (JSON's mappings may lose their order; the id is first), and its `picture` as a data
        address, which may be empty.
    """
    made = {}
    for name, part, rising in (("missed", rows["truth"], True), ("alarms", ~rows["truth"], False)):
        order = first_by_score(rows[part], kept, rising=rising)
        made[name] = [_candidate(rows.loc[k], groups, k, pictures) for k in order.index]
    return made


def data_address(picture: Picture) -> str:
    """Return a picture as an address that holds it.

    Raises:
        ValueError: A text is no address of a picture's data.
    """
    if isinstance(picture, str) and picture and not picture.startswith("data:image/"):
        raise ValueError(
            f"pictures: {picture[:40]!r} is no data:image/… address: give a JPEG's bytes"
        )
    if isinstance(picture, bytes):
        picture = f"data:image/jpeg;base64,{base64.b64encode(picture).decode()}" if picture else ""
    return picture or ""


def _candidate(
    row: pd.Series, groups: list[Grouping], place: int, pictures: Pictures | None
) -> dict[str, Any]:
    image_id = str(row["image_id"])
    facts: dict[str, Any] = {
        "image_id": image_id,
        "truth": diagnoses.title(str(row["label"])),
        "score": float(row["score"]),
        "fold": int(row["fold"]),
    }
    facts |= {group.column: group.levels[group.codes[place]] for group in groups}
    read = pictures if callable(pictures) or pictures is None else pictures.get
    return {
        "score": facts["score"],
        "facts": [list(pair) for pair in facts.items()],
        "picture": data_address(read(image_id)) if read else "",
    }
