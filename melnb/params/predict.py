"""What 04_predict, 04b_pseudo_label and 04c_look take."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field

from melnb.params.base import Confidence, Engine, Name, Parameters, Rules


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
    engine: Engine = "keras"
    rotation: float = Field(180.0, ge=0, le=180, description="random views: degrees either way")
    zoom: float = Field(0.1, ge=0, le=0.9, description="random views: share either way")
    shift: float = Field(0.05, ge=0, le=0.5, description="random views: share of the side")
    brightness: float = Field(0.1, ge=0, le=1, description="random views: share of the range")
    contrast: float = Field(0.1, ge=0, le=1, description="random views: share either way")
    confidence: Confidence = 0.95
    outputs: str = Field("", description="where runs are written; empty: outputs/")

    @property
    def looks(self) -> dict[str, Any]:
        """The keywords of `tta.predict_views` that say how an image is looked at."""
        strengths = ("rotation", "zoom", "shift", "brightness", "contrast")
        drawn = {"augmentation": self.values_of(strengths) | {"flips": True}}
        return self.values_of(("views", "n_views", "seed")) | drawn


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

    @property
    def thresholds(self) -> tuple[float, ...]:
        """Where labels are cut by the score; none where they are soft."""
        return (self.low, self.high) if self.method == "hard" else ()


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


class Look(Parameters):
    """04c_look: what does a model say of new photographs, and how far may it be believed?"""

    stage: ClassVar[str] = "04c_look"
    pictures: Annotated[list[str], BeforeValidator(_listed)] = Field(
        [], description="files and folders of pictures; none: a dozen are drawn"
    )
    labels: str = Field("", description="CSV of what is known of them; empty: that beside them")
    run: Name = Field("demo", description="name of the result")
    train_run: Name = Field("demo", description="of 03_train: the networks")
    predictions: str = Field(
        "04_predict/demo", description="their out-of-fold scores; empty: those of the training"
    )
    report: str = Field(
        "", description="of 06_report, that judged these: its calibrator, threshold and sets"
    )
    chosen: str = Field("", description="operating_point.json; wins over the report's threshold")
    n_known: int = Field(2000, ge=50, description="known lesions compared, the rarer class first")
    neighbours: int = Field(6, ge=0, le=24, description="of the known, shown beside each picture")
    turned_away: float = Field(
        0.005, gt=0, lt=0.5, description="share of known positives that may look unlike the rest"
    )
    batch_size: int = Field(
        16, ge=1, description="for each replica; few pictures fill no large one"
    )
    seed: int = Field(0, ge=0, description="of every random choice")
    outputs: str = Field("", description="where runs are written; empty: outputs/")
