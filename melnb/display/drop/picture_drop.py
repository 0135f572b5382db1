"""A place to drop new pictures on: each is asked about, and its page of 04c_look stands below.

The state is a plain object that needs no browser. Its view is one anywidget: the page sends a
picture in parts, for a server refuses a message above some megabytes, and shows what came of it
apart from the page's own look (a shadow root).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import anywidget
import pandas as pd
import traitlets

from melnb.display import theme
from melnb.display.report.look_page import STYLE, read_main
from melnb.tables.files import picture_id, replacing, safe_id
from melnb.tables.schema import read_table

_HERE = Path(__file__).parent
_KEPT = 12  # answers on the page; all are runs, and lie in their folders
_MOST = 200_000_000  # bytes of a picture: an uncompressed one of 60 megapixels


class Answer(NamedTuple):
    """What came of a picture.

    Attributes:
        name: Of the file that was dropped.
        folder: Of the finished run of 04c_look; None: there is none.
        reason: Why there is none; else empty.
    """

    name: str
    folder: Path | None
    reason: str = ""


class PictureDrop:
    """New pictures, each looked at when it is dropped.

    Args:
        ask: From a picture's file to the folder of its finished run of 04c_look.
        check: Refuses a list of files among which is no picture, before anything heavy is read.
        folder: Where pictures are kept, each in a folder named by its content: a run names what
            it read.
        advice: Why nothing can be asked, and what to do; empty: it can.

    Attributes:
        answers: So far, the last one last.
    """

    def __init__(
        self,
        ask: Callable[[Path], Path],
        *,
        folder: str | Path,
        check: Callable[[Sequence[Path]], None] | None = None,
        advice: str = "",
    ) -> None:
        self._ask, self._check, self._folder = ask, check, Path(folder)
        self.advice = advice
        self.answers: list[Answer] = []

    def drop(self, name: str, content: bytes) -> Answer:
        """Keep a picture and ask about it; an error is an answer, too.

        Args:
            name: Of the file, as the browser says it.
            content: Of the file.
        """
        bare = name.replace("\\", "/").rpartition("/")[2]
        stem, suffix = picture_id(bare), bare[len(picture_id(bare)) :]
        place = self._folder / hashlib.sha256(content).hexdigest()[:12]
        file = place / f"{safe_id(stem)[:80] or 'picture'}{suffix.lower()}"
        try:
            with replacing(file) as temporary:
                temporary.write_bytes(content)
            if self._check:
                self._check([file])
            answer = Answer(bare, self._ask(file))
        except Exception as error:  # a page has nowhere else to say it
            answer = Answer(bare, None, str(error).replace(str(file), bare) or repr(error))
        self.answers.append(answer)
        return answer

    def table(self) -> pd.DataFrame:
        """Return what was said of all pictures, as `predictions.csv` of 04c_look has it."""
        folders = [answer.folder for answer in self.answers if answer.folder]
        tables = [read_table(folder / "predictions.csv") for folder in folders]
        return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()

    def view(self) -> anywidget.AnyWidget:
        """Build the widget; what was answered so far stands in it."""
        view = _View(advice=self.advice, answers=self._pages())
        parts: dict[str, list[bytes]] = {}
        view.on_msg(lambda _, content, buffers: self._hear(view, parts, content, buffers))
        return view

    def _hear(
        self, view: _View, parts: dict[str, list[bytes]], content: Any, buffers: Sequence[Any]
    ) -> None:
        """Take a part of a picture; with the last one, ask."""
        name = str(content["name"])
        if content["part"] == 0:
            view.send({"heard": name})
            parts.clear()  # of a page that was closed meanwhile
        pieces = parts.setdefault(name, [])
        pieces += [bytes(buffer) for buffer in buffers]
        if content["part"] + 1 < content["parts"]:
            return
        sent = parts.pop(name)
        if sum(map(len, sent)) > _MOST:
            self.answers.append(Answer(name, None, f"larger than {_MOST:,} bytes: save it smaller"))
        else:
            self.drop(name, b"".join(sent))
        view.answers = self._pages()

    def _pages(self) -> list[Mapping[str, str]]:
        """Return what the page shows, the last answer first."""
        return [
            {
                "name": answer.name, "reason": answer.reason,
                "html": read_main(answer.folder / "look.html") if answer.folder else "",
                "number": str(number),
            }
            for number, answer in [*enumerate(self.answers, 1)][: -_KEPT - 1 : -1]
        ]  # fmt: skip


class _View(anywidget.AnyWidget):  # type: ignore[misc]
    _esm = (_HERE / "drop.js").read_text(encoding="utf-8")
    _css = (_HERE / "drop.css").read_text(encoding="utf-8")
    advice = traitlets.Unicode().tag(sync=True)
    answers = traitlets.List().tag(sync=True)
    sheet = traitlets.Unicode(STYLE).tag(sync=True)  # Jupyter takes `style` for a widget of its own
    light = traitlets.Unicode(theme.css_variables(theme.LIGHT)).tag(sync=True)
    dark = traitlets.Unicode(theme.css_variables(theme.DARK)).tag(sync=True)
