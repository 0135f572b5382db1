"""Validation: what a model is worth on held-out rows, exactly.

The AUC is the area under the whole ROC curve over every row at once; Keras' own metric cuts the
scores into bins and averages over batches.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import keras
import numpy as np
from sklearn.metrics import roc_auc_score

from melnb.data.batches import predict_batches
from melnb.data.shards.records import read_index
from melnb.models.training.state import assign_weights
from melnb.models.tta import make_viewer, predict_rows


class Judge(Protocol):
    """What tells a run how good its weights are.

    Attributes:
        model: That is measured.
    """

    model: keras.Model

    def measure(self, loss: keras.losses.Loss) -> dict[str, float]:
        """Measure the model with the weights as they are; the names are the record's `measures`."""

    def measure_mean(
        self, members: Iterable[Mapping[str, np.ndarray]], loss: keras.losses.Loss
    ) -> dict[str, float]:
        """Measure the mean of what several sets of weights, by name, give."""


class Unjudged:
    """Measures nothing: of a run that holds nothing out.

    Args:
        model: That is trained.
    """

    def __init__(self, model: keras.Model) -> None:
        self.model = model

    def measure(self, loss: keras.losses.Loss) -> dict[str, float]:
        """Return no number."""
        return {}

    def measure_mean(
        self, members: Iterable[Mapping[str, np.ndarray]], loss: keras.losses.Loss
    ) -> dict[str, float]:
        """Return no number."""
        return {}


class Validation:
    """The labelled rows of validation shards, ready to be measured after every epoch.

    Args:
        model: The classifier; its weights may change between two measurements.
        paths: Validation shards.
        image_size: Pixels on a side.
        n_classes: Columns of the probabilities.
        batch_size: Images in a batch, over all replicas.
        metadata: n x M, in file order, for a classifier that takes it.

    Raises:
        ValueError: No row has a label.
    """

    def __init__(
        self,
        model: keras.Model,
        paths: Sequence[str | Path],
        *,
        image_size: int,
        n_classes: int,
        batch_size: int,
        metadata: np.ndarray | None = None,
    ) -> None:
        self.model = model
        self.index = read_index(paths)
        self.targets = self.index["target"].to_numpy()
        self.n_classes, self.batch_size = n_classes, batch_size
        more: dict[str, Any] = {} if metadata is None else {"metadata": metadata}
        self._viewer = make_viewer(model, image_size=image_size)
        self._learning: list[bool] = []
        self._batches = predict_batches(paths, image_size=image_size, batch_size=batch_size, **more)
        labelled = self.targets[self.targets >= 0]
        if not len(labelled) or labelled.max() >= n_classes:
            raise ValueError(
                f"the {len(self.targets)} validation rows have targets "
                f"{sorted(set(self.targets.tolist()))[:5]}; labels 0 to {n_classes - 1} are needed"
            )

    @property
    def estimable(self) -> bool:
        """Return whether there are two classes at least to be told apart."""
        return len(set(self.targets[self.targets >= 0])) > 1

    def measure(self, loss: keras.losses.Loss) -> dict[str, float]:
        """Predict every row with the weights as they are; see `score`."""
        return self.score(self.predict(), loss)

    def measure_mean(
        self, members: Iterable[Mapping[str, np.ndarray]], loss: keras.losses.Loss
    ) -> dict[str, float]:
        """Measure the mean of the probabilities of several sets of weights, by name."""
        answers = []
        for weights in members:
            assign_weights(self.model, weights)
            answers.append(self.predict())
        return self.score(np.mean(answers, axis=0), loss)

    def predict(self) -> np.ndarray:
        """Return n x classes probabilities of every row, float64."""
        learning = [weight.trainable for weight in self.model.weights]
        if learning != self._learning:  # JAX lays trainable weights and the others out apart
            self._viewer.make_predict_function(force=True)
            self._learning = learning
        return predict_rows(self._viewer, self._batches, len(self.targets))

    def score(self, probabilities: np.ndarray, loss: keras.losses.Loss) -> dict[str, float]:
        """Return `val_loss` and `val_auc` of probabilities of every row.

        The loss is the one that is trained with, its smoothing and class weights included, so that
        its curve lies beside the training curve's. It is taken in parts of a batch's size, for
        some losses compare the images of a batch. The AUC is NaN if it cannot be estimated.
        """
        rows = self.targets >= 0
        truth = np.eye(self.n_classes, dtype="float32")[self.targets[rows]]
        judged = probabilities[rows].astype("float32")
        losses = [
            keras.ops.convert_to_numpy(loss.call(truth[k:end], judged[k:end]))
            for k, end in _parts(len(judged), self.batch_size)
        ]
        return {
            "val_loss": float(np.concatenate(losses).mean(dtype="float64")),
            "val_auc": macro_auc(self.targets[rows], probabilities[rows]),
        }


def macro_auc(targets: np.ndarray, probabilities: np.ndarray) -> float:
    """Return the area under the ROC curve.

    With two classes it is that of the last one; with more, the mean over the classes that are
    there, each against the rest. NaN if fewer than two classes are there.

    Args:
        targets: n class numbers.
        probabilities: n x classes.
    """
    present = set(targets.tolist())
    if len(present) < 2:
        return float("nan")
    columns = [1] if probabilities.shape[1] == 2 else sorted(present)
    return float(np.mean([roc_auc_score(targets == k, probabilities[:, k]) for k in columns]))


def _parts(rows: int, size: int) -> list[tuple[int, int]]:
    """Cut rows into parts of a size; what is left over goes to the last one."""
    starts = list(range(0, max(rows - size, 0) + 1, size))
    return list(zip(starts, [*starts[1:], rows], strict=True))
