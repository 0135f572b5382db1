"""What every notebook in git keeps to; `test_line.py` runs them."""

import ast
import json
import re
import statistics
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from melnb import params

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))


def read(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text(encoding="utf-8")))


def code_cells(path: Path) -> list[dict[str, Any]]:
    return [cell for cell in read(path)["cells"] if cell["cell_type"] == "code"]


def tagged(cell: dict[str, Any]) -> bool:
    return "parameters" in cell["metadata"].get("tags", [])


def test_a_notebook_stands_for_every_stage() -> None:
    assert [path.stem for path in NOTEBOOKS] == list(params.STAGES)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_no_outputs_and_a_kernel_with_a_language(path: Path) -> None:
    notebook = read(path)
    assert notebook["metadata"]["kernelspec"]["language"] == "python"
    assert "papermill" not in notebook["metadata"]
    for cell in code_cells(path):
        assert cell["outputs"] == []
        assert cell["execution_count"] is None


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_the_parameters_cell_is_the_parameter_class(path: Path) -> None:
    cells = [cell for cell in code_cells(path) if tagged(cell)]
    assert len(cells) == 1
    body = ast.parse("".join(cells[0]["source"])).body
    assert all(isinstance(node, ast.Assign) for node in body)
    values = {node.targets[0].id: ast.literal_eval(node.value) for node in body}  # type: ignore[attr-defined]
    fields = params.STAGES[path.stem].model_fields
    assert list(values) == list(fields)
    assert values == {name: field.default for name, field in fields.items()}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_cells_are_short_and_only_call(path: Path) -> None:
    lengths = []
    for cell in code_cells(path):
        source = "".join(cell["source"])
        if tagged(cell):
            continue
        lengths.append(sum(1 for line in source.splitlines() if line.strip()))
        for node in ast.walk(ast.parse(source)):  # a magic or a shell escape does not parse
            assert not isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Lambda | ast.While)
    assert statistics.median(lengths) <= 5
    assert max(lengths) <= 15


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_prose_stands_before_every_cell_and_says_what_is_read_and_written(path: Path) -> None:
    cells = read(path)["cells"]
    first = "".join(cells[0]["source"])
    assert first.startswith("# ")
    assert "**Reads**" in first
    assert "**Writes**" in first
    for above, below in pairwise(cells):
        pair = (above["cell_type"], below["cell_type"])
        assert pair != ("code", "code"), "a sentence between two cells"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_the_repository_speaks_of_the_project_alone(path: Path) -> None:
    assert not re.search(r"/(home|root|work|Users|tmp)/", path.read_text(encoding="utf-8"))
