"""What 03_train and 03b_find_lr take: every technique is a switch, off unless asked for."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from melnb.params.base import Confidence, Name, Parameters
from melnb.params.groups import Contradiction, fit_contradictions, refuse

Column = Literal["sex", "age", "site", "images_per_patient"]


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
    image_size: int = Field(
        64, ge=32, le=1024, description="pixels on a side, scaled from a size prepared"
    )
    pooling: Literal["avg", "max", "gem"] = Field("avg", description="from map to vector")
    dropout: float = Field(0.2, ge=0, lt=1, description="before the last layer")
    dropout_samples: int = Field(1, ge=1, le=32, description="dropouts averaged before the head")
    head: Literal["softmax", "sigmoid", "arcface"] = Field(
        "softmax", description="sigmoid: two classes"
    )
    arcface_scale: float = Field(30.0, gt=0, description="arcface: factor of the cosines")
    arcface_margin: float = Field(0.5, ge=0, lt=1.57, description="arcface: radians")
    metadata: list[Column] = Field([], description="sex, age, site, images_per_patient")
    fusion: Literal["concat", "gated"] = Field("concat", description="how metadata joins")
    metadata_units: list[int] = Field([64, 32], min_length=1, description="widths of its layers")
    metadata_dropout: float = Field(0.1, ge=0, lt=1, description="share of values hidden")
    # the loss
    loss: Literal[
        "cross_entropy", "focal", "margin_focal", "soft_f1", "auc_pairs", "auc_margin"
    ] = Field("cross_entropy", description="the last three compare a batch's images")
    label_smoothing: float = Field(0.05, ge=0, lt=1, description="share spread over the classes")
    focal_gamma: float = Field(2.0, ge=0, description="of the focal loss")
    focal_alpha: float = Field(0.25, ge=0, le=1, description="of the focal loss; 0: none")
    auc_gap: float = Field(1.0, gt=0, le=1, description="auc losses: gap asked of two scores")
    class_weights: Literal["ones", "balanced", "balanced-sqrt"] | dict[str, float] = Field(
        "ones", description="of each class in the loss, or by name"
    )
    hard_share: float = Field(1.0, gt=0, le=1, description="of a batch, its hardest; 1: all")
    hard_start: float = Field(0.0, ge=0, le=1, description="share of the run: mining begins")
    hard_end: float = Field(1.0, ge=0, le=1, description="share of the run: hard_share is reached")
    # what an epoch is made of
    sampling: Literal["natural", "balanced", "oversample"] = Field(
        "natural", description="of the training folds alone"
    )
    balance: float = Field(1.0, ge=0, le=1, description="balanced: 0 as it is, 1 classes alike")
    oversample: dict[str, int] = Field({}, description="oversample: class: times an epoch")
    external: list[Name] = Field([], description="other datasets of 02_prepare to learn from")
    external_drop: list[str] = Field([], description="classes of theirs to leave out")
    external_share: float = Field(0.0, ge=0, lt=1, description="of an epoch; 0: as they are")
    pseudo: str = Field("", description="run of 04b_pseudo_label to learn from")
    pseudo_share: float = Field(0.0, ge=0, lt=1, description="of an epoch; 0: as they are")
    mixup: float = Field(0.0, ge=0, le=1, description="share of images mixed with another")
    cutmix: float = Field(0.0, ge=0, le=1, description="share with a patch of another")
    mixup_alpha: float = Field(0.2, gt=0, description="small: next to nothing is mixed")
    cutmix_alpha: float = Field(1.0, gt=0, description="1: patches of every size")
    # the fit
    epochs: int = Field(6, ge=1, description="passes over the training folds")
    batch_size: int = Field(32, ge=1, description="for each replica")
    accumulate: int = Field(1, ge=1, description="batches to one step of the weights")
    sizes: list[int] = Field([], description="smaller image sizes to begin with")
    size_epochs: list[int] = Field([], description="epochs at each of these")
    scale_batch: bool = Field(False, description="smaller images: larger batch and rate")
    frozen_epochs: int = Field(0, ge=0, description="first epochs with blocks that do not learn")
    frozen_blocks: int = Field(0, ge=0, description="how many, from the input; 0: the backbone")
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
    find_lr: str = Field("", description="run of 03b_find_lr, whose rate is taken instead")
    scale_rate: bool = Field(False, description="learning_rate is for each image of the batch")
    start_rate: float = Field(1e-4, gt=0, description="ramp_decay: where it begins")
    final_rate: float = Field(1e-6, ge=0, description="where it tends to")
    ramp_epochs: int = Field(2, ge=0, description="ramp_decay, cosine, step: epochs of rise")
    sustain_epochs: int = Field(0, ge=0, description="ramp_decay: epochs at the highest rate")
    decay: float = Field(0.7, gt=0, le=1, description="ramp_decay, step, plateau: of each fall")
    step_epochs: int = Field(2, ge=1, description="step: epochs between two falls")
    cycles: int = Field(3, ge=1, description="cosine_restarts: how many")
    cycle_growth: float = Field(
        1.0, ge=1, description="cosine_restarts: each, times the one before"
    )
    plateau_patience: int = Field(2, ge=1, description="plateau: epochs without a gain")
    monitor: Literal["val_loss", "val_auc"] = Field("val_auc", description="best epoch by this")
    patience: int = Field(0, ge=0, description="epochs without a gain before a stop; 0: none")
    ema: float = Field(0.0, ge=0, lt=1, description="share kept of the weights' average; 0: none")
    swa_start: int = Field(0, ge=0, description="epoch from which weights are averaged; 0: none")
    snapshots: bool = Field(False, description="cosine_restarts: keep each cycle's end")
    keep: Literal["best", "swa", "snapshots"] = Field("best", description="weights to end with")
    # augmentation: 0 switches one off
    rotation: float = Field(180.0, ge=0, le=180, description="degrees either way")
    shear: float = Field(5.0, ge=0, le=45, description="degrees either way")
    zoom: float = Field(0.1, ge=0, le=0.9, description="share either way")
    shift: float = Field(0.05, ge=0, le=0.5, description="share of the side either way")
    flips: bool = Field(True, description="left-right and up-down")
    transpose: bool = Field(False, description="rows for columns")
    grid_distortion: float = Field(0.0, ge=0, le=0.9, description="share a cell grows or shrinks")
    elastic: float = Field(0.0, ge=0, le=0.09, description="share of the side; above, it folds")
    brightness: float = Field(0.1, ge=0, le=1, description="share of the range either way")
    contrast: float = Field(0.1, ge=0, le=1, description="share either way")
    saturation: float = Field(0.1, ge=0, le=1, description="share either way")
    hue: float = Field(0.01, ge=0, le=0.5, description="share of the circle either way")
    randaugment: int = Field(0, ge=0, le=8, description="operations of RandAugment an image")
    randaugment_magnitude: float = Field(0.3, ge=0, le=1, description="of each of them")
    augmix: float = Field(0.0, ge=0, le=1, description="severity of AugMix")
    blur: float = Field(0.0, ge=0, le=10, description="greatest deviation, pixels")
    noise: float = Field(0.0, ge=0, le=128, description="greatest deviation, of 255")
    clahe: float = Field(0.0, ge=0, le=40, description="clip limit, 2 mild to 10 harsh")
    constancy: float = Field(0.0, ge=0, le=1, description="share shown in white light")
    jpeg: float = Field(0.0, ge=0, le=1, description="how low the file's quality may fall")
    cutout: float = Field(0.0, ge=0, le=0.9, description="side of the hole, share of the picture")
    hairs: int = Field(0, ge=0, le=100, description="most hairs drawn")
    ruler: float = Field(0.0, ge=0, le=1, description="share with a scale")
    ink: float = Field(0.0, ge=0, le=1, description="share with a pen's marks")
    bubbles: float = Field(0.0, ge=0, le=1, description="share with bubbles in the gel")
    microscope: float = Field(0.0, ge=0, le=1, description="share with a dark rim")
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
        network, rows = self._network_contradictions(), self._row_contradictions()
        refuse([*network, *rows, *fit_contradictions(self)])
        return self

    def _network_contradictions(self) -> list[Contradiction]:
        arcface, mixed = self.head == "arcface", bool(self.mixup or self.cutmix)
        of_batch = self.loss in ("soft_f1", "auc_pairs", "auc_margin")
        return [
            (arcface and mixed, "head arcface needs one true class for each image, and mixup and "
             "cutmix make mixtures of two: switch them off, or use head softmax"),
            (arcface and bool(self.pseudo), "head arcface needs one true class for each image, and "
             "pseudo labels are shares of all: use head softmax"),
            (arcface and of_batch, f"head arcface moves the score of the true class, and loss "
             f"{self.loss} compares the scores of images: use loss cross_entropy or focal"),
            (self.mixup + self.cutmix > 1, f"mixup {self.mixup} and cutmix {self.cutmix} are "
             "shares of the same images, and sum to more than 1"),
            (self.dropout_samples > 1 and not self.dropout, "dropout_samples is "
             f"{self.dropout_samples}, but dropout is 0: nothing is dropped"),
        ]  # fmt: skip

    def _row_contradictions(self) -> list[Contradiction]:
        return [
            (bool(self.oversample) and self.sampling != "oversample", "oversample is given, but "
             f"sampling is {self.sampling!r}: say oversample"),
            (self.sampling == "oversample" and not self.oversample, "sampling is 'oversample', but "
             "oversample names no class: say {melanoma: 7}, for example"),
            (bool(self.external_share) and not self.external, "external_share is given, but "
             "external names no dataset"),
            (bool(self.external_drop) and not self.external, "external_drop is given, but "
             "external names no dataset"),
            (bool(self.pseudo_share) and not self.pseudo, "pseudo_share is given, but pseudo names "
             "no run of 04b_pseudo_label"),
        ]  # fmt: skip


class FindLr(Parameters):
    """03b_find_lr: how fast may the network of 03_train learn?"""

    stage: ClassVar[str] = "03b_find_lr"
    dataset: Name = Field("demo", description="of 02_prepare; wins over that of the files")
    run: Name = Field("demo", description="name of the result")
    train: list[str] = Field(
        ["params/03_train.demo.yaml"], description="files of 03_train; a later one wins"
    )
    change: list[str] = Field([], description="key=value of 03_train, winning over its files")
    lowest: float = Field(1e-7, gt=0, description="rate of the first batch")
    highest: float = Field(1.0, gt=0, description="rate of the last batch")
    steps: int = Field(100, ge=10, description="batches")
    smoothing: float = Field(
        0.9, ge=0, lt=1, description="share of the mean loss that stays a batch"
    )
    stop: float = Field(4.0, gt=1, description="end at so many times the least loss")
    rule: Literal["valley", "steepest"] = Field(
        "valley", description="of the two that suggest a rate"
    )
    outputs: str = Field("", description="where runs are written; empty: outputs/")

    @model_validator(mode="after")
    def _rates_rise(self) -> Self:
        if self.lowest >= self.highest:
            raise ValueError(f"lowest {self.lowest} is not below highest {self.highest}")
        return self
