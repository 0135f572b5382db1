"""Near duplicates: planted copies are found, whatever was done to them, and others are not."""

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from melnb.data.audit import near_duplicates as pairs_of
from melnb.data.audit.looks import BORDER, FILE, look_at
from melnb.data.audit.near_duplicates import (
    LESION,
    PICTURE,
    duplicate_finding,
    near_duplicates,
    nearest_rows,
    pair_precision,
    settled_pairs,
    unknown_pairs,
    whitened,
)
from melnb.data.audit.shortcut_features import (
    Looks,
    find_copies,
    look_at_pictures,
    shortcut_features,
)
from melnb.data.audit.template_matching import (
    aligned_agreement,
    coarse_agreement,
    coarse_cells,
    dihedral,
)
from melnb.data.embeddings import Embeddings
from melnb.data.pictures import fit_picture
from melnb.tables.findings import FAIL, NOT_CHECKED, PASS, REVIEW

N = 48


@pytest.fixture(scope="module")
def pictures() -> list[Image.Image]:
    """Blotches of other places and colours, 120 x 96 pixels."""
    rng = np.random.default_rng(0)
    noise = [gaussian_filter(rng.normal(size=(96, 120, 3)), (6, 6, 0)) for _ in range(N)]
    levels = [128 + 60 * n / n.std() for n in noise]
    return [Image.fromarray(np.clip(a, 0, 255).astype(np.uint8)) for a in levels]


def jpeg(picture: Image.Image, quality: int = 95) -> bytes:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality)
    return file.getvalue()


def cast(picture: Image.Image) -> Image.Image:
    levels = np.asarray(picture, float) * [0.85, 1.0, 1.1] + [12, -8, 0]
    return Image.fromarray(np.clip(levels, 0, 255).astype(np.uint8))


CHANGES = {
    "resize": lambda p: jpeg(p.resize((72, 58))),
    "crop": lambda p: jpeg(p.crop((6, 5, 114, 91))),
    "jpeg": lambda p: jpeg(p, 60),
    "turn": lambda p: jpeg(p.transpose(Image.Transpose.ROTATE_90)),
    "mirror": lambda p: jpeg(p.transpose(Image.Transpose.FLIP_LEFT_RIGHT)),
    "cast": lambda p: jpeg(cast(p)),
}


@pytest.fixture(scope="module")
def planted(pictures: list[Image.Image], tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """All pictures, and of six of them a copy that was changed."""
    home, rows = tmp_path_factory.mktemp("planted"), []
    for k, picture in enumerate(pictures):
        (home / f"i{k:02}.jpg").write_bytes(jpeg(picture))
        rows.append((f"i{k:02}", str(home / f"i{k:02}.jpg"), ""))
    for k, (name, change) in enumerate(CHANGES.items()):
        (home / f"{name}.jpg").write_bytes(change(pictures[k]))
        rows.append((name, str(home / f"{name}.jpg"), f"i{k:02}"))
    table = pd.DataFrame(rows, columns=["image_id", "path", "of"])
    table["lesion_id"] = [f"l{k}" for k in range(len(table))]
    return table.assign(patient_id=np.nan, target="a", part="fold 0")


@pytest.fixture(scope="module")
def vectors(planted: pd.DataFrame) -> Embeddings:
    """Of a copy nearly its original's, except that of the turned one, which is a stranger's."""
    rng = np.random.default_rng(1)
    values = rng.normal(size=(len(planted), 24)).astype(np.float32)
    place = {name: k for k, name in enumerate(planted["image_id"])}
    for name, of in zip(planted["image_id"], planted["of"], strict=True):
        if of and name not in ("turn", "mirror"):
            values[place[name]] = values[place[of]] + 0.2 * rng.normal(size=24)
    return Embeddings(planted["image_id"].to_numpy(dtype=object), values, {})


def test_a_planted_copy_is_the_same_picture_and_no_other_pair_is(
    planted: pd.DataFrame, vectors: Embeddings
) -> None:
    looks = look_at_pictures(planted, workers=1)
    pairs = near_duplicates(vectors, looks, most=len(CHANGES))
    assert pairs["rank"].tolist() == [1, 2, 3, 4, 5, 6]
    assert set(pairs["kind"]) == {PICTURE}
    expected = {frozenset(p) for p in zip(planted["image_id"], planted["of"], strict=True) if p[1]}
    assert {frozenset(p) for p in zip(pairs["image_id"], pairs["same_as"], strict=True)} == expected
    every = near_duplicates(vectors, looks)
    assert every["kind"].eq(PICTURE).sum() == len(CHANGES)
    assert every.iloc[len(CHANGES) :]["aligned"].max() < 0.96
    assert len(unknown_pairs(every, planted)) == len(every)


def test_the_finding_says_whether_a_pair_is_torn(
    planted: pd.DataFrame, vectors: Embeddings
) -> None:
    pairs = near_duplicates(vectors, look_at_pictures(planted, workers=1))
    assert duplicate_finding(pairs, planted).severity == REVIEW
    torn = planted.assign(part=np.where(planted["of"] == "", "fold 0", "fold 1"))
    assert duplicate_finding(pairs, torn).severity == FAIL
    known = planted.assign(lesion_id=planted["of"].where(planted["of"].ne(""), planted["image_id"]))
    assert duplicate_finding(pairs[pairs["kind"].eq(PICTURE)], known).severity == PASS
    assert duplicate_finding(pairs.iloc[:0], planted).severity == NOT_CHECKED
    assert set(settled_pairs(pairs)["kind"]) <= {PICTURE, LESION}
    precision = pair_precision(pairs, known, counts=(6, 12))
    assert precision["precision"].tolist() == [1.0, 0.5]  # 6 planted ones, which come first
    assert precision["recall"].tolist() == [1.0, 1.0]


def test_a_picture_aligns_with_itself_in_each_of_eight_moves_and_not_with_another() -> None:
    rng = np.random.default_rng(0)
    own = gaussian_filter(rng.normal(size=(3, 64, 64, 3)), (0, 4, 4, 0))
    own = np.clip(128 + 60 * own / own.std(), 0, 255).astype(np.uint8)
    cells = coarse_cells(own)
    for k, moved in enumerate(dihedral(own)):
        assert aligned_agreement(own, moved) == pytest.approx(1, abs=1e-3)
        assert coarse_agreement(cells, coarse_cells(moved)).max(axis=1) == pytest.approx(
            1, abs=1e-5
        )
        assert k < 8
    assert aligned_agreement(own, own[[1, 2, 0]]).max() < 0.9
    flat = np.full((1, 64, 64, 3), 90, np.uint8)
    assert np.isfinite(aligned_agreement(flat, own[:1])).all()
    assert len(aligned_agreement(own[:0], own[:0])) == 0


def test_a_crop_is_aligned_wherever_it_was_cut_and_no_other_picture(
    pictures: list[Image.Image],
) -> None:
    rng, crops = np.random.default_rng(2), []
    for picture in pictures:
        share = rng.uniform(0.8, 0.95)
        left, top = (rng.uniform(0, side * (1 - share)) for side in picture.size)
        box = (left, top, left + share * picture.width, top + share * picture.height)
        crops.append(Image.open(io.BytesIO(jpeg(picture.crop(tuple(map(round, box))), 60))))
    own, cut = (
        np.stack([np.asarray(fit_picture(p, 64, "crop", Image.Resampling.BOX)) for p in each])
        for each in (pictures, crops)
    )
    assert np.quantile(aligned_agreement(own, cut), 0.05) > 0.985
    assert aligned_agreement(own, np.roll(cut, 1, axis=0)).max() < 0.96


def test_whitened_vectors_have_length_one_and_vary_alike() -> None:
    rng = np.random.default_rng(0)
    raw = rng.normal(size=(400, 6)) * [100, 10, 1, 1, 1, 0] + 5
    white = whitened(raw.astype(np.float32), most=4)
    assert white.shape == (400, 4)
    assert np.linalg.norm(white, axis=1) == pytest.approx(1, abs=1e-5)
    assert white.var(axis=0).max() / white.var(axis=0).min() < 1.3
    assert whitened(raw[:25].astype(np.float32)).shape == (25, 2)  # one for each ten


def test_search_by_cells_finds_what_a_comparison_of_all_finds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = np.random.default_rng(0)
    unit = rng.normal(size=(900, 12))
    unit[450:] = unit[:450] + 0.05 * rng.normal(size=(450, 12))
    unit = (unit / np.linalg.norm(unit, axis=1, keepdims=True)).astype(np.float32)
    rows, cosines = nearest_rows(unit, 3)
    exact = unit @ unit.T
    np.fill_diagonal(exact, -2)
    assert (rows[:, 0] == exact.argmax(axis=1)).all()
    assert cosines == pytest.approx(-np.sort(-exact, axis=1)[:, :3], abs=1e-5)
    monkeypatch.setattr(pairs_of, "_EXACT", 100)
    near, _ = nearest_rows(unit, 3)
    assert (near[:, 0] == rows[:, 0]).mean() > 0.99
    assert nearest_rows(unit[:2], 5)[0].tolist() == [[1], [0]]


def test_fewer_than_twenty_pictures_or_none_are_not_compared(planted: pd.DataFrame) -> None:
    looks = look_at_pictures(planted.head(5), workers=1)
    pairs = near_duplicates(Embeddings.none(), looks)
    assert len(pairs) == 0
    assert pair_precision(pairs, planted).empty


def test_one_look_says_size_file_border_and_what_could_not_be_read(tmp_path: Path) -> None:
    levels = np.full((40, 80, 3), 200, np.uint8)
    levels[:, :8] = [10, 20, 30]
    Image.fromarray(levels).save(tmp_path / "a.png")
    look = look_at(str(tmp_path / "a.png"))
    facts = dict(zip(FILE, look.file, strict=True))
    assert (facts["width"], facts["height"], facts["aspect"], facts["is_jpeg"]) == (80, 40, 2, 0)
    assert np.isnan(facts["jpeg_table"])
    border = dict(zip(BORDER, look.border, strict=True))
    assert border["left_blue"] == pytest.approx(30, abs=1)
    assert border["right_red"] == 200
    (tmp_path / "b.jpg").write_bytes(b"no picture")
    table = pd.DataFrame(
        {"image_id": ["a", "b", "c"], "path": [tmp_path / "a.png", tmp_path / "b.jpg", np.nan]}
    )
    looks = look_at_pictures(table)
    assert looks.unread["image_id"].tolist() == ["b", "c"]
    assert looks.unread["note"].str.len().min() > 0


def test_equal_pixels_are_found_though_files_differ(tmp_path: Path) -> None:
    levels = np.random.default_rng(0).integers(0, 255, (30, 30, 3)).astype(np.uint8)
    Image.fromarray(levels).save(tmp_path / "a.png")
    Image.fromarray(levels).save(tmp_path / "b.bmp")
    levels[0, 0] = 0
    Image.fromarray(levels).save(tmp_path / "c.png")
    images = pd.DataFrame({"image_id": ["a", "b", "c"]}).assign(
        path=[str(tmp_path / n) for n in ("a.png", "b.bmp", "c.png")],
        patient_id=np.nan, lesion_id=np.nan, target="x",
    )  # fmt: skip
    copies = find_copies(images, look_at_pictures(images))
    assert copies["image_id"].tolist() == ["a", "b"]
    assert copies["identical"].tolist() == [0, 0]
    turned = find_copies(images, look_at_pictures(images[::-1]))
    assert turned["image_id"].tolist() == ["a", "b"], "joined by id"
    assert find_copies(images, look_at_pictures(images[1:])).empty


def test_a_shortcut_is_what_varies(planted: pd.DataFrame) -> None:
    looks = look_at_pictures(planted, workers=1)
    images = planted.assign(target=["a", "b"] * 27, age=np.nan, sex="male", site=["x", "y"] * 27)
    folds = planted[["image_id"]].assign(fold=[0, 1] * 27)
    tables = shortcut_features(looks, images, folds)
    assert list(tables) == ["file", "patient", "border"]
    assert tables["patient"].columns.tolist() == ["image_id", "site"]
    assert "is_jpeg" not in tables["file"]
    unseen = looks.table.assign(**dict.fromkeys(FILE, np.nan), note="no picture")
    sizes = images.assign(width=[640, 1024] * 27, height=[480, 1024] * 27)
    known = shortcut_features(Looks(unseen, looks.thumbnails), sizes, folds)["file"]
    assert known.columns.tolist() == ["image_id", "width", "height", "aspect", "megapixels"]
    assert known["aspect"].tolist() == [640 / 480, 1.0] * 27
    assert shortcut_features(looks, images, folds.assign(fold=0)) == {}
    assert shortcut_features(looks, images.assign(target="a"), folds) == {}
