"""Did you mean …? The one answer to a name that nobody knows."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(word: object, known: Iterable[str], *, cutoff: float = 0.6) -> str:
    """Return which of the known names a word may be meant for; empty: none is near.

    Case, `-` and `_` do not count. A name that holds the word is near, too.

    Args:
        word: That is none of them.
        known: Of equals the first is taken.
        cutoff: How much must be alike, 0 to 1.
    """
    plain: dict[str, str] = {}
    for name in known:
        plain.setdefault(_plain(name), name)
    text = _plain(str(word))
    close = difflib.get_close_matches(text, plain, n=1, cutoff=cutoff)
    close += [name for name in plain if len(text) > 1 and text in name]
    return plain[close[0]] if close else ""


def did_you_mean(word: object, known: Iterable[str], *, cutoff: float = 0.6) -> str:
    """Return what an error says of the nearest name, to follow what was received."""
    name = nearest(word, known, cutoff=cutoff)
    return f"; did you mean {name!r}?" if name else ""


def _plain(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "")
