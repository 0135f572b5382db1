"""Feature extraction: the mean over a map, the same for a picture in whatever company."""

from pathlib import Path

import keras
import numpy as np
import pytest

from melnb.data.embeddings import embed_shards
from melnb.data.pictures import read_bytes
from melnb.data.shards.records import read_index
from melnb.models.feature_extraction import Extractor, make_extractor

SIDE = 32


def make(layer: str = "", views: str = "none", **more: object) -> Extractor:
    keras.utils.set_random_seed(0)
    options = {"weights": "none", "image_size": SIDE, "batch_size": 16, **more}
    return make_extractor("tiny", layer=layer, views=views, **options)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def encoded(blobs: list[Path]) -> list[bytes]:
    return [read_bytes(path) for path in read_index(blobs[:2])["path"]]


@pytest.mark.backends
def test_a_vector_is_the_mean_over_the_last_map(encoded: list[bytes], blobs: list[Path]) -> None:
    extractor = make()
    vectors = extractor(encoded)
    assert vectors.shape == (48, extractor.facts["width"]) == (48, 64)
    assert vectors.dtype == np.float32
    network = extractor.viewer.get_layer("encoder")
    maps = keras.Model(network.input, network.get_layer("vector").input)
    from melnb.data.batches import predict_batches

    batch = next(predict_batches(blobs[:1], image_size=SIDE, batch_size=24).as_numpy_iterator())
    means = np.asarray(maps(batch["image"])).mean(axis=(1, 2))
    np.testing.assert_allclose(vectors[:24], means, rtol=1e-4, atol=1e-5)


@pytest.mark.backends
def test_company_does_not_matter(encoded: list[bytes]) -> None:
    extractor = make()
    together = extractor(encoded)
    np.testing.assert_array_equal(extractor(encoded[5:6]), together[5:6])
    np.testing.assert_array_equal(extractor(encoded[::-1])[::-1], together)


def test_eight_looks_are_kept_or_averaged(encoded: list[bytes]) -> None:
    plain = make()(encoded[:3])
    kept = make(views="dihedral", keep_views=True)(encoded[:3])
    assert kept.shape == (3, 8, 64)
    np.testing.assert_allclose(kept[:, 0], plain, rtol=1e-5, atol=1e-6)
    assert np.ptp(kept, axis=1).max() > 0
    mean = make(views="dihedral", precision="float16")(encoded[:3])
    assert mean.dtype == np.float16
    np.testing.assert_allclose(mean, kept.mean(axis=1), rtol=2e-3, atol=1e-3)


def test_an_earlier_map_can_be_averaged(encoded: list[bytes]) -> None:
    assert make("map1")(encoded[:2]).shape == (2, 16)
    words = r"layer is 'mapp1', which is no map of this backbone; did you mean 'map1'\?"
    with pytest.raises(ValueError, match=words):
        make("mapp1")


def test_the_digest_tells_encoders_apart() -> None:
    own = make().facts["digest"]
    assert own == make().facts["digest"]
    others = [make(image_size=48), make(views="dihedral"), make(precision="float16")]
    keras.utils.set_random_seed(1)
    others.append(
        make_extractor("tiny", weights="none", image_size=SIDE, batch_size=16)
    )  # other weights
    digests = [extractor.facts["digest"] for extractor in others]
    assert len({own, *digests}) == 5
    assert make(batch_size=8).facts["digest"] == own


def test_an_encoder_that_is_killed_ends_in_the_same_bits(blobs: list[Path], tmp_path: Path) -> None:
    index = read_index(blobs)
    extractor = make(views="dihedral")
    whole = embed_shards(index, extractor, tmp_path / "whole", encoder=extractor.facts)
    calls = 0

    def dying(encoded: list[bytes]) -> np.ndarray:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise KeyboardInterrupt
        return extractor(encoded)

    with pytest.raises(KeyboardInterrupt):
        embed_shards(index, dying, tmp_path / "killed", encoder=extractor.facts)
    embed_shards(index, make(views="dihedral"), tmp_path / "killed", encoder=extractor.facts)
    for name in ("embeddings.npy", "embeddings.csv", "encoder.json"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert len(whole) == len(index) == 96
