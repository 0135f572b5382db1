"""Test-time augmentation of masks: planes of probability, and how far looks disagree.

Every network looks at every view of a batch, and their logits are averaged. What the looks do not
agree on foretells where a mask fails (Wang et al. 2019 for views; Roy et al. 2019 for the overlap
of samples). A batch is forgotten before the next is read, so memory does not grow with the images.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import keras
import numpy as np
from keras import ops

from melnb.data.augmentation.geometry import VIEWS, dihedral, undo_dihedral
from melnb.data.batches import list_images, predict_mask_batches
from melnb.models.accelerator import choose_jit, scope_of

LOOKS = ("none", "dihedral")


@dataclass(frozen=True)
class PredictedMask:
    """What is said of one image.

    Attributes:
        image_id: Of the image.
        probability: height x width, float32, 0 to 1: of the mean logit of all looks.
        view_spread: Mean over the pixels of the standard deviation of the probabilities of the
            views, each averaged over the networks; NaN with one view.
        view_distance: Mean over the pairs of views of one less the Jaccard index of their masks.
        fold_spread: As view_spread, of the networks, each averaged over its views; NaN with one.
        fold_distance: As view_distance, of the networks.
    """

    image_id: str
    probability: np.ndarray
    view_spread: float
    view_distance: float
    fold_spread: float
    fold_distance: float

    def numbers(self) -> dict[str, float]:
        """Return the four by name, after `disagreement`: the mean of the distances that are known.

        A distance is the share of both masks that only one of two looks calls lesion, whatever the
        size of the lesion; a spread is of the whole picture, and small where the lesion is.
        """
        names = ("view_spread", "view_distance", "fold_spread", "fold_distance")
        distances = [self.view_distance, self.fold_distance]
        measured = [distance for distance in distances if not math.isnan(distance)]
        mean = sum(measured) / len(measured) if measured else math.nan
        return {"disagreement": mean} | {name: getattr(self, name) for name in names}


def predict_masks(
    models: Sequence[keras.Model],
    paths: Sequence[str | Path],
    *,
    image_size: int,
    batch_size: int,
    views: str = "dihedral",
    only: Collection[str] | None = None,
) -> Iterator[PredictedMask]:
    """Predict every image of shards, or some of them, in file order.

    Args:
        models: Segmenters: one fold's own for its held-out images, all folds' for others.
        paths: Shards, with masks or without; masks are not looked at.
        image_size: Pixels on a side.
        batch_size: Images in a batch.
        views: `none`: the picture as it is; `dihedral`: its eight flips and quarter turns.
        only: The ids of the images wanted; no other is decoded. None: all.

    Returns:
        What is said of one image after another.

    Raises:
        ValueError: There are no models or shards, an image of `only` is in none of them, the views
            are unknown, or a model gives no numbers.
    """
    _check(models, views)
    batches = predict_mask_batches(
        paths, image_size=image_size, batch_size=batch_size, masks=False, only=only
    )
    names = iter(list_images(paths, only))
    pairs = (
        (list(islice(names, batch_size)), batch["image"]) for batch in batches.as_numpy_iterator()
    )
    return predict_pictures(models, pairs, views=views)


def predict_pictures(
    models: Sequence[keras.Model],
    batches: Iterable[tuple[Sequence[str], np.ndarray]],
    *,
    views: str = "dihedral",
) -> Iterator[PredictedMask]:
    """Predict pictures that are there already, batch by batch.

    Args:
        models: Segmenters.
        batches: Pairs of image ids and of pixels, n x height x width x 3, float32, 0-255; rows
            beyond the ids fill up a batch and are left out.
        views: As `predict_masks` takes it.

    Returns:
        What is said of one image after another.

    Raises:
        ValueError: There are no models, the views are unknown, or a model gives no numbers.
    """
    _check(models, views)
    lookers = [_make_looker(model) for model in models]
    return _stream(lookers, batches, VIEWS if views == "dihedral" else 1)


def disagreement(logits: np.ndarray) -> tuple[float, float]:
    """Return how far looks at one image disagree: in their probabilities, and in their masks.

    Args:
        logits: looks x height x width.

    Returns:
        The mean over the pixels of the standard deviation (of the looks as a whole population) of
        the probabilities (Wang et al. 2019), and the mean over all pairs of looks of one less the
        Jaccard index of the masks of logits above 0 (Roy et al. 2019, there of Dice), two empty
        masks agreeing. NaN with one look.
    """
    looks = len(logits)
    if looks < 2:
        return float("nan"), float("nan")
    spread = _probabilities(logits).std(axis=0, dtype="float64").mean()
    masks = (logits > 0).reshape(looks, -1).astype("float32")
    both = (masks @ masks.T).astype("float64")  # whole numbers of pixels: exact to 2^24
    either = np.diag(both)[:, None] + np.diag(both) - both
    jaccard = np.divide(both, either, out=np.ones_like(both), where=either > 0)
    return float(spread), float(1 - jaccard[np.triu_indices(looks, k=1)].mean())


def _stream(
    lookers: Sequence[keras.Model],
    batches: Iterable[tuple[Sequence[str], np.ndarray]],
    views: int,
) -> Iterator[PredictedMask]:
    for names, pixels in batches:
        of_views, of_folds = _look(lookers, pixels, views)
        for row, name in enumerate(names):
            yield _judge(name, of_views[:, row], of_folds[:, row])


def _look(
    lookers: Sequence[keras.Model], pixels: np.ndarray, views: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the logits of each view, averaged over networks, and of each network, over views.

    Returns:
        views x n x height x width and networks x n x height x width, float32.
    """
    of_views = np.zeros((views, *pixels.shape[:3]), "float32")
    of_folds = np.zeros((len(lookers), *pixels.shape[:3]), "float32")
    for view in range(views):
        seen = ops.convert_to_numpy(dihedral(ops.convert_to_tensor(pixels), view))
        for fold, looker in enumerate(lookers):
            # Replicas of TensorFlow all see the whole batch: what the first one says is enough.
            logits = looker.predict_on_batch(seen)[: len(pixels)]
            upright = ops.convert_to_numpy(undo_dihedral(ops.convert_to_tensor(logits), view))[
                ..., 0
            ]
            of_views[view] += upright / len(lookers)
            of_folds[fold] += upright / views
    return of_views, of_folds


def _judge(name: str, of_views: np.ndarray, of_folds: np.ndarray) -> PredictedMask:
    mean = of_views.mean(axis=0)
    if not np.isfinite(mean).all():
        raise ValueError(
            f"a model gives no number for {int((~np.isfinite(mean)).sum())} pixels of {name}: its "
            "weights are broken, or the precision is too low"
        )
    return PredictedMask(
        name, _probabilities(mean), *disagreement(of_views), *disagreement(of_folds)
    )


def _probabilities(logits: np.ndarray) -> np.ndarray:
    """Return probabilities of logits, of any size without overflow."""
    return np.asarray(0.5 * (1 + np.tanh(0.5 * logits)))


def _make_looker(model: keras.Model) -> keras.Model:
    """Return the model as one that is compiled for prediction as the machine gains by."""
    with scope_of(model):
        looker = keras.Model(model.inputs, model.outputs[0])
    if choose_jit() is False:  # an uncompiled model would predict by XLA
        looker.jit_compile = False
    return looker


def _check(models: Sequence[keras.Model], views: str) -> None:
    if not models:
        raise ValueError("no models to predict with: name a run of 02c_segment_train")
    if views not in LOOKS:
        raise ValueError(f"views is {views!r}; use one of {list(LOOKS)}")
