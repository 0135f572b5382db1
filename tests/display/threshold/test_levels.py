import pandas as pd
import pytest

from melnb.display.threshold.panels import groupings
from melnb.evaluation.subgroups.subgroup_metrics import subgroup_columns
from melnb.tables.checks import TableError


def rows(ids: str) -> pd.DataFrame:
    return pd.DataFrame({"image_id": list(ids)})


def test_levels_are_joined_by_id_and_what_is_not_known_is_last() -> None:
    groups = pd.DataFrame({"image_id": ["b", "a", "c"], "sex": ["male", "female", None]})
    (sex,) = groupings(rows("abcz"), groups)
    assert (sex.column, sex.levels) == ("sex", ("female", "male", "unknown"))
    assert sex.codes.tolist() == [0, 1, 2, 2]
    assert groupings(rows("ab"), None) == []


def test_bands_keep_their_order_and_empty_ones_go() -> None:
    bands = pd.Categorical(["10+", "2–9"], categories=["0–1", "2–9", "10+"], ordered=True)
    (age,) = groupings(rows("ab"), pd.DataFrame({"image_id": ["a", "b"], "age": bands}))
    assert age.levels == ("2–9", "10+")
    assert age.codes.tolist() == [1, 0]


def test_the_columns_of_subgroups_can_be_shown(images: pd.DataFrame) -> None:
    made = groupings(images, subgroup_columns(images))
    assert [g.column for g in made][:3] == ["sex", "age", "site"]
    assert all(len(g.codes) == 12 for g in made)


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ({"id": ["a"]}, "need an image_id"),
        ({"image_id": ["a", "a"], "sex": ["m", "f"]}, "stands once"),
        ({"image_id": list("abcdefghijklm"), "n": list("ABCDEFGHIJKLM")}, "n has 13 levels, 12 at"),
    ],
)
def test_groups_that_cannot_be_shown_are_refused(
    groups: dict[str, list[str]], message: str
) -> None:
    with pytest.raises(TableError, match=message):
        groupings(rows("abcdefghijklm"), pd.DataFrame(groups))
