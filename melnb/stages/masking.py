"""What 02d_segment_apply takes: who segments, how a mask is made, what is written."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from melnb.parameters import Confidence, Name, Parameters


class SegmentApply(Parameters):
    """02d_segment_apply: masks, crops and measures of any prepared images."""

    stage: ClassVar[str] = "02d_segment_apply"
    dataset: Name = Field("demo", description="of 02_prepare, with records")
    run: Name = Field("demo", description="name of the result")
    segment_run: str = Field("", description="of 02c_segment_train; empty: the same name")
    masks_of: str = Field("", description="run of this stage, its masks taken; empty: predict")
    views: Literal["none", "dihedral"] = Field("dihedral", description="of a lesion")
    output: Literal["mask", "crop", "crop_times_mask", "soft_margin"] = Field(
        "crop", description="the whole picture, the lesion's box, or less"
    )
    sigma: float = Field(2.0, ge=0, le=8, description="blur, in pixels of a plane 224 wide")
    threshold: float = Field(0.5, gt=0, lt=1, description="lesion is above it")
    smoothing: float = Field(1.0, ge=0, le=8, description="of the edge, in the same pixels")
    resampling: Literal["nearest", "threshold"] = Field(
        "threshold", description="how a mask gets its picture's size"
    )
    least_share: float = Field(0.005, ge=0, lt=1, description="of the picture; below: left whole")
    most_disagreement: float = Field(0.5, ge=0, le=1, description="above: the picture stays whole")
    margin: float = Field(0.1, ge=0, le=2, description="round the box, share of its longer side")
    square: bool = Field(False, description="the box is made square where it can be")
    quality: int = Field(95, ge=50, le=100, description="of the JPEGs written")
    features: bool = Field(True, description="measure each lesion by the ABCD rule")
    batch_size: int = Field(32, ge=1, description="for each replica")
    n_worst: int = Field(12, ge=1, le=60, description="worst masks shown")
    n_looked: int = Field(12, ge=1, le=40, description="images of the explorer")
    seed: int = Field(0, ge=0, description="of the images shown, and of resampling")
    workers: int = Field(0, ge=0, description="processes; 0: one for each core")
    confidence: Confidence = 0.95
    outputs: str = Field("", description="where runs are written; empty: outputs/")

    @model_validator(mode="after")
    def _masks_are_of_another_run(self) -> Self:
        if self.masks_of == self.run:
            raise ValueError(f"masks_of is {self.masks_of!r}, the run itself: name an earlier one")
        return self
