"""What every stage's parameter class can do: check, read a notebook's cell, say what is wrong."""

from __future__ import annotations

import ast
import difflib
import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.+-]*$")]  # safe as a folder


class ParameterError(ValueError):
    """A parameter is unknown or has a value that the stage refuses."""


class Parameters(BaseModel):
    """What every stage's parameters can do; the fields are the subclasses'."""

    model_config = ConfigDict(frozen=True, extra="forbid", coerce_numbers_to_str=True)
    stage: ClassVar[str]

    @classmethod
    def check(cls, values: Mapping[str, Any]) -> Self:
        """Make the parameters, or say which is wrong, what was received and what is near.

        Raises:
            ParameterError: A name is unknown or a value is refused.
        """
        for name in values:
            if name not in cls.model_fields:
                raise ParameterError(_unknown(cls, str(name)))
        try:
            return cls(**values)
        except ValidationError as error:
            raise ParameterError(_refusal(cls, error)) from None

    @classmethod
    def from_cell(cls, cell: Mapping[str, Any]) -> Self:
        """Make the parameters from a notebook's `globals()`.

        Cells that hold nothing but literal assignments (the `parameters` cell, and the one that
        papermill injects) are read for names that the stage does not know, for papermill itself
        passes a misspelt name with no more than a warning.

        Raises:
            ParameterError: A name is unknown or a value is refused.
        """
        assigned = {name for source in cell.get("In", ()) for name in _literal_names(source)}
        wanted = {name: cell[name] for name in cls.model_fields if name in cell}
        unknown = {name: cell.get(name) for name in sorted(assigned - set(wanted))}
        return cls.check({**unknown, **wanted})

    def keywords(self, function: Callable[..., Any]) -> dict[str, Any]:
        """Return those of the values that a function has a parameter of the same name for.

        It saves a notebook the listing of thirty names: `augment(images, **p.keywords(augment))`.
        """
        wanted = inspect.signature(function).parameters
        return {name: getattr(self, name) for name in type(self).model_fields if name in wanted}

    def plain(self) -> dict[str, Any]:
        """Return the values as plain Python objects, as papermill and JSON take them."""
        return self.model_dump(mode="json")


def read_yaml(file: str | Path) -> dict[str, Any]:
    """Read a YAML mapping.

    Raises:
        ParameterError: The file is missing, does not parse or holds no mapping.
    """
    path = Path(file)
    if not path.exists():
        near = ", ".join(sorted(p.name for p in path.parent.glob("*.yaml"))) or "none"
        raise ParameterError(f"no parameter file {path} (in that folder: {near})")
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ParameterError(f"{path} is not YAML: {error}") from None
    if not isinstance(values, dict):
        raise ParameterError(f"{path} holds {type(values).__name__}, not a mapping of key: value")
    return values


def _literal_names(source: str) -> set[str]:
    """Return the names that a cell assigns, if it does nothing but assign literals."""
    try:
        body = ast.parse(source).body
        names = set()
        for node in body:
            if not isinstance(node, ast.Assign) or not isinstance(node.targets[0], ast.Name):
                return set()
            ast.literal_eval(node.value)
            names.add(node.targets[0].id)
    except (SyntaxError, ValueError):
        return set()
    return names


def _unknown(cls: type[Parameters], name: str) -> str:
    near = difflib.get_close_matches(name, cls.model_fields, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(cls.model_fields)}"
    return f"{cls.stage}: unknown parameter {name!r}; {hint}"


def _refusal(cls: type[Parameters], error: ValidationError) -> str:
    lines = []
    for item in error.errors():
        name = ".".join(str(part) for part in item["loc"])
        message = item["msg"].removeprefix("Value error, ")
        received = f" (received {item['input']!r})" if name else ""
        lines.append(f"{cls.stage}: {name + ': ' if name else ''}{message}{received}")
    return "\n".join(lines)
