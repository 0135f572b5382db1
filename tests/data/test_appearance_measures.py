"""Measures: flat paint has its own angle, dirt changes it little, known tones keep their order."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw
from scipy.stats import spearmanr
from skimage.color import rgb2lab

from melnb.data import appearance_measures, skin
from melnb.data.synthetic import cohort
from melnb.data.synthetic.textures import SKIN_TONES, skin_colour, skin_tone

BEIGE = (214, 170, 138)
SIZE = (300, 220)


def angle(colour: tuple[int, int, int]) -> float:
    light, _, yellow = rgb2lab(np.array([[colour]], dtype=np.uint8))[0, 0]
    return float(np.degrees(np.arctan((light - 50) / yellow)))


def paint(
    folder: Path, colour: tuple[int, int, int], *, dirty: bool = False, share: float = 0.3
) -> tuple[str, str]:
    """Write flat skin with a mask over its middle; dirty: a lesion, hairs and dark corners."""
    picture, mask = Image.new("RGB", SIZE, colour), Image.new("L", SIZE)
    (width, height), half = SIZE, share / 2
    box = [width * (0.5 - half), height * (0.5 - half), width * (0.5 + half), height * (0.5 + half)]
    ImageDraw.Draw(mask).ellipse(box, fill=255)
    if dirty:
        pen = ImageDraw.Draw(picture)
        pen.ellipse(box, fill=(90, 50, 40))
        for k in range(-100, 300, 25):
            pen.line([(k, 0), (k + 90, height)], fill=(45, 30, 25), width=2)
        ring = Image.new("L", SIZE, 255)
        ImageDraw.Draw(ring).ellipse([-5, -25, width + 5, height + 25], fill=0)
        picture.paste((4, 3, 3), mask=ring)
    name = folder / f"{'_'.join(map(str, colour))}-{dirty}-{share}"
    picture.save(f"{name}.png")
    mask.save(f"{name}_mask.png")
    return f"{name}.png", f"{name}_mask.png"


def table(pairs: list[tuple[str | None, str | None]]) -> pd.DataFrame:
    paths, masks = zip(*pairs, strict=True)
    ids = [f"i{k}" for k in range(len(pairs))]
    return pd.DataFrame({"image_id": ids, "path": paths, "mask_path": masks})


@pytest.mark.parametrize("colour", [BEIGE, (240, 214, 190), (120, 84, 60), (70, 48, 36)])
def test_flat_paint_has_the_angle_of_its_colour(
    tmp_path: Path, colour: tuple[int, int, int]
) -> None:
    found = skin.measure_picture(*paint(tmp_path, colour))
    assert found.ita == pytest.approx(angle(colour), abs=1e-9)
    assert (found.skin_red, found.skin_green, found.skin_blue) == pytest.approx(colour)
    assert (found.picture_red, found.lesion_blue) == pytest.approx((colour[0], colour[2]))
    assert found.lesion_share == pytest.approx(np.pi * 0.15**2, abs=0.003)
    assert (found.colour_spread, found.contrast) == pytest.approx((0, 0), abs=1e-6)
    assert found.note == ""


@pytest.mark.parametrize("colour", [BEIGE, (120, 84, 60), (70, 48, 36)])
def test_lesion_hair_and_dark_corners_do_not_change_the_angle(
    tmp_path: Path, colour: tuple[int, int, int]
) -> None:
    clean, dirty = (skin.measure_picture(*paint(tmp_path, colour, dirty=d)) for d in (False, True))
    assert dirty.ita == pytest.approx(clean.ita, abs=2)
    assert dirty.skin_red == pytest.approx(clean.skin_red, abs=4)
    assert dirty.skin_pixels < clean.skin_pixels


def test_a_dark_lesion_stands_out(tmp_path: Path) -> None:
    found = skin.measure_picture(*paint(tmp_path, BEIGE, dirty=True))
    light, dark = (rgb2lab(np.array([[c]]) / 255)[0, 0, 0] for c in (BEIGE, (90, 50, 40)))
    assert found.contrast == pytest.approx(light - dark, abs=2.5)
    assert found.lesion_red < found.picture_red < found.skin_red
    assert found.colour_spread > 0


def test_hair_and_corners_are_found_and_skin_is_not() -> None:
    pixels = np.full((skin.SIDE, skin.SIDE, 3), BEIGE, dtype=np.uint8)
    nothing = np.zeros(pixels.shape[:2], dtype=bool)
    inner = skin.find_skin(pixels, nothing).mean()
    assert inner == pytest.approx(0.92**2, abs=0.02)  # all but the border
    pixels[:, 60:63] = 30
    pixels[:30, :30] = 5
    found = skin.find_skin(pixels, nothing)
    assert not found[:, 60:63].any()
    assert not found[:34, :34].any()
    assert found[80:-10, 80:-10].all()


@settings(max_examples=settings.default.max_examples // 4)
@given(st.floats(-45, 70), st.floats(8, 22))
def test_the_angle_of_a_colour_is_read_back(ita: float, yellow: float) -> None:
    light = 50 + yellow * np.tan(np.radians(ita))
    lab = np.array([light, 12.0, yellow])
    assert skin.typology_angles(lab) == pytest.approx(ita)


def test_a_blue_cast_leaves_no_tone(tmp_path: Path) -> None:
    made = appearance_measures.measure_images(
        table([paint(tmp_path, (190, 160, 200))]), workers=1
    ).iloc[0]
    assert made["ita"] > 90
    assert pd.isna(made["skin_tone"])
    assert "blue cast" in made["note"]


def test_bands_are_chardons_or_kinyanjuis() -> None:
    ita = pd.Series([70, 55, 41.1, 41, 28, 10, -29, -30, np.nan, 95], index=range(10, 20))
    made = appearance_measures.ita_bands(ita)
    names = ["very light", "light", "light", "intermediate", "tan", "brown", "brown", "dark"]
    assert made.astype(object).where(made.notna(), None).tolist() == [*names, None, None]
    assert made.index.tolist() == list(range(10, 20))
    assert made.dropna().tolist() == [skin_tone(angle) for angle in ita[:8]]
    assert tuple(made.cat.categories) == SKIN_TONES
    fine = appearance_measures.ita_bands(
        pd.Series([56.0, 50, 45, 35, 30, 20, 15, 9]), bands="kinyanjui"
    )
    assert fine.tolist() == list(fine.cat.categories)
    with pytest.raises(ValueError, match="bands is 'fitzpatrick'"):
        appearance_measures.ita_bands(ita, bands="fitzpatrick")  # type: ignore[arg-type]


def test_what_cannot_be_measured_says_why(tmp_path: Path) -> None:
    path, mask = paint(tmp_path, BEIGE)
    white, black, narrow = (str(tmp_path / f"{n}.png") for n in ("white", "black", "narrow"))
    Image.new("L", SIZE, 255).save(white)
    Image.new("L", SIZE, 0).save(black)
    Image.new("L", (100, 220), 255).save(narrow)
    pairs = [(path, None), (path, white), (path, black), (path, narrow), (path, "no.png")]
    made = appearance_measures.measure_images(
        table([*pairs, ("gone.jpg", mask), (None, mask)]), workers=1
    )
    words = ("no mask", "bare skin is 0.0%", "empty", "proportions|pixels but", "no such file")
    for note, word in zip(made["note"], (*words, "gone.jpg", "no measures"), strict=True):
        assert pd.Series([note]).str.contains(word).all(), note
    assert made["ita"].isna().all()
    assert made["skin_tone"].isna().all()
    assert made["picture_red"].notna().tolist() == [True] * 5 + [False] * 2
    assert made["lesion_share"].iloc[1] == 1
    bare = appearance_measures.measure_images(
        table([(path, None)]).drop(columns="mask_path"), workers=1
    )
    assert bare["note"].tolist() == ["no skin tone: no mask"]
    assert tuple(made.columns) == appearance_measures.COLUMNS
    assert appearance_measures.measure_images(table(pairs).head(0)).empty


def test_known_tones_keep_their_order_whatever_the_number_of_workers(tmp_path: Path) -> None:
    home = cohort.make_dataset(tmp_path / "set", images=90, image_size=128, workers=1)
    images = cohort.read_dataset_images(home)
    made = appearance_measures.measure_images(images, workers=1)
    known = pd.read_csv(home / "metadata.csv").merge(made, on="image_id", suffixes=("_true", ""))
    assert (known["note"] == "").mean() > 0.9
    seen = known[known["ita"].abs() <= 90]
    assert spearmanr(seen["ita_true"], seen["ita"]).statistic > 0.85
    dark = seen["ita_true"] < 10
    assert seen.loc[dark, "ita"].median() + 20 < seen.loc[~dark, "ita"].median()
    few = images.head(8)
    two = appearance_measures.measure_images(few, workers=2)
    pd.testing.assert_frame_equal(two, made.head(8))


def test_the_synthetic_skin_is_painted_in_its_angle(tmp_path: Path) -> None:
    for ita in (60.0, 30.0, 0.0, -40.0):
        colour = tuple(round(255 * c) for c in skin_colour(ita).tolist())
        assert skin.measure_picture(*paint(tmp_path, colour)).ita == pytest.approx(ita, abs=1.5)


def test_mean_colours_are_of_the_pixels_and_of_nothing_where_none_can_be_read(
    tmp_path: Path,
) -> None:
    Image.new("RGB", (9, 9), (200, 100, 50)).save(tmp_path / "red.png")
    images = pd.DataFrame({"image_id": list("abcdefg"), "target": "nevus", "source": "x"})
    table = appearance_measures.mean_colours(images.assign(path=str(tmp_path / "red.png")), n=5)
    assert len(table) == 5
    assert table[["red", "green", "blue"]].drop_duplicates().to_numpy().tolist() == [[200, 100, 50]]
    gone = appearance_measures.mean_colours(images.assign(path="gone.jpg"))
    assert gone[["red", "green", "blue"]].isna().all(axis=None)
