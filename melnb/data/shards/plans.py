"""Plans: which rows make which shard, and what of an earlier run may stay."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from melnb.data.shards.files import PARTS, WORDS, Row, ShardPlan
from melnb.files import replacing
from melnb.tables import TEST

COLUMNS = (*WORDS.values(), "age", "target", "path")
SETTINGS = "settings.json"


class Place(NamedTuple):
    """A shard's name, its fold, and the positions of its rows in the table."""

    name: str
    fold: int
    positions: np.ndarray


def plan_shards(table: pd.DataFrame, shard_size: int, seed: int) -> list[Place]:
    """Divide the rows of each fold into shards of equal size.

    Within a fold rows are in the order of a hash of seed and image id: classes are mixed, the
    order depends neither on the table's nor on a library's random numbers.

    Args:
        table: Columns `image_id` and `fold`.
        shard_size: The most rows in a shard.
        seed: Of the order.
    """
    keys = [
        hashlib.blake2b(f"{seed}:{image_id}".encode(), digest_size=16).digest()
        for image_id in table["image_id"]
    ]
    shuffled = np.array(sorted(range(len(keys)), key=keys.__getitem__), dtype=np.int64)
    fold_of = table["fold"].to_numpy()[shuffled]
    places = []
    for fold in sorted(np.unique(fold_of).tolist(), key=lambda k: (k == TEST, k)):
        rows = shuffled[fold_of == fold]
        parts = np.array_split(rows, -(-len(rows) // shard_size))
        digits = max(2, len(str(len(parts) - 1)))
        kind = "test" if fold == TEST else f"fold{fold}"
        places += [Place(f"{kind}-{k:0{digits}d}", fold, part) for k, part in enumerate(parts)]
    return places


def take_rows(table: pd.DataFrame, place: Place) -> ShardPlan:
    """Take the rows of a shard out of the table, unknown values as None."""
    columns = [*COLUMNS, *(["mask_path"] if "mask_path" in table else [])]
    rows = table[columns].iloc[place.positions].astype(object)
    values = rows.where(rows.notna(), None).itertuples(index=False, name=None)
    plain: list[Row] = [dict(zip(columns, row, strict=True)) for row in values]
    return ShardPlan(place.name, place.fold, plain)


def settle(folder: Path, settings: Mapping[str, Any]) -> None:
    """Make the folder ready: shards made with other settings go, temporary files too.

    Raises:
        FileExistsError: It holds shards that were not made here.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / SETTINGS
    if not file.exists() and _shards_in(folder):
        raise FileExistsError(
            f"{folder} holds shards that were not made here ({_shards_in(folder)[0].name}): "
            "name an empty folder"
        )
    wanted = json.dumps(dict(settings), indent=1) + "\n"
    if not file.exists() or file.read_text(encoding="utf-8") != wanted:
        sweep(folder, (), ())
        with replacing(file) as temporary:
            temporary.write_text(wanted, encoding="utf-8")
    for left in folder.rglob("*.tmp"):
        left.unlink()


def sweep(folder: Path, shards: Collection[Path], names: Collection[str]) -> None:
    """Remove all shards but these, and all certificates but those of these names."""
    for path in set(_shards_in(folder)) - set(shards):
        path.unlink()
    for certificate in folder.glob(f"{PARTS}/*.json"):
        if certificate.stem not in names:
            certificate.unlink()
    for size_folder in folder.glob("*px"):
        if not any(size_folder.iterdir()):
            size_folder.rmdir()


def _shards_in(folder: Path) -> list[Path]:
    return sorted(folder.glob("*px/*.tfrec"))
