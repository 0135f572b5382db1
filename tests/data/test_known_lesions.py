"""Known lesions beside new ones: what is near, what is strange, and never the picture itself."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from melnb.data import known_lesions
from melnb.data.appearance import picture_appearance, picture_quality, quality_flags, read_encoded
from melnb.data.pictures import encode_jpeg
from melnb.data.shards.records import make_records, read_index


def spaces(
    rows: int = 90, new: int = 3, seed: int = 0
) -> tuple[dict[int, np.ndarray], dict[int, np.ndarray], np.ndarray]:
    """Vectors around an axis by three networks; the last new one lies the other way."""
    draw = np.random.default_rng(seed)
    fold = np.arange(rows) % 3
    known = {k: draw.normal(size=(rows, 8)) + 5 * np.eye(8)[k] for k in range(3)}
    fresh = {k: draw.normal(size=(new, 8)) + 5 * np.eye(8)[k] for k in range(3)}
    for vectors in fresh.values():
        vectors[-1] = -60
    return known, fresh, fold


def test_what_every_network_finds_far_is_farthest() -> None:
    known, new, fold = spaces()
    compared = known_lesions.compare_known(known, new, fold)
    assert np.isfinite(compared.known_distance).all()
    assert np.argmax(compared.new_distance) == 2
    for number in range(3):  # in units of the median of the lesions that a network held out
        assert np.median(compared.known_distance[fold == number]) == pytest.approx(1)
    new[0][-1] = known[0][1]  # one network knows it well: the others are outvoted
    again = known_lesions.compare_known(known, new, fold)
    assert again.new_distance[2] < compared.new_distance[2]
    with pytest.raises(ValueError, match=r"compare with more \(n_known\)"):
        known_lesions.compare_known({k: v[:6] for k, v in known.items()}, new, fold[:6] * 0)


def test_the_nearest_are_never_the_picture_or_its_lesion() -> None:
    known, new, fold = spaces()
    for number, vectors in new.items():
        vectors[0] = known[number][4] + 1e-6  # saved anew
        vectors[1] = known[number][7] + 0.4
    compared = known_lesions.compare_known(known, new, fold)
    rows = pd.DataFrame({"image_id": [f"k{i}" for i in range(90)], "target": "nevus"})
    rows["lesion_id"] = [f"l{i // 2}" for i in range(90)]
    fresh = pd.DataFrame({"image_id": ["a", "b", "c"]})
    same = known_lesions.same_pictures(compared, rows, fresh)
    assert same[["image_id", "shared"]].to_numpy().tolist() == [["a", "k4"]]
    like = known_lesions.nearest_known(compared, rows, fresh, count=6)
    assert like.groupby("image_id")["rank"].max().tolist() == [6, 6, 6]
    assert not {"k4", "k5"} & {*like.loc[like["image_id"] == "a", "neighbour"]}
    assert like.loc[like["image_id"] == "b", "neighbour"].iloc[0] == "k7"
    met = pd.DataFrame({"image_id": ["b"], "met_by": ["image"], "shared": ["k7"]})
    like = known_lesions.nearest_known(compared, rows, fresh, count=2, met=met)
    assert not {"k6", "k7"} & {*like.loc[like["image_id"] == "b", "neighbour"]}
    values = like.loc[like["image_id"] == "c", "similarity"].to_numpy()
    assert (np.diff(values) <= 0).all()


def test_rare_classes_are_kept_whole_and_test_images_left_out() -> None:
    index = pd.DataFrame({"image_id": [f"i{k}" for k in range(100)], "path": "p"})
    index["target"] = np.where(np.arange(100) < 12, "melanoma", "other")
    folds = {f"i{k}": k % 3 for k in range(90)}
    known = known_lesions.sample_known(index, folds, most=30, seed=1)
    assert known["target"].value_counts().to_dict() == {"other": 18, "melanoma": 12}
    assert set(known["image_id"]) <= set(folds)


@pytest.fixture
def shards(tmp_path: Path) -> pd.DataFrame:
    draw, rows = np.random.default_rng(0), []
    for k in range(40):
        pixels = np.full((80, 80, 3), (205, 160, 140)) + draw.normal(0, 4, (80, 80, 3))
        place = np.hypot(*(np.mgrid[:80, :80] - 40 + draw.normal(0, 3, (2, 1, 1))))
        pixels[place < 18 + k % 7] = np.add((110, 70, 60), draw.normal(0, 12, 3))
        path = tmp_path / f"k{k}.png"
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path)
        rows.append({"image_id": f"k{k}", "path": str(path), "target": "other", "source": "s"})
    columns = ("patient_id", "lesion_id", "diagnosis", "sex", "age", "site")
    images = pd.DataFrame(rows).assign(**dict.fromkeys(columns, np.nan))
    folds = pd.DataFrame({"image_id": images["image_id"], "fold": np.arange(40) % 2})
    made = make_records(images, folds, tmp_path / "records", classes=("other", "melanoma"),
                        image_sizes=[64], workers=1, shard_size=15)  # fmt: skip
    index = read_index([shard.path for shard in made.shards])
    index.attrs["home"] = str(tmp_path)
    return index.assign(fold=index["image_id"].str[1:].astype(int) % 2)


def test_what_is_known_is_described_once(shards: pd.DataFrame, tmp_path: Path) -> None:
    seen: list[int] = []

    def extract(encoded: list[bytes]) -> np.ndarray:
        seen.append(len(encoded))
        return np.array([[len(data), 1.0] for data in encoded])

    extract.facts = {"digest": "d"}  # type: ignore[attr-defined]
    first = known_lesions.describe_lesions(shards, {0: extract, 1: extract}, keep=tmp_path / "a")
    again = known_lesions.describe_lesions(
        shards, {0: extract, 1: extract}, keep=tmp_path / "b", earlier=[tmp_path / "a"]
    )
    assert seen == [40, 40]
    kept = [tmp_path / part / "known.npz" for part in "ab"]
    assert kept[1].samefile(kept[0]), "they are not written twice"
    assert np.array_equal(first.vectors[1], again.vectors[1])
    assert np.array_equal(first.appearance, again.appearance)
    assert first.quality.equals(again.quality)
    known_lesions.describe_lesions(shards.head(39), {0: extract, 1: extract}, keep=tmp_path / "b")
    assert seen == [40, 40, 39, 39], "other rows are other descriptions"
    (tmp_path / "b" / "known.npz").write_bytes(b"half")
    known_lesions.describe_lesions(shards, {0: extract, 1: extract}, keep=tmp_path / "b")
    assert len(seen) == 6


def test_what_looks_like_no_lesion_is_far_and_bad_light_is_named(shards: pd.DataFrame) -> None:
    encoded = read_encoded(shards)
    usual = picture_quality(encoded)["sharpness"].argsort().iloc[20]
    own = Image.open(BytesIO(encoded[usual]))
    draw = np.random.default_rng(1)
    noise = Image.fromarray(draw.integers(0, 255, (64, 64, 3), dtype=np.uint8))
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[::4] = (0, 0, 255)
    dark = Image.fromarray((np.asarray(own) * 0.15).astype(np.uint8))
    blurred = own.resize((5, 5), Image.Resampling.BOX).resize((64, 64), Image.Resampling.BICUBIC)
    fresh = [encode_jpeg(i) for i in (own, noise, Image.fromarray(stripes), dark, blurred)]
    known = picture_appearance(encoded)
    far, strange = known_lesions.compare_appearance(
        known, picture_appearance(fresh), shards["fold"].to_numpy()
    )
    assert strange[0] < far.max() / 2
    assert (strange[1:3] > 1.5 * far.max()).all()
    hair = np.array([0.0, 0, 0, 0, 0.2])
    words = quality_flags(picture_quality(fresh), picture_quality(encoded), hair)
    assert words[0] == ""
    assert "too dark" in words[3]
    assert words[4] == "blurred; hair over the lesion"


def test_both_comparisons_are_one_and_say_what_each_alone_would(shards: pd.DataFrame) -> None:
    def extract(encoded: list[bytes]) -> np.ndarray:
        return np.array([[np.frombuffer(data, np.uint8).mean(), len(data)] for data in encoded])

    extract.facts = {"digest": "d"}  # type: ignore[attr-defined]
    new, by = shards.tail(4), {0: extract, 1: extract}
    known = shards.head(36)
    files = [str(Path(shards.attrs["home"]) / f"k{k}.png") for k in range(36, 40)]
    images = new[["image_id"]].assign(path=files)
    compared = known_lesions.compare_lesions(known, new, by, images=images)
    assert compared.known["image_id"].tolist() == known["image_id"].tolist()
    assert compared.new["image_id"].tolist() == new["image_id"].tolist()
    described, fresh = (known_lesions.describe_lesions(rows, by) for rows in (known, new))
    fold = known["fold"].to_numpy()
    near = known_lesions.compare_known(described.vectors, fresh.vectors, fold)
    own, theirs = known_lesions.compare_appearance(described.appearance, fresh.appearance, fold)
    assert np.array_equal(compared.known["network_distance"], near.known_distance)
    assert np.array_equal(compared.new["network_distance"], near.new_distance)
    assert np.array_equal(compared.known["appearance_distance"], own)
    assert np.array_equal(compared.new["appearance_distance"], theirs)
    assert compared.quality == quality_flags(fresh.quality, described.quality, np.zeros(4))
