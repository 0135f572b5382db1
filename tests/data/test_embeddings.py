"""Embeddings: a vector a picture, by id; what is known is not made again, bit for bit."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from sklearn.decomposition import PCA

from melnb.data import embeddings
from melnb.data.embeddings import (
    Embeddings,
    check_unmet,
    embed_shards,
    embedding_map,
    nearest_neighbours,
    read_embeddings,
)
from melnb.data.pictures import PictureError
from melnb.tables import schema
from melnb.tables.checks import TableError
from melnb.tables.documents import DamagedError

FACTS = {"backbone": "sums", "digest": "d1"}


class Sums:
    """An encoder of three cells; it counts what it is asked, and can die at a call."""

    def __init__(self, dies_at: int = 0, views: int = 0) -> None:
        self.asked, self.calls, self.dies_at, self.views = 0, 0, dies_at, views

    def __call__(self, encoded: Sequence[bytes]) -> np.ndarray:
        self.calls += 1
        if self.calls == self.dies_at:
            raise KeyboardInterrupt
        self.asked += len(encoded)
        rows = [[len(data), sum(data), data[-3] / 7] for data in encoded]
        vectors = np.array(rows, np.float32)
        if not self.views:
            return vectors
        return np.stack([vectors + view for view in range(self.views)], axis=1)


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """Eleven pictures as three folders of files, named as the records of shards are."""
    home = tmp_path_factory.mktemp("pictures")
    rng, rows = np.random.default_rng(0), []
    for k in range(11):
        path = home / f"p{k}.png"
        Image.fromarray(rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)).save(path)
        rows.append({"image_id": f"i{k}", "path": str(path), "shard": f"s{k // 4}"})
    return pd.DataFrame(rows).assign(target=["a", "b"] * 5 + [None], lesion_id=None)


@pytest.fixture(autouse=True)
def shards(index: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embeddings, "_shard_of", lambda rows: rows["shard"])


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_vectors_stand_beside_their_ids(index: pd.DataFrame, tmp_path: Path) -> None:
    encoder = Sums()
    read = embed_shards(index, encoder, tmp_path, encoder=FACTS)
    assert read.image_id.tolist() == index["image_id"].tolist()
    expected = Sums()([Path(path).read_bytes() for path in index["path"]])
    np.testing.assert_array_equal(read.values, expected)
    assert (encoder.calls, encoder.asked) == (3, 11)
    assert read.encoder == FACTS
    assert sorted(contents(tmp_path)) == ["embeddings.csv", "embeddings.npy", "encoder.json"]
    table = read.features()
    assert table.columns.tolist() == ["image_id", "e0", "e1", "e2"]
    np.testing.assert_array_equal(table.set_index("image_id").loc["i4"], expected[4])


@pytest.mark.parametrize("dies_at", [1, 2, 3])
def test_what_a_killed_run_has_embedded_stays(
    index: pd.DataFrame, tmp_path: Path, dies_at: int
) -> None:
    embed_shards(index, Sums(), tmp_path / "whole", encoder=FACTS)
    with pytest.raises(KeyboardInterrupt):
        embed_shards(index, Sums(dies_at), tmp_path / "killed", encoder=FACTS)
    again = Sums()
    embed_shards(index, again, tmp_path / "killed", encoder=FACTS)
    assert again.calls == 4 - dies_at
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")


@pytest.mark.parametrize("step", ["_join", "shutil.rmtree"])
def test_killed_at_the_end_nothing_is_embedded_again(
    index: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    embed_shards(index, Sums(), tmp_path / "whole", encoder=FACTS)
    with monkeypatch.context() as patch:
        patch.setattr(f"melnb.data.embeddings.{step}", _die)
        with pytest.raises(KeyboardInterrupt):
            embed_shards(index, Sums(), tmp_path / "killed", encoder=FACTS)
    again = Sums()
    embed_shards(index, again, tmp_path / "killed", encoder=FACTS)
    assert not again.calls
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")


def _die(*_: Any, **__: Any) -> None:
    raise KeyboardInterrupt


def test_pictures_that_have_changed_since_are_embedded_again(
    index: pd.DataFrame, tmp_path: Path
) -> None:
    with pytest.raises(KeyboardInterrupt):
        embed_shards(index, Sums(3), tmp_path / "killed", encoder=FACTS)
    other = tmp_path / "other.png"
    Image.new("RGB", (9, 9), "red").save(other)
    changed = index.assign(path=[str(other), *index["path"][1:]])
    again = Sums()
    read = embed_shards(changed, again, tmp_path / "killed", encoder=FACTS)
    assert again.asked == 4 + 3  # the shard of the changed one, and the one not begun
    assert read.values[0, 0] == len(other.read_bytes())


def test_another_run_of_the_same_encoder_is_asked_first(
    index: pd.DataFrame, tmp_path: Path
) -> None:
    embed_shards(index.iloc[:6], Sums(), tmp_path / "some", encoder=FACTS)
    embed_shards(index, Sums(), tmp_path / "strange", encoder={**FACTS, "digest": "d2"})
    embed_shards(index, Sums(), tmp_path / "whole", encoder=FACTS)
    renamed = index.assign(image_id=[f"new{k}" for k in range(11)]).iloc[::-1]
    encoder, earlier = Sums(), [tmp_path / "strange", tmp_path / "some"]
    read = embed_shards(renamed, encoder, tmp_path / "more", encoder=FACTS, earlier=earlier)
    assert encoder.asked == 5
    by_id = read.features().set_index("image_id")
    whole = read_embeddings(tmp_path / "whole").features().set_index("image_id")
    np.testing.assert_array_equal(by_id.loc[[f"new{k}" for k in range(11)]], whole)


def test_kept_views_are_averaged_where_one_vector_is_wanted(
    index: pd.DataFrame, tmp_path: Path
) -> None:
    read = embed_shards(index, Sums(views=3), tmp_path, encoder=FACTS, precision="float16")
    assert read.values.shape == (11, 3, 3)
    assert read.values.dtype == np.float16
    expected = np.asarray(read.values, np.float32).mean(axis=1)
    np.testing.assert_array_equal(read.vectors(), expected)
    with pytest.raises(ValueError, match="precision is 'int8'; use float32 or float16"):
        embed_shards(index, Sums(), tmp_path, encoder=FACTS, precision="int8")


def test_a_picture_that_is_gone_is_named(index: pd.DataFrame, tmp_path: Path) -> None:
    lost = index.assign(path=[str(tmp_path / "gone.png"), *index["path"][1:]])
    with pytest.raises(PictureError, match=r"gone\.png: no such file"):
        embed_shards(lost, Sums(), tmp_path / "run", encoder=FACTS)


def _cut(folder: Path) -> None:
    file = folder / "embeddings.npy"
    file.write_bytes(file.read_bytes()[:-5])


def _objects(folder: Path) -> None:
    np.save(folder / "embeddings.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)


def _fewer(folder: Path) -> None:
    np.save(folder / "embeddings.npy", np.zeros((4, 3), np.float32))


def _no_digest(folder: Path) -> None:
    (folder / "encoder.json").write_text(json.dumps({"backbone": "sums"}))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (_cut, r"embeddings\.npy is damaged \(no whole array of numbers\): run 03d_embed again"),
        (
            _objects,
            r"embeddings\.npy is damaged \(no whole array of numbers\): run 03d_embed again",
        ),
        (
            _fewer,
            r"embeddings\.npy is damaged \(it holds 4 vectors, but embeddings\.csv names 11 im",
        ),
        (_no_digest, r"encoder\.json.*digest"),
    ],
)
def test_a_damaged_file_is_named(
    index: pd.DataFrame, tmp_path: Path, damage: Callable[[Path], None], words: str
) -> None:
    embed_shards(index, Sums(), tmp_path, encoder=FACTS)
    damage(tmp_path)
    with pytest.raises(DamagedError, match=words):
        read_embeddings(tmp_path)


def test_what_is_not_there_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=str(tmp_path)):
        read_embeddings(tmp_path)


def test_no_folder_holds_no_vectors() -> None:
    assert len(read_embeddings(None)) == 0


def make(values: Any, ids: Sequence[str] = ()) -> Embeddings:
    array = np.asarray(values, np.float32)
    names = list(ids) or [f"i{k}" for k in range(len(array))]
    return Embeddings(np.array(names, dtype=object), array, FACTS)


@given(st.integers(3, 60), st.integers(1, 8), st.integers(0, 2**16))
def test_neighbours_are_those_of_a_plain_loop(n: int, count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(n, 4))
    lesions = [f"l{k}" if k else None for k in rng.integers(0, 6, n)]
    images = pd.DataFrame({"image_id": [f"i{k}" for k in range(n)], "lesion_id": lesions})
    images["target"] = rng.choice(["a", "b"], n)
    asked = [f"i{k}" for k in rng.choice(n, min(n, 5), replace=False)]
    found = nearest_neighbours(make(values), images, of=asked, count=count, apart="lesion_id")
    unit = make(values).unit_vectors()
    for name in asked:
        k = int(name[1:])
        others = [
            j for j in range(n)
            if j != k and not (lesions[j] is not None and lesions[j] == lesions[k])
        ]  # fmt: skip
        expected = sorted((float(unit[k] @ unit[j]) for j in others), reverse=True)[:count]
        own = found[found["image_id"] == name]
        np.testing.assert_allclose(own["similarity"], expected, atol=1e-5)
        assert set(own["neighbour"]) <= {f"i{j}" for j in others}
        assert own["rank"].tolist() == list(range(1, len(expected) + 1))


def test_neighbours_of_more_than_a_block(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).normal(size=(23, 3))
    images = pd.DataFrame({"image_id": [f"i{k}" for k in range(23)], "target": "a"})
    whole = nearest_neighbours(make(values), images, of=images["image_id"], count=3)
    monkeypatch.setattr(embeddings, "_BLOCK", 5)
    pd.testing.assert_frame_equal(
        nearest_neighbours(make(values), images, of=images["image_id"], count=3), whole
    )
    assert len(whole) == 69
    none = nearest_neighbours(make(values), images, of=[], count=3)
    assert none.columns.tolist() == whole.columns.tolist()
    assert none.empty


def test_pictures_that_are_one_are_nearest() -> None:
    values = np.random.default_rng(1).normal(size=(6, 5))
    values[4] = values[1]
    images = pd.DataFrame({"image_id": [f"i{k}" for k in range(6)], "target": None})
    (row,) = nearest_neighbours(make(values), images, of=["i1"], count=1).itertuples()
    assert (row.neighbour, row.rank) == ("i4", 1)
    assert row.similarity == pytest.approx(1, abs=1e-6)


def test_who_is_asked_about_must_be_there() -> None:
    images = pd.DataFrame({"image_id": ["i0", "i1"], "target": ["a", "b"]})
    pair = make([[1.0, 0], [0, 1]])
    with pytest.raises(TableError, match="'i7' is not among the 2 images embedded"):
        nearest_neighbours(pair, images, of=["i0", "i7"])
    with pytest.raises(ValueError, match="count is 0"):
        nearest_neighbours(pair, images, of=["i0"], count=0)
    with pytest.raises(TableError, match="patient_id"):
        nearest_neighbours(pair, images, of=["i0"], apart="patient_id")


def test_the_map_is_that_of_principal_components() -> None:
    values = np.random.default_rng(2).normal(size=(50, 4)) * [5, 3, 1, 0.1]
    images = pd.DataFrame({"image_id": [f"i{k}" for k in range(50)], "target": "a"})
    table = embedding_map(make(values), images)
    fitted = PCA(2).fit(values)
    theirs = fitted.transform(values)
    for ours, axis in ((table["x"], 0), (table["y"], 1)):
        sign = np.sign(ours @ theirs[:, axis])
        np.testing.assert_allclose(ours, sign * theirs[:, axis], atol=1e-4)
    np.testing.assert_allclose(table.attrs["explained"], fitted.explained_variance_ratio_, 1e-5)


def test_a_map_of_many_keeps_every_class() -> None:
    values = np.random.default_rng(3).normal(size=(300, 3))
    targets = ["rare"] * 3 + [None] * 47 + ["common"] * 250
    images = pd.DataFrame({"image_id": [f"i{k}" for k in range(300)], "target": targets})
    table = embedding_map(make(values), images, most=60)
    assert table["target"].value_counts().to_dict() == {"common": 50, "rare": 2}
    assert table["target"].isna().sum() == 9
    assert len(table.attrs["explained"]) == 2
    pd.testing.assert_frame_equal(embedding_map(make(values), images, most=60), table)
    flat = embedding_map(make(np.ones((4, 3))), images.head(4))  # no variance at all
    assert flat["x"].tolist() == [0, 0, 0, 0]


def test_an_encoder_that_has_met_the_images_is_refused(tmp_path: Path) -> None:
    rows = {"image_id": ["ISIC_1", "ISIC_2", "ISIC_3"], "patient_id": ["p", "q", "r"]}
    images = pd.DataFrame(rows).reindex(columns=schema.IMAGE_COLUMNS)
    learnt = images.assign(image_id=["ISIC_1", "ISIC_4", "ISIC_5"], patient_id=["p", "q", "s"])
    schema.write_images(learnt, tmp_path / "images.csv")
    with pytest.raises(
        TableError, match=r"weights a\.keras have learnt from 2 of these images.*ISIC_1, by image"
    ):
        check_unmet(images, [tmp_path], weights="a.keras")
    check_unmet(images, [], weights="a.keras")
    check_unmet(images.tail(1), [tmp_path], weights="a.keras")
