import numpy as np
import pytest
from scipy import ndimage

from melnb.data.synthetic import textures


def test_clouds_have_mean_0_and_deviation_1_at_every_size() -> None:
    for size in (48, 200):
        field = textures.clouds(np.random.default_rng(0), size, slope=1.0)
        assert field.shape == (size, size)
        assert abs(field.mean()) < 0.02
        assert field.std() == pytest.approx(1, abs=0.12)  # enlarging smooths a little


def test_clouds_look_the_same_at_two_sizes() -> None:
    small, large = (textures.clouds(np.random.default_rng(3), s, slope=2.0) for s in (64, 256))
    assert np.corrcoef(small.ravel(), textures.enlarge(large, 64).ravel())[0, 1] > 0.99


def test_a_steeper_slope_is_smoother() -> None:
    def roughness(slope: float) -> float:
        field = textures.clouds(np.random.default_rng(1), 96, slope=slope)
        return float(np.abs(np.diff(field, axis=0)).mean())

    assert roughness(1.0) > 2 * roughness(2.0) > 4 * roughness(3.5)


@pytest.mark.parametrize(("pattern", "stretch"), [("honeycomb", 1.0), ("furrows", 1.7)])
def test_lines_part_as_many_holes_as_there_are_cells(pattern: str, stretch: float) -> None:
    tile = getattr(textures, pattern)()
    assert tile.min() == 0
    assert tile.max() == 1
    _, holes = ndimage.label(tile < 0.3)
    assert holes == pytest.approx((textures.TILE / textures.CELL) ** 2 / stretch, rel=0.3)


def test_a_piece_of_a_pattern_holds_the_cells_asked_for() -> None:
    few, many = (
        textures.cut(np.random.default_rng(0), textures.honeycomb(), 240, cells=cells)
        for cells in (10, 40)
    )
    holes = [ndimage.label(piece < 0.3)[1] for piece in (few, many)]
    assert holes[0] == pytest.approx(10**2, rel=0.35)
    assert holes[1] == pytest.approx(40**2, rel=0.35)


def test_a_dot_covers_the_area_of_its_circle() -> None:
    field = textures.dots(200, np.array([[0.5, 0.25]]), np.array([0.1]))
    assert field.mean() == pytest.approx(np.pi * 0.1**2, rel=0.05)
    rows, columns = np.indices(field.shape)
    assert (field * rows).sum() / field.sum() == pytest.approx(200 * 0.25, abs=1)
    assert (field * columns).sum() / field.sum() == pytest.approx(200 * 0.5, abs=1)


def test_a_stroke_covers_its_length_by_its_width() -> None:
    field = textures.strokes(200, [np.array([[0.1, 0.5], [0.9, 0.5]])], [0.05])
    assert field.mean() == pytest.approx(0.8 * 0.05, rel=0.1)
    assert textures.strokes(50, [], []).max() == 0
