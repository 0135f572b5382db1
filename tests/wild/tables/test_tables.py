"""Tables as others write them: dialects, shifted columns, words for missing, odd cells."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from melnb.data.features.feature_files import read_features
from melnb.data.folds import make_folds
from melnb.data.pseudo_labels import read_labels
from melnb.data.sources.any_csv import read_any_csv
from melnb.data.sources.catalogue import describe_source, read_source
from melnb.tables import schema
from melnb.tables.delimited import read_delimited

ROWS = "image_id,diagnosis,sex\na,melanoma,male\nb,nevus,female\n"
LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 99456\n"


def file(content: str | bytes, name: str = "t.csv") -> Callable[[Path], Path]:
    """Return a maker of one file."""

    def make(folder: Path) -> Path:
        path = folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return make


def images(path: Path) -> pd.DataFrame:
    return read_any_csv(path, missing="keep")


def read_as(**columns: list[Any]) -> Callable[[Any], None]:
    """Return an outcome: the table holds these columns, None where missing."""

    def check(table: pd.DataFrame) -> None:
        for name, expected in columns.items():
            read = table[name].astype(object).where(table[name].notna(), None)
            assert read.tolist() == expected, name

    return check


def right(table: pd.DataFrame) -> None:
    """Hold the rows of `ROWS`."""
    read_as(image_id=["a", "b"], diagnosis=["melanoma", "nevus"], sex=["male", "female"])(table)


def cohort(ids: list[str], column: str = "patient_id") -> Callable[[Path], Path]:
    """Return a maker of 24 images with these ids of patients or lesions."""
    rows = [f"i{k:02},{'melanoma' if k % 2 else 'nevus'},{ids[k]}" for k in range(24)]
    return file("\n".join([f"image_id,diagnosis,{column}", *rows, ""]))


def folds_of(path: Path) -> pd.DataFrame:
    table = images(path)
    return make_folds(table, n_folds=3, seed=0).merge(table, on="image_id")


def eight_each(table: pd.DataFrame) -> None:
    """Hold three folds of eight images, and sixteen of them without a patient or a lesion."""
    assert table["fold"].value_counts().tolist() == [8, 8, 8]
    assert (table["patient_id"].isna() & table["lesion_id"].isna()).sum() == 16


def patients(**counts: int) -> Callable[[pd.DataFrame], None]:
    """Return an outcome: so many images are of these patients, by number."""

    def check(table: pd.DataFrame) -> None:
        found = table["patient_id"].value_counts()
        assert {f"P{name}": found[name] for name in found.index} == counts

    return check


def targets(*cells: str) -> Callable[[Path], Path]:
    return file("\n".join(["image_id,target", *(f"i{k},{c}" for k, c in enumerate(cells)), ""]))


def told(*lines: str) -> Callable[[pd.DataFrame], None]:
    """Return an outcome: the run says these lines of its source."""

    def check(table: pd.DataFrame) -> None:
        said = describe_source(table)
        assert all(line in said for line in lines), said

    return check


DIALECTS: dict[str, tuple[Any, ...]] = {
    "semicolons": (file(ROWS.replace(",", ";")), images, right),
    "tabs, .tsv": (file(ROWS.replace(",", "\t"), "t.tsv"), images, right),
    "tabs, .tab, all in quotes": (
        file(
            '"image_id"\t"diagnosis"\t"sex"\n"a"\t"melanoma"\t"male"\n"b"\t"nevus"\t"female"\n',
            "t.tab",
        ),
        images,
        right,
    ),
    "bars, .TXT": (file(ROWS.replace(",", "|"), "t.TXT"), images, right),
    ".CSV in a folder": (lambda folder: file(ROWS, "T.CSV")(folder).parent, images, right),
    ".tsv in a folder with a note": (
        lambda folder: (
            (file("see t.tsv", "README.txt")(folder), file(ROWS, "t.tsv")(folder))[0].parent
        ),
        images,
        right,
    ),
    "UTF-8 with a mark": (file(ROWS.encode("utf-8-sig")), images, right),
    "UTF-16, as Excel's Unicode text": (
        file(ROWS.replace(",", "\t").encode("utf-16"), "t.txt"),
        images,
        right,
    ),
    "UTF-16 without a mark": (file(ROWS.encode("utf-16-le")), images, right),
    "Windows-1252": (
        file("image_id,site\na,Rücken\nb,épaule\n".encode("cp1252")),
        images,
        read_as(site=["rücken", "épaule"]),
    ),
    "lines of an old Mac": (file(ROWS.replace("\n", "\r")), images, right),
    "a sep= line": (file("sep=;\n" + ROWS.replace(",", ";")), images, right),
    "blanks around cells": (
        file('image_id , diagnosis, sex\n a , melanoma ,male \n"b" , "nevus",female\n'),
        images,
        right,
    ),
    "empty rows of a spreadsheet": (file(ROWS + ",,\n\n,,\n"), images, right),
    "an index of pandas": (
        file(",image_id,diagnosis,sex\n0,a,melanoma,male\n1,b,nevus,female\n"),
        images,
        right,
    ),
    "a cell over two lines": (
        file('image_id,diagnosis,note\na,melanoma,"two\nlines"\nb,mole,\n'),
        images,
        [r"t\.csv line 4: diagnosis 'mole'"],
    ),
    "HAM10000.tab of the Dataverse": (
        lambda folder: (
            file("lesion_id\timage_id\tdx\nHAM_1\tISIC_1\tnv\n", "HAM10000_metadata.TAB")(
                folder
            ).parent
        ),
        lambda folder: read_source("ham10000", folder, missing="keep"),
        read_as(image_id=["ISIC_1"], diagnosis=["nevus"], lesion_id=["HAM_1"]),
    ),
    "commas and semicolons alike": (
        file("image_id;diagnosis,x\na;nevus,1\n"),
        images,
        [r"line 1: commas or semicolons", "sep="],
    ),
    "neither UTF-8 nor Windows-1252": (
        file("image_id,site\na,背部皮肤\n".encode("gbk")),
        images,
        [r"t\.csv line 2: bytes", "save .* as UTF-8"],
    ),
    "UTF-8 with one letter of Windows-1252": (
        file("image_id,site\na,Rücken\n".encode() + "b,épaule\n".encode("cp1252")),
        images,
        ["line 2", "UTF-8"],
    ),
}

NO_TABLES: dict[str, tuple[Any, ...]] = {
    "a login page": (
        file("<!DOCTYPE html>\n<html><body>Sign in</body></html>"),
        images,
        ["web page", "download"],
    ),
    "a pointer of Git LFS": (
        file(LFS),
        images,
        ["Git LFS pointer", "99,456 bytes", "git lfs pull"],
    ),
    "a pointer among folds": (
        file(LFS, "folds.csv"),
        schema.read_folds,
        [r"folds\.csv", "Git LFS pointer", "git lfs pull"],
    ),
    "a workbook": (
        file(b"PK\x03\x04\x14\0\x06\0[Content_Types].xml" + bytes(40)),
        images,
        ["Excel", "CSV UTF-8"],
    ),
    "an archive": (file(b"PK\x03\x04\x14\0\0\0train.csv"), images, ["zip archive", "unpack"]),
    "a gzip archive": (file(b"\x1f\x8b\x08\0\0"), images, ["gzip archive", "unpack"]),
    "a Parquet file": (file(b"PAR1\x15\x04\x15"), images, ["Parquet"]),
    "a picture": (file(b"\xff\xd8\xff\xe0\0\x10JFIF"), images, ["JPEG picture"]),
    "NUL bytes": (file(ROWS.encode() + bytes(8)), images, [r"t\.csv line 4 holds a NUL byte"]),
    "nothing": (file(""), images, [r"t\.csv is empty"]),
    "blank lines": (file("\n \n\n"), images, [r"t\.csv is empty"]),
    "a header alone": (file("image_id,diagnosis\n"), images, ["header alone", "cut off"]),
    "no file": (lambda folder: folder / "gone.csv", images, [r"no file .*gone\.csv"]),
}

SHIFTS: dict[str, tuple[Any, ...]] = {
    "a comma too many in every row": (
        file("image_id,target,preds\n" + "".join(f"i{k},x,{k % 2},0.3\n" for k in range(24))),
        images,
        [r"t\.csv line 2: 4 cells where the header has 3", "'preds'", "24 of 24 rows"],
    ),
    "a comma at the end of every row": (
        file("image_id,diagnosis\na,nevus,\nb,nevus,\n"),
        images,
        ["line 2: 3 cells", "remove the delimiter"],
    ),
    "a comma at the end, in folds": (
        file("image_id,fold\na,0,\nb,1,\n", "folds.csv"),
        schema.read_folds,
        [r"folds\.csv line 2: 3 cells"],
    ),
    "one row too long": (
        file(ROWS + "c,nevus, atypical,male\n"),
        images,
        ["line 4: 4 cells", "1 of 3 rows", "in quotes"],
    ),
    "one row too short": (
        file("image_id,diagnosis,sex\na,nevus\nb,nevus,male\n"),
        images,
        ["line 2: 2 cells where the header has 3", "'sex' is the first"],
    ),
    "cut off": (file(ROWS + "c,mel"), images, ["line 4: 2 cells", "is the file cut off"]),
    "decimal commas": (
        file("image_id,age\na,0,64\nb,1,25\n"),
        images,
        ["line 2", "0,64 one number"],
    ),
    "a name twice but for case": (
        file("image_id,diagnosis,Diagnosis \na,nevus,melanoma\n"),
        images,
        ["line 1: columns 2 and 3 are called 'diagnosis' and 'Diagnosis'", "rename or remove"],
    ),
    "an id twice": (file("image_id,image_id\na,b\n"), images, ["columns 1 and 2"]),
    "a column without a name": (
        file("image_id,\na,0.3\n"),
        images,
        ["column 2 of 2", "'0.3'", "line 2"],
    ),
    "the header once more": (file(ROWS + ROWS), images, ["line 4 is the header once more"]),
    "a quote that is not closed": (
        file('image_id,diagnosis\n"a,nevus\nb,nevus\n'),
        images,
        ["line 2: quotes are not in pairs"],
    ),
    "every line in quotes": (
        file('"image_id,diagnosis"\n"a,nevus"\n'),
        images,
        ["line 1: the whole line stands in quotes"],
    ),
    "2016 with a third column": (
        lambda folder: (
            file("ISIC_1,benign,x\n", "ISBI2016_ISIC_Part3_Training_GroundTruth.csv")(folder).parent
        ),
        lambda folder: read_source("isic2016", folder, missing="keep"),
        ["line 1: 3 cells where 2 are meant"],
    ),
    "labels of pseudo-labels, shifted": (
        file("image_id,teacher_fold,score,p_other,p_melanoma,kept\na,0,0.2,0.8,0.2,True,\n"),
        read_labels,
        ["line 2: 7 cells where the header has 6"],
    ),
}

UNSAID: dict[str, tuple[Any, ...]] = {
    f"{word} in 16 of 24 {column}": (
        cohort([word] * 16 + [f"P{k}" for k in range(8)], column),
        folds_of,
        eight_each,
    )
    for column, word in [
        ("patient_id", "NA"),
        ("patient_id", "nan"),
        ("patient_id", "N/A"),
        ("patient_id", "Unknown"),
        ("patient_id", " none "),
        ("patient_id", "-"),
        ("patient_id", "-1"),
        ("patient_id", "?"),
        ("patient_id", "#N/A"),
        ("patient_id", "not available"),
        ("lesion_id", "n.a."),
    ]
}
UNSAID |= {
    "an own table with words for missing": (
        file(
            f"{','.join(schema.IMAGE_COLUMNS)}\na,NA,?,,unknown,unknown,n/a,,-,csv\n", "images.csv"
        ),
        schema.read_images,
        read_as(patient_id=[None], lesion_id=[None], target=["unknown"], sex=[None], site=[None]),
    ),
    "the words are told": (
        cohort(["NA"] * 16 + [f"P{k}" for k in range(8)]),
        images,
        told("16 of 24 patient_id say NA: unknown"),
    ),
    "a patient with a blank behind": (
        cohort(["1", "1 "] * 6 + ["2", " 2"] * 6),
        images,
        patients(P1=12, P2=12),
    ),
    "patients as decimals": (
        cohort(["12.0", "12", ""] * 8),
        images,
        patients(P12=16),
    ),
    "patients rounded by a spreadsheet": (
        cohort(["1.23E+12"] * 24),
        images,
        ["patient_id '1.23E\\+12'", "as text"],
    ),
    "a target of NA": (
        targets("0", "1", "NA"),
        images,
        read_as(target=["other", "melanoma", None]),
    ),
    "targets with blanks": (
        targets(" 0", "0", "1 "),
        images,
        read_as(target=["other", "other", "melanoma"]),
    ),
    "a target of -1 beside 0 and 1": (
        targets("0", "1", "-1"),
        images,
        told("1 of 3 target say -1: unknown"),
    ),
    "targets of -1 and 1": (targets("-1", "1"), images, ["target says -1", "Write 0 and 1"]),
    "a target of none beside classes": (
        targets("nevus", "melanoma", "none"),
        images,
        ["line 4: target is 'none'", "Leave the cell empty", "no_lesion"],
    ),
    "a target of unknown beside classes": (
        targets("nevus", "Unknown", "melanoma"),
        images,
        ["line 3: target is 'Unknown'", "diagnosis=target"],
    ),
    "an image called NA": (file("image_id\na\nNA\n"), images, ["line 3: the image id is 'NA'"]),
    "an image without a name": (
        file("image_id,sex\na,male\n,male\n"),
        images,
        ["line 3: the image id is empty"],
    ),
    "words of people": (
        file("image_id,sex,age,site\na,N/A,-1,?\nb,-,unk,none\n"),
        images,
        read_as(sex=[None, None], age=[None, None], site=[None, None]),
    ),
    "a fold of NA": (
        lambda folder: (
            cohort(["P"] * 24)(folder),
            file("image_id,fold\ni00,NA\n", "f.csv")(folder),
        )[1],
        lambda path: make_folds(images(path.parent / "t.csv"), n_folds=3, seed=0, fold_file=path),
        [r"f\.csv: no fold for i00"],
    ),
}

KNOWN = pd.DataFrame(
    {
        "image_id": [f"i{k:03}" for k in range(600)],
        "target": ["nevus", "melanoma"] * 300,
    }
)


def measured(odd: str) -> Callable[[Path], Path]:
    """Return a maker of 599 thicknesses and one odd cell, in line 300."""
    cells = [f"{k / 7:.3f}" for k in range(600)]
    cells[298] = odd
    rows = [f'{i},"{c}"' for i, c in zip(KNOWN["image_id"], cells, strict=True)]
    return file("\n".join(["image_id,thickness", *rows, ""]))


def features(path: Path) -> pd.DataFrame:
    return read_features(path, KNOWN)


def one_missing(table: pd.DataFrame) -> None:
    """Hold 599 numbers and one missing cell, which is told."""
    assert table["thickness"].dtype == np.float64
    assert table["thickness"].isna().sum() == 1
    assert "1 of 600 thickness say -: unknown" in table.attrs["notes"]["thickness"]


ODD_CELLS: dict[str, tuple[Any, ...]] = {
    "a decimal comma": (
        measured("0,64"),
        features,
        [r"t\.csv line 300: thickness is '0,64'", r"write 0\.64"],
    ),
    "a formula that failed": (
        measured("#DIV/0!"),
        features,
        ["line 300: thickness is '#DIV/0!'", "a formula failed", "empty"],
    ),
    "a bound": (measured("<0.1"), features, ["line 300: thickness is '<0.1'"]),
    "a unit": (measured("0.64 mm"), features, ["line 300: thickness is '0.64 mm'"]),
    "infinity": (measured("inf"), features, ["line 300: thickness is 'inf'"]),
    "a dash": (measured("-"), features, one_missing),
    "an age with a comma": (
        file("image_id;age\na;45\nb;0,64\n"),
        images,
        [r"line 3: age is '0,64'", r"0\.64"],
    ),
    "an age of a failed formula": (
        file("image_id,age\na,45\nb,#DIV/0!\n"),
        images,
        ["line 3: age is '#DIV/0!'"],
    ),
    "a width of a dash": (
        file("image_id,width\na,640\nb,-\n"),
        images,
        told("1 of 2 width say -: unknown"),
    ),
    "a fold that is a word": (
        file("image_id;fold\na;0\nb;one\n", "folds.csv"),
        schema.read_folds,
        ["line 3: fold is 'one'"],
    ),
    "a probability with a comma": (
        file(
            "image_id;fold;truth;p_other;p_melanoma;run;views;kind\na;0;other;0,9;0,1;r;none;score\n"
        ),
        schema.read_predictions,
        ["line 2: p_other is '0,9'", r"write 0\.9"],
    ),
    "folds saved by a spreadsheet": (
        file("\ufeffimage_id;fold\r\na;0\r\nb;-1\r\n", "folds.csv"),
        schema.read_folds,
        read_as(fold=[0, -1]),
    ),
}

CASES = DIALECTS | NO_TABLES | SHIFTS | UNSAID | ODD_CELLS


@pytest.mark.parametrize("name", CASES)
def test_odd_tables(name: str, try_odd_file: Callable[..., None]) -> None:
    make, read, outcome = CASES[name]
    try_odd_file(make, read, outcome)


def test_the_index_holds_the_lines_of_the_file(tmp_path: Path) -> None:
    path = file('sep=,\n\na,b\n"x\ny",1\n\n,\nz,2\n')(tmp_path)
    assert read_delimited(path).index.tolist() == [4, 8]
