"""What 01_explore, 02_prepare and 02b_audit take."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field
from typing_extensions import TypedDict

from melnb.params.base import Confidence, Name, Parameters, Rules

Source = Literal[
    "synthetic", "isic2016", "isic2017", "isic2018", "isic2018_task1", "ham10000", "isic2019",
    "siim2020", "isic2024", "ph2", "folders", "csv", "kaggle_tfrecords",
    "several",
]  # fmt: skip
Missing = Literal["error", "drop", "keep"]
Planted = Literal[
    "torn_patient", "torn_lesion", "torn_image", "copy", "two_labels", "upsampled", "sorted_rows",
    "met_test", "near_copy", "shifted_labels", "file_shortcut", "patient_shortcut",
    "corner_shortcut", "flipped_labels",
]  # fmt: skip


class Part(TypedDict, total=False):
    """One of several sources."""

    __pydantic_config__ = ConfigDict(extra="forbid")  # type: ignore[misc]
    source: Source
    folder: str
    columns: dict[str, str]
    rows: Annotated[int, Field(ge=0)]
    missing: Missing


_TWO = 2  # sources are several


class RawData(Parameters):
    """The raw data: where the files are, and how they are read."""

    dataset: Name = Field("demo", description="name of the data")
    source: Source = Field("synthetic", description="layout of the raw files")
    folder: str = Field("", description="raw files; empty: made (synthetic only)")
    columns: dict[str, str] = Field({}, description="source csv: our column: theirs")
    rows: int = Field(600, ge=0, description="images to use; 0: all")
    sources: dict[Name, Part] = Field(
        {}, description="source several: name: {source, folder, rows …} of each"
    )
    copies: Literal["error", "first"] = Field(
        "error", description="source several: of an image in two; first: the first named keeps it"
    )
    missing: Missing = Field(
        "error", description="rows without picture (task mask: or mask); keep: tables alone"
    )
    seed: int = Field(0, ge=0, description="of every random choice")
    faults: list[Planted] = Field(
        [], description="source synthetic: planted for an audit to find, docs/checks.md"
    )
    task: Literal["native", "melanoma", "diagnosis", "mask"] = Field(
        "melanoma", description="native classes, melanoma or other, diagnoses, or where it lies"
    )

    rules: ClassVar[Rules] = (
        (
            lambda p: p.source == "several" and len(p.sources) < _TWO,
            "source several needs sources, two or more: {{ham: {{source: ham10000, folder: a}}, "
            "clinic: {{source: csv, folder: b}}}}, say",
        ),
        (
            lambda p: bool(p.sources) and p.source != "several",
            "sources are of source several, not of {source}",
        ),
        (
            lambda p: p.source == "several" and bool(p.folder or p.columns or p.rows),
            "source several: each of sources has its own folder, columns and rows: leave folder "
            "and columns empty, and set rows 0",
        ),
        (
            lambda p: any(
                part.get("source", "several") in ("several", "kaggle_tfrecords")
                for part in p.sources.values()
            ),
            "each of sources needs a source of pictures: neither several nor kaggle_tfrecords",
        ),
        (
            lambda p: bool(p.faults) and p.source != "synthetic",
            "faults are planted in source synthetic alone: leave faults out, or set source "
            "synthetic and no folder; what lies in data of your own, 02b_audit and melnb check say",
        ),
    )


class Explore(RawData):
    """01_explore: what is in the data?"""

    stage: ClassVar[str] = "01_explore"
    shown: ClassVar[tuple[str, ...]] = (
        "dataset", "source", "folder", "columns", "rows", "missing", "seed", "task", "image_size",
        "per_class", "outputs",
    )  # fmt: skip
    image_size: int = Field(128, ge=16, le=1024, description="pixels on a side of shown pictures")
    per_class: int = Field(6, ge=1, le=50, description="sample pictures of each class")
    outputs: str = Field("", description="where runs are written; empty: outputs/")


class Prepare(RawData):
    """02_prepare: one table, patient-safe folds, TFRecords."""

    stage: ClassVar[str] = "02_prepare"
    shown: ClassVar[tuple[str, ...]] = (
        "dataset", "source", "folder", "applied", "columns", "rows", "missing", "seed", "task",
        "relabel", "n_folds", "fold_column", "fold_file", "marks", "image_sizes",
        "cleaning", "fit", "measure", "skip_unreadable", "outputs",
    )  # fmt: skip
    applied: str = Field("", description="run of 02d_segment_apply: its pictures instead")
    rarest: int = Field(10, ge=0, description="task diagnosis: fewest images of a class; 0: any")
    relabel: str = Field("", description="predictions that name unknown images; empty: none")
    relabel_as: str = Field("nevus", description="the diagnosis given to them")
    relabel_percentile: float = Field(5.0, ge=0, le=100, description="of the score of known ones")
    n_folds: int = Field(
        3, ge=0, le=50, description="folds, never splitting a patient or lesion; 0: all is test"
    )
    folds: Literal["patients", "source"] = Field(
        "patients", description="source: each source is a fold, to leave one source out"
    )
    fold_column: str = Field("", description="a column of the source that gives the fold as it is")
    fold_file: str = Field("", description="a CSV of ids and folds to use as they are")
    test_overlap: Literal["error", "leave_out"] = Field(
        "error", description="images of a test row's patient, lesion or picture, to learn from"
    )
    marks: str = Field("", description="a CSV of what was marked in 01_explore; empty: none")
    same_as: str = Field(
        "", description="02b_audit/<run> or a CSV: pairs kept in one fold; empty: none"
    )
    image_sizes: list[int] = Field([64], description="pixels on a side; none: tables alone")
    cleaning: Literal["none", "hairs", "constancy", "both"] = Field(
        "none", description="hairs removed, colours as in white light, or both"
    )
    fit: Literal["crop", "squash", "pad"] = Field("crop", description="how a picture gets square")
    quality: int = Field(95, ge=50, le=100, description="of the JPEGs written")
    shard_size: int = Field(512, ge=1, description="images in a shard")
    measure: bool = Field(True, description="skin tone and colours of each picture")
    skip_unreadable: bool = Field(False, description="list unreadable images and go on")
    workers: int = Field(0, ge=0, description="processes; 0: one for each core")
    outputs: str = Field("", description="where runs are written; empty: outputs/")

    @property
    def records(self) -> dict[str, Any]:
        """The keywords of `data.make_records` that are chosen."""
        return self.values_of(
            (
                "image_sizes", "cleaning", "fit", "quality", "shard_size", "seed", "workers",
                "skip_unreadable",
            )
        )  # fmt: skip

    @property
    def fewest(self) -> int:
        """Images of the rarest diagnosis that is a class of its own; 0: any, as of other tasks."""
        return self.rarest if self.task == "diagnosis" else 0

    rules: ClassVar[Rules] = (
        (
            lambda p: (
                bool(p.applied)
                and bool(p.folder or p.columns or p.faults or p.source != "synthetic")
            ),
            "applied {applied} names its pictures in its table: leave source, folder, columns and "
            "faults as they are without it",
        ),
        (
            lambda p: p.n_folds == 1,
            "n_folds must not be 1: give 2 or more, or 0 to make every image a test image",
        ),
        (
            lambda p: not p.n_folds and bool(p.fold_column or p.fold_file),
            "n_folds 0 makes every image a test image: leave fold_column and fold_file empty",
        ),
        (
            lambda p: p.folds == "source" and bool(p.fold_column or p.fold_file),
            "folds source makes a fold of each source: leave fold_column and fold_file empty",
        ),
        (
            lambda p: p.folds == "source" and bool(p.sources) and p.n_folds != len(p.sources),
            "folds source makes a fold of each of sources, of which n_folds {n_folds} is not the "
            "number: set it to that",
        ),
        (
            lambda p: (
                p.source == "kaggle_tfrecords"
                and (p.cleaning != "none" or bool(p.relabel or p.marks))
            ),
            "shards of source kaggle_tfrecords are used as they are: leave cleaning, relabel and "
            "marks out, or prepare the JPEG files of the source instead",
        ),
    )


class Audit(Parameters):
    """02b_audit: does the data leak, could a shortcut win, are the labels right?"""

    stage: ClassVar[str] = "02b_audit"
    dataset: Name = Field("demo", description="of 02_prepare")
    run: Name = Field("demo", description="name of the result")
    embeddings: str = Field("", description="run of 03d_embed; empty: what needs it is not checked")
    predictions: str = Field("", description="a run or CSV to set against shortcuts; empty: none")
    positive: str = Field("melanoma", description="the class that is looked for")
    n_pairs: int = Field(1000, ge=0, description="near duplicates proposed")
    n_shown: int = Field(
        24, ge=0, le=200, description="of them, and of doubtful labels, in pictures"
    )
    workers: int = Field(0, ge=0, description="processes; 0: one for each core")
    seed: int = Field(0, ge=0, description="of leaky folds, probes and draws")
    confidence: Confidence = 0.95
    outputs: str = Field("", description="where runs are written; empty: outputs/")
