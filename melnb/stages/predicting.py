"""What 04_predict takes."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from melnb.parameters import Name, Parameters


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
