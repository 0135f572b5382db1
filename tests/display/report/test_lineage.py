from typing import Any

from melnb.display.report.card import run_facts
from melnb.params.catalogue import defaults


def record(fold: int, **more: Any) -> dict[str, Any]:
    return {
        "stage": "03_train", "run": f"b0/fold{fold}", "seconds": 2.5, "device": "CPU", "inputs": [],
        "parameters": {"epochs": 99, "fold": fold, "outputs": "elsewhere"},
        "results": {"auc": 0.91234 - fold / 10, "positive": "melanoma"},
        "started": "2026-01-02T03:04:05+00:00", "commit": "0123456789abcdef", "versions": {},
        **more,
    }  # fmt: skip


def test_run_facts_say_what_was_set_and_found() -> None:
    facts = run_facts([record(0), record(0, stage="04_predict", run="b0", commit=None)], defaults())
    assert facts["run"].tolist() == ["03_train/b0/fold0", "04_predict/b0"]
    assert facts["settings"].tolist() == ["epochs 99"] * 2
    assert facts["results"][0] == "auc 0.912, positive melanoma"
    assert facts["commit"].tolist() == ["012345678", ""]
    assert facts["started"][0] == "2026-01-02 03:04"


def test_results_have_their_limits_beside_them_and_settings_are_words() -> None:
    results = {"auc": 0.5, "auc_low": 0.25, "auc_high": 0.75, "balanced_accuracy_at_0.5": 0.625}
    parameters = {"epochs": 6, "members": ["a", "b"]}
    (row,) = run_facts([record(0, results=results, parameters=parameters)], {}).itertuples()
    assert row.results == "auc 0.500 (0.250 – 0.750), balanced accuracy at 0.5 0.625"
    assert row.settings == "epochs 6, members a, b"


def test_folds_that_were_set_alike_share_a_row() -> None:
    other = record(2, parameters={"epochs": 5, "fold": 2, "outputs": ""})
    facts = run_facts([record(0), record(1), other], defaults())
    assert facts["run"].tolist() == ["03_train/b0/fold0, 1", "03_train/b0/fold2"]
    assert facts["results"][0] == "auc 0.912 | 0.812, positive melanoma"
    assert facts["seconds"].tolist() == [5.0, 2.5]
