"""Write the page of the API from the doors: `python docs/api.py > docs/api.md`.

A door is the stub of a room (`melnb/evaluation/__init__.pyi`): the list of its public names. What a
name is for stands in the first line of its docstring. Nothing of melnb is imported.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from textwrap import shorten

PACKAGE = Path(__file__).parents[1] / "melnb"
ROOMS = ("data", "models", "evaluation", "display", "params", "runs", "tables")
TOP = """# The doors

<!-- Made by `make api` from the doors and the docstrings behind them; a test compares. -->

```python
from melnb import data, models, evaluation, display, params, runs, tables
```

is all that a notebook imports. Nothing is loaded before it is used. What is not listed is private.
"""


def public_names(room: str) -> dict[str, Path]:
    """Return the public names of a room, and the files that define them."""
    stub = ast.parse((PACKAGE / room / "__init__.pyi").read_text(encoding="utf-8"))
    names = {}
    for node in stub.body:
        if isinstance(node, ast.ImportFrom):
            file = (PACKAGE / room / Path(*(node.module or "").split("."))).with_suffix(".py")
            names |= {alias.asname or alias.name: file for alias in node.names}
    return names


def definition(name: str, file: Path) -> tuple[str, str]:
    """Return how a name is called, and the first line of what it says of itself."""
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        match node:
            case ast.FunctionDef() | ast.ClassDef() if node.name == name:
                call = "()" if isinstance(node, ast.FunctionDef) else ""
                return name + call, (ast.get_docstring(node) or "").partition("\n")[0]
            case ast.ImportFrom(module=str(module)) if any(a.name == name for a in node.names):
                return definition(name, PACKAGE.parent / (module.replace(".", "/") + ".py"))
            case ast.Assign(targets=[ast.Name(id=other)]) if other == name:
                return name, f"`{shorten(ast.unparse(node.value), 60, placeholder=' …')}`"
    raise LookupError(f"{file} does not define {name}")


def page() -> str:
    """Return the page: a table a room, a line a name."""
    parts = [TOP]
    for room in ROOMS:
        doc = (
            ast.get_docstring(ast.parse((PACKAGE / room / "__init__.py").read_text("utf-8"))) or ""
        )
        names = public_names(room)
        parts.append(f"## `{room}`: {len(names)} names\n\n{doc.partition(chr(10))[0]}\n")
        parts.append("| name | what | module |\n|---|---|---|")
        for name in sorted(names, key=str.lower):
            call, what = definition(name, names[name])
            module = names[name].relative_to(PACKAGE / room).with_suffix("").as_posix()
            parts.append(f"| `{call}` | {what.replace('|', chr(92) + '|')} | `{module}` |")
        parts.append("")
    return "\n".join(parts).rstrip("\n") + "\n"


if __name__ == "__main__":
    sys.stdout.write(page())
