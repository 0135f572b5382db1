import numpy as np
import pandas as pd
import pytest

from melnb.display import cells
from melnb.tables.findings import FAIL, PASS, Finding, findings_table


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (33126, "33,126"),
        (np.int64(5), "5"),
        (0.9, "0.900"),
        (0.004464, "0.00446"),
        (0.04, "0.0400"),
        (-0.25, "−0.250"),
        (17.14, "17.1"),
        (1.0, "1.000"),
        (0.0, "0"),
        (12000.0, "12,000"),
        (float("nan"), "–"),
        (float("inf"), "∞"),
        (None, "–"),
        (pd.NA, "–"),
        (True, "yes"),
        (np.False_, "no"),
        ("fold 0", "fold 0"),
    ],
)
def test_number(value: object, text: str) -> None:
    assert cells.number(value) == text


@pytest.mark.parametrize(
    ("column", "heading"),
    [
        ("number_needed_to_biopsy", "Number needed to biopsy"),
        ("auc_first", "AUC first"),
        ("tp", "TP"),
        ("n", "n"),
        ("Already A Heading", "Already A Heading"),
        ("03_train/b0", "03_train/b0"),
    ],
)
def test_words(column: str, heading: str) -> None:
    assert cells.words(column) == heading


def test_an_estimate_takes_its_limits_into_its_cell() -> None:
    table = pd.DataFrame(
        {
            "note": ["", "few"],
            "value": [0.9, 0.5],
            "se": [0.02, np.nan],
            "low": [0.86, np.nan],
            "high": [0.94, np.nan],
            "ppv": [0.25, 0.5],
            "ppv_low": [0.125, 0.25],
            "ppv_high": [0.5, 0.75],
        }
    )
    tidied = cells.tidy(table)
    assert list(tidied.columns) == ["Value", "SE", "PPV", "Note"]
    assert list(tidied["Value"]) == ["0.900 (0.860 – 0.940)", "0.500"]
    assert list(tidied["PPV"]) == ["0.250 (0.125 – 0.500)", "0.500 (0.250 – 0.750)"]


def test_further_limits_share_a_cell() -> None:
    table = pd.DataFrame(
        {"measure": ["a", "b"], "value": [-0.1, 0.5], "low": [-0.2, 0.4], "high": [0.0, 0.6],
         "fixed_low": [-0.15, np.nan], "fixed_high": [-0.05, np.nan], "p_holm": [0.5, 1.0]}
    )  # fmt: skip
    tidied = cells.tidy(table)
    assert list(tidied.columns) == ["Measure", "Value", "At this fixed threshold", "p (Holm)"]
    assert tidied.iloc[0].to_list()[1:] == ["−0.100 (−0.200 – 0)", "−0.150 – −0.0500", "0.500"]
    assert tidied.iloc[1, 2] == "–"


def test_a_wide_row_turns_and_labels_stay() -> None:
    wide = pd.DataFrame([{f"c{k}": k for k in range(12)}])
    assert cells.tidy(wide).shape == (12, 2)
    labelled = pd.DataFrame({"a": [1]}, index=pd.Index(["melanoma"], name="truth"))
    assert list(cells.tidy(labelled).iloc[0]) == ["melanoma", "1"]


def test_a_threshold_keeps_the_digits_that_figures_show() -> None:
    tidied = cells.tidy(pd.DataFrame({"threshold": [0.0044651, np.nan]}))
    assert list(tidied["Threshold"]) == ["0.004465", "–"]


def test_empty_columns_go_and_an_empty_table_is_no_error() -> None:
    assert list(cells.tidy(pd.DataFrame({"a": [1], "b": [np.nan], "c": [""]})).columns) == ["A"]
    assert cells.tidy(pd.DataFrame({"a": []})).empty


def test_in_a_cell_numbers_stand_right_words_left_and_no_row_is_a_sentence() -> None:
    table = pd.DataFrame(
        {"image_id": ["<a>", "b"], "auc": [0.5, 0.25], "low": [0.4, 0.2], "high": [0.6, 0.3]}
    )
    shown = cells.table_html(table)
    assert '<th style="text-align:left">Image</th><th style="text-align:right">AUC</th>' in shown
    assert '<td style="text-align:left">&lt;a&gt;</td>' in shown
    assert '<td style="text-align:right">0.500 (0.400 – 0.600)</td>' in shown
    assert cells.table_html(table.head(0)) == "<p>no row (image, auc, low, high)</p>"
    assert cells.table_html(pd.DataFrame()) == "<p>no row</p>"
    assert cells.table_html(cells.tidy(table)) == shown
    assert ">a, b</td>" in cells.table_html(pd.DataFrame({"classes": [["a", "b"]]}))


def test_of_a_long_table_the_first_rows_are_seen() -> None:
    shown = cells.table_html(pd.DataFrame({"a": range(12_345)}))
    assert shown.count("<tr>") == 21
    assert shown.endswith("<p>20 of 12,345 rows</p>")
    assert cells.table_html(pd.DataFrame({"a": range(60)})).count("<tr>") == 61


def test_labels_without_a_name_have_no_heading() -> None:
    tidied = cells.tidy(pd.DataFrame({"a": [1]}, index=["melanoma"]))
    assert [name.strip() for name in tidied.columns] == ["", "A"]


def test_row_numbers_of_a_filtered_table_are_no_column() -> None:
    table = pd.DataFrame({"a": [1, 2, 3], 7: [4, 5, 6]}).iloc[1:]
    assert list(cells.tidy(table).columns) == ["A", "7"]


def test_a_text_that_every_row_repeats_is_said_once() -> None:
    long = "Wilson, by patient"
    table = pd.DataFrame({"fold": ["0", "1"], "method": [long] * 2, "word": ["same"] * 2})
    assert cells.shared_words(table) == {"method": long}
    assert cells.shared_words(table.head(1)) == {}
    assert cells.shared_words(table.assign(method=[long, "other"])) == {}
    many = pd.DataFrame({f"c{k}": [k, k + 1] for k in range(14)}).assign(word="same", empty="")
    assert cells.shared_words(many) == {"word": "same"}, "of many columns short ones go, too"


@pytest.mark.parametrize(
    "text", ["1,234", "0.1 (0.05 – 0.2)", "−3", "+0.4", "", "–", "1.2e-05", "3%"]
)
def test_numbers_stand_to_the_right(text: str) -> None:
    assert cells.is_number(text)


@pytest.mark.parametrize("text", ["04_predict/demo", "2 of 3", "fold 1", "never"])
def test_words_stand_to_the_left(text: str) -> None:
    assert not cells.is_number(text)


def test_findings_are_shown_whole_escaped_and_marked() -> None:
    found = [Finding("MEL001", FAIL, 2, "x" * 90 + "<b>"), Finding("MEL002", PASS, 0, "fine")]
    page = cells.findings_table(findings_table(found, every=False)).to_html()
    assert "x" * 90 + "&lt;b&gt;" in page
    assert "#b3261e" in page
    assert "<b>" not in page


def test_a_sentence_stands_where_nothing_is_left_to_show(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[object] = []
    monkeypatch.setattr("IPython.display.display", lambda *parts: shown.extend(parts))
    empty, table = pd.DataFrame(columns=["a"]), pd.DataFrame({"a": [1]})
    cells.show(empty, None, otherwise="nobody was selected")
    cells.show(empty, table, None)
    cells.show(None)
    assert list(map(repr, shown[:1])) == ["nobody was selected"]
    assert shown[1] is table
    assert shown[2:] == [cells.NO_ROWS]
