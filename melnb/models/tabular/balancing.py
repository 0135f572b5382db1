"""Balancing: which training rows are learnt from, and how often.

Only the rows given are chosen from, and those are training rows: up-sampling before the folds are
cut puts copies of one image on both sides, and a model seems better than it is.
"""

from __future__ import annotations

import numpy as np
import pandas as pd


def choose_rows(
    image_ids: np.ndarray, codes: np.ndarray, *, over: float = 0.0, under: float = 0.0, seed: int
) -> np.ndarray:
    """Choose rows so that classes come closer in number: first over-sample, then under-sample.

    Of two classes, both are the ratio of the smaller to the larger that is reached, as in
    imbalanced-learn; the winners of ISIC 2024 over-sampled to 0.003 and then under-sampled to 0.01.
    What is chosen hangs on image ids and the seed alone, not on the order of rows.

    Args:
        image_ids: n texts.
        codes: n whole numbers, the class of each.
        over: Classes with fewer rows than this share of the largest are repeated up to it: every
            row as often as it goes, and a part of them once more. 0: none is.
        under: Then classes with more rows than the smallest one's number divided by this are cut
            to that. 0: none is.
        seed: Of the choice.

    Returns:
        Row numbers, sorted by image id; repeated where over-sampled.

    Raises:
        ValueError: A ratio is not between 0 and 1.
    """
    check_ratios(over, under)
    key = pd.util.hash_array(
        np.asarray(image_ids, dtype=object), hash_key=f"{seed % 10**16:016d}", categorize=False
    )
    by_key = np.lexsort((image_ids.astype(str), key))
    present = np.unique(codes)
    pools = [by_key[codes[by_key] == code] for code in present]
    wanted = np.array([len(pool) for pool in pools])
    if over:
        wanted = np.maximum(wanted, np.round(over * wanted.max()).astype(int))
    if under:
        wanted = np.minimum(wanted, np.round(wanted.min() / under).astype(int))
    # np.resize repeats the pool as often as needed, or cuts it.
    chosen = np.concatenate([np.resize(p, n) for p, n in zip(pools, wanted, strict=True)])
    return np.asarray(chosen[np.argsort(image_ids[chosen].astype(str), kind="stable")])


def check_ratios(over: float, under: float) -> None:
    """Refuse ratios that have no meaning."""
    for name, value in (("over", over), ("under", under)):
        if not 0 <= value <= 1:
            raise ValueError(
                f"{name} is {value}, not a ratio of the smaller class to the larger: use 0 (off) "
                "to 1 (as many of each)"
            )
