"""What a notebook says that it has read makes its run another once it is another.

Of each notebook those statements are executed that record an input, as they stand in it.
"""

import ast
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pandas as pd
import pytest

from melnb import runs
from melnb.models.saliency.samples import find_masks
from melnb.params import catalogue
from melnb.running.status import read_board
from melnb.running.up_to_date import why_stale
from melnb.runs import store

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
RECORDING = ("reads", "reads_raw", "seeks", "finds")


def recording(stage: str) -> str:
    """Return the statements of a notebook that record inputs, and those that they need."""
    book = json.loads((NOTEBOOKS / f"{stage}.ipynb").read_text(encoding="utf-8"))
    cells = ["".join(c["source"]) for c in book["cells"] if c["cell_type"] == "code"]
    statements = [each for cell in cells for each in ast.parse(cell).body]
    kept = [each for each in statements if _records(each)]
    wanted = {node.id for each in kept for node in ast.walk(each) if isinstance(node, ast.Name)}
    for each in statements:
        names = {t.id for t in getattr(each, "targets", ()) if isinstance(t, ast.Name)}
        if names & wanted & {"found_masks", "masks_in", "trained"}:
            kept.append(each)
    return ast.unparse(ast.Module(sorted(set(kept), key=statements.index), []))


def _records(statement: ast.stmt) -> bool:
    return any(
        isinstance(node, ast.Attribute)
        and node.attr in RECORDING
        and isinstance(node.value, ast.Name)
        and node.value.id == "job"
        for node in ast.walk(statement)
    )


def finish(stage: str, given: dict[str, Any], **names: Any) -> catalogue.Parameters:
    """Run what a notebook records, and finish its run."""
    p = catalogue.STAGES[stage].check(given)
    job = store.open_run(
        stage, store.run_name(p), parameters=p.plain(), outputs=p.plain()["outputs"]
    )
    doors = {"data": MagicMock(), "models": MagicMock(), "display": MagicMock(), "runs": runs}
    exec(recording(stage), {"p": p, "job": job, **doors, **names})
    job.finish({})
    return p


@pytest.fixture
def root(project: Path) -> Path:
    """Return a project with a prepared dataset and a trained fold of each kind."""
    ids = [f"i{k}" for k in range(3)]
    for folder in ("masks", "pictures"):
        (project / folder).mkdir()
        for name in ids:
            (project / folder / f"{name}.png").write_bytes(name.encode())
    (project / "w.weights.h5").write_bytes(b"weights")
    store.open_run("02_prepare", "d", parameters={"dataset": "d"}).finish({"a": 1})
    for stage in ("03_train", "02c_segment_train"):
        run = store.open_run(stage, "r/fold0", parameters={"dataset": "d"})
        (run.folder / "model.keras").write_bytes(b"model")
        run.finish({})
    return project


def explain(root: Path) -> catalogue.Parameters:
    return finish(
        "06b_explain", {"run": "e", "trained": "r/fold0", "masks": "masks"},
        models=SimpleNamespace(find_masks=find_masks),
        images=pd.DataFrame({"image_id": ["i0", "i1", "i2"]}), settings={"dataset": "d"},
    )  # fmt: skip


def segment(root: Path) -> catalogue.Parameters:
    given = {"dataset": "d", "run": "s", "weights": "w.weights.h5", "backbone": "VGG16"}
    return finish("02c_segment_train", given)


def apply(root: Path, **given: Any) -> catalogue.Parameters:
    models = SimpleNamespace(
        find_segmenters=lambda found: SimpleNamespace(dataset="d"), assign_networks=MagicMock()
    )
    given = {"dataset": "d", "run": "a", "segment_run": "r", **given}
    return finish("02d_segment_apply", given, models=models)


def apply_again(root: Path) -> catalogue.Parameters:
    earlier = store.open_run("02d_segment_apply", "b", parameters={})
    (earlier.folder / "masks").mkdir()
    (earlier.folder / "masks/i0.png").write_bytes(b"mask")
    earlier.finish({}, folders=["masks"])
    return apply(root, masks_of="b")


Run = Callable[[Path], catalogue.Parameters]
# Which run, what is altered, and what is said of the run, or of the one that it read.
FAULTS: dict[str, tuple[Run, str, str]] = {
    "a mask of 06b_explain": (explain, "masks/i1.png", "masks: i1.png changed"),
    "the network of 06b_explain": (
        explain, "outputs/03_train/r/fold0/model.keras", "after 03_train/r/fold0",
    ),
    "the weights of 02c_segment_train": (segment, "w.weights.h5", "w.weights.h5 changed"),
    "the dataset of 02c_segment_train": (
        segment, "outputs/02_prepare/d/run.json", "outputs/02_prepare/d changed",
    ),
    "the network of 02d_segment_apply": (
        apply, "outputs/02c_segment_train/r/fold0/model.keras", "after 02c_segment_train/r/fold0",
    ),
    "the masks of 02d_segment_apply": (
        apply_again, "outputs/02d_segment_apply/b/masks/i0.png", "after 02d_segment_apply/b",
    ),
}  # fmt: skip


@pytest.mark.parametrize("by_hand", [False, True], ids=["headless", "by hand"])
@pytest.mark.parametrize("name", FAULTS)
def test_what_was_read_and_is_another_makes_the_run_another(
    name: str, by_hand: bool, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, file, words = FAULTS[name]
    if by_hand:  # JupyterLab starts a kernel where its notebook lies
        monkeypatch.chdir(root / "notebooks")
    p = run(root)
    key = f"{p.stage}/{store.run_name(p)}"
    assert why_stale(p) == ""
    assert {row.state for row in read_board(root / "outputs")} == {"done"}
    path = root / file
    content = path.read_bytes()
    path.write_bytes(content.replace(b'"a": 1', b'"a": 2') if b"{" in content else content[::-1])
    rows = {row.job: row for row in read_board(root / "outputs", whole=True)}
    assert rows[key].state == "changed"
    assert words in rows[key].note
    if not words.startswith("after"):
        assert words in why_stale(p)
