from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from melnb.tables import checks, schema

CLASSES = ("other", "melanoma")


def images(**columns: object) -> pd.DataFrame:
    base = {name: ["", "", ""] for name in schema.IMAGE_COLUMNS}
    base |= {"image_id": ["a", "b", "c"], "age": [40.0, np.nan, 60.0]}
    return pd.DataFrame(base | columns).replace("", np.nan)


def predictions(n: int = 3, **columns: object) -> pd.DataFrame:
    p = np.linspace(0.1, 0.9, n)
    table = schema.make_predictions(
        [f"i{k}" for k in range(n)],
        0,
        ["melanoma"] * n,
        np.column_stack([1 - p, p]),
        classes=CLASSES,
        run="r",
    )
    return table.assign(**columns)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"image_id": ["a", "a", "b"]}, "image_id 'a' stands in more than one row"),
        ({"image_id": ["a", "", "b"]}, "row 1 has an empty image_id"),
        ({"image_id": ["../../x", "a", "b"]}, "'../../x' is unsafe as a file name"),
        ({"image_id": ["<script>", "a", "b"]}, "'<script>' is unsafe"),
        ({"age": [40, 140, 50]}, "age of b is 140"),
    ],
)
def test_images_refuse(columns: dict[str, object], message: str) -> None:
    with pytest.raises(checks.TableError, match=message):
        schema.check_images(images(**columns))


def test_a_missing_column_names_the_nearest() -> None:
    table = images().rename(columns={"patient_id": "patientid"})
    with pytest.raises(checks.TableError, match=r"no column 'patient_id' .*rename 'patientid'"):
        schema.check_images(table)


def test_images_survive_the_file(tmp_path: Path) -> None:
    table = images(patient_id=["001", "1", ""], site=["torso", "", "head/neck"])
    back = schema.read_images(schema.write_images(table, tmp_path / "images.csv"))
    assert back["patient_id"].tolist()[:2] == ["001", "1"]
    assert back["patient_id"].isna().tolist() == [False, False, True]
    assert back["age"].tolist()[::2] == [40.0, 60.0]
    assert back["site"].isna().tolist() == [False, True, False]


def test_a_patient_or_a_lesion_in_two_folds_is_refused() -> None:
    folds = pd.DataFrame({"image_id": ["a", "b", "c"], "fold": [0, 1, -1]})
    schema.check_folds(folds, images())  # unknown patients are not one patient
    with pytest.raises(checks.TableError, match="patient_id 'p' lies in 2 folds"):
        schema.check_folds(folds, images(patient_id=["p", "p", "q"]))
    with pytest.raises(checks.TableError, match="lesion_id 'l' lies in 2 folds"):
        schema.check_folds(folds, images(lesion_id=["", "l", "l"]))


def test_folds_and_images_must_hold_the_same_ids() -> None:
    folds = pd.DataFrame({"image_id": ["a", "b", "x"], "fold": [0, 1, 0]})
    with pytest.raises(checks.TableError, match="'x' is not in the images table"):
        schema.check_folds(folds, images())
    with pytest.raises(checks.TableError, match=r"fold of b is 0\.5"):
        schema.check_folds(folds.assign(fold=[0, 0.5, 1]))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"image_id": ["a", "a", "b"]}, "stands in more than one row"),
        ({"p_melanoma": [0.1, np.nan, 0.2]}, "p_melanoma of i1 is nan"),
        ({"p_melanoma": [0.1, 1.1, 0.2]}, "p_melanoma of i1 is 1.1"),
        ({"p_melanoma": [0.1, 0.9, 0.2]}, r"sum to .*not one"),
        ({"truth": ["melanoma", "mole", "other"]}, "truth of i1 is 'mole'"),
        ({"truth": ["melanoma", np.nan, "other"]}, "i1 has no truth; only test rows"),
        ({"kind": "rank"}, "kind is 'rank'; use one of"),
        ({"run": ["a", "b", "a"]}, "one table holds one run"),
    ],
)
def test_predictions_refuse(columns: dict[str, object], message: str) -> None:
    with pytest.raises(checks.TableError, match=message):
        schema.check_predictions(predictions(**columns))


def test_scores_need_not_sum_to_one_and_test_rows_need_no_truth() -> None:
    schema.check_predictions(predictions(kind="score", p_melanoma=[0.1, 0.9, 0.2]))
    schema.check_predictions(predictions(fold=-1, truth=np.nan))
    with pytest.raises(checks.TableError, match=r"1 column\(s\) p_<class>"):
        schema.check_predictions(predictions().drop(columns="p_other"))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_probabilities_survive_the_file_bit_for_bit(values: list[float]) -> None:
    import tempfile

    p = np.asarray(values)
    table = schema.make_predictions(
        [f"i{k}" for k in range(len(p))],
        list(range(len(p))),
        ["other"] * len(p),
        np.column_stack([1 - p, p]),
        classes=CLASSES,
        run="r",
        kind="score",
    )
    with tempfile.TemporaryDirectory() as folder:
        back = schema.read_predictions(schema.write_predictions(table, Path(folder) / "p.csv"))
    assert np.array_equal(back["p_melanoma"], table["p_melanoma"])
    assert back["truth"].tolist() == table["truth"].tolist()
    assert back["fold"].dtype == np.int64


def test_a_failed_write_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = schema.write_table(pd.DataFrame({"a": [1]}), tmp_path / "t.csv")

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pd.DataFrame, "to_csv", full)
    with pytest.raises(OSError, match=r"t\.csv: the disk is full"):
        schema.write_table(pd.DataFrame({"a": [2]}), path)
    assert path.read_text() == "a\n1\n"
    assert [p.name for p in tmp_path.iterdir()] == ["t.csv"]


def test_an_earlier_stage_that_did_not_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no folds.csv in .*: run 02_prepare first"):
        schema.read_folds(tmp_path / "folds.csv")


def test_a_file_that_is_no_table_is_named(tmp_path: Path) -> None:
    (tmp_path / "folds.csv").write_text("image_id,fold\na,one\n")
    with pytest.raises(checks.TableError, match=r"folds\.csv line 2: fold is 'one'"):
        schema.read_folds(tmp_path / "folds.csv")
