"""Explanations: Grad-CAM and integrated gradients of the same pictures, for the same classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from melnb.models.saliency.anatomy import Anatomy
from melnb.models.saliency.batching import run_rows
from melnb.models.saliency.gradcam import grad_cam
from melnb.models.saliency.gradients import Attributions, integrated_gradients
from melnb.models.saliency.samples import Sample

METHODS = ("Grad-CAM", "integrated gradients")


@dataclass(frozen=True)
class Explanation:
    """Where pictures speak for a class, by each method.

    Attributes:
        classes: The column explained in each row.
        probability: n, of that class.
        maps: n x size x size for each of `METHODS`, 0 or more: what is drawn and scored.
        signed: The same with what speaks against the class, below 0.
        attributions: The integrated gradients whole.
    """

    classes: np.ndarray
    probability: np.ndarray
    maps: Mapping[str, np.ndarray]
    signed: Mapping[str, np.ndarray]
    attributions: Attributions


def explain(
    anatomy: Anatomy,
    sample: Sample,
    *,
    classes: int | Sequence[int] | np.ndarray,
    baseline: str = "skin",
    metadata_baseline: Sequence[float] | np.ndarray | None = None,
    steps: int = 32,
    batch_size: int = 32,
) -> Explanation:
    """Explain pictures by both methods.

    Args:
        anatomy: Of the classifier.
        sample: n pictures.
        classes: The column explained, one for all rows or one for each.
        baseline: See `baselines.make_baseline`.
        metadata_baseline: See `gradients.integrated_gradients`.
        steps: Of the integrated gradients.
        batch_size: Rows at a time.
    """
    columns = np.broadcast_to(np.asarray(classes, dtype=int), (len(sample),))
    cam, signed_cam = grad_cam(anatomy, sample, classes=columns, batch_size=batch_size)
    found = integrated_gradients(
        anatomy, sample, classes=columns, baseline=baseline, metadata_baseline=metadata_baseline,
        steps=steps, batch_size=batch_size,
    )  # fmt: skip
    probabilities = run_rows(anatomy.probabilities, sample.tensors, batch_size)
    chosen = probabilities[np.arange(len(sample)), columns]
    signed = dict(zip(METHODS, (signed_cam, found.maps), strict=True))
    maps = dict(zip(METHODS, (cam, np.maximum(found.maps, 0)), strict=True))
    return Explanation(columns, chosen, maps, signed, found)


def metadata_table(
    explanation: Explanation, sample: Sample, columns: Sequence[str], cells: Sequence[int]
) -> pd.DataFrame:
    """Return what each column of metadata adds to the score of each picture.

    Args:
        explanation: Of the sample.
        sample: n pictures.
        columns: Names of the columns.
        cells: The column that each cell of a row belongs to, from 0.

    Returns:
        A row per picture and column: `image_id`, `column`, `attribution` (the sum over its cells)
        and `size` (without its sign); none if the network takes no metadata.
    """
    found = explanation.attributions.metadata
    names = ["image_id", "column", "attribution", "size"]
    if found is None:
        return pd.DataFrame(columns=names)
    sums = np.zeros((len(sample), len(columns)))
    np.add.at(sums.T, np.asarray(cells, dtype=int), found.T)
    table = pd.DataFrame(
        {
            "image_id": np.repeat(sample.image_id, len(columns)),
            "column": np.tile(np.asarray(columns, dtype=object), len(sample)),
            "attribution": sums.ravel(),
        }
    )
    return table.assign(size=table["attribution"].abs())
