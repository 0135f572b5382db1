"""The newest of their kind: what last judged a training run, and what last audited a dataset."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from melnb.params.catalogue import Predict, Report
from melnb.runs.folders import RECORD
from melnb.runs.lookup import FOLD, find_folds, find_tables, finished_runs
from melnb.runs.provenance import hash_path
from melnb.runs.store import Run, find_run, outputs_root
from melnb.tables.documents import DamagedError, read_run
from melnb.tables.findings import Audit
from melnb.tables.schema import read_predictions, read_table


def find_audit(
    dataset: str, outputs: str | Path = "", *, reads: Callable[[Path], Path] = Path
) -> Audit:
    """Return what the newest audit of a prepared dataset found; an empty one where none was run.

    Args:
        dataset: Of 02_prepare; empty: unknown, and so is its audit.
        outputs: Where runs are written.
        reads: Told the audit's folder, there or not, as `Run.seeks` of the run that asks.
    """
    if not dataset:
        return Audit()
    name = _newest("02b_audit", outputs, lambda p: p.get("dataset") == dataset) or dataset
    home = reads(outputs_root(outputs) / "02b_audit" / name)
    if not (home / RECORD).is_file():
        return Audit()
    now = hash_path(find_run("02_prepare", dataset, outputs))
    current = now in {entry["sha256"] for entry in read_run(home)["inputs"]}
    files = sorted(home.glob("shortcut_*.csv")) if current else []
    return Audit(
        f"02b_audit/{name}",
        read_table(home / "findings.csv").fillna({"remedy": ""}),
        "" if current else f"{dataset} was prepared anew since: run 02b_audit again",
        {file.stem.removeprefix("shortcut_"): read_predictions(file) for file in files},
    )


class Yardstick(NamedTuple):
    """What judged a run of 03_train; empty where nothing did.

    Attributes:
        predictions: Of 04_predict, its out-of-fold scores by many looks.
        report: Of 06_report, whose first predictions these are.
        chosen: The `operating_point.json` that a person chose in 06c_choose since.
    """

    predictions: str = ""
    report: str = ""
    chosen: str = ""


def find_yardstick(train_run: str, outputs: str | Path = "") -> Yardstick:
    """Return what last judged the networks of a run, each the newest of its kind.

    Args:
        train_run: Of 03_train.
        outputs: Where runs are written.
    """
    dataset = read_run(next(iter(find_folds("03_train", train_run, outputs).values())))
    name = dataset["parameters"]["dataset"]
    predicted = _newest("04_predict", outputs, lambda p: (
        (p.get("train_run") or p.get("run")) == train_run and p.get("dataset") == name
    ))  # fmt: skip
    asked = [f"04_predict/{predicted}"] if predicted else []
    report = _newest("06_report", outputs, lambda p: (
        bool(asked) and p.get("predictions", [])[:1] == asked and p.get("unit", "image") == "image"
    ))  # fmt: skip
    choice = _newest("06c_choose", outputs, lambda p: p.get("report") == report) if report else ""
    file = outputs_root(outputs) / "06c_choose" / choice / "operating_point.json"
    return Yardstick("".join(asked), report, str(file) if choice else "")


class Judging(NamedTuple):
    """How the networks of a run looked, and were judged.

    Attributes:
        files: Their out-of-fold predictions, by label, as `find_tables` has them.
        looks: Parameters of the 04_predict that made these; of one look where none did.
        rules: Parameters of the report that judged them; the usual ones where none did.
        words: Whose threshold it is.
    """

    files: dict[str, list[Path]]
    looks: Predict
    rules: Report
    words: str


def find_judging(
    trained: Mapping[int, Path],
    *,
    predictions: str,
    report: str,
    positive: str,
    outputs: str | Path = "",
    job: Run,
) -> Judging:
    """Return how the networks of a run of 03_train looked, and were judged.

    Args:
        trained: Fold and folder of each.
        predictions: Their run of 04_predict; empty: the one look of the training.
        report: Of 06_report; empty: none judged them.
        positive: The class that is looked for where no report says so.
        outputs: Where runs are written.
        job: The run that asks, and is told what is read.

    Raises:
        FileNotFoundError: What is named is not there.
    """
    files = find_tables([predictions], outputs, reads=job.seeks)
    spoken = [read_run(outputs_root(outputs) / name)["parameters"] for name in files]
    rules = [read_run(home)["parameters"] for home in job.finds("06_report", [report])]
    held_out = [home / "predictions.csv" for home in trained.values()]
    return Judging(
        files or {held_out[0].parent.parent.name: held_out},
        Predict.recorded(next(iter(spoken), {"views": "none"})),
        Report.recorded(next(iter(rules), {"positive": positive})),
        f"threshold of 06_report/{report}" if report else "threshold chosen on its own folds",
    )


def newest_training(outputs: str | Path = "") -> str:
    """Return the run of 03_train of which a fold was started last; empty if there is none.

    A network that learnt from all rows is none: nothing judged it. What is damaged is passed over.
    """
    home, started = outputs_root(outputs) / "03_train", dict[str, str]()
    for path in home.glob(f"*/fold*/{RECORD}"):
        if FOLD.fullmatch(path.parent.name):
            with suppress(DamagedError):
                name, when = path.parent.parent.name, read_run(path.parent)["started"]
                started[name] = max(started.get(name, ""), when)
    return max(started, key=lambda name: started[name], default="")


def _newest(stage: str, outputs: str | Path, fits: Callable[[Mapping[str, Any]], bool]) -> str:
    """Return the name of the last started run of a stage whose parameters fit; empty if none."""
    records = [read_run(folder) for folder in finished_runs(stage, outputs)]
    fitting = [r for r in records if fits(r["parameters"])]
    return str(max(fitting, key=lambda r: r["started"])["run"]) if fitting else ""
