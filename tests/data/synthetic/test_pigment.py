import numpy as np
import pytest
from scipy import ndimage

from melnb.data.synthetic import pigment as lesions


def pigments(*, atypia: float, keratotic: bool = False, number: int = 25) -> list[lesions.Pigment]:
    return [
        lesions.draw_pigment(
            np.random.default_rng([5, k]), atypia=atypia, keratotic=keratotic, size=128
        )
        for k in range(number)
    ]


def spread(pigment: lesions.Pigment) -> float:
    """Return the deviation of colour within a lesion."""
    left = np.exp(-pigment.absorption)[:, pigment.inside > 0.05]
    return float(left.std(axis=1).mean())


def roundness(pigment: lesions.Pigment) -> float:
    """Return the share of a lesion that its largest centred disc's equal in area covers."""
    inside = pigment.inside > 0
    rows, columns = np.indices(inside.shape)
    top, left = ndimage.center_of_mass(inside)
    disc = np.hypot(rows - top, columns - left) < np.sqrt(inside.sum() / np.pi)
    return float((disc & inside).sum() / inside.sum())


@pytest.mark.parametrize("keratotic", [False, True])
def test_a_lesion_is_one_whole_piece_inside_its_frame(keratotic: bool) -> None:
    for pigment in pigments(atypia=2.0, keratotic=keratotic):
        inside = pigment.inside > 0
        pieces, _ = ndimage.label(inside)
        sizes = np.sort(np.bincount(pieces.ravel())[1:])
        assert sizes[-1] >= 0.97 * sizes.sum()
        area = inside.mean() * (2 * lesions.EXTENT) ** 2
        assert 0.4 * np.pi < area < 1.7 * np.pi  # of a disc with radius 1
        assert pigment.white.min() >= 0
        assert pigment.white.max() <= 1
        assert pigment.absorption.min() >= 0


@pytest.mark.parametrize("keratotic", [False, True])
def test_pigment_ends_before_the_frame_does(keratotic: bool) -> None:
    for pigment in pigments(atypia=2.0, keratotic=keratotic):
        for edge in (0, -1):
            assert pigment.absorption[:, edge].max() < 0.05
            assert pigment.absorption[:, :, edge].max() < 0.05
            assert pigment.white[edge].max() < 0.05


@pytest.mark.parametrize("keratotic", [False, True])
def test_pigment_is_denser_inside(keratotic: bool) -> None:
    for pigment in pigments(atypia=0.0, keratotic=keratotic):
        within = pigment.absorption[:, pigment.inside > 0].mean()
        assert within > 0.15
        assert within > 4 * pigment.absorption[:, pigment.inside < -0.1].mean()


def test_atypia_brings_colours_and_an_odd_shape() -> None:
    quiet, odd = pigments(atypia=-2.0), pigments(atypia=2.0)
    assert np.median([spread(p) for p in odd]) > 1.5 * np.median([spread(p) for p in quiet])
    shapes = [np.median([roundness(p) for p in group]) for group in (quiet, odd)]
    assert shapes[0] > 0.92
    assert shapes[0] > shapes[1] + 0.02


def test_a_lesion_looks_the_same_at_two_sizes() -> None:
    small, large = (
        lesions.draw_pigment(np.random.default_rng(9), atypia=1.0, keratotic=False, size=size)
        for size in (96, 192)
    )
    halved = large.inside.reshape(96, 2, 96, 2).mean(axis=(1, 3))
    assert ((halved > 0) == (small.inside > 0)).mean() > 0.98
