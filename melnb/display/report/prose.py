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
from dataclasses import dataclass, field
from pathlib import Path

from markupsafe import Markup, escape

_SHOWN = re.compile(r"report\.show\(\s*\w+\.(\w+)")
_TITLED = re.compile(r"report\.(?:explore|include)\(\s*\"([^\"]+)\"")
_NAMED = re.compile(r"\bname=\"(\w+)\"")


@dataclass(frozen=True)
class Around:
    """Paragraphs before and after what a cell shows."""

    before: list[str] = field(default_factory=list)
    after: list[str] = field(default_factory=list)


class Prose(str):
    """A paragraph of a notebook, as a part of a page."""

    __slots__ = ()

    def html(self) -> Markup:
        """Return it with its emphasis; all else is text."""
        text = str(escape(self))
        text = re.sub(r"\*\*([^*]+)\*\*", r"<strong>\1</strong>", text)
        return Markup(re.sub(r"\*([^*]+)\*", r"<em>\1</em>", text))


def read_prose(notebook: Path) -> dict[str, Around]:
    """Return the paragraphs around what each cell shows, by the name under which it is kept.

    Args:
        notebook: The file; where there is none, as in a kernel far from the project, nothing.
    """
    if not notebook.is_file():
        return {}
    found: dict[str, Around] = {}
    last, between = "", ""
    for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]:
        text = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            between += f"\n\n{text}"
            continue
        after, before = _parted(between)
        if last:
            found[last].after.extend(after)
        last, between = shown_name(text), ""
        if last:
            found[last] = Around(before)
    return found


def shown_name(source: str) -> str:
    """Return the name under which a cell's source keeps what it shows; empty: it shows nothing."""
    shown, titled, named = (found.search(source) for found in (_SHOWN, _TITLED, _NAMED))
    if shown:
        return named[1] if named else shown[1]
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
