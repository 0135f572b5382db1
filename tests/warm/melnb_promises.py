"""What sentences promise of the picture beside them, and whether it shows that."""

import base64
import re
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import plotly.graph_objects as go

JSON = "application/vnd.plotly.v1+json"


def dashes(figure: go.Figure) -> set[str]:
    shapes = [shape.line.dash for shape in figure.layout.shapes]
    return {*shapes, *(t.line.dash for t in figure.data if hasattr(t, "line"))}


def has_band(figure: go.Figure) -> bool:
    filled = any(getattr(trace, "fill", None) for trace in figure.data)
    return filled or any(shape.type == "rect" for shape in figure.layout.shapes)


def has_line_at(figure: go.Figure, *values: float) -> bool:
    upright = {shape.x0 for shape in figure.layout.shapes if shape.x0 == shape.x1}
    return {*values} <= upright


def has_line(figure: go.Figure) -> bool:
    """Whether a line is drawn to compare with: a shape, or two points joined."""
    pairs = (t for t in figure.data if t.type == "scatter" and t.mode == "lines")
    return bool(figure.layout.shapes) or any(len(t.x) == 2 for t in pairs)


def has_diagonal(figure: go.Figure) -> bool:
    pairs = [t for t in figure.data if getattr(t, "x", None) is not None and len(t.x) == 2]
    return ([0, 1], [0, 1]) in [(list(t.x), list(t.y)) for t in pairs]


def has_curve(figure: go.Figure) -> bool:
    drawn = (t for t in figure.data if t.type in ("scatter", "scattergl"))
    return any("lines" in (t.mode or "lines") for t in drawn)


def has_points(figure: go.Figure) -> bool:
    return any("markers" in (getattr(t, "mode", "") or "") for t in figure.data)


def has_bars(figure: go.Figure) -> bool:
    return any(t.type in ("bar", "histogram") for t in figure.data)


def crosses_truths_and_calls(figure: go.Figure) -> bool:
    titles = [figure.layout.yaxis.title.text, figure.layout.xaxis.title.text]
    return figure.data[0].type == "heatmap" and titles == ["Truth", "Called"]


def last_row_is_of_another_source(figure: go.Figure) -> bool:
    labels = figure.layout.yaxis.ticktext or figure.data[0].y
    lowest = labels[-1] if figure.layout.yaxis.autorange == "reversed" else labels[0]
    return "another" in str(lowest)


PROMISES: dict[str, Callable[[go.Figure], bool]] = {
    "dashed line": lambda f: "dash" in dashes(f),
    "dotted line": lambda f: "dot" in dashes(f),
    r"\bbands?\b": has_band,
    "diagonal": has_diagonal,
    "marked point": lambda f: any(t.mode == "markers" and len(t.x) == 1 for t in f.data),
    "stroke": lambda f: any(str(t.marker.symbol).startswith("line") for t in f.data),
    "right of 0|holds 0|spans 0": lambda f: has_line_at(f, 0),
    "0 and 1 are right": lambda f: has_line_at(f, 0, 1),
    r"(?:on|below|[Rr]ight of) the line": has_line,
    "biopsy all": lambda f: {"biopsy all", "biopsy none"} <= {t.name for t in f.data},
    r"^(?!.*grey bars).*\bbars\b": has_bars,
    "grey bars": lambda f: has_bars(f) and "grey" in f.layout.title.subtitle.text,
    r"\bcurves (?:part|that part|rise)|[Cc]urves that lie": has_curve,
    "[Ee]ach point is": has_points,
    "rows are truths": crosses_truths_and_calls,
    "last row is what counts": last_row_is_of_another_source,
}
WORDS = re.compile(
    r"\b(dash|dotted|bands?\b|stroke|diagonal|marked|arrows?\b(?! keys)|shaded|grey bars|circle|"
    r"[Ee]ach (?:dot|point|bar|line) is|the line\b|last row is what)"
)


def counts_tiles(number: int) -> Callable[[str], bool]:
    """Whether each row of a gallery has so many pictures."""

    def check(gallery: str) -> bool:
        rows = [row.count("<figure") for row in gallery.split("display:grid")[1:]]
        return bool(rows) and {*rows} == {number}

    return check


GALLERIES: dict[str, Callable[[str], bool]] = {
    "blue and dashed": lambda g: "stroke-dasharray" in g and "the predicted one blue" in g,
    "outline is white|true outline over them": lambda g: "the true outline white" in g,
    "A row of each class": lambda g: g.count("display:grid") > 1,
    "a row for each augmentation": lambda g: "all together" in g,
    "the six that lie nearest": counts_tiles(7),  # the image itself, and six
}


def promised(sentence: str, pictures: Iterable[go.Figure | str]) -> Iterator[tuple[str, bool]]:
    """Yield what a sentence promises, and whether one of the pictures beside it shows that.

    Args:
        sentence: Of a notebook.
        pictures: Figures, and galleries as HTML; of none nothing is promised.

    Raises:
        AssertionError: It promises what no test knows.
    """
    figures = [picture for picture in pictures if isinstance(picture, go.Figure)]
    galleries = [picture for picture in pictures if isinstance(picture, str)]
    of_galleries = [words for words in GALLERIES if re.search(words, sentence)]
    spoken = [words for words in PROMISES if re.search(words, sentence) and not of_galleries]
    known = spoken or of_galleries or not WORDS.search(sentence)
    assert known, f"a promise without a test: {sentence}"
    for words in spoken if figures else ():
        yield words, any(PROMISES[words](figure) for figure in figures)
    for words in of_galleries if galleries else ():
        yield words, any(GALLERIES[words](gallery) for gallery in galleries)


def between(cells: list[dict[str, Any]]) -> Iterator[tuple[str, list[go.Figure | str]]]:
    """Yield each sentence of an executed notebook, and the pictures that it may speak of.

    Those of the cell above and of the one below; across a heading it speaks of one of them.
    """
    codes = [k for k, cell in enumerate(cells) if cell["cell_type"] == "code"]
    for first, second in pairwise(codes):
        text = "\n\n".join("".join(cell["source"]) for cell in cells[first + 1 : second])
        above, heading, below = text.partition("\n#") if "\n#" in f"\n{text}" else (text, "", "")
        if text.startswith("#"):
            above, heading, below = "", "#", text
        pairs = [(above, [first] if heading else [first, second]), (below, [second])]
        for part, near in pairs:
            pictures = [picture for k in near for picture in pictures_of(cells[k])]
            for sentence in re.split(r"(?<=[.:?])\s+", part):
                yield sentence, pictures


def pictures_of(cell: dict[str, Any]) -> list[go.Figure | str]:
    """Return the figures and galleries that an executed cell shows."""
    bundles = [output.get("data", {}) for output in cell["outputs"]]
    figures = [b[JSON] for b in bundles if JSON in b]
    galleries = ["".join(b.get("text/html", "")) for b in bundles if JSON not in b]
    drawn = [go.Figure(_decoded({k: f[k] for k in ("data", "layout")})) for f in figures]
    return [*drawn, *(gallery for gallery in galleries if "<figure" in gallery)]


def _decoded(part: Any) -> Any:
    """Return a part of a figure with its arrays as lists, as figures in Python have them."""
    if isinstance(part, dict) and "bdata" in part:
        flat = np.frombuffer(base64.b64decode(part["bdata"]), dtype=part["dtype"])
        shape = [int(n) for n in str(part.get("shape", len(flat))).split(",")]
        return flat.reshape(shape).tolist()
    if isinstance(part, dict):
        return {name: _decoded(value) for name, value in part.items() if name != "template"}
    return [_decoded(value) for value in part] if isinstance(part, list) else part
