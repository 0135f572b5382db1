"""What 04_predict and 04b_pseudo_label take."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from melnb.params.base import Confidence, Name, Parameters, Rules


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
    confidence: Confidence = 0.95
    outputs: str = Field("", description="where runs are written; empty: outputs/")


class PseudoLabel(Parameters):
    """04b_pseudo_label: what may a student learn from images that nobody labelled?"""

    stage: ClassVar[str] = "04b_pseudo_label"
    dataset: Name = Field("demo", description="of 02_prepare, with test images without a label")
    run: Name = Field("demo", description="name of the result")
    predict_runs: list[Name] = Field(
        ["demo"], min_length=1, description="of 04_predict: the teachers, averaged"
    )
    positive: str = Field("melanoma", description="the class that scores are for")
    method: Literal["soft", "hard"] = Field(
        "soft", description="probabilities, or labels by threshold"
    )
    low: float = Field(0.1, ge=0, lt=1, description="method hard: another class at or below")
    high: float = Field(0.7, gt=0, le=1, description="method hard: the positive class at or above")
    share: float = Field(1.0, gt=0, le=1, description="method soft: the most certain share is kept")
    per_class: bool = Field(True, description="method soft: that share of each class")
    outputs: str = Field("", description="where runs are written; empty: outputs/")

    rules: ClassVar[Rules] = (
        (
            lambda p: p.low >= p.high,
            "low {low} is not below high {high}",
        ),
    )
