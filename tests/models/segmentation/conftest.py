"""Tiny shards of discs on skin with their masks."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from melnb.data.pictures import encode_png
from melnb.data.shards.examples import write_shard

SIDE, PER_SHARD = 32, 12


def make_disc(rng: np.random.Generator, side: int = SIDE) -> tuple[np.ndarray, np.ndarray]:
    """Return pixels, uint8, and the mask, bool, of a dark disc on noisy skin."""
    y, x = np.mgrid[:side, :side]
    middle, radius = rng.uniform(0.35, 0.65, 2) * side, rng.uniform(0.15, 0.32) * side
    mask = (x - middle[0]) ** 2 + (y - middle[1]) ** 2 < radius**2
    tones = np.where(mask[..., None], rng.uniform(60, 110, 3), rng.uniform(180, 220, 3))
    pixels = np.clip(tones + rng.normal(0, 6, (side, side, 3)), 0, 255).astype("uint8")
    return pixels, mask


def make_example(rng: np.random.Generator, name: str) -> dict[str, Any]:
    pixels, mask = make_disc(rng)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=95)
    levels = (mask * 255).astype("uint8")
    return {
        "image": stream.getvalue(), "image_name": name.encode(), "target": 0,
        "mask": encode_png(Image.fromarray(levels)),
    }  # fmt: skip


@pytest.fixture(scope="session")
def discs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three shards of 12 pairs, 32 pixels on a side."""
    folder = tmp_path_factory.mktemp("discs")
    rng = np.random.default_rng(0)
    paths = [folder / f"fold{k}-00-{PER_SHARD}.tfrec" for k in range(3)]
    for k, path in enumerate(paths):
        write_shard(path, [make_example(rng, f"image{k}_{n}") for n in range(PER_SHARD)])
    return paths
