"""The training set: all that one fold's network may learn from, and what it is told besides pixels.

One's own images come first, then those of other datasets, then those that only networks have
labelled; none of them is, or is near to, an image that the fold is judged on.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from melnb.data.datasets import Dataset, read_dataset
from melnb.data.epochs.external import add_external
from melnb.data.epochs.training_rows import Rows, join_rows, read_rows
from melnb.data.metadata import Cells, Encoder, fit_encoder
from melnb.data.pseudo_labels import pseudo_rows, read_labels
from melnb.data.shards.records import read_index
from melnb.tables.schema import join_images


@dataclass(frozen=True)
class TrainingSet:
    """What one fold's network may learn from.

    Attributes:
        rows: Images to learn from, with their metadata if any is asked for.
        borrowed: What became of the images of other datasets: dataset, reason, images.
        images: The images table of all datasets.
        encoder: How metadata become numbers; None: none are asked for.
        held_out_metadata: n x cells of the held-out images in file order; None: none.
    """

    rows: Rows
    borrowed: pd.DataFrame
    images: pd.DataFrame
    encoder: Encoder | None = None
    held_out_metadata: np.ndarray | None = None

    @property
    def cells(self) -> Cells | int:
        """Return what a network has to know of the metadata; 0: there are none."""
        return self.encoder.cells if self.encoder else 0


def training_set(
    own: Dataset,
    *,
    fold: int | None,
    image_size: int,
    external: Sequence[str] = (),
    external_drop: Collection[str] = (),
    pseudo: str = "",
    metadata: Sequence[str] = (),
    find: Callable[[str, Sequence[str]], Sequence[Path]],
) -> TrainingSet:
    """Read what may be learnt from while a fold is held out.

    Args:
        own: The prepared dataset that is judged on.
        fold: Held out; None: none is.
        image_size: Pixels on a side; the next larger size that is there serves too.
        external: Runs of 02_prepare: other datasets; see `add_external`.
        external_drop: Classes of theirs that are left out.
        pseudo: A run of 04b_pseudo_label; see `pseudo_rows`.
        metadata: Columns of the images table, encoded as the images learnt from fix it.
        find: Called with a stage and names of its runs, returns the folders (`Run.finds`).

    Raises:
        ValueError: As the functions named; or a column tells nothing.
    """
    learnt, held_out = own.split(fold, image_size)
    others = [read_dataset(folder) for folder in find("02_prepare", external)]
    rows, borrowed = add_external(
        read_rows(learnt, n_classes=len(own.classes)), others, own=own, fold=fold,
        image_size=image_size, drop=external_drop,
    )  # fmt: skip
    if pseudo and fold is None:
        raise ValueError("pseudo labels are by networks that never met the fold held out: name it")
    for folder in find("04b_pseudo_label", [pseudo] if pseudo else []):
        labels = read_labels(folder / "pseudo.csv")
        student = pseudo_rows(labels, own, fold=fold or 0, image_size=image_size)
        rows = join_rows([rows, student])
    images = join_images(dataset.folder for dataset in (own, *others))
    if not metadata:
        return TrainingSet(rows, borrowed, images)
    encoder = fit_encoder(images[images["image_id"].isin(rows.image_id)], metadata)
    return TrainingSet(
        rows.with_metadata(encoder.rows_for(rows.image_id, images)), borrowed, images, encoder,
        encoder.rows_for(read_index(held_out)["image_id"], images),
    )  # fmt: skip
