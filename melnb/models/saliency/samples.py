"""The pictures that are to be explained: as the network sees them, with their masks if any."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from melnb.data.pictures import read_mask, read_picture

_MASKS = ("{id}_segmentation.png", "{id}_Segmentation.png", "{id}.png", "{id}_mask.png")


@dataclass(frozen=True)
class Sample:
    """Pictures and what belongs to them, row by row.

    Attributes:
        image_id: n names.
        images: n x size x size x 3 float32, 0-255.
        masks: n x size x size booleans, true in the lesion; None: not known of any.
        has_mask: n booleans; a mask of a row without one is false everywhere.
        metadata: n x m float32 beside the pictures; None: the network takes none.
    """

    image_id: tuple[str, ...]
    images: np.ndarray
    masks: np.ndarray | None = None
    has_mask: np.ndarray | None = None
    metadata: np.ndarray | None = None

    def __len__(self) -> int:
        """Return the number of pictures."""
        return len(self.image_id)

    @property
    def tensors(self) -> list[np.ndarray]:
        """Return what the network takes, in the order of its inputs."""
        return [self.images] if self.metadata is None else [self.images, self.metadata]

    def take(self, rows: Sequence[int] | np.ndarray) -> Sample:
        """Return some of the rows."""
        chosen = np.asarray(rows, dtype=int)
        others = [
            None if part is None else part[chosen]
            for part in (self.masks, self.has_mask, self.metadata)
        ]
        return Sample(tuple(np.asarray(self.image_id)[chosen]), self.images[chosen], *others)


def read_sample(
    index: pd.DataFrame,
    image_ids: Sequence[str] | pd.Series,
    *,
    image_size: int,
    masks: pd.Series | None = None,
    fit: Literal["crop", "squash", "pad"] = "crop",
    metadata: np.ndarray | None = None,
) -> Sample:
    """Read pictures out of their shards, and their masks in the same geometry.

    Args:
        index: Of `records.read_index`: image_id, path, width, height.
        image_ids: Those wanted, in the order wanted.
        image_size: Pixels on a side, the network's.
        masks: Path of the mask by image id (`find_masks`); None: there are none.
        fit: How the dataset's pictures got square.
        metadata: len(index) x m for a network that takes it.

    Raises:
        ValueError: An image is not in the index.
        PictureError: A picture or a mask cannot be read, or a mask has not its picture's shape.
    """
    places = pd.Index(index["image_id"]).get_indexer(pd.Index(list(image_ids)))
    if (places < 0).any():
        lost = list(image_ids)[int(np.argmin(places))]
        raise ValueError(f"{lost} is not among the {len(index)} images of these shards")
    rows = index.iloc[places]
    planes = np.zeros((len(rows), image_size, image_size), bool)
    images = np.zeros((*planes.shape, 3), "float32")
    has_mask = np.zeros(len(rows), bool)
    for k, row in enumerate(rows.itertuples()):
        images[k] = np.asarray(read_picture(row.path, image_size))
        path = None if masks is None else masks.get(row.image_id)
        if isinstance(path, str):
            width, height = (0 if pd.isna(side) else int(side) for side in (row.width, row.height))
            mask = read_mask(path, image_size, fit, width=width, height=height)
            planes[k], has_mask[k] = np.asarray(mask) > 0, True
    columns = None if metadata is None else np.asarray(metadata[places], "float32")
    lesions = planes if has_mask.any() else None
    return Sample(tuple(rows["image_id"]), images, lesions, has_mask, columns)


def find_masks(images: pd.DataFrame, folder: str | Path = "") -> pd.Series | None:
    """Return the path of the mask of each image that has one, by image id; None if none has.

    Args:
        images: Images table; its `mask_path`, if any, is used when no folder is given. A file that
            is gone since is no mask: an explanation is worth having without it.
        folder: Holds `<image_id>_segmentation.png`, or `<image_id>.png`.

    Raises:
        FileNotFoundError: The folder is not there, or holds no mask of any of the images.
    """
    ids = images["image_id"]
    if folder:
        if not Path(folder).is_dir():
            raise FileNotFoundError(f"masks is {str(folder)!r}, which is no folder: name one")
        there = {path.name: str(path) for path in Path(folder).iterdir()}
        names = ([name.format(id=i) for name in _MASKS] for i in ids)
        paths = pd.Series([next((there[n] for n in some if n in there), None) for some in names])
        if paths.isna().all():
            raise FileNotFoundError(
                f"masks is {str(folder)!r}, which holds no {_MASKS[0].format(id=ids.iloc[0])} "
                f"nor any other mask of the {len(ids)} images"
            )
    elif "mask_path" in images:
        paths = images["mask_path"]
    else:
        return None
    files = pd.Series(paths.to_numpy(), index=ids.to_numpy()).dropna()
    files = files[[Path(str(path).partition("::")[0]).is_file() for path in files]]
    return files if len(files) else None
