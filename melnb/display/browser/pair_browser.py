"""The pair browser: near duplicates side by side, settled by a key each.

It is the image browser's sheet, of which a tile is a pair: s the same picture, l the same lesion,
n neither. What is said is written with who, when and why, and can be taken back.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from melnb.display.browser.image_browser import _SCORE, UNKNOWN, ImageBrowser, _text
from melnb.display.gallery import OpenPicture, open_file, side_by_side
from melnb.tables import diagnoses, marks

BETWEEN = " | "  # the names of a pair's two images
_ABOUT = ("target", "lesion_id", "patient_id", "sex", "age", "site")


class PairBrowser(ImageBrowser):
    """Pairs of pictures that may be one, seen and settled.

    Args:
        pairs: Of `data.near_duplicates`, the likeliest first.
        images: Images table.
        settle_to: CSV that a person's words are written to (`tables.marks.add_pair`), for `same_as`
            of 02_prepare; empty: none are.
        size: Pixels on a side of each of the two.
        open_picture: Opens a path as a square picture.
    """

    _titles, _keys, _wide, _sheet = marks.KINDS, "sln", 2, "Pairs"

    def __init__(
        self,
        pairs: pd.DataFrame,
        images: pd.DataFrame,
        *,
        settle_to: str | Path = "",
        size: int = 128,
        open_picture: OpenPicture = open_file,
    ) -> None:
        columns = [c for c in _ABOUT if c in images]
        self._of = images.set_index("image_id")[["path", *columns]]
        self._pairs = pairs.reset_index(drop=True)
        names = self._pairs["image_id"].astype(str) + BETWEEN + self._pairs["same_as"].astype(str)
        unknown = dict.fromkeys(("sex", "site", "path"))
        table = pd.DataFrame({"image_id": names, "target": self._pairs["kind"], **unknown})
        table["age"] = np.nan
        super().__init__(table, marks_to=settle_to, size=size, open_picture=open_picture)
        self._measures = {_SCORE: self._pairs["aligned"].astype(float)}

    @property
    def orders(self) -> dict[str, str]:
        """The orders that can be asked for, and their titles."""
        return super().orders | {_SCORE: "agreement of pixels, highest first"}

    @property
    def marked(self) -> pd.DataFrame:
        """The pairs that are settled: `image_id` (of both), `mark`, who, when and why."""
        rows = marks.read_pairs(self.marks_to) if self.marks_to else pd.DataFrame()
        if rows.empty:
            return pd.DataFrame(columns=[*marks.COLUMNS], dtype=object)
        names = {frozenset(str(name).split(BETWEEN)): name for name in self.images["image_id"]}
        pair = [frozenset(ids) for ids in zip(rows["image_id"], rows["same_as"], strict=True)]
        rows = rows.assign(image_id=[names.get(p, BETWEEN.join(sorted(p))) for p in pair])
        return rows.rename(columns={"kind": "mark"})[[*marks.COLUMNS]]

    def mark(self, image_id: str, mark: str, why: str = "") -> None:
        """Say of a pair (`one | other`) what it is, a kind of `marks.KINDS`; empty: take it back.

        Raises:
            KeyError: There is no such pair.
            ValueError: There is no such kind, or no file to write it to.
        """
        if not self.marks_to:
            raise ValueError("settle_to names no file: give the browser one to write pairs to")
        pair = self._pairs.iloc[self._row(image_id)]
        marks.add_pair(self.marks_to, str(pair["image_id"]), str(pair["same_as"]), mark, why=why)

    def facts(self, image_id: str) -> pd.DataFrame:
        """Return what is known of both, a row for each column.

        Raises:
            KeyError: There is no such pair.
        """
        pair = self._pairs.iloc[self._row(image_id)]
        both = [self._of.reindex([pair[c]]).iloc[0] for c in ("image_id", "same_as")]
        words = {
            "proposed as": str(pair["kind"]),
            "likeness of vectors": f"{pair['similarity']:.2f}",
        }
        agree = "not compared" if pd.isna(pair["aligned"]) else f"{pair['aligned']:.3f}"
        words |= {"pixels agree": agree}
        for column in self._of.columns.drop("path"):
            values = [one[column] for one in both]
            texts = [UNKNOWN if pd.isna(v) else _text(str(column), v) for v in values]
            words[str(column)] = texts[0] if texts[0] == texts[1] else BETWEEN.join(texts)
        return pd.DataFrame({"value": pd.Series(words, dtype=object)})

    @property
    def _applied(self) -> str:
        return f"same_as={self.marks_to}"

    def _page_words(self) -> dict[str, Any]:
        words = super()._page_words()
        titles = {"target": "proposed as"}  # a pair's class is what it is proposed as
        menus = [{**m, "title": titles.get(m["column"], m["title"])} for m in words["menus"]]
        return words | {"menus": menus}

    def _score(self, row: int) -> str:
        agree = super()._score(row)
        return f"pixels agree {agree}" if agree else ""

    def _words(self, row: int) -> str:
        labels = [self._of["target"].get(self._pairs[c].iloc[row]) for c in ("image_id", "same_as")]
        titles = [UNKNOWN if pd.isna(name) else diagnoses.title(str(name)) for name in labels]
        text = titles[0] if titles[0] == titles[1] else " / ".join(titles)
        return f"{self.images['image_id'].iloc[row]} · {text}"

    def _jpeg(self, row: int, size: int) -> bytes:
        paths = [self._of["path"].get(self._pairs[c].iloc[row]) for c in ("image_id", "same_as")]
        return side_by_side(paths, size, self._open_picture)
