import gzip
import os
from pathlib import Path

import pytest

from melnb.runs import raw_data, store
from melnb.tables import documents
from melnb.tables.documents import DamagedError


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    folder = tmp_path / "raw"
    (folder / "deep/deeper").mkdir(parents=True)
    for name in ("t.csv", "a.jpg", "deep/b.PNG", "deep/deeper/c.tfrec", "notes.md", ".hidden.jpg"):
        (folder / name).write_text(name)
    return folder


def test_tables_and_pictures_are_listed_and_what_was_read_has_its_content(raw: Path) -> None:
    files = raw_data.read_raw(raw, [raw / "a.jpg", f"{raw}/deep/deeper/c.tfrec::12"])
    assert sorted(files) == ["a.jpg", "deep/b.PNG", "deep/deeper/c.tfrec", "t.csv"]
    assert [name for name in files if not files[name].content] == ["deep/b.PNG"]
    assert files["a.jpg"].bytes == 5
    with pytest.raises(FileNotFoundError, match="nothing to read at"):
        raw_data.read_raw(raw / "none")


def test_a_link_in_circles_and_one_to_nowhere_are_no_files(raw: Path) -> None:
    before = raw_data.read_raw(raw)
    for name in ("round.jpg", "round.csv"):
        (raw / name).symlink_to(name)
        (raw / f"lost-{name}").symlink_to("nowhere")
    assert raw_data.read_raw(raw) == before


def test_of_more_pictures_than_are_to_be_read_names_sizes_and_times_are_kept(raw: Path) -> None:
    files = raw_data.read_raw(raw, [raw / "a.jpg", raw / "deep/b.PNG"], most=14)
    assert {name for name in files if files[name].content} == {"t.csv"}
    assert raw_data.read_raw(raw, [raw / "a.jpg"], most=14)["a.jpg"].content


def test_of_a_table_that_is_given_the_other_tables_do_not_count(raw: Path) -> None:
    (raw / "other.csv").write_text("x")
    files = raw_data.read_raw(raw / "t.csv", [raw / "a.jpg"])
    assert sorted(files) == ["a.jpg", "deep/b.PNG", "deep/deeper/c.tfrec", "t.csv"]
    (raw / "other.csv").write_text("another")
    assert raw_data.compare(files, raw / "t.csv") == ("", "")
    (raw / "t.csv").write_text("T.csv")
    assert raw_data.compare(files, raw / "t.csv").change == "t.csv changed"


def test_pictures_elsewhere_are_followed_by_their_whole_path(raw: Path, tmp_path: Path) -> None:
    away = tmp_path / "disk/x.jpg"
    away.parent.mkdir()
    away.write_text("x")
    files = raw_data.read_raw(raw, [away])
    assert raw_data.compare(files, raw) == ("", "")
    away.write_text("xy")
    assert raw_data.compare(files, raw).change == f"{away} changed"
    away.unlink()
    assert raw_data.compare(files, raw).change == f"{away} is gone"


def test_what_stands_for_raw_data_has_no_times(raw: Path) -> None:
    first = raw_data.digest(raw_data.read_raw(raw, [raw / "a.jpg"]))
    os.utime(raw / "a.jpg", (0, 0))
    assert raw_data.digest(raw_data.read_raw(raw, [raw / "a.jpg"])) == first
    (raw / "a.jpg").write_text("A.jpg")
    assert raw_data.digest(raw_data.read_raw(raw, [raw / "a.jpg"])) != first


@pytest.mark.parametrize(
    "name", ["b, c.jpg", 'q"q.jpg', "line\nend.jpg", "ä.jpg", os.fsdecode(b"\xff.jpg")]
)
def test_any_name_that_a_disk_takes_reads_back(name: str, raw: Path, tmp_path: Path) -> None:
    (raw / name).write_text("x")
    files = raw_data.read_raw(raw, [raw / name])
    path = raw_data.write_files({"other": {}, "raw": files}, tmp_path / raw_data.FILE)
    assert raw_data.read_files(path, "raw", raw_data.digest(files)) == files


def test_a_list_that_is_not_as_it_was_written_is_damaged(raw: Path, tmp_path: Path) -> None:
    files = raw_data.read_raw(raw)
    path, sha256 = tmp_path / raw_data.FILE, raw_data.digest(files)
    whole = raw_data.write_files({"raw": files}, path).read_bytes()
    shorter = gzip.compress(b"".join(gzip.decompress(whole).splitlines(keepends=True)[1:]))
    for content, problem in (
        (b"", "it is not what"), (whole[:-9], "no list"), (b"raw,t.csv", "no list"),
        (gzip.compress(b"raw,t.csv,x,0,"), "no list"), (shorter, "it is not what"),
    ):  # fmt: skip
        path.write_bytes(content)
        with pytest.raises(DamagedError, match=problem):
            raw_data.read_files(path, "raw", sha256)


def test_many_tables_are_compared_as_pictures_are(
    raw: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(raw_data, "_MANY", 0)
    files = raw_data.read_raw(raw)
    stat = (raw / "t.csv").stat()
    (raw / "t.csv").write_text("T.csv")
    os.utime(raw / "t.csv", ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert raw_data.compare(files, raw) == ("", "")
    assert raw_data.compare(files, raw, whole=True).change == "t.csv changed"
    os.utime(raw / "t.csv", (0, 0))
    assert raw_data.compare(files, raw).change == "t.csv changed"


def test_a_run_that_is_opened_again_keeps_its_raw_data(
    raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MELNB_ROOT", str(tmp_path))
    first = store.open_run("02_prepare", "d", parameters={})
    first.reads_raw("raw", [str(raw / "a.jpg"), "", float("nan")])  # type: ignore[list-item]
    first.finish({})
    again = store.open_run("02_prepare", "d", parameters={})
    again.reads_raw(raw)
    final = again.finish({})
    (entry,) = documents.read_run(final)["inputs"]
    assert entry["path"] == "raw"
    kind, _, sha256 = entry["sha256"].partition(":")
    assert kind == "raw"
    assert raw_data.read_files(final / raw_data.FILE, "raw", sha256)["a.jpg"].content == ""
    assert raw_data.FILE not in {file["path"] for file in documents.read_run(final)["files"]}
