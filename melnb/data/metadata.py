"""Metadata: sex, age, site and the like as numbers for a network.

A word becomes one cell for each category and one for missing; a number becomes its distance from
the training mean, in deviations, and a cell that says missing. What is missing or was never met in
training is thus a value of its own, and no row is lost or filled with a guess.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from melnb.tables.documents import read_as
from melnb.tables.files import replacing
from melnb.tables.values import blank_missing, read_numbers
from melnb.tables.within_patient import mean_and_deviation, standardised

METADATA_FILE = "metadata.json"  # beside the model.keras that was trained with it
WORDS = ("sex", "site")
NUMBERS = ("age", "images_per_patient")
COLUMNS = ("sex", "age", "site", "images_per_patient")


@dataclass(frozen=True)
class Cells:
    """What a network has to know of the cells of a row.

    Attributes:
        column: For each cell, the number of the column that it belongs to, from 0.
        missing: The row of which every column is missing.
    """

    column: tuple[int, ...]
    missing: tuple[float, ...]


@dataclass(frozen=True)
class Words:
    """A column of words: a cell for missing, then one for each category."""

    name: str
    categories: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        return (f"{self.name} missing", *(f"{self.name} {word}" for word in self.categories))

    def encode(self, values: pd.Series) -> np.ndarray:
        place = {word: k + 1 for k, word in enumerate(self.categories)}
        cells = values.map(place).fillna(0).to_numpy(dtype=int)
        return np.eye(len(place) + 1)[cells]


@dataclass(frozen=True)
class Number:
    """A column of numbers: a cell for the standardised value, 0 where missing, and for missing.

    A column that hardly varied in training has the deviation 0, and is 0 everywhere.
    """

    name: str
    mean: float
    deviation: float

    @property
    def names(self) -> tuple[str, ...]:
        return (self.name, f"{self.name} missing")

    def encode(self, values: pd.Series) -> np.ndarray:
        scaled = standardised(values.to_numpy(dtype=float), self.mean, self.deviation)
        missing = np.isnan(scaled)
        return np.column_stack([np.where(missing, 0, scaled), missing])


@dataclass(frozen=True)
class Encoder:
    """The table's words and numbers to rows of a network, as the training folds fixed it.

    Attributes:
        columns: In the order of their cells.
    """

    columns: tuple[Words | Number, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Name the cells."""
        return tuple(name for column in self.columns for name in column.names)

    @cached_property
    def cells(self) -> Cells:
        """Describe the cells for `heads.fuse`."""
        column = [k for k, c in enumerate(self.columns) for _ in c.names]
        empty = pd.Series([np.nan], dtype=float)
        missing = np.concatenate([c.encode(empty)[0] for c in self.columns])
        return Cells(tuple(column), tuple(missing.tolist()))

    def encode(self, images: pd.DataFrame) -> np.ndarray:
        """Encode every row of an images table.

        Images per patient are counted in the table that is given: give the whole table of a
        dataset, not a part of it. All images of a patient lie in one fold, so that they are as many
        in the training folds, which the encoder was fitted on, as in the whole table.

        Returns:
            n x cells, float32.

        Raises:
            ValueError: The table lacks a column.
        """
        values = [c.encode(read_column(images, c.name)) for c in self.columns]
        return np.concatenate(values, axis=1).astype("float32")

    def rows_for(
        self, image_ids: Sequence[str] | np.ndarray | pd.Series, images: pd.DataFrame
    ) -> np.ndarray:
        """Encode images in the order of their ids, such as that of records.

        Args:
            image_ids: Of the rows wanted; one may stand twice.
            images: The whole images table of the dataset.

        Returns:
            One row for each id, float32.

        Raises:
            ValueError: An id is not in the table, or doubled in it, or a column is lacking.
        """
        index = pd.Index(images["image_id"])
        if not index.is_unique:
            raise ValueError(f"images: {index[index.duplicated()][0]!r} stands in two rows")
        rows = index.get_indexer(pd.Index(np.asarray(image_ids, dtype=object)))
        if (rows < 0).any():
            lost = np.asarray(image_ids, dtype=object)[rows < 0]
            raise ValueError(
                f"images: no row for {lost[0]!r} ({len(lost)} of {len(rows)} image ids are "
                "lacking): give the images.csv that was prepared together with the records"
            )
        return np.asarray(self.encode(images)[rows])


def fit_encoder(images: pd.DataFrame, columns: Sequence[str]) -> Encoder:
    """Fix categories, means and deviations by the images of the training folds.

    Args:
        images: The rows of the training folds and no others: what is fitted on the held-out fold
            or on test images is learnt from them.
        columns: Of `COLUMNS`. `images_per_patient` is log(1 + count), see `Encoder.encode`.

    Raises:
        ValueError: A column is unknown, doubled or empty in every row; without patients,
            `images_per_patient` is.
    """
    if not columns or len(set(columns)) < len(columns):
        raise ValueError(f"metadata is {list(columns)}; name one or more of {list(COLUMNS)}, once")
    fitted: list[Words | Number] = []
    for name in columns:
        values = read_column(images, name)
        cells = values.dropna()
        if cells.empty:
            reason = "no patient is known" if name == "images_per_patient" else f"{name} is empty"
            raise ValueError(
                f"metadata names {name}, but in all {len(images)} training images {reason}: "
                "leave it out"
            )
        if name in WORDS:
            fitted.append(Words(name, tuple(sorted(cells.unique()))))
        else:
            mean, deviation = mean_and_deviation(cells.to_numpy())
            fitted.append(Number(name, float(mean), float(deviation)))
    return Encoder(tuple(fitted))


def read_column(images: pd.DataFrame, name: str) -> pd.Series:
    """Return a column of metadata: words as they are, numbers as float, missing as NaN.

    Raises:
        ValueError: The name is unknown, or the table lacks the column.
    """
    if name not in COLUMNS:
        raise ValueError(f"metadata names {name!r}; use some of {list(COLUMNS)}")
    source = "patient_id" if name == "images_per_patient" else name
    if source not in images:
        raise ValueError(f"metadata names {name}, but the images table has no column {source!r}")
    if name == "images_per_patient":
        # A patient's number of images tells how much there is to compare a lesion with.
        counts = images["patient_id"].map(images["patient_id"].value_counts())
        return counts.astype(float).map(np.log1p)
    if name in NUMBERS:
        return read_numbers(images[name], "images", negative=True, row="row")
    return blank_missing(images[name].astype(object))


def write_encoder(encoder: Encoder | None, path: str | Path) -> None:
    """Write an encoder, if there is one, as JSON, whole or not at all; it reads back to the bit.

    Args:
        encoder: None: nothing is written.
        path: A file, or a run's folder, where it is called `METADATA_FILE`.
    """
    if encoder is None:
        return
    path = Path(path) / METADATA_FILE if Path(path).is_dir() else Path(path)
    content = {"columns": [asdict(column) for column in encoder.columns]}
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def read_encoder(path: str | Path) -> Encoder:
    """Read what `write_encoder` wrote.

    Args:
        path: The file, or the folder that it lies in.

    Raises:
        FileNotFoundError: There is no such file.
        DamagedError: It does not hold an encoder.
    """
    path = Path(path) / METADATA_FILE if Path(path).is_dir() else Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"no {path.name} in {path.parent}, which says how the network's metadata was encoded: "
            "run 03_train again, or bring the file back"
        )
    return read_as(path, Encoder, "run 03_train again")
