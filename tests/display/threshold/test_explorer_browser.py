"""The explorer in a page opened from a file: keyboard and mouse, and numbers against Python's."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from melnb.display.plots import discrimination
from melnb.display.report.report_page import Section, write_report
from melnb.display.threshold.threshold_explorer import ThresholdExplorer
from melnb.evaluation.decisions import operating_point
from melnb.evaluation.discrimination import ranking

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]
Make = Callable[..., pd.DataFrame]

READ = """() => {
  const cell = (name) => Number(
    document.querySelector(`.confusion td.${name} b`).textContent.replaceAll(",", ""));
  const all = (path) => [...document.querySelectorAll(path)];
  const [threshold, sensitivity, specificity, prevalence] = all("input[type=range]");
  const typed = all("input[type=number]").map((input) => Number(input.value));
  const facts = all(".facts dl").map((dl) => dl.children[1].textContent);
  const place = (point) => [point.getAttribute("cx"), point.getAttribute("cy")];
  const [roc, precision] = all("circle.point").map(place);
  return { counts: ["tp", "fp", "tn", "fn"].map(cell), typed, facts, roc, precision,
    sliders: [threshold, sensitivity, specificity, prevalence].map((input) => Number(input.value)),
    cut: document.querySelector(".cut").getAttribute("x1"),
    grip: document.querySelector(".cut + .grip").getAttribute("cx"),
    shares: all(".note.count").map((note) => Number(note.textContent.replace(/[^0-9]/g, ""))),
    spoken: threshold.getAttribute("aria-valuetext"),
    sentence: document.querySelector(".sentence").textContent };
}"""
TYPE = """([k, values]) => values.map((value) => {
  const input = document.querySelectorAll("input[type=number]")[k];
  input.value = value;
  input.dispatchEvent(new Event("change"));
  return [...document.querySelectorAll(".confusion td b")]
    .map((b) => Number(b.textContent.replaceAll(",", "")))
    .concat(Number(document.querySelector("input[type=number]").value));
})"""


def counts(explorer: ThresholdExplorer, threshold: float) -> list[int]:
    row = explorer.at(threshold).iloc[0]
    return [int(row[name]) for name in ("tp", "fp", "tn", "fn")]


def test_arrow_keys_move_every_linked_part(
    open_page: Callable[..., Any], predictions: pd.DataFrame
) -> None:
    explorer = ThresholdExplorer(predictions, threshold=0.5)
    page = open_page(explorer)
    before = page.evaluate(READ)
    assert before["counts"] == counts(explorer, 0.5)
    page.get_by_label("Threshold", exact=True).focus()
    for _ in range(100):
        page.keyboard.press("ArrowLeft")
    after = page.evaluate(READ)
    assert after["typed"][0] == 0.4
    assert after["spoken"] == "0.4"
    assert after["counts"] == counts(explorer, 0.4)
    tp, fp, tn, fn = after["counts"]
    assert after["shares"][:4] == [tp, fn, fp, tn]
    assert after["grip"] == after["cut"]
    for part in ("counts", "facts", "roc", "precision", "cut", "sentence"):
        assert after[part] != before[part], part
    moved = [a != b for a, b in zip(after["sliders"], before["sliders"], strict=True)]
    assert moved == [True, True, True, False]
    row = explorer.at(0.4).iloc[0]
    rates = [f"{row[c]:.1%}" for c in ("sensitivity", "specificity", "ppv", "npv")]
    assert after["facts"][:4] == rates


def test_the_mouse_drags_sliders_and_drawings(
    open_page: Callable[..., Any], predictions: pd.DataFrame
) -> None:
    explorer = ThresholdExplorer(predictions, threshold=0.5)
    page = open_page(explorer)

    def drag(part: Any, start: float, end: float) -> dict[str, Any]:
        part.scroll_into_view_if_needed()
        box = part.bounding_box()
        y = box["y"] + box["height"] / 2
        page.mouse.move(box["x"] + start * box["width"], y)
        page.mouse.down()
        page.mouse.move(box["x"] + end * box["width"], y, steps=5)
        page.mouse.up()
        return dict(page.evaluate(READ))

    slid = drag(page.get_by_label("Threshold", exact=True), 0.5, 0.25)
    assert 0.2 < slid["typed"][0] < 0.3
    assert slid["counts"] == counts(explorer, slid["typed"][0])
    cut = drag(page.locator(".panels > :nth-child(4) svg"), 0.5, 0.7)
    assert 0.65 < cut["typed"][0] < 0.75
    assert cut["counts"] == counts(explorer, cut["typed"][0])
    curve = drag(page.locator(".panels > :nth-child(1) svg"), 0.5, 0.4)
    assert 55 < curve["typed"][2] < 75  # across the ROC curve is 1 - specificity
    assert curve["counts"] == counts(explorer, curve["typed"][0])


@pytest.mark.parametrize("digits", [2, 12])
def test_wanted_rates_choose_the_threshold_that_python_chooses(
    open_page: Callable[..., Any], make: Make, digits: int
) -> None:
    made = make(400, digits=digits, seed=3)
    explorer = ThresholdExplorer(made)
    page = open_page(explorer)
    wanted = [0.5, 0.8, 0.9, 0.95, 1.0, 0.333]
    for k, choose in ((1, "sensitivity"), (2, "specificity")):
        seen = page.evaluate(TYPE, [k, [100 * share for share in wanted]])
        for share, (tp, fn, fp, tn, threshold) in zip(wanted, seen, strict=True):
            point = operating_point.operating_point(
                made, positive="melanoma", choose=choose, at=share
            )
            assert [tp, fp, tn, fn] == [point[c].iloc[0] for c in ("tp", "fp", "tn", "fn")]
            assert [tp, fp, tn, fn] == counts(explorer, threshold), "the number shown can be typed"


def test_any_threshold_counts_as_python_does(open_page: Callable[..., Any], make: Make) -> None:
    made = make(3000, digits=5, seed=5)
    explorer = ThresholdExplorer(made)
    page = open_page(explorer)
    draw = np.random.default_rng(0)
    cuts = [0.0, 1.0, *made["p_melanoma"].head(20), *draw.random(20).round(6)]
    seen = page.evaluate(TYPE, [0, [float(cut) for cut in cuts]])
    for cut, (tp, fn, fp, tn, _) in zip(cuts, seen, strict=True):
        assert [tp, fp, tn, fn] == counts(explorer, float(cut)), cut


def test_a_specificity_of_one_flags_nothing_even_where_a_score_is_one(
    open_page: Callable[..., Any], make: Make
) -> None:
    made = make(60)
    made.loc[made["truth"] == "other", ["p_melanoma", "p_other"]] = [1.0, 0.0]
    explorer = ThresholdExplorer(made)
    (seen,) = open_page(explorer).evaluate(TYPE, [2, [100]])
    assert seen[0] == seen[2] == 0
    assert counts(explorer, seen[-1])[:2] == [0, 0]
    point = operating_point.operating_point(made, positive="melanoma", choose="specificity", at=1.0)
    threshold = float(point["threshold"].iloc[0])
    assert ThresholdExplorer(made, threshold=threshold).at()["flagged"].iloc[0] == 0


def test_prevalence_moves_predictive_values_alone(
    open_page: Callable[..., Any], predictions: pd.DataFrame
) -> None:
    explorer = ThresholdExplorer(predictions, threshold=0.3)
    page = open_page(explorer)
    before = page.evaluate(READ)
    curve = page.locator("path.curve").nth(1).get_attribute("d")
    page.evaluate(TYPE, [3, [2.5]])
    after = page.evaluate(READ)
    explorer.prevalence = 0.025
    row = explorer.at().iloc[0]
    assert after["counts"] == before["counts"]
    assert after["facts"][:2] == before["facts"][:2]
    ppv, npv, needed = after["facts"][2:5]
    assert float(ppv.rstrip("%")) == pytest.approx(100 * row["ppv"], abs=0.06)
    assert float(npv.rstrip("%")) == pytest.approx(100 * row["npv"], abs=0.06)
    assert float(needed) == pytest.approx(1 / row["ppv"], abs=0.06)
    assert after["roc"] == before["roc"]
    assert page.locator("path.curve").nth(1).get_attribute("d") != curve
    page.get_by_role("button", name="data:").click()
    assert page.evaluate(READ)["facts"] == before["facts"]


def test_what_is_written_agrees_with_the_metrics(
    open_page: Callable[..., Any], predictions: pd.DataFrame
) -> None:
    page = open_page(ThresholdExplorer(predictions, threshold=0.3))
    auc = ranking.auc(predictions, positive="melanoma")["value"].iloc[0]
    assert page.get_by_text(f"AUC {auc:.3f}").count() == 1
    point = operating_point.operating_point(
        predictions, positive="melanoma", choose="threshold", at=0.3
    ).iloc[0]
    interval = page.locator(".facts .small").first.text_content()
    assert interval == f"{point['sensitivity_low']:.1%} – {point['sensitivity_high']:.1%}"


def test_everything_can_be_reached_and_is_named(
    open_page: Callable[..., Any], predictions: pd.DataFrame
) -> None:
    page = open_page(ThresholdExplorer(predictions))
    names = page.evaluate(
        "() => [...document.querySelectorAll('.melnb-threshold :is(input, select, button)')]"
        ".filter((e) => !e.hidden).map((e) => e.getAttribute('aria-label') ?? e.textContent)"
    )
    tiles = page.locator(".tile").count()
    assert len(names) == len(set(names)) == 13 + tiles
    assert tiles == 12
    assert all(names)
    assert page.locator("svg:not([aria-label])").count() == 0
    page.get_by_label("Threshold", exact=True).press("ArrowRight")
    page.wait_for_function("() => document.querySelector('.unseen').textContent !== ''")


def test_figures_are_drawn_and_follow_light_and_dark(
    page: Any, tmp_path: Path, predictions: pd.DataFrame
) -> None:
    figure = discrimination.roc_curve(ranking.roc_curve(predictions, positive="melanoma"))
    path = tmp_path / "report.html"
    explorer = ThresholdExplorer(predictions)
    write_report(path, title="R", sections=[Section("S", figure, explorer, explorer)])
    page.goto(path.as_uri())
    page.wait_for_selector("html[data-ready]")
    assert page.locator(".gtitle").text_content() == "ROC curve"
    assert page.locator(".melnb-threshold").count() == 2

    def colours() -> tuple[str, ...]:
        return tuple(
            page.locator(place).first.evaluate(f"e => getComputedStyle(e).{name}")
            for place, name in (
                ("body", "backgroundColor"),
                (".gtitle", "fill"),
                (".melnb-threshold", "color"),
                (".melnb-threshold .curve", "stroke"),
            )
        )

    light = colours()
    page.get_by_role("button", name="Dark").click()
    dark = colours()
    assert all(a != b for a, b in zip(light, dark, strict=True))
    page.emulate_media(media="print")
    assert colours()[0] == light[0], "paper is white"
