"""Every ready parameter set, run to its report on real data with size, rows and epochs cut down.

With the smallest network of ours first, which finds a file that does not fit its notebook; at night
with the networks that the files name, and through Snakemake.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import pytest
import yaml

from melnb import runs
from melnb.data.shards.examples import write_shard

HERE = Path(__file__).parents[1]
DATA = os.environ.get("MELNB_DATA", "")
SMALL = ["rows=64", "n_folds=2", "epochs=1", "batch_size=8"]
SIXTY_FOUR = ["image_size=64", "image_sizes=[64]"]
NO_FILE = "03_train.weights=none"
TINY, UNET = "03_train.backbone=tiny", "02c_segment_train.backbone=unet-tiny"
JAX = {"KERAS_BACKEND": "jax", "XLA_FLAGS": "--xla_force_host_platform_device_count=8"}
# One job after another in one process; through Snakemake, `test_line.py` goes.
DRIVER = """
import json, os, sys
from melnb.launch import launch
from melnb.pipeline import read_pipeline
file, variables, *words = sys.argv[1:]
before = dict(os.environ)
for job in read_pipeline(file, words).jobs:
    os.environ.update(json.loads(variables).get(job.stage, {}))
    launch(job.stage, parameters=job.parameters)
    os.environ.clear()
    os.environ.update(before)
"""
real = pytest.mark.skipif(not DATA, reason="MELNB_DATA is not set: no real data")


def smallest(*words: str) -> pytest.MarkDecorator:
    """Give a test the words that make its networks the smallest, and none at night."""
    night = pytest.param((), id="whole", marks=pytest.mark.nightly)
    return pytest.mark.parametrize("small", [pytest.param(words, id="tiny"), night])


def run_set(
    name: str,
    folder: Path,
    *words: str,
    small: tuple[str, ...] = (),
    variables: Mapping[str, Mapping[str, str]] | None = None,
) -> Path:
    """Run a pipeline of `params/`, or one by its path, and return its outputs.

    Args:
        name: The set, or a file.
        folder: Where its outputs are written.
        words: `key=value`.
        small: More of these, for one process; with none, it goes through Snakemake.
        variables: Those of each stage's kernels, for one process.
    """
    file = name if name.endswith(".yaml") else f"params/{name}.pipeline.yaml"
    command = ["-c", DRIVER, file, json.dumps(variables or {})]
    if not small:
        command = ["-m", "melnb", "pipeline", file]
    done = subprocess.run(
        [sys.executable, *command, f"outputs={folder / 'outputs'}", *words, *small],
        env={**os.environ, "MELNB_DATA": str(Path(DATA).resolve())},
        capture_output=True, text=True, cwd=HERE,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "outputs"


def shown(name: str) -> str:
    """Return the text of a pipeline of `params/`."""
    return (HERE / "params" / f"{name}.pipeline.yaml").read_text()


def write_set(folder: Path, text: str) -> str:
    """Write a pipeline that was cut down, and return its path."""
    file = folder / "cut-down.pipeline.yaml"
    file.write_text(text)
    return str(file)


@real
@smallest(TINY)
def test_isic2016_compares_resnet50_with_vgg19(small: tuple[str, ...], tmp_path: Path) -> None:
    outputs = run_set("isic2016", tmp_path, *SMALL, *SIXTY_FOUR, NO_FILE, small=small)
    page = (outputs / "06_report" / "isic2016" / "report.html").read_text()
    assert "04_predict/resnet50" in page
    assert "04_predict/vgg19" in page
    figure = outputs / "06_report" / "isic2016" / "figures" / "auc_comparison.html"
    assert "vgg19" in figure.read_text()


@real
def test_isic2017_trains_a_published_network_and_writes_its_submission(tmp_path: Path) -> None:
    own = "03_train.backbone=EfficientNetB0"  # as the file says
    outputs = run_set("isic2017", tmp_path, *SMALL, *SIXTY_FOUR, NO_FILE, small=(own,))
    table = pd.read_csv(outputs / "06_report" / "isic2017" / "submission.csv")
    assert list(table.columns) == ["image_id", "melanoma", "seborrheic_keratosis"]
    predicted = runs.read_run(outputs / "04_predict" / "isic2017")["results"]["test_images"]
    assert len(table) == predicted


@real
@smallest(TINY)
def test_ham10000_blends_densenet201_and_inceptionv3(
    small: tuple[str, ...], tmp_path: Path
) -> None:
    sizes = ["image_size=80", "image_sizes=[80]"]  # InceptionV3 takes 75 pixels or more
    words = [*SMALL, *sizes, NO_FILE, "rows=120"]
    outputs = run_set("ham10000", tmp_path, *words, small=small)
    members = pd.read_csv(outputs / "05_ensemble" / "ham10000" / "members.csv")
    assert set(members["member"]) == {"04_predict/densenet201", "04_predict/inceptionv3"}


@real
def test_ham10000_on_a_cpu(tmp_path: Path) -> None:
    words = [*SMALL, "rows=120", "03_train.image_size=64"]
    outputs = run_set("ham10000-cpu", tmp_path, *words, small=(TINY,))
    record = runs.read_run(outputs / "06_report" / "ham10000-cpu")
    assert record["results"]["images"] == 120


@real
@smallest(TINY)
def test_siim2020_jpegs_on_efficientnet_b2_b4_b6(small: tuple[str, ...], tmp_path: Path) -> None:
    words = [*SMALL, *SIXTY_FOUR, NO_FILE, "rows=0", "n_views=2", "04_predict.batch_size=16"]
    outputs = run_set("siim2020", tmp_path, *words, small=small)
    blend = pd.read_csv(outputs / "05_ensemble" / "siim2020" / "predictions.csv")
    assert set(blend["kind"]) == {"score"}
    weights = pd.read_csv(outputs / "05_ensemble" / "siim2020" / "weights.csv")
    assert weights["member"].nunique() == 3


@real
@smallest("06_report.n_errors=3")
def test_siim2020_without_its_pictures(small: tuple[str, ...], tmp_path: Path) -> None:
    text, line = shown("siim2020-tabular"), "03c_metadata: params/03c_metadata.founding.yaml"
    assert line in text
    trees = "with: {settings: {forest: {n_estimators: 60, max_depth: 2}}}"  # of a thousand
    fewer = f"03c_metadata: {{file: params/03c_metadata.founding.yaml, {trees}}}"
    cut = text.replace(line, fewer) if small else text
    outputs = run_set(write_set(tmp_path, cut), tmp_path, "repeats=1", small=small)
    area = pd.read_csv(outputs / "03c_metadata" / "siim2020-size" / "areas.csv")["value"][0]
    assert area == pytest.approx(0.842, abs=0.003)  # in other folds than the published ones
    mean = pd.read_csv(outputs / "03c_metadata" / "founding" / "areas.csv").set_index("run")
    assert mean.loc["mean of all", "value"] == pytest.approx(0.666, abs=0.003)
    assert len(pd.read_csv(outputs / "03c_metadata" / "founding" / "test.csv")) == 10_982
    pairs = pd.read_csv(outputs / "06_report" / "siim2020-tabular" / "comparison.csv")
    assert len(pairs) == 6
    record = runs.read_run(outputs / "05_ensemble" / "siim2020-tabular")
    assert record["results"]["predictions"] == 32_692


@real
@smallest(TINY)
def test_ham10000_is_judged_on_two_other_sources(small: tuple[str, ...], tmp_path: Path) -> None:
    words = ["rows=200", "n_folds=2", "epochs=1", "batch_size=16", "smallest=2"]  # seven classes
    outputs = run_set("external", tmp_path, *words, small=small)
    home = outputs / "06d_external" / "external"
    areas = pd.read_csv(home / "external.csv").query("metric == 'AUC'")
    sources = ["internal", "04_predict/on-isic2016", "04_predict/on-isic2017"]
    assert areas["source"].tolist() == sources
    assert areas["low"].le(areas["value"]).all()
    assert {"as it came", "recalibrated"} <= set(pd.read_csv(home / "calibration.csv")["version"])
    assert len(pd.read_csv(home / "points.csv")) == 3


@real
@smallest(UNET)
def test_isic2018_task1_is_segmented_on_densenet169_and_vgg16(
    small: tuple[str, ...], tmp_path: Path
) -> None:
    words = ["rows=32", "n_folds=2", "epochs=1", "batch_size=4", "02c_segment_train.weights=none"]
    *kept, densenet169, vgg16 = shown("isic2018-task1").splitlines()
    assert "run: densenet169" in densenet169  # minutes for each network: one, and no masks by it
    one = "\n".join([*kept, vgg16]).replace("train.yaml, folds: all", "train.yaml, folds: 1")
    file = write_set(tmp_path, one)
    outputs = run_set(file, tmp_path, *words, *SIXTY_FOUR, "views=none", small=small)
    alone = pd.read_csv(outputs / "02c_segment_train/densenet169/fold0/summary.csv")
    assert alone.query("metric == 'jaccard'")["n"].tolist() == [16]
    summary = pd.read_csv(outputs / "02d_segment_apply" / "vgg16" / "summary.csv")
    assert summary["rows"].unique().tolist() == ["fold 0", "fold 1", "out of fold"]
    pooled = summary.query("rows == 'out of fold' and metric == 'jaccard'").iloc[0]
    assert pooled["n"] == 32
    assert 0 <= pooled["value"] < 1  # four steps teach next to nothing
    masks = outputs / "02d_segment_apply" / "vgg16" / "masks"
    assert len(list(masks.glob("*.png"))) == 32


@real
@smallest(TINY, UNET)
def test_whole_pictures_crops_and_masked_crops_are_compared(
    small: tuple[str, ...], tmp_path: Path
) -> None:
    words = ["rows=200", "epochs=1", "batch_size=16", "most_disagreement=1"]  # seven classes
    text = (
        shown("does-it-help")
        .replace("seeds: [0, 1]", "seeds: [0]")
        .replace("whole, centre,", "whole,")
    )
    lines = text.replace("folds: 5", "folds: 2").splitlines()
    lines = [line for line in lines if "centre" not in line]  # the plainest of the four
    outputs = run_set(write_set(tmp_path, "\n".join(lines)), tmp_path, *words, small=small)
    found = pd.read_csv(outputs / "05b_ablation" / "does-it-help" / "ablation.csv")
    assert set(found["technique"]) == {"crop", "crop-mask"}
    prepared = outputs / "02_prepare"
    names = ("ham10000-whole", "ham10000-crop", "ham10000-crop-mask")
    folds = [pd.read_csv(prepared / name / "folds.csv").sort_values("image_id") for name in names]
    assert len({tuple(table["fold"]) for table in folds}) == 1
    lesions = pd.read_csv(outputs / "02d_segment_apply" / "ham10000-crop" / "lesions.csv")
    assert set(lesions["fold"]) == {-1}  # no network has met them


@real
@pytest.mark.parametrize(
    ("techniques", "epochs"),
    [(["base", "two-classes"], 1), pytest.param([], 6, marks=pytest.mark.nightly)],
    ids=["few", "all"],
)
def test_techniques_are_compared(techniques: list[str], epochs: int, tmp_path: Path) -> None:
    plan = yaml.safe_load(shown("ablation"))
    *_, train, compare = [settings for line in plan["stages"] for settings in line.values()]
    assert list(train["each"]) == compare["with"]["techniques"]
    chosen = techniques or list(train["each"])
    train["each"] = {name: train["each"][name] for name in chosen}
    train["seeds"], compare["with"]["techniques"] = [0], chosen
    words = ["rows=200", f"epochs={epochs}", "batch_size=16"]  # of seven classes
    file = write_set(tmp_path, yaml.safe_dump(plan))
    outputs = run_set(file, tmp_path, *words, small=(TINY,))
    found = pd.read_csv(outputs / "05b_ablation" / "ablation" / "ablation.csv")
    assert set(found["technique"]) == {*chosen} - {"base"}


@real
def test_isic2018_task1_on_a_cpu(tmp_path: Path) -> None:
    words = ["rows=32", "n_folds=2", "epochs=1", "batch_size=4", "views=none"]
    outputs = run_set("isic2018-task1-cpu", tmp_path, *words, small=(UNET,))
    home = outputs / "02d_segment_apply" / "isic2018-task1-cpu"
    assert len(list((home / "masks").glob("*.png"))) == 32


@real
def test_kaggle_shards_are_trained_on_as_they_are_on_eight_jax_devices(tmp_path: Path) -> None:
    shards = make_kaggle_shards(tmp_path / "shards", Path(DATA) / "siim2020")
    before = {path: path.read_bytes() for path in shards.glob("*.tfrec")}
    words = ["rows=0", "n_folds=2", "epochs=1", "batch_size=1", "n_views=2", "image_size=64"]
    words += [NO_FILE, TINY, f"folder={shards}"]
    on_jax = {"03_train": JAX, "04_predict": JAX}
    outputs = run_set("siim2020-tpu", tmp_path, *words, small=(TINY,), variables=on_jax)
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
