"""What every stage's parameter class can do: check, read a notebook's cell, say what is wrong."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from reprlib import Repr
from reprlib import repr as shortened
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from melnb.params import scalars
from melnb.params.scalars import ParameterError as ParameterError
from melnb.tables.nearest import did_you_mean, nearest

_INJECTED = "# Parameters"  # how the cell begins that papermill adds
_COMPUTED = object()
_RECEIVED = Repr()  # what aliases of YAML stand for may be without end
_RECEIVED.maxlevel, _RECEIVED.maxstring, _RECEIVED.maxother, _RECEIVED.maxlong = 3, 200, 200, 60
_RECEIVED.maxlist = _RECEIVED.maxdict = 10
_MOST = 2**63 - 1  # a whole number of more bits fits neither NumPy nor a shard
_WANTS_TEXT = (
    "a text is wanted, and a {kind} came, whatever was typed: write it in quotes in a cell and in "
    "papermill's YAML{raw}; melnb run takes it as it is typed"
)
_WANTS_NAME = (
    "a name is letters, digits and _ . + -, the first of them no sign{near}; "
    "it should match pattern"
)
# Safe as a folder; file systems take 255 letters, of which endings and locks have their share.
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.+-]*$", max_length=100)]
Confidence = Annotated[float, Field(gt=0.5, lt=1, description="of every interval")]
Engine = Annotated[
    Literal["keras", "openvino"],
    Field(description="what runs the network; openvino: 1.5 times as fast on a processor"),
]


Rules = tuple[tuple[Callable[[Any], bool], str], ...]
"""What cannot be together: whether it is so, and why not, with `{name}` for a value received."""


class Parameters(BaseModel):
    """What every stage's parameters can do; the fields are the subclasses'.

    Attributes:
        stage: The notebook's stem.
        shown: The fields that its parameters cell shows, in that order; none: all of them.
        defaults: Of fields of a group, where a stage has others than the group.
        rules: What a class adds to the contradictions of its bases.
    """

    # No number becomes a text: it may have been written `0123`, `1.10` or `1_0`.
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, defer_build=True)
    stage: ClassVar[str]
    shown: ClassVar[tuple[str, ...]] = ()
    defaults: ClassVar[dict[str, Any]] = {}
    rules: ClassVar[Rules] = ()

    @classmethod
    def __pydantic_init_subclass__(cls, **_: Any) -> None:
        """Give the fields of groups the defaults that this class has for them."""
        for name, value in cls.defaults.items():
            cls.model_fields[name].default = value
        if cls.defaults:
            cls.model_rebuild(force=True)

    @model_validator(mode="after")
    def _rules_hold(self) -> Self:
        values = dict(self)
        rules = [rule for group in self.parts() for rule in vars(group).get("rules", ())]
        if reasons := [text.format_map(values) for wrong, text in rules if wrong(self)]:
            raise ValueError("; ".join(reasons))
        return self

    @classmethod
    def parts(cls) -> dict[type[Parameters], list[str]]:
        """Return the classes that this one is made of, itself first, and the fields of each.

        A field that is declared again, for another bound or default, stays where it came from.
        """
        made_of = [cls, *_bases_of(cls)]
        of_bases = {c: {f for b in _bases_of(c) for f in b.model_fields} for c in made_of}
        return {c: [f for f in c.model_fields if f not in of_bases[c]] for c in made_of}

    @classmethod
    def cell_fields(cls) -> tuple[str, ...]:
        """Return the fields that the parameters cell shows, in its order."""
        return cls.shown or tuple(cls.model_fields)

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
            checked = cls(**cls.settled(values))
        except ValidationError as error:
            raise ParameterError(_refusal(cls, error)) from None
        for name in cls.model_fields:
            value = getattr(checked, name)
            if isinstance(value, int) and abs(value) > _MOST:
                raise ParameterError(
                    f"{cls.stage}: {name}: a whole number of more than 19 digits is none that is "
                    f"meant (received {_RECEIVED.repr(value)})"
                )
        return checked

    @classmethod
    def settled(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """Make of texts as they were typed what the fields want; unknown names stay as they are.

        Raises:
            ParameterError: A list or mapping is wanted, and what was typed is none.
        """
        fields: dict[str, Any] = {}
        for name, value in values.items():
            field = cls.model_fields.get(str(name))
            try:
                fields[str(name)] = scalars.settle(value, field.annotation) if field else value
            except ValueError as error:
                raise ParameterError(f"{cls.stage}: {name}: {error}") from None
        return fields

    @classmethod
    def from_cell(cls, cell: Mapping[str, Any]) -> Self:
        """Make the parameters from a notebook's `globals()`; what is not there has its default.

        The cells that have run (`In`) are read as well, from the last run of the `parameters` cell
        on. What they set by a plain value (`fold = 2`) is what a person meant: a global that has
        another value by now, for a loop, a list that grew or a result took its name, is refused; so
        is one with the name of a parameter that no cell shows, unless a cell that sets parameters
        set it. A name that the stage does not know is refused where a cell does nothing but set
        values, for papermill itself passes a misspelt name with no more than a warning.

        Raises:
            ParameterError: A name is unknown, a value is refused or is not what a cell set, or the
                parameters cell was not run.
        """
        settings = _read_cells(cls, cell.get("In", ()))
        wanted = {name: cell[name] for name in cls.model_fields if name in cell}
        unknown = {name: cell[name] for name in settings if name in cell and name not in wanted}
        plain = {name: value for name, value in settings.items() if value is not _COMPUTED}
        lines = [
            _changed(cls, name, plain[name], cell.get(name))
            for name in cls.model_fields
            if name in plain and repr(plain[name]) != repr(cell.get(name))
        ]
        hidden = wanted.keys() - cls.cell_fields() if "In" in cell else set()
        lines += [
            _taken(cls, name, cell[name]) for name in wanted if name in hidden - settings.keys()
        ]
        if lines:
            raise ParameterError("\n".join(lines))
        if not wanted:
            raise ParameterError(f"{cls.stage}: no parameter is set: run the parameters cell first")
        return cls.check({**unknown, **wanted})

    @classmethod
    def recorded(cls, values: Mapping[str, Any]) -> Self:
        """Make the parameters that a run recorded; what the class no longer knows is left."""
        return cls.check({name: v for name, v in values.items() if name in cls.model_fields})

    def values_of(self, names: Iterable[str]) -> dict[str, Any]:
        """Return the values of some fields, such as a group's, to be handed on as keywords."""
        return {name: getattr(self, name) for name in names}

    def differences(self) -> dict[str, Any]:
        """Return the values that are not their fields' defaults, those of the cell first."""
        names, usual = dict.fromkeys((*self.cell_fields(), *type(self).model_fields)), self.usual()
        return {name: getattr(self, name) for name in names if getattr(self, name) != usual[name]}

    def usual(self) -> dict[str, Any]:
        """Return what each field is where nobody sets it: its default, or that of a preset."""
        return {name: field.default for name, field in type(self).model_fields.items()}

    def __str__(self) -> str:
        """Say in a line what differs from the defaults."""
        differences = ", ".join(f"{name} {value!r}" for name, value in self.differences().items())
        return f"differs from the defaults: {differences or 'nothing'}"

    def plain(self) -> dict[str, Any]:
        """Return the values as plain Python objects, as papermill and JSON take them."""
        values = self.model_dump(mode="json")
        return {name: values[name] for name in dict.fromkeys((*self.cell_fields(), *values))}

    def injected(self) -> dict[str, Any]:
        """Return what is set in a notebook: all that its cell shows, and what is not as ever."""
        values = self.plain()
        return {
            name: values[name]
            for name in {**dict.fromkeys(self.cell_fields()), **self.differences()}
        }


def read_yaml(file: str | Path) -> dict[str, Any]:
    """Read a YAML mapping; its scalars are texts, to be settled by a stage's fields.

    Raises:
        ParameterError: The file is missing, does not parse or holds no mapping.
    """
    path = Path(file)
    if not path.is_file():
        near = ", ".join(sorted(p.name for p in path.parent.glob("*.yaml"))) or "none"
        raise ParameterError(f"no parameter file {path} (in that folder: {near})")
    try:
        values = scalars.read(path.read_bytes())
    except ValueError as error:
        raise ParameterError(f"{path} cannot be read as YAML: {error}") from None
    if not isinstance(values, dict):
        kind = "nothing" if scalars.is_absent(values) else type(values).__name__.lower()
        kind = "text" if isinstance(values, str) and kind != "nothing" else kind
        raise ParameterError(f"{path} holds {kind}, not a mapping of key: value")
    return {str(key): value for key, value in values.items()}


def read_pair(text: str, example: str) -> tuple[str, str]:
    """Read `key=value`; the value is kept as it was typed.

    Raises:
        ParameterError: There is no `=`; the example is shown.
    """
    key, equals, value = text.partition("=")
    if not equals:
        file = text.lower().endswith((".yaml", ".yml"))
        example = f"-f {text}, if it is a file of parameters" if file else f"{example}, say"
        raise ParameterError(f"{text!r} is not key=value (write {example})")
    return key.strip(), scalars.typed(value)


def _bases_of(cls: type[Parameters]) -> list[type[Parameters]]:
    """Return the groups that a class inherits, in the order in which it names them."""
    bases = [base for base in cls.__bases__ if issubclass(base, Parameters) and base != Parameters]
    return list(dict.fromkeys(c for base in bases for c in (*_bases_of(base), base)))


def _read_cells(cls: type[Parameters], cells: Iterable[str]) -> dict[str, Any]:
    """Return what cells set by plain values, the last of each name.

    Names that the class does not know are among them where they may be misspelt: in the cell that
    papermill adds, and in one that sets a parameter or what is spelt like one, and does no more.
    Of such a cell a parameter that is computed is among them as well, marked so.
    """
    fields, shown, settings = cls.model_fields, {*cls.cell_fields()}, dict[str, Any]()
    for source in cells:
        assigned = _assigned(source)
        if shown <= assigned.keys():  # the parameters cell: what ran before it is past
            settings = {
                n: v for n, v in settings.items() if n in fields and n not in shown | {*assigned}
            }
        meant = source.startswith(_INJECTED) or any(
            name in fields or nearest(name, fields) for name in assigned
        )
        strange = meant and _COMPUTED not in assigned.values()
        for name, value in assigned.items():
            if value is not _COMPUTED and (strange or name in fields):
                settings[name] = value
            elif meant and "" not in assigned and name in fields.keys() - shown:
                settings.setdefault(name, value)
    return settings


def _assigned(source: str) -> dict[str, Any]:
    """Return the names that a cell assigns and their values; whatever else it does is named ""."""
    try:
        body = ast.parse(source).body
    except SyntaxError:
        return {}
    values: dict[str, Any] = {}
    for node in body:
        match node:
            case (
                ast.Assign(targets=[ast.Name(id=name)], value=value)
                | ast.AnnAssign(target=ast.Name(id=name), value=value)
            ):
                values[name] = _plain_value(value)
            case _:
                values[""] = _COMPUTED
    return values


def _plain_value(node: ast.expr | None) -> Any:
    try:
        return ast.literal_eval(node) if node else _COMPUTED
    except (ValueError, TypeError):
        return _COMPUTED


def _changed(cls: type[Parameters], name: str, before: Any, now: Any) -> str:
    return (
        f"{cls.stage}: {name}: a cell set it to {before!r}, and it is {_shown(now)} now: run that "
        "cell again, and give another name to what has taken this one"
    )


def _shown(value: Any) -> str:
    plain = isinstance(value, bool | int | float | str | list | dict)
    return shortened(value) if plain else f"a {type(value).__name__}"


def _taken(cls: type[Parameters], name: str, now: Any) -> str:
    return (
        f"{cls.stage}: {name} is {_shown(now)}, and no cell set it as a parameter: give that "
        f"another name and `del {name}`, or write `{name} = value` in a cell of its own"
    )


def _unknown(cls: type[Parameters], name: str) -> str:
    more = f" …, all listed by `melnb stages {cls.stage}`" if cls.shown else ""
    choices = f"; known: {', '.join(cls.cell_fields())}{more}"
    hint = did_you_mean(name, cls.model_fields) or choices
    return f"{cls.stage}: unknown parameter {name!r}{hint}"


def _refusal(cls: type[Parameters], error: ValidationError) -> str:
    lines = []
    for item in error.errors():
        name = ".".join(str(part) for part in item["loc"])
        received = f" (received {_RECEIVED.repr(item['input'])})" if name else ""
        lines.append(f"{cls.stage}: {name + ': ' if name else ''}{_problem(item)}{received}")
    return "\n".join(lines)


def _problem(item: Any) -> str:
    """Say what is wrong with one value; `item` is one of pydantic's errors."""
    message = str(item["msg"]).removeprefix("Value error, ")
    if item["type"] == "string_pattern_mismatch":
        near = re.sub(r"[^A-Za-z0-9_.+-]+", "_", str(item["input"]).strip()).lstrip("_.+-")
        wants = _WANTS_NAME.format(near=f" ({near}, say)" if near else "")
        return message.replace("String should match pattern", wants)
    if item["type"] == "string_type" and not isinstance(item["input"], list | dict):
        kind = type(item["input"])
        raw = f", and give papermill -r {item['loc'][0]}, not -p" if len(item["loc"]) == 1 else ""
        named = "number" if kind in (int, float) else kind.__name__
        return _WANTS_TEXT.format(kind=named, raw=raw)
    return message
