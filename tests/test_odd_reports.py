"""Reports of predictions that leave something to be desired: what cannot be estimated says so.

The cells of `06_report` run one after the other in this process, without a kernel.
"""

import builtins
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from melnb.evaluation.decisions.class_decision import read_class_decision
from melnb.evaluation.statistics.intervals import wilson_interval
from melnb.runs import store

N = 120
IDS = [f"i{k}" for k in range(N)]
TRUTH = np.arange(N) % 4 == 0
DRAW = np.random.default_rng(0)
P = np.round(1 / (1 + np.exp(-(DRAW.normal(size=N) + 2 * TRUTH - 2))), 4)
FOLD = np.where(np.arange(N) < 100, np.arange(N) % 5, -1)


def table(**columns: Any) -> dict[str, Any]:
    return {"image": IDS, "target": TRUTH.astype(int), "pred": P} | columns


def report(
    run_cells: Callable[..., Any], columns: Mapping[str, Any], folder: Path, **parameters: Any
) -> Path:
    """Run the notebook's cells on a CSV of these columns, and return the run's folder."""
    path = folder / "theirs.csv"
    pd.DataFrame(columns).to_csv(path, index=False)
    given = {"predictions": str(path), "outputs": str(folder / "out"), "run": "odd"} | parameters
    run_cells("06_report", **given)
    return store.find_run("06_report", "odd", folder / "out")


@pytest.fixture(autouse=True)
def no_display(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builtins, "display", lambda *parts: None, raising=False)


def says(file: str, words: str) -> Callable[[Path], None]:
    def check(home: Path) -> None:
        notes = pd.read_csv(home / file, dtype=str)["note"].fillna("")
        assert notes.str.contains(words, regex=False).any(), notes.tolist()

    return check


def submitted(column: str) -> Callable[[Path], None]:
    def check(home: Path) -> None:
        official = pd.read_csv(home / "official.csv")
        assert official["value"].notna().all()
        rows = pd.read_csv(home / "submission.csv")
        assert len(rows) == (FOLD == -1).sum()
        assert rows[column].to_numpy() == pytest.approx(P[FOLD == -1])

    return check


def no_one_is_referred_blindly(home: Path) -> None:
    referred = pd.read_csv(home / "referral.csv")
    sets = referred[referred["rule"] == "set"]
    assert (sets["referred"] < 1).all(), "one file without folds"
    honest = pd.read_csv(home / "operating_point_by_fold.csv")
    assert honest["rows"].tolist() == [*(f"part {k}" for k in range(5)), "all parts"]
    assert honest["sensitivity"].notna().all()
    page = (home / "report.html").read_text(encoding="utf-8")
    assert "Within folds, and pooled" not in page, "there is one fold"
    assert "not estimable" not in re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)
    for words in ("theirs.csv", "images count as independent", "90% intervals"):
        assert words in page
    written = re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)  # plotly's own
    assert len(written) > 100_000
    assert not re.findall(r".{30}95\s*(?:%|per cent)", written), "confidence is 0.9"
    for figure in (home / "figures").glob("*.html"):
        assert not re.findall(r"95\s*(?:%|per cent)", figure.read_text(encoding="utf-8")), figure


def the_scores_alone_are_told(home: Path) -> None:
    told = pd.read_csv(home / "unjudged.csv").set_index("measure")
    assert told.loc["rows", "value"] == N
    assert told.loc["flagged", "value"] == pytest.approx((P >= 0.4).mean())
    wanted = wilson_interval((P >= 0.4).sum(), N)
    assert [*told.loc["flagged", ["low", "high"]]] == pytest.approx([float(w) for w in wanted])
    odds = P / (1 - P) / (0.4 / 0.6)
    near = np.abs(np.log(odds)) <= np.log(2)
    assert told.loc["near the threshold", "value"] == pytest.approx(near.mean())
    assert told.loc["mean probability", "value"] == pytest.approx(P.mean())
    page = (home / "report.html").read_text(encoding="utf-8")
    assert f"None of {N} rows has a truth" in page
    assert re.findall(r"<h2[^>]*>(.*?)</h2>", page) == [
        "What limits it", "Without a truth", "Intended use: research, not a medical device",
        "Appendix",
    ]  # fmt: skip
    assert re.findall(r"<summary>(.*?)</summary>", page) == ["What was read"]
    assert f"{N} images without a truth: scored, and nobody can say how well" in page
    assert "not estimable" not in page
    card = (home / "report_card.md").read_text(encoding="utf-8")
    assert f"{N} images without a truth: predicted, not judged" in card
    assert "Discrimination" not in card
    assert "nan" not in card
    says("metrics.csv", "no row has a truth")(home)


def no_threshold_is_made_up(home: Path) -> None:
    told = pd.read_csv(home / "unjudged.csv").set_index("measure")
    assert np.isnan(told.loc["threshold", "value"])
    assert told.loc["threshold", "note"].startswith("no threshold can be chosen without truths")
    assert "flagged" not in told.index
    assert "NaN" not in re.sub(
        r"<script.*?</script>", "", (home / "report.html").read_text(encoding="utf-8"), flags=re.S
    )


def lesions_are_judged(home: Path) -> None:
    metrics = pd.read_csv(home / "metrics.csv")
    assert metrics.loc[metrics["rows"] == "out of fold", "n"].iloc[0] == 60
    gains = pd.read_csv(home / "unit_gain.csv")
    assert gains["n"].tolist() == [60, 60, 60, 60]
    assert gains["images"].unique() == [120]
    page = (home / "report.html").read_text(encoding="utf-8")
    for words in (
        "a row is a lesion: 120 images of 60 lesions, mean of probabilities",
        "lesions count as independent; a row is a lesion, judged by the mean of its images",
    ):
        assert words in page
    card = (home / "report_card.md").read_text(encoding="utf-8")
    assert "**What is judged:** lesion: the mean of its images (120 images of 60 lesions)" in card
    assert "**Numbers:** 60 lesions, 30 positive" in card


MANY = DRAW.dirichlet([2, 6, 1], size=N) + 0.6 * np.eye(3)[np.arange(N) % 3 - (np.arange(N) < 60)]


def classes_are_decided(home: Path) -> None:
    gains = pd.read_csv(home / "class_gain.csv")
    chosen = gains[gains["chosen"]].set_index(["rows", "metric"])["gain"]
    assert chosen["naive", "balanced accuracy"] >= 0
    assert chosen["one score each", "balanced accuracy"] == chosen.iloc[-1]
    by_class = pd.read_csv(home / "class_decision.csv")
    assert by_class["weight"].prod() == pytest.approx(1)
    card = (home / "report_card.md").read_text(encoding="utf-8")
    assert "weights for balanced accuracy, fitted on the other folds" in card
    kept = read_class_decision(home / "class_decision.json")
    assert [*kept.parts] == ["0", "1", "2", "3", "4"]
    assert kept.weights == pytest.approx(by_class.set_index("class")["weight"].to_dict())


ODD: dict[str, tuple[dict[str, Any], dict[str, Any], Callable[[Path], None]]] = {
    "three columns": (table(), {"confidence": 0.9}, no_one_is_referred_blindly),
    "melanoma for ISIC 2024": (
        table(fold=FOLD), {"submission": "isic2024"}, submitted("target"),
    ),
    "two classes for ISIC 2018": (
        table(fold=FOLD), {"submission": "isic2018"}, says("official.csv", "isic2018 judges"),
    ),
    "a PPV that nobody reaches": (
        table(pred=np.round(DRAW.random(N), 3)),
        {"choose": "ppv", "at": 0.999},
        says("operating_point.csv", "no threshold reaches a PPV of 0.999"),
    ),
    "nobody has it": (
        table(target=np.zeros(N, dtype=int)), {}, says("metrics.csv", "no row is melanoma"),
    ),
    "everybody has it": (
        table(target=np.ones(N, dtype=int)), {}, says("metrics.csv", "every row is melanoma"),
    ),
    "nobody knows": (
        {"image": IDS, "target": P}, {"choose": "threshold", "at": 0.4}, the_scores_alone_are_told,
    ),
    "two pictures of each lesion": (
        table(lesion_id=np.repeat(np.arange(60), 2), target=np.repeat(TRUTH[::2], 2)),
        {"unit": "lesion"},
        lesions_are_judged,
    ),
    "three classes, decided": (
        {
            "image_id": IDS,
            "fold": FOLD,
            "truth": np.array(["melanoma", "nevus", "vascular_lesion"])[np.arange(N) % 3],
            **{
                f"p_{c}": (MANY / MANY.sum(axis=1, keepdims=True))[:, k]
                for k, c in enumerate(("melanoma", "nevus", "vascular_lesion"))
            },
        },
        {"class_decision": "balanced_accuracy"},
        classes_are_decided,
    ),
    "nobody knows, and nobody chose": ({"image": IDS, "target": P}, {}, no_threshold_is_made_up),
    "one image": (
        {"image": ["a"], "target": [1], "pred": [0.5]}, {}, says("metrics.csv", "not estimable"),
    ),
    "one patient": (
        table(patient_id="p"), {}, says("operating_point_by_fold.csv", "of one patient_id"),
    ),
    "one score for all": (table(pred=0.5), {}, says("metrics.csv", "interval not estimable")),
    "ranks": (
        table(pred=(np.argsort(np.argsort(P + np.arange(N) * 1e-9)) + 1) / N),
        {"prevalence": 0.02},
        says("subgroups.csv", "scores are no probabilities"),
    ),
}  # fmt: skip
PUSH = (
    "three columns",
    "melanoma for ISIC 2024",
    "a PPV that nobody reaches",
    "nobody has it",
    "nobody knows",
    "two pictures of each lesion",
    "three classes, decided",
)


@pytest.mark.parametrize(
    "name", [n if n in PUSH else pytest.param(n, marks=pytest.mark.nightly) for n in ODD]
)
def test_a_report_goes_on(name: str, run_cells: Callable[..., Any], tmp_path: Path) -> None:
    columns, parameters, outcome = ODD[name]
    outcome(report(run_cells, columns, tmp_path, **parameters))


def test_lesions_are_judged_abroad(run_cells: Callable[..., Any], tmp_path: Path) -> None:
    """At home and abroad by lesion, and where no lesion is known, each image by itself."""
    lesion = np.arange(N) // 2
    home = {"lesion_id": lesion, "target": np.repeat(TRUTH[::2], 2), "fold": lesion % 5}
    away = home | {"image": [f"x{k}" for k in range(N)], "fold": np.full(N, -1)}
    bare = {"image": [f"y{k}" for k in range(N)], "fold": np.full(N, -1)}
    for name, columns in (
        ("home", table(**home)),
        ("away", table(**away, pred=P[::-1]) | {"lesion_id": [f"a{k}" for k in lesion]}),
        ("bare", table(**bare)),
    ):
        pd.DataFrame(columns).to_csv(tmp_path / f"{name}.csv", index=False)
    sources = [str(tmp_path / f"{name}.csv") for name in ("away", "bare")]
    given = {"external": sources, "unit": "lesion", "run": "odd", "outputs": str(tmp_path / "out")}
    run_cells("06d_external", predictions=str(tmp_path / "home.csv"), **given)
    folder = store.find_run("06d_external", "odd", tmp_path / "out")
    areas = pd.read_csv(folder / "external.csv").query("metric == 'AUC'")
    assert areas.set_index("source")["n"].to_dict() == {"internal": 60, "away": 60, "bare": 120}
    page = (folder / "external.html").read_text(encoding="utf-8")
    assert "a row is a lesion: 120 images of 60 lesions, mean of probabilities" in page
    assert "no lesion is known: each image is judged by itself" in page
