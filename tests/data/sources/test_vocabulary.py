from pathlib import Path

import pandas as pd
import pytest

from melnb.data.sources import vocabulary
from melnb.tables.checks import TableError

FILE = Path("t.csv")


def lines(*values):
    return pd.Series(values, index=range(2, 2 + len(values)), dtype=object, name="x")


def test_diagnoses_by_any_published_name():
    found = vocabulary.read_diagnoses(lines("NV", "seborrheic keratosis", None, "unknown"), FILE)
    assert found.tolist()[:2] == ["nevus", "benign_keratosis"]
    assert pd.isna(found[4])
    assert found[5] == "unknown"


def test_a_diagnosis_outside_the_ontology_names_file_line_value_and_the_nearest():
    with pytest.raises(TableError, match=r"csv line 3: diagnosis 'nevuss' .*did you mean 'nevus'"):
        vocabulary.read_diagnoses(lines("NV", "nevuss"), FILE)


def test_sexes():
    found = vocabulary.read_sexes(lines("Male", "F", "unknown", "", None), FILE)
    assert found.tolist()[:2] == ["male", "female"]
    assert found.isna().tolist() == [False, False, True, True, True]
    with pytest.raises(TableError, match="line 2: sex 'mle'"):
        vocabulary.read_sexes(lines("mle"), FILE)


def test_ages():
    found = vocabulary.read_ages(lines("85.0", "5", "unknown", None), FILE)
    assert found.tolist()[:2] == [85.0, 5.0]
    assert found.isna().tolist() == [False, False, True, True]
    assert found.dtype == "float64"
    with pytest.raises(TableError, match=r"line 2: .*'5O', not a number"):
        vocabulary.read_ages(lines("5O"), FILE)


@pytest.mark.parametrize(
    ("said", "site"),
    [
        ("anterior torso", "torso"), ("lateral torso", "torso"), ("trunk", "torso"),
        ("back", "torso"), ("Abdomen", "torso"), ("scalp", "head/neck"), ("ear", "head/neck"),
        ("foot", "lower extremity"), ("hand", "upper extremity"), ("acral", "palms/soles"),
        ("genital", "oral/genital"), ("head/neck", "head/neck"),
        ("Left  shoulder", "left shoulder"),
    ],
)  # fmt: skip
def test_sites(said, site):
    assert vocabulary.read_sites(lines(said), FILE).tolist() == [site]


def test_flags_however_written():
    assert vocabulary.read_flags(lines("1.0", "0"), FILE).tolist() == [True, False]
    with pytest.raises(TableError, match="line 3: x is empty"):
        vocabulary.read_flags(lines("1", None), FILE)
    with pytest.raises(TableError, match=r"line 3: x is '0\.5', neither 0 nor 1"):
        vocabulary.read_flags(lines("1", "0.5"), FILE)


def test_people_under_any_published_name():
    table = pd.DataFrame(
        {"age_approximate": ["30"], "sex": ["male"], "localization": ["chest"]}, index=[2]
    )
    found = vocabulary.read_people(table, FILE)
    assert {k: v.iloc[0] for k, v in found.items()} == {"age": 30.0, "sex": "male", "site": "torso"}
    assert vocabulary.read_people(pd.DataFrame({"x": ["1"]}), FILE) == {}
