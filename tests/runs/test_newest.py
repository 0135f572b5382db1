"""The newest of their kind: trainings that can be read, and audits of a dataset as it is."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from melnb.runs import lookup, newest, store
from melnb.tables.findings import FAIL, Finding, findings_table
from melnb.tables.schema import make_predictions, write_predictions, write_table


def write_run(stage: str, name: str, outputs: Path, *reads: Path, **parameters: Any) -> Path:
    run = store.open_run(stage, name, parameters=parameters, outputs=outputs)
    for path in reads:
        run.reads(path)
    if stage == "02b_audit":
        findings = findings_table([Finding("MEL009", FAIL, 2, "a pair")])
        write_table(findings, run.folder / "findings.csv")
        table = make_predictions(
            ["a"], 0, ["x"], np.array([[0.5, 0.5]]), classes=("x", "y"), run="file"
        )
        write_predictions(table.assign(patient_id="p"), run.folder / "shortcut_file.csv")
    return run.finish({"seed": parameters.get("seed", 0)})


def test_the_newest_training_is_one_that_was_judged_and_can_be_read(tmp_path: Path) -> None:
    assert newest.newest_training(tmp_path) == ""
    first = write_run("03_train", "first/fold0", tmp_path)
    record = first / "run.json"
    record.write_text(record.read_text().replace('"started": "20', '"started": "19'))
    write_run("03_train", "second/fold1", tmp_path)
    broken = write_run("03_train", "broken/fold0", tmp_path) / "run.json"
    write_run("03_train", f"whole/{lookup.ALL}", tmp_path)
    broken.write_text("{")
    assert newest.newest_training(tmp_path) == "second"


def test_an_audit_is_the_newest_of_its_dataset_and_says_that_it_is_old(tmp_path: Path) -> None:
    sought: list[Path] = []

    def seeks(path: Path) -> Path:
        sought.append(path)
        return path

    prepared = write_run("02_prepare", "ham", tmp_path)
    assert newest.find_audit("", tmp_path, reads=seeks).run == ""
    assert sought == [], "whose dataset is unknown"
    none = newest.find_audit("ham", tmp_path, reads=seeks)
    assert (none.run, none.sentence, none.shortcuts) == ("", "", {})
    assert sought == [tmp_path / "02b_audit" / "ham"], "one that comes later is news"
    write_run("02b_audit", "other", tmp_path, prepared, dataset="other")
    home = write_run("02b_audit", "second", tmp_path, prepared, dataset="ham")
    audit = newest.find_audit("ham", tmp_path, reads=seeks)
    assert (audit.run, audit.stale, sought[-1]) == ("02b_audit/second", "", home)
    assert audit.sentence == "Audit: 1 FAIL (near duplicates)."
    assert list(audit.shortcuts) == ["file"]
    pd.testing.assert_frame_equal(
        audit.findings, findings_table([Finding("MEL009", FAIL, 2, "a pair")]), check_dtype=False
    )
    write_run("02_prepare", "ham", tmp_path, seed=1)
    old = newest.find_audit("ham", tmp_path)
    assert old.stale == "ham was prepared anew since: run 02b_audit again"
    assert old.sentence.endswith("). Ham was prepared anew since: run 02b_audit again.")
    assert old.shortcuts == {}


def test_a_judging_is_of_the_report_or_of_the_networks_alone(tmp_path: Path) -> None:
    trained = {0: write_run("03_train", "a/fold0", tmp_path)}
    job = store.open_run("04c_look", "new", parameters={}, outputs=tmp_path)
    how = {"positive": "nevus", "outputs": tmp_path, "job": job}
    alone = newest.find_judging(trained, predictions="", report="", **how)
    assert alone.files == {"a": [trained[0] / "predictions.csv"]}
    assert (alone.looks.views, alone.rules.positive) == ("none", "nevus")
    assert alone.words == "threshold chosen on its own folds"
    write_run("06_report", "r", tmp_path, positive="melanoma", at=0.8)
    judged = newest.find_judging(trained, predictions="", report="r", **how)
    assert (judged.rules.positive, judged.rules.at) == ("melanoma", 0.8)
    assert judged.words == "threshold of 06_report/r"


def test_a_report_names_what_it_judged(tmp_path: Path) -> None:
    home = write_run("06_report", "r", tmp_path, run="r", predictions=["04_predict/a", "b.csv"])
    assert lookup.judged_names(home) == ["04_predict/a", "b.csv"]
    (home / "predictions.csv").write_text("rows of its own", encoding="utf-8")
    assert lookup.judged_names(home) == ["06_report/r", "b.csv"]
