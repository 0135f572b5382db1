"""The linked parts beside curves and counts: net benefit, groups, a second run, errors, saving."""

import json
import re
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from melnb.display.threshold.threshold_explorer import ThresholdExplorer
from melnb.evaluation.calibration.prevalence import shift_prevalence, shifted_probability
from melnb.evaluation.decisions.net_benefit import net_benefit_table
from melnb.evaluation.statistics.intervals import wilson_interval

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]
Make = Callable[..., pd.DataFrame]
Open = Callable[..., Any]

HOSTILE = "</script><img src=x onerror=alert(1)>"
PIXEL = "data:image/gif;base64,R0lGODlhAQABAAAAACwAAAAAAQABAAA="
TOLD = """() => {
  const all = (path) => [...document.querySelectorAll(path)].map((e) => e.textContent);
  const part = (path, name) => document.querySelector(path)?.getAttribute(name);
  return { benefit: all(".benefit-panel .key b"),
    diamond: part(".benefit-panel .point", "transform"),
    groups: all(".groups .said"), means: part(".groups .mean", "style"),
    dots: [...document.querySelectorAll(".groups .dot")].map((e) => e.style.left),
    pair: all(".pair td:not(:empty)"), sides: all(".two-runs .sentence")[0],
    missed: all(".strips > :first-child .id"), alarms: all(".strips > :last-child .id"),
    errors: all("h4 span") };
}"""


@pytest.fixture
def full(
    predictions: pd.DataFrame, groups: pd.DataFrame, second: pd.DataFrame
) -> ThresholdExplorer:
    """An explorer with every part."""
    return ThresholdExplorer(
        predictions, threshold=0.3, prevalence=0.05, groups=groups, other=second,
        pictures=lambda _: PIXEL,
    )  # fmt: skip


def choose(page: Any, threshold: float) -> dict[str, Any]:
    page.get_by_label("Threshold, typed").fill(str(threshold))
    page.get_by_label("Threshold, typed").press("Enter")
    return dict(page.evaluate(TOLD))


def test_one_move_changes_every_linked_part(open_page: Open, full: ThresholdExplorer) -> None:
    page = open_page(full)
    before = page.evaluate(TOLD)
    page.get_by_label("Threshold", exact=True).focus()
    for _ in range(60):
        page.keyboard.press("ArrowRight")
    after = page.evaluate(TOLD)
    for part, told in after.items():
        if part not in ("missed", "alarms"):  # the worst stay the worst: only their number moves
            assert told != before[part], part
    assert choose(page, 0.97)["alarms"] != before["alarms"]
    assert choose(page, 0.03)["missed"] != before["missed"]


def test_rows_are_called_what_they_are(
    open_page: Open, predictions: pd.DataFrame, groups: pd.DataFrame, second: pd.DataFrame
) -> None:
    lesions = predictions.assign(unit="lesion", n_images=2)
    page = open_page(ThresholdExplorer(lesions, threshold=0.3, groups=groups, other=second))
    about, *sentences = page.locator(".melnb-threshold :is(header p, .sentence)").all_inner_texts()
    assert f"{len(lesions):,} lesions, " in about
    words = [*sentences, page.locator(".by-group .key").inner_text()]
    assert sum("lesion" in text for text in words) >= 3
    assert not [text for text in words if "image" in text]


@pytest.mark.parametrize("prevalence", [0.05, 0.2])
def test_net_benefit_is_that_of_the_probabilities_moved_to_the_prevalence(
    open_page: Open, full: ThresholdExplorer, predictions: pd.DataFrame, prevalence: float
) -> None:
    full.prevalence = prevalence
    page = open_page(full)
    own = (predictions["truth"] == "melanoma").mean()
    moved = shift_prevalence(predictions, positive="melanoma", prevalence=prevalence)
    for t in (0.02, 0.1, 0.4):
        risk = float(shifted_probability(t, prevalence=prevalence, training_prevalence=own))
        # A threshold that is the moved score itself: rounding must not part the two.
        row = net_benefit_table(
            moved, positive="melanoma", thresholds=(risk - 1e-9,), prevalence=prevalence, draws=2
        ).iloc[0]
        told = [float(v.replace("−", "-")) for v in choose(page, t)["benefit"]]
        wanted = [1000 * row["net_benefit"], 1000 * row["biopsy_all"], 0]
        assert told == pytest.approx(wanted, rel=0.005)


def test_prevalence_moves_the_axes_of_the_decision_curve(
    open_page: Open, full: ThresholdExplorer
) -> None:
    page = open_page(full)
    curve, axes = page.locator(".benefit-panel .curve"), page.locator(".benefit-panel .axes")
    drawn, told, words = curve.get_attribute("d"), page.evaluate(TOLD), axes.text_content()
    page.get_by_label("Prevalence", exact=True).press("End")
    # A score's odds and what a find is worth grow alike: the shape stays, its numbers do not.
    assert curve.get_attribute("d") == drawn
    assert axes.text_content() != words
    after = page.evaluate(TOLD)
    assert after["benefit"] != told["benefit"]
    assert after["groups"] == told["groups"], "sensitivity is of no prevalence"


def test_scores_that_are_no_probabilities_have_no_net_benefit(
    open_page: Open, predictions: pd.DataFrame
) -> None:
    page = open_page(ThresholdExplorer(predictions.assign(kind="score")))
    assert "holds scores, not probabilities" in page.locator(".benefit-panel").text_content()
    assert page.locator(".benefit-panel svg").count() == 0
    page.get_by_label("Threshold", exact=True).press("ArrowRight")


def test_intervals_are_as_wide_as_the_report_says(
    open_page: Open, predictions: pd.DataFrame, groups: pd.DataFrame
) -> None:
    how = {"threshold": 0.3, "groups": groups, "confidence": 0.8}
    page = open_page(ThresholdExplorer(predictions, **how))
    known = predictions["truth"] == "melanoma"
    found = (known & (predictions["p_melanoma"] >= 0.3)).sum()
    low, high = wilson_interval(found, known.sum(), confidence=0.8)
    assert f"{low:.1%} – {high:.1%}" in page.locator(".numbers-panel").text_content()
    about = page.locator(".melnb-threshold > header").text_content()
    assert "At each fixed threshold: 80% intervals; images count as independent" in about
    assert "95" not in about
    assert "fewer than 10 images" in page.locator(".groups-panel").text_content()


@pytest.mark.parametrize("column", ["sex", "site"])
def test_each_group_is_counted_as_python_counts(
    open_page: Open, full: ThresholdExplorer, predictions: pd.DataFrame, groups: pd.DataFrame,
    column: str,
) -> None:  # fmt: skip
    page = open_page(full)
    page.get_by_label("Groups by").select_option(label=column)
    joined = predictions.merge(groups, on="image_id").fillna({column: "unknown"})
    for t in (0.1, 0.3, 0.62):
        told = iter(choose(page, t)["groups"])
        for _, part in joined.groupby(column):  # alphabetical, and "unknown" comes last
            flagged, positive = part["p_melanoma"] >= t, part["truth"] == "melanoma"
            for right, n in (
                ((flagged & positive).sum(), positive.sum()),
                ((~flagged & ~positive).sum(), (~positive).sum()),
            ):
                low, high = wilson_interval(right, n)
                said = next(told)
                if n < 10:  # the rule of subgroup_metrics
                    assert said in (f"too few ({n})", "none")
                else:
                    shown = [float(v) for v in re.findall(r"([\d.]+)%", said)]
                    expected = [100 * right / n, 100 * float(low), 100 * float(high)]
                    assert shown == pytest.approx(expected, abs=0.051)
    few = page.locator(".groups td.few")
    assert few.count() == (1 if column == "site" else 0)
    assert few.locator(".dot:visible").count() == 0


def test_two_runs_are_compared_where_they_err_as_often(
    open_page: Open, full: ThresholdExplorer, predictions: pd.DataFrame, second: pd.DataFrame
) -> None:
    page = open_page(full)
    both = predictions.merge(second[["image_id", "p_melanoma"]], on="image_id", suffixes=("", "_2"))
    positive = (both["truth"] == "melanoma").to_numpy()
    one, two = both["p_melanoma"].to_numpy(), both["p_melanoma_2"].to_numpy()
    cuts = np.append(np.unique(two), 2)
    for t in (0.08, 0.3, 0.7):
        told = choose(page, t)
        flagged = one >= t
        allowed = [c for c in cuts if (two >= c)[~positive].sum() <= flagged[~positive].sum()]
        reaching = [c for c in cuts if (two >= c)[positive].sum() >= flagged[positive].sum()]
        same, finding = two >= min(allowed), two >= max(reaching)
        shares = [flagged[positive].mean(), same[positive].mean()]
        spared = [(~flagged)[~positive].mean(), (~finding)[~positive].mean()]
        for row, pair in ((1, shares), (2, spared)):
            shown = told["pair"][3 * row : 3 * row + 3]
            assert [float(v.rstrip("%")) for v in shown[:2]] == pytest.approx(
                [100 * v for v in pair], abs=0.051
            )
            difference = float(shown[2].removesuffix(" pp").replace("−", "-"))
            assert difference == pytest.approx(100 * (pair[0] - pair[1]), abs=0.051)
        assert f"{(flagged != same).sum()} of 600 images change sides" in told["sides"]
        alone = flagged & ~same
        words = f"{(alone & positive).sum()} melanoma and {(alone & ~positive).sum()} others"
        assert f"{words} are flagged by b0 alone" in told["sides"]
    assert page.locator(".curve-panel .second").first.get_attribute("d").startswith("M")


def test_a_run_of_fewer_images_is_compared_on_those(
    open_page: Open, predictions: pd.DataFrame, second: pd.DataFrame
) -> None:
    page = open_page(ThresholdExplorer(predictions, other=second.head(400), threshold=0.3))
    assert "of 400 images change sides" in page.evaluate(TOLD)["sides"]


def test_errors_are_those_of_the_threshold_and_arrows_reach_them(
    open_page: Open, full: ThresholdExplorer, predictions: pd.DataFrame
) -> None:
    page = open_page(full)
    told = page.evaluate(TOLD)
    row = full.at(0.3).iloc[0]
    assert told["errors"] == [
        f"Missed, lowest scores: {row['fn']:.0f}", f"False alarms, highest scores: {row['fp']:.0f}",
    ]  # fmt: skip
    positive = predictions[predictions["truth"] == "melanoma"]
    worst = positive.sort_values(["p_melanoma", "image_id"])["image_id"].tolist()
    assert told["missed"] == worst[:6]
    assert page.locator(".tile img").count() == 12
    more = page.get_by_role("button", name="Missed, lowest scores: worst")
    more.click()
    below = positive[positive["p_melanoma"] < 0.3]
    assert page.evaluate(TOLD)["missed"] == worst[: min(60, len(below))]
    page.get_by_role("button", name="Missed, lowest scores: fewer").click()
    tiles = page.locator(".strips > :first-child .tile")
    assert tiles.evaluate_all("all => all.map((e) => e.tabIndex)") == [0, -1, -1, -1, -1, -1]
    tiles.first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    facts = dict(
        zip(*[iter(page.locator(".about > div > *").all_text_contents())] * 2, strict=True)
    )
    assert facts["image id"] == worst[1]
    assert facts["truth"] == "Melanoma"
    assert {"score", "fold", "sex", "site"} <= set(facts)
    assert tiles.nth(1).get_attribute("aria-pressed") == "true"
    none = choose(page, 0)
    assert (none["missed"], none["errors"][0]) == ([], "Missed, lowest scores: 0")


def test_without_a_kernel_the_button_downloads_what_python_would_write(
    open_page: Open, full: ThresholdExplorer, tmp_path: Path
) -> None:
    page = open_page(full)
    choose(page, 0.42)
    with page.expect_download() as caught:
        page.get_by_role("button", name="Download this operating point").click()
    caught.value.save_as(tmp_path / "chosen.json")
    assert caught.value.suggested_filename == "operating_point.json"
    full.threshold = 0.42
    written, expected = json.loads((tmp_path / "chosen.json").read_text()), full.choice()
    assert list(written) == list(expected)
    assert written == pytest.approx(expected)
    assert "Downloaded" in page.locator(".saving").text_content()


def test_tab_reaches_every_control_in_reading_order(
    open_page: Open, full: ThresholdExplorer
) -> None:
    page = open_page(full)
    page.get_by_role("button", name="Download").focus()
    seen = []
    for _ in range(15):
        page.keyboard.press("Tab")
        seen.append(page.evaluate(
            "() => document.activeElement.getAttribute('aria-label')"
            " ?? document.activeElement.className"
        ))  # fmt: skip
    names = [n for c in ("Threshold", "Sensitivity", "Specificity") for n in (f"{c}, typed", c)]
    assert seen[:6] == names
    assert [re.sub(r" \d+$", "", name) for name in seen[6:]] == [
        "", "Prevalence, typed", "Prevalence", "Axis of scores", "Groups by",
        "Missed, lowest scores: worst", "tile", "False alarms, highest scores: worst", "tile",
    ]  # fmt: skip


@pytest.mark.parametrize("width", [420, 800, 1000, 1200])
def test_no_part_runs_over_at_any_width(
    open_page: Open, full: ThresholdExplorer, make: Make, width: int
) -> None:
    page = open_page(full)
    page.set_viewport_size({"width": width, "height": 900})
    page.locator(".tile").first.click()
    for column in ("sex", "site"):
        page.get_by_label("Groups by").select_option(label=column)
        over = page.evaluate(
            "() => [...document.querySelectorAll('.melnb-threshold *:not(.unseen, .id, svg *)')]"
            ".filter((e) => e.scrollWidth > e.clientWidth + 1 && e.clientWidth > 0)"
            ".map((e) => e.tagName + '.' + e.className)"
        )
        assert over == []
    assert page.evaluate("() => document.documentElement.scrollWidth") <= width


def test_hostile_names_stay_text(open_page: Open, predictions: pd.DataFrame) -> None:
    made = predictions.assign(image_id=HOSTILE + predictions["image_id"], run=HOSTILE)
    groups = made[["image_id"]].assign(**{HOSTILE: [HOSTILE, "x"] * 300})
    explorer = ThresholdExplorer(made, groups=groups, other=made.assign(run=HOSTILE + "2"))
    page = open_page(explorer)
    assert page.locator(".tile .id").first.text_content().startswith(HOSTILE)
    page.locator(".tile").first.click()
    assert HOSTILE in page.locator(".about").text_content()
    assert HOSTILE in page.locator(".groups").text_content()
    assert page.locator("img").count() == 0


@pytest.mark.benchmark
def test_a_move_takes_no_time_with_all_of_isic_2024_and_every_part(open_page: Open) -> None:
    page = open_page(slice_3d())
    page.get_by_label("Groups by").select_option(label="site")
    moves = """async (slider) => {
      const took = [];
      for (let k = 0; k < 20; k += 1) {
        slider.value = 0.2 + 0.03 * k;
        const start = performance.now();
        slider.dispatchEvent(new Event("input", { bubbles: true }));
        document.body.getBoundingClientRect(); // with the layout that it costs
        took.push(performance.now() - start);
        await new Promise(requestAnimationFrame);
      }
      return took;
    }"""
    for name in ("Threshold", "Prevalence"):
        took = statistics.median(page.get_by_label(name, exact=True).evaluate(moves))
        print(f"\n401,059 rows, every part: {name} moves in {took:.1f} ms (median of 20)")
        assert took < 16


def test_each_positive_of_all_of_isic_2024_stays_on_the_curve(open_page: Open) -> None:
    drawn = open_page(slice_3d()).locator("path.curve").first.get_attribute("d")
    assert 393 <= len(re.findall("L", drawn)) < 3000


def slice_3d() -> ThresholdExplorer:
    """Return an explorer of as many images as SLICE-3D has, with every part."""
    draw = np.random.default_rng(0)
    truth = np.arange(401_059) < 393  # as in SLICE-3D
    score = 1 / (1 + np.exp(6 - draw.normal(0, 1.5, len(truth)) - 2.6 * truth))
    made = pd.DataFrame({"image_id": np.arange(len(truth)).astype(str), "fold": 0, "run": "slice"})
    made["truth"] = np.where(truth, "malignant", "benign")
    made["p_malignant"], made["p_benign"] = score, 1 - score
    groups = made[["image_id"]].assign(
        sex=draw.choice(["female", "male"], len(made)), site=draw.choice(list("abcdef"), len(made))
    )
    again = 1 / (1 + np.exp(6 - draw.normal(0, 1.5, len(truth)) - 2.3 * truth))
    other = made.assign(p_malignant=again, p_benign=1 - again, run="other")
    return ThresholdExplorer(
        made, positive="malignant", groups=groups, other=other, pictures=lambda _: PIXEL
    )
