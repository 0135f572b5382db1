from collections.abc import Callable
from dataclasses import replace

import keras
import numpy as np
import pytest

from melnb.models.out_of_fold import Patients
from melnb.models.saliency.explanations import METHODS, explain, metadata_attributions
from melnb.models.saliency.feature_map import dissect
from melnb.models.saliency.map_scores import RANDOM, energy_inside, score_maps
from melnb.models.saliency.samples import Sample

Make = Callable[..., keras.Model]


def test_energy_inside_is_the_share_of_the_sum() -> None:
    masks = np.zeros((5, 4, 4), bool)
    masks[:, :2, :2] = True
    masks[4] = False
    maps = np.zeros((5, 4, 4), "float32")
    maps[0] = 1  # flat: as much as the mask covers
    maps[1, :2, :2] = 3  # all inside
    maps[2, 2:] = 3  # all outside
    maps[4, 0, 0] = 1  # an empty mask
    inside, share = energy_inside(maps, masks)
    np.testing.assert_allclose(inside, [0.25, 1, 0, np.nan, 0])
    np.testing.assert_allclose(share, [0.25, 0.25, 0.25, 0.25, 0])
    known = np.array([True, False, True, True, True])
    inside, share = energy_inside(maps, masks, known)
    assert np.isnan(inside[[1, 3]]).all()
    assert np.isnan(share).tolist() == [False, True, False, False, False]


def test_a_table_of_every_picture_and_method(fused: keras.Model, sample: Sample) -> None:
    anatomy = dissect(fused)
    found = explain(anatomy, sample, classes=2, steps=16, batch_size=6)
    table, curves = score_maps(anatomy, sample, found, cells=8, steps=4, seed=1)
    assert table["image_id"].tolist() == [*sample.image_id] * 2
    assert table["method"].unique().tolist() == [*METHODS]
    assert set(curves["method"]) == {*METHODS, RANDOM}
    assert len(curves) == 6 * 3 * 5
    exact = table[table["method"] == METHODS[1]]
    assert exact["gap"].notna().all()
    assert table.loc[table["method"] == METHODS[0], "gap"].isna().all()
    assert table["complete"].dropna().isin([True, False]).all()
    assert sample.masks is not None
    np.testing.assert_allclose(exact["lesion_share"], sample.masks.mean(axis=(1, 2)))
    np.testing.assert_allclose(
        table["concentration"], table["inside"] / table["lesion_share"], rtol=1e-6
    )
    areas = {
        method: curves[curves["method"] == method]
        .groupby("image_id")["deletion"]
        .apply(lambda curve: float(np.trapezoid(curve, dx=1 / 4)))
        for method in (*METHODS, RANDOM)
    }
    for method in METHODS:
        rows = table[table["method"] == method].set_index("image_id")
        np.testing.assert_allclose(rows["deletion"], areas[method])
        np.testing.assert_allclose(rows["deletion_gain"], areas[RANDOM] - areas[method])
    np.testing.assert_allclose(
        exact["probability"], curves.loc[curves["share"] == 0, "deletion"][:6], rtol=1e-4
    )


def test_without_masks_nothing_is_said_of_the_lesion(make: Make, sample: Sample) -> None:
    bare = replace(sample, metadata=None, masks=None, has_mask=None)
    anatomy = dissect(make())
    found = explain(anatomy, bare, classes=[0, 1, 2, 0, 1, 2], steps=2)
    table, _ = score_maps(anatomy, bare, found, cells=4, steps=2)
    assert table[["inside", "lesion_share", "concentration"]].isna().all(axis=None)
    assert table["class"].tolist() == [0, 1, 2] * 4


@pytest.mark.parametrize("scored", ["logit", "log_odds"])
def test_a_network_that_looks_at_the_lesion_alone_is_found_out(sample: Sample, scored: str) -> None:
    """Darkness of the picture's middle alone: maps lie there, and curves beat a random order."""
    window = np.zeros((32, 32, 3), "float32")
    window[8:24, 8:24] = 1
    image = keras.Input((32, 32, 3), name="image")
    dark = keras.layers.Rescaling(-1 / 255, 0.8)(image)
    held = keras.layers.Conv2D(1, 1, name="held")(dark)
    seen = keras.layers.ReLU(name="features")(
        keras.layers.Multiply()([held, window[None, :, :, :1]])
    )
    vector = keras.layers.GlobalAveragePooling2D()(seen)
    head = keras.layers.Dense(2, "softmax", name="probability")
    model = keras.Model(image, head(vector))
    model.get_layer("held").set_weights([np.ones((1, 1, 3, 1)), np.zeros(1)])
    head.set_weights([np.array([[-20.0, 20]]), np.array([1.0, -1])])
    plain = replace(sample, metadata=None, masks=np.repeat(window[None, :, :, 0] > 0, 6, axis=0))
    anatomy = dissect(model, score=scored)
    found = explain(anatomy, plain, classes=1, steps=8)
    table, _ = score_maps(anatomy, plain, found, cells=8, steps=8)
    assert table["inside"].min() > 0.99
    np.testing.assert_allclose(table["concentration"], 4, rtol=0.02)
    assert table["deletion_gain"].min() > 0
    assert table["insertion_gain"].min() > 0


def test_cells_of_one_column_of_metadata_are_summed(
    fused: keras.Model, make: Make, sample: Sample
) -> None:
    found = explain(dissect(fused), sample, classes=0, steps=4)
    table = metadata_attributions(found, sample, Patients(columns=("sex", "age"), cells=(0, 1, 1)))
    shares = found.attributions.metadata
    assert shares is not None
    wide = table.pivot(index="image_id", columns="column", values="attribution")
    np.testing.assert_allclose(wide["sex"], shares[:, 0], rtol=1e-5)
    np.testing.assert_allclose(wide["age"], shares[:, 1:].sum(axis=1), rtol=1e-5)
    assert (table["size"] >= 0).all()
    bare = replace(sample, metadata=None)
    plain = explain(dissect(make()), bare, classes=0, steps=1)
    assert metadata_attributions(plain, bare, Patients()).empty
