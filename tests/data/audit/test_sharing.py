"""Before a folder is given away: what could tell a person is found, and nothing else is."""

import getpass
import io
import json
import socket
from pathlib import Path

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from melnb.data.audit.sharing import ADVICE, find_owner, find_persons
from melnb.data.pictures import encode_jpeg, encode_png
from melnb.data.shards.examples import write_shard

PLAIN = Image.new("RGB", (24, 24), "brown")
TABLE = "image_id,patient_id,lesion_id,age,sex,target\na,p1,,45,male,nevus\nb,p1,l2,,female,nevus\n"


def exif() -> Image.Exif:
    told = Image.Exif()
    told[0x013B], told[0x0132] = "Erika Mustermann", "2020:01:02 03:04:05"
    told.get_ifd(0x8825)[2] = (52.0, 31.0, 12.0)
    return told


def saved(kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    PLAIN.save(buffer, kind, **options)
    return buffer.getvalue()


def found(folder: Path) -> dict[tuple[str, str], tuple[int, str]]:
    table, _ = find_persons(folder)
    rows = table.itertuples(index=False)
    return {(row.file, row.kind): (row.count, row.example) for row in rows}


def write(folder: Path, **files: str | bytes) -> Path:
    for name, content in files.items():
        path = folder / name.replace("_", ".", 1)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def test_numbers_alone_tell_nobody(tmp_path: Path) -> None:
    write(
        tmp_path,
        metrics_csv="measure,value\nauc,0.81\n",
        run_json=json.dumps({"parameters": {"columns": {"patient_id": "pat"}}, "inputs": []}),
        page_html="<p>see https://example.org/home/page, 3/4 of e:\\u003cbr</p><th>age</th>",
        notes_md="- ratio a/b/c\n- version 1.2-3\n",
    )
    assert found(tmp_path) == {}


def test_a_table_tells_by_its_filled_cells(tmp_path: Path) -> None:
    write(tmp_path, images_csv=TABLE + "c,,,,,\n")
    assert found(tmp_path) == {
        ("images.csv", "image name"): (3, "image_id a"),
        ("images.csv", "patient"): (2, "patient_id p1"),
        ("images.csv", "lesion"): (1, "lesion_id l2"),
        ("images.csv", "age"): (1, "age 45"),
        ("images.csv", "sex"): (2, "sex male"),
    }


@pytest.mark.parametrize(
    ("table", "example"),
    [
        ("x,Date of birth\n1,3 May\n", "Date of birth 3 May"),
        ("x;note\n1;seen 2021-03-04\n", "2021-03-04"),
        ("x\tnote\n1\tseen 04.03.2021\n", "04.03.2021"),
    ],
)
def test_a_date_is_found_by_column_or_by_form(tmp_path: Path, table: str, example: str) -> None:
    write(tmp_path, t_csv=table)
    assert found(tmp_path) == {("t.csv", "date"): (1, example)}


def test_pictures_are_found_as_files_in_shards_and_in_pages(tmp_path: Path) -> None:
    (tmp_path / "masks").mkdir()
    for name in "ab":
        write(tmp_path / "masks", **{f"{name}_png": encode_png(PLAIN)})
    record = {"image": encode_jpeg(PLAIN), "image_name": b"a", "patient_id": b"", "sex": b"male"}
    write_shard(tmp_path / "fold0-00-2.tfrec", [{**record, "age_approx": age} for age in (-1, 45)])
    write(
        tmp_path,
        report_html='<img src="data:image/jpeg;base64,/9j/4"><figcaption>a · male, 45</figcaption>',
        notebook_ipynb='{"image/png": "iVBO", "text/html": "<th>patient_id</th>"}',
    )
    assert found(tmp_path) == {
        ("masks/", "picture"): (2, "a.png"),
        ("masks/", "image name"): (2, "a.png"),
        ("./", "picture"): (2, "fold0-00-2.tfrec record 0"),
        ("./", "image name"): (2, "a"),
        ("./", "sex"): (2, "male"),
        ("./", "age"): (1, "45"),
        ("report.html", "picture"): (1, "within the file"),
        ("report.html", "image name"): (1, "caption a · male, 45"),
        ("notebook.ipynb", "picture"): (1, "within the file"),
        ("notebook.ipynb", "patient"): (1, "a column of a table"),
    }


def text() -> PngInfo:
    made = PngInfo()
    made.add_text("Author", "Erika")
    return made


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (saved("JPEG"), ""),
        (saved("JPEG", icc_profile=b"sRGB"), ""),
        (saved("PNG"), ""),
        (saved("JPEG", exif=exif()), "EXIF, GPS position, owner 'Erika Mustermann', date '2020:01"),
        (saved("JPEG", comment="Erika"), "a comment or block 'Erika'"),
        (saved("JPEG") + b"Erika", "data behind its end"),
        (saved("PNG", exif=exif()), "EXIF, GPS position, owner 'Erika Mustermann'"),
        (saved("PNG", pnginfo=text()), "a text 'Author Erika'"),
        (saved("TIFF", exif=exif()), "owner 'Erika Mustermann'"),
        (saved("WEBP", exif=exif()), "GPS position, owner 'Erika Mustermann'"),
        (saved("JPEG", comment=b"\x1b[31m\xe2\x80\xae"), r"\x1b[31m"),
        (b"\xff\xd8\xff\xe1\0", "not readable"),
    ],
    ids=range(12),
)
def test_an_owner_is_found_in_every_kind_of_file(data: bytes, words: str) -> None:
    said = find_owner(data)
    assert words in said
    assert bool(words) == bool(said)


def test_what_a_picture_tells_is_a_finding_of_its_folder(tmp_path: Path) -> None:
    write(tmp_path, a_jpg=saved("JPEG", exif=exif()), b_jpg=saved("JPEG"))
    count, example = found(tmp_path)["./", "metadata"]
    assert (count, example[:12]) == (1, "a.jpg: EXIF,")


def test_a_pictures_coded_pixels_in_a_shard_tell_no_owner(tmp_path: Path) -> None:
    write_shard(tmp_path / "t00-1.tfrec", [{"image": saved("JPEG", exif=exif())}])
    assert ("./", "metadata") in found(tmp_path)


@pytest.mark.parametrize(
    "told",
    [
        "/home/erika/lesions/a.jpg",
        r"C:\\Users\\erika\\a.jpg",
        r"D:\data\a.jpg",
        r"\\\\nas\\erika\\x",
    ],
)
def test_absolute_paths_are_found(tmp_path: Path, told: str) -> None:
    write(tmp_path, run_json=f'{{"inputs": [{{"path": "{told}"}}]}}')
    [((file, kind), (count, example))] = found(tmp_path).items()
    assert (file, kind, count) == ("run.json", "path", 1)
    assert example.rstrip("\\") in told


def test_this_user_and_this_machine_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(getpass, "getuser", lambda: "mustermann")
    monkeypatch.setattr(socket, "gethostname", lambda: "praxis-7")
    write(tmp_path, a_log="by mustermann on praxis-7, not by mustermanns\n")
    assert found(tmp_path) == {("a.log", "user or host"): (2, "mustermann")}


def test_a_link_that_leads_out_is_found_and_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    write(outside, secret_csv=TABLE)
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "secret.csv").symlink_to(outside / "secret.csv")
    (inside / "folder").symlink_to(outside)
    assert {kind for _, kind in found(inside)} == {"link"}
    assert len(found(inside)) == 2


def test_what_was_not_looked_into_is_counted(tmp_path: Path) -> None:
    write(tmp_path, model_keras=b"PK", b_npz=b"PK")
    table, unread = find_persons(tmp_path)
    assert len(table) == 0
    assert unread == {".keras": 1, ".npz": 1}


def test_a_damaged_shard_is_said_to_be_unread(tmp_path: Path) -> None:
    write(tmp_path, **{"t00-1_tfrec": b"\0" * 30})
    assert {kind for _, kind in found(tmp_path)} == {"unreadable"}


def test_every_kind_has_its_advice(tmp_path: Path) -> None:
    write(tmp_path, images_csv=TABLE, a_jpg=saved("JPEG", exif=exif()))
    table, _ = find_persons(tmp_path)
    assert set(table["advice"]) <= set(ADVICE.values())
    assert list(table.columns) == ["file", "kind", "count", "example", "advice"]


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no folder .*: name a folder of outputs"):
        find_persons(tmp_path / "a")
