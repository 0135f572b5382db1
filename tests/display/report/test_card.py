"""The report card says what the records say, and names what they do not."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from melnb.display.report import answers, card
from melnb.evaluation.decisions import operating_point
from melnb.evaluation.discrimination import ranking

PREPARE = {
    "source": "isic2016", "dataset": "d", "task": "melanoma", "fit": "crop",
    "image_sizes": [64, 128],
    "quality": 95, "rows": 0, "missing": "drop", "skip_unreadable": True, "n_folds": 3,
    "fold_column": "", "seed": 4,
}  # fmt: skip
TRAIN = {
    "backbone": "ResNet50", "image_size": 64, "pooling": "gem", "dropout": 0.2, "head": "softmax",
    "weights": "imagenet", "loss": "focal", "epochs": 5, "class_weights": "balanced",
    "monitor": "val_auc", "rotation": 180.0, "flips": True,
}  # fmt: skip


def record(stage: str, parameters: dict[str, Any], **results: float | str | None) -> dict[str, Any]:
    return {
        "stage": stage, "run": "r", "parameters": parameters, "results": results, "seconds": 90.0,
        "device": "CPU", "commit": "abcdef0123456", "versions": {"keras": "3"},
    }  # fmt: skip


RECORDS = [
    record("02_prepare", PREPARE),
    record("03_train", TRAIN),
    record("03_train", TRAIN),
    record(
        "04_predict",
        {"views": "dihedral", "average": "logit"},
        **{"gain": 0.01, "gain_low": -0.01, "gain_high": 0.03},
    ),
]


@pytest.fixture
def found(predictions: pd.DataFrame) -> dict[str, str]:
    return answers.result_answers(
        predictions,
        positive="melanoma",
        cluster="",
        scores=ranking.metrics_by_fold(predictions, positive="melanoma", draws=50),
        point=operating_point.operating_point(predictions, positive="melanoma"),
    )


def test_every_key_of_the_checklists_is_an_item_of_the_card() -> None:
    items = card.checklist_items({})
    assert items.groupby("guideline").size().to_dict() == {
        "CLAIM 2024": 44, "CLEAR Derm": 25, "STARD-AI": 40, "TRIPOD+AI": 52,
    }  # fmt: skip
    everything = card.checklist_items(dict.fromkeys(card.KEYS, "told"))
    named = {i["answer"] for g in card._read_checklists().values() for i in g["items"]} - {""}
    assert named <= card.KEYS
    assert 0 < (everything["answered_by"] == "").sum() < len(everything)


def test_models_say_how_they_were_made() -> None:
    told = answers.model_answers(RECORDS)
    assert (
        told["network"] == "ResNet50 at 64 px, gem pooling, dropout 0.2, softmax"
    )  # once for both
    assert told["initial_weights"] == "imagenet"  # of runs that did not record more
    assert told["training"] == "loss focal, class weights balanced, epochs 5"
    assert "2 fits in 3.0 minutes" in told["software"]
    assert told["ensembling"] == "views: dihedral, averaged as logit"
    assert told["robustness"].endswith("AUC 0.0100 (−0.0100 – 0.0300)")
    assert "commit abcdef012" in told["availability"]


def test_weights_are_told_with_their_source_and_licence() -> None:
    told = {"weights_source": "a package 0.1.0, a.pth", "weights_digest": "sha256:0123"}
    recorded = record("03_train", TRAIN, **told, weights_licence="Apache-2.0")
    unknown = record("03_train", TRAIN, **told)
    assert answers.model_answers([recorded, recorded, unknown])["initial_weights"] == (
        "imagenet: a package 0.1.0, a.pth (licence Apache-2.0; sha256:0123) | "
        "imagenet: a package 0.1.0, a.pth (licence not recorded; sha256:0123)"
    )


def test_a_gain_that_could_not_be_estimated_is_left_out() -> None:
    nothing = dict.fromkeys(("gain", "gain_low", "gain_high"))  # no image has a truth
    unjudged = record("04_predict", {"views": "dihedral", "average": "logit"}, **nothing)
    assert "robustness" not in answers.model_answers([unjudged])
    told = answers.model_answers([*RECORDS, unjudged])
    assert told["robustness"] == answers.model_answers(RECORDS)["robustness"]


def test_data_say_where_they_are_from_and_what_is_missing() -> None:
    images = pd.DataFrame(
        {
            "patient_id": ["a", "a", None], "lesion_id": ["x", "y", "z"],
            "sex": ["female", None, "male"], "age": [40.0, 60.0, None],
            "site": ["torso", "torso", "head/neck"], "diagnosis": ["nevus", "melanoma", "nevus"],
        }
    )  # fmt: skip
    told = answers.data_answers(RECORDS, images)
    assert told["preprocessing"] == "made square (crop), 64 px and 128 px, JPEG quality 95"
    assert told["partitions"].startswith("3 folds, stratified by class")
    assert told["demographics"] == "age 50 (quartiles 45-55); sex: female 1, male 1"
    assert told["missing"] == "Patient unknown in 33.3%; Sex unknown in 33.3%; Age unknown in 33.3%"
    assert told["diagnoses"] == "nevus 2, melanoma 1"
    assert answers.data_answers([], None) == {}


def test_numbers_come_with_their_intervals(
    found: dict[str, str], predictions: pd.DataFrame
) -> None:
    area = ranking.auc(predictions, positive="melanoma").iloc[0]
    assert (
        f"AUC {area['value']:.3f} ({area['low']:.3f} – {area['high']:.3f})"
        in found["discrimination"]
    )
    assert found["uncertainty"].startswith("95% intervals; images count as independent")
    assert found["threshold_choice"].endswith("chosen by sensitivity 0.9 on out-of-fold rows")
    assert found["partition_numbers"].count("fold") == predictions["fold"].nunique()
    assert "calibration" not in found
    assert "comparison" not in found


def test_what_is_not_recorded_is_missing_not_guessed(found: dict[str, str]) -> None:
    items = card.checklist_items(found)
    told = items.set_index(["guideline", "topic"])["answered_by"]
    assert told["CLAIM 2024", "Data sources"] == ""
    assert told["CLAIM 2024", "Evaluation on internal data"] == ""
    assert told["CLEAR Derm", "Skin tone, and how it was assessed"] == ""
    assert told["CLAIM 2024", "Performance measures"] == "Discrimination"


def test_groups_name_skin_tone_and_what_is_hidden(predictions: pd.DataFrame) -> None:
    groups = pd.DataFrame(
        {
            "metric": "AUC", "column": ["sex", "skin_tone", "skin_tone"],
            "level": ["female", "light", "dark"],
            "n": [10, 900, 3], "note": ["", "", "suppressed: 3 rows"],
        }
    )  # fmt: skip
    told = answers._group_answers(groups)
    assert told["subgroups"] == "performance by sex, skin tone; 1 of 3 levels too small to show"
    assert told["skin_tone"].endswith("light 900, dark 3")


def test_both_files_hold_the_answers_and_no_raw_text(tmp_path: Path, found: dict[str, str]) -> None:
    found = found | {"source": "<script>alert(1)</script> *bold*"}
    table, items = card.report_card(found), card.checklist_items(found)
    markdown, html = card.write_card(tmp_path, table, items, title="a_b: melanoma")
    text = markdown.read_text(encoding="utf-8")
    assert text.startswith("# Report card: a\\_b: melanoma\n")
    assert "\\<script\\>alert(1)\\</script\\> \\*bold\\*" in text
    assert "- [ ] 44 Funding: **missing**" in text
    assert "- [x] 28 Performance measures: see *Discrimination*" in text
    page = html.read_text(encoding="utf-8")
    assert "<script>alert(1)" not in page
    assert "CLAIM 2024" in page
    assert "44 Funding" in page
    assert "not a medical device" in page
    assert len(page) < 100_000  # no figure, so no library of figures


def test_an_unknown_item_is_refused() -> None:
    with pytest.raises(ValueError, match="no item 'colours'"):
        card.report_card({"colours": "red"})
