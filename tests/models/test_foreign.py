"""Foreign images: the mean of all networks, classes by name, and nothing that was met."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from melnb.data.datasets import Dataset, write_dataset
from melnb.data.sources.catalogue import read_source
from melnb.models import out_of_fold
from melnb.tables import schema

SIDE = 32
SEVEN = (
    "melanoma", "nevus", "basal_cell_carcinoma", "actinic_keratosis", "benign_keratosis",
    "dermatofibroma", "vascular_lesion",
)  # fmt: skip


@pytest.fixture(scope="module")
def trained(untrained: Callable[..., dict[int, Path]]) -> dict[int, Path]:
    """Networks of seven diagnoses, never trained."""
    homes = untrained(len(SEVEN))
    for home in homes.values():
        header = ",".join(["image_id", "fold", "truth", *(f"p_{name}" for name in SEVEN)])
        (home / "predictions.csv").write_text(header + "\n")
    return homes


def test_every_image_is_predicted_by_all_networks_as_a_test_row(
    trained: dict[int, Path], data: Dataset, tmp_path: Path
) -> None:
    how = {"run": "r", "batch_size": 24, "folder": tmp_path}
    single, averaged = out_of_fold.predict_foreign(trained, data, views="dihedral", **how)
    assert len(averaged) == 72
    assert set(averaged["fold"]) == {-1}
    assert set(averaged["views"]) == {"dihedral"}
    assert averaged["truth"].value_counts().to_dict() == {"other": 36, "melanoma": 36}
    schema.check_predictions(averaged)
    # Their mean, the probabilities of six diagnoses added up.
    expected = np.zeros(72)
    for home in trained.values():
        expected += out_of_fold.look_at(home, data, None, batch_size=24)[1][:, 0, 0] / 2
    np.testing.assert_allclose(single["p_melanoma"], expected, atol=1e-6)
    np.testing.assert_allclose(single["p_other"], 1 - expected, atol=1e-6)


def test_what_was_met_is_left_out_and_nothing_is_made_again(
    trained: dict[int, Path], data: Dataset, tmp_path: Path
) -> None:
    how = {"run": "r", "batch_size": 24, "folder": tmp_path}
    every, _ = out_of_fold.predict_foreign(trained, data, **how)
    nowhere = dict.fromkeys(trained, tmp_path / "gone")
    met = every["image_id"].iloc[[0, 30]]
    left, _ = out_of_fold.predict_foreign(nowhere, data, left_out=met, **how)
    expected = every[~every["image_id"].isin(met)].reset_index(drop=True)
    pd.testing.assert_frame_equal(left, expected)
    with pytest.raises(ValueError, match="of 72 images of 'd' not one is new to the networks"):
        out_of_fold.predict_foreign(nowhere, data, left_out=every["image_id"], **how)


def test_looks_are_shown_of_a_dataset_of_any_folds(trained: dict[int, Path], data: Dataset) -> None:
    without = replace(data, shards=data.shards[1:])
    assert len(out_of_fold.sample_looks(trained, without, views="dihedral")) == 8


def test_the_coarser_classes_are_kept() -> None:
    learnt_seven = out_of_fold.shared_classes(SEVEN, ("melanoma", "other"))
    assert learnt_seven.classes == ("melanoma", "other")
    assert learnt_seven.targets == (0, 1)
    assert learnt_seven.sums.tolist() == [[1, 0], *[[0, 1]] * 6]
    learnt_two = out_of_fold.shared_classes(("other", "melanoma"), SEVEN)
    assert learnt_two.classes == ("other", "melanoma")
    assert learnt_two.targets == (1, 0, 0, 0, 0, 0, 0)
    assert learnt_two.sums.tolist() == np.eye(2).tolist()


def test_diagnoses_that_a_dataset_lacks_stay() -> None:
    found = out_of_fold.shared_classes(SEVEN, ("nevus", "melanoma"))
    assert found.classes == SEVEN
    assert found.targets == (1, 0)
    three = out_of_fold.shared_classes(SEVEN, ("melanoma", "seborrheic_keratosis", "nevus"))
    assert three.targets == (0, 4, 1)


def test_the_same_classes_in_another_order_are_put_in_order() -> None:
    found = out_of_fold.shared_classes(("other", "melanoma"), ("melanoma", "other"))
    assert found.classes == ("melanoma", "other")
    assert found.sums.tolist() == [[0, 1], [1, 0]]


def test_an_other_of_rare_diagnoses_is_not_that_of_two_classes() -> None:
    found = out_of_fold.shared_classes((*SEVEN, "other"), ("melanoma", "other"))
    assert found.sums[:, 1].tolist() == [0, *[1] * 7]


def test_classes_without_a_counterpart_are_refused() -> None:
    with pytest.raises(ValueError, match=r"learnt \['melanoma', 'other'\].* task=melanoma"):
        out_of_fold.shared_classes(("melanoma", "other"), ("benign", "malignant"))


def test_ph2_is_judged_by_networks_of_more_diagnoses(tmp_path: Path) -> None:
    for name in ("IMD002", "IMD003", "IMD004"):
        folder = tmp_path / "PH2 Dataset images" / name / f"{name}_Dermoscopic_Image"
        folder.mkdir(parents=True)
        (folder / f"{name}.bmp").write_bytes(b"")
    lines = ["|| IMD002 ||  || 0 ||", "|| IMD003 ||  || 1 ||", "|| IMD004 ||  || 2 ||"]
    (tmp_path / "PH2_dataset.txt").write_text("\n".join(lines) + "\n")
    images = read_source("ph2", tmp_path)
    classes = tuple(sorted(images["target"].dropna().unique()))
    found = out_of_fold.shared_classes(SEVEN, classes)
    assert [found.classes[k] for k in found.targets] == list(classes)


@pytest.fixture
def prepared(data: Dataset, tmp_path: Path) -> Dataset:
    """A dataset whose folds are written."""
    ids = [f"i{k}" for k in range(6)]
    home = tmp_path / "own"
    home.mkdir()
    schema.write_folds(pd.DataFrame({"image_id": ids, "fold": [0, 1] * 3}), home / "folds.csv")
    made = replace(data, folder=home)
    write_dataset(made)
    return made


def test_other_images_or_other_folds_are_foreign(prepared: Dataset, tmp_path: Path) -> None:
    def cut(name: str, ids: list[str], folds: list[int], **more: str) -> Dataset:
        home = tmp_path / name
        home.mkdir()
        schema.write_folds(pd.DataFrame({"image_id": ids, "fold": folds}), home / "folds.csv")
        return replace(prepared, folder=home, dataset=name, **more)

    own = prepared.folder
    assert not out_of_fold.is_foreign(prepared, own)
    assert not out_of_fold.is_foreign(cut("larger", ["i1", "i0"], [1, 0], fit="pad"), own)
    assert out_of_fold.is_foreign(cut("cut anew", ["i1", "i0"], [0, 1]), own)
    assert out_of_fold.is_foreign(cut("others", ["i0", "b"], [0, 0]), own)
    with pytest.raises(ValueError, match=r"of fit 'crop' .* prepare it with fit=crop"):
        out_of_fold.is_foreign(cut("padded", ["a"], [0], fit="pad"), own)
    with pytest.raises(ValueError, match=r"cleaning 'none' .* prepare it with cleaning=none"):
        out_of_fold.is_foreign(cut("cleaned", ["a"], [0], cleaning="hairs"), own)
