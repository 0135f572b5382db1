"""Fitting a segmenter: it learns, says what it measured, and survives a kill at any moment."""

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest
from keras import ops

from melnb.data.augmentation.augment import augment_pair
from melnb.data.augmentation.draws import DRAWS
from melnb.data.epochs.training_rows import read_mask_rows
from melnb.models.optimization.optimizers import make_optimizer
from melnb.models.segmentation.mask_fitting import (
    MEASURES,
    MaskRecipe,
    MaskTrainer,
    MaskValidation,
    fit_segmenter,
)
from melnb.models.segmentation.mask_losses import make_mask_loss
from melnb.models.segmentation.unet import make_segmenter
from melnb.models.training.fitting import Fitted, best_epoch
from melnb.models.training.plan import TrainingError
from melnb.models.training.recipe import Phase

SIDE = 32
DIED = -signal.SIGKILL


@pytest.fixture
def run(
    discs: list[Path], tmp_path: Path, train: Callable[..., list[int]]
) -> Callable[..., list[int]]:
    """Run orders below the test's folder, each in a process of its own."""

    def run_all(orders: list[dict[str, Any]]) -> list[int]:
        own = {"module": "segmentation.segmenter_run", "shards": [str(path) for path in discs]}
        full = [{**own, **order, "folder": str(tmp_path / order["folder"])} for order in orders]
        return train(full, keras.backend.backend())

    return run_all


def check_equal(folder: Path, whole: str, killed: str) -> None:
    """All weights, histories and results, to the bit."""
    one, other = (np.load(folder / name / "result.npz") for name in (whole, killed))
    assert set(one.files) == set(other.files)
    for name in one.files:
        assert np.array_equal(one[name], other[name]), name
    for table in ("returned.csv", "results.csv"):
        assert (folder / whole / table).read_text() == (folder / killed / table).read_text(), table


def test_a_killed_run_ends_where_the_whole_one_ends_to_the_bit(
    run: Callable[..., list[int]], tmp_path: Path
) -> None:
    orders = [
        {"folder": "whole"},
        {"folder": "killed", "kill": "write", "epoch": 1},
        {"folder": "killed", "kill": "step", "epoch": 3},
        {"folder": "killed"},
    ]
    assert run(orders) == [0, DIED, DIED, 0]
    check_equal(tmp_path, "whole", "killed")
    history = pd.read_csv(tmp_path / "killed" / "history.csv")
    assert tuple(history.columns) == ("epoch", "learning_rate", "loss", *MEASURES, "seconds")
    results = pd.read_csv(tmp_path / "killed" / "results.csv")
    assert results["val_jaccard"].item() == history["val_jaccard"].max()


MOMENTS = [("step", 1), ("between", 1), ("write", 2), ("between", 3), ("end", 0)]


@pytest.mark.nightly  # the engine is the classifier's, in `training/test_kills.py` at each push
@pytest.mark.parametrize("kills", [MOMENTS[3:4], MOMENTS], ids=["one", "all"])
def test_it_is_so_with_sizes_frozen_blocks_averages_and_snapshots(
    kills: list[tuple[str, int]], run: Callable[..., list[int]], tmp_path: Path
) -> None:
    killed = {"folder": "killed", "everything": True}
    orders = [
        {"folder": "whole", "everything": True},
        *({**killed, "kill": where, "epoch": epoch} for where, epoch in kills), killed,
    ]  # fmt: skip
    assert run(orders) == [0, *[DIED] * len(kills), 0]
    check_equal(tmp_path, "whole", "killed")
    history = pd.read_csv(tmp_path / "killed" / "history.csv")
    assert history["image_size"].tolist() == [16, 16, 32, 32]
    results = pd.read_csv(tmp_path / "killed" / "results.csv")
    assert results["weights"].tolist() == ["best", "swa", "snapshots"]
    assert results["kept"].tolist() == [False, True, False]


def fit(discs: list[Path], folder: Path, epochs: int, **more: Any) -> Fitted:
    keras.utils.set_random_seed(1)
    named = {k: more.pop(k) for k in ("monitor", "patience", "augmentation") if k in more}
    given = {
        "model": make_segmenter("unet-tiny", filters=8, finest=2),
        "rows": read_mask_rows(discs[:2]), "valid_paths": discs[2:],
        "recipe": MaskRecipe((Phase(0, epochs, SIDE, 8),), **named),
        "loss": make_mask_loss("bce_dice"), "optimizer": make_optimizer("adam", 0.01),
        "folder": folder, "verbose": 0, **more,
    }  # fmt: skip
    return fit_segmenter(**given)


def test_it_finds_discs_and_ends_with_the_weights_of_the_best_epoch(
    discs: list[Path], tmp_path: Path
) -> None:
    drawn: list[int] = []
    fitted = fit(discs, tmp_path, 12, on_epoch=lambda table: drawn.append(len(table)))
    history = fitted.history
    assert drawn == list(range(1, 13))
    assert history["val_jaccard"].max() > 0.8
    assert history["loss"].iloc[-1] < history["loss"].iloc[0] / 2
    assert (history["val_threshold_jaccard"] <= history["val_jaccard"]).all()
    best = history[history["epoch"] == best_epoch(history, "val_jaccard")]
    validation = MaskValidation(fitted.model, discs[2:], image_size=SIDE, batch_size=8)
    again = validation.measure(make_mask_loss("bce_dice"))
    assert again["val_jaccard"] == pytest.approx(best["val_jaccard"].item(), abs=1e-6)
    assert fitted.results["val_jaccard"].item() == history["val_jaccard"].max()


def test_the_best_epoch_may_be_that_of_the_least_loss(discs: list[Path], tmp_path: Path) -> None:
    still = {"monitor": "val_loss", "patience": 2, "optimizer": keras.optimizers.SGD(0.0)}
    history = fit(discs, tmp_path, 5, **still).history
    assert len(history) <= 5
    assert best_epoch(history, "val_loss") == history["val_loss"].argmin() + 1


@pytest.mark.backends
def test_a_step_learns_from_pictures_and_masks_that_moved_together() -> None:
    rng = np.random.default_rng(0)
    batch = {
        "image": rng.uniform(0, 255, (4, 16, 16, 3)).astype("float32"),
        "mask": (rng.random((4, 16, 16, 1)) > 0.5).astype("float32"),
        "draws": rng.random((4, DRAWS)).astype("float32"), "row": np.arange(4, dtype="int32"),
    }  # fmt: skip
    strengths = {"rotation": 90.0, "flips": True, "contrast": 0.2}
    image = keras.Input((None, None, 3))
    model = keras.Model(image, keras.layers.Conv2D(1, 3, padding="same")(image / 255))
    loss = make_mask_loss("bce_dice")
    trainer = MaskTrainer(model, loss=loss, augmentation=strengths)
    trainer.prepare(make_optimizer("sgd", 0.0))
    images, masks = augment_pair(batch["image"], batch["mask"], batch["draws"], **strengths)
    expected = float(ops.mean(loss.call(masks, model(images))))
    parted = float(ops.mean(loss.call(batch["mask"], model(images))))
    found = float(trainer.train_on_batch(batch, return_dict=True)["loss"])
    assert found == pytest.approx(expected, rel=1e-5)
    assert abs(found - parted) > 1e-3
    said = trainer(batch, training=False)  # at rest it shows the picture as it is
    np.testing.assert_array_equal(ops.convert_to_numpy(said["mask"]), batch["mask"])


def test_a_loss_that_is_no_number_names_the_images_of_its_batch(
    discs: list[Path], tmp_path: Path
) -> None:
    rate = keras.optimizers.schedules.PiecewiseConstantDecay([3], [0.01, 1e30])
    with pytest.raises(TrainingError, match=r"nan at epoch 2, step 3 of 3") as caught:
        fit(discs, tmp_path, 3, optimizer=keras.optimizers.SGD(rate))
    assert len(set(caught.value.image_ids)) == 8
    assert "The checkpoint of epoch 1 is kept" in str(caught.value)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"mixup": 0.5}, r"mixup is 0\.5 and cutmix is 0\.0, but masks are not mixed"),
        ({"augmentation": {"augmix": 1.0}}, r"augmix is 1\.0, but no mask follows"),
        ({"monitor": "val_auc"}, r"monitor is 'val_auc'.* \(use one of \['val_jaccard', "),
    ],
)
def test_what_has_no_meaning_for_masks_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MaskRecipe((Phase(0, 1, SIDE, 8),), **given)
