"""Folds: nothing that belongs together is parted, published facts, what is refused."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedGroupKFold

from melnb.data.folds import FoldError, check_balance, fold_balance, leave_out_met, make_folds
from melnb.data.sources.catalogue import describe_source
from melnb.tables.overlap import make_groups
from melnb.tables.schema import IMAGE_COLUMNS, read_images, write_images

real = pytest.mark.skipif("MELNB_DATA" not in os.environ, reason="MELNB_DATA names no real data")


def cohort(**columns: list) -> pd.DataFrame:
    """An images table with the given columns; ids are numbered."""
    n = len(next(iter(columns.values())))
    table = pd.DataFrame({name: [np.nan] * n for name in IMAGE_COLUMNS}, dtype=object)
    table["image_id"] = [f"i{k:04d}" for k in range(n)]
    return table.assign(**columns)


def lesions(n: int = 60) -> pd.DataFrame:
    """Twenty patients of three images; every fourth patient has melanoma."""
    patient = [f"p{k // 3}" for k in range(n)]
    return cohort(
        patient_id=patient, target=["melanoma" if k % 12 < 3 else "other" for k in range(n)]
    )


IDS = st.lists(
    st.tuples(
        st.sampled_from(["p1", "p2", "p3", "p4", "p5", np.nan]),
        st.sampled_from(["l1", "l2", "l3", "l4", "l5", "l6", np.nan]),
    ),
    min_size=30,
    max_size=60,
)


@settings(max_examples=settings.default.max_examples // 2)
@given(IDS, st.integers(0, 99))
def test_no_patient_and_no_lesion_is_in_two_folds(ids, seed):
    patients, lesion_ids = zip(*ids, strict=True)
    images = cohort(patient_id=list(patients), lesion_id=list(lesion_ids), target=["a"] * len(ids))
    try:
        folds = make_folds(images, n_folds=2, seed=seed)
    except FoldError:  # all may hang together
        assert len(np.unique(make_groups(images))) < 2
        return
    joined = images.assign(fold=folds["fold"].to_numpy())
    for column in ("patient_id", "lesion_id"):
        assert joined.dropna(subset=[column]).groupby(column)["fold"].nunique().max() == 1
    assert set(folds["fold"]) == {0, 1}


@settings(max_examples=settings.default.max_examples // 5)
@given(st.randoms(use_true_random=False))
def test_row_order_does_not_matter(random):
    images = lesions()
    order = list(range(len(images)))
    random.shuffle(order)
    folds = make_folds(images, n_folds=4, seed=1)
    shuffled = make_folds(images.iloc[order], n_folds=4, seed=1)
    assert shuffled["image_id"].tolist() == images["image_id"].iloc[order].tolist()
    assert shuffled.sort_values("image_id")["fold"].tolist() == folds["fold"].tolist()


def test_the_seed_matters():
    first, second = (make_folds(lesions(), n_folds=4, seed=s)["fold"] for s in (0, 1))
    assert not first.equals(second)


def test_lesions_shared_by_patients_and_copies_of_pictures_join_groups():
    images = cohort(
        patient_id=["p1", "p2", "p2", "p3", np.nan, np.nan, np.nan, np.nan],
        lesion_id=["l1", "l1", "l2", "l3", "l3", "p3", np.nan, np.nan],
    )
    identical = pd.DataFrame({"image_id": ["i0005", "i0006"], "identical": [0, 0]})
    # A lesion named as a patient is no patient: i0005 is apart from i0003.
    assert make_groups(images, identical).tolist() == [3, 3, 3, 2, 2, 0, 0, 1]


def test_copies_of_a_picture_lie_in_one_fold():
    images = lesions()
    copies = [3, 15, 33, 42]
    identical = pd.DataFrame({"image_id": images["image_id"][copies], "identical": 0})
    assert make_folds(images, n_folds=2, seed=0)["fold"][copies].nunique() == 2
    folds = make_folds(images, n_folds=2, seed=0, identical=identical)
    assert folds["fold"][copies].nunique() == 1


def test_test_rows_need_no_target_and_get_minus_one():
    images = lesions()
    images["split"] = ["test" if k >= 48 else "train" for k in range(60)]
    images.loc[48:, "target"] = np.nan
    folds = make_folds(images, n_folds=2, seed=0)
    assert folds["fold"][48:].eq(-1).all()
    assert set(folds["fold"][:48]) == {0, 1}


def test_a_patient_in_the_test_split_and_outside_is_refused():
    images = lesions()
    images["split"] = ["test" if k >= 49 else "train" for k in range(60)]
    with pytest.raises(FoldError, match=r"i0048 is to .* patient 'p16' of .*\(1 such.*leave_out"):
        make_folds(images, n_folds=2, seed=0)


def test_a_picture_in_the_test_split_and_outside_is_refused_with_its_pair():
    images = lesions().assign(split=["test"] * 6 + ["train"] * 54)
    identical = pd.DataFrame({"image_id": ["i0002", "i0050"], "identical": [0, 0]})
    with pytest.raises(FoldError, match=r"i0050 .* same picture as 'i0002' of the test split"):
        make_folds(images, n_folds=2, seed=0, identical=identical)
    within = identical.assign(image_id=["i0002", "i0005"])
    folds = make_folds(images, n_folds=2, seed=0, identical=within)
    assert folds["fold"][:6].eq(-1).all()
    marked = images[images["image_id"] != "i0002"]
    assert len(make_folds(marked, n_folds=2, seed=0, identical=identical)) == 59


def test_what_a_test_row_would_meet_again_is_left_out_and_the_test_stays_whole():
    images = lesions().assign(split=["train"] * 49 + ["test"] * 11)  # i0048 shares p16 with them
    images.attrs = {"duplicates": ["i9"]}
    identical = pd.DataFrame({"image_id": ["i0050", "i0000"], "identical": [0, 0]})
    kept, met = leave_out_met(images, identical)
    assert met.values.tolist() == [
        ["i0000", "picture", "i0050"], ["i0001", "patient", "p0"], ["i0002", "patient", "p0"],
        ["i0048", "patient", "p16"],
    ]  # fmt: skip
    assert kept["split"].eq("test").sum() == 11
    assert describe_source(kept) == "left out: {'duplicates': 1, 'met by test rows': 4}"
    folds = make_folds(kept, n_folds=2, seed=0, identical=identical)
    assert folds["fold"].ne(-1).sum() == 45
    assert leave_out_met(images, identical, test_overlap="error")[0] is images
    unmet, none = leave_out_met(kept, identical)
    assert len(none) == 0
    assert unmet["image_id"].tolist() == kept["image_id"].tolist()


@pytest.mark.parametrize("way", ["column", "file"])
def test_whom_given_folds_set_aside_nobody_meets_either(tmp_path, way):
    images = lesions()
    numbers = [-1 if k >= 49 else k // 12 % 2 for k in range(60)]
    given = {"fold_column": "part"}
    if way == "file":
        given["fold_file"] = str(tmp_path / "theirs.csv")
        images[["image_id"]].assign(part=numbers).to_csv(given["fold_file"], index=False)
    else:
        images["part"] = numbers
    with pytest.raises(FoldError, match=r"i0048 .*or set test_overlap leave_out"):
        make_folds(images, n_folds=2, seed=0, **given)
    kept, met = leave_out_met(images, **given)
    assert met["image_id"].tolist() == ["i0048"]
    folds = make_folds(kept, n_folds=2, seed=0, **given)
    assert folds["fold"].value_counts().to_dict() == {0: 24, 1: 24, -1: 11}


def test_where_all_are_met_nothing_would_be_learnt_and_that_is_said():
    images = lesions().assign(split=["train", "test", "test"] * 20)
    with pytest.raises(FoldError, match=r"all 20 images to learn from are met by the 40 test rows"):
        leave_out_met(images)


def test_images_without_target_are_listed():
    images = lesions()
    images.loc[[3, 7], "target"] = np.nan
    with pytest.raises(FoldError, match=r"missing in 2 images .*\(i0003, i0007\)"):
        make_folds(images, n_folds=2, seed=0)


def test_too_many_folds_are_refused():
    images = cohort(patient_id=["p1", "p1", "p2"], target=["a", "a", "a"])
    with pytest.raises(FoldError, match="2 patients, lesions or single images for 3 folds"):
        make_folds(images, n_folds=3, seed=0)
    with pytest.raises(FoldError, match="n_folds 5, rarest class"):
        make_folds(cohort(target=list("aabb") * 1 + list("cc")), n_folds=5, seed=0)


def test_a_fold_without_a_class_is_refused():
    images = cohort(target=["other"] * 20 + ["melanoma"] * 2)
    with pytest.raises(FoldError, match=r"of 3 holds no image of class 'melanoma' \(2 images"):
        make_folds(images, n_folds=3, seed=0)


def test_given_folds_are_taken_as_they_are():
    images = lesions()
    images["fold"] = [k // 3 % 5 for k in range(60)]
    images["target"] = ["melanoma" if k % 7 == 0 else "other" for k in range(60)]
    assert make_folds(images, n_folds=5, seed=9, fold_column="fold")["fold"].equals(images["fold"])
    images["fold"] = "part" + images["fold"].astype(str)
    folds = make_folds(images, n_folds=5, seed=9, fold_column="fold")
    assert folds["fold"].tolist() == [k // 3 % 5 for k in range(60)]
    assert fold_balance(images, folds)["images"].tolist() == [12] * 5


def test_of_the_source_s_own_folds_nothing_is_written_beside_ours(tmp_path: Path):
    images = lesions().assign(fold="theirs")
    written = read_images(write_images(images, tmp_path / "images.csv"))
    assert "fold" not in written
    assert set(fold_balance(images, make_folds(images, n_folds=3, seed=0))["fold"]) == {0, 1, 2}


def test_fifteen_shards_in_three_folds_are_the_published_ones():
    images = cohort(target=["a"] * 150)
    images["shard"] = [k % 15 for k in range(150)]
    folds = make_folds(images, n_folds=3, seed=42, fold_column="shard")["fold"]
    shards = [set(images.loc[folds == k, "shard"]) for k in range(3)]
    assert shards == [{0, 5, 9, 11, 13}, {1, 2, 4, 8, 14}, {3, 6, 7, 10, 12}]


def test_given_folds_that_do_not_do_are_refused():
    images = lesions()
    images["fold"] = [k // 3 % 5 for k in range(60)]
    images["odd"] = [k % 2 for k in range(60)]
    images["lost"] = [np.nan if k == 5 else k % 2 for k in range(60)]
    with pytest.raises(FoldError, match="'shard' is not among"):
        make_folds(images, n_folds=5, seed=0, fold_column="shard")
    with pytest.raises(FoldError, match=r"holds 5 values \(.*fewer than n_folds 6"):
        make_folds(images, n_folds=6, seed=0, fold_column="fold")
    with pytest.raises(FoldError, match=r"'odd' puts i0000 .* into 2 folds"):
        make_folds(images, n_folds=2, seed=0, fold_column="odd")
    with pytest.raises(FoldError, match="'lost' is empty for i0005"):
        make_folds(images, n_folds=2, seed=0, fold_column="lost")


def test_folds_of_a_file_are_joined_by_id(tmp_path):
    images = lesions()
    images["target"] = ["melanoma" if k % 7 == 0 else "other" for k in range(60)]
    wanted = pd.Series([k // 3 % 5 for k in range(60)])
    theirs = pd.DataFrame({"image_name": images["image_id"], "fold": wanted, "group": wanted + 1})
    more = pd.DataFrame({"image_name": ["another"], "fold": [3], "group": [4]})
    file = tmp_path / "oof.csv"
    pd.concat([more, theirs.sample(frac=1, random_state=0)]).to_csv(file, index=False)
    cut = make_folds(images, n_folds=5, seed=9, fold_file=file)
    assert cut["fold"].tolist() == wanted.tolist()
    assert make_folds(images, n_folds=5, seed=9, fold_file=file, fold_column="group").equals(cut)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name,fold\ni0000,0\n", r"columns are \['name', 'fold'\]; an id"),
        ("image_id,part\ni0000,0\n", r"and the fold \('fold', see fold_column\)"),
        ("image_id,fold\ni0000,0\ni0000,1\n", "i0000 stands in two rows"),
        ("image_id,fold\ni0000,0\n", r"no fold for i0001 \(59 of 60 images\)"),
    ],
)
def test_a_file_that_does_not_give_each_image_a_fold_is_refused(tmp_path, text, said):
    (tmp_path / "f.csv").write_text(text)
    with pytest.raises(FoldError, match=said):
        make_folds(lesions(), n_folds=2, seed=0, fold_file=tmp_path / "f.csv")


def test_folds_of_a_file_are_joined_whatever_it_calls_the_images(tmp_path):
    images = lesions().assign(image_id=[f"ISIC_{k}_downsampled" for k in range(60)])
    given = make_folds(images, n_folds=4, seed=0)
    names = given["image_id"].str.removesuffix("_downsampled").str.lower() + ".jpg"
    given.assign(image_id=names).sample(frac=1, random_state=0).to_csv(tmp_path / "f.csv")
    assert make_folds(images, n_folds=4, seed=9, fold_file=tmp_path / "f.csv").equals(given)


def test_a_file_may_not_part_a_patient(tmp_path):
    images = lesions()
    images.assign(fold=[k % 2 for k in range(60)]).to_csv(tmp_path / "f.csv", index=False)
    with pytest.raises(FoldError, match=r"puts i0000 .* into 2 folds"):
        make_folds(images, n_folds=2, seed=0, fold_file=tmp_path / "f.csv")


def test_images_set_aside_by_the_given_column_are_test():
    images = lesions()
    images["fold"] = [-1 if k >= 48 else k // 3 % 3 for k in range(60)]
    images["target"] = ["melanoma" if k % 7 == 0 else "other" for k in range(60)]
    assert make_folds(images, n_folds=3, seed=0, fold_column="fold")["fold"].equals(images["fold"])


def test_fold_balance_counts_what_is_there():
    images = lesions(12)
    images["split"] = ["train"] * 9 + ["test"] * 3
    images.loc[11, "target"] = np.nan
    folds = pd.DataFrame({"image_id": images["image_id"], "fold": [0] * 6 + [1] * 3 + [-1] * 3})
    table = fold_balance(images, folds, classes=("other", "melanoma"))
    assert table.to_dict("list") == {
        "fold": [0, 1, -1],
        "images": [6, 3, 3],
        "patients": [2, 1, 1],
        "images_per_patient": [3.0, 3.0, 3.0],
        "lesions": [0, 0, 0],
        "other": [3, 3, 2],
        "melanoma": [3, 0, 0],
    }
    with pytest.raises(FoldError, match="fold 1 of 2 holds no image of class 'melanoma'"):
        check_balance(images, folds)


@pytest.mark.data
@real
def test_siim_folds_are_as_balanced_as_the_published_shards():
    csv = Path(os.environ["MELNB_DATA"]) / "siim2020/train_cdeotte_i-pan.csv"
    table = pd.read_csv(csv)
    kept = table[table["tfrecord"] >= 0].reset_index(drop=True)
    images = cohort(
        image_id=kept["image_name"],
        patient_id=kept["patient_id"],
        target=np.where(kept["target"] == 1, "melanoma", "other"),
        shard=kept["tfrecord"],
    )
    folds = make_folds(images, n_folds=5, seed=42)
    balance = fold_balance(images, folds)
    assert len(kept) == balance["images"].sum() == 32692
    assert balance["melanoma"].between(115, 117).all()
    assert balance["patients"].between(408, 415).all()
    assert balance["patients"].sum() == images["patient_id"].nunique() == 2056
    # The same folds as scikit-learn's own call on the file as published.
    splitter = StratifiedGroupKFold(5, shuffle=True, random_state=42)
    for k, (_, rows) in enumerate(splitter.split(kept, kept["target"], kept["patient_id"])):
        assert folds["fold"].iloc[rows].eq(k).all()
    # The founding system's scheme on the published shards.
    given = make_folds(images, n_folds=3, seed=42, fold_column="shard")
    assert set(images["shard"][given["fold"] == 0]) == {0, 5, 9, 11, 13}
