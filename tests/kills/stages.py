"""Stages in kernels of their own, killed at touches of the disk and at any moment, and run again.

`stages.py ROOT TRIALS SEED`: runs a pipeline job by job. The first job of each stage is first run
undisturbed, and its processes' touches counted; then, TRIALS times, it is killed once or more
(its launcher, its kernel, one of its workers; SIGKILL, SIGTERM, Ctrl-C) or started twice at once,
and run again. What then lies there must be what the undisturbed one left. Prints a JSON.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from contextlib import redirect_stdout
from pathlib import Path

import events  # beside this file
import melnb_kills
import papermill  # noqa: F401 - what a launcher imports, once for all its forks

from melnb.running import engine  # noqa: F401
from melnb.running.pipeline import Job, read_pipeline
from melnb.running.stage import launch
from melnb.running.up_to_date import run_folder
from melnb.runs.folders import holder

SIGNALS = {"launcher": "9 9 15 2", "kernel": "9 9 15", "worker": "9 15"}
PATIENCE = 600  # seconds for what a killed launcher's kernel takes to end on a busy machine


class Stage(events.Sweep):
    """The first job of a stage.

    Args:
        job: Of a pipeline; all that it needs has run.
        chance: Draws who is killed, how and when.
    """

    def __init__(self, job: Job, chance: random.Random) -> None:
        self.job, self.chance, self.final = job, chance, run_folder(job.parameters)
        folder = self.final.parents[job.key.count("/") - 1]
        self.log = folder.with_name(f"{folder.name}.kills")
        os.environ |= {melnb_kills.PLACE: str(folder), melnb_kills.LOG: str(self.log)}
        begun = time.monotonic()
        super().__init__(folder, lambda: launch(job.stage, parameters=job.parameters))
        self.seconds = time.monotonic() - begun
        self.touched: dict[str, int] = {"launcher": self.touches}
        for line in self.log.read_text().splitlines():
            who, number = line.split()
            self.touched[who] = max(int(number), self.touched.get(who, 0))

    def try_out(self) -> None:
        """Stop it, once or more, or let two launchers begin at once; then run it to its end."""
        self._anew()
        finished: set[bytes] = set()
        story = []
        for _ in range(self.chance.choice((1, 1, 2, 3))):
            order = self._order()
            self.log.unlink(missing_ok=True)
            twice = self.chance.random() < 0.15
            codes = self._fork_all(order, 2 if twice else 1)
            killed = self.log.read_text().strip() if self.log.exists() else "not killed"
            self.kills += killed != "not killed"
            story.append(f"{order}{', twice' if twice else ''}: {killed}, ended with {codes}")
            self._wait()
            if lost := finished - self._records():
                self.problems.append(f"{self.job.key}: {len(lost)} finished runs lost: {story}")
            finished = self._records()
        if code := self._fork():
            self.problems.append(f"{self.job.key}: {story}: again: {code}: {self._tail()}")
        self._compare(f"{self.job.key}: {story}", finished)

    def _order(self) -> str:
        who = self.chance.choice(sorted(self.touched))
        how = self.chance.choice(SIGNALS[who].split())
        if self.chance.random() < 0.6:
            return f"{who} touch {self.chance.randint(1, self.touched[who])} {how}"
        return f"{who} after {self.chance.uniform(0, self.seconds):.2f} {how}"

    def _fork_all(self, order: str, number: int) -> list[int]:
        """Let one launcher begin with an order, and perhaps another without at the same time."""
        other = os.fork() if number == 2 else 0
        if number == 2 and not other:
            os.environ |= {melnb_kills.ORDER: "nobody touch 1 9"}
            os._exit(self._fork() & 255)
        os.environ |= {melnb_kills.ORDER: order}
        codes = [self._fork(lambda: melnb_kills.arm("launcher"))]
        os.environ |= {melnb_kills.ORDER: "nobody touch 1 9"}
        if other:
            codes.append(os.waitstatus_to_exitcode(os.waitpid(other, 0)[1]))
        return codes

    def _wait(self) -> None:
        end = time.monotonic() + PATIENCE
        while holder(self.final) and time.monotonic() < end:
            time.sleep(0.1)


if __name__ == "__main__":
    root, trials, seed = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    told, seen, draws = {}, set(), random.Random(seed)
    for job in read_pipeline(root / "params" / "kills.pipeline.yaml").jobs:
        with redirect_stdout(sys.stderr):
            os.environ.pop(melnb_kills.ORDER, None)
            if job.stage in seen:
                launch(job.stage, parameters=job.parameters)
                continue
            seen.add(job.stage)
            stage = Stage(job, draws)
            os.environ[melnb_kills.ORDER] = "nobody touch 1 9"
            for _ in range(trials):
                stage.try_out()
        told[job.stage] = [round(stage.seconds, 1), stage.kills, stage.problems]
        print(job.stage, *told[job.stage], stage.touched, file=sys.stderr, flush=True)
    print(json.dumps(told))
