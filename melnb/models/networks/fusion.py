"""Fusion: what is known of an image besides its pixels meets the vector of the picture.

concat  both vectors, one after the other (Ha, Liu and Liu 2020, arXiv 2010.05351, who won
        SIIM-ISIC 2020 so; the same units, normalisation, swish and dropout)
gated   the metadata opens and shuts the picture's channels (MetaNet: Li et al. 2020, "Fusing
        metadata and dermoscopy images for skin disease diagnosis", ISBI)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from melnb.data.metadata import Cells

FUSIONS = ("concat", "gated")
_DROPOUT = 0.3  # between the layers of the metadata, as published


@keras.saving.register_keras_serializable("melnb")
class MetadataDropout(keras.layers.Layer):  # type: ignore[misc]
    """In training, make columns of metadata missing by chance, each row and column by itself.

    A whole column goes, all of its cells, and what comes in its place is what the encoder says for
    missing; so the network learns to do without, and what missing means where no training row
    lacks it (Gessert et al. 2020, arXiv 1910.03910, with a rate of 0.1). Nothing is scaled up:
    a category is not a quantity.

    Args:
        rate: Probability of each column to be missing.
        column: For each cell, the number of its column, from 0.
        missing: For each cell, its value where the column is missing.
        seed: Of the draws.
    """

    def __init__(
        self,
        rate: float,
        column: Sequence[int],
        missing: Sequence[float],
        seed: int | None = None,
        **keywords: Any,
    ) -> None:
        super().__init__(**{"dtype": "float32", **keywords})
        self.rate = rate
        self.column = [int(k) for k in column]
        self.missing = [float(value) for value in missing]
        self.seed = seed
        # Its state is a variable, so that a resumed run draws what an uninterrupted one would.
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.built = True

    def call(self, metadata: Any, training: bool = False) -> Any:
        """Return n x cells of n x cells."""
        if not training or not self.rate:
            return metadata
        shape = (ops.shape(metadata)[0], max(self.column) + 1)
        gone = keras.random.uniform(shape, seed=self.seed_generator) < self.rate
        gone = ops.take(gone, ops.convert_to_tensor(self.column, "int32"), axis=1)
        missing = ops.convert_to_tensor(self.missing, metadata.dtype)
        return ops.where(gone, missing, metadata)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the shape of what came in."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Return what is needed to make the same layer again."""
        more = {"rate": self.rate, "column": self.column, "missing": self.missing}
        return {**super().get_config(), **more, "seed": self.seed}


def make_cells(metadata: int | Cells) -> Cells:
    """Return the cells of a metadata input.

    Args:
        metadata: The cells of an encoder; or their number, each then a column of its own whose
            missing value is 0.
    """
    if isinstance(metadata, Cells):
        return metadata
    return Cells(tuple(range(metadata)), (0.0,) * metadata)


def fuse(
    vector: Any,
    metadata: Any,
    *,
    cells: Cells,
    fusion: str = "concat",
    units: Sequence[int] = (64, 32),
    dropout: float = 0.1,
) -> Any:
    """Join metadata to the vector of the picture.

    A gate at the vector is one at the channels of the map before it, for each pooling keeps a
    factor above 0: averages, maxima and generalised means of c x are c times those of x.

    Args:
        vector: n x channels, of the pooled map.
        metadata: n x cells, of `data.metadata.Encoder`.
        cells: Of that encoder.
        fusion: One of `FUSIONS`.
        units: Widths of the layers that the metadata passes, the last beside the vector.
        dropout: Probability of a column to be missing in training.

    Returns:
        n x (channels + last of units) for `concat`, n x channels for `gated`.

    Raises:
        ValueError: The fusion is unknown, or a width or the dropout is out of bounds.
    """
    _check_fusion(fusion, units, dropout)
    words = MetadataDropout(dropout, cells.column, cells.missing, name="metadata_dropout")(metadata)
    for k, width in enumerate(units, 1):
        if k > 1:
            words = keras.layers.Dropout(_DROPOUT, name=f"metadata_dropout_{k}")(words)
        words = keras.layers.Dense(width, use_bias=False, name=f"metadata_dense_{k}")(words)
        words = keras.layers.BatchNormalization(name=f"metadata_norm_{k}")(words)
        words = keras.layers.Activation("swish", name=f"metadata_swish_{k}")(words)
    if fusion == "concat":
        return keras.layers.Concatenate(name="fusion")([vector, words])
    gate = keras.layers.Dense(vector.shape[-1], activation="sigmoid", name="metadata_gate")(words)
    return keras.layers.Multiply(name="fusion")([vector, gate])


def input_sizes(model: keras.Model) -> tuple[int, int]:
    """Return what a classifier takes: pixels on a side, and cells of metadata (0: none)."""
    given = model.input
    inputs = given if isinstance(given, dict) else {"image": given}
    cells = inputs["metadata"].shape[1] if "metadata" in inputs else 0
    return int(inputs["image"].shape[1]), int(cells)


def _check_fusion(fusion: str, units: Sequence[int], dropout: float) -> None:
    if fusion not in FUSIONS:
        raise ValueError(f"fusion is {fusion!r}; use one of {list(FUSIONS)}")
    if not units or min(units) < 1:
        raise ValueError(f"metadata_units is {list(units)}; give one width or more, each above 0")
    if not 0 <= dropout < 1:
        raise ValueError(f"metadata_dropout is {dropout}; use 0 or more, and less than 1")
