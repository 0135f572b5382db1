"""What 05_ensemble and 05b_ablation take."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from melnb.params.base import Confidence, Name, Parameters
from melnb.params.report import COLUMNS, ForeignColumns, Runs

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

    @model_validator(mode="after")
    def _weights_match(self) -> Self:
        if self.method == "weighted" and not self.weights:
            raise ValueError(f"weights has 0 values for {len(self.members)} members")
        if self.weights and self.method not in ("weighted", "rank", "logit", "power"):
            raise ValueError(f"weights is given but method is {self.method!r}: say weighted")
        if self.weights and len(self.weights) != len(self.members):
            raise ValueError(
                f"weights has {len(self.weights)} values for {len(self.members)} members"
            )
        return self

    @model_validator(mode="after")
    def _a_selection_can_be_blended(self) -> Self:
        if self.select != "none" and (self.method not in ("mean", "rank") or self.weights):
            raise ValueError(
                f"select is {self.select!r}, but method is {self.method!r} and weights "
                f"{self.weights}: what is selected is blended by mean or rank, without weights"
            )
        if self.select == "exhaustive" and len(self.members) > MOST_MEMBERS:
            raise ValueError(
                f"select is 'exhaustive' for {len(self.members)} members, "
                f"{2 ** len(self.members) - 1:,} subsets: use greedy beyond {MOST_MEMBERS}"
            )
        return self

    @model_validator(mode="after")
    def _a_recipe_is_applied_as_it_is(self) -> Self:
        changed = {
            "method": self.method != "mean", "weights": bool(self.weights),
            "select": self.select != "none", "within_patient": bool(self.within_patient),
        }  # fmt: skip
        if self.recipe and any(changed.values()):
            name = next(name for name, given in changed.items() if given)
            raise ValueError(
                f"recipe is {self.recipe!r}, which says how to blend, but {name} is "
                f"{getattr(self, name)!r}: leave one of them out"
            )
        if self.recipe and not self.recipe.startswith("05_ensemble/"):
            raise ValueError(f"recipe is {self.recipe!r}: name a run as 05_ensemble/<run>")
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
    confidence: Confidence = 0.95
    outputs: str = Field("", description="where runs are written; empty: outputs/")
