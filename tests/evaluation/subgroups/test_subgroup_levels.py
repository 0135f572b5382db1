"""Levels: every image has one in each column, and what is missing is a level of its own."""

import numpy as np
import pandas as pd
import pytest

from melnb.evaluation.subgroups.subgroup_metrics import UNKNOWN, join_levels, subgroup_columns
from melnb.tables.checks import TableError


def images(**columns: list[object]) -> pd.DataFrame:
    number = len(next(iter(columns.values())))
    return pd.DataFrame({"image_id": [f"i{k}" for k in range(number)], **columns})


def test_ages_and_sizes_become_bands_in_order() -> None:
    made = subgroup_columns(
        images(
            age=[0, 29.0, 30, 39, 80, 120, np.nan, 55],
            width=pd.array([200, 600, 1000, 1024, 6000, 4000, None, 400], dtype="Int64"),
            height=pd.array([150, 450, 1000, 1024, 4000, 2000, None, 300], dtype="Int64"),
        )
    )
    ages = ["< 30", "< 30", "30–39", "30–39", "80+", "80+", UNKNOWN, "50–59"]
    assert made["age"].tolist() == ages
    assert made["age"].cat.categories.tolist() == ["< 30", "30–39", "50–59", "80+", UNKNOWN]
    sizes = ["< 0.1 MP", "0.1–0.5 MP", "1–2 MP", "1–2 MP", "10+ MP", "5–10 MP"]
    assert made["picture_size"].tolist() == [*sizes, UNKNOWN, "0.1–0.5 MP"]


def test_words_stay_and_what_parts_nothing_is_left_out() -> None:
    made = subgroup_columns(
        images(
            sex=["male", np.nan, "female"],
            site=["torso"] * 3,
            source=[np.nan] * 3,
            diagnosis=["nevus", "melanoma", "unknown"],
        )
    )
    assert made.columns.tolist() == ["image_id", "sex", "diagnosis"]
    assert made.attrs["left_out"] == ["site", "source"]
    assert made["sex"].cat.categories.tolist() == ["female", "male", UNKNOWN]
    assert made["diagnosis"].cat.categories.tolist() == ["melanoma", "nevus", UNKNOWN]
    assert subgroup_columns(images(sex=[]).head(0)).columns.tolist() == ["image_id"]


def test_tones_run_from_the_lightest_and_are_joined_by_id() -> None:
    measures = pd.DataFrame(
        {
            "image_id": ["i3", "i1", "i0", "else"],
            "ita": [-40.0, 60, 5, 70],
            "skin_tone": ["dark", "very light", "brown", "very light"],
        }
    )
    made = subgroup_columns(images(sex=["male"] * 4), measures)
    assert made["skin_tone"].tolist() == ["brown", "very light", UNKNOWN, "dark"]
    names = made["skin_tone"].cat.categories.tolist()
    assert names == ["very light", "brown", "dark", UNKNOWN]
    with pytest.raises(TableError, match=r"measures: no column \['skin_tone'\]"):
        subgroup_columns(images(sex=["male"]), measures.drop(columns="skin_tone"))


def test_a_measures_table_without_a_tone_parts_nothing() -> None:
    nothing = pd.DataFrame({"image_id": ["i0", "i1"], "ita": np.nan, "skin_tone": np.nan})
    made = subgroup_columns(images(sex=["male", "female"]), nothing)
    assert made.attrs["left_out"] == ["skin_tone"]


def test_levels_are_joined_by_id_and_strangers_are_unknown() -> None:
    groups = pd.DataFrame(
        {
            "image_id": ["b", "a"],
            "size": pd.Categorical(["small", "large"], ["small", "large"], ordered=True),
            "camera": ["x", np.nan],
        }
    )
    made = join_levels(pd.DataFrame({"image_id": ["a", "b", "c"]}), groups)
    assert list(made["size"]) == ["large", "small", UNKNOWN]
    assert list(made["size"].categories) == ["small", "large", UNKNOWN]
    assert list(made["camera"]) == [UNKNOWN, "x", UNKNOWN]
    assert list(join_levels(pd.DataFrame({"image_id": ["a"]}), groups, columns=["size"])) == [
        "size"
    ]


def test_groups_that_do_not_fit_are_refused() -> None:
    groups = pd.DataFrame({"image_id": ["a", "b"], "sex": ["male", "female"]})
    rows = pd.DataFrame({"image_id": ["x", "y"]})
    with pytest.raises(TableError, match="none of the 2 images"):
        join_levels(rows, groups)
    with pytest.raises(TableError, match=r"no column \['tone'\]"):
        join_levels(rows, groups, columns=["tone"])
    with pytest.raises(TableError, match="stands once a row"):
        join_levels(rows, pd.concat([groups, groups]))
