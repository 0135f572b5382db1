"""What is shipped asks nobody for anything: neither by name, nor when a browser opens it."""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat
import plotly.graph_objects as go
import plotly.io as pio
import pytest
from melnb_pages import NAMESPACE, Reader, addresses
from plotly.offline import get_plotlyjs

import melnb
from melnb.display import theme
from melnb.display.report.report_page import LIBRARY, Section, write_figures, write_report

PLOTLY = get_plotlyjs()
PACKAGE = Path(melnb.__file__).parent
# Buttons of a figure that keep to the page; plotly.js 4 came with one that does not.
PICTURE = "Download plot as a PNG"
BUTTONS = re.compile(f"{PICTURE}|(Zoom|Pan|Box|Lasso|Autoscale|Reset|Toggle|Show|Compare).*")


def named_in(path: Path) -> list[str]:
    """Return the addresses that a file's page would ask for, or names in code but plotly's own."""
    text = path.read_text(encoding="utf-8").replace(PLOTLY, "")
    if path.suffix != ".ipynb":
        return Reader(text).named
    outputs = [o for c in nbformat.reads(text, 4).cells for o in c.get("outputs", [])]
    shown = [output["data"] for output in outputs if "data" in output]
    named = [each for data in shown for each in Reader(data.get("text/html", "")).named]
    figures = [data[kind] for data in shown for kind in data if kind.endswith("plotly.v1+json")]
    return named + [each for figure in figures for each in addresses(json.dumps(figure))]


def asked(browser: Any, path: Path, look: Callable[[Any], None] = lambda page: None) -> list[str]:
    """Open a page with all traffic refused; return what it asked for, or what failed in it."""
    context = browser.new_context(viewport={"width": 1100, "height": 900})
    wrong: list[str] = []

    def refuse(route: Any) -> None:
        if route.request.url.startswith("file:"):
            return route.continue_()
        wrong.append(route.request.url)
        return route.abort()

    context.route("**/*", refuse)
    page = context.new_page()
    page.on("websocket", lambda each: wrong.append(each.url))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda m: wrong.append(m.text) if m.type == "error" else None)
    page.goto(path.as_uri())
    page.wait_for_timeout(1000)  # what asks once it is loaded asks at once
    look(page)
    context.close()
    return wrong


def check_figure(page: Any) -> None:
    """Look at the buttons of a page's first figure."""
    if page.locator(".js-plotly-plot").count() or page.locator("[data-figure]").count():
        page.wait_for_selector(".js-plotly-plot .main-svg")
        page.locator(".js-plotly-plot").first.hover()
        buttons = page.locator(".modebar-btn").evaluate_all("b => b.map(x => x.dataset.title)")
        assert PICTURE in buttons
        assert [button for button in buttons if not BUTTONS.fullmatch(button)] == []


@pytest.mark.parametrize(
    "page",
    [
        '<script src="https://x.org/a.js">', "<img srcset='//x.org/a.png 2x'>",
        '<link rel=stylesheet href="http://x.org">', '<form action="https://x.org">',
        "<style>a { background: url(//x.org/a.png) }</style>", '<a ping="https://x.org" href="#">',
        "<script>fetch('https://x.org')</script>", "<script>new WebSocket('wss://x.org')</script>",
        '<div style="background: url(https://x.org)">', "<img src=x onerror=\"fetch('//x.org')\">",
        '<meta http-equiv=refresh content="0; url=https://x.org">',
        '<script type="application/json">{"plotlyServerURL": "https://x.org"}</script>',
    ],
)  # fmt: skip
def test_the_scanner_sees(page: str) -> None:
    assert ["x.org" in address for address in Reader(page).named] == [True]
    assert Reader(f"https://x.org <a href='https://x.org'>{NAMESPACE}</a>").named == []


@pytest.mark.parametrize(
    "path", sorted(p for s in ("*.js", "*.css", "*.j*2", "*.jinja") for p in PACKAGE.rglob(s))
)
def test_no_part_of_a_page_names_a_host(path: Path) -> None:
    assert addresses(path.read_text(encoding="utf-8")) == []


@pytest.fixture
def figure() -> Iterator[go.Figure]:
    before = pio.renderers.default, pio.templates.default
    theme.use_theme()
    yield go.Figure(go.Scatter(y=[1, 3, 2]), layout={"title": {"text": "A <b>figure</b>"}})
    pio.renderers.default, pio.templates.default = before


def test_no_way_of_showing_a_figure_offers_to_send_it(figure: go.Figure, tmp_path: Path) -> None:
    write_figures(tmp_path, {"a": figure})
    for name in pio.renderers:
        renderer = pio.renderers[name]
        if hasattr(renderer, "config"):
            assert renderer.config["showSendToCloud"] is False, name
    for chosen in (pio.renderers.default, "plotly_mimetype", theme.NAME):
        pio.renderers.default = chosen
        live = pio.renderers._build_mime_bundle(figure.to_dict())[theme.JSON]["config"]
        assert (live["showSendToCloud"], live["plotlyServerURL"]) == (False, "about:blank")


@pytest.mark.browser
@pytest.mark.xdist_group("browser")
def test_a_page_and_a_figure_draw_with_all_traffic_refused(
    browser: Any, figure: go.Figure, tmp_path: Path
) -> None:
    (single,) = write_figures(tmp_path, {"figure": figure})
    report = write_report(tmp_path / "report.html", title="T", sections=[Section("S", figure)])
    for path in (single, report):
        assert named_in(path) == []
        assert asked(browser, path, check_figure) == []
    assert "<title>A figure</title>" in single.read_text()


@pytest.mark.xdist_group("demo")
def test_nothing_that_runs_write_names_a_host(demo: Path) -> None:
    pages = [p for suffix in ("html", "ipynb") for p in (demo / "outputs").rglob(f"*.{suffix}")]
    names = {path.name for path in pages}
    assert {"report.html", "report_card.html", "external.html", "predictions.html"} < names
    assert {"notebook.ipynb", "roc_curve.html"} < names
    assert {str(path): named for path in pages if (named := named_in(path))} == {}
    libraries = [*(demo / "outputs").rglob(LIBRARY)]
    assert {library.read_text(encoding="utf-8") for library in libraries} == {PLOTLY}


@pytest.mark.browser
@pytest.mark.xdist_group("demo")
@pytest.mark.nightly
def test_every_page_opens_with_all_traffic_refused(demo: Path, browser: Any) -> None:
    for path in sorted((demo / "outputs").rglob("*.html")):
        assert asked(browser, path, check_figure) == [], path


@pytest.mark.browser
@pytest.mark.xdist_group("demo")
@pytest.mark.nightly
def test_an_exported_notebook_asks_for_no_more_than_an_empty_one(
    demo: Path, browser: Any, tmp_path: Path
) -> None:
    kind = "application/vnd.jupyter.widget-state+json"
    state = {"version_major": 2, "version_minor": 0, "state": {}}
    empty = nbformat.v4.new_notebook(metadata={"widgets": {kind: state}})
    nbformat.write(empty, tmp_path / "empty.ipynb")
    usual = hosts(asked(browser, exported(tmp_path / "empty.ipynb")))
    for path in sorted((demo / "outputs").rglob("notebook.ipynb")):
        book = tmp_path / f"{path.parent.parent.name}.ipynb"
        book.write_bytes(path.read_bytes())
        assert hosts(asked(browser, exported(book))) <= usual, path


def hosts(told: list[str]) -> set[str]:
    """Return the hosts of what was asked for, without what a page said in words."""
    return {url.split("/")[2] for url in told if re.match(r"\w+://", url)}


def exported(book: Path) -> Path:
    """Return a notebook's page, as nbconvert makes it."""
    command = [sys.executable, "-m", "nbconvert", "--to", "html", str(book)]
    subprocess.run(command, check=True, capture_output=True)
    return book.with_suffix(".html")
