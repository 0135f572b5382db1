import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from plotly.subplots import make_subplots

from melnb.display import cells, gallery
from melnb.display.plots import decisions, discrimination
from melnb.display.report.report_page import MOST_ROWS, Section, write_figures, write_report
from melnb.display.threshold import threshold_explorer
from melnb.display.threshold.threshold_explorer import ThresholdExplorer
from melnb.evaluation.discrimination import ranking

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"


class Reader(HTMLParser):
    """Collects tags, their attributes and the text of scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1][0] == "script" and self.lasttag == "script":
            self.scripts.append(data)

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.tags)


def written(folder: Path, *parts: Any, **more: Any) -> str:
    path = write_report(folder / "report.html", title="T", sections=[Section("S", *parts)], **more)
    return path.read_text(encoding="utf-8")


def test_every_kind_of_part_is_shown(
    tmp_path: Path, predictions: pd.DataFrame, images: pd.DataFrame
) -> None:
    figure = discrimination.roc_curve(ranking.roc_curve(predictions, positive="melanoma"))
    page = written(
        tmp_path,
        "A paragraph.",
        ranking.auc(predictions, positive="melanoma"),
        figure,
        gallery.sample_grid(images, per_class=2, size=16),
        ThresholdExplorer(predictions),
        cells.Folded("A <second> table", pd.DataFrame({"n": [7]})),
        {"classes": ["other", "melanoma"], "parameters": {"image_size": 512}},
        subtitle="of a run",
    )
    read = Reader(page)
    assert '<html lang="en">' in page
    assert '<p class="part">A paragraph.</p>' in page
    assert read.count("table") == 3
    assert '<details class="part"><summary>A &lt;second&gt; table</summary>' in page
    assert read.count("img") == 4
    assert [a["data-figure"] for t, a in read.tags if t == "script" and "data-figure" in a]
    assert [a["data-explorer"] for t, a in read.tags if t == "script" and "data-explorer" in a]
    assert '<th scope="row" class="name">parameters.image_size</th>' in page
    assert figure.layout.width  # the notebook's own figure keeps its size
    titles = re.findall(r"<h2 [^>]*>(.*?)</h2>", page)
    assert titles == ["S", "Intended use: research, not a medical device"]


def test_the_page_asks_for_nothing_and_forbids_it(
    tmp_path: Path, predictions: pd.DataFrame
) -> None:
    page = written(tmp_path, ThresholdExplorer(predictions))
    for _, attributes in Reader(page).tags:
        for name in ("src", "href"):
            address = attributes.get(name) or "#"
            assert address.startswith(("#", "data:")), address
    assert "default-src 'none'" in page
    assert len(page) < 200_000, "plotly.js is not in a page without a figure"


def test_plotly_stands_in_the_file_once(tmp_path: Path, predictions: pd.DataFrame) -> None:
    figure = decisions.score_histogram(predictions, positive="melanoma")
    page = written(tmp_path, figure, figure, figure)
    assert page.count("plotly.js v") == 1
    assert 4e6 < len(page) < 6e6


def test_the_module_is_inlined_unchanged(tmp_path: Path, predictions: pd.DataFrame) -> None:
    page = written(tmp_path, ThresholdExplorer(predictions))
    found = re.search(r'id="explorer-module">(.*?)</script>', page, re.DOTALL)
    assert found
    assert (
        json.loads(found[1])
        == threshold_explorer.MODULE
        == ThresholdExplorer(predictions).view()._esm
    )


def test_no_text_of_the_data_reaches_the_page_raw(
    tmp_path: Path, predictions: pd.DataFrame, images: pd.DataFrame
) -> None:
    harmless = Reader(written(tmp_path, "x", {"x": "x"}, pd.DataFrame({"x": ["x"]})))
    hostile = pd.DataFrame({HOSTILE: [HOSTILE]})
    page = write_report(
        tmp_path / "hostile.html",
        title=HOSTILE,
        subtitle=HOSTILE,
        sections=[Section(HOSTILE, HOSTILE, {HOSTILE: HOSTILE}, hostile)],
    ).read_text(encoding="utf-8")
    assert Reader(page).count("script") == harmless.count("script")
    assert Reader(page).count("img") == 0

    figure = decisions.score_histogram(predictions, positive="melanoma", title=HOSTILE)
    pictures = gallery.sample_grid(images.assign(site=HOSTILE, target=HOSTILE), size=16)
    explorer = ThresholdExplorer(predictions, title=HOSTILE)
    page = written(tmp_path, figure, pictures, explorer)
    assert "<script>alert" not in page
    assert "<img src=x" not in page


def test_a_long_table_is_cut_and_says_so(tmp_path: Path) -> None:
    page = written(tmp_path, pd.DataFrame({"x": np.arange(1234)}))
    assert page.count('<th scope="row">') == MOST_ROWS
    assert "1,034 more rows are not shown." in page


def test_what_holds_nothing_has_no_heading(tmp_path: Path) -> None:
    empty = [pd.DataFrame({"x": []}), go.Figure(), go.Figure(go.Scatter(x=[], y=[]))]
    empty.append(go.Figure(go.Scatter(x=[1, 2], y=[np.nan, None])))  # all unknown
    empty.append(go.Figure(go.Scatter(x=[np.nan], y=["mean of folds"])))  # a label alone
    empty.append(go.Figure(go.Heatmap(x=["a"], y=["b"], z=[[None]])))
    sections = [Section("Compared", *empty), Section("Found", *empty, "words")]
    page = write_report(tmp_path / "report.html", title="T", sections=sections).read_text()
    assert "Compared" not in page
    assert "Found" in page
    assert "data-figure=" not in page
    parts = {section.title: section.parts for section in sections}
    again = write_report(tmp_path / "again.html", title="T", sections=parts)
    assert again.read_text() == page, "headings and their parts"


def test_numbers_stand_right_and_words_left(tmp_path: Path) -> None:
    page = written(tmp_path, pd.DataFrame({"run": ["b0"], "method": ["DeLong"], "auc": [0.9]}))
    assert '<td data-head="Method" class="text">DeLong</td>' in page
    assert '<td data-head="AUC">0.900</td>' in page


@pytest.mark.browser
@pytest.mark.xdist_group("browser")
def test_comparisons_of_long_names_fit_a_screen_of_1280(tmp_path: Path, page: Any) -> None:
    names = [f"04_predict/ham10000-{net}-512-focal-layerwise" for net in ("b4", "convnext")]
    table = pd.DataFrame(
        {"first": names, "second": names[::-1], "auc_first": 0.9, "auc_second": 0.8}
    )
    table = table.assign(difference=-0.000548, low=-0.00366, high=[0.00256, 0.00123])
    table = table.assign(se=0.00759, z=-0.395, p=0.0123, p_holm=1.23e-5)
    table = table.assign(n=10_015, positives=1113, verdict=["apart", "not told apart"])
    written(tmp_path, table)
    page.set_viewport_size({"width": 1280, "height": 900})
    page.goto((tmp_path / "report.html").as_uri())
    scroll = page.locator(".scroll.tight")
    assert scroll.evaluate("e => e.scrollWidth <= e.clientWidth")
    lines = scroll.locator(".between").evaluate_all(
        "all => all.map((e) => e.getClientRects().length)"
    )
    assert lines == [1, 1]
    names_shown = scroll.locator("tbody th, td:nth-child(2)").all_inner_texts()
    assert names_shown == [names[0], names[1], names[1], names[0]]


def test_a_cell_keeps_its_text_and_its_interval_together(tmp_path: Path) -> None:
    limits = {"auc_low": [0.8], "auc_high": [0.95]}
    page = written(tmp_path, pd.DataFrame({"run": ["a&b" * 20], "auc": [0.9], **limits}))
    assert '<span>0.900 <span class="between">(0.800 – 0.950)</span></span>' in page
    (name,) = re.findall(r'<th scope="row" class="name">(.*?)</th>', page)
    assert name.replace("<wbr>", "") == "a&amp;b" * 20, "no break within an entity"
    assert "<wbr>" in name


def test_panels_and_long_labels_keep_their_width_on_a_telephone(tmp_path: Path) -> None:
    def least(figure: go.Figure) -> int:
        found = re.findall(r"height: \d+px; min-width: (\d+)px", written(tmp_path, figure))
        return int(found[0])

    one = go.Figure(go.Scatter(x=[1, 2], y=[1, 2]))
    three = make_subplots(cols=3).add_scatter(x=[1], y=[1], row=1, col=3)
    labels = ["short", "two lines, of which<br>the second is longer"]
    rows = go.Figure(go.Scatter(x=[1, 2], y=labels))
    assert least(one) < 200
    assert least(three) == 3 * least(one)
    assert least(rows) - least(one) == 6 * len("the second is longer")


def test_a_part_of_no_kind_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="cannot show int"):
        written(tmp_path, 3)
    assert list(tmp_path.iterdir()) == []


def test_figures_are_written_beside_one_library(tmp_path: Path, predictions: pd.DataFrame) -> None:
    figure = decisions.score_histogram(predictions, positive="melanoma")
    paths = write_figures(tmp_path / "figures", {"scores": figure, "again": figure})
    assert [p.name for p in paths] == ["scores.html", "again.html"]
    names = sorted(p.name for p in (tmp_path / "figures").iterdir())
    assert names == ["again.html", "plotly.min.js", "scores.html"]
    assert paths[0].stat().st_size < 60_000
    first = [path.read_bytes() for path in paths]
    again = write_figures(tmp_path / "figures", {"scores": figure, "none": None, "again": figure})
    assert [path.read_bytes() for path in again] == first
