import base64
import io
from typing import Any

import pandas as pd
import pytest
from PIL import Image

from melnb.display.threshold.panels import data_address, pictures_of
from melnb.display.threshold.threshold_explorer import ThresholdExplorer
from melnb.evaluation.decisions.flagged import worst_errors


def sent(explorer: ThresholdExplorer) -> dict[str, list[dict[str, Any]]]:
    return dict(explorer.page_state()["values"]["words"]["candidates"])


@pytest.mark.parametrize("threshold", [0.05, 0.2, 0.35, 0.8])
def test_the_worst_errors_of_any_threshold_are_a_prefix(
    predictions: pd.DataFrame, threshold: float
) -> None:
    lists = sent(ThresholdExplorer(predictions, kept=10))
    worst = worst_errors(predictions, positive="melanoma", threshold=threshold, n=10)
    for kind, name, wrong in (
        ("false negative", "missed", float.__lt__),
        ("false positive", "alarms", float.__ge__),
    ):
        cut = [row["facts"][0][1] for row in lists[name] if wrong(row["score"], threshold)]
        assert cut == worst.loc[worst["error"] == kind, "image_id"].tolist()


def test_facts_say_what_is_known(predictions: pd.DataFrame, groups: pd.DataFrame) -> None:
    (row,) = sent(ThresholdExplorer(predictions, groups=groups, kept=1))["missed"]
    facts = dict(row["facts"])
    known = predictions.set_index("image_id").loc[facts["image_id"]]
    assert list(facts) == ["image_id", "truth", "score", "fold", "sex", "site"]
    assert (facts["truth"], facts["fold"]) == ("Melanoma", known["fold"])
    assert facts["score"] == row["score"] == known["p_melanoma"]
    assert facts["site"] == groups.set_index("image_id")["site"][facts["image_id"]]
    assert row["picture"] == ""


def test_pictures_are_asked_for_the_worst_alone(predictions: pd.DataFrame) -> None:
    asked: list[str] = []

    def read(image_id: str) -> bytes:
        asked.append(image_id)
        return b"jpeg"

    explorer = ThresholdExplorer(predictions, pictures=read, kept=5)
    assert asked == []
    lists = sent(explorer)
    assert len(asked) == 10
    expected = f"data:image/jpeg;base64,{base64.b64encode(b'jpeg').decode()}"
    assert {row["picture"] for rows in lists.values() for row in rows} == {expected}
    sent(explorer)
    assert len(asked) == 10, "a second page reads none again"


def test_pictures_may_be_a_mapping_with_holes(predictions: pd.DataFrame) -> None:
    lists = sent(ThresholdExplorer(predictions, pictures={"i000000": b"x"}, kept=2))
    assert {row["picture"] for row in lists["missed"]} <= {"", data_address(b"x")}


def test_what_is_no_picture_is_refused() -> None:
    assert data_address(None) == data_address(b"") == data_address("") == ""
    assert data_address("data:image/png;base64,AA==") == "data:image/png;base64,AA=="
    with pytest.raises(ValueError, match=r"'javascript:alert\(1\)' is no data:image/"):
        data_address("javascript:alert(1)")


def test_small_pictures_of_the_images_table(images: pd.DataFrame) -> None:
    read = pictures_of(images, size=16)
    with Image.open(io.BytesIO(read("i3"))) as picture:
        assert (picture.format, picture.size) == ("JPEG", (16, 16))
    assert read("nobody") == b""
    assert pictures_of(images.assign(path=None))("i3") == b""
