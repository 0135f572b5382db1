"""Every ready parameter set, run to its report on real data with size, rows and epochs cut down."""

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from melnb import runs
from melnb.data.shards.examples import write_shard

HERE = Path(__file__).parents[1]
DATA = os.environ.get("MELNB_DATA", "")
SMALL = ["rows=64", "n_folds=2", "epochs=1", "batch_size=8", "03_train.weights=none"]
SIXTY_FOUR = ["image_size=64", "image_sizes=[64]"]

pytestmark = [
    pytest.mark.nightly,
    pytest.mark.data,
    pytest.mark.skipif(not DATA, reason="MELNB_DATA is not set: no real data"),
]


def run_set(name: str, tmp_path: Path, *words: str, **environment: str) -> Path:
    """Run a pipeline of `params/`, or one by its path, and return its outputs."""
    file = name if name.endswith(".yaml") else f"params/{name}.pipeline.yaml"
    command = [sys.executable, "-m", "melnb", "pipeline", file]
    done = subprocess.run(
        [*command, f"outputs={tmp_path / 'outputs'}", *words],
        env={**os.environ, "MELNB_DATA": str(Path(DATA).resolve()), **environment},
        capture_output=True, text=True, cwd=HERE,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return tmp_path / "outputs"


def shown(name: str) -> str:
    """Return the text of a pipeline of `params/`."""
    return (HERE / "params" / f"{name}.pipeline.yaml").read_text()


def write_set(folder: Path, text: str) -> str:
    """Write a pipeline that was cut down, and return its path."""
    file = folder / "cut-down.pipeline.yaml"
    file.write_text(text)
    return str(file)


def test_isic2016_compares_resnet50_with_vgg19(tmp_path: Path) -> None:
    outputs = run_set("isic2016", tmp_path, *SMALL, *SIXTY_FOUR)
    page = (outputs / "06_report" / "isic2016" / "report.html").read_text()
    assert "04_predict/resnet50" in page
    assert "04_predict/vgg19" in page
    figure = outputs / "06_report" / "isic2016" / "figures" / "auc_comparison.html"
    assert "vgg19" in figure.read_text()


def test_isic2017_writes_its_submission(tmp_path: Path) -> None:
    outputs = run_set("isic2017", tmp_path, *SMALL, *SIXTY_FOUR)
    table = pd.read_csv(outputs / "06_report" / "isic2017" / "submission.csv")
    assert list(table.columns) == ["image_id", "melanoma", "seborrheic_keratosis"]
    assert (
        len(table) == runs.read_run(outputs / "04_predict" / "isic2017")["results"]["test_images"]
    )


def test_ham10000_blends_densenet201_and_inceptionv3(tmp_path: Path) -> None:
    sizes = ["image_size=80", "image_sizes=[80]"]  # InceptionV3 takes 75 pixels or more
    outputs = run_set("ham10000", tmp_path, *SMALL, *sizes, "rows=120")
    members = pd.read_csv(outputs / "05_ensemble" / "ham10000" / "members.csv")
    assert set(members["member"]) == {"04_predict/densenet201", "04_predict/inceptionv3"}


def test_siim2020_jpegs_on_efficientnet_b2_b4_b6(tmp_path: Path) -> None:
    words = [*SMALL, *SIXTY_FOUR, "rows=0", "n_views=2", "04_predict.batch_size=16"]
    outputs = run_set("siim2020", tmp_path, *words)
    blend = pd.read_csv(outputs / "05_ensemble" / "siim2020" / "predictions.csv")
    assert set(blend["kind"]) == {"score"}
    weights = pd.read_csv(outputs / "05_ensemble" / "siim2020" / "weights.csv")
    assert weights["member"].nunique() == 3


def test_siim2020_without_its_pictures(tmp_path: Path) -> None:
    outputs = run_set("siim2020-tabular", tmp_path, "repeats=1")
    area = pd.read_csv(outputs / "03c_metadata" / "siim2020-size" / "areas.csv")["value"][0]
    assert area == pytest.approx(0.842, abs=0.003)  # in other folds than the published ones
    mean = pd.read_csv(outputs / "03c_metadata" / "founding" / "areas.csv").set_index("run")
    assert mean.loc["mean of all", "value"] == pytest.approx(0.666, abs=0.003)
    assert len(pd.read_csv(outputs / "03c_metadata" / "founding" / "test.csv")) == 10_982
    pairs = pd.read_csv(outputs / "06_report" / "siim2020-tabular" / "comparison.csv")
    assert len(pairs) == 6
    record = runs.read_run(outputs / "05_ensemble" / "siim2020-tabular")
    assert record["results"]["predictions"] == 32_692


def test_ham10000_is_judged_on_two_other_sources(tmp_path: Path) -> None:
    words = ["rows=200", "n_folds=2", "epochs=1", "batch_size=16", "smallest=2"]  # seven classes
    outputs = run_set("external", tmp_path, *words)
    home = outputs / "06d_external" / "external"
    areas = pd.read_csv(home / "external.csv").query("metric == 'AUC'")
    sources = ["internal", "04_predict/on-isic2016", "04_predict/on-isic2017"]
    assert areas["source"].tolist() == sources
    assert areas["low"].le(areas["value"]).all()
    assert {"as it came", "recalibrated"} <= set(pd.read_csv(home / "calibration.csv")["version"])
    assert len(pd.read_csv(home / "points.csv")) == 3


def test_isic2018_task1_is_segmented_on_densenet169_and_vgg16(tmp_path: Path) -> None:
    words = ["rows=32", "n_folds=2", "epochs=1", "batch_size=4", "02c_segment_train.weights=none"]
    *kept, densenet169, vgg16 = shown("isic2018-task1").splitlines()
    assert "run: densenet169" in densenet169  # minutes for each network: one, and no masks by it
    one = "\n".join([*kept, vgg16]).replace("train.yaml, folds: all", "train.yaml, folds: 1")
    outputs = run_set(write_set(tmp_path, one), tmp_path, *words, *SIXTY_FOUR, "views=none")
    alone = pd.read_csv(outputs / "02c_segment_train/densenet169/fold0/summary.csv")
    assert alone.query("metric == 'jaccard'")["n"].tolist() == [16]
    summary = pd.read_csv(outputs / "02d_segment_apply" / "vgg16" / "summary.csv")
    assert summary["rows"].unique().tolist() == ["fold 0", "fold 1", "out of fold"]
    pooled = summary.query("rows == 'out of fold' and metric == 'jaccard'").iloc[0]
    assert pooled["n"] == 32
    assert 0 <= pooled["value"] < 1  # four steps teach next to nothing
    masks = outputs / "02d_segment_apply" / "vgg16" / "masks"
    assert len(list(masks.glob("*.png"))) == 32


def test_whole_pictures_crops_and_masked_crops_are_compared(tmp_path: Path) -> None:
    words = ["rows=200", "epochs=1", "batch_size=16", "most_disagreement=1"]  # seven classes
    text = (
        shown("does-it-help")
        .replace("seeds: [0, 1]", "seeds: [0]")
        .replace("whole, centre,", "whole,")
    )
    lines = text.replace("folds: 5", "folds: 2").splitlines()
    lines = [line for line in lines if "centre" not in line]  # the plainest of the four
    outputs = run_set(write_set(tmp_path, "\n".join(lines)), tmp_path, *words)
    found = pd.read_csv(outputs / "05b_ablation" / "does-it-help" / "ablation.csv")
    assert set(found["technique"]) == {"crop", "crop-mask"}
    prepared = outputs / "02_prepare"
    names = ("ham10000-whole", "ham10000-crop", "ham10000-crop-mask")
    folds = [pd.read_csv(prepared / name / "folds.csv").sort_values("image_id") for name in names]
    assert len({tuple(table["fold"]) for table in folds}) == 1
    lesions = pd.read_csv(outputs / "02d_segment_apply" / "ham10000-crop" / "lesions.csv")
    assert set(lesions["fold"]) == {-1}  # no network has met them


def test_kaggle_shards_are_trained_on_as_they_are_on_eight_jax_devices(tmp_path: Path) -> None:
    shards = make_kaggle_shards(tmp_path / "shards", Path(DATA) / "siim2020")
    before = {path: path.read_bytes() for path in shards.glob("*.tfrec")}
    words = ["rows=0", "n_folds=2", "epochs=1", "batch_size=1"]
    words += ["03_train.weights=none", "image_size=64"]
    words += ["backbone=EfficientNetB0", "n_views=2", f"folder={shards}"]
    eight = "--xla_force_host_platform_device_count=8"
    outputs = run_set("siim2020-tpu", tmp_path, *words, KERAS_BACKEND="jax", XLA_FLAGS=eight)
    record = runs.read_run(outputs / "03_train" / "siim2020-b6" / "fold0")
    assert "8" in record["device"]
    assert "jax" in record["device"]
    assert {path: path.read_bytes() for path in shards.glob("*.tfrec")} == before
    table = pd.read_csv(outputs / "06_report" / "siim2020-b6" / "submission.csv")
    assert list(table.columns) == ["image_name", "target"]
    assert len(table) == 8


def make_kaggle_shards(folder: Path, source: Path) -> Path:
    """Write shards as Kaggle's are: `train00-16.tfrec` with targets, `test00-8.tfrec` without."""
    folder.mkdir()
    table = pd.read_csv(source / "train.csv").set_index("image_name")
    pictures = sorted((source / "jpeg_512").glob("*.jpg"))
    rows = table.loc[[path.stem for path in pictures]]
    rows["positive"] = rows.groupby("patient_id")["target"].transform("max")
    patients = rows.reset_index().sort_values(["positive", "patient_id"], ascending=False)
    # Whole patients in each shard, and melanomas in as many as can be, as in the published ones.
    number = patients.groupby("patient_id", sort=False).ngroup() % 4
    for shard in range(4):
        part = patients[number == shard]
        examples = [
            _example(row, source / "jpeg_512", labelled=True) for row in part.to_dict("records")
        ]
        write_shard(folder / f"train{shard:02d}-{len(examples)}.tfrec", examples)
    unlabelled = [
        _example(row, source / "jpeg_512", labelled=False)
        for row in patients.head(8).to_dict("records")
    ]
    for k, example in enumerate(unlabelled):
        example |= {"image_name": f"ISIC_999000{k}".encode(), "patient_id": 90_000 + k}  # others
    write_shard(folder / "test00-8.tfrec", unlabelled)
    return folder


def _example(row: dict[str, object], folder: Path, *, labelled: bool) -> dict[str, bytes | int]:
    image = (folder / f"{row['image_name']}.jpg").read_bytes()
    example: dict[str, bytes | int] = {
        "image": image,
        "image_name": str(row["image_name"]).encode(),
    }
    example |= {"patient_id": int(str(row["patient_id"])[3:]), "sex": 0, "age_approx": 45}
    example |= {"anatom_site_general_challenge": 1}
    return example | ({"diagnosis": 0, "target": int(str(row["target"]))} if labelled else {})
