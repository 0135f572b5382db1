"""The report: one HTML file that opens without a network, a kernel or this package.

Tables and pictures are plain HTML; figures are drawn by a copy of plotly.js in the file; the
explorers work by the same modules as in JupyterLab. The page forbids itself every request
(Content-Security-Policy), and every text that came with the data is escaped.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any, TypeAlias

import jinja2
import numpy as np
import pandas as pd
import plotly.graph_objects as go
from markupsafe import Markup, escape
from plotly.offline import get_plotlyjs

import melnb
from melnb.display import cells, theme
from melnb.display.gallery import Gallery
from melnb.display.masks import mask_explorer as masks
from melnb.display.masks.mask_explorer import MaskExplorer
from melnb.display.report.answer import Answer
from melnb.display.theme import CONFIG
from melnb.display.threshold import threshold_explorer
from melnb.display.threshold.threshold_explorer import ThresholdExplorer
from melnb.tables.files import replacing

Explorer: TypeAlias = ThresholdExplorer | MaskExplorer
Part: TypeAlias = (
    "str | go.Figure | pd.DataFrame | cells.Folded | Gallery | Explorer | Block | Mapping[str, Any]"
)

LIBRARY = "plotly.min.js"  # beside the figures
MOST_ROWS = 200  # of a table in the page
_PANEL, _LETTER, _HEAD = 180, 6, 9  # pixels of a panel, of a label's letter and of a heading's
_LIMITS = re.compile(r"(\(?[−\d.,∞]+ – [−\d.,∞]+\)?)")  # stay on one line
_BREAKS = re.compile(  # where a long name may break
    r"(?<=\S{8}/)(?=\S{8})|(?<=\S{12}[_.-])(?=\S{12})|(?<=[^\s_/.-]{24})(?=[^\s_/.-])"
)
_BRIEF, _NAME = 18, 48  # letters of a text that stays on one line, and of one that is no prose
_TABLE, _SIGN, _GAP = 990, 8, 14  # pixels of a table at 1280, of a letter, between columns
_NARROW = 620  # pixels: a figure no wider shares its line with the next
_HERE = Path(__file__).parent
_MODULES = {"explorer-module": threshold_explorer.MODULE, "masks-module": masks.MODULE}

INTENDED_USE = (
    "This report describes a statistical model for research and teaching. It is not a medical "
    "device. No regulator has cleared it, and it must not be used to diagnose a lesion, to decide "
    "on a biopsy or to reassure a patient.",
    "The numbers hold for images like those described here: for other cameras, skin tones, ages, "
    "sites of the body or referral patterns they may be much worse. Predictive values hold for the "
    "prevalence that stands beside them. Before any use with patients, a model must be tried "
    "prospectively where it would be used, and by those who would use it.",
)


class Prose(str):
    """A paragraph of a notebook, as a part of a page."""

    __slots__ = ()

    def html(self) -> Markup:
        """Return it with its emphasis; all else is text."""
        text = str(escape(self))
        text = re.sub(r"\*\*([^*]+)\*\*", r"<strong>\1</strong>", text)
        return Markup(re.sub(r"\*([^*]+)\*", r"<em>\1</em>", text))


class Block(tuple["Part", ...]):
    """Parts that stay together, as a narrow figure and its sentences beside another."""

    __slots__ = ()


class Section:
    """A section of the report.

    Args:
        title: Its heading.
        parts: In reading order: text (a paragraph), figures, tables, folded or not, galleries,
            explorers of thresholds or masks, or a mapping of facts.
        folded: Whether it stands in the appendix, which is opened by hand.
    """

    def __init__(self, title: str, *parts: Part, folded: bool = False) -> None:
        self.title, self.parts, self.folded = title, parts, folded


def write_report(
    path: str | Path,
    *,
    title: str,
    sections: Sequence[Section] | Mapping[str, Sequence[Part]],
    subtitle: str = "",
    answer: Answer | None = None,
) -> Path:
    """Write the report, whole or not at all, and end it with its intended use.

    Args:
        path: The HTML file.
        title: Of the report.
        sections: In reading order, or the parts of each by its heading. Empty texts, tables
            without rows and figures without data are left out, and so is a section that holds
            nothing else.
        subtitle: A line below the title: which run, which images.
        answer: What stands above all sections, beside the threshold explorer that moves it.

    Returns:
        The path.

    Raises:
        TypeError: A part is of a kind that a report cannot show.
    """
    if isinstance(sections, Mapping):
        sections = [Section(heading, *parts) for heading, parts in sections.items()]
    evidence, appendix = _headed(sections)
    if answer is not None:  # the explorer moves it: it comes first
        evidence.sort(key=lambda pair: not any(p["kind"] == "explorer" for p in pair[1]))
    every = [part for _, parts in [*evidence, *appendix] for part in _flat_parts(parts)]
    kinds = {part["kind"] for part in every}
    asked = {part["module"] for part in every if "module" in part}
    page = _template("page.html.jinja").render(
        title=title,
        subtitle=subtitle,
        sections=evidence,
        appendix=appendix,
        answer=answer,
        explored="explorer-module" in asked,
        version=melnb.__version__,
        date=datetime.now(UTC).strftime("%d %B %Y"),
        light=Markup(theme.css_variables(theme.LIGHT)),
        dark=Markup(theme.css_variables(theme.DARK)),
        font=Markup(theme.FONT),
        style=Markup(_text("page.css")),
        script=Markup(_text("page.js")),
        templates=_json(
            {"light": _layout(theme.LIGHT), "dark": _layout(theme.DARK), "config": CONFIG}
        ),
        plotly=Markup(get_plotlyjs()) if "figure" in kinds else "",
        explorer_style=Markup(masks.STYLE if "masks-module" in asked else threshold_explorer.STYLE),
        modules={name: module for name, module in _MODULES.items() if name in asked},
    )
    return _write(path, page)


def _headed(sections: Sequence[Section]) -> list[list[tuple[str, list[dict[str, Any]]]]]:
    """Return headings and what the template shows below each: of the evidence, of the appendix."""
    use, numbers = Section("Intended use: research, not a medical device", *INTENDED_USE), count(1)
    unfolded = [section for section in sections if not section.folded]
    return [
        [
            (section.title, [_shown(part, next(numbers)) for part in section.parts if holds(part)])
            for section in piece
            if any(holds(part) for part in section.parts)  # nothing compared, no heading
        ]
        for piece in ([*unfolded, use], [section for section in sections if section.folded])
    ]


def write_figures(folder: str | Path, figures: Mapping[str, go.Figure | None]) -> list[Path]:
    """Write each figure as `<name>.html`; one library beside them serves all, offline.

    Args:
        folder: Made if need be.
        figures: By file name, without the suffix; None is none.

    Returns:
        The paths.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / LIBRARY).write_text(get_plotlyjs(), encoding="utf-8")
    kept = {name: figure for name, figure in figures.items() if figure is not None}
    for name, figure in kept.items():
        # A name of its own, not one that is drawn: the same figure is the same file. And a copy,
        # as plotly takes its server's address out of what it is given.
        options = {"div_id": name, "config": dict(CONFIG)}
        drawn = figure.to_html(full_html=False, include_plotlyjs=False, **options)
        title = Markup(figure.layout.title.text or name).striptags()
        page = _template("figure.html.jinja").render(
            title=title, library=LIBRARY, figure=Markup(drawn)
        )
        (folder / f"{name}.html").write_text(page, encoding="utf-8")
    return [folder / f"{name}.html" for name in kept]


def holds(part: Part) -> bool:
    """Return whether a part shows anything: a text, rows, marks of known values."""
    if isinstance(part, str):
        return bool(part)
    if isinstance(part, Block):
        return any(map(holds, part))
    if isinstance(part, cells.Folded):
        return not part.table.empty
    if isinstance(part, pd.DataFrame):
        return not part.empty
    if isinstance(part, go.Figure):
        return any(map(_is_drawn, part.data))
    return True


def _is_drawn(trace: Any) -> bool:
    """Return whether a trace draws anything: marks whose value is unknown are not there."""
    cells = getattr(trace, "z", None)
    ends = [cells] if cells is not None else [getattr(trace, "x", None), getattr(trace, "y", None)]
    numbers = [_known(values) for values in ends if values is not None]
    if not numbers or len({*map(len, numbers)}) > 1:
        return any(end.any() for end in numbers)
    return bool(np.logical_and.reduce(numbers).any())


def _known(values: Any) -> np.ndarray:
    return np.asarray(pd.notna(np.asarray(values, dtype=object).ravel()), dtype=bool)


def _flat_parts(parts: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for part in parts:
        yield from _flat_parts(part["parts"]) if "parts" in part else [part]


def is_narrow(part: Part) -> bool:
    """Return whether a part is a figure that leaves room for another beside it."""
    return isinstance(part, go.Figure) and (part.layout.width or 10**6) <= _NARROW


def _shown(part: Part, number: int | str) -> dict[str, Any]:
    """Return what the template needs to show a part."""
    identity = {"id": f"part-{number}"}
    if isinstance(part, Block):
        parts = [_shown(piece, f"{number}-{k}") for k, piece in enumerate(part) if holds(piece)]
        return {"kind": "block", "parts": parts}
    if isinstance(part, str):
        return {"kind": "text", "text": part.html() if isinstance(part, Prose) else part}
    if isinstance(part, go.Figure):
        return identity | _figure(part)
    if isinstance(part, cells.Folded):
        return {"kind": "folded", "title": part.title, "parts": [_shown(part.table, number)]}
    if isinstance(part, pd.DataFrame):
        words = cells.shared_words(part)
        texts = cells.tidy(part.head(MOST_ROWS).drop(columns=list(words)))
        plain = {c: cells.plain(text) if c in cells.PROSE else text for c, text in words.items()}
        note = " ".join(f"{cells.words(column)}: {text}." for column, text in plain.items())
        return _table(texts, more=max(0, len(part) - MOST_ROWS), note=note)
    if isinstance(part, Gallery):
        return {"kind": "gallery", "html": Markup(part.html())}
    if isinstance(part, ThresholdExplorer | MaskExplorer):
        module = "explorer-module" if isinstance(part, ThresholdExplorer) else "masks-module"
        state = {"title": part.title, "state": part.page_state()}
        return identity | {"kind": "explorer", "module": module, **state}
    if isinstance(part, Mapping):
        facts = {name: cells.number(value) for name, value in _flat(part).items()}
        return _table(pd.DataFrame({"": facts.keys(), " ": facts.values()}))
    raise TypeError(
        f"a report cannot show {type(part).__name__}: give text, a figure, a table, a gallery, "
        "a ThresholdExplorer, a MaskExplorer or a mapping"
    )


def _table(texts: pd.DataFrame, *, more: int = 0, note: str = "") -> dict[str, Any]:
    numeric = [all(cells.is_number(text) for text in texts[c]) for c in texts.columns]
    texts = texts.astype(str)
    rows = [
        [(_cell(t), "" if number else _kind(t)) for t, number in zip(row, numeric, strict=True)]
        for row in texts.to_numpy()
    ]
    longest = [max(map(len, [str(c), *texts[c]])) for c in texts]
    return {
        "kind": "table",
        "tight": sum(_SIGN * length + _GAP for length in longest) > _TABLE,
        "titled": any(str(head).strip() for head in texts.columns),
        "heads": list(zip(texts.columns, numeric, strict=True)),
        "rows": rows,
        "more": more,
        "note": note,
    }


def _kind(text: str) -> str:
    return "text" if len(text) <= _BRIEF else "text name" if len(text) <= _NAME else "text long"


def _cell(text: str) -> Markup:
    """Return a cell's text: an interval stays on one line, a long name breaks where it may."""
    pieces = _LIMITS.split(text)
    names = [Markup("<wbr>").join(_BREAKS.split(piece)) for piece in pieces[::2]]
    limits = [Markup('<span class="between">{}</span>').format(piece) for piece in pieces[1::2]]
    if not limits:
        return names[0]
    between = zip(names, [*limits, ""], strict=True)
    return Markup("<span>{}</span>").format(Markup("").join(p for pair in between for p in pair))


def _figure(figure: go.Figure) -> dict[str, Any]:
    drawn = go.Figure(figure)  # a copy: the notebook's own figure keeps its look
    narrow = is_narrow(drawn)
    title = drawn.layout.title.text or "figure"
    height = drawn.layout.height or theme.HEIGHT
    drawn.update_layout(template=None, width=None)  # the page's theme and width take their place
    return {
        "kind": "figure",
        "narrow": narrow,
        "title": title,
        "height": height,
        "least": _least_width(drawn),
        "json": Markup(str(drawn.to_json()).replace("<", "\\u003c")),
    }


def _least_width(figure: go.Figure) -> int:
    """Return the pixels below which panels' headings and rows' labels run into each other."""
    panels = {tuple(axis.domain or (0, 1)) for axis in figure.select_xaxes()}
    labels = [str(text) for axis in figure.select_yaxes() for text in axis.ticktext or ()]
    for trace in figure.data:
        rows = np.asarray(getattr(trace, "y", None))
        labels += rows.tolist() if rows.dtype.kind in "OU" and rows.ndim else []
    lines = [line for label in labels if isinstance(label, str) for line in label.split("<br>")]
    longest = max(map(len, lines), default=0)
    heads = [str(a.text) for a in figure.layout.annotations if a.xref == "paper"]
    panel = max([_PANEL, *(_HEAD * len(head) for head in heads if len(panels) > 1)])
    return panel * len(panels) + _LETTER * longest


def _flat(facts: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Return nested facts as one level, names joined by a dot."""
    level: dict[str, Any] = {}
    for name, value in facts.items():
        if isinstance(value, Mapping):
            level |= _flat(value, f"{above}{name}.")
        elif isinstance(value, list | tuple):
            level[f"{above}{name}"] = ", ".join(cells.number(item) for item in value)
        else:
            level[f"{above}{name}"] = value
    return level


def _layout(palette: Mapping[str, str]) -> dict[str, Any]:
    return dict(theme.make_template(palette).to_plotly_json())


def _json(value: Any) -> Markup:
    return Markup(jinja2.utils.htmlsafe_json_dumps(value))


def _text(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")


def _template(name: str) -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template(name)


def _write(path: str | Path, page: str) -> Path:
    if Path(path).suffix != ".html":  # a page in the place of somebody's photograph is a loss
        raise ValueError(f"path is {path}: a page is written to a file that ends in .html")
    with replacing(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return Path(path)
