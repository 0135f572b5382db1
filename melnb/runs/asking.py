"""New pictures, asked about one after another in one process, as a widget asks: 04c_look, warm.

A kernel for each picture would import TensorFlow and read the networks anew. So the cells of the
notebook are run here, in the order in which they stand: what a picture is told is what the notebook
tells, for there is no second copy of it. Cells tagged `once` hold what no picture changes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from melnb.params.catalogue import Look
from melnb.runs.folders import RECORD
from melnb.runs.lookup import lineage
from melnb.runs.newest import find_yardstick
from melnb.runs.store import notebook_file, outputs_root
from melnb.tables.files import is_table, safe_id

_ONCE, _SETTINGS = "once", "parameters"  # tags of cells
_ADVICE = (
    "No picture can be asked about here: none of {names} is a run of 04_predict whose networks are "
    "there. Predict with a trained run and report it first: melnb run 04_predict train_run=RUN "
    "run=RUN, then melnb run 06_report predictions='[04_predict/RUN]'"
)


class PictureAsking:
    """A look at one picture after another by the networks that a report is about.

    Nothing is imported or read before the first picture. Each answer is a run of 04c_look of its
    own, as `melnb look` makes one: judged by the newest report and choice of these networks.

    Args:
        predictions: What a report judged, as it names it; of these the first run of 04_predict is
            asked whose networks are there.
        outputs: Where runs are written.

    Attributes:
        train_run: Of 03_train; empty: nobody can be asked.
        advice: What to run first, in a sentence; empty: nothing.
    """

    def __init__(self, predictions: Iterable[str], outputs: str | Path = "") -> None:
        names, self._outputs = [*predictions], str(outputs)
        self.train_run = next(filter(None, (self._networks_of(name) for name in names)), "")
        self.advice = "" if self.train_run else _ADVICE.format(names=", ".join(names) or "nothing")
        self._kept: dict[str, dict[str, Any]] = {}
        self._state = ""

    def ask(self, picture: str | Path) -> Path:
        """Look at a picture, and return the folder of the finished run.

        Raises:
            FileNotFoundError: It cannot be read, or something that the look needs is not there.
            ValueError: The networks cannot be asked about it, or a parameter is refused.
        """
        from IPython.utils.capture import capture_output  # a sixth of a second

        values = self._parameters(Path(picture)).plain()
        if (state := self._state_of_networks()) != self._state:  # trained anew since, or not read
            self._kept, self._state = {}, state
        book = json.loads(notebook_file(Look.stage).read_text(encoding="utf-8"))
        names: dict[str, Any] = {"__name__": "__main__"}
        with capture_output():  # an answer is no cell, below which it could print
            for cell in (cell for cell in book["cells"] if cell["cell_type"] == "code"):
                self._run(cell, names)
                if _SETTINGS in cell["metadata"].get("tags", ()):
                    names |= values
        return outputs_root(self._outputs) / Look.stage / str(values["run"])

    def _run(self, cell: dict[str, Any], names: dict[str, Any]) -> None:
        """Run a cell; one that is tagged `once` gives what it gave before."""
        if cell["id"] in self._kept:
            names |= self._kept[cell["id"]]
            return
        before = {*names, "__builtins__"}
        place = f"{Look.stage}, cell {cell['id']}"
        exec(compile("".join(cell["source"]), place, "exec"), names)
        if _ONCE in cell["metadata"].get("tags", ()):
            self._kept[cell["id"]] = {n: v for n, v in names.items() if n not in before}

    def _parameters(self, picture: Path) -> Look:
        digest = hashlib.sha256(self.train_run.encode() + picture.read_bytes()).hexdigest()[:6]
        yardstick = find_yardstick(self.train_run, self._outputs)
        return Look.check({
            "pictures": [str(picture.absolute())], "train_run": self.train_run,
            "run": f"{safe_id(picture.stem)[:60]}-{digest}", "outputs": self._outputs,
            **yardstick._asdict(),
        })  # fmt: skip

    def _networks_of(self, name: str) -> str:
        """Return the run of 03_train behind a run of 04_predict, if its networks are there."""
        stage, _, _ = name.partition("/")
        if is_table(name) or stage != "04_predict":
            return ""
        records = lineage([name], self._outputs)
        parameters = [r["parameters"] for r in records if r["stage"] == stage]
        run = str(parameters[-1].get("train_run") or parameters[-1]["run"]) if parameters else ""
        return run if run and self._records(run) else ""

    def _records(self, run: str) -> list[Path]:
        return sorted((outputs_root(self._outputs) / "03_train" / run).glob(f"fold[0-9]*/{RECORD}"))

    def _state_of_networks(self) -> str:
        """Return what tells these networks from those that another training leaves here."""
        sums = hashlib.sha256()
        for path in self._records(self.train_run):
            with suppress(OSError):  # gone since: the notebook says so
                sums.update(path.read_bytes())
        return sums.hexdigest()
