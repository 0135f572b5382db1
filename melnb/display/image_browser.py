"""The image browser: choose images by what is known of them, and look at them page by page.

The state is a plain object; `view()` shows it with ipywidgets.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from html import escape
from typing import Any

import ipywidgets
import pandas as pd

from melnb.display.gallery import Gallery, OpenPicture, Tile, open_file, read_tile
from melnb.tables import diagnoses

UNKNOWN = "unknown"
_ANY = ""  # a menu's first entry; None would show as an empty line
Wanted = str | tuple[float, float] | Collection[str] | None
_LARGE = 280  # pixels on a side of the picture that was clicked
_FILTERS = ("target", "diagnosis", "sex", "site", "source")


class ImageBrowser:
    """Images chosen by class, sex, age, site or any other column, a page at a time.

    Args:
        images: Images table.
        per_page: Pictures on a page.
        size: Pixels on a side of a picture.
        open_picture: Opens a path as a square picture.

    Attributes:
        chosen: The rows that the last `select` left.
        image_id: The image last clicked; empty: none.
    """

    def __init__(
        self,
        images: pd.DataFrame,
        *,
        per_page: int = 24,
        size: int = 128,
        open_picture: OpenPicture = open_file,
    ) -> None:
        self.images = images.reset_index(drop=True)
        self.chosen = self.images
        self.image_id = ""
        self.size, self._per_page, self._open_picture = size, per_page, open_picture
        self._wanted: dict[str, Wanted] = {}

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
        for column in wanted:
            if column not in self.images.columns:
                raise ValueError(f"no column {column!r} among {[str(c) for c in self.images]}")
        self._wanted |= wanted
        keep = pd.Series(True, index=self.images.index)
        for column, value in self._wanted.items():
            keep &= _matches(self.images[column], value)
        self.chosen = self.images[keep]
        return self.chosen

    @property
    def pages(self) -> int:
        """Number of pages of the chosen images, one at least."""
        return max(1, math.ceil(len(self.chosen) / self._per_page))

    def page(self, number: int = 1) -> pd.DataFrame:
        """Return the chosen rows of a page, counted from 1.

        Raises:
            ValueError: There is no such page.
        """
        if not 1 <= number <= self.pages:
            raise ValueError(f"page is {number}; the {len(self.chosen)} images fill {self.pages}")
        return self.chosen.iloc[(number - 1) * self._per_page : number * self._per_page]

    def gallery(self, number: int = 1) -> Gallery:
        """Return a page's pictures as a gallery, which needs no widgets."""
        tiles = [
            Tile(self.jpeg(row), _caption(row), f"picture {row['image_id']}")
            for _, row in self.page(number).iterrows()
        ]
        title = f"{len(self.chosen):,} images, page {number} of {self.pages}"
        return Gallery(title, {"": tiles}, self.size)

    def facts(self, image_id: str) -> pd.DataFrame:
        """Return what is known of an image, a row for each column.

        Raises:
            KeyError: There is no such image.
        """
        rows = self.images[self.images["image_id"] == image_id]
        if rows.empty:
            raise KeyError(f"no image {image_id!r} among {len(self.images)} images")
        known = rows.iloc[0].dropna()
        return pd.DataFrame({"value": known.astype(str)})

    def card(self, image_id: str) -> str:
        """Return an image, larger, and its facts as HTML, every text escaped."""
        row = self.images[self.images["image_id"] == image_id].iloc[0]
        jpeg = read_tile(row, _LARGE, self._open_picture)
        picture = Tile(jpeg, "", f"picture {image_id}").html(_LARGE)
        facts = self.facts(image_id)["value"]
        style = "text-align:left;vertical-align:top;padding:2px 8px 2px 0;"
        name_style, value_style = style + "white-space:nowrap", style + "overflow-wrap:anywhere"
        lines = "".join(
            f'<tr><th style="{name_style}">{escape(str(name))}</th>'
            f'<td style="{value_style}">{escape(value)}</td></tr>'
            for name, value in facts.items()
        )
        return f'{picture}<table style="font-size:13px;line-height:1.35">{lines}</table>'

    def view(self) -> ipywidgets.Widget:
        """Build the widget."""
        return _View(self).box

    def jpeg(self, row: pd.Series) -> bytes:
        """Return the small picture of a row; empty when it cannot be read."""
        return read_tile(row, self.size, self._open_picture)


class _View:
    """Widgets that show a browser and call its methods."""

    def __init__(self, browser: ImageBrowser) -> None:
        self._browser = browser
        self._menus = {c: _menu(browser.images, c) for c in _FILTERS if c in browser.images}
        self._ages = ipywidgets.IntRangeSlider(
            value=(0, 120), min=0, max=120, step=5, description="age", continuous_update=False
        )
        self._number = ipywidgets.BoundedIntText(
            value=1, min=1, max=browser.pages, description="page", layout={"width": "160px"}
        )
        self._count = ipywidgets.Label()
        self._grid = ipywidgets.GridBox(
            layout={
                "grid_template_columns": f"repeat(auto-fill, minmax({browser.size + 8}px, 1fr))",
                "grid_gap": "8px",
            }
        )
        self._facts = ipywidgets.HTML(layout={"width": f"{_LARGE + 20}px", "flex": "none"})
        for control in (*self._menus.values(), self._ages):
            control.observe(self._choose, "value")
        self._number.observe(self._turn, "value")
        filters = ipywidgets.HBox(
            [*self._menus.values(), self._ages], layout={"flex_flow": "row wrap"}
        )
        pager = ipywidgets.HBox([self._number, self._count])
        self._grid.layout.flex = "1"
        body = ipywidgets.HBox([self._grid, self._facts], layout={"align_items": "flex-start"})
        self.box = ipywidgets.VBox([filters, pager, body])
        self._turn()

    def _choose(self, _change: Any = None) -> None:
        ages = self._ages.value
        whole = ages == (self._ages.min, self._ages.max)  # then an unknown age is welcome too
        wanted: dict[str, Wanted] = {c: menu.value or None for c, menu in self._menus.items()}
        self._browser.select(**wanted, age=None if whole else ages)
        first = self._number.value == 1
        self._number.value = 1  # which turns the page, unless it is open already
        self._number.max = self._browser.pages
        if first:
            self._turn()

    def _turn(self, _change: Any = None) -> None:
        browser = self._browser
        self._count.value = f"of {browser.pages:,} · {len(browser.chosen):,} images"
        rows = browser.page(self._number.value)
        self._grid.children = [self._card(row) for _, row in rows.iterrows()]

    def _card(self, row: pd.Series) -> ipywidgets.Widget:
        jpeg = self._browser.jpeg(row)
        size = f"{self._browser.size}px"
        picture = (
            ipywidgets.Image(value=jpeg, format="jpeg", layout={"width": size})
            if jpeg
            else ipywidgets.Label("not readable", layout={"width": size, "height": size})
        )
        button = ipywidgets.Button(
            description=str(row["image_id"]),
            tooltip=_caption(row),
            layout={"width": size},
        )
        button.on_click(self._shower(str(row["image_id"])))
        return ipywidgets.VBox([picture, button])

    def _shower(self, image_id: str) -> Callable[[Any], None]:
        def show(_button: Any) -> None:
            self._browser.image_id = image_id
            self._facts.value = self._browser.card(image_id)

        return show


def _menu(images: pd.DataFrame, column: str) -> ipywidgets.Dropdown:
    names = images[column].fillna(UNKNOWN).value_counts().index
    options = [("any", _ANY), *((diagnoses.title(str(name)), str(name)) for name in names)]
    return ipywidgets.Dropdown(options=options, value=_ANY, description=column)


def _matches(values: pd.Series, wanted: Wanted) -> pd.Series:
    if wanted is None:
        return pd.Series(True, index=values.index)
    if isinstance(wanted, tuple) and all(isinstance(end, int | float) for end in wanted):
        low, high = wanted
        return pd.to_numeric(values, errors="coerce").between(float(low), float(high))
    names = [wanted] if isinstance(wanted, str) else list(wanted)
    return values.fillna(UNKNOWN).astype(str).isin([str(name) for name in names])


def _caption(row: pd.Series) -> str:
    words = [str(row["image_id"])]
    words += [diagnoses.title(str(row["target"]))] if pd.notna(row["target"]) else []
    words += [f"{row['age']:.0f} years"] if pd.notna(row["age"]) else []
    return " · ".join([*words, *(str(row[c]) for c in ("sex", "site") if pd.notna(row[c]))])
