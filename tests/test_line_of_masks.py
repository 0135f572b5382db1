"""The side line from masks to a set of crops, run once beside the demo, and then looked at."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from melnb.tables import documents, schema

pytestmark = pytest.mark.xdist_group("demo")


@pytest.fixture
def outputs(demo: Path) -> Path:
    return demo / "outputs"


def test_executed_notebooks_are_clean(outputs: Path, check_clean: Callable[[Path], None]) -> None:
    check_clean(outputs)


def test_lesions_are_cut_out_by_networks_that_never_saw_them(outputs: Path) -> None:
    applied = outputs / "02d_segment_apply"
    folds = schema.read_folds(outputs / "02_prepare" / "demo" / "folds.csv")
    lesions = pd.read_csv(applied / "demo" / "lesions.csv").merge(folds, on="image_id")
    assert len(lesions) == len(folds)
    assert (lesions["fold_x"] == lesions["fold_y"]).all()  # whose network drew it; in which it is
    again = pd.read_csv(applied / "masked" / "lesions.csv")
    assert again["mask_path"].tolist() == lesions["mask_path"].tolist()
    assert documents.read_run(applied / "masked")["device"] == "no network"
    scores = pd.read_csv(applied / "demo" / "scores.csv")
    held_out = pd.read_csv(outputs / "02c_segment_train" / "demo" / "fold1" / "scores.csv")
    both = scores.merge(held_out, on="image_id", validate="1:1")
    assert len(both) == (folds["fold"] == 1).sum()
    assert both["jaccard_x"].to_numpy() == pytest.approx(both["jaccard_y"], abs=0.02)


def test_what_was_cut_out_is_prepared_in_the_same_folds(outputs: Path) -> None:
    prepared = outputs / "02_prepare"
    whole, cut = (schema.read_folds(prepared / name / "folds.csv") for name in ("demo", "masked"))
    assert (
        cut.sort_values("image_id")["fold"].tolist()
        == whole.sort_values("image_id")["fold"].tolist()
    )
    images = schema.read_images(prepared / "masked" / "images.csv")
    lesions = pd.read_csv(outputs / "02d_segment_apply" / "masked" / "lesions.csv")
    cropped = set(lesions.loc[lesions["verdict"] == "ok", "image_id"])
    assert cropped
    paths = images.set_index("image_id")["path"]
    assert {i for i in paths.index if "02d_segment_apply" in paths[i]} == cropped
