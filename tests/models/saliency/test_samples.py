from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from melnb.models.saliency.samples import find_masks, read_sample


@pytest.fixture
def rows(tmp_path: Path) -> pd.DataFrame:
    """Three pictures of 40 x 20 with the right half white, and masks of the right half of two."""
    (tmp_path / "masks").mkdir()
    made = []
    for k in range(3):
        pixels = np.zeros((20, 40, 3), "uint8")
        pixels[:, 20:] = 255
        path = tmp_path / f"i{k}.png"
        Image.fromarray(pixels).save(path)
        mask = tmp_path / "masks" / f"i{k}_segmentation.png"
        if k:
            grey = pixels[..., 0].copy()
            grey[:, 19] = 120  # published masks have grey edges
            Image.fromarray(grey).save(mask)
        made.append({"image_id": f"i{k}", "path": str(path), "width": 40, "height": 20})
    return pd.DataFrame(made)


def test_pictures_and_masks_get_the_same_geometry(rows: pd.DataFrame, tmp_path: Path) -> None:
    masks = find_masks(rows, tmp_path / "masks")
    assert masks is not None
    for fit in ("crop", "squash", "pad"):
        found = read_sample(rows, rows["image_id"], image_size=10, masks=masks, fit=fit)  # type: ignore[arg-type]
        assert found.has_mask is not None
        assert found.masks is not None
        assert found.has_mask.tolist() == [False, True, True]
        assert not found.masks[0].any()
        assert found.masks[1].mean() == pytest.approx({"pad": 0.25}.get(fit, 0.5), abs=0.05)
    assert found.image_id == ("i0", "i1", "i2")
    assert found.images.dtype == np.float32
    assert found.images.shape == (3, 10, 10, 3)
    part = found.take([2, 0])
    assert part.image_id == ("i2", "i0")
    assert part.has_mask is not None
    assert part.has_mask.tolist() == [True, False]
    assert part.metadata is None
    assert len(part) == 2


def test_masks_are_found_by_column_or_folder_or_not_at_all(
    rows: pd.DataFrame, tmp_path: Path
) -> None:
    assert find_masks(rows) is None
    assert find_masks(rows.assign(mask_path=np.nan)) is None
    paths = [str(tmp_path / "masks" / f"i{k}_segmentation.png") for k in range(3)]
    named = find_masks(rows.assign(mask_path=[paths[1], np.nan, paths[2]]))
    assert named is not None
    assert named.to_dict() == {"i0": paths[1], "i2": paths[2]}
    assert find_masks(rows.assign(mask_path=paths[0])) is None  # its file is gone
    with pytest.raises(FileNotFoundError, match="which is no folder"):
        find_masks(rows, tmp_path / "lost")
    with pytest.raises(FileNotFoundError, match=r"holds no x0_segmentation\.png"):
        find_masks(rows.assign(image_id=["x0", "x1", "x2"]), tmp_path / "masks")


def test_without_any_mask_there_are_none(rows: pd.DataFrame) -> None:
    told = np.arange(6.0).reshape(3, 2)
    found = read_sample(rows, ["i2", "i0", "i1"], image_size=8, metadata=told)
    assert found.masks is None
    assert found.metadata is not None
    assert found.metadata.tolist() == [[4, 5], [0, 1], [2, 3]]
    assert [tensor.shape for tensor in found.tensors] == [(3, 8, 8, 3), (3, 2)]
    assert found.tensors[1].dtype == np.float32
    assert read_sample(rows, [], image_size=8).images.shape == (0, 8, 8, 3)
    with pytest.raises(ValueError, match="x7 is not among the 3 images"):
        read_sample(rows, ["i0", "x7"], image_size=8)
