"""Published files as they come today, and test sets of one's own: what must be read of each."""

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from PIL import Image

from melnb.data.sources.catalogue import read_source
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


@pytest.mark.parametrize("name", CASES)
def test_sources(try_odd_file: Callable[..., None], name: str) -> None:
    try_odd_file(*CASES[name])
