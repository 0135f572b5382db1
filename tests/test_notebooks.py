"""What every notebook in git keeps to; `test_line.py` runs them."""

import ast
import dis
import json
import re
import statistics
from collections import defaultdict
from itertools import pairwise
from pathlib import Path
from types import CodeType
from typing import Any

import pytest

from melnb.params import catalogue

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))


def read(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text(encoding="utf-8")))


def code_cells(path: Path) -> list[dict[str, Any]]:
    return [cell for cell in read(path)["cells"] if cell["cell_type"] == "code"]


def tagged(cell: dict[str, Any]) -> bool:
    return "parameters" in cell["metadata"].get("tags", [])


def test_a_notebook_stands_for_every_stage() -> None:
    assert [path.stem for path in NOTEBOOKS] == list(catalogue.STAGES)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_no_outputs_and_a_kernel_with_a_language(path: Path) -> None:
    notebook = read(path)
    assert notebook["metadata"]["kernelspec"]["language"] == "python"
    assert "papermill" not in notebook["metadata"]
    for cell in code_cells(path):
        assert cell["outputs"] == []
        assert cell["execution_count"] is None


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_the_parameters_cell_shows_what_the_parameter_class_says(path: Path) -> None:
    cells = [cell for cell in code_cells(path) if tagged(cell)]
    assert len(cells) == 1
    body = ast.parse("".join(cells[0]["source"])).body
    assert all(isinstance(node, ast.Assign) for node in body)
    values = {node.targets[0].id: ast.literal_eval(node.value) for node in body}  # type: ignore[attr-defined]
    stage = catalogue.STAGES[path.stem]
    assert tuple(values) == stage.cell_fields()
    assert values == {name: stage.model_fields[name].default for name in values}


@pytest.mark.parametrize(
    ("stem", "cells", "lines", "shown"),
    [("03_train", 20, 60, 22), ("02c_segment_train", 22, 80, 22), ("03b_find_lr", 12, 45, 12)],
)
def test_a_notebook_is_thin_in_sum(stem: str, cells: int, lines: int, shown: int) -> None:
    sources = ["".join(c["source"]) for c in code_cells(NOTEBOOKS[0].with_name(f"{stem}.ipynb"))]
    written = [line for source in sources[1:] for line in source.splitlines() if line.strip()]
    assert len(sources) <= cells
    assert len(written) <= lines
    assert sum(line.startswith(("import ", "from ")) for line in written) <= 4
    assert not [line for line in written if line.lstrip().startswith("if ")]
    assert len(catalogue.STAGES[stem].cell_fields()) <= shown


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
def test_no_notebook_decides(path: Path) -> None:
    """A function answers with rows or words that say there is nothing; a notebook shows them."""
    for cell in code_cells(path):
        for node in ast.walk(ast.parse("".join(cell["source"]))):
            assert not isinstance(node, ast.If | ast.IfExp), cell["id"]


def test_long_notebooks_get_no_longer() -> None:
    most = {"02b_audit": 95, "04c_look": 107}
    for stem in most:
        cells = code_cells(NOTEBOOKS[0].with_name(f"{stem}.ipynb"))
        sources = ["".join(cell["source"]) for cell in cells if not tagged(cell)]
        assert sum(bool(line.strip()) for s in sources for line in s.splitlines()) <= most[stem]


THIN = {"06_report": 90, "06b_explain": 90}  # lines of code in sum, by stem


@pytest.mark.parametrize("stem", THIN)
def test_notebooks_are_thin_in_sum(stem: str) -> None:
    """And what cannot be estimated is a row that says why, not a branch of the notebook."""
    (path,) = [path for path in NOTEBOOKS if path.stem == stem]
    cells = ["".join(cell["source"]) for cell in code_cells(path) if not tagged(cell)]
    lengths = [sum(1 for line in cell.splitlines() if line.strip()) for cell in cells]
    assert sum(lengths) <= THIN[stem]
    assert max(lengths) <= 12
    nodes = [*ast.walk(ast.parse("\n".join(cells)))]
    assert sum(isinstance(node, ast.Import | ast.ImportFrom) for node in nodes) <= 5
    assert not [node for node in nodes if isinstance(node, ast.If | ast.Delete)]
    assert not [node for node in nodes if isinstance(node, ast.alias) and node.asname]
    assert not [cell for cell in cells if ".head(0)" in cell]


def bound_names(node: ast.AST) -> set[str]:
    """Names that a node itself binds: assigned, gone through, opened, imported, matched, caught."""
    match node:
        case ast.Name(id=name, ctx=ast.Store()):
            return {name}
        case ast.alias(name=name, asname=other):
            return {other or name.partition(".")[0]}
        case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)):
            return {name}
    return set()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_no_name_is_a_parameters(path: Path) -> None:
    """Else the settle cell, run again, would take for a parameter what has its name by then."""
    fields = catalogue.STAGES[path.stem].model_fields.keys()
    for cell in code_cells(path):
        if not tagged(cell):
            for node in ast.walk(ast.parse("".join(cell["source"]))):
                assert not bound_names(node) & fields, cell["id"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_names_are_nouns(path: Path) -> None:
    """As those of functions: a name says what it holds (`test_architecture.py`)."""
    strange = {"told", "said", "found", "made", "known", "own", "beside"}
    for cell in code_cells(path):
        for node in ast.walk(ast.parse("".join(cell["source"]))):
            assert not bound_names(node) & strange, cell["id"]


def traffic(code: CodeType) -> tuple[set[str], set[str]]:
    """Names that code reads before it has bound them, and names that it binds."""
    read, bound = set[str](), set[str]()
    for step in dis.get_instructions(code):
        if isinstance(step.argval, CodeType):  # a comprehension
            read |= traffic(step.argval)[0] - bound
        elif step.opname in ("LOAD_NAME", "LOAD_GLOBAL"):
            read |= {step.argval} - bound
        elif step.opname == "STORE_NAME":
            bound.add(step.argval)
    return read, bound


def changed_names(source: str) -> set[str]:
    """Names of things that code changes: an item is set or deleted, something added or taken."""
    grow = {"add", "append", "clear", "discard", "extend", "insert", "pop", "remove", "update"}
    found = set()
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Subscript(value=ast.Name(id=name), ctx=ast.Store() | ast.Del()):
                found.add(name)
            case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr=method)):
                found |= {name} if method in grow else set()
    return found


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_what_a_cell_takes_from_another_is_bound_in_one_place(path: Path) -> None:
    """Else a cell that is run again finds another thing under the name than it found before.

    Figures are gathered by their names: to make one again changes nothing.
    """
    readers, makers = defaultdict[str, set[str]](set), defaultdict[str, set[str]](set)
    for cell in code_cells(path):
        source = "".join(cell["source"])
        read, bound = traffic(compile(source, cell["id"], "exec"))
        assert changed_names(source) <= bound | {"figures"}, cell["id"]
        for name in read:
            readers[name].add(cell["id"])
        for name in bound:
            makers[name].add(cell["id"])
    for name in readers.keys() & makers.keys():
        assert len(makers[name]) == 1, (name, makers[name])
        assert not makers[name] & readers[name], (name, makers[name])


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
