"""The dataset: what 02_prepare made, as `dataset.json` tells the later stages."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from melnb.data.shards.examples import Shard
from melnb.data.shards.records import read_index
from melnb.tables.checks import TEST
from melnb.tables.diagnoses import looked_for
from melnb.tables.documents import DamagedError, read_as
from melnb.tables.files import replacing
from melnb.tables.schema import make_predictions

FILE = "dataset.json"
_REMEDY = "run 02_prepare again"


class DatasetError(ValueError):
    """A dataset.json is damaged, or does not hold what is asked for."""


@dataclass(frozen=True)
class Dataset:
    """The shards of a prepared dataset, and what their numbers mean.

    Attributes:
        folder: Where dataset.json lies.
        dataset: Name.
        source: Layout of the raw files.
        task: `native`, `melanoma`, `diagnosis` or `mask`.
        classes: Class names; a record's `target` is an index into them.
        n_folds: Number of folds.
        image_sizes: Pixels on a side, as asked for; none: tables alone, without shards.
        fit: How pictures became square.
        images: Number of images, test ones included.
        shards: As listed.
        cleaning: What was done to pictures first.
    """

    folder: Path
    dataset: str
    source: str
    task: str
    classes: tuple[str, ...]
    n_folds: int
    image_sizes: tuple[int, ...]
    fit: str
    images: int
    shards: tuple[Shard, ...]
    cleaning: str = "none"

    @property
    def has_test(self) -> bool:
        """Whether there are test images."""
        return any(shard.fold == TEST for shard in self.shards)

    def other_folds(self, fold: int | None) -> tuple[int, ...]:
        """Return the folds to learn from when one is asked about; test is none of them."""
        return tuple(k for k in sorted({s.fold for s in self.shards}) if k not in (fold, TEST))

    @property
    def positive(self) -> str:
        """Name the class that is looked for: melanoma, or the last where there is none."""
        return looked_for(self.classes)

    def split(self, fold: int | None, image_size: int) -> tuple[list[Path], list[Path]]:
        """Return the shards to learn from and those held out; the next larger size does, too.

        Args:
            fold: Held out; None: none is.
            image_size: Pixels on a side.

        Raises:
            DatasetError: There is no such fold.
            FileNotFoundError: A file is gone.
        """
        learnt = self.paths(self.other_folds(fold), image_size, exact=False)
        return learnt, [] if fold is None else self.paths(fold, image_size, exact=False)

    def read_index(self, paths: Iterable[str | Path]) -> pd.DataFrame:
        """Return the index of shards (`records.read_index`), its targets by the classes' names."""
        index = read_index(paths)
        return index.assign(target=index["target"].map(dict(enumerate(self.classes))))

    def shards_of(
        self, folds: int | Iterable[int] | None = None, image_size: int = 0, *, exact: bool = True
    ) -> tuple[Shard, ...]:
        """Return the shards of some folds, at one size.

        Args:
            folds: One fold or several; None: all, test included.
            image_size: Pixels on a side; 0: the only size there is.
            exact: Whether the size must be there. If not, the next larger one does, or else the
                largest, and the reader resizes.

        Raises:
            DatasetError: There is no such fold or size; those that are there are named.
        """
        size = self._size(image_size, exact)
        there = {s.fold for s in self.shards if s.image_size == size}
        wanted = there if folds is None else {folds} if isinstance(folds, int) else set(folds)
        for fold in sorted(wanted - there):
            raise DatasetError(
                f"{self.folder / FILE}: no shards of fold {fold} at {size} pixels "
                f"(folds there: {sorted(there)}; -1 is test)"
            )
        return tuple(s for s in self.shards if s.image_size == size and s.fold in wanted)

    def paths(
        self, folds: int | Iterable[int] | None = None, image_size: int = 0, *, exact: bool = True
    ) -> list[Path]:
        """Return the files of some folds, at one size; arguments as for `shards_of`.

        Raises:
            DatasetError: There is no such fold or size.
            FileNotFoundError: A file is gone.
        """
        paths = [shard.path for shard in self.shards_of(folds, image_size, exact=exact)]
        lost = [path for path in paths if not path.exists()]
        if lost:
            raise FileNotFoundError(
                f"no {lost[0]}, which {self.folder / FILE} lists ({len(lost)} of {len(paths)} "
                "shards are gone): bring the records back, or run 02_prepare again"
            )
        return paths

    def count(self, folds: int | Iterable[int] | None = None, image_size: int = 0) -> int:
        """Count the images of some folds."""
        size = image_size or self.shards[0].image_size
        return sum(shard.images for shard in self.shards_of(folds, size))

    def check_prepared_alike(self, other: Dataset, who: str) -> None:
        """Refuse pictures that were cut or cleaned otherwise than these, which were learnt from.

        Args:
            other: What is to be predicted.
            who: Learnt from these, for the message: `the networks`.

        Raises:
            ValueError: They were.
        """
        for name in ("fit", "cleaning"):
            wanted, got = getattr(self, name), getattr(other, name)
            if wanted != got:
                raise ValueError(
                    f"{who} learnt from pictures of {name} {wanted!r} ({self.dataset}), but those "
                    f"of {other.dataset!r} are of {got!r}: prepare it with {name}={wanted}"
                )

    def label(
        self,
        rows: pd.DataFrame,
        probabilities: np.ndarray,
        *,
        fold: int,
        run: str,
        views: str = "none",
    ) -> pd.DataFrame:
        """Make a predictions table of what a model said of shards.

        Args:
            rows: `records.read_index` of the shards: image_id, target, patient_id, lesion_id.
            probabilities: n x classes, in the same order.
            fold: That the images lie in; -1: test.
            run: The model's name.
            views: How each image was looked at.

        Returns:
            A checked predictions table, with `patient_id` and `lesion_id`.
        """
        names = dict(enumerate(self.classes))
        table = make_predictions(
            rows["image_id"],
            fold,
            rows["target"].map(names),
            probabilities,
            classes=self.classes,
            run=run,
            views=views,
        )
        groups = {name: rows[name].to_numpy() for name in ("patient_id", "lesion_id")}
        return table.assign(**groups)

    def _size(self, image_size: int, exact: bool) -> int:
        sizes = sorted({shard.image_size for shard in self.shards})
        if image_size in sizes:
            return image_size
        if not image_size and len(sizes) == 1:
            return sizes[0]
        if image_size and not exact:
            return next((size for size in sizes if size > image_size), sizes[-1])
        if not sizes:
            raise DatasetError(
                f"{self.folder / FILE} is of tables alone, without pictures to learn from: run "
                "02_prepare with image_sizes"
            )
        asked = f"image_size is {image_size}" if image_size else "image_size is not given"
        raise DatasetError(
            f"{asked}, but {self.folder / FILE} holds shards of {sizes} pixels: "
            "use one of these, or run 02_prepare with the size wanted"
        )


def class_counts(sets: Mapping[str, Iterable[str | Path]], classes: Sequence[str]) -> pd.DataFrame:
    """Count the images of each class in sets of shards.

    Args:
        sets: A name and its shards.
        classes: In the order of the targets.

    Returns:
        A row per class, a column per set; images without a label are not counted.
    """
    counts = {
        name: read_index(paths)["target"].value_counts().reindex(range(len(classes)), fill_value=0)
        for name, paths in sets.items()
    }
    return pd.DataFrame(counts).set_axis(list(classes)).rename_axis("class")


def write_dataset(dataset: Dataset) -> Path:
    """Write `dataset.json` into the dataset's folder, whole or not at all.

    Shards below the folder are written relative to it, so that the folder may be moved.
    """
    content = asdict(dataset)
    del content["folder"]
    home = dataset.folder.absolute()
    for shard in content["shards"]:
        path = Path(shard["path"]).absolute()
        inside = path.is_relative_to(home)
        shard["path"] = path.relative_to(home).as_posix() if inside else str(path)
    path = dataset.folder / FILE
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return path


def read_dataset(folder: str | Path) -> Dataset:
    """Read the `dataset.json` of a run of 02_prepare.

    Args:
        folder: The run's folder, or the file.

    Raises:
        FileNotFoundError: There is none.
        DatasetError: It does not hold what it should.
    """
    path = Path(folder)
    path = path if path.suffix == ".json" else path / FILE
    if not path.exists():
        raise FileNotFoundError(f"no {path.name} in {path.parent}: run 02_prepare first")
    try:
        dataset = read_as(path, Dataset, _REMEDY, folder=str(path.parent))
    except DamagedError as error:
        raise DatasetError(f"{path}: {error.problem}: {_REMEDY}") from None
    if dataset.image_sizes and not dataset.shards:
        raise DatasetError(f"{path}: no shards: {_REMEDY}")
    # Joined to the folder an absolute path stays as it is.
    shards = tuple(replace(s, path=path.parent / s.path) for s in dataset.shards)
    return replace(dataset, shards=shards)
