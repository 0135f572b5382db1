import pandas as pd
import pytest

from melnb.display.plots import discrimination


@pytest.fixture
def path() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "size": [1, 2, 3], "members": ["b", "a + b", "a + b + c"], "added": ["b", "a", "c"],
            "chosen": [False, True, False], "apparent": [0.8, 0.86, 0.85],
            "honest": [0.8, 0.84, 0.85], "low": [0.7, 0.8, 0.8], "high": [0.9, 0.9, 0.9],
        }
    )  # fmt: skip


def test_honest_and_apparent_areas_by_size(path: pd.DataFrame) -> None:
    figure = discrimination.path_table(path)
    assert figure.layout.title.text == "Best blend of each size: that of 2 chosen"
    assert figure.layout.yaxis.title.text == "AUC, out of fold"
    lines = {t.name: t for t in figure.data if t.name}
    assert list(lines["apparent: chosen by all rows"].y) == [0.8, 0.86, 0.85]
    assert list(lines["honest: chosen without the fold"].y) == [0.8, 0.84, 0.85]
    assert list(lines["chosen"].x) == [2]


def test_steps_are_named_where_each_adds_one(path: pd.DataFrame) -> None:
    figure = discrimination.path_table(path)
    assert figure.layout.xaxis.title.text == "Member added"
    assert list(figure.layout.xaxis.ticktext) == ["1 b", "2 a", "3 c"]
    other = discrimination.path_table(path.assign(added=["b", "", "c"]), title="Subsets")
    assert other.layout.title.text == "Subsets"
    assert other.layout.xaxis.title.text == "Members in the blend"
    assert other.layout.xaxis.ticktext is None
    assert other.layout.xaxis.dtick == 1


def test_members_among_the_best() -> None:
    table = pd.DataFrame(
        {"member": ["a", "b"], "share": [1.0, 0.4], "folds": [1.0, 0.2], "weight": [1, 0], "n": 50}
    )
    figure = discrimination.member_frequency(table)
    assert figure.layout.title.text == "How often is each member among the best 50 blends?"
    bars, marks = figure.data
    assert list(bars.x) == [1.0, 0.4]
    assert list(bars.y) == list(marks.y) == ["a", "b"]
    assert list(marks.x) == [1.0, 0.2]
    assert figure.layout.xaxis.title.text == "Share"


def test_without_a_search_there_is_no_figure(path: pd.DataFrame) -> None:
    assert discrimination.path_table(path.head(0)) is None
    assert discrimination.member_frequency(pd.DataFrame(columns=["member", "n"])) is None
    alone = pd.DataFrame({"what": ["selected members"], "pairs": ["all"]})
    assert discrimination.optimism_table(alone) is None


def test_gains_stand_beside_their_luck() -> None:
    table = pd.DataFrame(
        {
            "what": ["selected members", "gain over the mean of all"], "pairs": ["all", "all"],
            "apparent": [0.9, 0.02], "honest": [0.89, 0.01], "low": [0.8, -0.01],
            "high": [0.95, 0.03], "optimism": [0.01, 0.01], "n": [100, 100],
        }
    )  # fmt: skip
    figure = discrimination.optimism_table(table)
    honest, apparent = figure.data
    assert (honest.name, apparent.name) == ("honest", "apparent")
    assert list(honest.y) == list(apparent.y) == ["over the mean of all, pairs: all"]
    assert list(honest.x) == [0.01]
    assert list(apparent.x) == [0.02]
    assert figure.layout.shapes[0].x0 == 0
    assert figure.layout.xaxis.title.text == "Gain of AUC"
