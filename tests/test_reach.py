"""What a report's parameters promise of all numbers reaches every function that can take it."""

import ast
import importlib
import inspect
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from melnb.params import catalogue

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
# What imports no network; the others are looked at by night.
JUDGING = ("05_ensemble", "05b_ablation", "06_report", "06c_choose", "06d_external")
TRAINING = [stem for stem in catalogue.STAGES if stem not in JUDGING]
EVERYWHERE = ("confidence", "positive", "seed")


def code_of(stem: str) -> ast.Module:
    cells = json.loads((NOTEBOOKS / f"{stem}.ipynb").read_text(encoding="utf-8"))["cells"]
    return ast.parse("\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "code"))


def imported(code: ast.Module) -> dict[str, Any]:
    """Return the modules and classes that a notebook imports, by the name that it calls them."""
    found = {}
    for node in ast.walk(code):
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("melnb"):
            home = importlib.import_module(str(node.module))
            for alias in node.names:
                if not hasattr(home, alias.name):
                    importlib.import_module(f"{node.module}.{alias.name}")
                found[alias.asname or alias.name] = getattr(home, alias.name)
    return found


def groups_of(stem: str) -> dict[str, set[str]]:
    """Return the keywords of each group of values that a stage's parameters hand on."""
    values = catalogue.STAGES["03_train" if stem == "03b_find_lr" else stem]()
    names = [
        name
        for part in type(values).parts()
        for name, thing in vars(part).items()
        if isinstance(thing, property)
    ]
    return {name: set(getattr(values, name)) for name in names}


def keys(node: ast.expr, named: dict[str, set[str]], groups: dict[str, set[str]]) -> set[str]:
    """Return the keys of a mapping that a notebook writes down, or unpacks by its name."""
    match node:
        case ast.Name(id=name):
            return named.get(name, set())
        case ast.Dict(keys=own, values=values):
            made = {str(k.value) for k in own if isinstance(k, ast.Constant)}
            spread = (v for k, v in zip(own, values, strict=True) if k is None)
            return made.union(*(keys(v, named, groups) for v in spread))
        case ast.BinOp(left=left, right=right, op=ast.BitOr()):
            return keys(left, named, groups) | keys(right, named, groups)
        case ast.IfExp(body=body, orelse=other):
            return keys(body, named, groups) & keys(other, named, groups)
        case ast.Call(func=ast.Name(id="dict"), keywords=own):
            spread = (k.value for k in own if k.arg is None)
            made = {k.arg for k in own if k.arg}
            return made.union(*(keys(v, named, groups) for v in spread))
        case ast.Attribute(value=ast.Name(id="p" | "t"), attr=group):
            return groups.get(group, set())
    return set()


def calls(stem: str) -> Iterator[tuple[str, Callable[..., Any], set[str], int]]:
    """Yield each call of a function of melnb: its text, itself, what is passed by name, and how
    much by place."""
    code, groups = code_of(stem), groups_of(stem)
    modules, named = imported(code), dict[str, set[str]]()
    nodes = [n for n in ast.walk(code) if isinstance(n, ast.Call | ast.Assign)]
    # A name holds what it was given once its statement has ended.
    for node in sorted(nodes, key=lambda n: (n.end_lineno or 0, isinstance(n, ast.Assign))):
        match node:
            case ast.Assign(targets=[ast.Tuple(elts=targets)], value=ast.Tuple(elts=values)):
                for target, value in zip(targets, values, strict=True):
                    if isinstance(target, ast.Name):
                        named[target.id] = keys(value, named, groups)
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                named[name] = keys(value, named, groups)
            case ast.Call(func=ast.Name(id=name)):
                function = modules.get(name)
            case ast.Call(func=ast.Attribute(value=ast.Name(id=home), attr=name)):
                module = modules.get(home)
                function = getattr(module, name) if isinstance(module, ModuleType) else None
            case _:
                continue
        if isinstance(node, ast.Call) and callable(function):
            passed = {k.arg for k in node.keywords if k.arg}
            spread = [k.value for k in node.keywords if k.arg is None]
            passed = passed.union(*(keys(value, named, groups) for value in spread))
            yield ast.unparse(node), function, passed, len(node.args)


@pytest.mark.parametrize(
    "stem", [*JUDGING, *(pytest.param(stem, marks=pytest.mark.nightly) for stem in TRAINING)]
)
def test_confidence_positive_and_seed_reach_every_function_that_has_them(stem: str) -> None:
    fields = catalogue.STAGES[stem].model_fields
    # An interval is nowhere one of 95 % by chance: who calls what makes one says how wide.
    told = [name for name in EVERYWHERE if name in fields or name == "confidence"]
    lost, looked = [], 0
    for text, function, passed, by_place in calls(stem):
        wanted = list(inspect.signature(function).parameters)
        looked += bool({*wanted} & {*told})
        lost += [
            f"{name} in {text}" for name in told if name in wanted[by_place:] and name not in passed
        ]
    assert looked or not {*EVERYWHERE} & {*fields}, "no call was understood"
    assert not lost, "\n".join(lost)
