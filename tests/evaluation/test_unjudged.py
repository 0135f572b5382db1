"""What the scores of rows without a truth say by themselves."""

import numpy as np
import pandas as pd
import pytest

from melnb.evaluation import unjudged
from melnb.evaluation.patient_context import context_scores
from melnb.evaluation.statistics.intervals import wilson_interval
from melnb.tables.checks import TEST
from melnb.tables.schema import make_predictions

N = 300
SCORE = np.round(np.random.default_rng(0).beta(1, 4, N), 3)


def table(known: int = 0, *, patients: bool = False) -> pd.DataFrame:
    """Of test rows the first have a truth; a patient has three."""
    truth = np.array(["melanoma", "other"] * (N // 2), dtype=object)
    truth[known:] = None
    made = make_predictions(
        [f"i{k}" for k in range(N)], TEST, truth, np.column_stack([1 - SCORE, SCORE]),
        classes=("other", "melanoma"), run="r",
    )  # fmt: skip
    return made.assign(patient_id=[f"p{k // 3}" for k in range(N)]) if patients else made


@pytest.mark.parametrize("known", [0, 100])
def test_shares_and_scores_of_rows_without_a_truth(known: int) -> None:
    how = {"positive": "melanoma", "threshold": 0.25, "confidence": 0.9}
    facts = unjudged.unjudged_facts(table(known), **how).set_index("measure")
    own = SCORE[known:]
    assert facts.at["rows", "value"] == N - known
    assert facts.at["flagged", "value"] == (own >= 0.25).mean()
    low, high = wilson_interval((own >= 0.25).sum(), len(own), confidence=0.9)
    assert facts.loc["flagged", ["low", "high"]].to_list() == pytest.approx([low, high])
    near = (own / (1 - own) <= 2 / 3 + 1e-9) & (own / (1 - own) >= 1 / 6 - 1e-9)
    assert facts.at["near the threshold", "value"] == near.mean()
    assert facts.at["mean probability", "value"] == pytest.approx(own.mean())
    assert facts.at["score at 50%", "value"] == pytest.approx(np.median(own))
    assert unjudged.unjudged_results(facts.reset_index())["without_truth"] == N - known


def test_patients_widen_what_is_said_and_are_counted() -> None:
    how = {"positive": "melanoma", "threshold": 0.25}
    rows = table(patients=True)
    rows["p_melanoma"] = np.repeat(SCORE[::3], 3)  # the images of a patient are alike
    alone, together = (
        unjudged.unjudged_facts(rows, cluster=c, **how).set_index("measure")
        for c in ("", "patient_id")
    )
    wide = together["high"].astype(float) - together["low"].astype(float)
    narrow = alone["high"].astype(float) - alone["low"].astype(float)
    for measure in ("flagged", "near the threshold", "mean probability"):
        assert wide[measure] > 1.5 * narrow[measure]
    assert together.at["patients", "value"] == N // 3


def test_without_a_threshold_or_probabilities_the_rest_is_said() -> None:
    ranks = table().assign(kind="score")
    facts = unjudged.unjudged_facts(ranks, positive="melanoma", threshold=float("nan"))
    assert not {"flagged", "near the threshold", "mean probability"} & {*facts["measure"]}
    assert facts["note"].astype(str).str.contains("give one that was chosen elsewhere").any()
    assert unjudged.unjudged_results(facts) == {"without_truth": N}


def test_where_every_truth_is_known_nothing_is_said() -> None:
    rows = table(N)
    facts = unjudged.unjudged_facts(rows, positive="melanoma", threshold=0.5)
    assert facts.empty
    assert unjudged.unjudged_results(facts) == {}
    assert unjudged.why_unjudged(rows) == ""
    assert unjudged.unjudged_context(rows, positive="melanoma").empty


def test_why_the_rest_is_missing() -> None:
    assert unjudged.why_unjudged(table()).startswith("None of 300 rows has a truth.")
    assert unjudged.why_unjudged(table(100)).startswith("200 of 300 rows have no truth")


def test_the_most_suspicious_stand_among_their_patients_pictures() -> None:
    rows = table(patients=True)
    rows.loc[rows["image_id"] == "i5", "patient_id"] = np.nan
    worst = unjudged.unjudged_context(rows, positive="melanoma", n=N)
    assert worst["p_melanoma"].is_monotonic_decreasing
    known = context_scores(rows[rows["patient_id"].notna()], positive="melanoma")
    wanted = known.set_index("image_id")["score_z"]
    found = worst.set_index("image_id")["z_in_patient"]
    assert found[wanted.index].to_numpy() == pytest.approx(wanted.to_numpy())
    assert np.isnan(found["i5"])
    assert "z_in_patient" not in unjudged.unjudged_context(table(), positive="melanoma")
