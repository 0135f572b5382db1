"""Several sources as one table: whose ids are whose, and images that two of them have."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from melnb.data.folds import FoldError, fold_balance, make_folds
from melnb.data.sources import catalogue
from melnb.data.sources.several import join_sources, shared_images
from melnb.params.catalogue import ParameterError, Prepare
from melnb.runs.lookup import raw_folders
from melnb.tables.checks import TableError
from melnb.tables.schema import IMAGE_COLUMNS

Text = Callable[..., Path]


def part(tmp_path: Path, name: str, ids: list[str], **columns: list) -> pd.DataFrame:
    """A source's images, each with a picture of other bytes but of one length."""
    table = pd.DataFrame(np.nan, range(len(ids)), list(IMAGE_COLUMNS), dtype=object)
    (tmp_path / name).mkdir()
    paths = [tmp_path / name / f"{k}.jpg" for k in range(len(ids))]
    for k, path in enumerate(paths):
        path.write_bytes(f"{name[:1]}{k:03d}".encode())
    target = ["melanoma", "other"] * len(ids)
    return table.assign(
        image_id=ids, path=[*map(str, paths)], target=target[: len(ids)], source="x", **columns
    ).astype({"age": float})


@pytest.fixture
def parts(tmp_path: Path) -> dict[str, pd.DataFrame]:
    """Of b the second is the archive's of a; the third is a's third, byte for byte."""
    a = part(tmp_path, "a", ["ISIC_0000001", "ISIC_0000002", "7", "8"], patient_id=["1", *"233"])
    b = part(
        tmp_path, "b", ["7", "isic_0000002_downsampled", "9", "10"],
        patient_id=["1", "IP_5", "4", "5"], lesion_id=["IL_1", "2", np.nan, np.nan],
    )  # fmt: skip
    Path(b["path"][2]).write_bytes(Path(a["path"][2]).read_bytes())
    return {"a": a, "b": b}


def test_ids_are_their_sources_but_for_the_archives(parts: dict[str, pd.DataFrame]) -> None:
    joined = join_sources(parts, copies="first")
    assert joined["image_id"].tolist() == [
        "ISIC_0000001", "ISIC_0000002", "a-7", "a-8", "b-7", "b-10",
    ]  # fmt: skip
    assert joined["patient_id"].tolist() == ["a/1", "a/2", "a/3", "a/3", "b/1", "b/5"]
    assert joined["lesion_id"].dropna().tolist() == ["IL_1"]
    assert joined["source"].tolist() == ["a"] * 4 + ["b"] * 2


def test_what_stands_in_two_sources_is_refused_or_the_firsts(
    parts: dict[str, pd.DataFrame],
) -> None:
    with pytest.raises(
        TableError, match=r"2 images stand in two sources: isic_0000002_down.*first"
    ):
        join_sources(parts)
    joined = join_sources(parts, copies="first")
    assert joined.attrs["in_another_source"] == ("isic_0000002_downsampled", "b-9")
    said = catalogue.describe_source(joined)
    assert "left out: {'in_another_source': 2}" in said
    assert "b: 2 images stand in a too (1 by image, 1 by picture) and are left out" in said
    assert shared_images(dict([*joined.groupby("source")])).empty
    same = parts | {"b": parts["b"].replace("isic_0000002_downsampled", "ISIC_0000002")}
    assert join_sources(same, copies="first")["image_id"].tolist() == joined["image_id"].tolist()
    other = parts | {"b": parts["b"].assign(target="melanoma")}
    assert "1 of them have another target" in catalogue.describe_source(
        join_sources(other, copies="first", task="melanoma")
    )


def test_copies_within_a_source_stay(parts: dict[str, pd.DataFrame]) -> None:
    paths = parts["b"]["path"].tolist()
    Path(paths[0]).write_bytes(Path(paths[3]).read_bytes())
    assert len(join_sources(parts, copies="first")) == 6, "folds keep them together"


def test_native_classes_must_be_the_same(parts: dict[str, pd.DataFrame]) -> None:
    strange = parts | {"b": parts["b"].assign(target="nevus")}
    with pytest.raises(ValueError, match=r"a: melanoma, other; b: nevus\): use task melanoma"):
        join_sources(strange, copies="first")
    assert len(join_sources(strange, copies="first", task="diagnosis")) == 6


def test_each_source_is_a_fold(parts: dict[str, pd.DataFrame]) -> None:
    joined = join_sources(parts, copies="first")
    folds = make_folds(joined, n_folds=2, seed=0, folds="source")
    assert folds["fold"].tolist() == [0] * 4 + [1] * 2
    shuffled = make_folds(joined.iloc[::-1], n_folds=2, seed=7, folds="source")
    assert folds.merge(shuffled, on="image_id").eval("fold_x == fold_y").all()
    balance = fold_balance(joined, folds)
    assert balance["source"].tolist() == ["a", "b"]
    with pytest.raises(FoldError, match="n_folds is 3, and there are 2 sources"):
        make_folds(joined, n_folds=3, seed=0, folds="source")
    with pytest.raises(FoldError, match="all images are of 'a', and to leave one source out"):
        make_folds(joined[:4], n_folds=2, seed=0, folds="source")
    unknown = joined.assign(source=joined["source"].where(joined.index > 0))
    with pytest.raises(FoldError, match="the source of ISIC_0000001 is unknown"):
        make_folds(unknown, n_folds=2, seed=0, folds="source")
    alone = joined.assign(target=joined["target"].mask(joined["source"] == "b", "other"))
    with pytest.raises(FoldError, match="'b' has no image of class 'melanoma', which is of a: "):
        make_folds(alone, n_folds=2, seed=0, folds="source")
    together = joined.assign(patient_id="IP_1")
    with pytest.raises(FoldError, match=r"are of the sources a, b \(1 such groups\)"):
        make_folds(together, n_folds=2, seed=0, folds="source")


def test_sources_are_read_each_by_its_own_rows(text: Text, tmp_path: Path) -> None:
    for name in ("one", "two"):
        lines = [f"{k},{('melanoma', 'nevus')[k % 2]}" for k in range(6)]
        text(f"{name}/table.csv", "image_id,diagnosis", *lines)
    sources = {
        "one": {"source": "csv", "folder": str(tmp_path / "one"), "rows": 4},
        "two": {"source": "csv", "folder": str(tmp_path / "two")},
    }
    with pytest.raises(ValueError, match="source several: give parts"):
        catalogue.read_source("several", tmp_path)
    roots = raw_folders("", sources, rows=0, seed=0)
    assert roots == {name: tmp_path / name for name in sources}
    how = {"parts": sources, "task": "melanoma", "missing": "keep"}
    images = catalogue.read_source("several", roots, **how)
    assert images["source"].value_counts().to_dict() == {"two": 6, "one": 4}
    with pytest.raises(FileNotFoundError, match=r"two: "):
        catalogue.read_source("several", roots | {"two": tmp_path / "none"}, **how)
    (tmp_path / "two" / "0.jpg").touch()
    pictured = images.assign(path=images["source"] + "/x.jpg")
    assert {*catalogue.used_files(pictured, of="two")} == {"two/x.jpg"}


def test_parameters_say_what_several_sources_need() -> None:
    sources = {"a": {"source": "ph2", "folder": "x", "rows": "3"}, "b": {"source": "csv"}}
    given = {"source": "several", "sources": sources, "rows": 0, "n_folds": 2, "folds": "source"}
    assert Prepare.check(given).sources["a"] == {"source": "ph2", "folder": "x", "rows": 3}
    for change, said in (
        ({"sources": {}}, "needs sources, two or more"),
        ({"source": "ph2"}, "sources are of source several, not of ph2"),
        ({"rows": 5}, "set rows 0"),
        ({"n_folds": 3}, "of which n_folds 3 is not the number"),
        ({"fold_file": "x"}, "leave fold_column and fold_file empty"),
        ({"sources": sources | {"b": {"folder": "y"}}}, "neither several nor kaggle_tfrecords"),
        ({"sources": sources | {"b": {"sauce": "ph2"}}}, "sources.b.sauce"),
    ):
        with pytest.raises(ParameterError, match=said):
            Prepare.check(given | change)
    assert raw_folders("", {}, rows=9, seed=1, outputs="o")[""].name == "images9-seed1"


def test_a_table_of_several_sources_keeps_them(text: Text, tmp_path: Path) -> None:
    text("t.csv", "image_id,target,source", "1,nevus,here", "2,melanoma,there", "3,nevus,")
    images = catalogue.read_source("csv", tmp_path / "t.csv", missing="keep")
    assert images["source"].tolist() == ["here", "there", "csv"]
