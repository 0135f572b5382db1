from collections.abc import Callable
from dataclasses import replace

import keras
import numpy as np
import pytest
from keras import ops

from melnb.models.saliency.feature_map import dissect, find_layer, run_rows, to_array
from melnb.models.saliency.samples import Sample

Make = Callable[..., keras.Model]


def seen(sample: Sample) -> Sample:
    return replace(sample, metadata=None)


def logs_of(model: keras.Model, sample: Sample) -> np.ndarray:
    return np.log(to_array(model(sample.images)).astype("float64"))


@pytest.mark.parametrize("head", ["softmax", "arcface"])
def test_logits_are_what_the_softmax_takes(make: Make, sample: Sample, head: str) -> None:
    model = make(head=head)
    scores = run_rows(dissect(model).scores, [sample.images], 4)
    logs = logs_of(model, sample)
    differences = scores - scores[:, :1], logs - logs[:, :1]  # a softmax forgets what all share
    np.testing.assert_allclose(*differences, rtol=1e-3, atol=1e-4)
    assert np.abs(differences[0]).max() > 0.1
    if head == "softmax":
        vectors = keras.Model(model.inputs, model.get_layer("vector").output)([sample.images])
        kernel, bias = model.get_layer("probability").get_weights()
        np.testing.assert_allclose(scores, to_array(vectors) @ kernel + bias, rtol=1e-4, atol=1e-5)
    else:
        assert np.abs(scores).max() <= 30.0001  # scale x cosine


def test_a_sigmoids_logit_is_that_of_its_last_class_and_turned_for_the_first(
    make: Make, sample: Sample
) -> None:
    model = make(("other", "melanoma"), head="sigmoid")
    logs = logs_of(model, sample)
    for score in ("logit", "log_odds"):
        scores = run_rows(dissect(model, score=score).scores, [sample.images], 4)
        np.testing.assert_allclose(scores[:, 1], logs[:, 1] - logs[:, 0], rtol=1e-3, atol=1e-4)
        assert np.array_equal(scores[:, 0], -scores[:, 1])


def test_log_odds_are_those_of_the_probability(make: Make, sample: Sample) -> None:
    model = make()
    p = to_array(model(sample.images)).astype("float64")
    wanted = np.log(p / (1 - p))
    scores = run_rows(dissect(model, score="log_odds").scores, [sample.images], 4)
    np.testing.assert_allclose(scores, wanted, rtol=1e-4, atol=1e-4)
    wrapped = keras.Sequential([keras.Input((32, 32, 3)), model])  # its head is out of sight
    hidden = dissect(wrapped, score="log_odds")
    found = run_rows(hidden.scores, [sample.images], 4)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)
    with pytest.raises(ValueError, match="use score 'log_odds'"):
        dissect(wrapped)


def test_log_odds_of_a_sure_network_are_numbers() -> None:
    image = keras.Input((4, 4, 3), name="image")
    features = keras.layers.Activation("linear", name="features")(image)
    vector = keras.layers.GlobalAveragePooling2D()(features)
    head = keras.layers.Dense(3, "softmax", name="probability")
    model = keras.Model(image, head(vector))
    head.set_weights([np.diag([1.0, 2.0, 3.0]), np.zeros(3)])
    x = np.full((1, 4, 4, 3), 60, "float32")  # logits 60, 120, 180: a probability of exactly 1
    assert to_array(model(x))[0, 2] == 1
    scores = run_rows(dissect(model, score="log_odds").scores, [x], 1)
    np.testing.assert_allclose(scores[0], [-120, -60, 60], rtol=1e-6)


@pytest.mark.parametrize("path", ["features", "backbone/conv2d_1", "pool_1/features"])
def test_the_parts_are_the_whole_wherever_it_is_cut(make: Make, sample: Sample, path: str) -> None:
    model = make()
    name = path
    if path == "backbone/conv2d_1":
        layers = [x for x in model.get_layer("backbone").layers if "conv2d" in x.name]
        name = f"backbone/{layers[1].name}"
    if path == "pool_1/features":  # the classifier itself lies in another model
        image = keras.Input((32, 32, 3), name="photograph")
        model = keras.Model(image, model(keras.layers.Rescaling(1.0)(image)))
        name = "classifier/features"
    anatomy = dissect(model, layer=name, score="log_odds")
    maps = anatomy.below([sample.images])
    assert maps.ndim == 4 if isinstance(maps, np.ndarray) else len(maps.shape) == 4
    whole = to_array(anatomy.scores([sample.images]))
    parts = to_array(anatomy.above([maps, ops.convert_to_tensor(sample.images)]))
    np.testing.assert_allclose(parts, whole, rtol=1e-5, atol=1e-5)
    blind = to_array(anatomy.above([maps, ops.zeros_like(sample.images)]))
    assert np.array_equal(blind, parts)  # nothing goes past the map
    moved = to_array(anatomy.above([maps + 0.1, ops.convert_to_tensor(sample.images)]))
    assert np.abs(moved - whole).max() > 1e-3


def test_metadata_goes_past_the_map(fused: keras.Model, sample: Sample) -> None:
    anatomy = dissect(fused)
    assert anatomy.inputs == ("image", "metadata")
    assert anatomy.classes == 3
    p = fused({"image": sample.images, "metadata": sample.metadata})
    np.testing.assert_allclose(
        run_rows(anatomy.probabilities, sample.tensors, 4), to_array(p), rtol=1e-5, atol=1e-6
    )
    maps = run_rows(anatomy.below, sample.tensors, 6)
    whole = run_rows(anatomy.scores, sample.tensors, 6)
    parts = run_rows(anatomy.above, [maps, *sample.tensors], 6)
    np.testing.assert_allclose(parts, whole, rtol=1e-5, atol=1e-5)
    other = run_rows(anatomy.above, [maps, sample.images, np.zeros((6, 3), "float32")], 6)
    assert np.abs(other - whole).max() > 1e-2


def test_a_dissected_model_predicts_and_saves_as_before(
    make: Make, sample: Sample, tmp_path: object
) -> None:
    model = make()
    before = to_array(model(sample.images))
    names = [layer.name for layer in model.layers]
    dissect(model)
    assert [layer.name for layer in model.layers] == names
    model.save(f"{tmp_path}/model.keras")
    again = keras.saving.load_model(f"{tmp_path}/model.keras", compile=False)
    assert np.array_equal(to_array(again(sample.images)), before)


def test_layers_are_found_by_their_name_or_path(make: Make) -> None:
    model = make()
    inner = model.get_layer("backbone").layers[-1].name
    assert find_layer(model, "features") == "features"
    assert find_layer(model, inner) == f"backbone/{inner}"
    with pytest.raises(ValueError, match=r"no layer is named so; use one of.*'features'"):
        find_layer(model, "featres")
    image = keras.Input((32, 32, 3))
    twice = keras.Model(image, keras.layers.Average()([model(image), make(name="b")(image)]))
    with pytest.raises(ValueError, match=r"several layers are named so.*'b/features'"):
        find_layer(twice, "features")


def test_what_is_no_map_or_no_score_is_refused(make: Make) -> None:
    with pytest.raises(ValueError, match=r"layer is 'vector', which gives \(None, 64\)"):
        dissect(make(), layer="vector")
    with pytest.raises(ValueError, match="score is 'probability'; use one of"):
        dissect(make(), score="probability")
