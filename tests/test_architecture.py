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

ARROWS: dict[str, set[str]] = {
    "__init__": set(),
    "tables": set(),
    "params": {"tables"},
    "runs": {"tables", "params"},
    "data": {"tables"},
    "models": {"tables", "data"},
    "evaluation": {"tables"},
    "display": {"tables", "evaluation"},
    "running": {"tables", "params", "runs", "data"},
    "__main__": {"cli"},
    "cli": {"tables", "params", "runs", "data", "evaluation", "running"},
}
TENSORFLOW = {
    "data/streams.py", "data/batches.py", "models/accelerator.py",
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


def privates(tree: ast.AST) -> dict[str, set[str]]:
    """Return names that begin with one underscore: read of others, read of oneself, and defined."""
    names: dict[str, set[str]] = {"others": set(), "own": set(), "defined": set()}
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.AnnAssign(target=ast.Name(id=name)):
                kind = "defined"
            case ast.Attribute(attr=name, ctx=ast.Store()):
                kind = "defined"
            case ast.Attribute(attr=name, value=ast.Name(id="self" | "cls")):
                kind = "own"
            case ast.Attribute(attr=name, value=ast.Call(func=ast.Name(id="super"))):
                kind = "own"
            case ast.Attribute(attr=name):
                kind = "others"
            case _:
                continue
        if name.startswith("_") and not name.startswith("__"):
            names[kind].add(name)
    return names


def test_private_parts_of_keras_are_touched_in_one_module() -> None:
    """It is by them that a new Keras breaks what trains; so they lie and are tested together."""
    modules = {
        path: ast.parse(path.read_text(encoding="utf-8"))
        for path in MODULES
        if "keras" in {name.split(".")[0] for name in imported(path)}
    }
    internals = privates(modules.pop(PACKAGE / "models" / "keras_internals.py"))
    touched = set().union(*internals.values())
    assert {"_clip_gradients", "_learning_rate", "_flatten_layers"} <= touched
    defined = set().union(*(privates(tree)["defined"] for tree in modules.values()))
    for path, tree in modules.items():
        names = privates(tree)
        own = names["own"] - defined  # what neither it nor a base of ours has, Keras has
        assert not names["others"] | own | names["defined"] & touched, (
            f"{path}: see keras_internals"
        )
        assert not any(name.startswith("keras.src") for name in imported(path))


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_modules_are_short_and_named_for_what_they_hold(path: Path) -> None:
    assert path.read_text(encoding="utf-8").count("\n") <= 500, "split it by noun"
    assert path.stem not in {"utils", "helpers", "common", "misc"}
    if path.stem == "__init__":
        body = ast.parse(path.read_text(encoding="utf-8")).body
        assert isinstance(body[0], ast.Expr), "the room's law, as a docstring"
        imports = [node for node in body if isinstance(node, ast.Import | ast.ImportFrom)]
        doors = [ast.unparse(node) for node in imports]
        assert doors in ([], ["import lazy_loader"]), "a door imports nothing before it is asked"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_functions_are_of_forty_lines_at_most(path: Path) -> None:
    """Their docstrings apart: what is longer says two things."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            lines = (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0
            assert lines <= 40, f"{path}: {node.name} has {lines} lines: split it by noun"


def test_two_modules_of_one_name_are_twins() -> None:
    """A number and its picture share a name; so do the lists of a room, which are catalogues."""
    rooms: dict[str, list[str]] = {}
    for path in MODULES:
        if path.stem not in {"__init__", "catalogue"} and "plots" not in path.parts:
            rooms.setdefault(path.stem, []).append(path.relative_to(PACKAGE).as_posix())
    assert not [places for places in rooms.values() if len(places) > 1], "name what each does"


PARTICIPLES = {"told", "said", "found", "made", "known", "own", "beside"}


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_locals_are_nouns(path: Path) -> None:
    """`labels` says what it holds, `told` that somebody spoke; parameters are not held to it."""
    names = {
        (node.id, node.lineno)
        for function in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(function, ast.FunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }
    assert not [place for place in names if place[0] in PARTICIPLES], "name what it holds"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_loop_gives_no_place_that_was_asked_for_another_meaning(path: Path) -> None:
    """A loop's `path` once took the place of the page's, which was written over a photograph."""
    functions = [
        node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef)
    ]  # fmt: skip
    for function in functions:
        arguments = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
        places = {a.arg for a in arguments} & {"path", "file", "folder", "home", "root"}
        loops = [node for node in ast.walk(function) if isinstance(node, ast.For | ast.While)]
        names = [
            node for loop in loops for node in ast.walk(loop)
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
        ]  # fmt: skip
        assert not [n.lineno for n in names if n.id in places], function.name


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
        and path.stem not in {"streams", "batches", "__init__"}
        and "augmentation" not in path.parts
    ]
    code = (
        "import importlib, json, sys\n"
        f"for name in {quiet!r}: importlib.import_module(name)\n"
        "print(json.dumps(sorted({'tensorflow', 'keras', 'jax', 'torch'} & set(sys.modules))))"
    )
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert json.loads(out.stdout) == []


WORKERS = [
    "data.shards.shard_files", "data.skin", "data.cleaning", "data.lesions.writing",
    "data.lesions.abcd", "data.synthetic.album", "data.audit.looks",
]  # fmt: skip


def test_worker_processes_import_no_pandas() -> None:
    """It would cost each of them a third of a second, at every start."""
    code = (
        "import importlib, sys\n"
        f"for name in {WORKERS!r}: importlib.import_module('melnb.' + name)\n"
        "assert 'pandas' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


ROWS_OF_A_CATALOGUE = ("data/sources/", "params/")
TERM_OF_THE_FIELD = "models/training/hard_examples.py"


def test_what_one_module_alone_reads_lies_in_it() -> None:
    importers: dict[str, set[Path]] = {}
    for path in MODULES:
        for name in imported(path):
            importers.setdefault(name, set()).add(path)
            importers.setdefault(name.rpartition(".")[0], set()).add(path)
    for path in MODULES:
        place = str(path.relative_to(PACKAGE).as_posix())
        name = ".".join(("melnb", *path.relative_to(PACKAGE).with_suffix("").parts))
        if path.stem.startswith("__") or place.startswith(ROWS_OF_A_CATALOGUE):
            continue
        lines = path.read_text(encoding="utf-8").count("\n")
        alone = len(importers.get(name, ())) == 1 and place != TERM_OF_THE_FIELD
        assert not (alone and lines < 80), f"{place}: {importers[name]} alone reads it: join them"
