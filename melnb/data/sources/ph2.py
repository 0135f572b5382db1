"""PH2: 200 dermoscopic images of melanocytic lesions, a folder each, and one table."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path
from xml.etree import ElementTree

import pandas as pd

from melnb.data.sources.layout import (
    Listing,
    Missing,
    check_ids,
    list_folder,
    make_images,
    place_pictures,
)
from melnb.tables.checks import TableError

HOME = "www.fc.up.pt/addi/ph2%20database.html"
CODES = {"0": "nevus", "1": "nevus", "2": "melanoma"}  # common nevus, atypical nevus, melanoma
_SHEET = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
_MOST_BYTES = 1 << 24  # of a part of the workbook; the published one has 100 kB
_COLUMNS = {"common nevus": "0", "atypical nevus": "1", "melanoma": "2"}


def read_ph2(folder: str | Path, *, missing: Missing = "error") -> pd.DataFrame:
    """Read PH2: melanoma (40) and nevus (80 common, 80 atypical).

    Args:
        folder: Holds `PH2_dataset.txt` or `.xlsx`, and `PH2 Dataset images/IMD…/`. Of both tables
            the text is read, or the workbook if the text is another one.
        missing: What to do with rows whose picture is not there.

    Raises:
        FileNotFoundError: The folder, the table or a picture is missing.
        TableError: The table breaks its format; line and value are named.
    """
    listing = list_folder(folder, source="ph2", home=HOME)
    file, codes = _read_codes(listing)
    diagnosis = codes["code"].map(CODES)
    if diagnosis.isna().any():
        line = diagnosis.index[diagnosis.isna()][0]
        raise TableError(
            f"{file} line {line}: clinical diagnosis {codes['code'][line]!r} of "
            f"{codes['image_id'][line]} is not 0, 1 or 2"
        )
    ids = check_ids(codes["image_id"], file)
    table = pd.DataFrame({"image_id": ids, "diagnosis": diagnosis, "target": diagnosis})
    masks = listing.pictures("*_lesion", tail="_lesion")
    table["mask_path"] = masks.of(table["image_id"])
    pictures = listing.pictures("*_Dermoscopic_Image")
    table = place_pictures(table, pictures, listing, file=file, missing=missing)
    return make_images("ph2", [table])


def _read_codes(listing: Listing) -> tuple[Path, pd.DataFrame]:
    text, book = (listing.find(f"PH2_dataset.{suffix}") for suffix in ("txt", "xlsx"))
    if text is None:
        book = listing.need("PH2_dataset.txt", "PH2_dataset.xlsx")
        return book, _read_sheet(book)
    try:
        return text, _read_text(text)
    except TableError:
        if book is None:
            raise
        return book, _read_sheet(book)


def _read_text(file: Path) -> pd.DataFrame:
    """Read `|| IMD003 || histological || 0 || … ||`: columns parted by two bars.

    The diagnosis is the column `Clinical Diagnosis`, the third where no line of names is there.
    """
    data = file.read_bytes()
    wide = data[:2] in (b"\xff\xfe", b"\xfe\xff")
    lines = data.decode("utf-16" if wide else "utf-8-sig", errors="replace").splitlines()
    parted = {k: [cell.strip() for cell in line.split("||")] for k, line in enumerate(lines, 1)}
    named = (cells for cells in parted.values() if "Clinical Diagnosis" in cells)
    place = next((cells.index("Clinical Diagnosis") for cells in named), 3)
    rows = {
        number: (cells[1], cells[place] if len(cells) > place else "")
        for number, cells in parted.items()
        if len(cells) > 1 and not cells[0] and re.fullmatch(r"IMD\d+", cells[1])
    }
    if not rows:
        raise TableError(f"{file}: no line begins with '|| IMD', as rows of this table do")
    return pd.DataFrame([*rows.values()], index=list(rows), columns=["image_id", "code"])


def _read_sheet(file: Path) -> pd.DataFrame:
    """Read the workbook with the standard library: a cross marks one of three columns."""
    try:
        with zipfile.ZipFile(file) as book:
            sheet = _read_part(book, "xl/worksheets/sheet1.xml")
            strings = [
                "".join(t.text or "" for t in item.iter(f"{_SHEET}t"))
                for item in _read_part(book, "xl/sharedStrings.xml")
            ]
        cells = _read_cells(sheet, strings)
    except (zipfile.BadZipFile, ElementTree.ParseError, LookupError, ValueError, OSError) as error:
        words = error.args[0] if isinstance(error, KeyError) else error
        raise TableError(
            f"{file} does not read as a workbook ({words}): get it again from {HOME}, or save it "
            "as PH2_dataset.txt"
        ) from None
    if not cells:
        raise TableError(f"{file}: no row under a column 'Image Name' begins with IMD")
    return pd.DataFrame(
        [*cells.values()], index=list(cells), columns=["image_id", "code"], dtype=object
    )


def _read_part(book: zipfile.ZipFile, name: str) -> ElementTree.Element:
    """Read the XML of a part; it may define no entities, which could stand for gigabytes."""
    size = book.getinfo(name).file_size
    if size > _MOST_BYTES:
        raise ValueError(f"{name} is of {size:,} bytes, more than {_MOST_BYTES:,}")
    data = book.read(name)
    if b"<!DOCTYPE" in data or b"\0" in data:
        raise ValueError(f"{name} defines entities, or is not in UTF-8")
    return ElementTree.fromstring(data)


def _read_cells(sheet: ElementTree.Element, strings: list[str]) -> dict[int, tuple[str, str]]:
    """Return line to image id and code."""
    marks: dict[str, str] = {}
    cells = {}
    for row in sheet.iter(f"{_SHEET}row"):
        texts = {_column(c): _text(c, strings) for c in row.iter(f"{_SHEET}c")}
        if "Image Name" in texts.values():
            marks = {k: _COLUMNS[t.lower()] for k, t in texts.items() if t.lower() in _COLUMNS}
            names = next(k for k, t in texts.items() if t == "Image Name")
        elif marks and texts.get(names, "").startswith("IMD"):
            codes = [code for k, code in marks.items() if texts.get(k, "").upper() == "X"]
            code = codes[0] if len(codes) == 1 else "".join(codes)
            cells[int(row.attrib["r"])] = (texts[names], code)
    return cells


def _column(cell: ElementTree.Element) -> str:
    return cell.attrib["r"].rstrip("0123456789")


def _text(cell: ElementTree.Element, strings: list[str]) -> str:
    value = cell.find(f"{_SHEET}v")
    if value is None or value.text is None:
        return ""
    return strings[int(value.text)].strip() if cell.get("t") == "s" else value.text.strip()
