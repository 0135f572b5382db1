"""The threshold explorer as a still picture: what an exported notebook shows where no widget lives.

An SVG of a few kilobytes, which nbconvert and GitHub show without a script: the ROC curve with its
point, both classes' scores about the threshold, and what follows from it in words.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

import numpy as np
import pandas as pd

from melnb.display import theme

_WIDTH, _HEIGHT, _SIDE = 920, 300, 210
_BINS, _POINTS = 48, 200
_INK, _MUTED, _LINE = (theme.LIGHT[name] for name in ("ink", "muted", "line"))


@dataclass(frozen=True)
class Still:
    """A picture that needs neither a kernel nor a script.

    Attributes:
        svg: The drawing.
        words: What it shows, for those who cannot see it.
    """

    svg: str
    words: str

    def _repr_svg_(self) -> str:
        return self.svg

    def __repr__(self) -> str:
        return self.words


def draw_still(
    curve: np.ndarray, scores: tuple[np.ndarray, np.ndarray], row: pd.Series, *, positive: str
) -> Still:
    """Draw the explorer at a threshold.

    Args:
        curve: n x 2, the share flagged of others and of positives, falling thresholds.
        scores: Of others, and of positives.
        row: `ThresholdExplorer.at`: what follows from the threshold.
        positive: The class looked for, as it is written.
    """
    tp, fp, tn, fn = (int(row[name]) for name in ("tp", "fp", "tn", "fn"))
    words = (
        f"At threshold {row['threshold']:.4g}: {tp:,} of {tp + fn:,} {positive.lower()} found, "
        f"{fp:,} of {fp + tn:,} others flagged"
    )
    parts = [_roc(curve, row), _histogram(scores, row["threshold"], positive), _numbers(row)]
    drawn = "".join(
        f'<g transform="translate({x} 44)">{part}</g>'
        for x, part in zip((48, 330, 690), parts, strict=True)
    )
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        f'width="{_WIDTH}" height="{_HEIGHT}" role="img" aria-label="{escape(words)}" '
        f'font-family="{escape(theme.FONT)}" font-size="12" fill="{_MUTED}">'
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="{theme.LIGHT["page"]}"/>'
        f'<text x="14" y="24" font-size="14" font-weight="600" fill="{_INK}">{escape(words)}</text>'
        f"{drawn}</svg>"
    )
    return Still(svg, words)


def _roc(curve: np.ndarray, row: pd.Series) -> str:
    place = np.unique(np.linspace(0, len(curve) - 1, _POINTS).astype(int))
    points = " ".join(f"{_SIDE * a:.1f},{_SIDE * (1 - b):.1f}" for a, b in curve[place])
    at = _SIDE * (1 - row["specificity"]), _SIDE * (1 - row["sensitivity"])
    return (
        f'<path d="M0 0V{_SIDE}H{_SIDE}" fill="none" stroke="{_LINE}"/>'
        f'<path d="M0 {_SIDE}L{_SIDE} 0" stroke="{_MUTED}" stroke-dasharray="3 4"/>'
        f'<polyline points="{points}" fill="none" stroke="{theme.BLUE}" stroke-width="2.2"/>'
        f'<circle cx="{at[0]:.1f}" cy="{at[1]:.1f}" r="6" fill="{theme.VERMILLION}" stroke="#fff" '
        'stroke-width="2"/>'
        f'<text x="{_SIDE / 2}" y="{_SIDE + 26}" text-anchor="middle">1 − specificity</text>'
        f'<text transform="translate(-14 {_SIDE / 2}) rotate(-90)" text-anchor="middle">'
        "Sensitivity</text>"
    )


def _histogram(scores: tuple[np.ndarray, np.ndarray], threshold: float, positive: str) -> str:
    """Draw positives above and others below, each to its own peak; paler where none is flagged."""
    wide, half = 320, _SIDE / 2
    parts = []
    for values, colour, sign in zip(scores[::-1], theme.TRUTHS[::-1], (-1, 1), strict=True):
        counts, edges = np.histogram(np.clip(values, 0, 1), _BINS, (0, 1))
        tall = counts / max(counts.max(), 1) * (half - 8)
        for k in np.flatnonzero(counts):
            y = half if sign > 0 else half - tall[k]
            cut = min(max(threshold, edges[k]), edges[k + 1])
            for start, end, faint in ((edges[k], cut, ' opacity="0.35"'), (cut, edges[k + 1], "")):
                if end > start:
                    parts.append(
                        f'<rect x="{wide * start:.1f}" y="{y:.1f}" height="{tall[k]:.1f}" '
                        f'width="{wide * (end - start):.2f}" fill="{colour}"{faint}/>'
                    )
    at = wide * min(max(threshold, 0), 1)
    parts.append(f'<path d="M{at:.1f} 0V{_SIDE}" stroke="{_INK}" stroke-width="1.6"/>')
    for text, y in ((positive, 12), ("Other", _SIDE - 4)):
        parts.append(f'<text x="{wide}" y="{y}" text-anchor="end">{escape(text)}</text>')
    parts.append(f'<text x="{wide / 2}" y="{_SIDE + 26}" text-anchor="middle">Score</text>')
    return f'<path d="M0 {_SIDE}H{wide}" stroke="{_LINE}"/>{"".join(parts)}'


def _numbers(row: pd.Series) -> str:
    shares = {"Sensitivity": "sensitivity", "Specificity": "specificity", "PPV": "ppv",
              "NPV": "npv", "Flagged": "flagged"}  # fmt: skip
    lines = []
    for k, (title, name) in enumerate(shares.items()):
        value = "–" if pd.isna(row[name]) else f"{row[name]:.1%}"
        lines.append(
            f'<text x="0" y="{16 + 42 * k}">{title}</text><text x="0" y="{35 + 42 * k}" '
            f'font-size="18" font-weight="650" fill="{_INK}">{value}</text>'
        )
    return "".join(lines)
