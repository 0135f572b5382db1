"""What 03_train takes."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from melnb.parameters import Name, Parameters


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
