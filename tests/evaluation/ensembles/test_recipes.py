"""A frozen blend: the same numbers again from its file, and nobody else's members."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from melnb.evaluation.challenges.foreign import read_foreign
from melnb.evaluation.ensembles import blends, recipes
from melnb.tables.checks import TEST, TableError

Make = Callable[..., pd.DataFrame]
METHODS = ("mean", "rank", "weighted", "fitted", "logit", "power", "logistic")


def members_of(binary: Make, n: int = 200) -> dict[str, pd.DataFrame]:
    draw = np.random.default_rng(0)
    truth, fold = draw.random(n) < 0.4, np.arange(n) % 4 - 1
    words = [None if f == TEST else bool(t) for f, t in zip(fold, truth, strict=True)]
    made = {}
    for name, gain in (("04_predict/b", 2.0), ("04_predict/a", 1.0), ("meta", 0.3)):
        score = 1 / (1 + np.exp(-gain * (2 * truth - 1) - draw.normal(size=n)))
        made[name] = binary(words, np.round(score, 2), fold=fold, run=name)
    return made


@pytest.mark.parametrize("method", METHODS)
def test_test_rows_get_the_same_from_the_file(
    binary: Make, tmp_path: Path, method: blends.Method
) -> None:
    tables = members_of(binary)
    how: dict[str, object] = {"method": method, "positive": "melanoma", "exponent": 3.0}
    if method in ("weighted", "rank", "power"):
        how["weights"] = [3, 2, 1]
    blended = blends.blend(tables, run="both", **how)  # type: ignore[arg-type]
    recipe = blends.fit_recipe(tables, **how)  # type: ignore[arg-type]
    read = recipes.read_recipe(recipes.write_recipe(recipe, tmp_path / "recipe.json"))
    assert read == recipe
    new = {n: tables[n][tables[n]["fold"] == TEST] for n in sorted(tables)}
    turned = ["image_id", "fold", "truth", "p_melanoma", "p_other", "run", "views", "kind"]
    new["meta"] = new["meta"][turned].sample(frac=1, random_state=0)
    made = recipes.apply_recipe(read, new, run="both")
    wanted = blended[blended["fold"] == TEST].reset_index(drop=True)
    pd.testing.assert_frame_equal(made, wanted, check_exact=True)


def test_the_file_is_plain(binary: Make, tmp_path: Path) -> None:
    recipe = blends.fit_recipe(members_of(binary), method="weighted", weights=[3, 1, 0])
    path = recipes.write_recipe(recipe, tmp_path / "new" / "recipe.json")
    read = json.loads(path.read_text(encoding="utf-8"))
    assert read["members"] == {"04_predict/b": 0.75, "04_predict/a": 0.25, "meta": 0.0}
    assert (read["melnb"], read["method"]) == ("blend", "weighted")
    assert list(path.parent.iterdir()) == [path]


def test_a_write_that_fails_leaves_the_file(binary: Make, tmp_path: Path) -> None:
    recipe = blends.fit_recipe(members_of(binary))
    path = recipes.write_recipe(recipe, tmp_path / "recipe.json")
    broken = recipes.Recipe(**vars(recipe) | {"members": {"a": float("nan")}})
    with pytest.raises(ValueError, match="not JSON compliant"):
        recipes.write_recipe(broken, path)
    assert recipes.read_recipe(path) == recipe
    assert list(tmp_path.iterdir()) == [path]


def test_other_members_are_refused(binary: Make) -> None:
    tables = members_of(binary)
    recipe = blends.fit_recipe(tables, method="fitted")
    other = {"04_predict/b": tables["04_predict/b"], "04_predict/c": tables["meta"]}
    with pytest.raises(TableError) as error:
        recipes.apply_recipe(recipe, other)
    assert "['04_predict/b', '04_predict/c']" in str(error.value)
    assert "['04_predict/a', '04_predict/b', 'meta']" in str(error.value)
    assert "without ['04_predict/a', 'meta'], and beyond it ['04_predict/c']" in str(error.value)
    scores = tables | {"meta": tables["meta"].assign(kind="score")}
    with pytest.raises(TableError, match="member meta is of kind 'score'"):
        recipes.apply_recipe(recipe, scores)
    words = {"p_other": "p_nevus"}
    renamed = {
        n: t.rename(columns=words).assign(truth=t["truth"].replace({"other": "nevus"}))
        for n, t in tables.items()
    }
    with pytest.raises(TableError, match="the recipe's \\['other', 'melanoma'\\]"):
        recipes.apply_recipe(recipe, renamed)
    nothing = tables["meta"].assign(p_melanoma=np.nan)
    with pytest.raises(TableError, match="not between 0 and 1"):
        recipes.apply_recipe(recipe, tables | {"meta": nothing})


def test_trees_are_no_recipe_and_nothing_is_written_or_said_of_networks(
    binary: Make, tmp_path: Path
) -> None:
    recipe = blends.fit_recipe(members_of(binary), method="boosted")
    assert recipe is None
    assert not recipes.write_recipe(recipe, tmp_path / "recipe.json").exists()
    assert recipes.apply_to_networks(recipe, {}) == {}


def test_a_recipe_that_is_given_is_the_blend_its_weights_and_what_is_written(
    binary: Make, tmp_path: Path
) -> None:
    tables = members_of(binary)
    weights = [0.5, 0.25, 0.25]
    recipe = blends.fit_recipe(tables, method="weighted", weights=weights)
    recipes.write_recipe(recipe, tmp_path / recipes.FILE)
    given = recipes.given_recipe([tmp_path])
    assert given == recipe
    assert blends.fit_recipe(tables, recipe=given) is given
    ours = blends.blend(tables, recipe=given, run="r")
    pd.testing.assert_frame_equal(ours, recipes.apply_recipe(recipe, tables, run="r"))
    listed = blends.weights_table(tables, recipe=given)
    theirs = blends.weights_table(tables, method="weighted", weights=weights)
    pd.testing.assert_frame_equal(listed, theirs)
    others = {f"{name}s": table for name, table in tables.items()}
    with pytest.raises(TableError, match="give predictions of the same runs"):
        blends.weights_table(others, recipe=given)
    assert recipes.given_recipe([]) is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"melnb": "operating point"}, "no recipe"),
        ({"method": "boosted"}, "method is 'boosted'"),
        ({"members": {}}, "members is {}"),
        ({"members": {"a": "much"}}, "members.a is .much., not a valid number"),
        ({"members": {"04_predict/b": -1, "04_predict/a": 1, "meta": 1}}, "0 or more"),
        ({"members": {"04_predict/b": 1}}, "do not go with"),
        ({"bias": {"nevus": 1.0}}, "do not go with"),
        ({"method": "power", "exponent": 0}, "exponent is 0"),
        ({"temperature": 2}, "temperature"),
    ],
)
def test_a_file_that_is_no_recipe(
    binary: Make, tmp_path: Path, change: dict[str, object], message: str
) -> None:
    path = recipes.write_recipe(blends.fit_recipe(members_of(binary)), tmp_path / "recipe.json")
    facts = json.loads(path.read_text(encoding="utf-8")) | change
    path.write_text(json.dumps(facts), encoding="utf-8")
    with pytest.raises(TableError, match=message):
        recipes.read_recipe(path)


def test_no_file_and_no_json(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no recipe.json in .*: write it again"):
        recipes.read_recipe(tmp_path / "recipe.json")
    for text, message in (
        ("{", "no JSON"),
        ("[]", "no recipe"),
        ('{"melnb": "blend"}', "has no .method."),
    ):
        path = tmp_path / "other.json"
        path.write_text(text, encoding="utf-8")
        with pytest.raises(TableError, match=message):
            recipes.read_recipe(path)


@pytest.mark.data
def test_the_third_places_ensemble_from_its_weights(siim_predictions: Path, tmp_path: Path) -> None:
    images = {p.stem: read_foreign(p) for p in sorted(siim_predictions.glob("submission_Eff*.csv"))}
    simple = {"metadata": read_foreign(siim_predictions / "submission_simple_baseline.csv")}
    recipe = blends.fit_recipe(images | simple, method="weighted", weights=[0.1] * 8 + [0.2])
    path = recipes.write_recipe(recipe, tmp_path / "recipe.json")
    made = recipes.apply_recipe(recipes.read_recipe(path), simple | images)
    wanted = read_foreign(siim_predictions / "ensemble.csv").set_index("image_id")["p_melanoma"]
    difference = made.set_index("image_id")["p_melanoma"] - wanted
    assert len(difference) == 10_982
    assert difference.abs().max() < 1e-12
