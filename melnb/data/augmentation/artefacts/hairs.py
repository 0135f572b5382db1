"""Hairs, drawn from nothing but draws: curved strands, tapering, dark or blond, with a soft shade.

A strand is a quadratic Bézier curve whose middle control point stands over the middle of its ends.
In the frame of its ends, p running from -1 to 1, that is the parabola bend x (1 - p^2), so that no
point of it has to be searched: a pixel's distance is taken across the chord, which costs a dozen
sums and products a strand, and none of memory once compiled.

Hairs were given to training pictures before by pasting photographs of hairs, as in solutions to
SIIM-ISIC 2020; here there are no picture files.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import ops

from melnb.data.augmentation.artefacts.canvas import angle_of, between, column, reach, side, turned
from melnb.data.augmentation.draws import spread

# Reflectance against the picture's mean colour: black and brown mostly, then red, blond and grey.
_COLOURS = np.array(
    [
        [0.16, 0.15, 0.17], [0.20, 0.17, 0.17], [0.24, 0.19, 0.18], [0.28, 0.22, 0.20],
        [0.34, 0.26, 0.22], [0.40, 0.32, 0.27], [0.47, 0.37, 0.30], [0.36, 0.36, 0.38],
        [0.58, 0.42, 0.30], [0.84, 0.72, 0.55], [1.05, 1.00, 0.88], [1.25, 1.30, 1.32],
    ],
    "float32",
)  # fmt: skip
_NOWHERE = 1e4  # pixels: where strands lie that are not drawn


def hairs(images: Any, draw: Any, most: int) -> Any:
    """Draw 0 to `most` hairs on each image; few are more frequent than many.

    Args:
        images: batch x height x width x 3, float32, 0-255.
        draw: One uniform draw an image.
        most: Strands; 0: none.

    Returns:
        Images as given, 0-255.
    """
    if not most:
        return images
    of_all = spread(draw, (7,), salt=1)
    strands = _strands(images, draw, of_all, most)
    inked: Any = 0.0
    nearest: Any = -_NOWHERE
    for k in range(most):
        depth = _depth(images, {name: value[:, k] for name, value in strands.items()})
        amount = ops.clip(depth + 0.5, 0.0, 1.0) * column(strands["opacity"][:, k])
        inked, nearest = ops.maximum(inked, amount), ops.maximum(nearest, depth)
    blur = max(1.0, 0.012 * side(images))  # pixels over which the shade fades
    shade = ops.square(ops.clip(1 + nearest / blur, 0.0, 1.0))
    # As faint as the hairs themselves where they are thinner than a pixel.
    faint = ops.minimum(side(images) * between(0.0025, 0.0068, of_all[:, 4]), 1.0)
    shade = shade * column(between(0.0, 0.3, of_all[:, 5]) * faint)
    colour = _tone(of_all[:, 6]) * ops.mean(images, axis=(1, 2))
    images = images * ((1 - shade) * (1 - inked))[..., None]
    painted = images + inked[..., None] * ops.reshape(colour, (-1, 1, 1, 3))
    return ops.clip(painted, 0.0, 255.0)


def _strands(images: Any, draw: Any, of_all: Any, most: int) -> dict[str, Any]:
    """Make each strand's place and shape, batch x most; all of an image grow rather alike."""
    own = spread(draw, (9, most), salt=2)
    pixels, (width, height) = side(images), reach(images)
    # Squared: of most hairy pictures a quarter of the strands is the median.
    number = ops.floor(ops.square(of_all[:, 0]) * (most + 1))
    drawn = np.arange(most, dtype="float32") < ops.reshape(number, (-1, 1))
    loose = between(0.2, 2.5, ops.square(of_all[:, 2:3]))
    shaved = of_all[:, 3:4] < 0.12
    half = ops.where(shaved, between(0.02, 0.07, own[:, 4]), between(0.15, 0.75, own[:, 4]))
    thick = between(0.0013, 0.0036, of_all[:, 4:5]) * between(0.6, 1.3, own[:, 7]) * pixels
    return {
        "angle": angle_of(of_all[:, 1:2]) + loose * (own[:, 0] + own[:, 1] - 1),
        "x": (own[:, 2] - 0.5) * (width + 0.2),
        "y": (own[:, 3] - 0.5) * (height + 0.2),
        "half": half,
        "bend": half * (own[:, 5] + own[:, 6] - 1) * 0.7 * pixels,
        # What is thinner than a pixel is drawn as wide as one, and fainter.
        "thick": ops.maximum(thick, 0.5),
        "opacity": between(0.65, 1.0, own[:, 8]) * ops.minimum(thick / 0.5, 1.0),
        "away": ops.where(drawn, 0.0, _NOWHERE),
    }


def _depth(images: Any, strand: dict[str, Any]) -> Any:
    """Return how deep in the strand each pixel lies, pixels, negative outside."""
    along, across = turned(images, strand["angle"], (strand["x"], strand["y"]))
    square = ops.square(along / column(strand["half"]))
    bend, thick = column(strand["bend"]), column(strand["thick"])
    distance = ops.abs(across * side(images) - bend + bend * square)
    # At the ends of the curve no pixel is covered any more.
    return (thick - column(strand["away"])) - (thick + 0.5) * ops.square(square) - distance


def _tone(draw: Any) -> Any:
    """Choose a row of the colours: a product, for XLA would repeat a look-up at every pixel."""
    number = ops.floor(ops.reshape(draw, (-1, 1)) * len(_COLOURS))
    chosen = ops.equal(number, np.arange(len(_COLOURS), dtype="float32"))
    return ops.matmul(ops.cast(chosen, "float32"), _COLOURS)
