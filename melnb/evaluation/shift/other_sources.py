"""Other sources, ready to be compared: strangers, two classes, one kind, one model.

An image that was learnt from, or another of its lesion or patient, is no stranger: numbers on such
rows would be internal ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from melnb.evaluation.calibration.calibrators import Method, calibrate
from melnb.evaluation.calibration.cross_calibration import calibrate_networks, cross_calibrate
from melnb.evaluation.discrimination.within_folds import Networks, network_rows, with_mean
from melnb.evaluation.summaries import IMAGES, UNIT
from melnb.tables.checks import TEST, TableError
from melnb.tables.diagnoses import OTHER
from melnb.tables.overlap import BY, COLUMNS, keys, met_images
from melnb.tables.schema import check_predictions, class_names

INTERNAL = "internal"  # the label of the source that was learnt from
_MET = [f"met_{name}" for name in BY]
_REST = "rest"  # of a class looked for that is itself called other


def source_meetings(sources: Mapping[str, pd.DataFrame], learnt: pd.DataFrame) -> pd.DataFrame:
    """Return `met_images` of each external source, under its name.

    Args:
        sources: External tables by name.
        learnt: See `met_images`.

    Returns:
        `source` and the columns of `met_images`.
    """
    parts = [met_images(table, learnt).assign(source=name) for name, table in sources.items()]
    names = ["source", *COLUMNS]
    return pd.concat(parts, ignore_index=True)[names] if parts else pd.DataFrame(columns=names)


def meeting_counts(sources: Mapping[str, pd.DataFrame], met: pd.DataFrame) -> pd.DataFrame:
    """Count what is left of each source without the images that were met.

    Args:
        sources: External tables by name.
        met: `source_meetings`.

    Returns:
        A row per source: `source`, `images`, `met_image`, `met_lesion`, `met_patient`,
        `met_picture`, `kept`, how many of its images have a truth (`judged`, met or not), and how
        many stand `in_another` external source too: they count in both, whose numbers are then no
        independent evidence.
    """
    rows = []
    ids = {name: {*keys(table["image_id"])} for name, table in sources.items()}
    for name, table in sources.items():
        another = set().union(*(theirs for other, theirs in ids.items() if other != name))
        reasons = met.loc[met["source"] == name, "met_by"]
        counts = reasons.map("met_{}".format).value_counts().reindex(_MET, fill_value=0).to_dict()
        row = {"source": name, "images": len(table), **counts, "kept": len(table) - len(reasons)}
        row |= {"judged": int(table["truth"].notna().sum()) if "truth" in table else 0}
        rows.append(row | {"in_another": len(ids[name] & another)})
    return pd.DataFrame(rows, columns=["source", "images", *_MET, "kept", "judged", "in_another"])


def strangers(sources: Mapping[str, pd.DataFrame], met: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return the sources without the images that were met.

    Args:
        sources: External tables by name.
        met: `source_meetings`.

    Raises:
        TableError: Nothing is left of a source.
    """
    kept = {}
    for name, table in sources.items():
        strange = met.loc[met["source"] == name, "image_id"]
        kept[name] = table[~table["image_id"].astype(str).isin(strange)].reset_index(drop=True)
        if kept[name].empty:
            raise TableError(
                f"source {name}: of {len(table)} images not one is new to the model: give images "
                "of another source"
            )
    return kept


def source_tables(
    internal: pd.DataFrame, external: Mapping[str, pd.DataFrame], *, positive: str
) -> dict[str, pd.DataFrame]:
    """Return the rows with a truth of every source, the internal one's out-of-fold rows first.

    A source without a truth is predicted, not judged: it is passed over here, and stands in
    `at_threshold.flagged_shares`. Classes may differ from source to source: `two_classes` is all
    that is compared. Internal rows are each judged by one fold's network, external ones usually by
    the mean of all, which is a little better: a loss elsewhere is, if anything, larger than it
    looks.

    Args:
        internal: Predictions table with out-of-fold rows.
        external: Label and predictions table of each other source, by the same model.
        positive: The class looked for.

    Returns:
        Tables by label, `internal` first; external rows have fold -1, all the internal run's name.

    Raises:
        TableError: No internal row is out of fold, an external table is of rows out of fold, or
            kinds differ, or a label is taken, or a table lacks the class.
    """
    whole = all_class_tables(internal, external)
    return {name: two_classes(table, positive=positive) for name, table in whole.items()}


def all_class_tables(
    internal: pd.DataFrame, external: Mapping[str, pd.DataFrame]
) -> dict[str, pd.DataFrame]:
    """Return `source_tables` with the classes that each table has.

    Raises:
        TableError: See `source_tables`.
    """
    inside = internal[(internal["fold"] != TEST) & internal["truth"].notna()]
    if inside.empty:
        raise TableError(
            "internal predictions: no out-of-fold row has a truth, so there is nothing to compare "
            "with: give a run of 04_predict on the dataset that was learnt from"
        )
    kept = {INTERNAL: inside}
    kind, run = inside["kind"].iloc[0], inside["run"].iloc[0]
    for name, table in external.items():
        if name == INTERNAL:
            raise TableError(f"a source may not be called {INTERNAL!r}: rename its file or run")
        _check_external(name, table, kind)
        judged = table[table["truth"].notna()]
        if len(judged):
            kept[name] = judged.assign(fold=TEST, run=run)
    return kept


def source_networks(
    judged: Mapping[str, pd.DataFrame],
    networks: Mapping[str, Networks],
    *,
    positive: str,
) -> dict[str, dict[int, pd.DataFrame]]:
    """Return what each network alone said of the rows of each source, as two classes.

    Args:
        judged: `source_tables`.
        networks: Label of a source, and predictions of its rows by each network (of more rows, if
            they are no strangers).
        positive: The class looked for.
    """
    strangers_of = {}
    for name, of_folds in networks.items():
        tables = {}
        for fold, table in of_folds.items():
            kept = table[table["image_id"].isin(judged[name]["image_id"])]
            tables[fold] = two_classes(kept, positive=positive)
        strangers_of[name] = tables
    return strangers_of


def calibrated_rows(
    judged: Mapping[str, pd.DataFrame],
    networks: Mapping[str, Networks],
    *,
    method: Method,
    positive: str,
) -> tuple[dict[str, pd.DataFrame], dict[str, Networks]]:
    """Return the rows that a threshold of internal ones judges: network by network where known.

    Args:
        judged: `source_tables`; the first is the internal one.
        networks: As of `source_networks`.
        method: As of `calibrate_sources`, by which all are calibrated.
        positive: The class looked for.

    Returns:
        Tables by source, each row as often as there are networks (`within_folds.network_rows`);
        and what each network alone said, as two classes.
    """
    alone = source_networks(judged, networks, positive=positive)
    by_mean, calibrated = calibrate_sources(judged, alone, method=method, positive=positive)
    rows = {name: network_rows(t, calibrated.get(name, {})) for name, t in by_mean.items()}
    return rows, calibrated


def calibrate_sources(
    tables: Mapping[str, pd.DataFrame],
    networks: Mapping[str, Networks],
    *,
    method: Method,
    positive: str,
) -> tuple[dict[str, pd.DataFrame], dict[str, Networks]]:
    """Calibrate all sources by internal rows alone: these out of fold, the others frozen.

    What is known network by network is calibrated so, as each fold of the internal rows was, and
    the mean is of that.

    Args:
        tables: `source_tables`; the first is the internal one.
        networks: `source_networks`.
        method: Of `calibrators.fit_calibrator`; `none`: both are returned as they are.
        positive: The class looked for.

    Returns:
        The tables, and the networks' rows, by source.
    """
    if method == "none":
        return dict(tables), dict(networks)
    (inside, at_home), *outside = tables.items()
    how: dict[str, Any] = {"method": method, "positive": positive}
    home, frozen = cross_calibrate(at_home, **how)
    alone: dict[str, Networks] = {
        name: calibrate_networks(at_home, networks.get(name, {}), **how) for name, _ in outside
    }
    away = {name: with_mean(calibrate(table, frozen), alone[name]) for name, table in outside}
    return {inside: home, **away}, alone


def two_classes(predictions: pd.DataFrame, *, positive: str) -> pd.DataFrame:
    """Return predictions of the class looked for against the rest, in the order of their ids.

    Args:
        predictions: Predictions table; columns that end in `_id` are kept.
        positive: The class looked for.

    Raises:
        TableError: The table lacks the class.
    """
    classes = class_names(predictions)
    if positive not in classes:
        raise TableError(f"predictions: positive is {positive!r}, not one of {list(classes)}")
    rest = _REST if positive == OTHER else OTHER
    ids = [c for c in predictions.columns if str(c).endswith("_id") or c in (UNIT, IMAGES)]
    value = predictions[f"p_{positive}"].to_numpy(dtype=float)
    labelled = predictions["truth"].notna()
    words = np.where(predictions["truth"] == positive, positive, rest)
    truth = pd.Series(words, index=predictions.index, dtype=object).where(labelled)
    table = predictions[[*ids, "fold"]].assign(
        truth=truth, **{f"p_{rest}": 1 - value, f"p_{positive}": value}
    )
    table = table.assign(**{c: predictions[c] for c in ("run", "views", "kind")})
    table = table.sort_values("image_id", ignore_index=True)
    return check_predictions(table) if len(table) else table


def _check_external(name: str, table: pd.DataFrame, kind: str) -> None:
    if table.empty:
        raise TableError(f"source {name}: no row: give a table with predictions")
    folds = set(table["fold"]) - {TEST}
    if len(folds) > 1:
        raise TableError(
            f"source {name}: its rows are out of {len(folds)} folds, so that its networks have "
            "learnt from them: run 04_predict with this dataset and the train_run of the other"
        )
    if (table["kind"] != kind).any():
        raise TableError(
            f"source {name}: kind is {table['kind'].iloc[0]!r}, and the internal one {kind!r}: "
            "give predictions that were made alike"
        )
