"""Members joined by id: what differs is named, and no patient teaches and is judged."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from melnb.evaluation.ensembles import alignment, blends
from melnb.tables.checks import TEST, TableError

Make = Callable[..., pd.DataFrame]


def members_of(binary: Make, n: int = 40) -> dict[str, pd.DataFrame]:
    """Three members of the same rows, three folds and a test part without truths."""
    draw = np.random.default_rng(0)
    truth, fold = draw.random(n) < 0.4, np.arange(n) % 4 - 1
    words = [None if f == TEST else bool(t) for f, t in zip(fold, truth, strict=True)]
    score = {name: np.round(draw.random(n), 2) for name in ("good", "fair", "noise")}
    return {name: binary(words, own, fold=fold, run=name) for name, own in score.items()}


def test_missing_images_are_named_member_by_member(binary: Make) -> None:
    tables = members_of(binary)
    tables["good"] = tables["good"].drop(index=[3, 5])
    tables["noise"] = tables["noise"].drop(index=7)
    with pytest.raises(TableError) as error:
        blends.blend(tables)
    assert "good lacks 2 (i00003, i00005); noise lacks 1 (i00007)" in str(error.value)
    assert "fair" not in str(error.value)
    assert "shared_only=true" in str(error.value)


def test_a_member_without_a_row_out_of_fold_is_named(binary: Make) -> None:
    tables = members_of(binary)
    judged = {name: table[table["fold"] != TEST] for name, table in tables.items()}
    with pytest.raises(TableError, match=r"member fair has no row out of fold.*shared_only true"):
        alignment.align(judged | {"fair": judged["fair"].head(0)})


@pytest.mark.parametrize("method", ["mean", "rank", "logit", "power"])
def test_what_fits_nothing_blends_members_of_other_folds(binary: Make, method: Any) -> None:
    tables = members_of(binary)
    moved = tables["fair"]["fold"].replace({0: 1, 1: 2, 2: 0})
    other = tables | {"fair": tables["fair"].assign(fold=moved)}
    made, same = (blends.blend(t, method=method) for t in (other, tables))
    pd.testing.assert_frame_equal(made, same)
    table = blends.weights_table(other, method=method)
    assert table["weight"].tolist() == pytest.approx([1 / 3] * len(table))
    assert len(blends.member_contribution(other, positive="melanoma", method=method)) == 3
    assert len(blends.member_correlation(other, positive="melanoma")) == 3


def test_each_member_is_ranked_within_its_own_folds(binary: Make) -> None:
    tables = members_of(binary)
    own = tables["fair"]["fold"]
    moved = own.mask(own >= 0, (np.arange(len(own)) % 2))
    other = {"good": tables["good"], "fair": tables["fair"].assign(fold=moved)}
    made = blends.blend(other, method="rank", rank_within_fold=True)
    ranks = [t.groupby("fold")["p_melanoma"].rank(pct=True) for t in other.values()]
    assert made["p_melanoma"].to_numpy() == pytest.approx(sum(ranks).to_numpy() / 2, abs=1e-12)


def test_what_is_fitted_needs_the_same_folds(binary: Make) -> None:
    tables = members_of(binary)
    moved = tables["fair"]["fold"].replace({0: 1, 1: 2, 2: 0})
    other = tables | {"fair": tables["fair"].assign(fold=moved)}
    for method in ("fitted", "logistic"):
        with pytest.raises(TableError, match="without select, need no same folds"):
            blends.blend(other, method=method, positive="melanoma")  # type: ignore[arg-type]
    test = tables["fair"].assign(fold=-1)
    with pytest.raises(TableError, match=r"is of fold -1, but 0 in another .* column of truths"):
        blends.blend(tables | {"fair": test})


def test_members_must_agree(binary: Make, many_classes: Make) -> None:
    tables = members_of(binary)
    moved = tables["fair"].assign(fold=tables["fair"]["fold"].replace({0: 1}))
    with pytest.raises(TableError, match="member fair: fold of i00001 is 1, but 0"):
        alignment.align(tables | {"fair": moved})
    turned = {"melanoma": "other", "other": "melanoma"}
    lying = tables["fair"].assign(truth=tables["fair"]["truth"].replace(turned))
    with pytest.raises(TableError, match="member fair: truth of i00001"):
        alignment.align(tables | {"fair": lying})
    renamed = tables["fair"].rename(columns={"p_other": "p_nevus"})
    renamed["truth"] = renamed["truth"].replace({"other": "nevus"})
    with pytest.raises(TableError, match="member fair has the classes"):
        alignment.align(tables | {"fair": renamed})
    broken = tables["fair"].assign(p_melanoma=np.nan)
    with pytest.raises(TableError, match="member fair: predictions"):
        alignment.align(tables | {"fair": broken})
    with pytest.raises(TableError, match="no members"):
        alignment.align({})


def test_what_one_member_knows_all_know(binary: Make) -> None:
    tables = members_of(binary)
    known = tables["fair"].assign(truth="other", patient_id=tables["fair"]["image_id"].str[:4])
    known["truth"] = known["truth"].where(known["fold"] == -1, tables["fair"]["truth"])
    made = blends.blend(tables | {"fair": known.sample(frac=1, random_state=1)})
    assert made["truth"].notna().all()
    assert (made["patient_id"] == made["image_id"].str[:4]).all()


def test_classes_are_joined_by_name(binary: Make) -> None:
    tables = members_of(binary)
    columns = list(tables["fair"].columns)
    columns[3], columns[4] = columns[4], columns[3]
    swapped = tables | {"fair": tables["fair"][columns]}
    pd.testing.assert_frame_equal(blends.blend(tables), blends.blend(swapped))


@pytest.mark.parametrize("group", ["patient_id", "lesion_id"])
@pytest.mark.parametrize("method", ["fitted", "logistic", "boosted"])
def test_who_lies_in_two_folds_is_refused(binary: Make, method: blends.Method, group: str) -> None:
    tables = members_of(binary)
    names = tables["fair"]["fold"].map(lambda k: f"p{k}")
    names[1] = "p2"  # an image of fold 0
    tables["fair"] = tables["fair"].assign(**{group: names})
    with pytest.raises(TableError, match=rf"{group} 'p2' lies in 2 folds \(1 such\)"):
        blends.blend(tables, method=method)
    assert len(blends.blend(tables)) == 40  # nothing is fitted, so nothing leaks


def test_the_teachers_of_a_fold_are_the_other_folds(binary: Make) -> None:
    table = members_of(binary)["good"]
    table = table.assign(truth=table["truth"].fillna("other"), patient_id=np.nan)
    fold = table["fold"].to_numpy()
    found = {k: (own, teachers) for k, own, teachers in alignment.teaching_rows(table)}
    assert list(found) == [-1, 0, 1, 2]
    for k, (own, teachers) in found.items():
        assert (own == (fold == k)).all()
        assert (teachers == ((fold != k) & (fold != TEST))).all()


def test_images_that_all_members_hold_are_kept_and_the_others_counted(binary: Make) -> None:
    tables = members_of(binary)
    tables["good"] = tables["good"].drop(index=[3, 5])
    tables["noise"] = tables["noise"].drop(index=7).sample(frac=1, random_state=0)
    kept, counts = alignment.shared_images(tables)
    assert {len(table) for table in kept.values()} == {37}
    assert counts["member"].tolist() == ["good", "fair", "noise"]
    assert counts["images"].tolist() == [38, 40, 39]
    assert counts["left_out"].tolist() == [1, 3, 2]
    assert counts["example"].tolist() == ["i00007", "i00003", "i00003"]
    alignment.align(kept)
    same, lacking = alignment.shared_images(tables, only=False)
    assert all(same[name] is table for name, table in tables.items())
    pd.testing.assert_frame_equal(lacking, counts)
    strangers = tables["fair"].assign(image_id="x" + tables["fair"]["image_id"])
    with pytest.raises(TableError, match="not one image is held by all of"):
        alignment.shared_images(tables | {"fair": strangers})


def test_members_are_one_whatever_each_calls_the_images(binary: Make) -> None:
    tables = members_of(binary)
    ids = tables["fair"]["image_id"]
    named = tables | {"fair": tables["fair"].assign(image_id=ids.str.upper() + ".jpg")}
    named["noise"] = tables["noise"].assign(image_id=ids + "_downsampled")
    for own, other in zip(blends.align(named).values(), blends.align(tables).values(), strict=True):
        pd.testing.assert_frame_equal(own, other)
    kept, counts = alignment.shared_images(named)
    assert counts["left_out"].tolist() == [0, 0, 0]
    assert kept["noise"]["image_id"].equals(ids)


def test_a_member_that_has_an_image_twice_keeps_its_names(binary: Make) -> None:
    """Which of the two is the other's cannot be told: the lack is named."""
    tables = {name: table.head(8) for name, table in members_of(binary).items()}
    ids = tables["fair"]["image_id"].tolist()
    ids[1] = f"{ids[2]}_downsampled"
    with pytest.raises(TableError, match="members hold different images"):
        blends.align(tables | {"fair": tables["fair"].assign(image_id=ids)})
