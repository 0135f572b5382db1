"""Every ready parameter set, run to its report on real data with size, rows and epochs cut down.

With the smallest network of ours first, which finds a file that does not fit its notebook; at night
with the networks that the files name, and through Snakemake.
"""

import io
import os
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pandas as pd
import pytest
import yaml
from PIL import Image, ImageOps

from melnb.data.shards.examples import write_shard
from melnb.params import catalogue
from melnb.tables import documents

HERE = Path(__file__).parents[1]
Run = Callable[..., "subprocess.CompletedProcess[str]"]
Set = Callable[..., Path]
Small = tuple[str, ...]
DATA = os.environ.get("MELNB_DATA", "")
SMALL = ["rows=64", "n_folds=2", "epochs=1", "batch_size=8"]
SIXTY_FOUR = ["image_size=64", "image_sizes=[64]"]
NO_FILE = "03_train.weights=none"
TINY, UNET = "03_train.backbone=tiny", "02c_segment_train.backbone=unet-tiny"
JAX = {"KERAS_BACKEND": "jax", "XLA_FLAGS": "--xla_force_host_platform_device_count=8"}


def real(test: Callable[..., None]) -> Callable[..., None]:
    """Mark a test that reads the real data."""
    skipped = pytest.mark.skipif(not DATA, reason="MELNB_DATA is not set: no real data")
    return pytest.mark.data(skipped(test))


def smallest(*words: str) -> pytest.MarkDecorator:
    """Give a test the words that make its networks the smallest, and none at night."""
    night = pytest.param((), id="whole", marks=pytest.mark.nightly)
    return pytest.mark.parametrize("small", [pytest.param(words, id="tiny"), night])


@pytest.fixture
def run_set(melnb: Run, run_jobs: Run, tmp_path: Path) -> Callable[..., Path]:
    """Return a function that runs a pipeline of `params/`, or one by its path, to its outputs.

    With the words that make its networks small it runs in one process, and one fold of each network
    (the others are as it is); else through Snakemake.
    """

    def run(name: str, *words: str, small: Small = (), **environment: str) -> Path:
        file = name if name.endswith(".yaml") else f"params/{name}.pipeline.yaml"
        if small and file != name:
            file = write_set(tmp_path, shown(name).replace("folds: all", "folds: 1"))
        data = {"MELNB_DATA": str(Path(DATA).resolve())}
        words = (file, f"outputs={tmp_path / 'outputs'}", *words, *small)
        start = run_jobs if small else partial(melnb, "pipeline")
        done = start(*words, root=HERE, **data, **environment)
        assert done.returncode == 0, done.stdout + done.stderr
        return tmp_path / "outputs"

    return run


def shown(name: str) -> str:
    """Return the text of a pipeline of `params/`."""
    return (HERE / "params" / f"{name}.pipeline.yaml").read_text()


def write_set(folder: Path, text: str) -> str:
    """Write a pipeline that was cut down, and return its path."""
    file = folder / "cut-down.pipeline.yaml"
    file.write_text(text)
    return str(file)


@pytest.mark.xdist_group("demo")
def test_every_file_of_the_demo_runs(demo: Path, check_whole: Callable[[Path], set[str]]) -> None:
    assert check_whole(demo / "outputs") == set(catalogue.STAGES) - {"05b_ablation"}


@pytest.mark.xdist_group("demo")
def test_every_file_is_run_by_a_set(demo: Path) -> None:
    """The sets by the test above or by one below."""
    texts = {path.name: path.read_text() for path in (demo / "params").glob("*.yaml")}
    sets = {name for name in texts if name.endswith(".pipeline.yaml")}
    named = "".join(texts[name] for name in sets)
    assert [name for name in texts.keys() - sets if f"params/{name}" not in named] == []
    tests = Path(__file__).read_text() + (HERE / "tests" / "conftest.py").read_text()
    assert [n for n in sets if f'"{n.removesuffix(".pipeline.yaml")}"' not in tests] == []


@real
@smallest(TINY)
def test_isic2016_compares_resnet50_with_vgg19(run_set: Set, small: Small) -> None:
    outputs = run_set("isic2016", *SMALL, *SIXTY_FOUR, NO_FILE, small=small)
    page = (outputs / "06_report" / "isic2016" / "report.html").read_text()
    assert "04_predict/resnet50" in page
    assert "04_predict/vgg19" in page
    figure = outputs / "06_report" / "isic2016" / "figures" / "auc_comparison.html"
    assert "vgg19" in figure.read_text()


@real
def test_isic2017_trains_a_published_network_and_writes_its_submission(run_set: Set) -> None:
    own = "03_train.backbone=EfficientNetB0"  # as the file says
    outputs = run_set("isic2017", *SMALL, *SIXTY_FOUR, NO_FILE, small=(own,))
    table = pd.read_csv(outputs / "06_report" / "isic2017" / "submission.csv")
    assert list(table.columns) == ["image_id", "melanoma", "seborrheic_keratosis"]
    predicted = documents.read_run(outputs / "04_predict" / "isic2017")["results"]["test_images"]
    assert len(table) == predicted


@real
@smallest(TINY)
def test_ham10000_blends_densenet201_and_inceptionv3(run_set: Set, small: Small) -> None:
    sizes = ["image_size=80", "image_sizes=[80]"]  # InceptionV3 takes 75 pixels or more
    words = [*SMALL, *sizes, NO_FILE, "rows=120"]
    outputs = run_set("ham10000", *words, small=small)
    members = pd.read_csv(outputs / "05_ensemble" / "ham10000" / "members.csv")
    assert set(members["member"]) == {"04_predict/densenet201", "04_predict/inceptionv3"}


@real
def test_ham10000_on_a_cpu(run_set: Set) -> None:
    words = [*SMALL, "rows=120", "03_train.image_size=64"]
    outputs = run_set("ham10000-cpu", *words, small=(TINY,))
    record = documents.read_run(outputs / "06_report" / "ham10000-cpu")
    folds = pd.read_csv(outputs / "02_prepare" / "ham10000-cpu" / "folds.csv")["fold"]
    assert len(folds) == 120
    assert record["results"]["images"] == (folds == 0).sum()


@real
def test_ham10000_from_imagenet_on_a_cpu(run_set: Set) -> None:
    words = [*SMALL[:2], "rows=120", "image_sizes=[64]", "image_size=64", "sizes=[32]"]
    words += ["epochs=2", "size_epochs=[1]", "batch_size=16"]
    outputs = run_set("ham10000-transfer", *words, small=(TINY, NO_FILE))
    history = pd.read_csv(outputs / "03_train" / "ham10000-transfer" / "fold0" / "history.csv")
    assert history["image_size"].tolist() == [32, 64]
    record = documents.read_run(outputs / "06_report" / "ham10000-transfer")
    assert record["parameters"]["predictions"] == ["04_predict/ham10000-transfer"]


@real
def test_ham10000_by_a_frozen_encoder(run_set: Set) -> None:
    words = [*SMALL[:2], "rows=120", "image_sizes=[64]", "image_size=64"]
    outputs = run_set("ham10000-frozen", *words, small=("03d_embed.batch_size=16",))
    encoder = documents.read_json(
        outputs / "03d_embed" / "ham10000-128" / "encoder.json", "run it again"
    )
    assert (encoder["weights"], encoder["width"]) == ("imagenet", 1280)
    audit = documents.read_run(outputs / "02b_audit" / "ham10000-128")
    assert audit["results"]["images"] == 120
    record = documents.read_run(outputs / "06_report" / "ham10000-frozen")
    assert 0.5 < record["results"]["auc"] < 1


@real
@smallest(TINY)
def test_siim2020_jpegs_on_efficientnet_b2_b4_b6(run_set: Set, small: Small) -> None:
    words = [*SMALL, *SIXTY_FOUR, NO_FILE, "rows=0", "n_views=2", "04_predict.batch_size=16"]
    outputs = run_set("siim2020", *words, small=small)
    blend = pd.read_csv(outputs / "05_ensemble" / "siim2020" / "predictions.csv")
    assert set(blend["kind"]) == {"score"}
    weights = pd.read_csv(outputs / "05_ensemble" / "siim2020" / "weights.csv")
    assert weights["member"].nunique() == 3


@real
@smallest("06_report.n_errors=3")
def test_siim2020_without_its_pictures(run_set: Set, small: Small, tmp_path: Path) -> None:
    text, line = shown("siim2020-tabular"), "03c_metadata: params/03c_metadata.founding.yaml"
    assert line in text
    trees = "with: {settings: {forest: {n_estimators: 60, max_depth: 2}}}"  # of a thousand
    fewer = f"03c_metadata: {{file: params/03c_metadata.founding.yaml, {trees}}}"
    audit = "  - 02b_audit: params/02b_audit.siim2020-tabular.yaml\n"
    assert audit in text
    cut = text.replace(line, fewer).replace(audit, "") if small else text
    outputs = run_set(write_set(tmp_path, cut), "repeats=1", small=small)
    if not small:
        worth = pd.read_csv(outputs / "02b_audit" / "siim2020-tabular" / "worth.csv")["auc"]
        assert worth.tolist() == pytest.approx([0.696, 0.734, 0.989], abs=0.01)
    area = pd.read_csv(outputs / "03c_metadata" / "siim2020-size" / "areas.csv")["value"][0]
    assert area == pytest.approx(0.842, abs=0.003)  # in other folds than the published ones
    mean = pd.read_csv(outputs / "03c_metadata" / "founding" / "areas.csv").set_index("run")
    assert mean.loc["mean of all", "value"] == pytest.approx(0.666, abs=0.003)
    assert len(pd.read_csv(outputs / "03c_metadata" / "founding" / "test.csv")) == 10_982
    pairs = pd.read_csv(outputs / "06_report" / "siim2020-tabular" / "comparison.csv")
    assert len(pairs) == 6
    record = documents.read_run(outputs / "05_ensemble" / "siim2020-tabular")
    assert record["results"]["predictions"] == 32_692


@real
@smallest(TINY)
def test_ham10000_is_judged_on_two_other_sources(run_set: Set, small: Small) -> None:
    words = ["rows=200", "n_folds=2", "epochs=1", "batch_size=16", "smallest=2"]  # seven classes
    outputs = run_set("external", *words, small=small)
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
    run_set: Set, small: Small, tmp_path: Path
) -> None:
    words = ["rows=32", "n_folds=2", "epochs=1", "batch_size=4", "02c_segment_train.weights=none"]
    *kept, densenet169, vgg16 = shown("isic2018-task1").splitlines()
    assert "run: densenet169" in densenet169  # minutes for each network: one, and no masks by it
    one = "\n".join([*kept, vgg16]).replace("train.yaml, folds: all", "train.yaml, folds: 1")
    file = write_set(tmp_path, one)
    outputs = run_set(file, *words, *SIXTY_FOUR, "views=none", small=small)
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
    run_set: Set, small: Small, tmp_path: Path
) -> None:
    words = ["rows=200", "epochs=1", "batch_size=16", "most_disagreement=1"]  # seven classes
    text = (
        shown("does-it-help")
        .replace("seeds: [0, 1]", "seeds: [0]")
        .replace("whole, centre,", "whole,")
    )
    text = text.replace("folds: 5", "folds: 1")  # of what segments another set
    text = text.replace("\n      folds: 2", "\n      folds: 1") if small else text
    lines = text.splitlines()
    lines = [line for line in lines if "centre" not in line]  # the plainest of the four
    outputs = run_set(write_set(tmp_path, "\n".join(lines)), *words, small=small)
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
def test_techniques_are_compared(
    run_set: Set, techniques: list[str], epochs: int, tmp_path: Path
) -> None:
    plan = yaml.safe_load(shown("ablation"))
    *_, train, compare = [settings for line in plan["stages"] for settings in line.values()]
    assert list(train["each"]) == compare["with"]["techniques"]
    chosen = techniques or list(train["each"])
    train["each"] = {name: train["each"][name] for name in chosen}
    train["seeds"], compare["with"]["techniques"] = [0], chosen
    train["folds"] = 1 if techniques else train["folds"]
    words = ["rows=200", f"epochs={epochs}", "batch_size=16"]  # of seven classes
    file = write_set(tmp_path, yaml.safe_dump(plan))
    outputs = run_set(file, *words, small=(TINY,))
    found = pd.read_csv(outputs / "05b_ablation" / "ablation" / "ablation.csv")
    assert set(found["technique"]) == {*chosen} - {"base"}


@real
@pytest.mark.nightly  # at each push the files of the first are part of does-it-help
@pytest.mark.parametrize(
    ("name", "network"),
    [
        ("isic2018-task1-cpu", (UNET,)),
        ("isic2018-task1-transfer", SIXTY_FOUR),  # its own network, from ImageNet
    ],
)
def test_isic2018_task1_on_a_cpu(run_set: Set, name: str, network: Small) -> None:
    words = ["rows=32", "n_folds=2", "epochs=1", "batch_size=4", "views=none", *network]
    outputs = run_set(name, *words)
    home = outputs / "02d_segment_apply" / name
    assert len(list((home / "masks").glob("*.png"))) == 32


@real
@smallest(TINY, "batch_size=8")
def test_kaggle_shards_are_trained_on_as_they_are(
    run_set: Set, small: Small, tmp_path: Path
) -> None:
    """At night on eight devices of JAX."""
    shards = make_kaggle_shards(tmp_path / "shards", Path(DATA) / "siim2020")
    before = {path: path.read_bytes() for path in shards.glob("*.tfrec")}
    words = ["rows=0", "n_folds=2", "epochs=1", "batch_size=1", "image_size=64", "n_views=2"]
    words += [NO_FILE, "backbone=EfficientNetB0", f"folder={shards}"]
    eight = {} if small else JAX
    outputs = run_set("siim2020-tpu", *words, small=small, **eight)
    record = documents.read_run(outputs / "03_train" / "siim2020-b6" / "fold0")
    assert small or "8 x" in record["device"]
    assert small or "jax" in record["device"]
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
        example["image"] = _mirrored(example["image"])  # no picture stands in both splits
    write_shard(folder / "test00-8.tfrec", unlabelled)
    return folder


def _mirrored(jpeg: bytes) -> bytes:
    mirrored = io.BytesIO()
    ImageOps.mirror(Image.open(io.BytesIO(jpeg))).save(mirrored, "JPEG")
    return mirrored.getvalue()


def _example(row: dict[str, object], folder: Path, *, labelled: bool) -> dict[str, bytes | int]:
    image = (folder / f"{row['image_name']}.jpg").read_bytes()
    example: dict[str, bytes | int] = {
        "image": image,
        "image_name": str(row["image_name"]).encode(),
    }
    example |= {"patient_id": int(str(row["patient_id"])[3:]), "sex": 0, "age_approx": 45}
    example |= {"anatom_site_general_challenge": 1}
    return example | ({"diagnosis": 0, "target": int(str(row["target"]))} if labelled else {})


def few_of_each(folder: Path, name: str) -> str:
    """Write a pipeline of several sources of which each gives 60 images; return its path."""
    texts = {name: shown(name), "base": (HERE / "params" / "02_prepare.abroad.yaml").read_text()}
    for source in ("ham10000", "isic2016", "isic2017"):
        place = f"folder: $MELNB_DATA/{source}"
        texts = {k: t.replace(f"{place}}}", f"{place}, rows: 60}}") for k, t in texts.items()}
        texts = {k: t.replace(f"{place}, missing", f"{place}, rows: 60, missing")
                 for k, t in texts.items()}  # fmt: skip
    base = folder / "02_prepare.yaml"
    base.write_text(texts["base"])
    text = texts[name].replace("params/02_prepare.abroad.yaml", str(base))
    lone = "source: ham10000, folder: $MELNB_DATA/ham10000, sources: {}"
    return write_set(folder, text.replace(lone, f"{lone}, rows: 90"))


ABROAD = [
    "epochs=2", "batch_size=16", "image_size=32", "image_sizes=[32]", "frozen_epochs=0",
    "03_train.backbone=tiny", "03_train.weights=none",
]  # fmt: skip


@real
@pytest.mark.nightly
def test_each_reason_for_the_fall_abroad_is_judged_on_the_same_images(
    run_set: Set, tmp_path: Path
) -> None:
    words = [*ABROAD, "03d_embed.backbone=tiny", "03d_embed.weights=none"]
    outputs = run_set(few_of_each(tmp_path, "abroad"), *words, small=("06_report.smallest=2",))
    gains = pd.read_csv(outputs / "05b_ablation" / "abroad" / "ablation.csv")
    assert gains["n"].nunique() == 1
    three = pd.read_csv(outputs / "02_prepare" / "abroad-three" / "folds.csv")
    assert {*three["fold"]} >= {0, 1, 2}
    by_fold = pd.read_csv(outputs / "06_report" / "abroad-three" / "metrics.csv")
    assert {"fold 0", "fold 1", "fold 2"} <= {*by_fold["rows"]}


@real
@pytest.mark.nightly
def test_the_lesions_box_is_found_by_masks_of_the_other_source(
    run_set: Set, tmp_path: Path
) -> None:
    words = [*ABROAD, "02c_segment_train.backbone=unet-tiny"]
    outputs = run_set(few_of_each(tmp_path, "abroad-box"), *words, small=("views=none",))
    boxes = pd.read_csv(outputs / "02_prepare" / "abroad-box" / "images.csv")
    assert {*boxes["source"]} == {"ham10000", "isic2017"}
    whole = pd.read_csv(outputs / "02_prepare" / "abroad-squash" / "folds.csv")
    kept = pd.read_csv(outputs / "02_prepare" / "abroad-box" / "folds.csv")
    assert kept.merge(whole, on="image_id").eval("fold_x == fold_y").all()
