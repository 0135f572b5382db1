import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from melnb.data.synthetic import photograph
from melnb.data.synthetic.photograph import View, draw_lesion

THINGS = ("has_hair", "has_ruler", "has_ink", "has_bubbles", "has_corners")


@given(
    turn=st.floats(-3, 3),
    zoom=st.floats(0.7, 1.3),
    shift=st.tuples(st.floats(-0.1, 0.1), st.floats(-0.1, 0.1)),
    spot=st.tuples(st.floats(-0.25, 0.25), st.floats(-0.25, 0.25)),
)
def test_a_view_places_points_where_it_sees_them(
    turn: float, zoom: float, shift: tuple[float, float], spot: tuple[float, float]
) -> None:
    view, extent, n = View(128, turn, zoom, shift), 0.6, 240
    x, y = np.meshgrid(*[((np.arange(n) + 0.5) / n * 2 - 1) * extent] * 2)
    bump = np.exp(-((x - spot[0]) ** 2 + (y - spot[1]) ** 2) / (2 * 0.02**2))
    seen = np.asarray(view.see(np.stack([bump] * 3), extent, beyond=(0, 0, 0)))[..., 0]
    placed = view.place(np.array([[0.5 + spot[0], 0.5 + spot[1]]]))[0] * 128
    if not (placed > 0.1 * 128).all() or not (placed < 0.9 * 128).all():
        return  # near the edge or beyond: part of the bump is cut off
    down, across = ndimage.center_of_mass(seen.astype(float))
    assert (across + 0.5, down + 0.5) == pytest.approx(placed, abs=0.6)


def draw(number: int, **switches: object) -> tuple[np.ndarray, np.ndarray]:
    given = {"lesion": number, "view": number, "ita": 45.0, "atypia": number % 5 - 2.0}
    return draw_lesion(**{**given, "image_size": 96, **switches})  # type: ignore[arg-type]


def test_a_photograph_is_a_function_of_its_arguments() -> None:
    first, second = draw(3, has_hair=True), draw(3, has_hair=True)
    assert (first[0] == second[0]).all()
    assert (first[1] == second[1]).all()
    assert (draw(3, seed=1)[0] != first[0]).any()


def test_shapes_and_types() -> None:
    picture, mask = draw(1, image_size=50)
    assert picture.shape == (50, 50, 3)
    assert mask.shape == (50, 50)
    assert picture.dtype == mask.dtype == np.uint8
    assert set(np.unique(mask)) == {0, 255}


@pytest.mark.parametrize("ita", [60.0, 30.0, -35.0])
@pytest.mark.parametrize("keratotic", [False, True])
def test_the_mask_is_the_lesion(ita: float, keratotic: bool) -> None:
    for number in range(12):
        picture, mask = draw(number, ita=ita, keratotic=keratotic)
        on, lightness = mask > 0, picture.mean(axis=2)
        assert 0.015 < on.mean() < 0.75
        ring = ndimage.binary_dilation(on, iterations=14) & ~ndimage.binary_dilation(
            on, iterations=6
        )
        assert lightness[on].mean() < 0.93 * lightness[ring].mean()


def test_two_views_of_a_lesion_differ_but_show_the_same_lesion() -> None:
    areas, same, other = [], [], []
    for number in range(8):
        one, two, stranger = (
            draw_lesion(lesion=lesion, view=view, ita=45.0, atypia=1.0, image_size=96)
            for lesion, view in ((number, 1), (number, 2), (number + 100, 2))
        )
        assert np.abs(one[0].astype(int) - two[0]).mean() > 1
        areas.append((one[1] > 0).mean() / (two[1] > 0).mean())
        same.append(match(one[1], two[1]))
        other.append(match(one[1], stranger[1]))
    # One pair of views has one ratio of zooms, whatever the lesion.
    assert np.std(areas) < 0.05 * np.mean(areas)
    assert np.mean(same) > 0.93 > np.mean(other) + 0.1


def match(one: np.ndarray, two: np.ndarray) -> float:
    """Return the overlap of two masks, brought to one place and one area."""
    same = []
    for mask in (one > 0, two > 0):
        scale, centre = np.sqrt(mask.sum() / 1000), np.array(ndimage.center_of_mass(mask))
        same.append(
            ndimage.affine_transform(
                mask.astype(float), [scale] * 2, centre - 32 * scale, output_shape=(64, 64), order=1
            )
            > 0.5
        )
    return float((same[0] & same[1]).sum() / (same[0] | same[1]).sum())


@pytest.mark.parametrize("thing", THINGS)
def test_an_artefact_changes_the_picture_and_never_the_mask(thing: str) -> None:
    plain, mask = draw(2)
    marked, marked_mask = draw(2, **{thing: True})
    differs = (plain != marked).any(axis=2)
    assert 0.002 < differs.mean() < 0.6
    assert (mask == marked_mask).all()


@pytest.mark.parametrize("thing", THINGS)
def test_an_artefact_moves_no_other(thing: str) -> None:
    others = dict.fromkeys((t for t in THINGS if t not in (thing, "has_corners")), True)
    plain, with_it = draw(2, **others), draw(2, **others, **{thing: True})
    alone, alone_with_it = draw(2), draw(2, **{thing: True})
    here = (plain[0] != with_it[0]).any(axis=2)
    there = (alone[0] != alone_with_it[0]).any(axis=2)
    assert (here & ~there).mean() < 0.005


def test_darker_skin_is_darker() -> None:
    light = [
        np.mean([draw(k, ita=ita)[0][draw(k, ita=ita)[1] == 0].mean() for k in range(4)])
        for ita in (60.0, 35.0, 10.0, -20.0, -45.0)
    ]
    assert (np.diff(light) < -5).all()


def test_the_view_holds_the_lesion_near_the_middle() -> None:
    for view in range(200):
        chosen = photograph._view(np.random.default_rng(view), 64)
        assert 0.7 < chosen.zoom < 1.4
        assert max(abs(s) for s in chosen.shift) <= 0.09
