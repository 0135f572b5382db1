"""A work killed at every touch of the disk, and done again: `events.py WORK HOW EVERY FOLDER ROOT`.

Each try is a fork of this process, which has imported all that is needed. Once undisturbed; then,
for every n-th touch of the disk that it makes, from the same beginning: stopped there, and done
again. What then lies there must be what the undisturbed one left, and a run that was finished when
it was stopped must still be the same run. Prints a JSON: touches, kills, and what differed or was
lost.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import os
import shutil
import signal
import sys
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

TESTS = Path(__file__).parents[1]
sys.path.insert(0, str(TESTS / "warm"))
import melnb_kills  # noqa: E402

FAR = 1 << 30
Work = Callable[[], Any]


class Sweep:
    """One work, from one beginning.

    Args:
        folder: Where it works; it is emptied before each try.
        work: What is done, and done again after a kill.
        begin: Lays out what the work finds, if anything.
    """

    def __init__(self, folder: Path, work: Work, begin: Work = lambda: None) -> None:
        self.folder, self.work, self.begin = folder, work, begin
        self.said = folder.with_name(f"{folder.name}.said")
        self._anew()
        self.touches = self._count()
        self.whole = melnb_kills.contents(folder)
        self.kills = 0
        self.problems: list[str] = []

    def run(self, how: str, every: int) -> None:
        """Stop it before each n-th touch, and do it again."""
        for step in range(1 + every // 2, self.touches + 1, every):
            self._anew()
            older = self._records()
            code = self._fork(lambda step=step: melnb_kills.arm_touch(step, str(self.folder), how))
            self.kills += code != 0
            if how == "refuse":
                self._check_refusal(step, code)
            finished = self._records() - older
            if code := self._fork():
                self.problems.append(f"{how} {step}: again: ended with {code}: {self._tail()}")
            self._compare(f"{how} {step}", finished)

    def _compare(self, story: str, finished: set[bytes]) -> None:
        """Note what is not as the undisturbed left it, and what was finished and is gone."""
        now = melnb_kills.contents(self.folder)
        names = sorted(n for n in {*now, *self.whole} if now.get(n) != self.whole.get(n))
        if names:
            self.problems.append(f"{story}: differ: {names}")
        if lost := finished - self._records():
            self.problems.append(f"{story}: {len(lost)} finished runs were lost")

    def _records(self) -> set[bytes]:
        return {path.read_bytes() for path in self.folder.rglob("run.json")}

    def _anew(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self.begin()

    def _count(self) -> int:
        reader, writer = os.pipe()
        left: list[int] = []

        def arm() -> None:
            nonlocal left
            left = melnb_kills.arm_touch(FAR, str(self.folder), "9")

        if code := self._fork(arm, lambda: os.write(writer, str(FAR - left[0]).encode())):
            raise SystemExit(f"undisturbed it ends with {code}: {self._tail()}")
        return int(os.read(reader, 20))

    def _fork(self, arm: Work = lambda: None, after: Work = lambda: None) -> int:
        """Do the work in a child, and return how that ended."""
        child = os.fork()
        if not child:
            code = 1
            try:
                handle = os.open(self.said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
                os.dup2(handle, 1)
                os.dup2(handle, 2)
                signal.signal(signal.SIGINT, signal.default_int_handler)
                arm()
                self.work()
                after()
                code = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(code)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    def _check_refusal(self, step: int, code: int) -> None:
        """What the disk refused is told with its remedy; where it is not, nothing was lost."""
        said = self.said.read_text().strip().splitlines()[-6:]
        if code and not any("the disk is full: free some of it" in line for line in said):
            self.problems.append(f"refuse {step}: ended with {code}, and said {said}")

    def _tail(self) -> str:
        return " | ".join(self.said.read_text().strip().splitlines()[-3:])


def module(path: str) -> ModuleType:
    """Import a module of the tests, for what it makes."""
    spec = importlib.util.spec_from_file_location(Path(path).stem, TESTS / path)
    assert spec is not None
    assert spec.loader is not None
    imported = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = imported
    spec.loader.exec_module(imported)
    return imported


def jobs(folder: Path, root: Path) -> Sweep:
    """The launcher and what its notebooks do, from a pipeline of four runs; no kernels.

    Two of them were made before, with other parameters.
    """
    from melnb.running.pipeline import read_pipeline
    from melnb.running.stage import launch

    def work(*others: str, number: int = 4, to: Path = folder) -> None:
        words = [f"outputs={to}", *others]
        for job in read_pipeline(root / "params/jobs.pipeline.yaml", words).jobs[:number]:
            launch(job.stage, parameters=job.parameters)

    with contextlib.redirect_stdout(io.StringIO()):
        work("seed=7", number=2, to=root / "before")
    return Sweep(
        folder, work, partial(shutil.copytree, root / "before", folder, dirs_exist_ok=True)
    )


def records(folder: Path, root: Path) -> Sweep:
    """02_prepare's shards of two sizes, with pictures that cannot be read left out."""
    made = module("data/shards/test_records.py")
    cohort = made.make_cohort(root, n=8)
    Path(cohort[0]["path"][3]).write_bytes(b"no picture")
    given = {"image_sizes": [24, 16], "shard_size": 2, "skip_unreadable": True}
    return Sweep(folder, lambda: made.make(cohort, folder / "records", **given))


def masks(folder: Path, root: Path) -> Sweep:
    """02d_segment_apply's masks, crops and tables."""
    made = module("data/lesions/test_applying.py")
    images = made.make_images(root / "pictures", 4)

    def work() -> None:
        rest = made.missing_images(images, folder / "out")
        made.apply_masks(images, made.predict(rest), folder / "out", workers=1, progress=False)
        made.write_tables(images, folder / "out")

    return Sweep(folder, work)


def embeddings(folder: Path, root: Path) -> Sweep:
    """03d_embed's vectors, of four shards; another run knows those of one."""
    import numpy as np

    from melnb.data.embeddings import embed_shards
    from melnb.data.shards.records import read_index

    made = module("data/shards/test_records.py")
    shards = made.make(made.make_cohort(root, n=8), root / "records", shard_size=2).shards
    index, encoder = read_index([shard.path for shard in shards]), {"digest": "d"}

    def embed(encoded: list[bytes]) -> Any:
        return np.array([[len(data), sum(data)] for data in encoded], np.float32)

    embed_shards(index.head(2), embed, root / "earlier", encoder=encoder)
    given = {"encoder": encoder, "earlier": [root / "earlier"]}
    return Sweep(folder, lambda: embed_shards(index, embed, folder / "out", **given))


def synthetic(folder: Path, root: Path) -> Sweep:
    """A synthetic data set in the place of one of other settings."""
    from melnb.data.synthetic.cohort import make_dataset

    options: dict[str, Any] = {"image_size": 32, "workers": 1}
    make_dataset(root / "before", images=4, seed=1, **options)
    begin = partial(shutil.copytree, root / "before", folder / "set")
    return Sweep(folder, lambda: make_dataset(folder / "set", images=5, seed=0, **options), begin)


def trial(folder: Path, root: Path) -> Sweep:
    """The pipeline and the labels that `melnb try` writes."""
    import numpy as np
    from PIL import Image

    from melnb.running.trial import write_pipeline

    (root / "photos").mkdir()
    pixels = np.random.default_rng(0).integers(60, 200, (8, 20, 20, 3), dtype=np.uint8)
    for k, picture in enumerate(pixels):
        Image.fromarray(picture).save(root / "photos" / f"{k}a.png")
    rows = [f"{k}a.png,{'nevus' if k % 2 else 'melanoma'}" for k in range(8)]
    (root / "labels.csv").write_text("\n".join(["picture,finding", *rows]))
    (folder / "params").mkdir(parents=True)
    os.environ["MELNB_ROOT"] = str(folder)
    given = {"words": {}, "say": lambda line: None}
    return Sweep(
        folder, lambda: write_pipeline(str(root / "photos"), str(root / "labels.csv"), **given)
    )


def marks(folder: Path, root: Path) -> Sweep:
    """Three marks of a person, each made unless it is there."""
    from datetime import UTC, datetime

    from melnb.tables import marks as tables

    class Clock(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:
            return datetime(2026, 1, 1, tzinfo=UTC)

    tables.datetime = Clock  # type: ignore[misc]

    def work() -> None:
        for name in "abc":
            if name not in set(tables.read_marks(folder / "marks.csv")["image_id"]):
                tables.add_mark(folder / "marks.csv", name, "keep", who="ann")

    return Sweep(folder, work)


WORKS = {
    work.__name__: work for work in (jobs, records, masks, embeddings, synthetic, trial, marks)
}

if __name__ == "__main__":
    name, how, every, place, root = sys.argv[1:]
    sweep = WORKS[name](Path(place), Path(root))
    sweep.run(how, int(every) or max(1, sweep.touches // 4))
    print(json.dumps([sweep.touches, sweep.kills, sweep.problems]))
