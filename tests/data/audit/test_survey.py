"""The survey: sizes are read, and what cannot be read has none."""

import io
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from melnb.data.audit.duplicates import picture_sizes
from melnb.data.shards.examples import write_shard


def table(paths: list[str | None]) -> pd.DataFrame:
    ids = [f"i{k}" for k in range(len(paths))]
    return pd.DataFrame({"image_id": ids, "path": paths, "target": "other"})


def test_sizes_are_read_wherever_the_picture_lies(tmp_path: Path) -> None:
    picture = Image.new("RGB", (40, 30))
    picture.save(tmp_path / "a.png")
    stream = io.BytesIO()
    Image.new("RGB", (9, 7)).save(stream, "JPEG")
    write_shard(tmp_path / "s.tfrec", [{"image": stream.getvalue()}])
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    names = ["a.png", "s.tfrec::0", "broken.jpg", "missing.jpg"]
    sizes = picture_sizes(table([*(f"{tmp_path}/{name}" for name in names), None]))
    assert sizes["image_id"].tolist() == ["i0", "i1", "i2", "i3"]
    assert sizes["width"].astype(object).tolist() == [40, 9, pd.NA, pd.NA]
    assert sizes["height"].isna().tolist() == [False, False, True, True]


def test_a_sample_is_the_same_for_the_same_seed(tmp_path: Path) -> None:
    Image.new("RGB", (4, 3)).save(tmp_path / "a.png")
    images = table([str(tmp_path / "a.png")] * 50)
    drawn = [picture_sizes(images, n=10, seed=s)["image_id"].tolist() for s in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert len(set(drawn[0])) == 10
    assert picture_sizes(images.head(0)).empty
    assert np.all(picture_sizes(images, n=3)["width"] == 4)
