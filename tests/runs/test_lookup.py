from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from melnb.runs import lookup, store
from melnb.tables import schema


def write_run(stage: str, name: str, outputs: Path, *reads: Path, file: str = "") -> Path:
    run = store.open_run(stage, name, parameters={"name": name}, outputs=outputs)
    for path in reads:
        run.reads(path)
    if file:
        table = schema.make_predictions(
            ["a"], -1, None, np.array([[0.5, 0.5]]), classes=("other", "melanoma"), run=name
        )
        schema.write_predictions(table, run.folder / file)
    return run.finish({})


def test_synthetic_lesions_are_named_for_what_they_are(tmp_path: Path) -> None:
    found = {lookup.raw_folder("", rows=r, seed=s, outputs=tmp_path) for r, s in [(0, 0), (9, 0)]}
    assert {path.name for path in found} == {"images600-seed0", "images9-seed0"}
    planted = lookup.raw_folder("", rows=9, seed=0, faults=["copy", "met_test"], outputs=tmp_path)
    assert planted.name == "images9-seed0-copy-met_test"
    assert lookup.raw_folder(str(tmp_path), rows=3, seed=0) == tmp_path


def test_folds_are_found_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for fold in (10, 2):
        write_run("03_train", f"b/fold{fold}", tmp_path)
    assert list(lookup.find_folds("03_train", "b", tmp_path)) == [2, 10]
    assert lookup.find_folds("03_train", "", tmp_path) == {}
    with pytest.raises(FileNotFoundError, match=r"no fold of 03_train/c in .*: run 03_train first"):
        lookup.find_folds("03_train", "c", tmp_path)


def test_what_was_cut_out_is_read_as_a_table(tmp_path: Path) -> None:
    folder = write_run("02d_segment_apply", "crop", tmp_path, file="images.csv")
    assert lookup.applied_source("crop", tmp_path) == ("csv", folder / "images.csv")
    with pytest.raises(FileNotFoundError, match="no 02d_segment_apply/mask in"):
        lookup.applied_source("mask", tmp_path)
    asked: list[Path] = []
    how = {"rows": 9, "seed": 0, "outputs": tmp_path}
    applied = lookup.source_folders(
        "synthetic", "", {}, applied="crop", reads=lambda p: asked.append(p) or p, **how
    )
    assert applied == ("csv", {"": folder / "images.csv"}, {})
    assert asked == [folder]
    roots = lookup.raw_folders("", {}, **how)
    assert lookup.source_folders("synthetic", "", {}, **how) == ("synthetic", roots, roots)


def test_empty_names_of_predictions_are_none(tmp_path: Path) -> None:
    file = tmp_path / "theirs.csv"
    file.touch()
    assert lookup.find_tables(["", str(file), ""], tmp_path) == {"theirs": [file]}
    assert lookup.find_tables([""], tmp_path) == {}


def test_finished_runs_are_those_that_hold_what_they_wrote(tmp_path: Path) -> None:
    whole, cut, lost = (
        write_run("03d_embed", name, tmp_path, file="predictions.csv") for name in "cba"
    )
    (tmp_path / "03d_embed" / "d.partial").mkdir()
    (cut / "predictions.csv").write_text("image_id\n")
    (lost / "run.json").write_text("{")
    assert lookup.finished_runs("03d_embed", tmp_path) == [whole]
    assert lookup.finished_runs("03c_metadata", tmp_path) == []


def test_seeds_of_a_technique_are_found_with_their_folds(tmp_path: Path) -> None:
    homes = [
        write_run("03_train", f"{name}/fold{fold}", tmp_path, file="predictions.csv")
        for name in ("focal-s2", "focal-s10", "focal-second-s1", "focal")
        for fold in (0, 1)
    ]
    assert lookup.find_seeds("focal", tmp_path) == {
        2: [home / "predictions.csv" for home in homes[:2]],
        10: [home / "predictions.csv" for home in homes[2:4]],
    }
    with pytest.raises(FileNotFoundError, match=r"no 03_train/plain-s<seed> in .*: run 03_train"):
        lookup.find_seeds("plain", tmp_path)


def test_tables_are_found_by_run_and_by_path(tmp_path: Path) -> None:
    home = write_run("04_predict", "b", tmp_path, file="test.csv")
    foreign = tmp_path / "theirs.csv"
    foreign.write_text("image_name,target\na,0.5\n")
    found = lookup.find_tables(["04_predict/b", str(foreign)], tmp_path)
    assert found == {"04_predict/b": [home / "test.csv"], "theirs": [foreign]}
    told: list[str] = []

    def reads(path: Path) -> Path:
        told.append(path.name)
        return path

    lookup.find_tables(["04_predict/b", str(foreign)], tmp_path, reads=reads)
    assert told == ["predictions.csv", "test.csv", "theirs.csv"], "what is not there, too"
    with pytest.raises(ValueError, match="both called 'theirs'"):
        lookup.find_tables([str(foreign), str(foreign)], tmp_path)
    write_run("04_predict", "empty", tmp_path)
    with pytest.raises(FileNotFoundError, match=r"no predictions.csv and no test.csv"):
        lookup.find_tables(["04_predict/empty"], tmp_path)


def test_a_lineage_names_each_run_once_and_the_earliest_first(tmp_path: Path) -> None:
    first = write_run("02_prepare", "d", tmp_path)
    folds = [write_run("03_train", f"b/fold{k}", tmp_path, first) for k in (0, 1)]
    last = write_run("04_predict", "b", tmp_path, first, *folds, file="predictions.csv")
    write_run("05_ensemble", "e", tmp_path, last / "predictions.csv")
    names = [f"{r['stage']}/{r['run']}" for r in lookup.lineage(["05_ensemble/e"], tmp_path)]
    assert names[0] == "02_prepare/d"
    assert names[-2:] == ["04_predict/b", "05_ensemble/e"]
    assert len(names) == len(set(names)) == 5
    assert lookup.lineage(["theirs.csv"], tmp_path) == []
    assert lookup.find_images("", tmp_path) is None


def test_measures_lie_beside_the_images(tmp_path: Path) -> None:
    assert lookup.find_measures("") is None
    home = write_run("02_prepare", "d", tmp_path)
    assert lookup.find_measures("d", tmp_path) is None
    (home / "measures.csv").write_text("image_id,ita\n007,41.5\n")
    found = lookup.find_measures("d", tmp_path)
    assert found is not None
    assert found.to_dict("records") == [{"image_id": "007", "ita": 41.5}]
    (home / "measures.csv").write_text("image_id,ita\n")
    assert lookup.find_measures("d", tmp_path) is None


def test_images_of_several_datasets_make_one_table(tmp_path: Path) -> None:
    for name, ids in (("a", ["i1", "i2"]), ("b", ["i2", "i3"])):
        table = pd.DataFrame({"image_id": ids, "site": name, "target": "other"})
        for column in schema.IMAGE_COLUMNS:
            table[column] = table.get(column)
        (tmp_path / name).mkdir()
        schema.write_images(table[[*schema.IMAGE_COLUMNS]], tmp_path / name / "images.csv")
    both = schema.join_images([tmp_path / "a", tmp_path / "b"])
    assert both["image_id"].tolist() == ["i1", "i2", "i3"]
    assert both["site"].tolist() == ["a", "a", "b"]


def test_the_datasets_behind_a_run_are_told_by_its_records() -> None:
    records = [
        {"stage": "02_prepare", "parameters": {"dataset": "ham"}},
        {"stage": "03_train", "parameters": {"dataset": "ham", "external": ["isic2019"]}},
        {"stage": "03_train", "parameters": {"dataset": "ham"}},
        {"stage": "02_prepare", "parameters": {"dataset": "ph2"}},
        {"stage": "04_predict", "parameters": {"dataset": "ph2", "train_run": "ham"}},
        {"stage": "05_ensemble", "parameters": {"members": ["04_predict/ph2"]}},
    ]
    assert lookup.learnt_datasets(records) == ["ham", "isic2019"]
    assert lookup.predicted_dataset(records) == "ph2"
    assert lookup.learnt_datasets(iter([])) == []
    assert lookup.predicted_dataset(records[:1]) == lookup.predicted_dataset([]) == ""


def test_a_report_finds_the_dataset_of_its_predictions(tmp_path: Path) -> None:
    csv = tmp_path / "theirs.csv"
    csv.write_text("image,target\na,0.5\n", encoding="utf-8")
    assert lookup.own_dataset([str(csv)], tmp_path) == ""
    run = store.open_run("04_predict", "a", parameters={"dataset": "ham"}, outputs=tmp_path)
    run.finish({})
    assert lookup.own_dataset(["04_predict/a"], tmp_path) == "", "ham was taken away"
    write_run("02_prepare", "ham", tmp_path)
    assert lookup.own_dataset(["04_predict/a", str(csv)], tmp_path) == "ham"


def test_a_network_of_all_rows_is_no_fold(tmp_path: Path) -> None:
    write_run("03_train", "full/foldnone", tmp_path)
    home = tmp_path / "03_train" / "full" / "foldnone"
    assert lookup.find_trained("full", tmp_path) == {-1: home}
    with pytest.raises(FileNotFoundError, match=r"learnt from all rows \(fold none\): it has noth"):
        lookup.find_folds("03_train", "full", tmp_path)
    with pytest.raises(FileNotFoundError, match="an image that was learnt is no evidence"):
        lookup.find_tables(["03_train/full/foldnone"], tmp_path)
    write_run("03_train", "full/fold0", tmp_path)
    assert [*lookup.find_trained("full", tmp_path)] == [0], "what is fitted out of fold is of folds"
