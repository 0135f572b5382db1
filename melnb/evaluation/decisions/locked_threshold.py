"""The locked threshold: frozen on out-of-fold rows, applied once to test rows.

The threshold explorer writes the same file.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from melnb.evaluation.decisions.operating_point import (
    OUT_OF_FOLD,
    TEST_ROWS,
    measured_point,
    run_name,
)
from melnb.evaluation.decisions.thresholds import check_prevalence
from melnb.evaluation.discrimination.within_folds import (
    Networks,
    count_networks,
    mean_remark,
    network_rows,
)
from melnb.evaluation.rows import binary_rows
from melnb.evaluation.summaries import cluster_column
from melnb.tables.checks import TEST, TableError
from melnb.tables.documents import DamagedError, read_json
from melnb.tables.files import replacing

KIND = "operating point"  # the value of the key `melnb`
_TOP = math.nextafter(1.0, 2.0)  # flags nothing, even where a score is 1
_REMEDY = "lock an operating point again in 06_report, or in the threshold explorer"


def lock_threshold(point: pd.DataFrame) -> dict[str, Any]:
    """Return an operating point as plain facts for JSON: what to do, and what it was chosen by.

    Args:
        point: `operating_point.operating_point`.

    Returns:
        `melnb` (the kind), `threshold`, `positive`, `prevalence`, `choose`, `at`, `run`, `rows`,
        `n`, `positives`, `sensitivity`, `specificity`; None where a value is unknown. Where no
        threshold could be chosen it is None too, and `note` says why: nobody can apply it.
    """
    row = point.iloc[0]
    facts: dict[str, Any] = {"melnb": KIND}
    for name, kind in (
        ("threshold", float), ("positive", str), ("prevalence", float), ("choose", str),
        ("at", float), ("run", str), ("rows", str), ("n", int), ("positives", int),
        ("sensitivity", float), ("specificity", float),
    ):  # fmt: skip
        value = kind(row[name])
        facts[name] = None if value != value else value
    if facts["threshold"] is None:
        facts |= {"prevalence": None, "note": str(row["note"])}
    return facts


def write_threshold(locked: Mapping[str, Any], path: str | Path) -> Path:
    """Check a locked threshold and write it whole or not at all.

    Args:
        locked: `lock_threshold`, or anything with `threshold` and `positive`.
        path: Of a JSON file.
    """
    facts = {"melnb": KIND} | check_threshold(locked, "the locked threshold", none=True)
    text = json.dumps(facts, indent=2, ensure_ascii=False, allow_nan=False)
    with replacing(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")
    return Path(path)


def read_threshold(path: str | Path) -> dict[str, Any]:
    """Read and check a locked threshold; of an empty path none.

    Raises:
        FileNotFoundError: There is no such file.
        TableError: It is no such file, or a value of it is absent or wrong.
    """
    if not path:
        return {}
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no {path.name} in {path.parent}: {_REMEDY}")
    try:
        read = read_json(path, _REMEDY)
    except DamagedError as error:
        raise TableError(f"{path} holds no threshold ({error.problem}): {_REMEDY}") from None
    return check_threshold(read, str(path))


def check_threshold(locked: Mapping[str, Any], where: str, *, none: bool = False) -> dict[str, Any]:
    """Return a locked threshold if its values are sound.

    Args:
        locked: `threshold` and `positive` are needed; `prevalence` is checked when it is there.
        where: Named in errors: the file.
        none: Take one that could not be chosen, and says so in its `note`.

    Raises:
        TableError: A key is absent or its value is wrong.
    """

    def wrong(key: str, wanted: str) -> TableError:
        value = repr(locked[key]) if key in locked else "absent"
        return TableError(f"{where}: {key} is {value}, not {wanted}: {_REMEDY}")

    if locked.get("melnb", KIND) != KIND:
        raise wrong("melnb", repr(KIND))
    absent = locked.get("threshold") is None and bool(locked.get("note"))
    if absent and not none:
        raise TableError(f"{where}: no threshold was locked ({locked['note']}): {_REMEDY}")
    if not absent and not _is_share(locked.get("threshold"), _TOP):
        raise wrong("threshold", "a number from 0 to 1")
    if not isinstance(locked.get("positive"), str) or not locked["positive"]:
        raise wrong("positive", "the name of a class")
    if locked.get("prevalence") is not None and not _is_share(
        locked["prevalence"], math.nextafter(1.0, 0.0)
    ):
        raise wrong("prevalence", "a share below 1")
    return dict(locked)


def locked_point(
    predictions: pd.DataFrame,
    *,
    locked: Mapping[str, Any],
    prevalence: float | None = None,
    confidence: float = 0.95,
    cluster: str = "",
    beta: float = 2,
    draws: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Return what a frozen threshold does, as one row; nothing is chosen here.

    It is judged on test rows where they have truths, which is the honest judgement; else on
    out-of-fold rows, and the note says that they may have helped to choose it.

    Args:
        predictions: Predictions table of the same model; of test rows network by network
            (`within_folds.network_rows`) where each network's values are known.
        locked: `read_threshold` or `lock_threshold`.
        prevalence: Where it will be used; None: the locked one; 0: the data's.
        confidence: Of every interval.
        cluster: A column, such as `patient_id`, whose images err together: intervals widen.
        beta: Of `f_beta`.
        draws: Number of resamples behind `f_beta` and `matthews_correlation`.
        seed: Of the resampling.

    Returns:
        The columns of `operating_point.operating_point`, `choose` being `locked`.

    Raises:
        TableError: The locked facts are not sound, or the table lacks their class.
    """
    facts = check_threshold(locked, "the locked threshold", none=True)
    threshold = math.nan if facts["threshold"] is None else float(facts["threshold"])
    share = (facts.get("prevalence") or 0.0) if prevalence is None else prevalence
    every = binary_rows(predictions, positive=facts["positive"])
    test = every[every["fold"] == TEST]
    rows = test if len(test) else every
    point = measured_point(
        rows,
        threshold,
        reason=_remark(facts, run=run_name(predictions), on_test=len(test) > 0),
        prevalence=check_prevalence(share),
        confidence=confidence,
        cluster=cluster,
        beta=beta,
        draws=draws,
        seed=seed,
    )
    point |= _of_images(point, count_networks(predictions))
    point |= {"choose": "locked", "at": threshold}
    point |= {"theoretical_threshold": math.nan, "positive": facts["positive"]}
    return pd.DataFrame([point | {"run": run_name(predictions)}])


def threshold_rule(choose: str, at: float, *, chosen: str | Path | None = None) -> dict[str, Any]:
    """Return how a threshold is chosen: `choose` and `at`, of `operating_point`.

    Args:
        choose: How, unless it was chosen already.
        at: The wanted value.
        chosen: A file of `write_threshold`, which wins; None or empty: there is none.
    """
    if not chosen:
        return {"choose": choose, "at": at}
    return {"choose": "threshold", "at": read_threshold(chosen)["threshold"]}


NETWORKS_ALONE, ONE_SCORE, THEIR_MEAN = "network by network", "one score each", "mean of networks"


def locked_test_points(
    predictions: pd.DataFrame,
    *,
    networks: Networks,
    point: pd.DataFrame,
    confidence: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """Return what the locked threshold does on test rows whose truth is known.

    An out-of-fold row was judged by one network, so each network judges test rows alone; that of
    their mean stands below, since at a threshold that was not chosen for it it flags otherwise.

    Args:
        predictions: Predictions table, all its rows.
        networks: Fold and predictions of the network that was trained without it; none: the rows
            are judged as they come.
        point: `operating_point`, which is locked.
        confidence: Of the intervals.
        seed: Of the resampling.

    Returns:
        The columns of `locked_point` and `judged` (how), a row for each way. None where no test row
        has a truth; where no row is out of fold, none that `point` itself is.
    """
    test = predictions[(predictions["fold"] == TEST) & predictions["truth"].notna()]
    foreign = bool((predictions["fold"] == TEST).all())
    ways = {NETWORKS_ALONE if networks else ONE_SCORE: network_rows(test, networks)}
    if foreign and not networks:
        ways = {}
    elif networks and not foreign:
        ways[THEIR_MEAN] = test
    name = run_name(predictions)
    remark = mean_remark({name: test}, {name: networks})
    locked = lock_threshold(point)
    rows = [
        locked_point(
            table, locked=locked, confidence=confidence, cluster=cluster_column(table), seed=seed
        ).assign(judged=way)
        for way, table in ways.items()
        if len(table)
    ]
    if not rows:
        return pd.DataFrame(columns=[*point.columns, "judged"])
    points = pd.concat(rows, ignore_index=True)
    notes = [". ".join(filter(None, (note, remark))) for note in points["note"]]
    return points.assign(note=notes)


def _of_images(point: Mapping[str, Any], networks: int) -> dict[str, Any]:
    """Return the counts of images of a point that several networks were judged at."""
    if networks < 2:
        return {}
    words = f"judged network by network: counts are of {networks} networks together"
    counts = {name: int(point[name]) // networks for name in ("n", "positives", "left_out")}
    return counts | {"note": "; ".join(filter(None, (words, point["note"])))}


def _remark(facts: Mapping[str, Any], *, run: str, on_test: bool) -> str:
    if facts["threshold"] is None:
        return str(facts["note"])
    remarks = []
    if not on_test:
        remarks.append(
            f"no {TEST_ROWS} row has a truth: judged on {OUT_OF_FOLD} rows, which may have helped "
            "to choose the threshold"
        )
    if facts.get("run") and facts["run"] != run:
        remarks.append(f"locked on run {facts['run']}, whose scores may be on another scale")
    return "; ".join(remarks)


def _is_share(value: object, top: float) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and 0 <= value <= top  # type: ignore[operator]
