"""What 02c_segment_train takes: a U-Net of many encoders, and how it is fitted."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from melnb.params.base import Confidence, Name, Parameters
from melnb.params.groups import fit_contradictions, refuse

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

    @model_validator(mode="after")
    def _masks_are_of_another_run(self) -> Self:
        if self.masks_of == self.run:
            raise ValueError(f"masks_of is {self.masks_of!r}, the run itself: name an earlier one")
        return self


class SegmentTrain(Parameters):
    """02c_segment_train: one segmenter, one fold."""

    stage: ClassVar[str] = "02c_segment_train"
    dataset: Name = Field("demo", description="of 02_prepare, with masks")
    run: Name = Field("demo", description="name of this segmenter")
    fold: int = Field(0, ge=0, description="held out for validation")
    seed: int = Field(0, ge=0, description="of weights, order and augmentation")
    # the network
    backbone: str = Field("unet-tiny", description="unet-tiny, unet-small, DenseNet169, VGG16 …")
    weights: str = Field("none", description="of the encoder: none, imagenet or a path")
    image_size: int = Field(
        64, ge=16, le=1024, description="pixels on a side, scaled from a size prepared"
    )
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
    # the loss
    loss: Literal["bce", "dice", "jaccard", "bce_dice", "focal_tversky"] = Field(
        "bce_dice", description="of each image's mask"
    )
    smooth: float = Field(1.0, gt=0, description="all but bce: pixels added to each share")
    tversky_alpha: float = Field(0.7, ge=0, description="focal_tversky: weight of the missed")
    tversky_beta: float = Field(0.3, ge=0, description="focal_tversky: weight of false alarms")
    tversky_gamma: float = Field(4 / 3, ge=1, description="focal_tversky: above 1, hard images")
    hard_share: float = Field(1.0, gt=0, le=1, description="of a batch, its hardest; 1: all")
    hard_start: float = Field(0.0, ge=0, le=1, description="share of the run: mining begins")
    hard_end: float = Field(1.0, ge=0, le=1, description="share of the run: hard_share is reached")
    # the fit
    skip_maskless: bool = Field(False, description="list images without a mask and go on")
    epochs: int = Field(8, ge=1, description="passes over the training folds")
    batch_size: int = Field(16, ge=1, description="for each replica")
    accumulate: int = Field(1, ge=1, description="batches to one step of the weights")
    sizes: list[int] = Field([], description="smaller image sizes to begin with")
    size_epochs: list[int] = Field([], description="epochs at each of these")
    scale_batch: bool = Field(False, description="smaller images: larger batch and rate")
    frozen_epochs: int = Field(0, ge=0, description="first epochs with blocks that do not learn")
    frozen_blocks: int = Field(0, ge=0, description="how many, from the input; 0: the encoder")
    unfreeze_blocks: int = Field(0, ge=0, description="last blocks that learn then; 0: all")
    block_decay: float = Field(1.0, gt=0, le=1, description="rate of a block over that of the next")
    optimizer: Literal["adam", "adamw", "nadam", "lion", "rmsprop", "sgd"] = Field(
        "adam", description="by its Keras name"
    )
    momentum: float = Field(0.9, gt=0, lt=1, description="where the schedule leaves it alone")
    weight_decay: float = Field(0.01, ge=0, description="adamw, lion: of kernels")
    clip_norm: float = Field(0.0, ge=0, description="largest norm of the gradients; 0: any")
    schedule: Literal[
        "ramp_decay", "one_cycle", "cosine", "cosine_restarts", "step", "plateau", "constant"
    ] = Field("one_cycle", description="of the learning rate")
    learning_rate: float = Field(3e-3, gt=0, description="the highest rate")
    start_rate: float = Field(1e-4, gt=0, description="ramp_decay: where it begins")
    final_rate: float = Field(1e-7, ge=0, description="where it tends to")
    ramp_epochs: int = Field(0, ge=0, description="ramp_decay, cosine, step: epochs of rise")
    sustain_epochs: int = Field(0, ge=0, description="ramp_decay: epochs at the highest rate")
    decay: float = Field(0.5, gt=0, le=1, description="ramp_decay, step, plateau: of each fall")
    step_epochs: int = Field(2, ge=1, description="step: epochs between two falls")
    cycles: int = Field(3, ge=1, description="cosine_restarts: how many")
    cycle_growth: float = Field(
        1.0, ge=1, description="cosine_restarts: each, times the one before"
    )
    plateau_patience: int = Field(2, ge=1, description="plateau: epochs without a gain")
    monitor: Literal["val_jaccard", "val_threshold_jaccard", "val_loss"] = Field(
        "val_jaccard", description="best epoch by this"
    )
    patience: int = Field(0, ge=0, description="epochs without a gain before a stop; 0: none")
    ema: float = Field(0.0, ge=0, lt=1, description="share kept of the weights' average; 0: none")
    swa_start: int = Field(0, ge=0, description="epoch from which weights are averaged; 0: none")
    snapshots: bool = Field(False, description="cosine_restarts: keep each cycle's end")
    keep: Literal["best", "swa", "snapshots"] = Field("best", description="weights to end with")
    # augmentation: 0 switches one off; masks move as their pictures do
    rotation: float = Field(180.0, ge=0, le=180, description="degrees either way")
    shear: float = Field(5.0, ge=0, le=45, description="degrees either way")
    zoom: float = Field(0.2, ge=0, le=0.9, description="share either way")
    shift: float = Field(0.1, ge=0, le=0.5, description="share of the side either way")
    flips: bool = Field(True, description="left-right and up-down")
    transpose: bool = Field(False, description="rows for columns")
    grid_distortion: float = Field(0.0, ge=0, le=0.9, description="share a cell grows or shrinks")
    elastic: float = Field(0.0, ge=0, le=0.09, description="share of the side; above, it folds")
    brightness: float = Field(0.2, ge=0, le=1, description="share of the range either way")
    contrast: float = Field(0.2, ge=0, le=1, description="share either way")
    saturation: float = Field(0.2, ge=0, le=1, description="share either way")
    hue: float = Field(0.02, ge=0, le=0.5, description="share of the circle either way")
    blur: float = Field(0.0, ge=0, le=10, description="greatest deviation, pixels")
    noise: float = Field(0.0, ge=0, le=128, description="greatest deviation, of 255")
    hairs: int = Field(0, ge=0, le=100, description="most hairs drawn")
    ruler: float = Field(0.0, ge=0, le=1, description="share with a scale")
    ink: float = Field(0.0, ge=0, le=1, description="share with a pen's marks")
    bubbles: float = Field(0.0, ge=0, le=1, description="share with bubbles in the gel")
    microscope: float = Field(0.0, ge=0, le=1, description="share with a dark rim")
    # what is looked at afterwards
    views: Literal["none", "dihedral"] = Field("dihedral", description="of a held-out image")
    n_worst: int = Field(12, ge=1, le=60, description="worst masks shown")
    n_looked: int = Field(12, ge=1, le=40, description="images of the explorer")
    # the machine
    precision: Literal["auto", "float32", "mixed_float16", "mixed_bfloat16"] = Field(
        "auto", description="auto: what the hardware gains by"
    )
    jit_compile: Literal["auto", "true", "false"] = Field(
        "auto", description="by XLA; auto: what the machine gains by"
    )
    deterministic: bool = Field(True, description="bit for bit on a CPU; slower on a GPU")
    confidence: Confidence = 0.95
    outputs: str = Field("", description="where runs are written; empty: outputs/")

    @model_validator(mode="after")
    def _switches_agree(self) -> Self:
        refuse(fit_contradictions(self))
        return self
