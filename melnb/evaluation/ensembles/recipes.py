"""A frozen blend: each member's weight by its name; written as JSON, applied to new rows."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from melnb.evaluation.discrimination.within_folds import Networks
from melnb.evaluation.ensembles import alignment
from melnb.evaluation.ensembles.alignment import Members, align
from melnb.tables.checks import TableError
from melnb.tables.documents import DamagedError, read_json, shaped
from melnb.tables.files import replacing
from melnb.tables.schema import class_names, make_predictions

Method = Literal["mean", "rank", "weighted", "fitted", "logit", "power", "logistic", "boosted"]
METHODS = ("mean", "rank", "weighted", "fitted", "logit", "power", "logistic", "boosted")
STACKERS = ("logistic", "boosted")
FILE = "recipe.json"
KIND = "blend"  # the value of the key `melnb`

_REMEDY = "write it again with 05_ensemble"


@dataclass(frozen=True)
class Recipe:
    """How members become one.

    Attributes:
        method: Of blending, any but boosted.
        members: The weight of each.
        kinds: Of each member's values: `probability` or `score`.
        classes: Of the members.
        bias: Of each class, added to its logarithm; method logistic, else empty.
        exponent: Method power.
        rank_within_fold: Whether ranks are those among rows of the same fold.
        positive: The class that scores are for; may be empty.
    """

    method: Method
    members: Mapping[str, float]
    kinds: Mapping[str, str]
    classes: tuple[str, ...]
    bias: Mapping[str, float]
    exponent: float
    rank_within_fold: bool
    positive: str

    def apply(self, values: alignment.Values, *, unit: int = 1) -> np.ndarray:
        """Return the blend of members' values (`alignment.member_values`), rows x classes.

        Args:
            values: Of each member.
            unit: Method rank: `alignment.rank_unit` of the members.
        """
        if self.method in ("logit", "logistic"):
            bias = np.array([self.bias.get(name, 0.0) for name in self.classes])
            return alignment.logarithmic_pool(values, self.members, bias)
        if self.method == "power":
            return alignment.power_pool(values, self.members, self.exponent)
        return alignment.linear_pool(values, self.members, unit=unit)


def apply_recipe(recipe: Recipe, members: Members, *, run: str = "ensemble") -> pd.DataFrame:
    """Return the members' blend with frozen weights, all rows alike.

    Rows that the recipe was fitted on are judged too well by it: give it others. Ranks are those
    among the rows given.

    Args:
        recipe: `blends.fit_recipe` or `read_recipe`.
        members: Name and predictions of each member, named as in the recipe, in any order.
        run: The name of the result.

    Raises:
        TableError: Members are named otherwise, do not align, or are of other classes or kinds.
    """
    check_members(recipe, members)
    tables = align(members, same_folds=False)
    classes = class_names(next(iter(tables.values())))
    if {*classes} != {*recipe.classes}:
        raise TableError(
            f"ensemble: the classes are {list(classes)}, and the recipe's {list(recipe.classes)}: "
            "give predictions of the same task"
        )
    for name, table in tables.items():
        kind = str(table["kind"].iloc[0])
        if kind != recipe.kinds[name]:
            raise TableError(
                f"member {name} is of kind {kind!r}, and the recipe's {recipe.kinds[name]!r}: "
                "give predictions on the scale that the weights were fitted on"
            )
    ordered = {name: table[_columns(table, recipe.classes)] for name, table in tables.items()}
    values = blend_values(ordered, recipe.method, recipe.rank_within_fold)
    unit = alignment.rank_unit(ordered, within_fold=recipe.rank_within_fold)
    blend = recipe.apply(values, unit=unit)
    return blended_table(ordered, blend, method=recipe.method, run=run)


def check_members(recipe: Recipe, members: Members) -> None:
    """Refuse members that are named otherwise than a recipe's.

    Raises:
        TableError: They are; those that lack and those beyond it are named.
    """
    lacks, more = sorted(recipe.members.keys() - members), sorted(members.keys() - recipe.members)
    if lacks or more:
        raise TableError(
            f"ensemble: the members are {sorted(members)}, and the recipe's "
            f"{sorted(recipe.members)}: without {lacks}, and beyond it {more}: "
            "give predictions of the same runs"
        )


def apply_to_networks(
    recipe: Recipe | None, members: Mapping[str, Networks], *, run: str = "ensemble"
) -> dict[int, pd.DataFrame]:
    """Return the blend of what each fold's networks alone said of test rows.

    Args:
        recipe: As of `apply_recipe`; None, of boosted trees: there is no such blend.
        members: Of each member what its networks said; one that kept nothing of them is enough for
            there to be no such blend.
        run: The name of the result.
    """
    if recipe is None or not {*recipe.members} <= {
        *members
    }:  # a file of anyone's is called otherwise
        return {}
    folds = [{*members[name]} for name in recipe.members]
    if any(names != folds[0] for names in folds):
        return {}
    return {
        fold: apply_recipe(recipe, {name: members[name][fold] for name in recipe.members}, run=run)
        for fold in sorted(folds[0])
    }


def blend_values(
    tables: Mapping[str, pd.DataFrame], method: str, rank_within_fold: bool
) -> alignment.Values:
    """Return what aligned members' rows count as in a method of blending."""
    return alignment.member_values(
        tables, ranks=method == "rank", within_fold=rank_within_fold, centred=method in STACKERS
    )


def blended_table(
    tables: Mapping[str, pd.DataFrame], values: np.ndarray, *, method: str, run: str
) -> pd.DataFrame:
    """Return the predictions table of blended values, rows x classes, of aligned members."""
    first = next(iter(tables.values()))
    views = {str(view) for table in tables.values() for view in table["views"].unique()}
    scores = any((table["kind"] == "score").any() for table in tables.values())
    blend = make_predictions(
        first["image_id"],
        first["fold"],
        first["truth"],
        values,
        classes=class_names(first),
        run=run,
        views=views.pop() if len(views) == 1 else "mixed",
        kind="score" if method == "rank" or (scores and method not in STACKERS) else "probability",
    )
    ids = [c for c in first.columns if str(c).endswith("_id") and c not in blend.columns]
    return blend.assign(**{str(c): first[c] for c in ids})


def write_recipe(recipe: Recipe | None, path: str | Path) -> Path:
    """Write a recipe as JSON, whole or not at all; numbers read back bit for bit; None: nothing."""
    if recipe is None:
        return Path(path)
    facts = {"melnb": KIND} | asdict(recipe)
    with replacing(path) as temporary:
        text = json.dumps(facts, indent=1, ensure_ascii=False, allow_nan=False)
        temporary.write_text(text + "\n", encoding="utf-8")
    return Path(path)


def given_recipe(homes: Sequence[Path]) -> Recipe | None:
    """Return the recipe of the first of finished blends, or None if none is given.

    Raises:
        FileNotFoundError: See `read_recipe`, as of the other.
        TableError: See there.
    """
    return read_recipe(homes[0] / FILE) if homes else None


def read_recipe(path: str | Path) -> Recipe:
    """Read and check a recipe.

    Raises:
        FileNotFoundError: There is no such file.
        TableError: It is no recipe, or a value of it is absent or wrong.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no {path.name} in {path.parent}: {_REMEDY}")
    try:
        read = read_json(path, _REMEDY)
        if read.pop("melnb", None) != KIND:
            raise DamagedError(path, f"it has no melnb: {KIND}", _REMEDY)
        return _checked(shaped(read, Recipe, path, _REMEDY))
    except DamagedError as error:
        problem = f"holds no recipe of a blend ({error.problem})"
        raise TableError(f"{path} {problem}: {_REMEDY}") from None
    except ValueError as error:
        raise TableError(f"{path}: {error}: {_REMEDY}") from error


def _checked(recipe: Recipe) -> Recipe:
    """Return a recipe whose values go together, or raise what is wrong with them."""
    weights, bias, classes = recipe.members, recipe.bias, recipe.classes
    if recipe.method not in METHODS or recipe.method == "boosted":
        raise ValueError(f"method is {recipe.method!r}, not one of {[*METHODS[:-1]]}")
    if not weights or not all(map(math.isfinite, [*weights.values(), *bias.values()])):
        raise ValueError(f"members is {weights} and bias {bias}, not finite numbers by name")
    if recipe.method != "logistic" and (min(weights.values()) < 0 or sum(weights.values()) <= 0):
        raise ValueError(f"members is {weights}, not weights of 0 or more")
    if recipe.kinds.keys() != weights.keys() or not {*bias} <= {*classes} or len(classes) < 2:
        raise ValueError("kinds, bias and classes do not go with the members")
    if recipe.method == "power" and not (math.isfinite(recipe.exponent) and recipe.exponent):
        raise ValueError(f"exponent is {recipe.exponent}, not a number other than 0")
    return recipe


def _columns(table: pd.DataFrame, classes: tuple[str, ...]) -> list[str]:
    """Return the table's columns with those of the classes in this order."""
    names = iter(f"p_{name}" for name in classes)
    return [next(names) if str(c).startswith("p_") else str(c) for c in table.columns]
