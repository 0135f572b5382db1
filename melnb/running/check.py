"""`melnb check`: the audit's checks that need tables alone, for scripts and continuous integration.

A prepared dataset is asked with its folds and its pictures' bytes; CSV files of anyone's by what
their columns tell. Neither a notebook nor TensorFlow is started.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from melnb.data.audit.duplicates import find_identical
from melnb.data.audit.label_order import order_finding
from melnb.data.audit.leaks import audit_rows, leak_findings, read_parts
from melnb.runs.store import find_run, located
from melnb.tables.checks import TableError
from melnb.tables.files import is_table
from melnb.tables.findings import NOT_ASKED, findings_table, worst_severity
from melnb.tables.schema import read_folds, read_images


def check_named(names: Sequence[str], *, part: str = "", outputs: str = "") -> pd.DataFrame:
    """Return the findings on a prepared dataset, or on tables.

    Args:
        names: A dataset of 02_prepare (its name or folder), or CSV files.
        part: As of `leaks.read_parts`.
        outputs: Where runs are written.

    Raises:
        TableError: Datasets and files are mixed, or a file cannot be understood.
        OSError: One is not there.
    """
    if all(is_table(name) or located(name).is_file() for name in names):
        rows = read_parts([located(name) for name in names], part=part)
        return findings_table([*leak_findings(rows), order_finding(rows)])
    if len(names) > 1 or part:
        raise TableError(
            f"{' '.join(names)}: name one dataset of 02_prepare, or CSV files (to which a part "
            "belongs)"
        )
    folder = _dataset(names[0], outputs)
    images = read_images(folder / "images.csv")
    rows = audit_rows(images, read_folds(folder / "folds.csv"))
    findings = leak_findings(rows, copies=find_identical(images))
    return findings_table([*findings, order_finding(rows)])


def _dataset(name: str, outputs: str) -> Path:
    folder = located(name)
    dataset = name.removeprefix("02_prepare/")
    return folder if (folder / "images.csv").is_file() else find_run("02_prepare", dataset, outputs)


def findings_lines(table: pd.DataFrame, *, as_json: bool = False) -> list[str]:
    """Return findings as a terminal shows them, or as one JSON document.

    Args:
        table: Of `check_named`.
        as_json: `severity` (the worst) and `findings`, a mapping for each.
    """
    worst = worst_severity(table)
    if as_json:
        content = {"severity": worst, "findings": table.to_dict("records")}
        return [json.dumps(content, indent=1, ensure_ascii=False)]
    lines = []
    for row in table[table["evidence"].ne(NOT_ASKED)].to_dict("records"):
        lines.append(f"{row['code']}  {row['severity']:11}  {row['check']}: {row['evidence']}")
        if row["remedy"]:
            lines.append(f"{'':21}  -> {row['remedy']}")
    return [*lines, *_left(table), f"worst: {worst}"]


def _left(table: pd.DataFrame) -> list[str]:
    """Return one line for all checks that tables alone cannot make."""
    left = table.loc[table["evidence"].eq(NOT_ASKED), "code"].tolist()
    return [f"{', '.join(left)}: need pictures or predictions; run 02b_audit"] if left else []
