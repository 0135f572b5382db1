"""Published files as they come today, and test sets of one's own: what must be read of each."""

import os
import unicodedata
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from PIL import Image

from melnb.data.sources.catalogue import describe_source, read_source
from melnb.data.sources.vocabulary import UNKNOWN

Case = tuple[Callable[[Path], Any], Callable[[Any], Any], Any]
ISIC_2018 = "image,MEL,NV,BCC,AKIEC,BKL,DF,VASC"
ISIC_2019 = "image,MEL,NV,BCC,AK,BKL,DF,VASC,SCC,UNK"
ARCHIVE = "isic_id,age_approx,anatom_site_general,diagnosis_1,diagnosis_2,diagnosis_3,diagnosis_4"
MELANOCYTIC = "Malignant melanocytic proliferations (Melanoma)"
ARCHIVE_ROWS = (
    f"ISIC_1,45,lower extremity,Malignant,{MELANOCYTIC},Melanoma Invasive,",
    'ISIC_2,,,Malignant,Malignant epidermal proliferations,"Squamous cell carcinoma, Invasive",',
    'ISIC_3,,,Benign,Benign melanocytic proliferations,Nevus,"Nevus, Spitz"',
    "ISIC_4,,,Indeterminate,Indeterminate epidermal proliferations,Solar or actinic keratosis,",
    "ISIC_5,,,Benign,Cysts,Milium,",
)


def write(folder: Path, name: str, *lines: str) -> None:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join((*lines, "")), encoding="utf-8")


def draw(folder: Path, *names: str) -> None:
    """Make pictures that differ."""
    for k, name in enumerate(names):
        file = folder / (name if "." in name.rpartition("/")[2] else f"{name}.jpg")
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (k % 250, 9, 9)).save(file)


def files(pictures: tuple[str, ...], /, **tables: tuple[str, ...]) -> Callable[[Path], Path]:
    """Return a maker of pictures and tables; `__` stands for `/` in a table's name."""

    def make(folder: Path) -> Path:
        draw(folder, *pictures)
        for name, lines in tables.items():
            write(folder, f"{name.replace('__', '/')}.csv", *lines)
        return folder

    return make


def ph2(*lines: str, book: bool = False) -> Callable[[Path], Path]:
    """Return a maker of two of PH2's images, of its text and, if wanted, its workbook."""
    rows = (("Image Name", "", "Common Nevus", "", "Melanoma"), ("IMD003", "", "X"),
            ("IMD058", "", "", "", "X"))  # fmt: skip
    space = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'

    def make(folder: Path) -> Path:
        draw(folder, *(f"{i}/{i}_Dermoscopic_Image/{i}.bmp" for i in ("IMD003", "IMD058")))
        (folder / "PH2_dataset.txt").write_text("\n".join(lines), encoding="utf-8")
        if book:
            cells = "".join(
                f'<row r="{n}">'
                + "".join(
                    f'<c r="{c}{n}"><v>{v}</v></c>' for c, v in zip("ABCDE", row, strict=False)
                )
                + "</row>"
                for n, row in enumerate(rows, 1)
            )
            with zipfile.ZipFile(folder / "PH2_dataset.xlsx", "w") as workbook:
                workbook.writestr("xl/sharedStrings.xml", f"<sst {space}/>")
                sheet = f"<worksheet {space}><sheetData>{cells}</sheetData></worksheet>"
                workbook.writestr("xl/worksheets/sheet1.xml", sheet)
        return folder

    return make


def reads(source: str, **options: Any) -> Callable[[Path], pd.DataFrame]:
    """Return a reader of a source."""
    return lambda folder: read_source(source, folder, **options)


def has(**columns: list[object]) -> Callable[[pd.DataFrame], None]:
    """Return a check of columns; None is missing."""

    def check(images: pd.DataFrame) -> None:
        for name, values in columns.items():
            found = images[name].astype(object)
            assert found.where(found.notna(), None).tolist() == values, name

    return check


def is_(wanted: object) -> Callable[[object], None]:
    def check(found: object) -> None:
        assert found == wanted

    return check


def ids(n: int) -> tuple[str, ...]:
    return tuple(f"ISIC_{k}" for k in range(1, n + 1))


def paths_of_windows(folder: Path) -> Path:
    """Write a table whose paths to pictures and masks have the other slash."""
    for name in ("train/a.png", "masks/a.png"):
        (folder / name).parent.mkdir()
        Image.new("RGB", (8, 8)).save(folder / name)
    (folder / "list.csv").write_text("path,mask_path,diagnosis\ntrain\\a.png,masks\\a.png,nevus\n")
    return folder


def finds_both(images: pd.DataFrame) -> None:
    assert images["image_id"].tolist() == ["a"]
    for column in ("path", "mask_path"):
        assert Path(images[column].iloc[0]).is_file()


CASES: dict[str, Case] = {
    "paths as Windows writes them": (paths_of_windows, reads("csv"), finds_both),
    "the archive's levels of diagnosis": (
        files(ids(5), metadata=(ARCHIVE, *ARCHIVE_ROWS)),
        reads("csv"),
        has(
            diagnosis=[
                "melanoma", "squamous_cell_carcinoma", "nevus", "actinic_keratosis", "unknown",
            ],
            target=["malignant", "malignant", "benign", "benign", "benign"],
            age=[45.0, None, None, None, None], site=["lower extremity", *[None] * 4],
        ),
    ),
    "the archive's levels, melanoma looked for": (
        files(ids(5), metadata=(ARCHIVE, *ARCHIVE_ROWS)),
        reads("csv", task="melanoma"),
        has(target=["melanoma", "other", "other", "other", "other"]),
    ),
    "the archive's levels, diagnoses learnt": (
        files(ids(5), metadata=(ARCHIVE, *ARCHIVE_ROWS)),
        reads("csv", task="diagnosis"),
        has(target=["melanoma", "squamous_cell_carcinoma", "nevus", "actinic_keratosis", UNKNOWN]),
    ),
    "which of the archive's images are indeterminate is told": (
        files(ids(5), metadata=(ARCHIVE, *ARCHIVE_ROWS)),
        lambda folder: read_source("csv", folder).attrs["indeterminate"],
        is_(("ISIC_4",)),
    ),
    "one level alone is given": (
        files(ids(3), metadata=("isic_id,diagnosis_3", "ISIC_1,Melanoma in situ", "ISIC_2,Milium",
                                "ISIC_3,Nevus")),
        reads("csv", columns={"diagnosis": "diagnosis_3"}),
        has(diagnosis=["melanoma", "unknown", "nevus"], target=["melanoma", None, "nevus"]),
    ),
    "a column diagnosis in the archive's words": (
        files(ids(2), metadata=("isic_id,diagnosis", "ISIC_1,Melanoma Invasive",
                                'ISIC_2,"Squamous cell carcinoma, Invasive"')),
        reads("csv"),
        has(target=["melanoma", "squamous_cell_carcinoma"]),
    ),
    "a diagnosis that no ontology has": (
        files(ids(1), metadata=("isic_id,diagnosis", "ISIC_1,Milium")),
        reads("csv"),
        ["metadata.csv line 2", "'Milium' is outside the ontology", "known"],
    ),
    "two diagnoses in one cell": (
        files(ids(1), metadata=("isic_id,diagnosis", 'ISIC_1,"nevus, melanoma"')),
        reads("csv"),
        ["metadata.csv line 2", "'nevus, melanoma' is outside the ontology"],
    ),
    "benign_malignant with the indeterminate": (
        files(ids(5), metadata=("isic_id,benign_malignant", "ISIC_1,benign", "ISIC_2,malignant",
                                "ISIC_3,indeterminate", "ISIC_4,indeterminate/malignant",
                                "ISIC_5,indeterminate/benign")),
        reads("csv"),
        has(target=["benign", "malignant", "benign", "malignant", "benign"]),
    ),
    "benign_malignant says something else": (
        files(ids(1), metadata=("isic_id,benign_malignant", "ISIC_1,premalignant")),
        reads("csv"),
        ["metadata.csv line 2", "'premalignant' is not benign, malignant or indeterminate"],
    ),
    "ISIC 2024 from the challenge's own site": (
        files(
            ("ISIC_2024_Training_Input/ISIC_1", "ISIC_2024_Training_Input/ISIC_2"),
            ISIC_2024_Training_GroundTruth=("isic_id,malignant", "ISIC_1,0.0", "ISIC_2,1.0"),
            ISIC_2024_Training_Supplement=(
                "isic_id,lesion_id,iddx_1,iddx_2,iddx_3", "ISIC_2,L2,Malignant,x,Melanoma in situ",
                "ISIC_1,,Benign,,",
            ),
            ISIC_2024_Training_Input__metadata=(
                "isic_id,patient_id,sex,age_approx,tbp_lv_x", "ISIC_1,IP_1,male,60,1",
                "ISIC_2,IP_2,,,1",
            ),
        ),
        reads("isic2024"),
        has(target=["benign", "malignant"], diagnosis=["unknown", "melanoma"],
            patient_id=["IP_1", "IP_2"], lesion_id=[None, "L2"], age=[60.0, None]),
    ),
    "ISIC 2024, the permissive part, labels alone": (
        files(
            ("in/ISIC_2024_Permissive_Training_Input/ISIC_1",),
            ISIC_2024_Permissive_Training_GroundTruth=("isic_id,malignant", "ISIC_1,0"),
        ),
        reads("isic2024"),
        has(target=["benign"], diagnosis=[None], patient_id=[None]),
    ),
    "ISIC 2024 without any table": (
        files(("ISIC_2024_Training_Input/ISIC_1",)),
        reads("isic2024"),
        ["no train-metadata.csv or ISIC_2024.*GroundTruth.csv", "get it from Kaggle"],
    ),
    "ISIC 2019's metadata without the mark of smaller copies": (
        files(
            ("ISIC_2019_Training_Input/ISIC_1_downsampled", "ISIC_2019_Training_Input/ISIC_2"),
            ISIC_2019_Training_GroundTruth=(
                ISIC_2019, "ISIC_1_downsampled,1,0,0,0,0,0,0,0,0", "ISIC_2,0,1,0,0,0,0,0,0,0",
            ),
            ISIC_2019_Training_Metadata=(
                "image,age_approx,lesion_id", "ISIC_2,50,BCN_2", "ISIC_1,40,BCN_1",
            ),
        ),
        reads("isic2019"),
        has(image_id=["ISIC_1_downsampled", "ISIC_2"], lesion_id=["BCN_1", "BCN_2"],
            age=[40.0, 50.0]),
    ),
    "ISIC 2019's labels without the mark that its metadata has": (
        files(
            ("ISIC_2019_Training_Input/ISIC_1",),
            ISIC_2019_Training_GroundTruth=(ISIC_2019, "ISIC_1,1,0,0,0,0,0,0,0,0"),
            ISIC_2019_Training_Metadata=("image,lesion_id", "ISIC_1_downsampled,BCN_1"),
        ),
        reads("isic2019"),
        has(lesion_id=["BCN_1"]),
    ),
    "one-hot labels as ISIC 2018 gives them": (
        files(ids(3), truth=(ISIC_2018, "ISIC_1,1,0,0,0,0,0,0",
                             "ISIC_2,0.0,0.0,0.0,1.0,0.0,0.0,0.0", "ISIC_3,0,1,0,0,0,0,0")),
        reads("csv"),
        has(target=["melanoma", "actinic_keratosis", "nevus"],
            diagnosis=["melanoma", "actinic_keratosis", "nevus"]),
    ),
    "one-hot labels as ISIC 2019 gives them, with the scoring's weights": (
        files(ids(2), truth=(f"{ISIC_2019},score_weight,validation_weight",
                             "ISIC_1,0,0,0,0,0,0,0,1,0,1,0", "ISIC_2,0,0,0,0,0,0,0,0,1,0.5,0")),
        reads("csv"),
        has(target=["squamous_cell_carcinoma", "unknown"]),
    ),
    "one-hot labels by the names of the classes": (
        files(ids(2), truth=("image_name,benign,malignant", "ISIC_1,0,1", "ISIC_2,1,0")),
        reads("csv"),
        has(target=["malignant", "benign"]),
    ),
    "one-hot labels of which some rows are empty": (
        files(ids(2), truth=("image,MEL,NV", "ISIC_1,0,1", "ISIC_2,,")),
        reads("csv"),
        has(target=["nevus", None]),
    ),
    "one-hot labels of which a row has two": (
        files(ids(2), truth=("image,MEL,NV", "ISIC_1,0,1", "ISIC_2,1,1")),
        reads("csv"),
        [r"truth.csv line 3: ISIC_2 is labelled \['MEL', 'NV'\]", "one label is needed"],
    ),
    "one-hot labels of which a row has none": (
        files(ids(2), truth=("image,melanoma,seborrheic_keratosis", "ISIC_1,0,1", "ISIC_2,0,0")),
        reads("csv"),
        ["truth.csv line 3: ISIC_2 is labelled nothing", "one label is needed"],
    ),
    "predictions in the place of one-hot labels": (
        files(ids(2), truth=("image,MEL,NV", "ISIC_1,0.2,0.8", "ISIC_2,0.6,0.4")),
        reads("csv"),
        ["truth.csv line 2: MEL is '0.2', neither 0 nor 1"],
    ),
    "two columns of one class": (
        files(ids(1), truth=("image,MEL,melanoma,NV", "ISIC_1,1,1,0")),
        reads("csv"),
        ["truth.csv: columns 'MEL' and 'melanoma' are both melanoma"],
    ),
    "pictures and no table at all": (
        files(("a.jpg", "b.png")),
        reads("folders", task="melanoma"),
        has(image_id=["a", "b"], target=[None, None], split=["test", "test"]),
    ),
    "a table without labels": (
        files(ids(2), mine=("image,age", "ISIC_2,50", "ISIC_1,")),
        reads("csv", task="diagnosis"),
        has(target=[None, None], split=["test", "test"], age=[50.0, None]),
    ),
    "a labelled table that is all held out": (
        files(ids(2), mine=("image,MEL,NV", "ISIC_1,1,0", "ISIC_2,0,1")),
        reads("csv", held_out=True),
        has(target=["melanoma", "nevus"], split=["test", "test"]),
    ),
    "ISIC 2016's test part alone": (
        files(("ISBI2016_ISIC_Part3_Test_Data/ISIC_1",),
              ISBI2016_ISIC_Part3_Test_GroundTruth=("ISIC_1,0.0",)),
        reads("isic2016"),
        has(target=["other"], split=["test"]),
    ),
    "ISIC 2017's test part alone": (
        files(("ISIC-2017_Test_v2_Data/ISIC_1",),
              **{"ISIC-2017_Test_v2_Part3_GroundTruth":
                 ("image_id,melanoma,seborrheic_keratosis", "ISIC_1,0.0,1.0")}),
        reads("isic2017"),
        has(target=["benign_keratosis"], split=["test"]),
    ),
    "ISIC 2018's test part alone, Task 3": (
        files(("ISIC2018_Task3_Test_Input/ISIC_1",),
              ISIC2018_Task3_Test_GroundTruth__ISIC2018_Task3_Test_GroundTruth=(
                  ISIC_2018, "ISIC_1,0,0,1,0,0,0,0")),
        reads("isic2018"),
        has(target=["basal_cell_carcinoma"], split=["test"]),
    ),
    "ISIC 2018's test part alone, Task 3, before its labels came": (
        files(("ISIC2018_Task3_Test_Input/ISIC_1",)),
        reads("isic2018", task="melanoma"),
        has(image_id=["ISIC_1"], target=[None], split=["test"]),
    ),
    "the folder of ISIC 2018's test pictures itself": (
        lambda folder: files(("ISIC2018_Task3_Test_Input/ISIC_1",))(folder)
        / "ISIC2018_Task3_Test_Input",
        reads("isic2018"),
        has(image_id=["ISIC_1"], split=["test"]),
    ),
    "ISIC 2018's test part alone, Task 1": (
        files(("ISIC2018_Task1-2_Test_Input/ISIC_1",
               "ISIC2018_Task1_Test_GroundTruth/ISIC_1_segmentation.png")),
        reads("isic2018_task1", task="mask"),
        has(target=["lesion"], split=["test"]),
    ),
    "ISIC 2018's test part alone, Task 1, without masks": (
        files(("ISIC2018_Task1-2_Test_Input/ISIC_1",)),
        reads("isic2018_task1"),
        has(target=[None], split=["test"]),
    ),
    "ISIC 2019's test part alone": (
        files(("ISIC_2019_Test_Input/ISIC_1",),
              ISIC_2019_Test_Metadata=("image,age_approx,sex", "ISIC_1,60,male")),
        reads("isic2019"),
        has(target=[None], split=["test"], age=[60.0]),
    ),
    "SIIM-ISIC 2020's test part alone": (
        files(("jpeg/test/ISIC_1",), test=("image_name,patient_id,sex", "ISIC_1,IP_1,male")),
        reads("siim2020"),
        has(target=[None], split=["test"], patient_id=["IP_1"]),
    ),
    "SIIM-ISIC 2020's test pictures without a table": (
        files(("ISIC_2020_Test_Input/ISIC_1",)),
        reads("siim2020"),
        has(target=[None], split=["test"]),
    ),
    "SIIM-ISIC 2020's training pictures without their table": (
        files(("jpeg/train/ISIC_1",), test=("image_name,patient_id", "ISIC_9,IP_1")),
        reads("siim2020"),
        ["no train.csv or", "get it from"],
    ),
    "ISIC 2024's test part alone": (
        files(("ISIC_2024_Test_Input/ISIC_1",),
              ISIC_2024_Test_Input__metadata=("isic_id,patient_id", "ISIC_1,IP_1")),
        reads("isic2024"),
        has(target=[None], split=["test"], patient_id=["IP_1"]),
    ),
    "ISIC 2019's training pictures without their labels": (
        files(("ISIC_2019_Training_Input/ISIC_1", "ISIC_2019_Test_Input/ISIC_2")),
        reads("isic2019"),
        ["no ISIC_2019_Training_GroundTruth.csv", "get it from challenge.isic-archive.com"],
    ),
    "PH2's workbook beside a text that is another one": (
        ph2("PH2 is a database of dermoscopic images.", book=True),
        reads("ph2"),
        has(image_id=["IMD003", "IMD058"], target=["nevus", "melanoma"]),
    ),
    "PH2's text table beside its workbook": (
        ph2(" || Name || Histological Diagnosis || Clinical Diagnosis || Asymmetry ||",
            "  || IMD003 ||  || 0 || 0 | AT ||", "  || IMD058 || Melanoma || 2 || 1 | T ||",
            book=True),
        reads("ph2"),
        has(image_id=["IMD003", "IMD058"], target=["nevus", "melanoma"]),
    ),
    "PH2's text table, another one, alone": (
        ph2("PH2 is a database of dermoscopic images."),
        reads("ph2"),
        ["PH2_dataset.txt: no line begins with"],
    ),
    "a folder of pictures read as a table's": (
        files(ids(1)),
        reads("csv"),
        [r"no \*.csv", "source: folders"],
    ),
}  # fmt: skip


def own(*lines: str, pictures: tuple[str, ...] = ("a", "b")) -> Callable[[Path], Path]:
    """Return a maker of pictures and a table of one's own."""
    return files(pictures, t=lines)


def says(*lines: str, **options: Any) -> tuple[Callable[[Any], Any], Callable[[Any], None]]:
    """Return a reader of what a run says of a source, and a check of it."""
    source = options.pop("source", "csv")

    def check(said: str) -> None:
        assert all(line in said for line in lines), said

    return lambda folder: describe_source(read_source(source, folder, **options)), check


MELANOMA_AND_OTHER = has(target=["melanoma", "other"])
MELANOMA_AND_NEVUS = has(target=["melanoma", "nevus"], diagnosis=["melanoma", "nevus"])
SETTLE = r"columns=\{diagnosis: %s\}.*columns=\{diagnosis: ''\}"
NFC, NFD = "M\u00fcller", unicodedata.normalize("NFD", "M\u00fcller")

LABELS: dict[str, Case] = {
    "diagnoses in capitals": (
        own("image_id,diagnosis", "a,MELANOMA", "b,Nevus"), reads("csv"), MELANOMA_AND_NEVUS,
    ),
    "diagnoses with hyphens, in the plural": (
        own("image_id,diagnosis", "a,Basal-Cell_Carcinoma", "b,Nevi"), reads("csv"),
        has(diagnosis=["basal_cell_carcinoma", "nevus"]),
    ),
    "targets of True and False": (
        own("image_id,target", "a,True", "b,False"), reads("csv"), MELANOMA_AND_OTHER,
    ),
    "targets of yes and no": (
        own("image_id,target", "a,Yes", "b,NO"), reads("csv", task="melanoma"), MELANOMA_AND_OTHER,
    ),
    "fractions as targets": (
        own("image_id,target", "a,0.7", "b,0.2"), reads("csv"),
        ["t.csv line 2: target is '0.7'", "predictions are no labels"],
    ),
    "a column of melanoma alone": (
        own("image_id,melanoma", "a,1", "b,0"), reads("csv"), MELANOMA_AND_OTHER,
    ),
    "a column of malignant alone, a row of it empty": (
        own("image_id,malignant", "a,1.0", "b,"), reads("csv"), has(target=["malignant", None]),
    ),
    "a column of one other class alone": (
        own("image_id,nevus", "a,1", "b,0"), reads("csv"),
        ["no column target or diagnosis, but 'nevus' holds 1, 0", r"columns=\{target: nevus\}"],
    ),
    "the column dx": (own("image_id,dx", "a,mel", "b,nv"), reads("csv"), MELANOMA_AND_NEVUS),
    "diagnoses in a column label": (
        own("image_id,label", "a,mel", "b,nv"), reads("csv"),
        ["t.csv: no column target or diagnosis, but 'label' holds mel, nv", SETTLE % "label"],
    ),
    "diagnoses in a column of any name, some missing": (
        own("image_id,befund", "a,mel", "b,NA"), reads("csv"), [SETTLE % "befund"],
    ),
    "0 and 1 in a column class": (
        own("image_id,class", "a,1", "b,0"), reads("csv"), [r"columns=\{target: class\}"],
    ),
    "a column label that is settled": (
        own("image_id,label", "a,mel", "b,nv"), reads("csv", columns={"diagnosis": "label"}),
        MELANOMA_AND_NEVUS,
    ),
    "a column label that is none": (
        own("image_id,label", "a,mel", "b,nv"), reads("csv", columns={"diagnosis": ""}),
        has(target=[None, None], split=["test", "test"]),
    ),
    "a class in the column diagnosis": (
        own("image_id,diagnosis", "a,malignant", "b,benign"), reads("csv"),
        ["line 2: diagnosis 'malignant' is a class", r"columns=\{target: diagnosis\}"],
    ),
    "a column that is not there": (
        own("image_id,diagnosis", "a,mel", "b,nv"), reads("csv", columns={"diagnosis": "dignosis"}),
        ["no column 'dignosis'", "did you mean 'diagnosis'"],
    ),
    "theirs: ours instead of ours: theirs": (
        own("image_id,dx", "a,mel", "b,nv"), reads("csv", columns={"dx": "diagnosis"}),
        ["columns: 'dx' is no column of the images table", "write ours: theirs"],
    ),
    "one-hot labels of True and False": (
        own("image,MEL,NV", "a,True,False", "b,FALSE,TRUE"), reads("csv"), MELANOMA_AND_NEVUS,
    ),
    "one-hot labels of which a cell is empty": (
        own("image,MEL,NV", "a,1,0", "b,,1"), reads("csv"), ["line 3: MEL is empty", "0 or 1"],
    ),
    "one-hot labels with decimal commas": (
        files(("a",), t=("\ufeffimage;MEL;NV", "a;1,0;0,0")), reads("csv"),
        ["line 2: MEL is '1,0'", "write one of them"],
    ),
    "one-hot labels against a diagnosis": (
        own("image,MEL,NV,diagnosis", "a,1,0,nevus", "b,0,1,nevus"), reads("csv"),
        ["line 2: a is nevus by its target and melanoma by its class marked", "correct one"],
    ),
    "a target against a diagnosis": (
        own("image,target,diagnosis", "a,1,melanoma", "b,0,melanoma"), reads("csv"),
        ["line 3: b is other by its target and melanoma by its diagnosis"],
    ),
    "a target against a diagnosis that does not count": (
        own("image,target,diagnosis", "a,1,melanoma", "b,0,melanoma"),
        reads("csv", columns={"diagnosis": ""}), MELANOMA_AND_OTHER,
    ),
    "nobody of a test set has a melanoma": (
        own("image_id,diagnosis", "a,nevus", "b,bcc"),
        reads("csv", task="melanoma", held_out=True), has(target=["other", "other"]),
    ),
    "nobody to learn from has a melanoma": (
        own("image_id,diagnosis", "a,nevus", "b,bcc"), reads("csv", task="melanoma"),
        ["none of 2 labelled images is named melanoma", "column diagnosis"],
    ),
    "splits in other words": (
        own("image,dx,split", "a,mel,Training", "b,nv,val"), reads("csv"),
        has(split=["train", "test"]),
    ),
    "people in other words": (
        own("image,sex,dx", "a,Woman,mel", "b,man,nv"), reads("csv"), has(sex=["female", "male"]),
    ),
    "people in another language": (
        own("image,sex,dx", "a,weiblich,mel", "b,m,nv"), reads("csv"),
        ["line 2: sex 'weiblich'", "leave the cell empty"],
    ),
    "an age of 85+": (
        own("image,age,dx", "a,85+,mel", "b,40,nv"), reads("csv"), [r"line 2: age is '85\+'"],
    ),
    "a date as an age": (
        own("image,age,dx", "a,1950-02-01,mel", "b,40,nv"), reads("csv"), ["age is '1950-02-01'"],
    ),
    "dates in a column of their own": (
        own("image,date,dx", "a,2020-01-02,mel", "b,01/02/2020,nv"), reads("csv"),
        has(target=["melanoma", "nevus"], date=["2020-01-02", "01/02/2020"]),
    ),
}  # fmt: skip

NAMES: dict[str, Case] = {
    "ids that end in a suffix, of pictures of another": (
        own("image,dx", "a.jpg,mel", "b.JPG,nv", pictures=("a.png", "b.png")), reads("csv"),
        has(image_id=["a", "b"]),
    ),
    "a column filename": (
        own("filename,dx", "a.jpg,mel", "b.jpg,nv"), reads("csv"), has(image_id=["a", "b"]),
    ),
    "a column image_path": (
        own("image_path,dx", "p/1.jpg,mel", "p/2.jpg,nv", pictures=("p/1", "p/2")), reads("csv"),
        has(image_id=["1", "2"]),
    ),
    "no header": (
        own("a,mel", "b,nv"), reads("csv"), ["no column 'image_id'", "columns=", "write a header"],
    ),
    "pictures with two suffixes": (
        own("image,dx", "a,mel", pictures=("a.jpg.jpg",)), reads("csv"),
        [r"1 of them lie there .*a\.jpg\.jpg"],
    ),
    "ids that lost their zeros": (
        own("image,dx", "12,mel", pictures=("0012",)), reads("csv"),
        [r"1 of them lie there .*0012\.jpg", "named as the table does"],
    ),
    "ids that differ by zeros alone": (
        own("image,dx", "1,mel", "01,nv", pictures=("1", "01")), reads("csv"),
        has(image_id=["1", "01"]),
    ),
    "ids with a blank or an umlaut": (
        own("image,dx", "my pic 1,mel", f"{NFC},nv", pictures=("my pic 1", NFC)),
        *says("2 image ids are no safe names of files: 'my pic 1' is my_pic_1 here"),
    ),
    "an umlaut of two characters on the disk": (
        own("image,dx", f"{NFC},mel", pictures=(NFD,)), reads("csv"), has(image_id=["Muller"]),
    ),
    "a path with an umlaut of two characters on the disk": (
        own("path,dx", f"{NFC}/a.jpg,mel", pictures=(f"{NFD}/a",)), reads("csv"),
        has(image_id=["a"]),
    ),
    "a sign that nobody sees": (
        own("image,dx", "\u200ba,mel", pictures=("a",)), reads("csv"), has(image_id=["a"]),
    ),
    "ids that are one without blanks": (
        own("image,dx", "a b,mel", "a_b,nv", pictures=("a b", "a_b")), reads("csv"),
        ["t.csv lines 2 and 3: 'a b' and 'a_b' are both a_b", "write one of them otherwise"],
    ),
    "quotes, braces and a number sign in paths": (
        own("image_id,path,dx", "1,a'b.jpg,mel", "2,{c}#d.jpg,nv", pictures=("a'b", "{c}#d")),
        reads("csv"), has(image_id=["1", "2"]),
    ),
    "a row twice": (
        own("image,dx", "a,mel", "a,mel"), reads("csv"), ["'a' stands in lines 2 and 3", "one row"],
    ),
    "a row twice that contradicts itself, once with a suffix": (
        own("image,dx", "a,mel", "a.jpg,nv"), reads("csv"), ["'a' stands in lines 2 and 3"],
    ),
    "one picture under two ids": (
        own("image_id,path,dx", "1,a.jpg,mel", "2,./a.jpg,nv"), reads("csv"),
        ["lines 2 and 3: 1 and 2 have one path", "one row per picture"],
    ),
    "paths of another computer": (
        own("path,dx", "/kaggle/input/a.jpg,mel", pictures=("a",)), reads("csv"),
        [r"1 of them lie there .*/a\.jpg"],
    ),
    "a link that leads nowhere": (
        lambda f: (f / "a.jpg").symlink_to(f / "x.jpg") or own("image,dx", "a,mel", "b,nv",
                                                              pictures=("b",))(f),
        reads("csv"), [r"a\.jpg is a link that leads nowhere: mend it"],
    ),
    "a link that leads to itself": (
        lambda f: (f / "a.jpg").symlink_to(f / "a.jpg") or own("image,dx", "a,mel", "b,nv",
                                                              pictures=("b",))(f),
        reads("csv"), [r"a\.jpg is a link that leads nowhere"],
    ),
    "a workbook alone": (
        lambda f: (f / "t.xlsx").write_bytes(b"PK") and f, reads("csv"), [r"t\.xlsx: save it"],
    ),
    "a zip archive in the place of a folder": (
        lambda f: (f / "t.zip").write_bytes(b"PK\3\4") and f / "t.zip", reads("folders"),
        [r"t\.zip is a zip archive: unpack it"],
    ),
    "a challenge's pictures still packed": (
        lambda f: (f / "ISIC2018_Task3_Test_Input.zip").write_bytes(b"PK\3\4") and files(
            (), ISIC2018_Task3_Test_GroundTruth=(ISIC_2018, "ISIC_1,1,0,0,0,0,0,0"))(f),
        reads("isic2018"), [r"unpack .*Test_Input\.zip"],
    ),
    "a challenge's table downloaded twice": (
        files(("ISIC2018_Task3_Test_Input/ISIC_1",), **{
            "ISIC2018_Task3_Test_GroundTruth (1)": (ISIC_2018, "ISIC_1,1,0,0,0,0,0,0")}),
        reads("isic2018"), has(target=["melanoma"]),
    ),
    "ISIC 2016's test part of Part 3B": (
        files(("ISBI2016_ISIC_Part3B_Test_Data/ISIC_1",),
              ISBI2016_ISIC_Part3B_Test_GroundTruth=("ISIC_1,1.0",)),
        reads("isic2016"), has(target=["melanoma"], split=["test"]),
    ),
    "fewer rows than there are": (
        own("image,dx", "a,mel", "b,nv", "c,nv", pictures=("a", "b", "c")),
        *says("2 of 3 images, drawn by the seed: rows=0 takes all", rows=2),
    ),
}  # fmt: skip

CLASS_FOLDERS: dict[str, Case] = {
    "blanks around and in class folders": (
        files(("Basal cell carcinoma/a", " melanoma /b")), reads("folders"),
        has(target=["melanoma", "basal_cell_carcinoma"]),
    ),
    "one class in three spellings": (
        files(("Mel/a", "MELANOMA/b", "melanoma/c", "nv/d")), reads("folders"),
        has(target=["melanoma", "melanoma", "melanoma", "nevus"]),
    ),
    "one class in two spellings that have a name in common": (
        files(("Mel/1", "melanoma/1", "nv/2")), reads("folders"),
        has(image_id=["Mel_1", "melanoma_1", "2"]),
    ),
    "a class of one's own in one and two characters": (
        files((f"{NFC}/a", f"{NFD}/b", "mel/c")),
        lambda folder: read_source("folders", folder)["target"].nunique(), is_(2),
    ),
    "a misspelt class": (
        files(("melanomm/a", "nv/b")),
        *says("folders whose names are no diagnosis, each a class of its own: melanomm",
              source="folders"),
    ),
    "train_set and Test Set": (
        files(("train_set/mel/a", "train_set/nv/b", "Test Set/mel/c")), reads("folders"),
        has(target=["melanoma", "melanoma", "nevus"], split=["test", "train", "train"]),
    ),
    "images and masks": (
        files(("images/a", "masks/a.png")), reads("folders"), has(image_id=["a"], target=[None]),
    ),
    "masks in each class": (
        files(("mel/images/a", "mel/masks/a_mask.png", "nv/images/b", "nv/masks/b_mask.png")),
        reads("folders", task="mask"), has(image_id=["a", "b"], target=["lesion", "lesion"]),
    ),
    "a mask of no picture": (
        files(("images/a", "masks/x.png")), reads("folders"),
        [r"masks/x\.png lies in a folder of masks, and no picture is called x", "rename"],
    ),
    "years as folders of a test set": (
        files(("2024/spring/a", "2025/b", "c")),
        *says("3 images have no target",
              "no folder has the name of a diagnosis (2024, 2025): none is read as a label",
              source="folders", task="melanoma", held_out=True),
    ),
    "patients as folders of a test set, a name in two": (
        files(("p1/1", "p2/1")), reads("folders", task="diagnosis", held_out=True),
        has(image_id=["p1_1", "p2_1"], target=[None, None], split=["test", "test"]),
    ),
    "labelled and loose pictures of a test set": (
        files(("melanoma/a", "b")), reads("folders", task="melanoma", held_out=True),
        has(image_id=["b", "a"], target=[None, "melanoma"]),
    ),
    "classes of one's own of a test set": (
        files(("harmless/a", "suspicious/b")), reads("folders", held_out=True),
        has(target=["harmless", "suspicious"]),
    ),
    "names that are one without blanks": (
        files(("nv/a b", "mel/a_b")), reads("folders"), has(image_id=["mel_a_b", "nv_a_b"]),
    ),
    "names that are one without blanks, in a class": (
        files(("nv/IMG (1)", "nv/IMG_1_", "mel/x")), reads("folders"),
        [r"two files are called IMG_1_: .*IMG \(1\)\.jpg and .*IMG_1_\.jpg", "rename"],
    ),
    "names that are umlauts, and one with a sign in front": (
        files(("nv/\u00e4", "mel/\u00f6", "nv/-1")), reads("folders"),
        has(image_id=["o", "_1", "a"]),
    ),
    "blanks, quotes, braces and umlauts around": (
        lambda folder: files(("it's {1} #2 \u00fc/mel/a", "it's {1} #2 \u00fc/nv/b"))(folder),
        reads("folders"), has(image_id=["a", "b"]),
    ),
    "a GIF": (files(("nv/a.gif", "mel/b")), reads("folders"), has(image_id=["b", "a"])),
    "a telephone's HEIC among others": (
        lambda f: files(("nv/a", "mel/b"))(f) and (f / "nv/c.HEIC").write_bytes(b"x") and f,
        *says("c.HEIC as JPEG or PNG (1 such files)", source="folders"),
    ),
    "raw pictures alone": (
        lambda f: (f / "a.dng").write_bytes(b"x") and f, reads("folders"),
        [r"no picture in .*save .*a\.dng as JPEG or PNG"],
    ),
    "a link that leads nowhere among others": (
        lambda f: (files(("nv/a", "mel/b"))(f) and (f / "nv/c.jpg").symlink_to(f / "x")) or f,
        *says("c.jpg, a link that leads nowhere", source="folders"),
    ),
    "a link that leads back up": (
        lambda f: (files(("nv/a", "mel/b"))(f) and (f / "nv/up").symlink_to(f)) or f,
        reads("folders"), has(image_id=["b", "a"]),
    ),
    "a table beside": (
        own("image_id,diagnosis", "a,mel", "b,nv"),
        *says("t.csv was not read: it is by source=csv", source="folders"),
    ),
}  # fmt: skip
CASES |= LABELS | NAMES | CLASS_FOLDERS


@pytest.mark.parametrize("name", CASES)
def test_sources(try_odd_file: Callable[..., None], name: str) -> None:
    try_odd_file(*CASES[name])


def test_a_folder_that_may_not_be_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, try_odd_file: Callable[..., None]
) -> None:
    scandir = os.scandir

    def forbidden(place: Any) -> Any:
        if str(place).endswith("nv"):
            raise PermissionError(13, "Permission denied", str(place))
        return scandir(place)

    monkeypatch.setattr(os, "scandir", forbidden)  # root, as which tests may run, may list all
    try_odd_file(
        files(("nv/a", "mel/b")), reads("folders"), ["nv may not be listed", "ask its owner"]
    )
