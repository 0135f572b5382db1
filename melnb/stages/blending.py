"""What 05_ensemble and 05b_ablation take."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from melnb.parameters import Name, Parameters


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


class Ablation(Parameters):
    """05b_ablation: what does each technique bring, switched on alone?"""

    stage: ClassVar[str] = "05b_ablation"
    run: Name = Field("demo", description="name of the result")
    techniques: list[Name] = Field(
        ["demo", "demo-focal"],
        min_length=2,
        description="runs of 03_train without their -s<seed>; the first is the base",
    )
    positive: str = Field("melanoma", description="the class that is looked for")
    confidence: float = Field(0.95, gt=0.5, lt=1, description="of every interval")
    outputs: str = Field("", description="where runs are written; empty: outputs/")
