"""One frozen, typed parameter class per stage.

A value comes from the class default, then from a YAML file (`params/03_train.b3.yaml`), then from
`key=value`: the later wins. Fields are flat and hold plain values, so that papermill can pass
every one. An empty string, an empty list or 0 means "not given": papermill has no way to say None.
Below the notebook no code sees these classes, only keyword arguments.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

import yaml
from pydantic import Field, model_validator

from melnb.parameters import ParameterError as ParameterError
from melnb.parameters import Parameters as Parameters
from melnb.parameters import read_yaml as read_yaml

Source = Literal[
    "synthetic", "isic2016", "isic2017", "isic2018", "ham10000", "isic2019",
    "siim2020", "isic2024", "ph2", "csv", "kaggle_tfrecords",
]  # fmt: skip
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.+-]*$")]  # safe as a folder


class Explore(Parameters):
    """01_explore: what is in the data?"""

    stage: ClassVar[str] = "01_explore"
    dataset: Name = Field("demo", description="name of the data")
    source: Source = Field("synthetic", description="layout of the raw files")
    folder: str = Field("", description="raw files; empty: made (synthetic only)")
    columns: dict[str, str] = Field({}, description="source csv: our column: theirs")
    rows: int = Field(600, ge=0, description="images to use; 0: all")
    missing: Literal["error", "drop", "keep"] = Field(
        "error", description="rows whose picture is not there; keep: tables alone"
    )
    seed: int = Field(0, ge=0, description="of every random choice")
    task: Literal["native", "melanoma"] = Field(
        "melanoma", description="the source's own classes, or melanoma against other"
    )
    image_size: int = Field(128, ge=16, le=1024, description="pixels on a side of shown pictures")
    per_class: int = Field(6, ge=1, le=50, description="sample pictures of each class")
    outputs: str = Field("", description="where runs are written; empty: outputs/")


class Prepare(Parameters):
    """02_prepare: one table, patient-safe folds, TFRecords."""

    stage: ClassVar[str] = "02_prepare"
    dataset: Name = Field("demo", description="name of the result")
    source: Source = Field("synthetic", description="layout of the raw files")
    folder: str = Field("", description="raw files; empty: made (synthetic only)")
    columns: dict[str, str] = Field({}, description="source csv: our column: theirs")
    rows: int = Field(600, ge=0, description="images to use; 0: all")
    missing: Literal["error", "drop", "keep"] = Field(
        "error", description="rows whose picture is not there; keep: tables alone"
    )
    seed: int = Field(0, ge=0, description="of every random choice")
    task: Literal["native", "melanoma"] = Field(
        "melanoma", description="the source's own classes, or melanoma against other"
    )
    n_folds: int = Field(3, ge=2, le=50, description="folds, never splitting a patient or lesion")
    fold_column: str = Field("", description="a column of the source that gives the fold as it is")
    image_sizes: list[int] = Field([64], min_length=1, description="pixels on a side, one or more")
    fit: Literal["crop", "squash", "pad"] = Field("crop", description="how a picture gets square")
    quality: int = Field(95, ge=50, le=100, description="of the JPEGs written")
    shard_size: int = Field(512, ge=1, description="images in a shard")
    measure: bool = Field(True, description="skin tone and colours of each picture")
    skip_unreadable: bool = Field(False, description="list unreadable images and go on")
    workers: int = Field(0, ge=0, description="processes; 0: one for each core")
    outputs: str = Field("", description="where runs are written; empty: outputs/")


class Train(Parameters):
    """03_train: one run, one fold."""

    stage: ClassVar[str] = "03_train"
    dataset: Name = Field("demo", description="of 02_prepare")
    run: Name = Field("demo", description="name of this model")
    fold: int = Field(0, ge=0, description="held out for validation")
    seed: int = Field(0, ge=0, description="of weights, order and augmentation")
    # the network
    backbone: str = Field("tiny", description="tiny, EfficientNetB0-B7, ResNet50, VGG19 …")
    weights: str = Field("none", description="none, imagenet, noisy-student or a path")
    image_size: int = Field(64, ge=32, le=1024, description="pixels on a side, a size prepared")
    pooling: Literal["avg", "max", "gem"] = Field("avg", description="from map to vector")
    dropout: float = Field(0.2, ge=0, lt=1, description="before the last layer")
    head: Literal["softmax", "sigmoid"] = Field("softmax", description="sigmoid: two classes")
    # the loss
    loss: Literal["cross_entropy", "focal"] = Field("cross_entropy", description="per image")
    label_smoothing: float = Field(0.05, ge=0, lt=1, description="share spread over the classes")
    focal_gamma: float = Field(2.0, ge=0, description="of the focal loss")
    focal_alpha: float = Field(0.25, ge=0, le=1, description="of the focal loss; 0: none")
    class_weights: Literal["ones", "balanced", "balanced-sqrt"] = Field(
        "ones", description="of each class in the loss"
    )
    # the fit
    epochs: int = Field(6, ge=1, description="passes over the training folds")
    batch_size: int = Field(32, ge=1, description="for each replica")
    optimizer: Literal["adam", "adamw", "sgd"] = Field("adam", description="by its Keras name")
    schedule: Literal["ramp_decay", "one_cycle", "cosine", "constant"] = Field(
        "one_cycle", description="of the learning rate"
    )
    learning_rate: float = Field(3e-3, gt=0, description="the highest rate")
    scale_rate: bool = Field(False, description="learning_rate is for each image of the batch")
    start_rate: float = Field(1e-4, gt=0, description="ramp_decay: where it begins")
    final_rate: float = Field(1e-6, ge=0, description="where it tends to")
    ramp_epochs: int = Field(2, ge=0, description="ramp_decay, cosine: epochs of rise")
    sustain_epochs: int = Field(0, ge=0, description="ramp_decay: epochs at the highest rate")
    decay: float = Field(0.7, gt=0, le=1, description="ramp_decay: factor of each later epoch")
    monitor: Literal["val_loss", "val_auc"] = Field("val_auc", description="best epoch by this")
    patience: int = Field(0, ge=0, description="epochs without a gain before a stop; 0: none")
    # augmentation: 0 switches one off
    rotation: float = Field(180.0, ge=0, le=180, description="degrees either way")
    shear: float = Field(5.0, ge=0, le=45, description="degrees either way")
    zoom: float = Field(0.1, ge=0, le=0.9, description="share either way")
    shift: float = Field(0.05, ge=0, le=0.5, description="share of the side either way")
    flips: bool = Field(True, description="left-right and up-down")
    brightness: float = Field(0.1, ge=0, le=1, description="share of the range either way")
    contrast: float = Field(0.1, ge=0, le=1, description="share either way")
    saturation: float = Field(0.1, ge=0, le=1, description="share either way")
    hue: float = Field(0.01, ge=0, le=0.5, description="share of the circle either way")
    cutout: float = Field(0.0, ge=0, le=0.9, description="side of the hole, share of the picture")
    # the machine
    precision: Literal["auto", "float32", "mixed_float16", "mixed_bfloat16"] = Field(
        "auto", description="auto: what the hardware gains by"
    )
    deterministic: bool = Field(True, description="bit for bit on a CPU; slower on a GPU")
    outputs: str = Field("", description="where runs are written; empty: outputs/")

    @model_validator(mode="after")
    def _rates_in_order(self) -> Self:
        if self.final_rate > self.learning_rate:
            raise ValueError(
                f"final_rate {self.final_rate} is above learning_rate {self.learning_rate}"
            )
        return self


class Predict(Parameters):
    """04_predict: the folds' models, many views."""

    stage: ClassVar[str] = "04_predict"
    dataset: Name = Field("demo", description="of 02_prepare")
    run: Name = Field("demo", description="name of the result")
    train_run: str = Field("", description="of 03_train; empty: the same name")
    views: Literal["none", "dihedral", "random"] = Field("dihedral", description="of a lesion")
    n_views: int = Field(8, ge=1, le=256, description="of views random")
    average: Literal["probability", "logit"] = Field("probability", description="over the views")
    seed: int = Field(0, ge=0, description="of views random")
    batch_size: int = Field(64, ge=1, description="for each replica")
    rotation: float = Field(180.0, ge=0, le=180, description="random views: degrees either way")
    zoom: float = Field(0.1, ge=0, le=0.9, description="random views: share either way")
    shift: float = Field(0.05, ge=0, le=0.5, description="random views: share of the side")
    brightness: float = Field(0.1, ge=0, le=1, description="random views: share of the range")
    contrast: float = Field(0.1, ge=0, le=1, description="random views: share either way")
    outputs: str = Field("", description="where runs are written; empty: outputs/")


class Ensemble(Parameters):
    """05_ensemble: align by image id, blend."""

    stage: ClassVar[str] = "05_ensemble"
    run: Name = Field("demo", description="name of the result")
    members: list[str] = Field(
        ["04_predict/demo"], min_length=1, description="runs (stage/run) or CSV files"
    )
    method: Literal["mean", "rank", "weighted", "fitted"] = Field("mean", description="of blending")
    weights: list[float] = Field([], description="method weighted: one for each member")
    rank_within_fold: bool = Field(False, description="method rank: rank each fold by itself")
    positive: str = Field("melanoma", description="the class that scores are for")
    seed: int = Field(0, ge=0, description="of resampling")
    outputs: str = Field("", description="where runs are written; empty: outputs/")

    @model_validator(mode="after")
    def _weights_match(self) -> Self:
        if self.method == "weighted" and len(self.weights) != len(self.members):
            raise ValueError(
                f"weights has {len(self.weights)} values for {len(self.members)} members"
            )
        if self.method != "weighted" and self.weights:
            raise ValueError(f"weights is given but method is {self.method!r}: say weighted")
        return self


class Report(Parameters):
    """06_report: ROC, PR, calibration, operating point, subgroups, errors."""

    stage: ClassVar[str] = "06_report"
    run: Name = Field("demo", description="name of the result")
    predictions: list[str] = Field(
        ["05_ensemble/demo", "04_predict/demo"],
        min_length=1,
        description="runs (stage/run) or CSV files: the first is reported, others compared",
    )
    dataset: str = Field("demo", description="of 02_prepare, for pictures and people; empty: none")
    positive: str = Field("melanoma", description="the class that is looked for")
    # calibration
    label_smoothing: float = Field(0.0, ge=0, lt=1, description="of the training, to be undone")
    calibrator: Literal["none", "temperature", "platt", "beta", "isotonic"] = Field(
        "none", description="fitted out of fold, applied before all else"
    )
    # the operating point
    choose: Literal["sensitivity", "specificity", "ppv", "cost", "threshold", "youden"] = Field(
        "sensitivity", description="how the operating point is chosen"
    )
    at: float = Field(0.9, ge=0, description="the wanted value; cost: of a miss, in biopsies")
    chosen: str = Field("", description="operating_point.json of the explorer; wins over choose")
    prevalence: float = Field(0.0, ge=0, lt=1, description="where it will be used; 0: the data's")
    # the rest
    confidence: float = Field(0.95, gt=0.5, lt=1, description="of every interval")
    smallest: int = Field(10, ge=1, description="fewest positives, or others, of a shown subgroup")
    error_rate: float = Field(0.1, gt=0, lt=0.5, description="of conformal prediction sets")
    n_errors: int = Field(12, ge=0, le=100, description="worst errors shown")
    submission: Literal[
        "none", "isic2016", "isic2017", "isic2018", "isic2019", "siim2020", "isic2024"
    ] = Field("none", description="challenge whose measures and file are wanted")
    seed: int = Field(0, ge=0, description="of resampling")
    outputs: str = Field("", description="where runs are written; empty: outputs/")

    @model_validator(mode="after")
    def _at_fits(self) -> Self:
        if self.choose not in ("cost", "youden") and self.at > 1:
            raise ValueError(f"at is {self.at}: a wanted {self.choose} is a share of at most 1")
        if self.choose == "cost" and self.at == 0:
            raise ValueError("at is 0: choose cost wants how many biopsies a miss is worth, say 20")
        return self


class Choose(Parameters):
    """06c_choose: by hand, with everything in view, which threshold?"""

    stage: ClassVar[str] = "06c_choose"
    run: Name = Field("demo", description="name of the result")
    report: Name = Field("demo", description="of 06_report, whose predictions are shown")
    groups: list[str] = Field(
        ["sex", "age", "site", "skin_tone"], description="compared, where known"
    )
    picture_size: int = Field(96, ge=16, le=512, description="pixels on a side of the worst errors")
    outputs: str = Field("", description="where runs are written; empty: outputs/")


STAGES: dict[str, type[Parameters]] = {
    c.stage: c for c in (Explore, Prepare, Train, Predict, Ensemble, Report, Choose)
}


def stage_class(stage: str) -> type[Parameters]:
    """Return the parameter class of a stage.

    Raises:
        ParameterError: There is no such stage; the nearest is named.
    """
    if stage not in STAGES:
        near = difflib.get_close_matches(stage, STAGES, n=1, cutoff=0.3)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ParameterError(f"no stage {stage!r}{hint} (stages: {list(STAGES)})")
    return STAGES[stage]


def read_parameters(
    stage: str, files: Iterable[str | Path] = (), overrides: Iterable[str] = ()
) -> Parameters:
    """Read and check the parameters of a stage.

    Args:
        stage: The notebook's stem, such as `03_train`.
        files: YAML files; a later file wins.
        overrides: `key=value` texts, the value in YAML; they win over files.

    Raises:
        ParameterError: A file is not a mapping, a name is unknown, or a value is refused.
    """
    values: dict[str, Any] = {}
    for file in files:
        values |= read_yaml(file)
    for text in overrides:
        key, equals, value = text.partition("=")
        if not equals:
            raise ParameterError(f"{text!r} is not key=value (write fold=2, say)")
        values[key.strip()] = yaml.safe_load(value) if value.strip() else ""
    return stage_class(stage).check(values)
