"""The report's page: one number wherever it stands, sentences that hold, and room for every part.

One report of 300 images of 100 patients, on which two of its groups are too small to be shown, is
opened in Chromium once for all widths.
"""

import builtins
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from melnb_promises import promised
from melnb_tables import foreign

from melnb import evaluation
from melnb.display.report.prose import read_prose
from melnb.params.catalogue import Prepare
from melnb.runs import store
from melnb.tables import schema
from melnb.tables.findings import FAIL, Finding, findings_table

NOTEBOOK = Path(__file__).parent.parent / "notebooks" / "06_report.ipynb"
WIDTHS = (420, 768, 1280, 1920)
A4 = (698, 1017)  # pixels that the margins of the printed page leave
FACTS = """() => {
  const all = (path) => [...document.querySelectorAll(path)].map((e) => e.textContent);
  const big = [...document.querySelectorAll("[data-figure-name]")].map((e) => [
    e.dataset.figureName, [...e.querySelectorAll("dd")].map((dd) => dd.textContent)]);
  return { verdict: all(".verdict")[0], big: Object.fromEntries(big), limits: all(".limits li"),
    facts: all(".facts dd:not(.small)"), ends: [...document.querySelectorAll(".facts dd.small")]
      .map((e) => e.firstChild.textContent),
    anew: all(".anew")[0], roc: all('[data-place="roc"] .note')[0], spots: all(".thousand .key b"),
    dots: ["found", "missed", "alarms", "left"].map((kind) =>
      document.querySelector(`.dots-${kind}`).getAttribute("d").split("M").length - 1),
    groups: [...document.querySelectorAll(".groups tbody tr")].map((tr) =>
      [tr.querySelector("th").firstChild.textContent,
        ...[...tr.querySelectorAll(".said")].map((td) => td.textContent)]) };
}"""


def write_audit(table: pd.DataFrame, prepared: Path, outputs: Path) -> None:
    """Write what an audit leaves that found one fault, and a shortcut that is chance."""
    run = store.open_run("02b_audit", "d", parameters={"dataset": "d"}, outputs=outputs)
    run.reads(prepared)
    findings = findings_table([Finding("MEL011", FAIL, 300, "AUC 0.900")], every=False)
    schema.write_table(findings, run.folder / "findings.csv")
    p = np.random.default_rng(1).uniform(size=len(table))
    truth = np.where(table["target"] == 1, "melanoma", "other")
    blind = schema.make_predictions(
        table["image"], 0, truth, np.column_stack([p, 1 - p]), classes=("melanoma", "other"),
        run="file",
    )  # fmt: skip
    schema.write_predictions(blind, run.folder / "shortcut_file.csv")
    run.finish({})


@pytest.fixture(scope="module")
def written(
    run_cells: Callable[..., dict[str, Any]], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """The names of a report's cells, and its `home`; and the point of `06c_choose` on it."""
    folder = tmp_path_factory.mktemp("page")
    outputs = folder / "out"
    first, second = (foreign(folder, n, prevalence=0.3, moved=0, folds=5) for n in ("one", "two"))
    table = pd.read_csv(first)
    pd.read_csv(second).assign(image=table["image"], target=table["target"]).to_csv(
        second, index=False
    )
    draw = np.random.default_rng(5)
    patient = np.arange(300) // 3
    unknown = dict.fromkeys(("lesion_id", "diagnosis", "target"), np.nan)
    images = pd.DataFrame({"image_id": table["image"], "path": "none.jpg", **unknown})
    images["source"] = "x"
    images["patient_id"], images["age"] = table["patient_id"], np.nan
    images["sex"] = draw.choice(["female", "male"], 100)[patient]
    images["site"] = draw.choice(["torso", "head", "palm"], 100, p=[0.7, 0.25, 0.05])[patient]
    prepared = store.open_run(
        "02_prepare", "d", parameters=Prepare(dataset="d").plain(), outputs=outputs
    )
    schema.write_images(schema.check_images(images), prepared.folder / "images.csv")
    write_audit(table, prepared.finish({}), outputs)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(builtins, "display", lambda *parts: None, raising=False)
        how = {"predictions": [first, second], "dataset": "d", "margin": 0.05, "run": "one"}
        names = run_cells("06_report", **how, outputs=str(outputs))
        chosen = run_cells("06c_choose", run="one", report="one", outputs=str(outputs))
    return names | {"home": outputs / "06_report" / "one", "chosen": chosen["point"]}


@pytest.fixture(scope="module")
def opened(written: dict[str, Any], browser: Any) -> Iterator[Any]:
    """The page, with what went wrong in it."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda m: wrong.append(m.text) if m.type == "error" else None)
    page.goto((written["home"] / "report.html").as_uri())
    page.wait_for_selector("html[data-ready]")
    yield page
    page.close()
    assert wrong == []


def shares(text: str) -> list[float]:
    return [float(number) for number in re.findall(r"[\d.]+(?=\s?%)", text)]


def browsed(test: Any) -> Any:
    return pytest.mark.browser(pytest.mark.xdist_group("browser")(test))


def check_facts(shown: dict[str, Any], point: pd.Series, *, of_point: bool) -> None:
    """Compare the explorer's numbers and limits with a row of Python's."""
    for k, name in enumerate(("sensitivity", "specificity", "ppv", "npv")):
        assert shares(shown["facts"][k]) == pytest.approx([100 * point[name]], abs=0.051), name
        if k < 2 or of_point:
            ends = [100 * point[f"{name}_fixed_{end}"] for end in ("low", "high")]
            assert shares(shown["ends"][k]) == pytest.approx(ends, abs=0.051), name


@browsed
def test_the_audit_stands_on_the_first_screen_and_leads_to_its_table(
    written: dict[str, Any], opened: Any
) -> None:
    home = written["home"]
    said = "Audit: 1 FAIL (shortcut: the file)."
    link = opened.locator(".answer .audited a")
    assert link.text_content() == said
    assert link.bounding_box()["y"] < 900
    table = opened.locator("#appendix-audit table")
    assert not table.is_visible()
    link.click()
    table.wait_for()
    assert "MEL011" in table.text_content()
    opened.evaluate("document.querySelector('#appendix-audit').open = false; scrollTo(0, 0)")
    over = pd.read_csv(home / "over_shortcuts.csv").iloc[0]
    assert over["n"] == 300
    (limit,) = [t for t in opened.locator(".limits li").all_text_contents() if "alone: AUC" in t]
    assert f"AUC {over['auc_second']:.3f}" in limit
    assert f"+{over['difference']:.3f}" in limit
    assert not any("not audited" in t for t in opened.locator(".limits li").all_text_contents())
    card = (home / "report_card.md").read_text(encoding="utf-8")
    assert "**Audit:** 1 FAIL (shortcut: the file). (02b\\_audit/d)" in card
    assert f"**Without the lesion:** AUC of the file alone {over['auc_second']:.3f}" in card


@browsed
def test_every_number_is_that_of_the_tables(written: dict[str, Any], opened: Any) -> None:
    home, shown = written["home"], opened.evaluate(FACTS)
    point = pd.read_csv(home / "operating_point.csv").iloc[0]
    check_facts(shown, point, of_point=True)
    for name in ("sensitivity", "specificity"):
        ends = [100 * point[f"{name}_{end}"] for end in ("low", "high")]
        words = shown["anew"].split(name)[1].split(",")[0]
        assert shares(words) == pytest.approx(ends, abs=0.051)
    metrics = pd.read_csv(home / "metrics.csv")
    area = metrics.query("metric == 'AUC' and rows == 'out of fold'").iloc[0]
    assert shown["roc"] == f"AUC {area['value']:.3f}"
    # What Python wrote into the file is what the page makes of it when it wakes.
    text = (home / "report.html").read_text(encoding="utf-8")
    static = dict(re.findall(r'data-figure-name="(\w+)">.*?<dd>(.*?)</dd>', text))
    assert {name: texts[0] for name, texts in shown["big"].items()} == static
    found, needed = shown["big"]["found"], shown["big"]["cost"]
    low, high = (f"{100 * point[f'sensitivity_fixed_{end}']:.0f}" for end in ("low", "high"))
    between = f"{low} to {high}\N{NO-BREAK SPACE}%"
    assert found[1] == f"{point['tp']} of {point['tp'] + point['fn']} · {between}"
    assert float(needed[0]) == pytest.approx(point["number_needed_to_biopsy"], abs=0.051)
    for words in (
        f"Ranks a melanoma above another lesion {100 * area['value']:.0f} times in 100",
        f"({100 * area['low']:.0f} to {100 * area['high']:.0f})",
        f"at threshold {point['threshold']:.2g} it finds {point['tp']} of {point['positives']}",
        f"({between}) and flags {point['fp']} of {point['fp'] + point['tn']} others",
        f"others: {needed[0]} biopsies for each",
        "300 images of 100 patients, out of fold.",
    ):  # fmt: skip
        assert words in shown["verdict"]
    spots = [int(text.replace(",", "")) for text in shown["spots"]]
    assert sum(shown["dots"]) == sum(spots) == 1000
    assert shown["dots"] == spots
    assert spots[0] == pytest.approx(1000 * point["tp"] / point["n"], abs=1)
    groups = pd.read_csv(home / "subgroups.csv").query("column == 'sex'")
    for row in shown["groups"]:
        for said, metric in zip(row[1:], ("sensitivity", "specificity"), strict=True):
            own = groups[(groups["level"] == row[0]) & (groups["metric"] == metric)].iloc[0]
            ends = [100 * own[c] for c in ("value", "low", "high")]
            assert shares(said) == pytest.approx(ends, abs=0.051)


@browsed
def test_a_moved_threshold_has_the_limits_that_python_gives(
    written: dict[str, Any], opened: Any
) -> None:
    table = written["report"].predictions
    slider = opened.get_by_label("Threshold, typed", exact=True)
    began = slider.input_value()
    for at in (0.2, 0.6):
        slider.fill(str(at))
        slider.press("Enter")
        point = evaluation.operating_point(
            table, positive="melanoma", choose="threshold", at=at, cluster="patient_id", draws=2
        ).iloc[0]
        shown = opened.evaluate(FACTS)
        check_facts(shown, point, of_point=False)
        assert shown["anew"] == ""
        assert shown["big"]["found"][1].startswith(f"{point['tp']} of {point['positives']} · ")
    opened.get_by_role("button", name="back to the report's").click()
    assert slider.input_value() == began
    assert opened.evaluate(FACTS)["anew"]


def test_a_group_is_shown_by_one_rule(written: dict[str, Any]) -> None:
    groups = pd.read_csv(written["home"] / "subgroups.csv").fillna({"note": ""})
    words = written["explorer"].page_state()["values"]["words"]["groups"]
    assert [group["column"] for group in words] == ["sex", "site"]
    hidden = 0
    for group in words:
        for level in group["levels"]:
            for reason, metric in zip(level["few"], ("sensitivity", "specificity"), strict=True):
                own = groups[(groups["column"] == group["column"]) & (groups["metric"] == metric)]
                assert own.loc[own["level"] == level["name"], "note"].tolist() == [reason]
                hidden += bool(reason)
    assert hidden


def test_a_threshold_that_is_chosen_by_hand_begins_with_the_reports_numbers(
    written: dict[str, Any],
) -> None:
    point = pd.read_csv(written["home"] / "operating_point.csv").iloc[0]
    own = written["chosen"].iloc[0]
    for name in ("sensitivity", "specificity", "ppv", "npv", "flagged", "number_needed_to_biopsy"):
        wanted = [point[name], *(point[f"{name}_fixed_{end}"] for end in ("low", "high"))]
        assert [own[name], own[f"{name}_low"], own[f"{name}_high"]] == pytest.approx(wanted)


# Sentences that promise something of the picture beside them.


def test_each_sentence_finds_in_its_picture_what_it_speaks_of(written: dict[str, Any]) -> None:
    kept, spoken = written["job"].figures["shown"], 0
    for name, around in read_prose(NOTEBOOK).items():
        figure = kept[name].figure if name in kept else None
        for sentence in [*around.before, *around.after]:
            for words, held in promised(sentence, [] if figure is None else [figure]):
                assert held, f"{name} shows no {words}: {sentence}"
                spoken += 1
    assert spoken > 8


def test_the_page_speaks_and_knows_no_column(written: dict[str, Any]) -> None:
    page = (written["home"] / "report.html").read_text(encoding="utf-8")
    words = re.sub(r"<(script|style).*?</\1>", "", page, flags=re.DOTALL)
    evidence = re.sub(r"<[^>]+>", " ", words.split('id="appendix"')[0])
    assert not re.findall(r"\b[a-z]+_[a-z_]+\b", evidence)
    assert not re.findall(r"row\(s\)|\bp holm\b|\bnan\b", evidence, flags=re.IGNORECASE)
    assert "Each fold is judged" in evidence or "each fold is judged" in evidence
    assert ">Classes</h2>" not in page, "of two classes one says all"


# Where everything stands.

OVERLAPS = """() => {
  const boxes = (path) => [...document.querySelectorAll(path)]
    .map((e) => [e, e.getBoundingClientRect()])
    .filter(([e, b]) => b.width > 0 && b.height > 0 && !e.closest("details:not([open])"));
  const found = [];
  for (const path of [".figures > div", ".seen > div", "main > section", ".answer > *",
    ".panels > .panel", ".parts > .part"]) {
    const all = boxes(path);
    all.forEach(([e, a], i) => all.slice(i + 1).forEach(([f, b]) => {
      if (e.contains(f) || f.contains(e)) return;
      const [across, down] = [Math.min(a.right, b.right) - Math.max(a.left, b.left),
        Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top)];
      if (across > 1 && down > 1) found.push(`${path}: ${e.className} ${f.className}`);
    }));
  }
  for (const plot of document.querySelectorAll(".js-plotly-plot")) {
    const [legend, area] = [plot.querySelector(".legend"), plot.querySelector(".xaxislayer-above")];
    if (!legend || !area || plot.layout?.legend?.orientation !== "h") continue;
    const [a, b] = [legend.getBoundingClientRect(), area.getBoundingClientRect()];
    const meets = b.height && a.top < b.bottom - 1 && a.bottom > b.top + 1;
    if (meets) found.push(`legend on ${plot.id}`);
  }
  return found;
}"""
CUT = """() => [...document.querySelectorAll("main *:not(svg *, .unseen, .id, input)")]
  .filter((e) => e.clientWidth > 0 && e.scrollWidth > e.clientWidth + 1 && !e.closest("details")
    && !e.closest(".scroll, .figure") && getComputedStyle(e).display !== "inline")
  .map((e) => `${e.tagName}.${e.className}`)"""
WIDE = """() => [...document.querySelectorAll("main .scroll, main .figure")]
  .filter((e) => e.clientWidth > 0 && e.scrollWidth > e.clientWidth + 1 && !e.closest("details"))
  .map((e) => e.getAttribute("aria-label") ?? e.firstChild.getAttribute("aria-label"))"""


@browsed
def test_nothing_overlaps_or_is_cut_at_any_width(opened: Any) -> None:
    for width in WIDTHS:
        opened.set_viewport_size({"width": width, "height": 900})
        opened.wait_for_timeout(400)  # plotly draws anew after a pause
        assert opened.evaluate("document.documentElement.scrollWidth") <= width
        assert opened.evaluate(OVERLAPS) == [], width
        assert opened.evaluate(CUT) == [], width
        wide = opened.evaluate(WIDE)
        assert [name for name in wide if width > 700 or name.endswith(": table")] == [], width
        if width == 1280:
            assert opened.evaluate("document.documentElement.scrollHeight") < 9000
        lefts = "e => new Set(e.map((p) => Math.round(p.getBoundingClientRect().left))).size"
        stacks = (".panels > .panel", ".seen > div")
        columns = [opened.locator(path).evaluate_all(lefts) for path in stacks]
        assert (columns == [1, 1]) == (width < 700), width
    opened.set_viewport_size({"width": 1280, "height": 900})


TABLES = """() => {
  const closed = [...document.querySelectorAll("details:not([open])")];
  for (const details of closed) details.open = true;
  const all = (path) => [...document.querySelectorAll(path)];
  const over = (e) => e.clientWidth > 0 && e.scrollWidth > e.clientWidth + 1;
  const shown = [all(".scroll").length,
    ...all(".scroll").filter(over).map((e) => `${e.ariaLabel} is wide`),
    ...all(".scroll :is(th, td)").filter(over).map((e) => `${e.textContent} is cut`),
    ...all(".scroll .between").filter((e) => e.getClientRects().length > 1)
      .map((e) => `${e.textContent} stands on two lines`)];
  for (const details of closed) details.open = false;
  return shown;
}"""


@browsed
def test_no_table_is_wider_than_its_page_nor_those_that_are_opened_by_hand(opened: Any) -> None:
    for width in WIDTHS:
        opened.set_viewport_size({"width": width, "height": 900})
        tables, *wrong = opened.evaluate(TABLES)
        assert (tables > 20, wrong) == (True, []), width
    opened.set_viewport_size({"width": 1280, "height": 900})


@browsed
def test_the_first_printed_page_is_the_answer(opened: Any) -> None:
    opened.emulate_media(media="print")
    opened.set_viewport_size({"width": A4[0], "height": A4[1]})
    opened.evaluate("dispatchEvent(new Event('beforeprint'))")
    bottom = opened.locator(".limits").evaluate("e => e.getBoundingClientRect().bottom + scrollY")
    assert bottom <= A4[1]
    assert opened.locator(".answer").evaluate("e => getComputedStyle(e).breakAfter") == "page"
    assert not opened.locator(".panels").first.is_visible()
    assert opened.evaluate(WIDE) == [], "paper does not scroll"
    opened.evaluate("dispatchEvent(new Event('afterprint'))")
    opened.emulate_media(media="screen")
    opened.set_viewport_size({"width": 1280, "height": 900})
