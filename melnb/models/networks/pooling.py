"""Pooling: from a map of features to one vector for each image."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

POOLINGS = ("avg", "max", "gem")


@keras.saving.register_keras_serializable("melnb")
class GeM(keras.layers.Layer):  # type: ignore[misc]
    """Generalised mean over a map, (mean x^p)^(1/p), p learnt (Radenovic et al. 2019).

    p = 1 is the mean; the greater p, the nearer to the maximum.

    Args:
        p: Where p begins.
        epsilon: The least value that is taken to a power.
    """

    def __init__(self, p: float = 3.0, epsilon: float = 1e-6, **keywords: Any) -> None:
        super().__init__(**keywords)
        self.start = float(p)
        self.epsilon = float(epsilon)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the one weight."""
        start = keras.initializers.Constant(self.start)
        self.p = self.add_weight(shape=(), initializer=start, name="p")

    def call(self, features: Any) -> Any:
        """Return n x channels of n x height x width x channels."""
        powers = ops.maximum(features, self.epsilon) ** self.p
        return ops.mean(powers, axis=(1, 2)) ** (1 / self.p)

    def get_config(self) -> dict[str, Any]:
        """Return what is needed to make the same layer again."""
        return {**super().get_config(), "p": self.start, "epsilon": self.epsilon}


def pool(features: Any, pooling: str) -> Any:
    """Return n x channels of n x height x width x channels.

    Args:
        features: The map.
        pooling: `avg`, `max` or `gem`.

    Raises:
        ValueError: The name is unknown.
    """
    match pooling:
        case "avg":
            return keras.layers.GlobalAveragePooling2D(name="pool")(features)
        case "max":
            return keras.layers.GlobalMaxPooling2D(name="pool")(features)
        case "gem":
            return GeM(dtype="float32", name="pool")(features)  # a cube overflows in float16
    raise ValueError(f"pooling is {pooling!r}; use one of {list(POOLINGS)}")
