import base64
import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from melnb.display.plots import saliency


@pytest.fixture
def lesion() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two pictures of 16 pixels, a map on the right half of the first, and masks of the middle."""
    images = np.full((2, 16, 16, 3), (200, 150, 130), "float32")
    maps = np.zeros((2, 16, 16))
    maps[0, :, 8:] = 5
    masks = np.zeros((2, 16, 16), bool)
    masks[0, 4:12, 4:12] = True
    return images, maps, masks


def test_a_map_covers_where_it_is_great_and_nothing_else(
    lesion: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    images, maps, _ = lesion
    seen = saliency.cover(images[0], maps[0], None, size=64).astype(int)
    left, right = seen[:, :24].reshape(-1, 3), seen[:, 40:].reshape(-1, 3)
    assert np.ptp(left, axis=1).max() == 0  # grey
    assert left.min() > 180  # and pale
    assert (right[:, 0] - right[:, 2]).min() > 60  # brown
    assert right.sum(axis=1).max() < left.sum(axis=1).min()
    empty = saliency.cover(images[1], maps[1], None, size=64, smooth=1 / 64)
    assert np.ptp(empty, axis=-1).max() == 0


def test_the_lesion_is_outlined_in_white_with_a_dark_edge(
    lesion: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    images, maps, masks = lesion
    seen = saliency.cover(images[0], maps[1], masks[0], size=64)
    plain = saliency.cover(images[0], maps[1], None, size=64)
    changed = (seen != plain).any(axis=-1)
    assert {tuple(pixel) for pixel in seen[changed]} == {(255,) * 3, (25,) * 3}
    rows, columns = np.nonzero(changed)
    assert rows.min() > 10
    assert columns.max() < 53
    assert not changed[24:40, 24:40].any()
    assert np.array_equal(saliency.cover(images[1], maps[1], masks[1], size=64), plain)


def test_the_ramp_darkens_all_the_way() -> None:
    light = saliency._colours(np.linspace(0, 1, 50)) @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(light) < 0).all()


def test_overlays_are_pictures_over_maps_with_one_colour_bar(
    lesion: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    images, maps, masks = lesion
    figure = saliency.overlays(
        images, {"Grad-CAM": maps, "other": maps}, captions=["a", "b"], masks=masks, size=40
    )
    tiles = [trace for trace in figure.data if trace.type == "image"]
    assert len(tiles) == 6
    assert sum("colorbar" in str(trace.marker) for trace in figure.data[6:]) == 1
    words = {annotation.text for annotation in figure.layout.annotations}
    assert words == {"a", "b", "picture", "Grad-CAM", "other"}
    encoded = tiles[0].source.partition(",")[2]
    first = np.asarray(Image.open(io.BytesIO(base64.b64decode(encoded))))
    assert first.shape == (40, 40, 3)
    np.testing.assert_allclose(first.mean(axis=(0, 1)), (200, 150, 130), atol=2)
    assert len(figure.to_json()) < 60_000


def test_captions_name_the_image_its_truth_and_its_score() -> None:
    calls = pd.DataFrame({"image_id": ["i0"], "truth": ["basal_cell_carcinoma"], "score": [0.1234]})
    assert saliency.captions(calls) == ["i0<br>Basal cell carcinoma<br>p 0.12"]


def test_points_of_each_method_against_a_flat_map() -> None:
    scores = pd.DataFrame(
        {
            "image_id": ["i0", "i1", "i0"],
            "method": ["Grad-CAM", "Grad-CAM", "integrated gradients"],
            "inside": [0.5, np.nan, 0.9],
            "lesion_share": [0.2, 0.3, 0.2],
        }
    )
    figure = saliency.inside_mask(scores)
    names = [trace.name for trace in figure.data]
    assert names == ["flat map", "Grad-CAM", "integrated gradients"]
    assert list(figure.data[2].y) == [0.9]


def test_removal_curves_have_a_panel_each_and_a_grey_random_order() -> None:
    rows = [
        {"method": m, "metric": c, "share": s, "value": 1 - s, "low": 0.9 - s, "high": 1.1 - s}
        for m in ("Grad-CAM", saliency.RANDOM)
        for c in ("deletion", "insertion")
        for s in (0.0, 0.5, 1.0)
    ]
    figure = saliency.removal_curves(pd.DataFrame(rows))
    lines = [trace for trace in figure.data if trace.fill is None]
    assert [line.name for line in lines] == ["Grad-CAM", saliency.RANDOM] * 2
    assert [line.xaxis for line in lines] == ["x", "x", "x2", "x2"]
    assert [bool(line.showlegend) for line in lines] == [True, True, False, False]
    assert lines[1].line.dash == "dot"
    assert list(lines[0].y) == [1, 0.5, 0]


def test_a_destroyed_network_is_compared_from_one_on() -> None:
    means = pd.DataFrame(
        {
            "method": ["Grad-CAM"] * 2, "layers": [0.1, 1.0], "value": [0.5, 0.0],
            "low": [0.4, -0.1], "high": [0.6, 0.1],
        }
    )  # fmt: skip
    (line,) = saliency.randomization(means).data
    assert list(line.x) == [0, 0.1, 1]
    assert list(line.y) == [1, 0.5, 0]
    np.testing.assert_allclose(line.error_y.array, [0, 0.1, 0.1])


def test_without_masks_or_metadata_there_is_no_figure() -> None:
    scores = pd.DataFrame(
        {"image_id": ["a"], "method": ["m"], "inside": [np.nan], "lesion_share": [np.nan]}
    )
    assert saliency.inside_mask(scores) is None
    means = pd.DataFrame({"column": ["age"], "value": [0.2], "low": [0.1], "high": [0.3], "n": [9]})
    assert saliency.metadata_attributions(means.head(0), score="logit") is None
    figure = saliency.metadata_attributions(means, score="logit")
    assert figure is not None
    assert figure.layout.xaxis.title.text == "Mean size in the logit"
    assert list(figure.data[0].y) == ["age"]
