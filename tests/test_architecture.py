"""The picture of the house, checked: which room may import which, and who may touch TensorFlow."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import melnb

PACKAGE = Path(melnb.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))

AGREEMENTS = {
    "imports", "threads", "diagnoses", "files", "tables", "params", "runs", "archive", "checks",
    "spread", "patients", "signatures", "encodings", "delimited", "missing", "numerals",
    "documents", "obstacles",
}  # fmt: skip
RUNNING = {"params", "runs", "folders", "freshness", "holders"}
ARROWS = {
    "__init__": set(),
    "imports": set(),
    "threads": set(),
    "diagnoses": set(),
    "files": {"obstacles"},
    "obstacles": set(),
    "holders": set(),
    "checks": {"files"},
    "signatures": set(),
    "formulas": set(),
    "encodings": {"checks", "signatures"},
    "delimited": {"checks", "encodings", "files", "formulas"},
    "missing": {"checks"},
    "numerals": {"checks", "missing"},
    "tables": {"checks", "files", "formulas", "patients", "delimited", "missing", "numerals"},
    "spread": set(),
    "patients": {"spread", "checks", "files"},
    "scalars": set(),
    "parameters": {"scalars"},
    "stages": {"parameters"},
    "params": {"parameters", "stages"},
    "documents": set(),
    "provenance": {"documents"},
    "rawdata": {"documents", "files", "formulas", "provenance"},
    "folders": {"documents", "provenance", "files", "obstacles", "holders"},
    "runs": {"params", "documents", "provenance", "rawdata", "folders", "files"},
    "archive": {"runs", "folders", "files", "tables"},
    "data": AGREEMENTS,
    "models": AGREEMENTS | {"data"},
    "evaluation": AGREEMENTS,
    "display": AGREEMENTS | {"evaluation"},
    "freshness": {"params", "runs", "folders", "documents", "provenance", "rawdata", "inputs"},
    "engine": set(),
    "endings": {"obstacles"},
    "kernels": {"imports", "engine", "endings"},
    "inputs": {"files", "params", "runs", "data"},
    "launch": RUNNING | {"kernels", "inputs", "obstacles"},
    "board": {"runs", "folders", "documents", "freshness", "launch", "rawdata"},
    "pipeline": {"scalars", "params", "runs", "inputs"},
    "graph": RUNNING | {"launch", "board", "pipeline", "rawdata", "inputs"},
    "dashboard": {"runs", "folders", "launch"},
    "voila_server": {"dashboard", "files", "kernels"},
    "__main__": {"cli"},
    "cli": AGREEMENTS | {"launch", "board", "pipeline", "graph", "data", "evaluation", "dashboard"},
}
TENSORFLOW = {
    "data/streams.py", "data/batches.py", "data/mask_batches.py", "models/accelerator.py",
}  # fmt: skip
KERAS = {"data/augmentation", "models"}
WITHOUT_KERAS = "models/tabular"


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative import (line {node.lineno})"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_arrows_go_down_only(path: Path) -> None:
    for name in imported(path):
        if name.startswith("melnb."):
            target = name.split(".")[1]
            if target in ("__version__", room(path)):
                continue
            assert target in ARROWS[room(path)], f"{room(path)} may not import {name}"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_tensors_stay_where_they_flow(path: Path) -> None:
    place = str(path.relative_to(PACKAGE).as_posix())
    roots = {name.split(".")[0] for name in imported(path)}
    if place not in TENSORFLOW:
        assert "tensorflow" not in roots
    may = any(place.startswith(k) for k in KERAS) and not place.startswith(WITHOUT_KERAS)
    if place not in TENSORFLOW and not may:
        assert not roots & {"keras", "jax"}


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_modules_are_short_and_named_for_what_they_hold(path: Path) -> None:
    assert path.read_text(encoding="utf-8").count("\n") <= 400, "split it by noun"
    assert path.stem not in {"utils", "helpers", "common", "misc"}
    if path.stem == "__init__":
        body = ast.parse(path.read_text(encoding="utf-8")).body
        assert isinstance(body[0], ast.Expr), "the room's law, as a docstring"
        assert not any(isinstance(node, ast.Import | ast.ImportFrom) for node in body)


def test_there_is_no_import_cycle() -> None:
    graph: dict[str, set[str]] = {}
    for path in MODULES:
        name = ".".join(("melnb", *path.relative_to(PACKAGE).with_suffix("").parts))
        graph[name.removesuffix(".__init__")] = imported(path)
    edges = {
        module: {m for m in graph for name in names if name == m or name.startswith(m + ".")}
        - {module, "melnb"}
        for module, names in graph.items()
    }
    done: set[str] = set()

    def visit(module: str, above: tuple[str, ...]) -> None:
        assert module not in above, " -> ".join((*above, module))
        if module not in done:
            for below in edges[module]:
                visit(below, (*above, module))
            done.add(module)

    for module in graph:
        visit(module, ())


def test_the_rest_leaves_tensorflow_alone() -> None:
    quiet = [
        ".".join(("melnb", *path.relative_to(PACKAGE).with_suffix("").parts))
        for path in MODULES
        if room(path) != "models"
        and path.stem not in {"streams", "batches", "mask_batches", "__init__"}
        and "augmentation" not in path.parts
    ]
    code = (
        "import importlib, json, sys\n"
        f"for name in {quiet!r}: importlib.import_module(name)\n"
        "print(json.dumps(sorted({'tensorflow', 'keras', 'jax', 'torch'} & set(sys.modules))))"
    )
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert json.loads(out.stdout) == []
