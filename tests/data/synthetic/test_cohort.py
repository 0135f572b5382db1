import hashlib
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy import ndimage
from scipy.stats import spearmanr
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from melnb.data.synthetic import album, cohort
from melnb.data.synthetic.album import draw_row
from melnb.data.synthetic.cohort import make_cohort, make_dataset, read_dataset_images
from melnb.tables import schema


def digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(f.relative_to(folder)): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "set"
    return make_dataset(folder, images=24, image_size=48, workers=1, test=0.3)


def test_the_folder_holds_pictures_masks_and_table(made: Path) -> None:
    table = pd.read_csv(made / "metadata.csv")
    assert sorted(p.stem for p in (made / "images").glob("*.jpg")) == sorted(table["image_id"])
    assert sorted(p.stem for p in (made / "masks").glob("*.png")) == sorted(table["image_id"])
    for name in table["image_id"]:
        with Image.open(made / "images" / f"{name}.jpg") as picture:
            assert (picture.mode, picture.size) == ("RGB", (48, 48))
        mask = np.asarray(Image.open(made / "masks" / f"{name}.png"))
        assert mask.shape == (48, 48)
        assert set(np.unique(mask)) == {0, 255}
    assert [p.name for p in made.parent.iterdir() if not p.name.startswith(".")] == ["set"]


def test_the_images_table_follows_the_agreement_and_withholds_test_labels(made: Path) -> None:
    images = read_dataset_images(made)
    assert tuple(images.columns[: len(schema.IMAGE_COLUMNS)]) == schema.IMAGE_COLUMNS
    assert images["path"].map(lambda p: Path(p).is_file()).all()
    assert images["mask_path"].map(lambda p: Path(p).is_file()).all()
    assert set(images["split"]) == {"train", "test"}
    assert (images["target"].isna() == (images["split"] == "test")).all(), "of one patient"
    assert set(images["width"]) == set(images["height"]) == {48}
    assert set(images["source"]) == {"synthetic"}
    truth = pd.read_csv(made / "metadata.csv")["true_diagnosis"]
    train = images["split"] == "train"
    assert (images["target"] == truth)[train].all()
    assert truth.notna().all()


def test_the_same_seed_gives_the_same_bytes_whatever_the_workers(
    made: Path, tmp_path: Path
) -> None:
    again = make_dataset(tmp_path / "two", images=24, image_size=48, workers=2, test=0.3)
    assert digests(again) == digests(made)
    other = make_dataset(tmp_path / "o", images=24, image_size=48, workers=1, test=0.3, seed=1)
    assert not set(digests(other).values()) & set(digests(made).values())


def test_a_finished_set_is_left_alone_and_another_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_dataset(tmp_path / "set", images=4, image_size=32, workers=1)
    before = digests(folder)
    with monkeypatch.context() as patch:
        patch.setattr(cohort, "_write", None)  # calling it would fail
        assert make_dataset(folder, images=4, image_size=32) == folder
    assert digests(folder) == before
    make_dataset(folder, images=5, image_size=32, workers=1)
    assert len(list((folder / "images").iterdir())) == 5
    monkeypatch.setattr(cohort, "_DRAWING", 0)
    make_dataset(folder, images=4, image_size=32, workers=1)
    assert len(list((folder / "images").iterdir())) == 4


def test_a_run_killed_halfway_leaves_no_folder_and_is_made_anew(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = album.write_picture

    def stop(row: dict[str, object], **given: object) -> None:
        if row["image_id"] == "SYN_0000007":
            raise KeyboardInterrupt
        write(row, **given)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(album, "write_picture", stop)
        with pytest.raises(KeyboardInterrupt):
            make_dataset(tmp_path / "set", images=24, image_size=48, workers=1, test=0.3)
    assert not (tmp_path / "set").exists()
    left = tmp_path / "set.partial"
    assert len(list((left / "images").iterdir())) == 6
    (left / "stray.txt").write_text("of the killed run")
    folder = make_dataset(tmp_path / "set", images=24, image_size=48, workers=1, test=0.3)
    assert digests(folder) == digests(made)
    assert not left.exists()


def test_two_callers_at_once_make_it_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written, write = [], cohort._write

    def count(*given: object) -> None:
        written.append(given)
        write(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(cohort, "_write", count)
    with ThreadPoolExecutor(3) as pool:
        calls = [
            pool.submit(make_dataset, tmp_path / "set", images=12, image_size=32, workers=1)
            for _ in range(3)
        ]
        assert {call.result() for call in calls} == {tmp_path / "set"}
    assert len(written) == 1


SCRIPT = """
import sys
from melnb.data.synthetic.cohort import make_dataset
make_dataset(sys.argv[1], images=int(sys.argv[2]), image_size=64, workers=2)
"""


def test_a_script_without_a_guard_is_told_so_and_does_not_hang(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    command = [sys.executable, str(tmp_path / "script.py"), str(tmp_path / "set"), "8"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert ended.returncode == 1
    assert "workers=1" in ended.stderr.splitlines()[-1]
    assert not (tmp_path / "set").exists()


def test_a_killed_run_takes_its_workers_along(tmp_path: Path) -> None:
    guarded = SCRIPT.replace("make_dataset(sys", 'if __name__ == "__main__": make_dataset(sys')
    (tmp_path / "script.py").write_text(guarded)
    command = [sys.executable, str(tmp_path / "script.py"), str(tmp_path / "set"), "100000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as script:
        images = tmp_path / "set.partial" / "images"
        wait_until(lambda: images.is_dir() and any(images.iterdir()))
        script.kill()
        script.communicate(timeout=600)  # the pipe closes when the last worker has ended
    folder = make_dataset(tmp_path / "set", images=2, image_size=32)  # its lock went with it
    assert len(list((folder / "images").iterdir())) == 2


def wait_until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 600
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(FileExistsError, match="holds files but no synthetic data set"):
        make_dataset(tmp_path, images=2, image_size=32)
    assert (tmp_path / "thesis.txt").exists()
    empty = tmp_path / "empty"
    empty.mkdir()
    assert (make_dataset(empty, images=2, image_size=32) / "metadata.csv").exists()


def test_errors_name_what_was_received(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="image_size is 8"):
        make_dataset(tmp_path / "set", image_size=8)
    with pytest.raises(ValueError, match="tone_gap is 2"):
        make_dataset(tmp_path / "set", tone_gap=2)
    assert not list(tmp_path.iterdir())
    with pytest.raises(FileNotFoundError, match=r"synthetic\.json .* make_dataset"):
        read_dataset_images(tmp_path)


def test_a_leak_plants_pictures_of_one_lesion_under_two_patients(tmp_path: Path) -> None:
    folder = make_dataset(tmp_path / "set", images=60, image_size=32, leak=1.0, workers=1)
    table = pd.read_csv(folder / "metadata.csv")
    honest = make_dataset(tmp_path / "honest", images=60, image_size=32, workers=1)
    for part in ("images", "masks"):
        assert digests(folder / part) == digests(honest / part)
    assert (table.groupby("true_lesion_id")["patient_id"].nunique() > 1).sum() > 5


def features(picture: np.ndarray, mask: np.ndarray) -> list[float]:
    """Return shape and colours of a lesion, as the ABCD rule names them."""
    on, values = mask > 0, picture.astype(float)
    edge = on ^ ndimage.binary_erosion(on)
    lesion, around = values[on], np.median(values[~on], axis=0)
    compactness = edge.sum() ** 2 / on.sum()
    contrast = lesion.mean(axis=0) - around
    darkest = np.quantile(lesion.mean(axis=1), 0.02)
    bluest = np.quantile(lesion[:, 2] - lesion[:, 0], 0.95)
    return [on.mean(), compactness, *lesion.std(axis=0), *contrast, darkest, bluest]


@pytest.fixture(scope="module")
def drawn() -> tuple[pd.DataFrame, list[tuple[np.ndarray, np.ndarray]]]:
    table = make_cohort(images=400, seed=2)
    return table, [draw_row(r, seed=2, image_size=64) for r in table.to_dict("records")]


def test_simple_features_learn_the_classes_and_do_not_saturate(
    drawn: tuple[pd.DataFrame, list[tuple[np.ndarray, np.ndarray]]],
) -> None:
    table, pictures = drawn
    x = np.array([features(*pair) for pair in pictures])
    y = (table["true_diagnosis"] == "melanoma").to_numpy()
    scores = cross_val_predict(
        make_pipeline(StandardScaler(), LogisticRegression()),
        x,
        y,
        groups=table["true_patient_id"],
        cv=StratifiedGroupKFold(5),
        method="predict_proba",
    )[:, 1]
    assert 0.75 < roc_auc_score(y, scores) < 0.96


def test_the_skin_around_a_lesion_shows_its_tone(
    drawn: tuple[pd.DataFrame, list[tuple[np.ndarray, np.ndarray]]],
) -> None:
    table, pictures = drawn
    lightness = [np.median(picture[mask == 0]) for picture, mask in pictures]
    assert spearmanr(lightness, table["ita"]).statistic > 0.75
