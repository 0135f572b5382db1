"""Metadata: encoded alike in every place, fitted on training rows alone, no row lost."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from melnb.data import metadata
from melnb.data.metadata import Number, Words, fit_encoder, read_encoder, write_encoder

ALL = list(metadata.COLUMNS)


def people() -> pd.DataFrame:
    """Five images of two patients and of one whom nobody knows."""
    return pd.DataFrame(
        {
            "image_id": list("abcde"),
            "patient_id": ["p", "p", "p", "q", np.nan],
            "sex": ["male", "male", "male", "female", np.nan],
            "age": [40.0, 40.0, 40.0, 60.0, np.nan],
            "site": ["torso", "head/neck", np.nan, "torso", "torso"],
        }
    )


def test_words_for_missing_are_no_category() -> None:
    told = people().assign(
        sex=["male", "NA", "n/a", "female", "Unknown"], age=["40", "-", "-1", "60", "?"]
    )
    encoder = fit_encoder(told, ["sex", "age"])
    assert encoder.names == ("sex missing", "sex female", "sex male", "age", "age missing")
    assert encoder.encode(told)[:, [0, 4]].T.tolist() == [[0, 1, 1, 0, 1]] * 2


def test_every_cell_by_hand() -> None:
    encoder = fit_encoder(people(), ALL)
    assert encoder.names == (
        "sex missing", "sex female", "sex male", "age", "age missing",
        "site missing", "site head/neck", "site torso",
        "images_per_patient", "images_per_patient missing",
    )  # fmt: skip
    # Mean age 45, deviation 5 sqrt(3); log(1 + count) is log 4 three times and log 2 once.
    low, high = -1 / np.sqrt(3), np.sqrt(3)
    expected = [
        [0, 0, 1, low, 0, 0, 0, 1, -low, 0],
        [0, 0, 1, low, 0, 0, 1, 0, -low, 0],
        [0, 0, 1, low, 0, 1, 0, 0, -low, 0],
        [0, 1, 0, high, 0, 0, 0, 1, -high, 0],
        [1, 0, 0, 0, 1, 0, 0, 1, 0, 1],
    ]
    found = encoder.encode(people())
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_the_cells_say_what_missing_looks_like() -> None:
    encoder = fit_encoder(people(), ALL)
    assert encoder.cells.column == (0, 0, 0, 1, 1, 2, 2, 2, 3, 3)
    nobody = people().assign(sex=np.nan, age=np.nan, site=np.nan, patient_id=np.nan)
    np.testing.assert_array_equal(encoder.encode(nobody), np.tile(encoder.cells.missing, (5, 1)))
    assert encoder.cells.missing == (1, 0, 0, 0, 1, 1, 0, 0, 0, 1)


def test_what_was_never_met_in_training_is_missing() -> None:
    encoder = fit_encoder(people(), ["site"])
    elsewhere = people().assign(site="palms/soles")
    np.testing.assert_array_equal(encoder.encode(elsewhere), np.tile([1, 0, 0], (5, 1)))


@given(
    ages=st.lists(st.floats(0, 120), min_size=1, max_size=30),
    others=st.lists(st.one_of(st.none(), st.floats(0, 120)), min_size=1, max_size=30),
)
@example(ages=[0.0, 1.4e-45], others=[120.0])
def test_rows_held_out_change_nothing_and_numbers_are_standardised(
    ages: list[float], others: list[float | None]
) -> None:
    train = pd.DataFrame({"age": ages})
    encoder = fit_encoder(train, ["age"])
    inside = encoder.encode(train)
    assert np.isfinite(inside).all()
    assert inside[:, 0].mean() == pytest.approx(0, abs=1e-3)
    assert inside[:, 0].std() == pytest.approx(1, abs=1e-3) or np.ptp(ages) < 1e-3
    held_out = pd.DataFrame({"age": np.array(others, dtype=float)})
    both = encoder.encode(pd.concat([train, held_out], ignore_index=True))
    assert np.isfinite(both).all()
    np.testing.assert_array_equal(both[: len(ages)], inside)
    missing = held_out["age"].isna().to_numpy()
    np.testing.assert_array_equal(both[len(ages) :][:, 1], missing)
    assert (both[len(ages) :][missing, 0] == 0).all()


def test_one_age_alone_is_0_for_every_age() -> None:
    encoder = fit_encoder(people().assign(age=50.0), ["age"])
    assert encoder.columns == (Number("age", 50.0, 0.0),)
    assert (encoder.encode(people().assign(age=60.0)) == 0).all()


def test_rows_are_joined_by_their_id() -> None:
    encoder = fit_encoder(people(), ALL)
    whole = encoder.encode(people())
    shuffled = people().sample(frac=1, random_state=0)
    found = encoder.rows_for(["d", "a", "a", "e"], shuffled)
    np.testing.assert_array_equal(found, whole[[3, 0, 0, 4]])
    with pytest.raises(ValueError, match=r"no row for 'x' \(2 of 3 image ids .* images.csv"):
        encoder.rows_for(["a", "x", "y"], people())
    with pytest.raises(ValueError, match="'a' stands in two rows"):
        encoder.rows_for(["a"], pd.concat([people(), people()]))


def test_a_patients_images_are_counted_in_the_table_given() -> None:
    encoder = fit_encoder(people(), ["images_per_patient"])
    part = encoder.encode(people().head(1))
    assert part[0, 0] == encoder.encode(people())[3, 0]  # one image, as the patient q has
    # A patient lies in one fold: leaving out others changes nothing.
    np.testing.assert_array_equal(encoder.encode(people().head(3)), encoder.encode(people())[:3])


def test_an_encoder_reads_back_to_the_bit(tmp_path: Path) -> None:
    encoder = fit_encoder(people(), ALL)
    path = tmp_path / metadata.METADATA_FILE
    write_encoder(None, path)
    assert not path.exists()
    write_encoder(encoder, path)
    assert read_encoder(path) == encoder
    path.unlink()
    write_encoder(encoder, tmp_path)
    assert read_encoder(tmp_path) == read_encoder(path) == encoder
    np.testing.assert_array_equal(read_encoder(path).encode(people()), encoder.encode(people()))


def test_a_damaged_or_missing_file_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / metadata.METADATA_FILE
    with pytest.raises(FileNotFoundError, match=r"no metadata.json in .*run 03_train again"):
        read_encoder(path)
    for content in ("{", "[]", json.dumps({"columns": [{"name": "age", "mean": 1}]})):
        path.write_text(content)
        with pytest.raises(ValueError, match=r"metadata.json is damaged .*: run 03_train again"):
            read_encoder(path)


@pytest.mark.parametrize(
    ("columns", "change", "said"),
    [
        ([], {}, r"metadata is \[\]; name one or more"),
        (["age", "age"], {}, "once"),
        (["agee"], {}, "metadata names 'agee'; use some of"),
        (["sex"], {"sex": np.nan}, "in all 5 training images sex is empty: leave it out"),
        (["images_per_patient"], {"patient_id": np.nan}, "no patient is known: leave it out"),
    ],
)
def test_refusals(columns: list[str], change: dict[str, float], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        fit_encoder(people().assign(**change), columns)


def test_a_table_without_the_column() -> None:
    with pytest.raises(ValueError, match="names age, but the images table has no column 'age'"):
        fit_encoder(people().drop(columns="age"), ["age"])
    encoder = fit_encoder(people(), ["images_per_patient"])
    with pytest.raises(ValueError, match="no column 'patient_id'"):
        encoder.encode(people().drop(columns="patient_id"))


def test_words_stay_in_their_order_whatever_the_rows() -> None:
    encoder = fit_encoder(people().iloc[::-1], ["sex", "site"])
    assert encoder.columns == (
        Words("sex", ("female", "male")),
        Words("site", ("head/neck", "torso")),
    )
