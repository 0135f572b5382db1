"""Published files as they come today, and test sets of one's own: what must be read of each."""

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


CASES: dict[str, Case] = {
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
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_sources(try_odd_file: Callable[..., None], name: str) -> None:
    try_odd_file(*CASES[name])
