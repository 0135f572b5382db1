"""The sentences around a notebook's pictures, taken to the page: what to look for, what is seen.

A notebook says before each number what is asked, and after it what to make of it. The page says
the same because it reads the notebook that runs: there is one text. Between two cells, what stands
above a heading belongs to the first, what stands below it to the second; without a heading the
first of several paragraphs belongs to the first, and a paragraph alone to the second. A paragraph
with code in it is for who runs the notebook.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import plotly.graph_objects as go

from melnb.display.report.report_page import Block, Part, Prose, Section, holds, is_narrow

_SHOWN = re.compile(r"report\.show\(\s*\w+\.(\w+)")
_TITLED = re.compile(r"report\.(?:explore|include)\(\s*\"([^\"]+)\"")
_BY_RUN = re.compile(r"report\.by_run\(\s*\"[^\"]+\",\s*\w+\.(\w+)")
_NAMED = re.compile(r"\bname=\"(\w+)\"")


@dataclass(frozen=True)
class Around:
    """Paragraphs before and after what a cell shows."""

    before: list[str] = field(default_factory=list)
    after: list[str] = field(default_factory=list)


def read_prose(notebook: Path) -> dict[str, Around]:
    """Return the paragraphs around what each cell shows, by the name under which it is kept.

    Args:
        notebook: The file; where there is none, as in a kernel far from the project, nothing.
    """
    if not notebook.is_file():
        return {}
    around: dict[str, Around] = {}
    last, between = "", ""
    for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]:
        text = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            between += f"\n\n{text}"
            continue
        after, before = _parted(between)
        if last:
            around[last].after.extend(after)
        last, between = shown_name(text), ""
        if last:
            around[last] = Around(before)
    return around


def shown_name(source: str) -> str:
    """Return the name under which a cell's source keeps what it shows; empty: it shows nothing."""
    shown, titled, named = (pattern.search(source) for pattern in (_SHOWN, _TITLED, _NAMED))
    if shown:
        return named[1] if named else shown[1]
    if by_run := _BY_RUN.search(source):
        return f"{by_run[1]}_by_run"
    return titled[1] if titled else ""


def _parted(text: str) -> tuple[list[str], list[str]]:
    """Return the paragraphs that belong to the cell above, and to the cell below."""
    blocks = [block.strip() for block in re.split(r"\n\s*\n", text)]
    blocks = [block for block in blocks if block and ("`" not in block or block.startswith("#"))]
    heads = [k for k, block in enumerate(blocks) if block.startswith("#")]
    if heads:
        below = [b for b in blocks[heads[-1] + 1 :] if not b.startswith("#")]
        return blocks[: heads[0]], below
    return (blocks[:1], blocks[1:]) if len(blocks) > 1 else ([], blocks)


# What cells gave to the page, between those sentences.


@dataclass(frozen=True)
class Number:
    """What a function returned.

    Attributes:
        value: A table, or tables by label.
        csv: The file's name, without the suffix; empty: it is not written.
        lack: Why it could not be made; empty: it could.
    """

    value: Any
    csv: str = ""
    lack: str = ""


@dataclass(frozen=True)
class Shown:
    """What a cell gives to the page.

    Attributes:
        section: The heading under which it stands; empty: it is not on the page.
        parts: In reading order.
        folded: Likewise, in the appendix.
        figure: Written as a file, too.
        always: Whether its section stands where no row has a truth.
    """

    section: str
    parts: tuple[Part, ...]
    folded: tuple[Part, ...] = ()
    figure: go.Figure | None = None
    always: bool = False


def page_sections(
    kept: Mapping[str, Shown], prose: Mapping[str, Around], *, judged: bool
) -> list[Section]:
    """Return the sections of a page, in the order of the cells; then those of its appendix.

    Args:
        kept: What cells gave, by name.
        prose: `read_prose`, by the same names.
        judged: Whether any row has a truth.
    """
    always = {shown.section for shown in kept.values() if shown.always and judged}
    titles = sorted(
        dict.fromkeys(shown.section for shown in kept.values() if shown.section),
        key=always.__contains__,  # what is there whether judged or not is read last
    )
    sections = []
    for folded in (False, True):
        for title in titles:
            members = {name: shown for name, shown in kept.items() if shown.section == title}
            parts = [
                part
                for name, shown in members.items()
                for part in _told(prose.get(name), shown.folded if folded else shown.parts)
            ]
            stays = judged or any(shown.always for shown in members.values())
            if stays and (parts or not folded):
                sections.append(Section(title, *_once(parts), folded=folded))
    return sections


def _told(around: Around | None, parts: Sequence[Part]) -> list[Part]:
    """Return parts between their sentences, if there is more to show than words."""
    if around is None or not any(holds(p) and not isinstance(p, str) for p in parts):
        return list(parts)
    whole = (*map(Prose, around.before), *parts, *map(Prose, around.after))
    return [Block(whole)] if len(parts) == 1 and is_narrow(parts[0]) else list(whole)


def _once(parts: Iterable[Part]) -> list[Part]:
    """Return parts without texts that were said before."""
    unique: list[Part] = []
    for part in parts:
        if not (isinstance(part, str) and part in [t for t in unique if isinstance(t, str)]):
            unique.append(part)
    return unique
