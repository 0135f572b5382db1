"""Shortcuts, or spurious features: how far one gets without the lesion, and a model beyond it.

Areas are those of baselines that see the file, the patient or the border alone, out of fold.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from melnb.evaluation.discrimination.ranking import auc_by_run, auc_comparison
from melnb.evaluation.rows import ESTIMATE_COLUMNS
from melnb.tables.findings import FAIL, NOT_CHECKED, PASS, REVIEW, Finding

SHORTCUT_CODES = {"file": "MEL011", "patient": "MEL012", "border": "MEL013"}
_REVIEW, _FAIL = 0.6, 0.75  # lower limits of an area


def shortcut_areas(
    shortcuts: Mapping[str, pd.DataFrame],
    *,
    positive: str,
    confidence: float = 0.95,
    cluster: str = "",
) -> pd.DataFrame:
    """Return the area of each shortcut, the best first, as `auc_by_run`; no row where none is."""
    if not shortcuts:
        return pd.DataFrame(columns=["run", *(c for c in ESTIMATE_COLUMNS if c != "metric")])
    table = auc_by_run(shortcuts, positive=positive, confidence=confidence, cluster=cluster)
    return table.sort_values("value", ascending=False, kind="stable", ignore_index=True)


def shortcut_findings(areas: pd.DataFrame) -> list[Finding]:
    """Say which shortcuts tell the class (MEL011 to MEL013).

    Args:
        areas: Of `shortcut_areas`, of shortcuts called `file`, `patient` and `border`; one that is
            not there never varies, or is unknown.
    """
    rows = areas.set_index("run")
    found = []
    for name, code in SHORTCUT_CODES.items():
        row: Any = rows.loc[name] if name in rows.index else None
        if row is None or not np.isfinite(row["low"]):
            why = "nothing of it varies, or it is unknown" if row is None else str(row["note"])
            found.append(Finding(code, NOT_CHECKED, 0, why, "give more images, and their columns"))
            continue
        words = f"out of fold, AUC {row['value']:.3f} ({row['low']:.3f} to {row['high']:.3f})"
        severity = FAIL if row["low"] > _FAIL else REVIEW if row["low"] > _REVIEW else PASS
        count = 0 if severity == PASS else int(areas.loc[areas["run"].eq(name), "n"].iloc[0])
        found.append(Finding(code, severity, count, words))
    return found


def over_best_shortcut(
    model: Mapping[str, pd.DataFrame],
    shortcuts: Mapping[str, pd.DataFrame],
    *,
    positive: str,
    confidence: float = 0.95,
    cluster: str = "",
) -> pd.DataFrame:
    """Return the AUC of predictions less that of each shortcut, paired, the best shortcut first.

    Args:
        model: Names and predictions of models; the first is compared. Empty: no rows.
        shortcuts: Names and predictions of shortcuts.
        positive: The class looked for.
        confidence: Of the intervals.
        cluster: A column whose images err together.

    Returns:
        As `auc_comparison`.
    """
    first = dict(list(model.items())[:1])
    if not first or not shortcuts:
        return pd.DataFrame(columns=["first", "second", "difference", "low", "high"])
    both = {**first, **shortcuts}
    table = auc_comparison(both, positive=positive, confidence=confidence, cluster=cluster)
    return table.sort_values("auc_second", ascending=False, kind="stable", ignore_index=True)


def over_finding(over: pd.DataFrame) -> Finding:
    """Say whether the model is above the best shortcut (MEL014).

    Args:
        over: Of `over_best_shortcut`.
    """
    if over.empty or not np.isfinite(over["low"].iloc[0]):
        words = "no predictions were given" if over.empty else str(over["note"].iloc[0])
        return Finding("MEL014", NOT_CHECKED, 0, words, "run 02b_audit with predictions")
    row = over.iloc[0]
    words = (
        f"{row['first']} {row['auc_first']:.3f}, {row['second']} {row['auc_second']:.3f}: "
        f"{row['difference']:+.3f} ({row['low']:+.3f} to {row['high']:+.3f})"
    )
    if row["low"] > 0:
        return Finding("MEL014", PASS, 0, words)
    return Finding("MEL014", FAIL, int(over["n"].iloc[0]), words)
