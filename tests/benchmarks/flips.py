"""Labels of HAM10000 flipped on purpose: average precision of their ranking, and who is doubted.

After `02_prepare` and `03d_embed` by their `ham10000-128.yaml`: `python tests/benchmarks/flips.py`.
"""

import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from sklearn.metrics import average_precision_score

from melnb import data, evaluation, models, runs, tables

RUN = "ham10000-128"


class Pictures(NamedTuple):
    """What a ranking reads beside labels: tables, directions of the vectors, the ten nearest."""

    images: pd.DataFrame
    folds: pd.DataFrame
    features: pd.DataFrame
    near: pd.DataFrame


def read_pictures(root: Path) -> Pictures:
    """Read both runs, and find the ten nearest pictures of other lesions."""
    home = runs.find_run("02_prepare", RUN, root)
    images = tables.read_images(home / "images.csv")
    vectors = data.read_embeddings(runs.find_run("03d_embed", RUN, root))
    near = data.nearest_neighbours(
        vectors, images, of=vectors.image_id, count=10, apart="lesion_id"
    )
    folds = tables.read_folds(home / "folds.csv")
    return Pictures(images, folds, data.principal_features(vectors), near)


def ranking(pictures: Pictures, target: pd.Series) -> pd.DataFrame:
    """Rank labels as `02b_audit` does, by a discriminant and the nearest pictures."""
    images = pictures.images.assign(target=pictures.images["image_id"].map(target))
    near = pictures.near.assign(neighbour_target=pictures.near["neighbour"].map(target))
    part = data.leaky_splits(images, pictures.folds, pictures.features, seed=0)["honest"]
    rows = models.make_rows(part.features, part.folds, part.images)
    learners = models.make_learners(["discriminant"], class_weights="ones")
    model = models.cross_fit(rows, learners=learners)["discriminant"].predictions
    return evaluation.label_errors([model], near)


def flipped(target: pd.Series, rate: float, seed: int, *, by_share: bool) -> pd.Series:
    """Give a share of labels another class: any alike, or each by its share of the images."""
    rng, shares = np.random.default_rng(seed), target.value_counts(normalize=True).sort_index()
    label = target.copy()
    for place in rng.choice(len(label), round(rate * len(label)), replace=False):
        odds = shares.drop(label.iloc[place])
        odds = odds if by_share else odds * 0 + 1
        label.iloc[place] = rng.choice(odds.index.to_numpy(), p=odds / odds.sum())
    return label


def main(root: Path, seeds: int) -> None:
    """Print the shares of classes among the first of clean labels, then the precisions."""
    pictures = read_pictures(root)
    target = pictures.images.set_index("image_id")["target"]
    clean = ranking(pictures, target)["truth"]
    named = {"all": clean, "first 100": clean.head(100), "first 500": clean.head(500)}
    print(pd.DataFrame({k: v.value_counts(normalize=True) for k, v in named.items()}).round(3))
    rows = []
    for by_share in (False, True):
        for rate in (0.02, 0.05, 0.1):
            for seed in range(seeds):
                label = flipped(target, rate, seed, by_share=by_share)
                errors = ranking(pictures, label)
                wrong = label.ne(target)[errors["image_id"]].to_numpy()
                kinds = {
                    "confident": errors["confident"] - errors["own"],
                    "own": -errors["own"],
                    "both": errors["doubt"],
                }
                scores = {k: average_precision_score(wrong, v) for k, v in kinds.items()}
                rows.append({"by_share": by_share, "rate": rate, **scores})
    means = pd.DataFrame(rows).groupby(["by_share", "rate"]).agg(["mean", "std"])
    print(means.round(3).to_string())


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "outputs"), int((sys.argv[2:] or ["3"])[0]))
