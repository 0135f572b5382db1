"""The image browser: choose images by what is known of them, sort them, look, and mark.

The state is a plain object that needs no browser; its static twin is a gallery. Its view is one
anywidget: ten thousand images are one sheet, and a picture is opened when it comes into sight.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import anywidget
import numpy as np
import pandas as pd
import traitlets

from melnb.display.gallery import Gallery, OpenPicture, Tile, open_file, read_tile
from melnb.display.threshold import threshold_explorer
from melnb.evaluation.decisions.flagged import image_errors
from melnb.tables import diagnoses, marks
from melnb.tables.checks import TableError, check_columns

UNKNOWN = "unknown"
Wanted = str | tuple[float, float] | Collection[Any] | None
Nearest = Callable[..., pd.DataFrame]
"""`data.nearest_neighbours` less its first two arguments: of `of` and `count`."""

_HERE = Path(__file__).parent
_SHARED = Path(threshold_explorer.__file__).parent
_PARTS = (_SHARED / "counts.js", _SHARED / "drawings.js", _HERE / "sheet.js", _HERE / "view.js")
MODULE = "\n".join(part.read_text(encoding="utf-8") for part in _PARTS)
STYLE = threshold_explorer.STYLE + (_HERE / "browser.css").read_text(encoding="utf-8")

_LARGE = 280  # pixels on a side of the picture that was chosen
_SMALL = 84  # of those below it
_SHOWN = 6  # of each kind below it
_FILTERS = ("target", "diagnosis", "sex", "site", "source")
_PATHS = ("path", "mask_path")
_MANY = 60  # levels that no menu holds
_LISTED, _SCORE, _ERROR, _SURPRISE, _ALIKE = "listed", "score", "error", "surprise", "alike"
_ORDERS = {
    _LISTED: "the table's order",
    _SCORE: "score, highest first",
    _ERROR: "error, largest first",
    _SURPRISE: "surprise, largest first",
    _ALIKE: "like the chosen one",
}


class ImageBrowser(traitlets.HasTraits):  # type: ignore[misc]
    """Images chosen by class, sex, age, site or any other column, sorted, seen and marked.

    Args:
        images: Images table.
        predictions: Predictions table: the score of each image, by id, and how wrong it is; rows
            of images that the table lacks are passed over. None: none.
        positive: The class whose score is shown.
        nearest: Finds the images most alike, as `partial(data.nearest_neighbours, vectors, images)`
            does; None: nothing is known of it.
        marks_to: CSV that a person's marks are written to (`tables.marks`); empty: none are made.
        size: Pixels on a side of a picture.
        open_picture: Opens a path as a square picture.

    Attributes:
        wanted: What is asked of columns: a level, several, or two ends of a range.
        order: `listed`, `score`, `error`, `surprise` or `alike` (to the image chosen).
        image_id: The image chosen last; empty: none.

    Raises:
        TableError: The predictions have no such class, or no image of the table.
    """

    wanted = traitlets.Dict()
    order = traitlets.Unicode(_LISTED)
    image_id = traitlets.Unicode()

    _titles, _keys, _wide = marks.TITLES, "123", 1  # what can be said, by which keys; of a tile
    _sheet = "Images"

    def __init__(
        self,
        images: pd.DataFrame,
        *,
        predictions: pd.DataFrame | None = None,
        positive: str = diagnoses.MELANOMA,
        nearest: Nearest | None = None,
        marks_to: str | Path = "",
        size: int = 128,
        open_picture: OpenPicture = open_file,
    ) -> None:
        super().__init__()
        self.images = images.reset_index(drop=True)
        self.positive, self.size, self.marks_to = positive, size, str(marks_to)
        self._rows = pd.Index(self.images["image_id"])
        self._open_picture, self._nearest = open_picture, nearest
        self._measures = _measures(self.images, predictions, positive)

    def select(self, **wanted: Wanted) -> pd.DataFrame:
        """Choose images; what an earlier call asked of other columns still holds.

        Args:
            wanted: For a column, a value (`"unknown"` for missing ones), several values, a range
                of numbers as a pair (both ends count, missing values do not), or None for any.

        Returns:
            The chosen rows.

        Raises:
            ValueError: There is no such column.
        """
        self.wanted = {c: v for c, v in {**self.wanted, **wanted}.items() if v is not None}
        return self.chosen

    def sort(self, order: str) -> pd.DataFrame:
        """Choose the order; return the chosen rows in it.

        Raises:
            ValueError: There is no such order, or what it needs was not given.
        """
        self.order = order
        return self.chosen

    @property
    def orders(self) -> dict[str, str]:
        """The orders that can be asked for, and their titles."""
        names = {_LISTED, *self._measures} | ({_ALIKE} if self._nearest else set())
        return {name: title for name, title in _ORDERS.items() if name in names}

    @property
    def chosen(self) -> pd.DataFrame:
        """The rows that are wanted, in their order."""
        return self.images.iloc[self._listing()]

    @property
    def marked(self) -> pd.DataFrame:
        """The marks that hold, of any image of the file: `image_id, mark, who, when, why`."""
        if not self.marks_to:
            return pd.DataFrame(columns=[*marks.COLUMNS], dtype=object)
        return marks.read_marks(self.marks_to)

    def mark(self, image_id: str, mark: str, why: str = "") -> None:
        """Say of an image `label_wrong`, `bad_picture` or `keep`; empty: take it back.

        Raises:
            KeyError: There is no such image.
            ValueError: There is no such mark, or no file to write it to.
        """
        if not self.marks_to:
            raise ValueError("marks_to names no file: give the browser one to write marks to")
        self._row(image_id)
        marks.add_mark(self.marks_to, image_id, mark, why=why)

    @property
    def _applied(self) -> str:
        return f"marks={self.marks_to}"

    def gallery(self, count: int = 24) -> Gallery:
        """Return the first chosen pictures as a gallery, which needs no kernel.

        Args:
            count: Pictures at most.
        """
        rows = self.chosen.head(count)
        tiles = [Tile(self._jpeg(k, self.size), self._words(k), self._words(k)) for k in rows.index]
        chosen = len(self._listing())
        part = f"The first {len(rows):,} of " if len(rows) < chosen else ""
        return Gallery(f"{part}{chosen:,} images", {"": tiles}, self.size)

    def facts(self, image_id: str) -> pd.DataFrame:
        """Return what is known of an image, a row for each column.

        Raises:
            KeyError: There is no such image.
        """
        row = self._row(image_id)
        columns = sorted(self.images.columns, key=_PATHS.__contains__)  # long, and seldom wanted
        facts = self.images[columns].iloc[row].dropna()
        measured = {name: values.iloc[row] for name, values in self._measures.items()}
        words = {name: f"{value:.3f}" for name, value in measured.items() if pd.notna(value)}
        words |= {str(name): _text(str(name), value) for name, value in facts.items()}
        return pd.DataFrame({"value": pd.Series(words, dtype=object)})

    def view(self) -> anywidget.AnyWidget:
        """Build the widget; what is wanted follows its menus, and its menus follow it."""
        view = _View(words=self._page_words(), listing=self._packed(), marks=self._marks())
        for name in ("wanted", "order", "image_id"):
            traitlets.link((self, name), (view, name))
        self.observe(lambda _: setattr(view, "listing", self._packed()), ["wanted", "order"])
        view.on_msg(lambda _, content, __: self._answer(view, content))
        return view

    def _answer(self, view: _View, asked: Mapping[str, Any]) -> None:
        """Answer a message of the page: with pictures, with what is known of one, or mark one."""
        if asked["kind"] == "pictures":
            rows = [int(row) for row in asked["rows"]]
            view.send({"kind": "pictures", "rows": rows}, [self._jpeg(k, self.size) for k in rows])
        elif asked["kind"] == "open":
            view.send(*self._opened(int(asked["row"])))
            if self.order == _ALIKE:
                view.listing = self._packed()
        else:
            self._mark(view, str(self._rows[int(asked["row"])]), asked)

    def _mark(self, view: _View, image_id: str, asked: Mapping[str, Any]) -> None:
        try:
            self.mark(image_id, str(asked["mark"]), str(asked["why"]))
            view.note = f"Written to {self.marks_to}; 02_prepare applies it: {self._applied}"
            view.marks = self._marks()
        except (OSError, ValueError) as error:
            view.note = f"Not written: {error}"

    def _opened(self, row: int) -> tuple[dict[str, Any], list[bytes]]:
        """Return what the page shows of the image chosen: texts, and pictures in their order."""
        image_id = str(self._rows[row])
        title, others = self._others(row)
        nearest = self._most_alike(image_id, _SHOWN)
        entries = [(k, self._class(k)) for k in others]
        near = [(k, f"{alike:.2f} {self._class(k)}") for k, alike in nearest]
        message = {
            "kind": "opened",
            "row": row,
            "facts": [[name, value] for name, value in self.facts(image_id)["value"].items()],
            "others_title": title,
            "others": [{"row": k, "short": text, "words": self._words(k)} for k, text in entries],
            "nearest": [{"row": k, "short": text, "words": self._words(k)} for k, text in near],
        }
        small = [self._jpeg(k, _SMALL) for k, _ in [*entries, *near]]
        return message, [self._jpeg(row, _LARGE), *small]

    def _others(self, row: int) -> tuple[str, list[int]]:
        """Return the rows of the same lesion, else of the same patient, and what they are."""
        for column, what in (("lesion_id", "lesion"), ("patient_id", "patient")):
            value = self.images[column].iloc[row] if column in self.images else None
            if pd.notna(value):
                rows = [int(k) for k in np.flatnonzero(self.images[column] == value) if k != row]
                if rows:
                    count = f" ({_SHOWN} of {len(rows)})" if len(rows) > _SHOWN else ""
                    return f"Of the same {what}{count}", rows[:_SHOWN]
        return "", []

    def _most_alike(self, image_id: str, count: int) -> list[tuple[int, float]]:
        if self._nearest is None:
            return []
        try:
            near = self._nearest(of=[image_id], count=count)
        except TableError:  # an image that was not embedded
            return []
        rows = self._rows.get_indexer(pd.Index(near["neighbour"]))
        pairs = zip(rows, near["similarity"], strict=True)
        return [(int(row), float(alike)) for row, alike in pairs if row >= 0]

    def _listing(self) -> np.ndarray:
        """Return the places of the wanted rows, in their order."""
        keep = np.ones(len(self.images), bool)
        for column, value in self.wanted.items():
            if column == "mark":
                names = self._rows.map(self._marks()).fillna(UNKNOWN)
                keep &= np.asarray(names == value)
                continue
            if column not in self.images.columns:
                names = [str(c) for c in self.images]
                raise ValueError(f"no column {column!r} among {names}")
            keep &= _matches(self.images[column], value).to_numpy()
        return self._sorted(np.flatnonzero(keep))

    def _sorted(self, rows: np.ndarray) -> np.ndarray:
        if self.order == _LISTED:
            return rows
        if self.order not in self.orders:
            raise ValueError(f"order is {self.order!r}; use one of {list(self.orders)}")
        if self.order == _ALIKE:
            near = self._most_alike(self.image_id, len(self.images)) if self.image_id else []
            values = np.full(len(self.images), -np.inf)
            for row, alike in near:
                values[row] = alike
            if self.image_id:
                values[self._row(self.image_id)] = np.inf
        else:
            values = self._measures[self.order].fillna(-np.inf).to_numpy()
        return rows[np.argsort(-values[rows], kind="stable")]

    def _packed(self) -> bytes:
        return self._listing().astype("<u4").tobytes()

    def _marks(self) -> dict[str, str]:
        held = self.marked
        return dict(zip(held["image_id"], held["mark"], strict=True))

    def _row(self, image_id: str) -> int:
        if image_id not in self._rows:
            raise KeyError(f"no image {image_id!r} among {len(self.images)} images")
        return int(self._rows.get_loc(image_id))

    def _class(self, row: int) -> str:
        name = self.images["target"].iloc[row]
        return UNKNOWN if pd.isna(name) else diagnoses.title(str(name))

    def _words(self, row: int) -> str:
        """Return an image's caption."""
        facts = self.images.iloc[row]
        words = [str(facts["image_id"])]
        words += [diagnoses.title(str(facts["target"]))] if pd.notna(facts["target"]) else []
        words += [f"{facts['age']:.0f} years"] if pd.notna(facts["age"]) else []
        words += [str(facts[c]) for c in ("sex", "site") if pd.notna(facts[c])]
        score = self._score(row)
        return " · ".join([*words, *([f"score {score}"] if score else [])])

    def _score(self, row: int) -> str:
        score = self._measures[_SCORE].iloc[row] if _SCORE in self._measures else np.nan
        return "" if pd.isna(score) else f"{score:.3f}"

    def _jpeg(self, row: int, size: int) -> bytes:
        return read_tile(self.images.iloc[row], size, self._open_picture)

    def _page_words(self) -> dict[str, Any]:
        """What the page holds of every image, and what its menus offer."""
        codes, levels = pd.factorize(self.images["target"].fillna(UNKNOWN))
        same = "diagnosis" in self.images and bool(
            self.images["target"].equals(self.images["diagnosis"])
        )
        columns = [c for c in _FILTERS if c in self.images and not (same and c == "diagnosis")]
        menus = [_menu(self.images, column) for column in columns]
        held = {
            "column": "mark",
            "title": "marked",
            "options": [["", "any"], *self._titles.items()],
        }
        return {
            "title": self._sheet,
            "size": self.size,
            "ids": [str(name) for name in self._rows],
            "of": codes.tolist(),
            "classes": [UNKNOWN if c == UNKNOWN else diagnoses.title(str(c)) for c in levels],
            "positive": diagnoses.title(self.positive),
            "scores": [self._score(k) for k in range(len(self.images))],
            "menus": [m for m in menus if m] + ([held] if self.marks_to else []),
            "ages": "age" in self.images and bool(self.images["age"].notna().any()),
            "orders": [[name, title] for name, title in self.orders.items()],
            "marks": [
                {"name": name, "title": title, "key": key}
                for key, (name, title) in zip(self._keys, self._titles.items(), strict=True)
            ],
            "titles": {**self._titles},
            "wide": self._wide,
            "writes": bool(self.marks_to),
        }


class _View(anywidget.AnyWidget):  # type: ignore[misc]
    _esm = MODULE
    _css = STYLE
    wanted = traitlets.Dict().tag(sync=True)
    order = traitlets.Unicode().tag(sync=True)
    image_id = traitlets.Unicode().tag(sync=True)
    listing = traitlets.Bytes().tag(sync=True)  # places of the rows, four bytes each
    marks = traitlets.Dict().tag(sync=True)
    note = traitlets.Unicode().tag(sync=True)  # what came of a mark
    words = traitlets.Dict().tag(sync=True)


def _text(column: str, value: Any) -> str:
    """Return a fact as it is read: an age of 60.0 years is one of 60, a class has its title."""
    if column in ("target", "diagnosis"):
        return diagnoses.title(str(value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _measures(
    images: pd.DataFrame, predictions: pd.DataFrame | None, positive: str
) -> dict[str, pd.Series]:
    """Return score, error and surprise of each image, NaN where they are not known."""
    if predictions is None:
        return {}
    column = f"p_{positive}"
    check_columns(predictions, ["image_id", "truth", column], "predictions")
    rows = predictions.drop_duplicates("image_id").set_index("image_id")
    rows = rows.reindex(images["image_id"]).reset_index()
    if rows[column].isna().all():
        raise TableError(
            f"predictions: none of their {len(predictions)} images is among the {len(images)} of "
            "the images table: give the table of the same dataset"
        )
    measured = image_errors(rows, positive=positive)
    return {name: measured[name] for name in (_SCORE, _ERROR, _SURPRISE)}


def _menu(images: pd.DataFrame, column: str) -> dict[str, Any]:
    """Return a menu of a column's levels, the commonest first; empty: it has one, or too many."""
    counts = images[column].fillna(UNKNOWN).astype(str).value_counts()
    if not 1 < len(counts) <= _MANY:
        return {}
    titles = {n: n if n == UNKNOWN else diagnoses.title(n) for n in counts.index}
    options = [["", "any"], *([n, f"{titles[n]} ({k:,})"] for n, k in counts.items())]
    return {"column": column, "title": column, "options": options}


def _matches(values: pd.Series, wanted: Wanted) -> pd.Series:
    if isinstance(wanted, str):
        return values.fillna(UNKNOWN).astype(str) == wanted
    ends: Sequence[Any] = list(wanted or ())
    if len(ends) == 2 and all(isinstance(end, int | float) for end in ends):
        low, high = ends
        return pd.to_numeric(values, errors="coerce").between(float(low), float(high))
    return values.fillna(UNKNOWN).astype(str).isin([str(name) for name in ends])
