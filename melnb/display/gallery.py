"""Pictures side by side: samples of each class, augmented views, the worst errors.

A gallery is a block of HTML with small JPEGs inside, so that a notebook, an exported page and the
report show the same pictures without a file or a network.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image, ImageOps

from melnb.tables import diagnoses
from melnb.tables.files import PICTURE_FORMATS

OpenPicture = Callable[[str, int], Image.Image]
"""From a path and a side in pixels to a square picture: `data.pictures.read_picture`, say."""

_STYLE = (
    "display:grid;grid-template-columns:repeat(auto-fill,minmax({size}px,1fr));gap:8px;"
    "margin:4px 0 14px"
)
_UNKNOWN = "unknown"


@dataclass(frozen=True)
class Tile:
    """One picture of a gallery.

    Attributes:
        jpeg: The encoded picture; empty: it could not be read.
        caption: Text below it.
        words: Text instead of it, for those who cannot see it.
        ratio: Width by height.
    """

    jpeg: bytes = field(repr=False)  # a notebook keeps what is shown as text, too
    caption: str
    words: str
    ratio: float = 1.0

    def html(self, size: int) -> str:
        """Return the tile as HTML, every text escaped."""
        side = f"width:100%;max-width:{size}px;aspect-ratio:{self.ratio:g};border-radius:6px"
        if self.jpeg:
            source = f"data:image/jpeg;base64,{base64.b64encode(self.jpeg).decode()}"
            shown = f'<img alt="{escape(self.words)}" style="{side}" src="{source}">'
        else:
            shown = f'<div style="{side};border:1px dashed currentColor">not readable</div>'
        style = "font-size:12px;line-height:1.3;overflow-wrap:anywhere"
        text = escape(self.caption).replace("\n", "<br>")
        caption = f'<figcaption style="{style}">{text}</figcaption>'
        return f'<figure style="margin:0">{shown}{caption}</figure>'


@dataclass(frozen=True)
class Gallery:
    """Rows of pictures, each under a heading; Jupyter and the report show it as HTML.

    Attributes:
        title: Of the whole; empty: none.
        rows: Heading of each row, which may be empty, and its tiles.
        size: Pixels on a side of a picture.
    """

    title: str
    rows: Mapping[str, Sequence[Tile]]
    size: int = 128

    def html(self) -> str:
        """Return the gallery as HTML, every text escaped."""
        title = f'<div style="font-weight:600;font-size:16px">{escape(self.title)}</div>'
        blocks = [title] if self.title else []
        for heading, tiles in self.rows.items():
            if heading:
                blocks.append(
                    f'<div style="font-weight:600;margin-top:6px">{escape(heading)}</div>'
                )
            grid = _STYLE.format(size=self.size)
            blocks.append(f'<div style="{grid}">{"".join(t.html(self.size) for t in tiles)}</div>')
        return "".join(blocks)

    def _repr_html_(self) -> str:
        return self.html()


def open_file(path: str, size: int) -> Image.Image:
    """Open a plain picture file as an RGB square, cropped about its centre.

    Args:
        path: A JPEG, PNG or any other file that Pillow reads.
        size: Pixels on a side.
    """
    Image.init()
    with Image.open(path, formats=[f for f in PICTURE_FORMATS if f in Image.OPEN]) as picture:
        picture.draft("RGB", (2 * size, 2 * size))  # a JPEG is decoded small: ten times faster
        return ImageOps.fit(ImageOps.exif_transpose(picture).convert("RGB"), (size, size))


def sample_grid(
    images: pd.DataFrame,
    *,
    per_class: int = 6,
    size: int = 128,
    seed: int = 0,
    by: str = "target",
    open_picture: OpenPicture = open_file,
) -> Gallery:
    """Make a gallery of pictures drawn at random from each class.

    Args:
        images: Images table; rows without a path or a class are left out.
        per_class: Pictures of each class.
        size: Pixels on a side.
        seed: Of the draw.
        by: The column of classes.
        open_picture: Opens a path as a square picture.
    """
    pictured = images.dropna(subset=["path", by])
    rows = {}
    for name in pictured[by].value_counts().index:
        part = pictured[pictured[by] == name]
        drawn = part.sample(min(per_class, len(part)), random_state=seed)
        heading = f"{diagnoses.title(str(name))} ({len(part):,})"
        rows[heading] = [_tile(row, size, open_picture) for _, row in drawn.iterrows()]
    return Gallery("", rows, size)


def worst_errors(
    errors: pd.DataFrame,
    images: pd.DataFrame,
    *,
    size: int = 128,
    open_picture: OpenPicture = open_file,
) -> Gallery:
    """Make a gallery of `flagged.worst_errors`, joined to the images by id.

    Args:
        errors: `error`, `image_id`, `truth`, `score`.
        images: Images table; an error whose picture it lacks is listed without one.
        size: Pixels on a side.
        open_picture: Opens a path as a square picture.
    """
    joined = errors.merge(images[["image_id", "path"]], on="image_id", how="left")
    rows: dict[str, list[Tile]] = {}
    for _, row in joined.iterrows():
        caption = f"{row['image_id']} · {diagnoses.title(str(row['truth']))} · {row['score']:.3f}"
        heading = f"{str(row['error']).capitalize()}s, the most confident first"
        rows.setdefault(heading, []).append(_tile(row, size, open_picture, caption))
    return Gallery("", rows, size)


def nearest_neighbours(
    neighbours: pd.DataFrame,
    images: pd.DataFrame,
    *,
    size: int = 112,
    open_picture: OpenPicture = open_file,
) -> Gallery:
    """Make a gallery of `embeddings.nearest_neighbours`: each image asked about, then its nearest.

    Args:
        neighbours: `image_id`, `target`, `neighbour`, `neighbour_target`, `similarity`, in order.
        images: `image_id`, `path`; an image that it lacks is shown as a hole.
        size: Pixels on a side.
        open_picture: Opens a path as a square picture.
    """
    paths = images.set_index("image_id")["path"]
    rows: dict[str, list[Tile]] = {}
    for image_id, likest in neighbours.groupby("image_id", sort=False):
        title = _class_title(likest["target"].iloc[0])
        shown = [(image_id, "itself")]
        shown += [
            (row["neighbour"], f"{_class_title(row['neighbour_target'])} · {row['similarity']:.2f}")
            for _, row in likest.iterrows()
        ]
        rows[f"{title} ({image_id})"] = [
            _tile(pd.Series({"path": paths.get(name)}), size, open_picture, caption)
            for name, caption in shown
        ]
    return Gallery("", rows, size)


def near_duplicates(
    pairs: pd.DataFrame,
    images: pd.DataFrame,
    *,
    n: int = 24,
    size: int = 112,
    open_picture: OpenPicture = open_file,
) -> Gallery:
    """Make a gallery of pairs, the two pictures of each side by side, those of a kind together.

    Args:
        pairs: Of `data.near_duplicates`, the likeliest first.
        images: `image_id`, `path`, `target`.
        n: Pairs shown.
        size: Pixels on a side of one picture.
        open_picture: Opens a path as a square picture.
    """
    by_id = images.set_index("image_id")
    rows: dict[str, list[Tile]] = {}
    for _, pair in pairs.head(n).iterrows():
        names = [str(pair["image_id"]), str(pair["same_as"])]
        titles = [_class_title(by_id["target"].get(name)) for name in names]
        label = titles[0] if titles[0] == titles[1] else " / ".join(titles)
        aligned = f"{pair['aligned']:.3f}" if pd.notna(pair["aligned"]) else "not compared"
        text = f"{names[0]} · {names[1]}\n{label} · pixels {aligned}"
        paths = [by_id["path"].get(name) for name in names]
        jpeg = side_by_side(paths, size, open_picture)
        rows.setdefault(str(pair["kind"]).capitalize(), []).append(
            Tile(jpeg, text, f"pictures {names[0]} and {names[1]}", ratio=2.0)
        )
    return Gallery("", rows, 2 * size)


def side_by_side(paths: Sequence[Any], size: int, open_picture: OpenPicture) -> bytes:
    """Return the pictures in one JPEG, grey where one cannot be read."""
    sheet = Image.new("RGB", (len(paths) * size, size), (128, 128, 128))
    for place, path in enumerate(paths):
        jpeg = read_tile(pd.Series({"path": path}), size, open_picture)
        if jpeg:
            sheet.paste(Image.open(io.BytesIO(jpeg), formats=["JPEG"]), (place * size, 0))
    file = io.BytesIO()
    sheet.save(file, "JPEG", quality=82, optimize=True)
    return file.getvalue()


def label_errors(
    errors: pd.DataFrame,
    images: pd.DataFrame,
    *,
    n: int = 24,
    size: int = 112,
    open_picture: OpenPicture = open_file,
) -> Gallery:
    """Make a gallery of the labels most in doubt, those of a label together.

    Args:
        errors: Of `evaluation.label_errors`, the most doubtful first.
        images: `image_id`, `path`.
        n: Pictures shown.
        size: Pixels on a side.
        open_picture: Opens a path as a square picture.
    """
    paths = images.set_index("image_id")["path"]
    rows: dict[str, list[Tile]] = {}
    for _, row in errors.head(n).iterrows():
        caption = f"{row['image_id']} · rather {_class_title(row['suggested'])}?"
        if pd.notna(row["neighbours"]):
            caption += f" {row['neighbours']:.0%} of neighbours are as it is called"
        picture = pd.Series({"path": paths.get(row["image_id"])})
        heading = f"Called {_class_title(row['truth'])}"
        rows.setdefault(heading, []).append(_tile(picture, size, open_picture, caption))
    return Gallery("", rows, size)


def _class_title(name: Any) -> str:
    return _UNKNOWN if pd.isna(name) else diagnoses.title(str(name))


def augmented_views(
    rows: Mapping[str, Iterable[np.ndarray]], *, title: str = "Augmented views", size: int = 128
) -> Gallery:
    """Make a gallery of arrays: what augmentation or views make of a picture.

    Args:
        rows: Heading of each row and its pictures, each H x W x 3, 0-255.
        title: Of the whole.
        size: Pixels on a side.
    """
    return Gallery(
        title,
        {
            heading: [
                Tile(encode(_from_array(picture), size), f"{k}", f"{heading}, view {k}")
                for k, picture in enumerate(pictures)
            ]
            for heading, pictures in rows.items()
        },
        size,
    )


def encode(picture: Image.Image, size: int, quality: int = 82) -> bytes:
    """Return a picture as a JPEG that is at most so many pixels on a side."""
    small = picture.convert("RGB")
    small.thumbnail((size, size))
    file = io.BytesIO()
    small.save(file, "JPEG", quality=quality, optimize=True, comment=b"")  # nor the file's own
    return file.getvalue()


def read_tile(row: pd.Series, size: int, open_picture: OpenPicture = open_file) -> bytes:
    """Return the JPEG of an image's row; empty when its file is missing or unreadable.

    A page of pictures is worth more with a hole in it than not at all.
    """
    if pd.isna(row["path"]):
        return b""
    try:
        return encode(open_picture(str(row["path"]), size), size)
    except (OSError, ValueError):
        return b""


def _tile(row: pd.Series, size: int, open_picture: OpenPicture, caption: str = "") -> Tile:
    facts = [row.get("sex"), row.get("age"), row.get("site")]
    words = ", ".join(f"{f:.0f}" if isinstance(f, float) else str(f) for f in facts if pd.notna(f))
    text = caption or f"{row['image_id']}{' · ' + words if words else ''}"
    return Tile(read_tile(row, size, open_picture), text, f"picture {text}")


def _from_array(picture: np.ndarray) -> Image.Image:
    return Image.fromarray(np.clip(np.rint(np.asarray(picture)), 0, 255).astype(np.uint8))
