"""Planes with holes, parts and edges, their pictures, and true masks of all but the last."""

import numpy as np
import pytest
from scipy import ndimage

Planes = dict[str, np.ndarray]


@pytest.fixture(scope="session")
def probabilities() -> Planes:
    draw = np.random.default_rng(0)
    made = {}
    for k, shape in enumerate(((24, 24), (20, 32), (24, 24))):
        plane = ndimage.gaussian_filter(draw.random(shape), 1.2)
        made[f"i{k}"] = (plane - plane.min()) / np.ptp(plane)
    return made


@pytest.fixture(scope="session")
def truths(probabilities: Planes) -> Planes:
    known = list(probabilities.items())[:-1]
    return {i: np.where(np.roll(p, 1, axis=0) > 0.45, 255, 0).astype(np.uint8) for i, p in known}


@pytest.fixture(scope="session")
def pictures(probabilities: Planes) -> Planes:
    """Of other sizes than the planes, one of floats."""
    tan = np.array((200, 150, 130))
    made = {
        i: np.full((48, 48 * p.shape[1] // p.shape[0], 3), tan) for i, p in probabilities.items()
    }
    return made | {"i0": made["i0"].astype(np.float32) + 80}
