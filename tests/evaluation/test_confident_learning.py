"""Label errors: the confident joint of the paper, and planted flips ranked first."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score

from melnb.evaluation.confident_learning import (
    LABEL_COLUMNS,
    confident_labels,
    label_error_finding,
    label_errors,
)
from melnb.tables.checks import TableError
from melnb.tables.findings import NOT_CHECKED, PASS, REVIEW


def predictions(truth: list[str], values: np.ndarray) -> pd.DataFrame:
    names = [f"p_{c}" for c in "abc"[: values.shape[1]]]
    table = pd.DataFrame(values, columns=names)
    table.insert(0, "truth", truth)
    table.insert(0, "fold", 0)
    table.insert(0, "image_id", [f"i{k}" for k in range(len(table))])
    return table.assign(run="r", views="none", kind="probability")


def test_a_class_is_confident_where_it_reaches_the_mean_of_its_own_images() -> None:
    """By hand: the means are .7 for a (of .9, .8, .4) and .6 for b (of .7, .5)."""
    values = np.array([[0.9, 0.1], [0.8, 0.2], [0.4, 0.6], [0.3, 0.7], [0.5, 0.5]])
    table = confident_labels(predictions([*"aaabb"], values))
    assert table["suggested"].tolist() == ["", "", "b", "", ""]
    assert table["own"].tolist() == [0.9, 0.8, 0.4, 0.7, 0.5]


def planted(rate: float = 0.1, n: int = 900) -> tuple[pd.DataFrame, pd.DataFrame, np.ndarray]:
    """Three classes, some labels flipped; a model and neighbours that err apart."""
    rng = np.random.default_rng(0)
    right = rng.integers(0, 3, n)
    flipped = rng.random(n) < rate
    label = np.where(flipped, (right + rng.integers(1, 3, n)) % 3, right)
    logits = 2 * np.eye(3)[right] + rng.normal(size=(n, 3))
    values = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    names = np.array([*"abc"], dtype=object)
    near = pd.DataFrame({"image_id": np.repeat([f"i{k}" for k in range(n)], 10)})
    said = np.where(rng.random(10 * n) < 0.6, np.repeat(right, 10), rng.integers(0, 3, 10 * n))
    near["neighbour_target"] = names[said]
    return predictions(list(names[label]), values), near, flipped


def precision(errors: pd.DataFrame, flipped: np.ndarray) -> float:
    rows = errors["image_id"].str[1:].astype(int)
    return float(average_precision_score(flipped[rows], errors["doubt"]))


def test_neighbours_find_planted_flips_that_the_model_alone_ranks_lower() -> None:
    table, near, flipped = planted()
    alone, both = label_errors([table]), label_errors([table], near)
    assert list(both.columns) == list(LABEL_COLUMNS)
    assert sorted(both["image_id"]) == sorted(table["image_id"])
    assert precision(both, flipped) > precision(alone, flipped) + 0.15
    assert precision(both, flipped) > 0.85
    assert both["doubt"].is_monotonic_decreasing
    assert alone["neighbours"].isna().all()
    assert (both["suggested"] != both["truth"]).all()


def test_a_rare_label_is_not_doubted_for_its_rarity_twice() -> None:
    """By hand: no neighbour of ten bears b, a tenth of the labels; (0 + 5 (.1 + .5) / 2) / 15."""
    table = predictions(["b", *"aaaaaaaaa"], np.full((10, 2), 0.5))
    near = pd.DataFrame({"image_id": np.repeat(table["image_id"], 10), "neighbour_target": "a"})
    errors = label_errors([table], near).set_index("image_id")["doubt"]
    assert errors["i0"] == pytest.approx(-np.log(0.1), rel=1e-3)
    assert errors["i1"] == pytest.approx(-np.log(0.9), rel=2e-3)


def test_the_finding_counts_those_in_doubt() -> None:
    table, near, _ = planted()
    clean, around, _ = planted(rate=0.0)
    assert label_error_finding(label_errors([table], near)).severity == REVIEW
    assert label_error_finding(label_errors([clean], around)).severity == PASS
    assert label_error_finding(label_errors([])).severity == NOT_CHECKED


def test_limits_a_class_of_no_image_test_rows_and_none() -> None:
    values = np.array([[0.9, 0.05, 0.05], [0.2, 0.7, 0.1]])
    table = confident_labels(predictions(["a", "b"], values))
    assert table["suggested"].tolist() == ["", ""]
    test = predictions(["a", "b"], values).assign(fold=-1)
    with pytest.raises(TableError, match="no out-of-fold row"):
        confident_labels(test)
    zero = label_errors([predictions(["a", "b"], np.eye(3)[[1, 0]])])
    assert np.isfinite(zero["doubt"]).all()
