import os
import shutil
import subprocess
from pathlib import Path
from typing import cast

import pytest

from melnb.runs import provenance, store
from melnb.tables import documents
from melnb.tables.documents import Entry


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MELNB_ROOT", str(tmp_path))
    return tmp_path


def make_run(result: float, text: str = "x", **parameters: object) -> str:
    run = store.open_run("02_prepare", "demo", parameters=parameters)
    (run.folder / "a.txt").write_text(text)
    return provenance.hash_path(run.finish({"auc": result}))


def test_a_run_is_hashed_by_what_it_is_and_not_by_when_or_where() -> None:
    first = make_run(0.5, seed=1, outputs="")
    assert make_run(0.5, seed=1, outputs="") == first
    assert make_run(0.5, seed=1, outputs="elsewhere") == first
    assert (
        len({first, make_run(0.6, seed=1), make_run(0.5, seed=2), make_run(0.5, "y", seed=1)}) == 4
    )


def test_a_raw_folder_is_hashed_by_names_and_sizes(root: Path) -> None:
    raw = root / "raw"
    (raw / "deep").mkdir(parents=True)
    (raw / "deep/1.jpg").write_text("123")
    first = provenance.hash_path(raw)
    os.utime(raw / "deep/1.jpg", (0, 0))
    assert provenance.hash_path(raw) == first
    (raw / "deep/1.jpg").write_text("1234")
    assert provenance.hash_path(raw) != first


def make_masks(folder: Path, *, at: str = "masks", content: str = "11") -> Path:
    for name in (f"{at}/a.png", f"{at}/deep/b.png", "masks.csv", "other/c.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content if name.endswith("b.png") else name)
    return folder


def test_a_named_folder_is_one_entry_of_its_names_sizes_and_contents(root: Path) -> None:
    folder = make_masks(root / "run")
    (folder / "crops").mkdir()

    def told(folders: tuple[str, ...] = ("masks/", "crops", "absent")) -> list[dict[str, object]]:
        return provenance.list_files(folder, hashed=True, folders=folders)

    crops, masks, *files = told()
    assert crops == {"path": "crops/", "files": 0, "bytes": 0, "sha256": crops["sha256"]}
    assert masks == {"path": "masks/", "files": 2, "bytes": 13, "sha256": masks["sha256"]}
    assert files == [f for f in told(()) if not str(f["path"]).startswith("masks/")]
    assert [f["path"] for f in files] == ["masks.csv", "other/c.png"]
    assert told(("masks", "masks/deep", "crops")) == told()
    seen = {str(masks["sha256"])}
    (folder / "masks/deep/b.png").write_text("12")  # of the same size
    seen.add(str(told()[1]["sha256"]))
    (folder / "masks/deep").rename(folder / "masks/deeper")
    seen.add(str(told()[1]["sha256"]))
    (folder / "masks/empty.png").write_text("")
    seen.add(str(told()[1]["sha256"]))
    assert len(seen) == 4
    assert provenance.list_files(folder, folders=["masks"])[0] == {
        "path": "masks/", "files": 3, "bytes": 13,
    }  # fmt: skip


def test_a_run_is_hashed_by_what_its_folders_hold() -> None:
    def hashed(content: str, at: str = "masks") -> str:
        run = store.open_run("02_prepare", "demo", parameters={})
        make_masks(run.folder, content=content, at=at)
        return provenance.hash_path(run.finish({}, folders=["masks"]))

    first = hashed("11")
    assert hashed("11") == first
    assert len({first, hashed("12"), hashed("11", at="masks/below")}) == 3


def test_files_are_listed_in_the_order_of_their_paths_and_links_to_nothing_are_not(
    root: Path,
) -> None:
    make_masks(root / "run")
    (root / "run/lost").symlink_to(root / "nowhere")
    (root / "run/linked").symlink_to(root / "run/other")
    names = [file["path"] for file in provenance.list_files(root / "run")]
    assert names == ["masks/a.png", "masks/deep/b.png", "masks.csv", "other/c.png"]


@pytest.mark.skipif(shutil.which("git") is None, reason="asks git")
def test_a_commit_says_whether_it_was_changed_since(root: Path) -> None:
    assert provenance.commit(root) == ""
    (root / "a.txt").write_text("a")
    who = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
    for words in (["init", "-q"], ["add", "a.txt"], [*who, "commit", "-qm", "Begin"]):
        subprocess.run(["git", *words], cwd=root, check=True)
    clean = provenance.commit(root)
    assert len(clean) == 40
    (root / "a.txt").write_text("b")
    assert provenance.commit(root) == clean + "+"


def test_what_nobody_has_written_to_since_is_not_read_again(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provenance, "_TICK", 0)
    run = store.open_run("02_prepare", "demo", parameters={})
    make_masks(run.folder)
    home = run.finish({}, folders=["masks"])
    again = store.open_run("03_train", "r/fold0", parameters={})
    read: list[str] = []
    whole = provenance.hash_file
    monkeypatch.setattr(provenance, "hash_file", lambda p: read.append(p.name) or whole(p))
    again.reads(home)
    assert read == []
    table = home / "masks.csv"
    before = table.stat()
    table.write_text("Masks.csv")
    os.utime(table, ns=(before.st_atime_ns, before.st_mtime_ns))  # as if nobody had
    with pytest.raises(store.DamagedError, match=r"masks\.csv is damaged"):
        again.reads(home)
    table.write_text("masks.csv")
    for path in (home / "masks").rglob("*.png"):  # as a copy has other times
        os.utime(path)
    read.clear()
    again.reads(home)
    assert sorted(read) == ["a.png", "b.png", "masks.csv"]
    (home / "masks/deep/b.png").write_text("12")
    with pytest.raises(store.DamagedError, match=r"masks is damaged"):
        again.reads(home)


def test_a_file_younger_than_a_clocks_tick_is_read_again(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provenance, "_TICK", 10**12)
    run = store.open_run("02_prepare", "demo", parameters={})
    (run.folder / "a.csv").write_text("a")
    assert documents.read_run(run.finish({}))["stamps"] == {}


def test_a_folder_of_many_is_compared_by_content_when_all_is_read(root: Path) -> None:
    folder = make_masks(root / "run")
    files = provenance.list_files(folder, hashed=True, folders=["masks"])
    entries = [cast(Entry, file) for file in files]
    assert provenance.alteration(entries, folder, whole=True) == ""
    (folder / "masks/deep/b.png").write_text("12")  # of the same size
    assert provenance.alteration(entries, folder) == ""
    said = provenance.alteration(entries, folder, whole=True)
    assert said == "its folder masks/ is not what this run wrote"
    (folder / "masks.csv").write_text("MASKS.csv")
    assert provenance.alteration(entries[1:], folder) == (
        "its file masks.csv is not what this run wrote"
    )
