"""YAML whose scalars keep their text: what it means is said by the field that takes it.

YAML 1.1 makes 83 of `0123`, 1.1 of `1.10`, 90 of `1:30`, a day of `2020-01-01` and False of `no`. A
run, a folder or a class may bear any of these names, so a scalar without quotes stays a text here
until it is known whether a text, a number or a switch is wanted.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import yaml
from typing_extensions import is_typeddict

_MOST_BYTES, _MOST_MARKS, _MOST_VALUES = 1 << 20, 10_000, 100_000  # of one file
_DIGITS = 4000  # of a whole number: Python reads 4300
_TAGS = ("null", "bool", "int", "float", "timestamp", "value", "str")
_SWITCHES = {
    **dict.fromkeys(("true", "yes", "on"), True),
    **dict.fromkeys(("false", "no", "off"), False),
}
_WHOLE = re.compile(r"[-+]?\d+(_\d+)*")
_NUMBER = re.compile(r"[-+]?(\d+(_\d+)*\.?\d*|\.\d+)([eE][-+]?\d+)?")


class ParameterError(ValueError):
    """A parameter is unknown or has a value that the stage refuses."""


class Plain(str):
    """A scalar that was written without quotes."""

    __slots__ = ()


class Typed(Plain):
    """What follows `key=` on a command line: where a list or a mapping is wanted, YAML."""

    __slots__ = ()


class _Loader(yaml.SafeLoader):
    """Makes texts of all scalars, and refuses a key that is given twice."""

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        first: dict[str, Any] = {}
        for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            if not isinstance(key, yaml.ScalarNode):
                continue
            if key.value in first and key.value != "<<":
                where = f"it was given in line {first[key.value].line + 1}"
                twice = f"{key.value!r} is given again: keep one"
                raise yaml.MarkedYAMLError(where, None, twice, key.start_mark)
            first[key.value] = key.start_mark
        return super().construct_mapping(node, deep=deep)


def _text(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> str:
    text = str(loader.construct_scalar(node))
    return text if node.style else Plain(text)


for _tag in _TAGS:
    _Loader.add_constructor(f"tag:yaml.org,2002:{_tag}", _text)


def _load(content: str | bytes) -> Any:
    """Load as `yaml.load` does, unless aliases make more of it than a person means."""
    loader = _Loader(content)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        if _count(node, {}, ()) > _MOST_VALUES:
            raise ValueError(
                f"its aliases (*name) stand for themselves, or for over {_MOST_VALUES:,} values: "
                "write out what is meant"
            )
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _count(node: yaml.Node, counts: dict[int, float], above: tuple[int, ...]) -> float:
    """Return how many values a node stands for with its aliases written out; a ring has no end."""
    place = id(node)
    if place in above:
        return math.inf
    if place not in counts:
        inner = node.value if isinstance(node, yaml.CollectionNode) else ()
        flat = (part for item in inner for part in (item if isinstance(item, tuple) else (item,)))
        counts[place] = 1 + sum(_count(part, counts, (*above, place)) for part in flat)
    return counts[place]


def read(content: str | bytes) -> Any:
    """Read YAML; every scalar is a text, a `Plain` one if it has no quotes.

    Raises:
        ValueError: It is no YAML, a key is given twice, or it stands for far more than it is.
    """
    data = content if isinstance(content, bytes) else content.encode(errors="replace")
    marks = sum(data.count(mark) for mark in (b"[", b"{", b"&", b"*"))
    if len(data) > _MOST_BYTES or marks > _MOST_MARKS:
        raise ValueError("it is too large, or has too many brackets, for one that a person wrote")
    try:
        return _load(content)
    except yaml.reader.ReaderError as error:
        raise ValueError(f"it is no text in UTF-8 (at byte {error.position}): save it so") from None
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from None
    except RecursionError:
        raise ValueError("its brackets are too deep") from None


def typed(text: str) -> str:
    """Take the value of a `key=value`: quotes around the whole of it are YAML's, as in a file."""
    text = text.strip()
    if text[:1] in ("'", '"') and text[:1] == text[-1:]:
        try:
            quoted = read(text)
        except ValueError:
            return Typed(text)
        if isinstance(quoted, str):
            return quoted
    return Typed(text)


def is_absent(value: Any) -> bool:
    """Tell whether nothing stands where YAML could hold something: empty, `~` or `null`."""
    return value is None or (isinstance(value, Plain) and value.lower() in ("", "~", "null"))


def mapping(value: Any, where: str) -> dict[str, Any]:
    """Return a mapping, empty where none is given.

    Raises:
        ParameterError: Something else is given.
    """
    if is_absent(value):
        return {}
    if not isinstance(value, dict):
        raise ParameterError(f"{where} is {value!r}: write {{key: value}}")
    return value


def settle(value: Any, wanted: Any) -> Any:
    """Make of scalars what a type wants: texts, numbers in the decimal system, switches.

    What is not in quotes and does not fit stays a text, to be refused by who checks the type.

    Args:
        value: As `read` or `typed` gives it; Python's own values stay as they are.
        wanted: A type as annotations have it: `str`, `int`, `list[str]`, `Literal[...]` …

    Raises:
        ValueError: A list or mapping is wanted, and the text of a command line is no YAML.
    """
    kinds = _alternatives(wanted)
    containers = {get_origin(kind): get_args(kind) for kind in kinds if get_origin(kind)}
    if isinstance(value, Typed) and containers.keys() & {list, dict}:
        value = _parsed(value, takes_text=str in kinds)
    if isinstance(value, list) and list in containers:
        return [settle(item, *containers[list]) for item in value]
    if isinstance(value, Mapping) and dict in containers:
        key, item = containers[dict]
        return {settle(k, key): settle(v, item) for k, v in value.items()}
    if isinstance(value, Mapping) and (named := [kind for kind in kinds if is_typeddict(kind)]):
        hints = get_type_hints(named[0], include_extras=True)
        return {str(name): settle(item, hints.get(str(name), str)) for name, item in value.items()}
    return _scalar(value, kinds) if isinstance(value, Plain) else value


def _alternatives(wanted: Any) -> list[Any]:
    """Return the types that may stand there; a `Literal` is the type of what it lists."""
    origin, inner = get_origin(wanted), get_args(wanted)
    if origin is Annotated:
        return _alternatives(inner[0])
    if origin in (Union, UnionType):
        return [kind for one in inner for kind in _alternatives(one)]
    if origin is Literal:
        return list(dict.fromkeys(type(one) for one in inner))
    return [wanted]


def _scalar(text: Plain, kinds: list[Any]) -> Any:
    numeric = [kind for kind in kinds if kind in (int, float, bool)]
    if numeric and len(text) <= _DIGITS and _WHOLE.fullmatch(text):
        return int(text)
    if numeric and _NUMBER.fullmatch(text):
        return float(text)
    if (bool in numeric or (numeric and str in kinds)) and text.lower() in _SWITCHES:
        return _SWITCHES[text.lower()]
    return str(text)


def _parsed(text: Typed, *, takes_text: bool) -> Any:
    try:
        value = read(text)
    except ValueError as error:
        if takes_text:
            return text
        raise ValueError(
            f"{str(text)!r} is no list or mapping ({' '.join(str(error).split())}): write [a, b] "
            "or {a: b}, and quotes around what begins with a sign"
        ) from None
    return value if isinstance(value, list | dict) else text
