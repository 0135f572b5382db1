"""What 03_train and 03b_find_lr take: every technique is a switch, off unless asked for."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field, model_validator

from melnb.params.base import Confidence, Name, Parameters, Rules
from melnb.params.groups import Augmentation, Machine, Training


def _check_fold(fold: int | str) -> int | str:
    if isinstance(fold, str) and fold != "none":
        raise ValueError("Input should be a valid integer, or none")
    if isinstance(fold, int) and fold < 0:
        raise ValueError("Input should be greater than or equal to 0, or none")
    return fold


Fold = Annotated[int | str, AfterValidator(_check_fold)]
Column = Literal["sex", "age", "site", "images_per_patient"]


class Classifier(Parameters):
    """The network, from pixels to probabilities."""

    backbone: str = Field(
        "tiny", description="tiny, EfficientNetB0-B7, EfficientNetLite0 … or path/to/my.keras"
    )
    weights: str = Field("none", description="none, imagenet, noisy-student, edges, kept or a path")
    scaling: Literal["inside", "unit", "signed", "torch", "caffe", "lite"] = Field(
        "inside", description="of an encoder of one's own: what it wants of pixels of 0-255"
    )
    pooling: Literal["avg", "max", "gem"] = Field("avg", description="from map to vector")
    dropout: float = Field(0.2, ge=0, lt=1, description="before the last layer")
    dropout_samples: int = Field(1, ge=1, le=32, description="dropouts averaged before the head")
    head: Literal["softmax", "sigmoid", "arcface"] = Field(
        "softmax", description="sigmoid: two classes"
    )
    arcface_scale: float = Field(30.0, gt=0, description="arcface: factor of the cosines")
    arcface_margin: float = Field(0.5, ge=0, lt=1.57, description="arcface: radians")
    fusion: Literal["concat", "gated"] = Field("concat", description="how metadata joins")
    metadata_units: list[int] = Field([64, 32], min_length=1, description="widths of its layers")
    metadata_dropout: float = Field(0.1, ge=0, lt=1, description="share of values hidden")

    rules: ClassVar[Rules] = (
        (
            lambda p: p.weights == "kept" and not p.backbone.endswith(".keras"),
            "weights kept are those of an encoder of one's own, backbone path/to/my.keras, not of "
            "{backbone}",
        ),
        (
            lambda p: p.backbone.endswith(".keras") and p.weights not in ("none", "kept"),
            "backbone {backbone} is an encoder of one's own: weights are kept, or none (random), "
            "not {weights}",
        ),
        (
            lambda p: p.scaling != "inside" and not p.backbone.endswith(".keras"),
            "scaling is of an encoder of one's own; {backbone} has its own inside",
        ),
        (
            lambda p: p.backbone.endswith(".onnx"),
            "backbone {backbone} is a frozen encoder, which serves 03d_embed: to train on, give a "
            ".keras file",
        ),
        (
            lambda p: p.dropout_samples > 1 and not p.dropout,
            "dropout_samples {dropout_samples} average nothing where dropout is 0: nothing is "
            "dropped",
        ),
    )

    @property
    def network(self) -> dict[str, Any]:
        """The keywords of `models.make_classifier`."""
        return self.values_of(Classifier.model_fields)


class Objective(Parameters):
    """The loss."""

    loss: Literal[
        "cross_entropy", "focal", "margin_focal", "soft_f1", "auc_pairs", "auc_margin"
    ] = Field("cross_entropy", description="the last three compare a batch's images")
    class_weights: Literal["ones", "balanced", "balanced-sqrt"] | dict[str, float] = Field(
        "ones", description="of each class in the loss, or by name"
    )
    label_smoothing: float = Field(0.05, ge=0, lt=1, description="share spread over the classes")
    focal_gamma: float = Field(2.0, ge=0, description="of the focal loss")
    focal_alpha: float = Field(0.25, ge=0, le=1, description="of the focal loss; 0: none")
    auc_gap: float = Field(1.0, gt=0, le=1, description="auc losses: gap asked of two scores")

    @property
    def objective(self) -> dict[str, Any]:
        """The keywords of `models.make_loss`."""
        return self.values_of(Objective.model_fields)


class Sampler(Parameters):
    """What an epoch is made of."""

    sampling: Literal["natural", "balanced", "oversample"] = Field(
        "natural", description="of the training folds alone"
    )
    balance: float = Field(1.0, ge=0, le=1, description="balanced: 0 as it is, 1 classes alike")
    oversample: dict[str, int] = Field({}, description="oversample: class: times an epoch")
    external_share: float = Field(0.0, ge=0, lt=1, description="of an epoch; 0: as they are")
    pseudo_share: float = Field(0.0, ge=0, lt=1, description="of an epoch; 0: as they are")

    rules: ClassVar[Rules] = (
        (
            lambda p: bool(p.oversample) and p.sampling != "oversample",
            "oversample needs sampling oversample, not {sampling}",
        ),
        (
            lambda p: p.sampling == "oversample" and not p.oversample,
            "sampling oversample needs oversample to name classes: melanoma: 7, for example",
        ),
    )

    @property
    def sampler(self) -> dict[str, Any]:
        """The keywords of `data.make_sampling`."""
        return self.values_of(Sampler.model_fields)


class Rows(Sampler):
    """What is learnt from besides the folds' pictures."""

    metadata: list[Column] = Field([], description="sex, age, site, images_per_patient")
    external: list[Name] = Field([], description="other datasets of 02_prepare to learn from")
    external_drop: list[str] = Field([], description="classes of theirs to leave out")
    pseudo: str = Field("", description="run of 04b_pseudo_label to learn from")

    @property
    def rows(self) -> dict[str, Any]:
        """The keywords of `data.training_set`."""
        return self.values_of(("metadata", "external", "external_drop", "pseudo"))

    rules: ClassVar[Rules] = (
        (
            lambda p: bool(p.external_share) and not p.external,
            "external_share is given, but external names no dataset",
        ),
        (
            lambda p: bool(p.external_drop) and not p.external,
            "external_drop is given, but external names no dataset",
        ),
        (
            lambda p: bool(p.pseudo_share) and not p.pseudo,
            "pseudo_share is given, but pseudo names no run of 04b_pseudo_label",
        ),
    )


class Mixing(Parameters):
    """Mixtures of two images and of their classes."""

    mixup: float = Field(0.0, ge=0, le=1, description="share of images mixed with another")
    cutmix: float = Field(0.0, ge=0, le=1, description="share with a patch of another")
    mixup_alpha: float = Field(0.2, gt=0, description="small: next to nothing is mixed")
    cutmix_alpha: float = Field(1.0, gt=0, description="1: patches of every size")

    rules: ClassVar[Rules] = (
        (
            lambda p: p.mixup + p.cutmix > 1,
            "mixup {mixup} and cutmix {cutmix} are shares of the same images, and sum to more "
            "than 1",
        ),
    )

    @property
    def mixing(self) -> dict[str, Any]:
        """The keywords of `data.plan_mixing`."""
        return self.values_of(Mixing.model_fields)


class FoundRate(Parameters):
    """Where the highest rate comes from."""

    find_lr: str = Field("", description="run of 03b_find_lr, whose rate is taken instead")
    scale_rate: bool = Field(False, description="learning_rate is for each image of the batch")


class PictureAugmentation(Augmentation):
    """Augmentation that no mask could follow."""

    randaugment: int = Field(0, ge=0, le=8, description="operations of RandAugment an image")
    randaugment_magnitude: float = Field(0.3, ge=0, le=1, description="of each of them")
    augmix: float = Field(0.0, ge=0, le=1, description="severity of AugMix")
    clahe: float = Field(0.0, ge=0, le=40, description="clip limit, 2 mild to 10 harsh")
    constancy: float = Field(0.0, ge=0, le=1, description="share shown in white light")
    jpeg: float = Field(0.0, ge=0, le=1, description="how low the file's quality may fall")
    cutout: float = Field(0.0, ge=0, le=0.9, description="side of the hole, share of the picture")

    @property
    def strengths(self) -> dict[str, Any]:
        """The strengths of `data.augment`."""
        return self.values_of(PictureAugmentation.model_fields)


_NONE = {
    name: type(field.default)(0)
    for name, field in PictureAugmentation.model_fields.items()
    if field.default and name != "randaugment_magnitude"  # which does nothing by itself
}
_MEDIUM = {
    "rotation": 180.0, "shear": 2.0, "zoom": 0.125, "shift": 0.016, "brightness": 0.2,
    "contrast": 0.2, "saturation": 0.3, "hue": 0.0,
}  # fmt: skip
_STRONG = {
    "transpose": True, "zoom": 0.2, "shift": 0.1, "grid_distortion": 0.3, "elastic": 0.03,
    "hue": 0.05, "blur": 1.5, "noise": 5.0, "clahe": 4.0, "cutout": 0.375,
}  # fmt: skip


class AugmentationPreset(PictureAugmentation):
    """Augmentation by one word: strengths that are not given are the preset's.

    `light` is each strength's default. `medium` is that of the systems melnb was founded on (SIIM-
    ISIC 2020 at 512 pixels: the deviations of their normal draws are the ends of ours). `strong`
    adds what Ha, Liu and Liu 2020 added (first place there), at about their strengths.
    """

    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "none": _NONE, "light": {}, "medium": _MEDIUM, "strong": {**_MEDIUM, **_STRONG},
    }  # fmt: skip
    augmentation: Literal["none", "light", "medium", "strong"] = Field(
        "light", description="preset of the strengths; one that is given wins"
    )

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, values: Any) -> Any:
        """Give the strengths that nobody set those of the preset, so that all are recorded."""
        preset = values.get("augmentation", "light") if isinstance(values, dict) else None
        strengths = cls.presets.get(preset) if isinstance(preset, str) else None
        return values if strengths is None else {**strengths, **values}

    def usual(self) -> dict[str, Any]:
        """Return what each field is where nobody sets it: its default, or that of a preset."""
        return {**super().usual(), **self.presets[self.augmentation]}


class Train(Classifier, Objective, Rows, Mixing, Training, FoundRate, AugmentationPreset, Machine):
    """03_train: one run, one fold."""

    stage: ClassVar[str] = "03_train"
    shown: ClassVar[tuple[str, ...]] = (
        "dataset", "run", "fold", "seed", "backbone", "weights", "image_size", "metadata", "loss",
        "class_weights", "sampling", "augmentation", "mixup", "cutmix", "epochs", "batch_size",
        "optimizer", "schedule", "learning_rate", "monitor", "confidence", "outputs",
    )  # fmt: skip
    dataset: Name = Field("demo", description="of 02_prepare")
    run: Name = Field("demo", description="name of this model")
    fold: Fold = Field(0, description="held out for validation; none: all rows are learnt")
    seed: int = Field(0, ge=0, description="of weights, order and augmentation")
    monitor: Literal["val_loss", "val_auc"] = Field("val_auc", description="best epoch by this")
    confidence: Confidence = 0.95
    tensorboard: bool = Field(False, description="write the history as its event files, too")
    outputs: str = Field("", description="where runs are written; empty: outputs/")

    rules: ClassVar[Rules] = (
        (
            lambda p: p.head == "arcface" and bool(p.mixup or p.cutmix),
            "head arcface needs one true class for each image, and mixup and cutmix make mixtures "
            "of two: switch them off, or use head softmax",
        ),
        (
            lambda p: p.head == "arcface" and bool(p.pseudo),
            "head arcface needs one true class for each image, and pseudo labels are shares of "
            "all: use head softmax",
        ),
        (
            lambda p: p.head == "arcface" and p.loss in ("soft_f1", "auc_pairs", "auc_margin"),
            "head arcface moves the score of the true class, and losses of a batch compare the "
            "scores of images: use loss cross_entropy or focal, not {loss}",
        ),
        (
            lambda p: (
                p.fold == "none"
                and (p.keep == "best" or bool(p.patience) or p.schedule == "plateau")
            ),
            "fold none holds nothing out by which an epoch or a rate could be chosen: fix epochs "
            "beforehand, as the folds have told, set keep last, swa or snapshots (not {keep}), "
            "patience 0 (not {patience}) and another schedule than plateau",
        ),
        (
            lambda p: p.fold == "none" and bool(p.pseudo),
            "fold none learns from every fold, and pseudo labels are by networks that have not "
            "met the fold held out: leave pseudo out",
        ),
    )

    @property
    def judged(self) -> int | None:
        """The fold that is held out and judged; None: none is."""
        return None if self.fold == "none" else int(self.fold)


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

    rules: ClassVar[Rules] = (
        (lambda p: p.lowest >= p.highest, "lowest {lowest} is not below highest {highest}"),
    )

    @property
    def sweep(self) -> dict[str, Any]:
        """The keywords of `lr_finder.make_sweep`."""
        return self.values_of(("lowest", "highest", "steps"))
