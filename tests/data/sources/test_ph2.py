import zipfile

import pytest

from melnb.data.sources.ph2 import read_ph2
from melnb.tables.checks import TableError

LINES = (
    "|| Name   ||   Histological Diagnosis   || Clinical Diagnosis || Asymmetry | ... || Colors ||",
    "|| IMD003 ||                            ||                  0 ||         0 | AT  ||   4    ||",
    "|| IMD009 ||                            ||                  1 ||         0 |  T  ||   3  4 ||",
    "|| IMD058 ||                  Melanoma  ||                  2 ||         2 | AT  ||   4  5 ||",
    "",
    "Legends: Clinical Diagnosis: 0 - Common Nevus; 1 - Atypical Nevus; 2 - Melanoma.",
)
IDS = ("IMD003", "IMD009", "IMD058")


@pytest.fixture
def pictures(touch):
    for name in IDS:
        touch(f"PH2 Dataset images/{name}/{name}_Dermoscopic_Image", [name], ".bmp")
        touch(f"PH2 Dataset images/{name}/{name}_lesion", [f"{name}_lesion"], ".bmp")
        touch(f"PH2 Dataset images/{name}/{name}_roi", [f"{name}_R1_Label4"], ".bmp")


def write_workbook(file, rows):
    """Write a workbook as Excel does: texts in a table of their own, cells by reference."""
    texts, cells = [], []
    for number, row in enumerate(rows, start=1):
        marks = []
        for letter, value in zip("ABCDE", row, strict=False):
            if value:
                texts.append(value)
                marks.append(f'<c r="{letter}{number}" t="s"><v>{len(texts) - 1}</v></c>')
        cells.append(f'<row r="{number}">{"".join(marks)}</row>')
    space = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
    with zipfile.ZipFile(file, "w") as book:
        shared = "".join(f"<si><t>{t}</t></si>" for t in texts)
        book.writestr("xl/sharedStrings.xml", f"<sst {space}>{shared}</sst>")
        sheet = f"<worksheet {space}><sheetData>{''.join(cells)}</sheetData></worksheet>"
        book.writestr("xl/worksheets/sheet1.xml", sheet)


def test_the_text_table(tmp_path, text, pictures):
    text("PH2_dataset.txt", *LINES)
    images = read_ph2(tmp_path)
    assert images["image_id"].tolist() == list(IDS)
    assert images["target"].tolist() == ["nevus", "nevus", "melanoma"]
    folder = tmp_path / "PH2 Dataset images" / "IMD009"
    assert images["path"][1] == str(folder / "IMD009_Dermoscopic_Image" / "IMD009.bmp")
    assert images["mask_path"][1] == str(folder / "IMD009_lesion" / "IMD009_lesion.bmp")


def test_the_workbook_says_the_same(tmp_path, text, pictures):
    text("PH2_dataset.txt", *LINES)
    from_text = read_ph2(tmp_path)
    (tmp_path / "PH2_dataset.txt").unlink()
    write_workbook(
        tmp_path / "PH2_dataset.xlsx",
        [
            ["PH2 database"],
            ["Image Name", "Histological Diagnosis", "Common Nevus", "Atypical Nevus", "Melanoma"],
            ["IMD003", "", "X"],
            ["IMD009", "", "", "X"],
            ["IMD058", "Melanoma", "", "", "X"],
        ],
    )
    assert read_ph2(tmp_path).equals(from_text)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (LINES[1].replace(" 0 ||", " 3 ||", 1), "line 2: clinical diagnosis '3' of IMD003"),
        (LINES[2], "stands in lines 2 and 3"),
        ("", None),
    ],
)
def test_what_is_wrong_is_named(tmp_path, text, pictures, line, said):
    text("PH2_dataset.txt", LINES[0], line, LINES[2])
    if said is None:
        assert read_ph2(tmp_path)["image_id"].tolist() == ["IMD009"]
    else:
        with pytest.raises(TableError, match=said):
            read_ph2(tmp_path)


def test_no_table_or_no_rows(tmp_path, text, pictures):
    with pytest.raises(FileNotFoundError, match=r"PH2_dataset\.txt or PH2_dataset\.xlsx"):
        read_ph2(tmp_path)
    text("PH2_dataset.txt", "image,label")
    with pytest.raises(TableError, match="no line begins with"):
        read_ph2(tmp_path)
