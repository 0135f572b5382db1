import io
import re
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from melnb.display import gallery


def test_open_file_is_a_square_of_rgb(tmp_path: Path) -> None:
    path = tmp_path / "grey.png"
    Image.new("L", (50, 20), 90).save(path)
    picture = gallery.open_file(str(path), 16)
    assert (picture.size, picture.mode) == ((16, 16), "RGB")


def test_sample_grid_draws_from_each_class_and_repeats_with_its_seed(images: pd.DataFrame) -> None:
    grid = gallery.sample_grid(images, per_class=3, size=24, seed=4)
    assert set(grid.rows) == {"Melanoma (4)", "Nevus (4)"}
    assert all(len(tiles) == 3 for tiles in grid.rows.values())
    tile = grid.rows["Nevus (4)"][0]
    assert Image.open(io.BytesIO(tile.jpeg)).size == (24, 24)
    assert gallery.sample_grid(images, per_class=3, size=24, seed=4) == grid
    assert gallery.sample_grid(images, per_class=3, size=24, seed=5) != grid


def test_a_gallery_is_light_and_whole_in_itself(images: pd.DataFrame) -> None:
    html = gallery.sample_grid(images, per_class=4, size=24)._repr_html_()
    assert html.count("<img ") == 8
    assert set(re.findall(r'src="(.{10})', html)) == {"data:image"}
    assert "http" not in html
    assert "JFIF" not in repr(gallery.sample_grid(images, per_class=4, size=24))


def test_no_text_of_the_data_is_markup(images: pd.DataFrame) -> None:
    hostile = images.assign(site='"><script>alert(1)</script>', target="<b>x</b>")
    html = gallery.sample_grid(hostile, per_class=1, size=16).html()
    assert "<script" not in html
    assert "<b>" not in html.lower()
    assert "&lt;script&gt;" in html


def test_a_picture_that_cannot_be_read_leaves_a_hole(images: pd.DataFrame, tmp_path: Path) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no picture")
    paths = [str(broken), str(tmp_path / "gone.jpg"), np.nan]
    errors = pd.DataFrame(
        {
            "error": "false negative",
            "image_id": ["i0", "i1", "i2"],
            "truth": "melanoma",
            "score": [0.01, 0.02, 0.0312],
        }
    )
    shown = gallery.worst_errors(errors, images.head(3).assign(path=paths), size=16)
    (tiles,) = shown.rows.values()
    assert [tile.jpeg for tile in tiles] == [b"", b"", b""]
    assert shown.html().count("not readable") == 3
    assert tiles[2].caption == "i2 · Melanoma · 0.031"


def test_worst_errors_keep_their_order_and_are_joined_by_id(images: pd.DataFrame) -> None:
    errors = pd.DataFrame(
        {
            "error": ["false negative", "false positive", "false positive"],
            "image_id": ["i9", "i3", "missing"],
            "truth": ["melanoma", "nevus", "nevus"],
            "score": [0.1, 0.9, 0.8],
        }
    )
    shown = gallery.worst_errors(errors, images.iloc[::-1], size=16)
    ids = [[t.caption.split(" ")[0] for t in tiles] for tiles in shown.rows.values()]
    assert ids == [["i9"], ["i3", "missing"]]


def test_neighbours_stand_behind_the_one_asked_about(images: pd.DataFrame) -> None:
    near = pd.DataFrame(
        {
            "image_id": ["i9", "i9", "i3"],
            "target": ["melanoma", "melanoma", None],
            "neighbour": ["i3", "missing", "i9"],
            "neighbour_target": [None, "nevus", "melanoma"],
            "similarity": [0.912, 0.5, 0.912],
        }
    )
    shown = gallery.nearest_neighbours(near, images.iloc[::-1], size=16)
    assert {heading: [tile.caption for tile in tiles] for heading, tiles in shown.rows.items()} == {
        "Melanoma (i9)": ["itself", "unknown · 0.91", "Nevus · 0.50"],
        "unknown (i3)": ["itself", "Melanoma · 0.91"],
    }
    own, other = (tiles for tiles in shown.rows.values())
    assert (own[0].jpeg, own[1].jpeg, own[2].jpeg) == (other[1].jpeg, other[0].jpeg, b"")
    assert not gallery.nearest_neighbours(near.head(0), images).rows


def test_views_show_arrays_in_their_own_range() -> None:
    white, black = np.full((8, 8, 3), 255.4, np.float32), np.full((8, 8, 3), -3.0, np.float32)
    shown = gallery.augmented_views({"i0": [white, black]}, size=8)
    pixels = [np.asarray(Image.open(io.BytesIO(t.jpeg))).mean() for t in shown.rows["i0"]]
    assert pixels == [255, 0]


def test_a_doubtful_label_is_shown_with_how_many_neighbours_bear_it() -> None:
    errors = pd.DataFrame({"image_id": ["a", "b"], "truth": "melanoma", "suggested": "nevus"})
    images = pd.DataFrame({"image_id": ["a", "b"], "path": [None, None]})
    shown = gallery.label_errors(errors.assign(neighbours=[0.1, np.nan]), images, size=16)
    (tiles,) = shown.rows.values()
    assert [tile.caption for tile in tiles] == [
        "a · rather Nevus? 10% of neighbours are as it is called", "b · rather Nevus?",
    ]  # fmt: skip
