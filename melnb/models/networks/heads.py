"""Heads: softmax, sigmoid, ArcFace, multi-sample dropout; metadata fusion."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from melnb.data.metadata import Cells

# Fusion: what is known of an image besides its pixels meets the vector of the picture.
#
# concat  both vectors, one after the other (Ha, Liu and Liu 2020, arXiv 2010.05351, who won
#         SIIM-ISIC 2020 so; the same units, normalisation, swish and dropout)
# gated   the metadata opens and shuts the picture's channels (MetaNet: Li et al. 2020, "Fusing
#         metadata and dermoscopy images for skin disease diagnosis", ISBI)

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


HEADS = ("softmax", "sigmoid", "arcface")
_SHORTEST = 1e-3  # of a vector that is brought to length one: at nothing the gradient is infinite
_LEAST = 1e-7  # of a squared sine, for the same reason


@keras.saving.register_keras_serializable("melnb")
class ArcFace(keras.layers.Layer):  # type: ignore[misc]
    """Softmax of the cosines between a vector and the classes, with a margin (Deng et al. 2019).

    Vector and class weights are brought to length one. In training the angle t to the true class
    is made wider, cos t becoming phi = cos(t + m) (equation 3), so that classes must lie further
    apart than is needed to tell them. Beyond t = pi - m, where cos(t + m) would rise again, phi is
    cos t - m sin m, which goes on falling.

    Args:
        classes: Columns.
        scale: The factor s of all cosines; without it the softmax could not be sure of anything.
        margin: The angle m, in radians.
    """

    def __init__(
        self, classes: int, scale: float = 30.0, margin: float = 0.5, **keywords: Any
    ) -> None:
        super().__init__(**keywords)
        self.classes = int(classes)
        self.scale = float(scale)
        self.margin = float(margin)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make one vector for each class."""
        self.kernel = self.add_weight(shape=(input_shape[-1], self.classes), name="kernel")

    def call(self, vector: Any, truth: Any = None) -> Any:
        """Return n x classes probabilities; those to learn from, if the one-hot truth is given."""
        cosines = self.cosines(vector)
        if truth is not None:
            cosines = truth * self.widen(cosines) + (1 - truth) * cosines
        return ops.softmax(self.scale * cosines)

    def cosines(self, vector: Any) -> Any:
        """Return the cosine of the angle to each class, n x classes."""
        return ops.matmul(_unit(vector, axis=-1), _unit(self.kernel, axis=0))

    def widen(self, cosines: Any) -> Any:
        """Return phi, the cosines of the angles made wider by the margin."""
        sines = ops.sqrt(ops.maximum(1 - cosines**2, _LEAST))
        wider = cosines * math.cos(self.margin) - sines * math.sin(self.margin)
        beyond = cosines - self.margin * math.sin(math.pi - self.margin)
        return ops.where(cosines > math.cos(math.pi - self.margin), wider, beyond)

    def get_config(self) -> dict[str, Any]:
        """Return what is needed to make the same layer again."""
        settings = {"classes": self.classes, "scale": self.scale, "margin": self.margin}
        return {**super().get_config(), **settings}


@keras.saving.register_keras_serializable("melnb")
class MultiSampleDropout(keras.layers.Layer):  # type: ignore[misc]
    """The mean of a vector dropped out several times over.

    Inoue (2019) averages the losses of several heads that share their weights, each seeing its own
    dropout of one vector; the winners of SIIM-ISIC 2020 (Ha et al. 2020) average their logits.
    This is the latter: the mean of affine functions is the affine function of the mean, so that
    one head after this layer gives exactly their mean.

    Args:
        rate: Share of the features set to zero, in each sample anew.
        samples: How many.
    """

    def __init__(self, rate: float, samples: int, **keywords: Any) -> None:
        super().__init__(**keywords)
        self.rate = float(rate)
        self.samples = int(samples)
        self.seed_generator = keras.random.SeedGenerator()

    def call(self, vector: Any, training: bool = False) -> Any:
        """Return n x features of n x features, unchanged but in training."""
        if not training:
            return vector
        copies = ops.stack([vector] * self.samples)
        dropped = keras.random.dropout(copies, self.rate, seed=self.seed_generator)
        return ops.mean(dropped, axis=0)

    def get_config(self) -> dict[str, Any]:
        """Return what is needed to make the same layer again."""
        return {**super().get_config(), "rate": self.rate, "samples": self.samples}


def drop_out(vector: Any, *, rate: float, samples: int = 1) -> Any:
    """Return a vector whose features are dropped out in training, `samples` times, averaged.

    Raises:
        ValueError: Several samples are asked of no dropout.
    """
    if samples < 1 or (samples > 1 and not rate):
        raise ValueError(
            f"dropout_samples is {samples} and dropout {rate}; use 1 sample, or more of a dropout "
            "above 0"
        )
    if not rate:
        return vector
    if samples == 1:
        return keras.layers.Dropout(rate, name="dropout")(vector)
    return MultiSampleDropout(rate, samples, name="dropout")(vector)


def make_head(
    vector: Any,
    *,
    classes: Sequence[str],
    head: str,
    priors: Sequence[float] | np.ndarray | None = None,
    arcface_scale: float = 30.0,
    arcface_margin: float = 0.5,
) -> Any:
    """Return n x classes float32 probabilities of a vector, whatever the precision of the rest.

    Args:
        vector: n x features, symbolic.
        classes: Names, in the order of the columns.
        head: `softmax`; `sigmoid`, with two classes: one unit p for the last class, given as the
            columns (1 - p, p); or `arcface`, which learns with a margin (see `training_view`).
        priors: Share of each class: what the untrained head gives; not with `arcface`.
        arcface_scale: See `ArcFace`.
        arcface_margin: See `ArcFace`.

    Raises:
        ValueError: The name is unknown, the classes are too few or too many, a value is out of
            bounds, or priors do not match.
    """
    _check_head(classes, head=head, priors=priors, scale=arcface_scale, margin=arcface_margin)
    if head == "arcface":
        layer = ArcFace(len(classes), arcface_scale, arcface_margin, dtype="float32",
                        name="probability")  # fmt: skip
        return layer(vector)
    logs = _log_priors(classes, priors)
    units = len(classes)
    if head == "sigmoid":
        logs, units = logs[1:] - logs[:1], 1
    dense = keras.layers.Dense(
        units,
        activation=head,
        bias_initializer=keras.initializers.Constant(logs.tolist()),
        dtype="float32",
        name="probability",
    )
    if head == "softmax":
        return dense(vector)
    positive = dense(vector)
    negative = keras.layers.Rescaling(-1.0, 1.0, dtype="float32", name="negative")(positive)
    return keras.layers.Concatenate(dtype="float32", name="both")([negative, positive])


def training_view(model: keras.Model) -> keras.Model:
    """Return a classifier as it is to be trained: with the truth among its inputs.

    It has all layers and weights of the classifier, and the same names of inputs with one more,
    `truth`, n x classes. Only the head `arcface` uses it, to widen the angle to the true class.

    Args:
        model: As `make_classifier` makes it or `read_classifier` reads it.
    """
    truth = keras.Input((model.output_shape[-1],), name="truth")
    inputs = {tensor.name: tensor for tensor in model.inputs}
    head, probabilities = model.get_layer("probability"), model.output
    if isinstance(head, ArcFace):
        last = "dropout" if "dropout" in {layer.name for layer in model.layers} else "vector"
        probabilities = head(model.get_layer(last).output, truth)
    return keras.Model({**inputs, "truth": truth}, probabilities, name="training")


def _unit(vectors: Any, *, axis: int) -> Any:
    """Return vectors of length one, where they have a length to speak of."""
    squares = ops.sum(vectors**2, axis=axis, keepdims=True)
    return vectors * ops.rsqrt(ops.maximum(squares, _SHORTEST**2))


def _check_head(
    classes: Sequence[str], *, head: str, priors: Any, scale: float, margin: float
) -> None:
    if head not in HEADS:
        raise ValueError(f"head is {head!r}; use one of {list(HEADS)}")
    if len(classes) < 2:
        raise ValueError(f"classes is {list(classes)}; two or more are needed")
    if head == "sigmoid" and len(classes) != 2:
        raise ValueError(
            f"head 'sigmoid' is for two classes, but there are {len(classes)} "
            f"({', '.join(classes)}): use head 'softmax', or prepare with task 'melanoma'"
        )
    if head == "arcface" and priors is not None:
        raise ValueError("head 'arcface' has no bias for priors: leave them out")
    if not scale > 0 or not 0 <= margin < math.pi / 2:
        raise ValueError(
            f"arcface_scale is {scale} and arcface_margin {margin}; use a scale above 0 and a "
            "margin from 0 to less than a right angle (1.57)"
        )


def _log_priors(classes: Sequence[str], priors: Sequence[float] | np.ndarray | None) -> np.ndarray:
    if priors is None:
        return np.zeros(len(classes))
    shares = np.asarray(priors, dtype=float)
    if shares.shape != (len(classes),) or not np.all(shares > 0):
        raise ValueError(
            f"priors is {shares.tolist()}; give {len(classes)} shares above 0, in the order "
            f"of {list(classes)}"
        )
    return np.asarray(np.log(shares / shares.sum()))
