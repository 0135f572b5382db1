"""Masks as labelling tools, painters and resizers write them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageFilter

from melnb.data import mask_levels as levels_of
from melnb.data.lesions.abcd import measure_lesion
from melnb.data.lesions.mask_files import MaskFile, MaskFiles
from melnb.data.pictures import read_mask
from melnb.data.shards.records import make_records

HEIGHT, WIDTH = 60, 80
Y, X = np.mgrid[:HEIGHT, :WIDTH]
LESION = np.hypot(Y - 30, X - 36) < 16
LARGE = np.hypot(Y - 30, X - 36) < 36  # reaches the frame above and below
PART = LESION & (X < 36)
SETTLE = "save it as 0 and 255"


def levels(
    low: float, high: float, lesion: np.ndarray = LESION, kind: Any = "uint8"
) -> Image.Image:
    return Image.fromarray(np.where(lesion, high, low).astype(kind))


def labels(first: int, second: int, third: int, kind: Any = "uint8") -> Image.Image:
    return Image.fromarray(np.where(PART, third, np.where(LESION, second, first)).astype(kind))


def painted(ground: Any, mark: Any, lesion: np.ndarray = LESION) -> Image.Image:
    pixels = np.where(lesion[..., None], np.array(mark), np.array(ground)).astype("uint8")
    return Image.fromarray(pixels)


def palette(*colours: tuple[int, int, int], labels: np.ndarray = LESION) -> Image.Image:
    image = Image.fromarray(labels.astype("uint8"))
    image.putpalette([channel for colour in colours for channel in colour])
    return image


def soft(image: Image.Image, factor: int = 3) -> Image.Image:
    """Make a mask larger, so that its edges are grey over several pixels."""
    return image.resize((WIDTH * factor, HEIGHT * factor), Image.Resampling.BICUBIC)


def save(image: Image.Image, suffix: str = ".png", **options: Any) -> Callable[[Path], str]:
    def make(folder: Path) -> str:
        image.save(folder / f"a_mask{suffix}", **options)
        return str(folder / f"a_mask{suffix}")

    return make


def says(wanted: np.ndarray = LESION, off: float = 0.0) -> Callable[[Image.Image], None]:
    """Hold what was read against the lesion; `off`: the share that compression may move."""

    def check(found: Image.Image) -> None:
        assert found.mode == "L"
        assert set(np.unique(np.asarray(found))) <= {0, 255}
        assert ((np.asarray(found) > 0) != wanted).mean() <= off

    return check


RED, BLACK, WHITE, BLUE, GREEN = (
    (255, 0, 0), (0, 0, 0), (255, 255, 255), (0, 0, 255), (0, 255, 0),
)  # fmt: skip
NOTHING, ALL = np.zeros_like(LESION), np.ones_like(LESION)
OPACITY = Image.fromarray(np.uint8(LESION * 255))
NOISE = np.random.default_rng(0).integers(0, 6, (HEIGHT, WIDTH))

CASES: dict[str, tuple[Callable[[Path], str], Callable[[Image.Image], None] | list[str]]] = {
    "0 and 255": (save(levels(0, 255)), says()),
    "0 and 1": (save(levels(0, 1)), says()),
    "0 and 100": (save(levels(0, 100)), says()),
    "0 and 128": (save(levels(0, 128)), says()),
    "0 and 38, red's grey": (save(levels(0, 38)), says()),
    "1 and 2": (save(levels(1, 2)), says()),
    "100 and 255": (save(levels(100, 255)), says()),
    "16 bits": (save(levels(0, 65535, kind="uint16")), says()),
    "0 and 1 of 16 bits": (save(levels(0, 1, kind="uint16")), says()),
    "0 and 255 in a TIFF of 16 bits": (save(levels(0, 255, kind="uint16"), ".tif"), says()),
    "floating point": (save(levels(0, 1, kind="float32"), ".tif"), says()),
    "32-bit labels": (save(levels(0, 7, kind="int32"), ".tif"), says()),
    "true and false": (save(levels(0, 255).convert("1")), says()),
    "one bit in a BMP": (save(levels(0, 255).convert("1"), ".bmp"), says()),
    "white on black in colour": (save(painted(BLACK, WHITE)), says()),
    "red on black": (save(painted(BLACK, RED)), says()),
    "blue on black, whose grey is 29": (save(painted(BLACK, BLUE)), says()),
    "red on black, resized": (
        save(soft(painted(BLACK, RED))), says(np.asarray(soft(levels(0, 255))) > 127, 0.002),
    ),
    "red on black as a JPEG": (save(painted(BLACK, RED), ".jpg", quality=70), says(off=0.02)),
    "a labelling tool's palette": (save(palette(BLACK, (128, 0, 0))), says()),
    "a palette of two colours, the first the ground": (save(palette(BLUE, RED)), says()),
    "a palette that shows all labels black": (save(palette(BLACK, BLACK)), says()),
    "a palette whose first is white": (save(palette(WHITE, BLACK, labels=~LESION)), says()),
    "a palette of no meaning, label 1 near black": (save(palette(BLACK, (1, 1, 1))), says()),
    "a GIF": (save(levels(0, 255), ".gif"), says()),
    "white on transparent": (
        save(Image.merge("RGBA", [*painted(WHITE, WHITE).split(), OPACITY])), says(),
    ),
    "black on transparent": (save(Image.merge("LA", [levels(0, 0), OPACITY])), says()),
    "white on black within a transparent rim": (
        save(
            Image.merge(
                "LA", [levels(0, 255), Image.fromarray(np.uint8((X > 4) * 255))]
            )
        ),
        says(),
    ),
    "all transparent": (
        save(Image.merge("LA", [levels(255, 255), levels(0, 0)])), says(NOTHING),
    ),
    "opaque": (save(Image.merge("LA", [levels(0, 255), levels(255, 255)])), says()),
    "a JPEG": (save(levels(0, 255), ".jpg", quality=60), says(off=0.02)),
    "0 and 128 as a JPEG": (save(levels(0, 128), ".jpg", quality=60), says(off=0.02)),
    "grey edges": (save(soft(levels(0, 255))), says(np.asarray(soft(levels(0, 255))) > 127)),
    "grey edges below 100": (
        save(soft(levels(0, 100))), says(np.asarray(soft(levels(0, 100))) > 50, 0.002),
    ),
    "blurred": (
        save(levels(0, 255).filter(ImageFilter.GaussianBlur(2))), says(off=0.02),
    ),
    "no lesion": (save(levels(0, 0)), says(NOTHING)),
    "lesion everywhere": (save(levels(255, 255)), says(ALL)),
    "lesion everywhere, of 16 bits": (save(levels(65535, 65535, kind="uint16")), says(ALL)),
    "white that ripples": (save(Image.fromarray((255 - NOISE).astype("uint8"))), says(ALL)),
    "a lesion that reaches the frame": (save(levels(0, 255, LARGE)), says(LARGE)),
    "0, 1 and 2": (
        save(labels(0, 1, 2)),
        [r"a_mask\.png: .* 3 levels, 0 \(8.*\), .*1 .*2", SETTLE],
    ),
    "0, 127 and 255": (save(labels(0, 127, 255)), ["3 levels, 0 .*127", SETTLE]),
    "0, 1 and an unlabelled 255": (save(labels(0, 255, 1)), ["3 levels, 0 ", SETTLE]),
    "three levels as a JPEG": (save(labels(0, 127, 255), ".jpg"), [r"a_mask\.jpg.*levels", SETTLE]),
    "0, 1 and 2 of 16 bits": (save(labels(0, 1, 2, "uint16")), ["3 levels, 0 ", SETTLE]),
    "three labels of a palette": (
        save(palette(BLACK, RED, GREEN, labels=LESION + PART.astype(int))),
        ["3 colours, #000000 .*#00ff00", "#ff0000", SETTLE],
    ),
    "red on white": (
        save(painted(WHITE, RED)),
        ["#ffffff .*#ff0000 .*neither of them black", SETTLE],
    ),
    "red on green": (save(painted(GREEN, RED)), ["#00ff00 .*neither of them black", SETTLE]),
    "black on white": (
        save(levels(255, 0)), [r"inverted: .*frame is lesion \(level 255\) .*level 0, 1",
         "invert it"],
    ),
    "0 on 1": (save(levels(1, 0)), ["inverted: its whole frame", "invert it"]),
    "black on white as a JPEG": (save(levels(255, 0), ".jpg"), ["inverted", "invert it"]),
    "a hole in white": (
        save(Image.merge("RGBA",
        [*painted(WHITE, WHITE).split(), Image.fromarray(np.uint8(~LESION * 255))])),
        ["inverted", "invert it"],
    ),
    "one level that says nothing": (
        save(levels(7, 7)),
        ["one level, 7, neither 0 nor 255", SETTLE],
    ),
    "one red": (save(painted(RED, RED)), [r"of one colour, #ff0000", SETTLE]),
    "a black JPEG of noise": (
        save(Image.fromarray(NOISE.astype("uint8")), ".jpg"), [r"a_mask\.jpg: .*levels, ", SETTLE],
    ),
    "no numbers": (save(levels(0, np.nan, kind="float32"), ".tif"), ["no numbers", SETTLE]),
    "a grey photograph instead": (
        save(Image.fromarray(np.uint8(X * 2 + Y))), ["grey in 9.%", "photograph", SETTLE],
    ),
    "a picture instead of its mask": (
        save(Image.fromarray(np.uint8(np.stack([X * 3, Y * 4, X + Y], -1)))),
        [r"a_mask\.png: the mask", SETTLE],
    ),
}  # fmt: skip


@pytest.mark.parametrize("part", [levels_of._PART, 1], ids=["whole", "by rows"])
@pytest.mark.parametrize("name", CASES)
def test_a_mask(try_odd_file: Any, name: str, part: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(levels_of, "_PART", part)
    make, outcome = CASES[name]

    def read(path: str) -> Image.Image:
        with Image.open(path) as image:
            width, height = image.size
        return read_mask(path, 0, width=width, height=height)

    try_odd_file(make, read, outcome)


def test_every_reader_of_masks_asks_the_same_question(tmp_path: Path) -> None:
    picture = tmp_path / "a.jpg"
    Image.new("RGB", (WIDTH, HEIGHT), (200, 150, 120)).save(picture)
    mask = save(painted(BLACK, BLUE))(tmp_path)
    files = MaskFiles({"a": MaskFile(mask, str(picture), WIDTH, HEIGHT)})
    assert np.array_equal(files["a"], LESION)
    assert measure_lesion(str(picture), mask)["note"] == ""
    twice = save(labels(0, 1, 2))(tmp_path)
    assert "3 levels" in measure_lesion(str(picture), twice)["note"]


def many(folder: Path, empty: int, total: int = 20, **options: Any) -> Any:
    """Make the records of pictures with masks, some of them empty."""
    rows = []
    for number in range(total):
        image, mask = folder / f"i{number}.png", folder / f"i{number}_mask.png"
        Image.new("RGB", (WIDTH, HEIGHT), (number, 0, 0)).save(image)
        levels(0, 255, NOTHING if number < empty else LESION).save(mask)
        rows.append({"image_id": f"i{number}", "path": str(image), "mask_path": str(mask)})
    columns = ("patient_id", "lesion_id", "diagnosis", "sex", "age", "site")
    images = pd.DataFrame(rows).assign(
        target="lesion", source="s", **dict.fromkeys(columns, np.nan)
    )
    folds = pd.DataFrame({"image_id": images["image_id"], "fold": [k % 2 for k in range(total)]})
    return make_records(
        images, folds, folder / "records", classes=["lesion"], image_sizes=[16], workers=1,
        progress=False, **options,
    )  # fmt: skip


@pytest.mark.parametrize("options", [{}, {"skip_unreadable": True}])
def test_many_masks_without_a_lesion_stop_the_records(tmp_path: Path, options: Any) -> None:
    for _ in range(2):  # the second time shards are kept, and say so still
        with pytest.raises(
            ValueError, match=r"4 of 20 masks hold no lesion, the first .*i\d_mask\.png"
        ):
            many(tmp_path, 4, **options)


def test_a_single_one_is_a_record(tmp_path: Path) -> None:
    assert sum(shard.images for shard in many(tmp_path, 1).shards) == 20
