"""What 04_predict, 04b_pseudo_label, 04c_look, 05_ensemble and 05b_ablation take."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field

from melnb.params.base import Confidence, Engine, Name, Parameters, Rules
from melnb.params.report import COLUMNS, ForeignColumns, Runs


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


# What 05_ensemble and 05b_ablation take.

MOST_MEMBERS = 18  # of an exhaustive search: minutes


class Ensemble(Parameters):
    """05_ensemble: align by image id, blend."""

    stage: ClassVar[str] = "05_ensemble"
    run: Name = Field("demo", description="name of the result")
    members: Runs = Field(
        ["04_predict/demo"], min_length=1, description="runs (stage/run) or CSV files"
    )
    columns: ForeignColumns = Field({}, description=COLUMNS)
    shared_only: bool = Field(False, description="leave out images that a member lacks")
    method: Literal[
        "mean", "rank", "weighted", "fitted", "logit", "power", "logistic", "boosted"
    ] = Field("mean", description="of blending; the last two are stackers")
    weights: list[float] = Field([], description="one for each member; method weighted needs them")
    exponent: float = Field(2.0, ge=-20, le=20, description="method power: 1 is the mean")
    ridge: float = Field(1.0, gt=0, description="method logistic: pull to the equal mean")
    nonnegative: bool = Field(False, description="stackers: no member counts against itself")
    rank_within_fold: bool = Field(False, description="method rank: rank each fold by itself")
    select: Literal["none", "greedy", "exhaustive"] = Field(
        "none", description="members, by out-of-fold rows of the other folds"
    )
    select_steps: int = Field(50, ge=1, le=500, description="greedy: members added, one by one")
    select_replace: bool = Field(True, description="greedy: a member may be added again")
    within_patient: Literal["", "z", "rank"] = Field(
        "", description="move scores by their standing among a patient's"
    )
    recipe: str = Field("", description="05_ensemble/<run>: blend with its frozen weights")
    positive: str = Field("melanoma", description="the class that scores are for")
    seed: int = Field(0, ge=0, description="of resampling")
    confidence: Confidence = 0.95
    outputs: str = Field("", description="where runs are written; empty: outputs/")

    @property
    def blending(self) -> dict[str, Any]:
        """The keywords of `evaluation.weights_table` and `evaluation.blend`."""
        return self.values_of(
            (
                "method", "weights", "exponent", "ridge", "nonnegative", "rank_within_fold",
                "positive", "seed",
            )
        )  # fmt: skip

    @property
    def selection(self) -> dict[str, Any]:
        """The keywords of `evaluation.select_members`."""
        return {
            "select": self.select, "steps": self.select_steps, "replace": self.select_replace,
            **self.values_of(("positive", "method", "rank_within_fold")),
        }  # fmt: skip

    @property
    def judged_alone(self) -> list[str]:
        """The members whose networks are blended one by one: none of another blend than theirs."""
        return [] if self.within_patient or self.shared_only else list(self.members)

    rules: ClassVar[Rules] = (
        (
            lambda p: p.method == "weighted" and not p.weights,
            "method weighted needs weights, one for each member",
        ),
        (
            lambda p: bool(p.weights) and p.method not in ("weighted", "rank", "logit", "power"),
            "weights need method weighted, rank, logit or power, not {method}",
        ),
        (
            lambda p: bool(p.weights) and len(p.weights) != len(p.members),
            "weights {weights} are not as many as members {members}",
        ),
        (
            lambda p: p.select != "none" and (p.method not in ("mean", "rank") or bool(p.weights)),
            "what select {select} takes is blended by method mean or rank, without weights",
        ),
        (
            lambda p: p.select == "exhaustive" and len(p.members) > MOST_MEMBERS,
            f"select exhaustive takes {MOST_MEMBERS} members at most: beyond, use greedy",
        ),
        (
            lambda p: (
                bool(p.recipe)
                and (
                    p.method != "mean" or p.select != "none" or bool(p.weights or p.within_patient)
                )
            ),
            "recipe {recipe} says how to blend: leave method, weights, select and within_patient "
            "out",
        ),
        (
            lambda p: bool(p.recipe) and not p.recipe.startswith("05_ensemble/"),
            "recipe {recipe} is no run of 05_ensemble: write 05_ensemble/<run>",
        ),
    )


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
    confidence: Confidence = 0.95
    outputs: str = Field("", description="where runs are written; empty: outputs/")
