"""Train a segmenter for an epoch, predict and write masks: `segmenter_memory.py <folder> <n>`.

Prints the most memory that the process has held, in MiB.
"""

import io
import resource
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from melnb.data.pictures import encode_png
from melnb.data.shards.examples import write_shard

SIDE, SHARD = 64, 500


def make_data(folder: Path, n: int) -> tuple[list[Path], pd.DataFrame]:
    """Write shards of n discs, and the images table of one picture under n names."""
    y, x = np.mgrid[:SIDE, :SIDE]
    mask = Image.fromarray(((x - 30) ** 2 + (y - 34) ** 2 < 300).astype("uint8") * 255)
    stream = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 255, (SIDE, SIDE, 3), dtype="uint8")
    Image.fromarray(noise).save(stream, "JPEG")
    (folder / "picture.jpg").write_bytes(stream.getvalue())
    pair = {"image": stream.getvalue(), "mask": encode_png(mask), "target": 0}
    names = [f"image{k:05d}" for k in range(n)]
    paths = []
    for first in range(0, n, SHARD):
        paths.append(folder / f"fold0-{first // SHARD:02d}-{SHARD}.tfrec")
        part = names[first : first + SHARD]
        write_shard(paths[-1], ({**pair, "image_name": name.encode()} for name in part))
    empty = dict.fromkeys(("patient_id", "lesion_id", "diagnosis", "target", "sex", "site"))
    images = pd.DataFrame({"image_id": names, "path": str(folder / "picture.jpg"), **empty})
    return paths, images.assign(age=np.nan, source="noise")


def run(folder: Path, n: int) -> None:
    """Train, predict and write, as 02c_segment_train and 02d_segment_apply do."""
    paths, images = make_data(folder, n)
    from melnb.models import accelerator

    accelerator.setup(seed=0)
    from melnb.data.epochs.training_rows import read_mask_rows
    from melnb.data.lesions.applying import apply_masks
    from melnb.models.optimization.optimizers import make_optimizer
    from melnb.models.segmentation.mask_fitting import MaskRecipe, fit_segmenter
    from melnb.models.segmentation.mask_losses import make_mask_loss
    from melnb.models.segmentation.mask_tta import predict_masks
    from melnb.models.segmentation.unet import make_segmenter
    from melnb.models.training.recipe import plan_phases

    fitted = fit_segmenter(
        make_segmenter("unet-tiny", filters=4, finest=2),
        rows=read_mask_rows(paths),
        valid_paths=paths[:1],
        recipe=MaskRecipe(plan_phases(epochs=1, image_size=SIDE, batch_size=50)),
        loss=make_mask_loss("bce_dice"),
        optimizer=make_optimizer("adam", 1e-3),
        folder=folder / "run",
        verbose=0,
    )
    said = predict_masks([fitted.model], paths, image_size=SIDE, batch_size=50, views="none")
    predicted = ((one.image_id, one.probability, one.numbers()) for one in said)
    written = apply_masks(images, predicted, folder / "applied", output="mask", workers=1)
    assert written == n


if __name__ == "__main__":
    run(Path(sys.argv[1]), int(sys.argv[2]))
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
