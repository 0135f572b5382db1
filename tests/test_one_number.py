"""What a run says of the same rows under one name is one number, wherever it stands.

The cells of a notebook run in this process; every table that it wrote, and every one on its page,
is walked. Five networks whose log odds are on scales of their own tell calibrated scores from those
that came: pooled over folds, their areas differ.
"""

import builtins
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from melnb_tables import foreign

JUDGED = "out of fold"  # the rows of a table that names none
WIDE = ("sensitivity", "specificity", "auc")
Number = tuple[float, float, float]
Tables = Mapping[str, pd.DataFrame]
Run = Callable[..., dict[str, Any]]


@pytest.fixture(autouse=True)
def no_display(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builtins, "display", lambda *parts: None, raising=False)


def all_tables(home: Path, sections: Any) -> dict[str, pd.DataFrame]:
    """Return the tables that a run wrote, and those on its page by section and place."""
    tables = {path.name: pd.read_csv(path) for path in sorted(home.glob("*.csv"))}
    titles = dict.fromkeys(section.title for section in sections)
    for title in titles:  # a section, and what of it is folded into the appendix
        parts = [part for section in sections if section.title == title for part in section.parts]
        shown = [part for part in parts if isinstance(part, pd.DataFrame)]
        tables |= {f"{title} {k}": part for k, part in enumerate(shown)}
    return {name: table for name, table in tables.items() if len(table)}


def numbers(tables: Tables) -> dict[tuple[str, str], dict[str, Number]]:
    """Return what is said of rows by a name, and in which tables.

    Levels of subgroups are passed over, and rules of referral; other classes have other names.
    """
    found = defaultdict[tuple[str, str], dict[str, Number]](dict)
    for where, table in tables.items():
        whole = table.loc[table["column"] == "all"] if "column" in table else table
        whole = whole.loc[whole["rule"] == "none"] if "rule" in whole else whole
        for row in whole.to_dict("records"):
            rows = next((str(row[c]) for c in ("source", "rows") if c in row), JUDGED)
            for name, number in of_row({str(k): v for k, v in row.items()}):
                if number[0] == number[0]:
                    found[JUDGED if rows == "pooled" else rows, name][where] = number
    return found


def of_row(row: Mapping[str, Any]) -> Iterator[tuple[str, Number]]:
    if "value" in row and ("metric" in row or "weight" in row):  # of sources, an area
        whose = row.get("class", "melanoma")
        name = row.get("metric", "AUC")
        name = name if whose == "melanoma" else f"{name}, {whose}"
        yield name, number_of(row, "value", "low", "high")
    elif "measure" in row and "fixed_low" in row and row["measure"] in WIDE:
        yield row["measure"], number_of(row, "value", "fixed_low", "fixed_high")
    elif row.get("version") == "as it came":
        yield "Brier score", number_of(row, "brier", "brier_low", "brier_high")
    elif "metric" not in row:
        for name in WIDE:
            ends = f"{name}_fixed" if f"{name}_fixed_low" in row else name
            if f"{ends}_low" in row:
                yield name, number_of(row, name, f"{ends}_low", f"{ends}_high")


def number_of(row: Mapping[str, Any], *columns: str) -> Number:
    value, low, high = (float(row[c]) for c in columns)
    return value, low, high


def check_one_number(found: Mapping[tuple[str, str], Mapping[str, Number]]) -> None:
    for name, said in found.items():
        first = next(iter(said.values()))
        for where, number in said.items():
            assert number == pytest.approx(first, rel=1e-9, nan_ok=True), (name, where, said)


def test_an_external_validation_says_one_number(run_cells: Run, tmp_path: Path) -> None:
    home = foreign(tmp_path, "home", prevalence=0.3, moved=0, folds=5)
    away = foreign(tmp_path, "away", prevalence=0.5, moved=0.8, folds=0)
    how = {"predictions": home, "external": [away], "calibrator": "platt", "run": "one"}
    names = run_cells("06d_external", **how, outputs=str(tmp_path / "out"))
    folder = tmp_path / "out" / "06d_external" / "one"
    found = numbers(all_tables(folder, names["report"].sections))
    check_one_number(found)
    for source in ("internal", "away"):
        assert {"external.csv", "subgroups.csv", "classes.csv"} <= {*found[source, "AUC"]}
        for measure in ("sensitivity", "specificity"):
            assert {"points.csv", "subgroups.csv"} <= {*found[source, measure]}
        assert {"calibration.csv", "subgroups.csv"} <= {*found[source, "Brier score"]}
    assert {"summary.csv", "All sources together 0"} <= {*found["away", "AUC"]}


def test_a_report_says_one_number(run_cells: Run, tmp_path: Path) -> None:
    first, second = (foreign(tmp_path, n, prevalence=0.3, moved=0, folds=5) for n in ("one", "two"))
    table = pd.read_csv(second)
    table.assign(image=pd.read_csv(first)["image"], target=pd.read_csv(first)["target"]).to_csv(
        second, index=False
    )
    how = {"predictions": [first, second], "calibrator": "platt", "submission": "siim2020"}
    names = run_cells("06_report", **how, run="one", outputs=str(tmp_path / "out"))
    folder = tmp_path / "out" / "06_report" / "one"
    found = numbers(all_tables(folder, names["report"].sections))
    check_one_number(found)
    areas = {*found[JUDGED, "AUC"]}
    assert {"metrics.csv", "subgroups.csv", "classes.csv", "official.csv", "Summary 0"} <= areas
    points = {"operating_point.csv", "referral.csv", "subgroups.csv", "Operating point 1"}
    for measure in ("sensitivity", "specificity"):
        assert points <= {*found[JUDGED, measure]}
    assert {"calibration.csv", "subgroups.csv"} <= {*found[JUDGED, "Brier score"]}
    made = names["report"]
    versus = pd.concat(
        [
            made["auc_comparison"],
            made["comparison_matrix"],
            made["equivalence_table"].query("measure == 'AUC'"),
        ]
    )
    wanted = found[JUDGED, "AUC"]["metrics.csv"][0]
    for column in ("auc_first", "value_first"):
        assert versus[column].dropna().to_numpy() == pytest.approx(wanted)
