"""The page of new pictures: each with its call, its place among known lesions, flags, map, likes.

One HTML file that opens without a network, a kernel or JavaScript. Every text that came with the
data is escaped, and the page forbids itself every request.
"""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

import melnb
from melnb.display import theme
from melnb.display.gallery import OpenPicture, encode, open_file, read_tile
from melnb.display.plots.saliency import cover
from melnb.display.report.report_page import _template, _text, _write
from melnb.tables import diagnoses
from melnb.tables.checks import TEST

_SIDE, _SMALL = 420, 120  # pixels of a picture, and of a known lesion beside it
_BINS, _WIDE, _HIGH = 50, 600, 34  # of the strip: bars, and pixels of its width and of each lane
MAP_WARNING = (
    "A map shows what moves the score, not what the lesion is: it may be as sharp on a wrong call "
    "as on a right one, and is no reason to trust either."
)


STYLE = _text("look.css")


def read_main(path: str | Path) -> str:
    """Return what a page of `write_look` says of whom and what, as HTML, every text escaped.

    Args:
        path: The HTML file.

    Raises:
        ValueError: It is no such page.
    """
    page = Path(path).read_text(encoding="utf-8")
    parts = re.search(r'(<p class="made">.*?</p>).*<main>(.*)</main>', page, re.DOTALL)
    if not parts:
        raise ValueError(f"{path} is no page of new pictures: run 04c_look again")
    return parts[1] + parts[2]


def write_look(
    path: str | Path,
    calls: pd.DataFrame,
    flags: pd.DataFrame,
    *,
    title: str,
    model: str,
    images: pd.DataFrame,
    known: pd.DataFrame,
    known_images: pd.DataFrame,
    neighbours: pd.DataFrame,
    point: pd.DataFrame,
    limits: pd.DataFrame,
    refused: pd.DataFrame,
    judged: pd.DataFrame,
    maps: Mapping[str, np.ndarray],
    notes: Sequence[str] = (),
    open_picture: OpenPicture = open_file,
) -> Path:
    """Write the page, whole or not at all.

    Args:
        path: The HTML file.
        calls: `evaluation.new_calls`.
        flags: `evaluation.new_flags`, of the same images.
        title: Of the page.
        model: Which networks, and who judged them, in words.
        images: `image_id`, `path` of the new pictures.
        known: Predictions table with the out-of-fold rows that scores stand among.
        known_images: `image_id`, `path` of known lesions.
        neighbours: `data.nearest_known`.
        point: The operating point that is locked, as the report has it.
        limits: `evaluation.novelty_limits`.
        refused: `file`, `reason` of what could not be answered.
        judged: `evaluation.judge_new`: a row where truths are known, or none.
        maps: Image id to size x size, where the networks look; some may lack.
        notes: Lines on what was read.
        open_picture: Opens a path as a square picture.
    """
    row = point.iloc[0]
    joined = calls.merge(flags, on="image_id")
    joined = joined.sort_values(["strange", "score"], ascending=[True, False], kind="stable")
    paths, files = (rows.set_index("image_id")["path"] for rows in (known_images, images))
    cards = []
    call: Any  # a row; pandas knows no kinds of its cells
    for place, call in enumerate(joined.itertuples()):
        file, near = files[call.image_id], neighbours[neighbours["image_id"] == call.image_id]
        cards.append(_card(call, row) | {
            "anchor": f"picture-{place + 1}", "strip": Markup(_strip(known, call.score, row)),
            "picture": _source(read_tile(pd.Series({"path": file}), _SIDE, open_picture)),
            "map": _map(str(file), maps.get(call.image_id), open_picture),
            "neighbours": [_neighbour(each, paths, open_picture) for each in near.itertuples()],
        })  # fmt: skip
    page = _template("look.html.jinja").render(
        title=title, model=model, cards=cards, notes=notes, version=melnb.__version__,
        summary=_summary(joined, row), point=_point_words(row), limits=_limit_words(limits),
        judged=_judged_words(judged), refused=refused.to_dict("records"), warning=MAP_WARNING,
        positive=diagnoses.title(str(row["positive"])), font=Markup(theme.FONT),
        date=datetime.now(UTC).strftime("%d %B %Y"), style=Markup(STYLE),
        light=Markup(theme.css_variables(theme.LIGHT)),
        dark=Markup(theme.css_variables(theme.DARK)),
    )  # fmt: skip
    return _write(path, page)


def _card(call: Any, row: Any) -> dict[str, Any]:
    """Return what is said of a picture: a row of calls and flags, at an operating point."""
    return {
        "id": call.image_id, "called": _is_called(call), "verdict": _verdict(call, row),
        "score": f"{call.score:.3f}", "standing": _standing(call, row),
        "networks": f"{call.networks_calling} of {call.networks} networks alone reach it",
        "set": _set_words(call.set), "truth": _truth(call), "strange": call.strange,
        "flags": _flag_words(call.flags), "met": "" if pd.isna(call.met) else str(call.met),
    }  # fmt: skip


def _share(row: Any, name: str) -> str:
    value, low, high = (row[f"{name}{end}"] for end in ("", "_low", "_high"))
    if pd.isna(value):
        return "not estimable"
    limits = "no interval" if pd.isna(low) else f"{100 * low:.0f} to {100 * high:.0f} %"
    return f"{100 * value:.0f} % ({limits})"


def _name(row: Any) -> str:
    return diagnoses.title(str(row["positive"])).lower()


def _point_words(row: Any) -> str:
    """Say what the threshold does on known lesions, with the report's intervals."""
    sought, others = int(row["tp"] + row["fn"]), int(row["fp"] + row["tn"])
    return (
        f"At or above {row['threshold']:.3f} a picture is called {_name(row)}. Out of fold that "
        f"finds {int(row['tp'])} of {sought}: sensitivity {_share(row, 'sensitivity')}; and leaves "
        f"{int(row['tn'])} of {others} others alone: specificity {_share(row, 'specificity')}. "
        "Each known lesion was scored by the one network that had not learnt from it, a new one by "
        "the mean of all: how many of them reach the threshold alone is said beside it."
    )


def _is_called(call: Any) -> bool:
    return bool(call.called != "other" and not call.strange)


def _summary(calls: pd.DataFrame, row: Any) -> str:
    answered = calls[~calls["strange"]]
    called = int((answered["called"] != "other").sum())
    plural = "picture is" if len(calls) == 1 else "pictures are"
    strange = len(calls) - len(answered)
    more = f"; {strange} turned away as not like what was learnt from" if strange else ""
    return f"{called} of {len(calls)} {plural} called {_name(row)}{more}"


def _verdict(call: Any, row: Any) -> str:
    if call.strange:
        return "Turned away"
    return f"Called {_name(row)}" if _is_called(call) else f"Not called {_name(row)}"


def _flag_words(flags: str) -> str:
    return str(flags)[:1].upper() + str(flags)[1:].replace("; ", ", ")


def _standing(call: Any, row: Any) -> str:
    parts = [
        f"{100 * value:.0f} of 100 {words}"
        for value, words in (
            (call.among_others, "known others"),
            (call.among_positives, f"known lesions of class {_name(row)}"),
        )
        if not math.isnan(value)
    ]
    return "Higher than " + ", and than ".join(parts) if parts else ""


def _set_words(classes: Any) -> str:
    if classes is None or pd.isna(classes):
        return ""
    if not classes:
        return "No class fits (conformal): strange to all of them"
    kinds = [diagnoses.title(name).lower() for name in str(classes).split(" or ")]
    if len(kinds) > 1:
        return f"Cannot be ruled out (conformal): {' or '.join(kinds)}, so uncertain"
    return f"Cannot be ruled out (conformal): {kinds[0]} alone"


def _truth(call: Any) -> dict[str, str]:
    if pd.isna(call.truth):
        return {}
    right = (str(call.truth) == call.called) or (
        call.called == "other" and str(call.truth) != call.positive
    )
    return {"name": diagnoses.title(str(call.truth)), "right": "right" if right else "wrong"}


def _limit_words(limits: pd.DataFrame) -> str:
    row = limits.iloc[-1]
    share = f"{int(row['turned_away'])} of {int(row['n'])}"
    interval = (
        "" if pd.isna(row["low"]) else f" (so up to {100 * row['high']:.1f} % may be elsewhere)"
    )
    few = f"; {row['note']}" if row["note"] else ""
    return (
        "A picture is called not like what was learnt from if it looks farther from the known "
        "lesions, or lies farther from them in every network, than known lesions do out of fold: "
        f"of the class looked for that turns away {share}{interval}{few}."
    )


def _judged_words(judged: pd.DataFrame) -> str:
    if judged.empty:
        return ""
    row = judged.iloc[0]
    positives, others = int(row["tp"] + row["fn"]), int(row["fp"] + row["tn"])
    parts = []
    if positives:
        parts.append(
            f"{int(row['tp'])} of {positives} {_name(row)} found, sensitivity "
            f"{_share(row, 'sensitivity')}"
        )
    if others:
        parts.append(
            f"{int(row['tn'])} of {others} others left alone, specificity "
            f"{_share(row, 'specificity')}"
        )
    return f"Of {positives + others} pictures whose truth is known: " + "; ".join(parts) + "."


def _source(jpeg: bytes) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}" if jpeg else ""


def _map(path: str, plane: np.ndarray | None, open_picture: OpenPicture) -> str:
    if plane is None:
        return ""
    from PIL import Image

    image = np.asarray(open_picture(path, _SIDE))
    seen = cover(image, plane, None, size=_SIDE, smooth=1 / 64)
    return _source(encode(Image.fromarray(seen), _SIDE))


def _neighbour(each: Any, paths: pd.Series, open_picture: OpenPicture) -> dict[str, str]:
    tile = read_tile(pd.Series({"path": paths.get(each.neighbour)}), _SMALL, open_picture)
    name = diagnoses.title(str(each.neighbour_target))
    return {
        "source": _source(tile), "id": str(each.neighbour), "name": name,
        "similarity": f"{each.similarity:.2f}",
    }  # fmt: skip


def _strip(reference: pd.DataFrame, score: float, row: Any) -> str:
    """Draw the scores of known lesions, the class looked for above others, and the new one's."""
    judged = reference[(reference["fold"] != TEST) & reference["truth"].notna()]
    values = judged[f"p_{row['positive']}"].to_numpy(dtype=float)
    positive = (judged["truth"] == row["positive"]).to_numpy()
    step, bars = _WIDE / _BINS, []
    for of, kind in ((True, "positive"), (False, "negative")):
        counts, _ = np.histogram(values[positive == of], bins=_BINS, range=(0, 1))
        heights = np.sqrt(counts / max(counts.max(), 1)) * _HIGH
        for k in np.flatnonzero(counts):
            top = _HIGH - heights[k] if of else _HIGH + 2
            bars.append(
                f'<rect class="{kind}" x="{k * step + 0.5:.1f}" y="{top:.1f}" '
                f'width="{step - 1:.1f}" height="{heights[k]:.1f}"/>'
            )
    cut, place, tall = float(row["threshold"]) * _WIDE, score * _WIDE, 2 * _HIGH + 2
    return (
        f'<svg class="strip" viewBox="-6 -8 {_WIDE + 12} {tall + 16}" role="img" '
        f'aria-label="score {score:.3f}, threshold {float(row["threshold"]):.3f}, among '
        f'{int(positive.sum())} known of the class and {int((~positive).sum())} others">'
        f'<line class="axis" x1="0" x2="{_WIDE}" y1="{_HIGH + 1}" y2="{_HIGH + 1}"/>'
        f"{''.join(bars)}"
        f'<line class="cut" x1="{cut:.1f}" x2="{cut:.1f}" y1="-4" y2="{tall + 4}"/>'
        f'<line class="mark" x1="{place:.1f}" x2="{place:.1f}" y1="-6" y2="{tall + 6}"/>'
        f'<circle class="mark" cx="{place:.1f}" cy="{_HIGH + 1}" r="5"/></svg>'
    )
