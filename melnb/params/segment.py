"""What 02c_segment_train takes: a U-Net of many encoders, and how it is fitted."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from melnb.params.base import Confidence, Name, Parameters, Rules
from melnb.params.groups import Augmentation, Machine, Training

# What 02d_segment_apply takes: who segments, how a mask is made, what is written.


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

    @property
    def segmenter(self) -> str:
        """The run of 02c_segment_train whose networks are asked; empty: masks are there already."""
        return "" if self.masks_of else self.segment_run or self.run

    @property
    def cutting(self) -> dict[str, Any]:
        """The keywords of `data.apply_masks`: how a mask is made, and what is written."""
        return self.values_of(
            (
                "output", "sigma", "threshold", "smoothing", "resampling", "least_share",
                "most_disagreement", "margin", "square", "quality", "workers",
            )
        )  # fmt: skip

    rules: ClassVar[Rules] = (
        (
            lambda p: p.masks_of == p.run,
            "masks_of {masks_of} is the run itself: name an earlier one",
        ),
    )


class Segmenter(Parameters):
    """The network, from pixels to a mask."""

    backbone: str = Field("unet-tiny", description="unet-tiny, EfficientNetLite0, VGG16 …")
    weights: str = Field("none", description="of the encoder: none, imagenet, edges or a path")
    decoder: Literal["transposed", "upsampling", "subpixel"] = Field(
        "upsampling", description="how a map is made twice as fine"
    )
    filters: int = Field(16, ge=1, le=512, description="of a stage as fine as the pixels")
    growth: float = Field(2.0, ge=1, le=4, description="of the filters, a stage coarser")
    most_filters: int = Field(256, ge=1, le=2048, description="of any stage")
    convolutions: int = Field(1, ge=1, le=4, description="3 x 3, in each stage")
    finest: Literal[1, 2, 4] = Field(2, description="stride of the last stage; 1: every pixel")
    batch_norm: bool = Field(True, description="in the decoder")
    dropout: float = Field(0.0, ge=0, lt=1, description="of the coarsest map")
    lesion_share: float = Field(0.2, gt=0, lt=1, description="of the pixels, as it begins")

    @property
    def network(self) -> dict[str, Any]:
        """The keywords of `models.make_segmenter`."""
        return self.values_of(Segmenter.model_fields)


class MaskObjective(Parameters):
    """The loss, one number for each image's mask."""

    loss: Literal["bce", "dice", "jaccard", "bce_dice", "focal_tversky"] = Field(
        "bce_dice", description="of each image's mask"
    )
    smooth: float = Field(1.0, gt=0, description="all but bce: pixels added to each share")
    tversky_alpha: float = Field(0.7, ge=0, description="focal_tversky: weight of the missed")
    tversky_beta: float = Field(0.3, ge=0, description="focal_tversky: weight of false alarms")
    tversky_gamma: float = Field(4 / 3, ge=1, description="focal_tversky: above 1, hard images")

    @property
    def objective(self) -> dict[str, Any]:
        """The keywords of `models.make_mask_loss`."""
        return self.values_of(MaskObjective.model_fields)


class SegmentTrain(Segmenter, MaskObjective, Training, Augmentation, Machine):
    """02c_segment_train: one segmenter, one fold."""

    stage: ClassVar[str] = "02c_segment_train"
    shown: ClassVar[tuple[str, ...]] = (
        "dataset", "run", "fold", "seed", "backbone", "weights", "image_size", "filters", "finest",
        "loss", "skip_maskless", "epochs", "batch_size", "optimizer", "schedule", "learning_rate",
        "monitor", "views", "n_worst", "n_looked", "confidence", "outputs",
    )  # fmt: skip
    defaults: ClassVar[dict[str, Any]] = {
        "epochs": 8, "batch_size": 16, "final_rate": 1e-7, "ramp_epochs": 0, "decay": 0.5,
        "zoom": 0.2, "shift": 0.1, "brightness": 0.2, "contrast": 0.2,
        "saturation": 0.2, "hue": 0.02,
    }  # fmt: skip
    dataset: Name = Field("demo", description="of 02_prepare, with masks")
    run: Name = Field("demo", description="name of this segmenter")
    fold: int = Field(0, ge=0, description="held out for validation")
    seed: int = Field(0, ge=0, description="of weights, order and augmentation")
    skip_maskless: bool = Field(False, description="list images without a mask and go on")
    image_size: int = Field(
        64, ge=16, le=1024, description="pixels on a side, scaled from a size prepared"
    )
    monitor: Literal["val_jaccard", "val_threshold_jaccard", "val_loss"] = Field(
        "val_jaccard", description="best epoch by this"
    )
    views: Literal["none", "dihedral"] = Field("dihedral", description="of a held-out image")
    n_worst: int = Field(12, ge=1, le=60, description="worst masks shown")
    n_looked: int = Field(12, ge=1, le=40, description="images of the explorer")
    confidence: Confidence = 0.95
    outputs: str = Field("", description="where runs are written; empty: outputs/")
