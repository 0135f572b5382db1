import contextlib
import os
from pathlib import Path

import pandas as pd
import pytest

from melnb.evaluation.challenges.foreign import read_foreign
from melnb.tables.files import PICTURE_SUFFIXES, is_safe, picture_id, safe_id, walk
from melnb.tables.overlap import keys


@pytest.mark.parametrize("suffix", sorted(PICTURE_SUFFIXES | {".dcm", ".npy", ".JPG", ".Tiff"}))
@pytest.mark.parametrize("folder", ["", "train/", "C:\\pictures\\train\\", "./a b/"])
def test_a_picture_is_called_without_folder_and_suffix_by_all_who_ask(
    suffix: str, folder: str
) -> None:
    name = f"{folder}ISIC_0000001{suffix}"
    assert picture_id(name) == "ISIC_0000001"
    assert keys(pd.Series([name, "ISIC_0000001"])).nunique() == 1


@pytest.mark.parametrize("name", ["v1.2", "p.1_left", "scan.0001", ".jpg", "a.jpg.part"])
def test_a_point_in_an_id_is_no_suffix(name: str) -> None:
    assert picture_id(name) == name


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("ISIC_0000001", "ISIC_0000001"), ("v1.2+a-b", "v1.2+a-b"), ("", ""), ("my pic", "my_pic"),
        ("M\u00fcller", "Muller"), ("Mu\u0308ller", "Muller"), ("-1", "_1"), (".a", "_a"),
        ("(2)", "_2_"),        ("\u200ba", "a"), ("\u80cc", "_"), ("a/b", "a_b"),
    ],
)  # fmt: skip
def test_an_id_may_be_a_files_name_everywhere(name: str, safe: str, tmp_path: Path) -> None:
    assert safe_id(name) == safe
    assert safe_id(safe) == safe
    assert is_safe(safe) == bool(safe)
    if name.strip() and "/" not in name:
        assert keys(pd.Series([f"{name}.jpg", safe])).nunique() == 1
        file = tmp_path / "theirs.csv"
        file.write_text(f"image,target,pred\n{name},0,0.2\nother,1,0.7\n", encoding="utf-8")
        assert read_foreign(file)["image_id"].iloc[0] == safe


def test_a_newer_suffix_is_none_of_an_id_in_predictions_either(tmp_path: Path) -> None:
    table = pd.DataFrame({"image": ["x/a.jfif", "x\\b.jp2"], "target": [0, 1], "pred": [0.2, 0.7]})
    table.to_csv(tmp_path / "theirs.csv", index=False)
    assert read_foreign(tmp_path / "theirs.csv")["image_id"].tolist() == ["a", "b"]


def test_links_are_gone_through_but_not_in_circles_and_lost_ones_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, disk = tmp_path / "set", tmp_path / "disk"
    for folder in (root / "train/deep", root / "__MACOSX", root / ".git", disk / "more"):
        folder.mkdir(parents=True)
        (folder / "x.jpg").write_text(str(folder))
    (root / "all").symlink_to("train")  # before its folder by name
    (root / "train/up").symlink_to(root)
    (root / "other").symlink_to(disk)  # on another disk
    (disk / "back").symlink_to(root / "train")
    (root / "one.jpg").symlink_to(disk / "more/x.jpg")
    (root / "lost").symlink_to(tmp_path / "nowhere")
    (root / "round.jpg").symlink_to("round.jpg")

    def seen() -> dict[str, tuple[list[str], list[str]]]:
        return {p: ([e.name for e in files], lost) for p, files, lost in walk(root)}

    found = seen()
    assert found == {
        "": (["one.jpg"], ["lost", "round.jpg"]), "train/": ([], []),
        "train/deep/": (["x.jpg"], []), "other/": ([], []), "other/more/": (["x.jpg"], []),
    }  # fmt: skip
    told = os.scandir
    turned = lambda place: contextlib.nullcontext([*told(place)][::-1])  # noqa: E731
    monkeypatch.setattr(os, "scandir", turned)
    assert list(seen().items()) == list(found.items()), "in whatever order a disk tells names"
