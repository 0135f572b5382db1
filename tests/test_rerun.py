"""Every notebook run by hand, cell by cell, and again as people do: the run stays the same."""

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from nbclient import NotebookClient
from papermill.iorw import load_notebook_node
from papermill.parameterize import parameterize_notebook
from traitlets.config import Config

from melnb.params import catalogue
from melnb.tables import documents

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
RUNS = [
    ("01_explore", "line"), ("02_prepare", "line"), ("02b_audit", "line"),
    ("03_train", "a-s0/fold0"),
    ("03b_find_lr", "line"), ("03c_metadata", "line"), ("03d_embed", "line"), ("04_predict", "a"),
    ("04b_pseudo_label", "line"), ("04c_look", "line"), ("05_ensemble", "stacked"),
    ("05b_ablation", "line"),
    ("06_report", "line"), ("06b_explain", "line"), ("06c_choose", "line"),
    ("06d_external", "line"), ("06e_robustness", "line"),
]  # fmt: skip
OF_MASKS = [("02c_segment_train", "demo/fold0"), ("02d_segment_apply", "demo")]
MORE = [
    ("02_prepare", "elsewhere"), ("03_train", "b-s0/fold1"), ("03_train", "student/fold0"),
    ("04_predict", "b"), ("04_predict", "away"), ("05_ensemble", "line"),
]  # fmt: skip
MORE_OF_MASKS = [("02_prepare", "masked"), ("02d_segment_apply", "masked")]


def cases(of_line: list[tuple[str, str]], of_masks: list[tuple[str, str]]) -> list[Any]:
    """Return what the fixture `hands` is made of, each with those that share its project."""
    named = [("root", "line", *job) for job in of_line]
    named += [("demo", "demo", *job) for job in of_masks]
    return [
        pytest.param((root, *job), marks=pytest.mark.xdist_group(group), id="/".join(job))
        for root, group, *job in named
    ]


class Hands:
    """A person at a notebook: what was run by the line, with the same parameters, in a copy.

    Attributes:
        parameters: Places of the cells that set them.
        settle: Of those that then import, check the parameters and open the run.
        sections: Of those of each section.
    """

    def __init__(self, root: Path, copy: Path, stage: str, run: str) -> None:
        self.root, self.copy, self.job = root, copy, f"outputs/{stage}/{run}"
        shutil.copytree(root, copy, copy_function=os.link)
        shutil.rmtree(copy / self.job)
        self.line = documents.read_run(root / self.job)
        book = load_notebook_node(str(NOTEBOOKS / f"{stage}.ipynb"))
        self.book = parameterize_notebook(book, self.line["parameters"])
        parts: list[list[int]] = [[]]
        for place, cell in enumerate(self.book.cells):
            if cell.cell_type == "code":
                parts[-1].append(place)
            elif re.search(r"^## ", cell.source, re.MULTILINE):
                parts.append([])
        self.parameters, self.settle, self.sections = parts[0][:2], parts[0][2:], parts[1:]

    @contextmanager
    def kernel(self) -> Iterator[None]:
        sockets = tempfile.mkdtemp(prefix="melnb-")  # ports may be given twice
        own = {"transport": "ipc", "connection_file": f"{sockets}/k.json"}
        place = {"metadata": {"path": str(self.copy)}}
        self.client = NotebookClient(
            self.book, kernel_name="python3", config=Config(KernelManager=own), resources=place
        )
        with self.client.setup_kernel(env={**os.environ, "MELNB_ROOT": str(self.copy)}):
            yield
        shutil.rmtree(sockets, ignore_errors=True)

    def run(self, *cells: int) -> None:
        """Run cells; none may fail or warn."""
        for place in cells:
            cell = self.book.cells[place]
            self.client.execute_cell(cell, place)
            told = [str(o.text) for o in cell.outputs if o.get("name") == "stderr"]
            assert not [text for text in told if "Warning" in text], (cell.id, told)

    def check(self) -> None:
        """Check that the run which is finished is the line's."""
        record, folder = documents.read_run(self.copy / self.job), self.copy / self.job
        for name in ("parameters", "inputs", "results", "device"):
            assert record[name] == self.line[name], name
        files = [Path(file["path"]) for file in record["files"]]
        assert files == [Path(file["path"]) for file in self.line["files"]]
        for file in files:
            if file.suffix in (".csv", ".json", ".tfrec") and ".parts" not in file.parts:
                assert self.read(folder / file) == self.read(self.root / self.job / file), file

    def read(self, file: Path) -> bytes:
        """Return what a file says, but for where its project lies and how long an epoch took."""
        if file.name == "history.csv":
            return pd.read_csv(file).drop(columns="seconds").to_csv().encode()
        places = re.escape(str(self.root)), re.escape(str(self.copy))
        return re.sub("|".join(places).encode(), b"", file.read_bytes())

    def unfinished(self) -> list[str]:
        return [path.name for path in (self.copy / self.job).parent.glob("*.partial")]


@pytest.fixture
def hands(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Hands]:
    root, stage, run = request.param
    own = Hands(request.getfixturevalue(root), tmp_path / "project", stage, run)
    with own.kernel():
        yield own


def test_every_notebook_is_run_again() -> None:
    assert sorted(stage for stage, _ in RUNS + OF_MASKS) == sorted(catalogue.STAGES)


@pytest.mark.parametrize("hands", cases(RUNS, OF_MASKS), indirect=True)
def test_settle_cells_and_sections_may_be_run_again_at_any_time(hands: Hands) -> None:
    hands.run(*hands.parameters)
    for section in hands.sections:
        hands.run(*hands.settle, *section)
    hands.check()
    for section in reversed(hands.sections):
        hands.run(*section)
    hands.check()
    assert not hands.unfinished()
    hands.run(*hands.settle)
    hands.check()


@pytest.mark.nightly
@pytest.mark.parametrize("hands", cases(RUNS + MORE, OF_MASKS + MORE_OF_MASKS), indirect=True)
def test_all_may_be_run_again_and_each_section_twice(hands: Hands) -> None:
    hands.run(*hands.parameters)
    for _ in range(2):
        hands.run(*hands.settle)
        for section in hands.sections:
            hands.run(*section, *section)
        hands.check()
        assert not hands.unfinished()
