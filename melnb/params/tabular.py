"""What 03c_metadata and 03d_embed take."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from melnb.params.base import Confidence, Engine, Name, Parameters, Rules

Estimator = Literal[
    "logistic", "forest", "naive_bayes", "discriminant", "neighbours", "boosting", "lightgbm",
    "xgboost", "catboost",
]  # fmt: skip
_OWN = (".keras", ".onnx")  # files of an encoder of one's own
Statistic = Literal["difference", "ratio", "z", "rank", "lof", "pictures"]


class Metadata(Parameters):
    """03c_metadata: what can be said without looking at the picture?"""

    stage: ClassVar[str] = "03c_metadata"
    dataset: Name = Field("demo", description="of 02_prepare")
    run: Name = Field("demo", description="name of the result")
    features: list[str] = Field(
        ["sex", "age", "site"], description="columns of images.csv; images_per_patient"
    )
    measures: bool = Field(False, description="skin tone and colours of 02_prepare, too")
    feature_tables: list[str] = Field([], description="CSV files with more features, by image id")
    score_runs: list[str] = Field(
        [], description="runs or CSV files: out-of-fold scores as features"
    )
    compared: list[str] = Field([], description="numbers to compare within the patient")
    statistics: list[Statistic] = Field(
        ["difference", "ratio", "z", "rank", "lof", "pictures"],
        min_length=1,
        description="of compared: how they stand among the others",
    )
    by_site: bool = Field(False, description="compared: within the patient's site, too")
    estimators: list[Estimator] = Field(
        ["logistic", "forest", "naive_bayes"], min_length=1, description="averaged alike"
    )
    class_weights: Literal["ones", "balanced"] = Field(
        "balanced", description="of models that take them: not naive Bayes, nor neighbours"
    )
    over: float = Field(0.0, ge=0, le=1, description="over-sample classes to this ratio; 0: none")
    under: float = Field(0.0, ge=0, le=1, description="then under-sample to this ratio; 0: none")
    settings: dict[Estimator, dict[str, float | int | str]] = Field(
        {}, description="of a model, by its library's names"
    )
    tune: bool = Field(False, description="choose settings inside the training folds")
    inner_folds: int = Field(3, ge=2, le=10, description="tune: parts of the training folds")
    positive: str = Field("melanoma", description="the class that is looked for")
    seeds: int = Field(1, ge=1, le=100, description="models of so many seeds are averaged")
    seed: int = Field(0, ge=0, description="the first of them")
    repeats: int = Field(5, ge=1, le=100, description="shuffles for the importance of a feature")
    confidence: Confidence = 0.95
    outputs: str = Field("", description="where runs are written; empty: outputs/")

    rules: ClassVar[Rules] = (
        (
            lambda p: not (p.features or p.measures or p.feature_tables or p.score_runs),
            "features, feature_tables and score_runs are empty and measures is False: name one",
        ),
        (
            lambda p: len(set(p.estimators)) < len(p.estimators),
            "estimators {estimators} are not named once each",
        ),
        (
            lambda p: bool(set(p.settings) - set(p.estimators)),
            "settings {settings} are of a model that is not among estimators",
        ),
    )

    @property
    def standings(self) -> list[dict[str, Any]]:
        """The keywords of each `data.relative_features`; none where nothing is compared."""
        how = {"columns": self.compared, "statistics": self.statistics}
        ways = [False, True][: 1 + self.by_site] if self.compared else []
        return [{**how, "by_site": by_site} for by_site in ways]


class Embed(Parameters):
    """03d_embed: what does an encoder see that never learnt from these lesions?"""

    stage: ClassVar[str] = "03d_embed"
    shown: ClassVar[tuple[str, ...]] = (
        "dataset", "run", "backbone", "weights", "image_size", "layer", "views", "keep_views",
        "precision", "batch_size", "features", "estimators", "class_weights", "settings",
        "positive", "seed", "confidence", "outputs",
    )  # fmt: skip
    dataset: Name = Field("demo", description="of 02_prepare")
    run: Name = Field("demo", description="name of the result")
    backbone: str = Field(
        "EfficientNetLite0", description="the encoder, or path/to/my.keras or .onnx"
    )
    weights: str = Field(
        "imagenet", description="none, imagenet, noisy-student, edges, kept or a path"
    )
    scaling: Literal["inside", "unit", "signed", "torch", "caffe", "lite"] = Field(
        "inside", description="of an encoder of one's own: what it wants of pixels of 0-255"
    )
    image_size: int = Field(
        128, ge=32, le=1024, description="pixels on a side, scaled from a size prepared"
    )
    layout: Literal["auto", "channels_last", "channels_first"] = Field(
        "auto", description="of an .onnx file: where its colours are; auto: by its shape"
    )
    layer: str = Field("", description="whose map is averaged; empty: the last")
    views: Literal["none", "dihedral"] = Field("none", description="of a lesion")
    keep_views: bool = Field(False, description="a vector of each view; else their mean")
    precision: Literal["float32", "float16"] = Field("float32", description="of the vectors kept")
    batch_size: int = Field(64, ge=1, description="for each replica")
    engine: Engine = "keras"
    features: list[str] = Field([], description="columns of images.csv beside the vectors")
    estimators: list[Estimator] = Field(
        ["logistic", "discriminant"], min_length=1, description="probes, averaged alike"
    )
    class_weights: Literal["ones", "balanced"] = Field(
        "ones", description="of models that take them: not naive Bayes, nor neighbours"
    )
    settings: dict[Estimator, dict[str, float | int | str]] = Field(
        {"logistic": {"C": 0.001}}, description="of a model, by its library's names"
    )
    positive: str = Field("melanoma", description="the class that is looked for")
    seed: int = Field(0, ge=0, description="of probes, of what is shown, of weights none")
    confidence: Confidence = 0.95
    outputs: str = Field("", description="where runs are written; empty: outputs/")

    rules: ClassVar[Rules] = (
        (
            lambda p: p.weights == "kept" and not p.backbone.endswith(_OWN),
            "weights kept are those of an encoder of one's own, backbone path/to/my.keras, not of "
            "{backbone}",
        ),
        (
            lambda p: p.backbone.endswith(_OWN) and p.weights not in ("none", "kept"),
            "backbone {backbone} is an encoder of one's own: weights are kept, or none (random), "
            "not {weights}",
        ),
        (
            lambda p: p.scaling != "inside" and not p.backbone.endswith(_OWN),
            "scaling is of an encoder of one's own; {backbone} has its own inside",
        ),
        (
            lambda p: p.backbone.endswith(".onnx") and p.weights != "kept",
            "backbone {backbone} is a frozen encoder: weights are kept, not {weights}",
        ),
        (
            lambda p: p.backbone.endswith(".onnx") and p.engine != "keras",
            "backbone {backbone} is run by onnxruntime: engine is keras, not {engine}",
        ),
        (
            lambda p: p.keep_views and p.views == "none",
            "keep_views needs views dihedral, not {views}",
        ),
        (
            lambda p: len(set(p.estimators)) < len(p.estimators),
            "estimators {estimators} are not named once each",
        ),
    )

    @property
    def extractor(self) -> dict[str, Any]:
        """The keywords of `models.make_extractor`, the batch as one replica has it."""
        names = (
            "backbone", "weights", "scaling", "layout", "image_size", "layer", "views",
            "keep_views", "precision", "engine",
        )  # fmt: skip
        return self.values_of(names)
