"""The page of new pictures: every text escaped, no request, and what its words promise."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from melnb.display.report.look_page import write_look
from melnb.evaluation.decisions import new_calls
from melnb.evaluation.decisions.locked_threshold import lock_threshold
from melnb.evaluation.decisions.operating_point import operating_point
from melnb.tables import schema

EVIL = "<b>x</b>"


def score(rows: int, fold: Any, seed: int) -> pd.DataFrame:
    draw = np.random.default_rng(seed)
    truth = draw.random(rows) < 0.4
    p = 1 / (1 + np.exp(1 - draw.normal(size=rows) - 2 * truth))
    return schema.make_predictions(
        [f"i{seed}_{k}" for k in range(rows)], fold, np.where(truth, "melanoma", "other"),
        np.column_stack([1 - p, p]), classes=("other", "melanoma"), run="r",
    )  # fmt: skip


@pytest.fixture
def parts(tmp_path: Path) -> dict[str, Any]:
    known, fresh = score(120, np.arange(120) % 3, 0), score(4, -1, 1)
    Image.new("RGB", (50, 40), (180, 120, 110)).save(tmp_path / "p.jpg")
    point = operating_point(known, positive="melanoma", draws=50)
    calls = new_calls.new_calls(
        fresh, {0: fresh, 1: fresh}, known, locked=lock_threshold(point)
    )  # fmt: skip
    ids, path = calls["image_id"], str(tmp_path / "p.jpg")
    flags = pd.DataFrame({"image_id": ids, "strange": [False, True, False, False]})
    flags["met"] = [None, None, EVIL, None]
    flags["flags"] = ["", f"not like {EVIL}", "blurred; too dark", ""]
    distances = known.assign(d=1.0)
    return {
        "calls": calls, "flags": flags, "title": EVIL, "model": f"a {EVIL}", "known": known,
        "images": pd.DataFrame({"image_id": ids, "path": [path, path, path, "gone.jpg"]}),
        "known_images": pd.DataFrame({"image_id": ["k"], "path": [path]}), "point": point,
        "neighbours": pd.DataFrame({"image_id": ids, "neighbour": ["k", "k", EVIL, "k"],
                                    "neighbour_target": "nevus", "similarity": 0.9}),
        "limits": new_calls.novelty_limits(distances, ["d"], positive="melanoma"),
        "refused": pd.DataFrame({"file": [EVIL], "reason": ["no picture"]}),
        "judged": new_calls.judge_new(fresh, locked=lock_threshold(point)),
        "maps": {ids[0]: np.eye(8, dtype="float32")}, "notes": [EVIL],
    }  # fmt: skip


def test_the_page_asks_nobody_and_escapes_everything(parts: dict[str, Any], tmp_path: Path) -> None:
    photograph = (tmp_path / "p.jpg").read_bytes()
    file = write_look(tmp_path / "look.html", **parts)
    page = file.read_text(encoding="utf-8")
    assert (file, (tmp_path / "p.jpg").read_bytes()) == (tmp_path / "look.html", photograph)
    assert EVIL not in page
    assert "<script" not in page
    assert "default-src 'none'" in page
    assert not re.search(r"(src|href)=\"(?!data:image/jpeg|#)", page.replace('src=""', ""))
    assert "http" not in page.split("<main>")[1].replace("http-equiv", "")


def test_its_words_are_the_tables_numbers(parts: dict[str, Any], tmp_path: Path) -> None:
    page = write_look(tmp_path / "look.html", **parts).read_text(encoding="utf-8")
    row, calls = parts["point"].iloc[0], parts["calls"]
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page.split("<body>")[1]))
    assert f"finds {row['tp']} of {row['tp'] + row['fn']}: sensitivity" in text
    limits = f"({100 * row['specificity_low']:.0f} to {100 * row['specificity_high']:.0f} %)"
    assert f"specificity {100 * row['specificity']:.0f} % {limits}" in text
    called = int((calls["called"].to_numpy() == "melanoma")[[0, 2, 3]].sum())
    assert f"{called} of 4 pictures are called melanoma; 1 turned away" in text
    assert page.count("<article") == 4
    assert page.count("Turned away") == 1
    assert "Learnt from:" in text
    assert "Blurred, too dark:" in text
    assert "Of 4 pictures whose truth is known:" in text
    assert page.count('class="mark"') == 8, "a line and a dot in each strip"
    assert page.count("what moves the score of") == 1, "one map was given"
    assert "needed to turn away the first" in text


@pytest.mark.browser
@pytest.mark.parametrize("width", [420, 1280])
def test_nothing_sticks_out_at_any_width(
    parts: dict[str, Any], tmp_path: Path, browser: Any, width: int
) -> None:
    parts["images"]["path"] = parts["images"]["path"].iloc[0]
    path = write_look(tmp_path / "look.html", **{**parts, "title": "a_very_" * 20})
    page = browser.new_page(viewport={"width": width, "height": 900})
    page.goto(path.as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    over = page.evaluate(
        "[...document.querySelectorAll('article *')].filter(e => "
        "e.getBoundingClientRect().right > e.closest('article').getBoundingClientRect().right + 1)"
        ".length"
    )
    assert over == 0
    page.close()
