"""Odd files as others write them: what must come of each, read right or refused in plain words.

One folder a kind of file. A case is three things: who makes the file, who reads it, and what must
come of it.
"""

import re
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

import melnb

HOUSE = Path(melnb.__file__).parent
Make = Callable[[Path], Any]
Outcome = Callable[[Any], None] | Sequence[str]


@pytest.fixture
def try_odd_file(tmp_path: Path) -> Callable[[Make, Callable[[Any], Any], Outcome], None]:
    """Make a file, read it, and hold what comes of it against what must.

    The outcome is a function that asserts on what was read, or the words (patterns) of a refusal:
    they name file, place and remedy, and it is the package that refuses, no library below it.
    """

    def check(make: Make, read: Callable[[Any], Any], outcome: Outcome) -> None:
        made = make(tmp_path)
        if callable(outcome):
            outcome(read(made))
            return
        with pytest.raises((ValueError, OSError)) as refusal:
            read(made)
        raised_by = Path(traceback.extract_tb(refusal.tb)[-1].filename)
        assert raised_by.is_relative_to(HOUSE), f"{raised_by} speaks: {refusal.value}"
        for words in outcome:
            assert re.search(words, str(refusal.value)), f"no {words!r} in: {refusal.value}"

    return check
