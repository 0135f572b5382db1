from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from melnb.data.datasets import Dataset
from melnb.data.shards.records import make_records, read_index
from melnb.models.saliency.explanations import grad_cam, mean_grad_cam
from melnb.models.saliency.feature_map import dissect, run_rows
from melnb.models.saliency.samples import Sample, read_sample

Make = Callable[..., keras.Model]


@pytest.mark.parametrize("head", ["softmax", "sigmoid"])
def test_over_a_mean_pooling_it_is_the_class_activation_map(
    make: Make, sample: Sample, head: str
) -> None:
    """There the weights are the head's own, over the cells (Selvaraju et al., section 3.1)."""
    model = make(("a", "b"), head=head)
    plain = replace(sample, metadata=None)
    anatomy = dissect(model)
    classes = np.array([0, 1, 0, 1, 1, 0])
    drawn, signed = grad_cam(anatomy, plain, classes=classes, batch_size=4)
    features = run_rows(anatomy.below, [sample.images], 6)
    kernel = model.get_layer("probability").get_weights()[0]
    columns = np.hstack([-kernel, kernel]) if head == "sigmoid" else kernel
    cells = features.shape[1] * features.shape[2]
    small = np.einsum("nhwc,cn->nhw", features, columns[:, classes]) / cells
    for k, plane in enumerate(small):
        for made, cell in ((signed[k], plane), (drawn[k], np.maximum(plane, 0))):
            wanted = Image.fromarray(cell.astype("float32")).resize((32, 32), Image.BILINEAR)
            np.testing.assert_allclose(made, np.asarray(wanted), rtol=1e-3, atol=1e-5)
    assert drawn.max() > 0
    assert signed.min() < 0
    assert drawn.min() == 0


@pytest.mark.backends
def test_the_gradient_is_the_slope(fused: keras.Model, sample: Sample) -> None:
    """Through a gate, by a picture and metadata, against finite differences."""
    anatomy = dissect(fused)
    features = run_rows(anatomy.below, sample.tensors, 6)
    wanted = np.zeros((6, 3), "float32")
    wanted[:, 2] = 1
    _, slopes = anatomy.by_map([features, *sample.tensors], wanted)
    step = np.random.default_rng(0).normal(size=features.shape).astype("float32") * 1e-2
    ahead, behind = (
        run_rows(anatomy.above, [features + sign * step, *sample.tensors], 6)[:, 2]
        for sign in (1, -1)
    )
    rise = (np.asarray(slopes[0]) * step).sum(axis=(1, 2, 3))
    np.testing.assert_allclose((ahead - behind) / 2, rise, rtol=2e-2, atol=1e-5)
    assert np.abs(rise).max() > 1e-4
    assert not np.asarray(slopes[1]).any()  # the map hides the picture, and nothing is None
    assert np.asarray(slopes[2]).any()


def test_batches_change_nothing(make: Make, sample: Sample) -> None:
    plain, anatomy = replace(sample, metadata=None), dissect(make())
    classes = np.full(6, 2)
    one, _ = grad_cam(anatomy, plain, classes=classes, batch_size=1)
    all_, _ = grad_cam(anatomy, plain, classes=classes, batch_size=64)
    assert one.shape == (6, 32, 32)
    np.testing.assert_allclose(one, all_, rtol=1e-4, atol=1e-6)


def test_a_class_beyond_the_columns_is_refused(make: Make, sample: Sample) -> None:
    plain = replace(sample, metadata=None)
    with pytest.raises(ValueError, match="classes go from 3 to 3, but there are 3"):
        grad_cam(dissect(make()), plain, classes=np.full(6, 3))


def test_of_several_networks_each_has_an_equal_say(
    make: Make, sample: Sample, tmp_path: Path
) -> None:
    images = pd.DataFrame({"image_id": sample.image_id, "target": "a", "source": "s"})
    images["path"] = [str(tmp_path / f"{name}.png") for name in sample.image_id]
    for path, pixels in zip(images["path"], sample.images, strict=True):
        Image.fromarray(pixels.clip(0, 255).astype("uint8")).save(path)
    columns = ("patient_id", "lesion_id", "diagnosis", "sex", "age", "site")
    images = images.assign(**dict.fromkeys(columns, np.nan))
    folds = pd.DataFrame({"image_id": images["image_id"], "fold": 0})
    size = sample.images.shape[1]
    shards = make_records(images, folds, tmp_path / "records", classes=("a", "b"),
                          image_sizes=[size], workers=1).shards  # fmt: skip
    paths = [shard.path for shard in shards]
    data = Dataset(
        tmp_path, "d", "s", "native", ("a", "b"), 1, (size,), "crop", images=6, shards=shards
    )
    networks = {0: make(("a", "b")), 1: make(("a", "b"))}
    kernel, bias = networks[1].get_layer("probability").get_weights()
    networks[1].get_layer("probability").set_weights([-3 * kernel, bias])
    mean = mean_grad_cam(networks, {0: tmp_path, 1: tmp_path}, data, paths, classes=0)
    index = read_index(paths)
    stored = read_sample(index, index["image_id"], image_size=size)
    wanted = []
    for network in networks.values():
        maps, _ = grad_cam(dissect(network), stored, classes=np.zeros(6, int))
        most = maps.max(axis=(1, 2), keepdims=True)
        wanted.append(np.where(most > 0, maps / np.maximum(most, 1e-30), 0))
    assert list(mean) == index["image_id"].tolist()
    np.testing.assert_allclose(np.stack([*mean.values()]), np.mean(wanted, axis=0), atol=1e-6)
    assert max(plane.max() for plane in wanted) == pytest.approx(1)
