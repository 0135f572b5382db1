"""The parameters of every stage by its name, and how they are read.

A value comes from the class default, then from a YAML file (`params/03_train.b3.yaml`), then from
`key=value`: the later wins. Below the notebook no code sees these classes, only keyword arguments.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from textwrap import wrap
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic.fields import FieldInfo

from melnb.params.base import ParameterError as ParameterError
from melnb.params.base import Parameters as Parameters
from melnb.params.base import read_pair as read_pair
from melnb.params.base import read_yaml as read_yaml
from melnb.params.predict import Ablation as Ablation
from melnb.params.predict import Ensemble as Ensemble
from melnb.params.predict import Look as Look
from melnb.params.predict import Predict as Predict
from melnb.params.predict import PseudoLabel as PseudoLabel
from melnb.params.prepare import Audit as Audit
from melnb.params.prepare import Explore as Explore
from melnb.params.prepare import Prepare as Prepare
from melnb.params.report import Choose as Choose
from melnb.params.report import Explain as Explain
from melnb.params.report import External as External
from melnb.params.report import Report as Report
from melnb.params.report import Robustness as Robustness
from melnb.params.segment import SegmentApply as SegmentApply
from melnb.params.segment import SegmentTrain as SegmentTrain
from melnb.params.tabular import Embed as Embed
from melnb.params.tabular import Metadata as Metadata
from melnb.params.train import FindLr as FindLr
from melnb.params.train import Train as Train
from melnb.tables.nearest import did_you_mean

# Stages and their parameters as a terminal lists them, from their classes alone.

_SHOWN = "* stands in the notebook's parameters cell; all can be set by name"
_WIDEST = 14  # default beside which there is room for words
_VALUE = re.compile(r"(, not)? \{\w+\}")  # where a rule's text names a value received


def stage_lines(stages: Iterable[type[Parameters]], *, width: int = 80) -> list[str]:
    """Return a line for each stage: its name, and what it is for."""
    lines = []
    for cls in stages:
        _, _, words = _heading(cls).partition(": ")
        lines += _wrapped(f"{cls.stage:18} ", words, width)
    return lines


def parameter_lines(
    cls: type[Parameters], *, width: int = 80, bold: Callable[[str], str] = str
) -> list[str]:
    """Return the parameters of a stage by groups: default, choices or bounds, and what they are.

    Args:
        cls: Of the stage.
        width: Of the terminal.
        bold: Makes a heading stand out.
    """
    lines = [bold(_heading(cls)), *([_SHOWN] if cls.shown else [])]
    for part, names in cls.parts().items():
        if part is not cls and names:
            lines += ["", bold(_heading(part))]
        for name in names:
            lines += _field_lines(cls, name, width)
        for name, values in vars(part).get("presets", {}).items():
            words = ", ".join(f"{field} {value}" for field, value in values.items())
            lines += _wrapped(f"  - {name}: ", words or "the defaults", width)
    rules = [text for part in cls.parts() for _, text in vars(part).get("rules", ())]
    if rules:
        lines += ["", bold("What is refused.")]
    for text in rules:
        lines += _wrapped("  - ", _VALUE.sub("", text), width)
    return lines


def _heading(cls: type[Parameters]) -> str:
    return str(cls.__doc__).strip().splitlines()[0]


def _field_lines(cls: type[Parameters], name: str, width: int) -> Iterator[str]:
    """Yield the lines of one field; words that a long default leaves no room for stand below."""
    field, default = cls.model_fields[name], _default(cls.model_fields[name])
    names = max(map(len, cls.model_fields))
    defaults = max(n for n in map(len, map(_default, cls.model_fields.values())) if n <= _WIDEST)
    start = f"{'*' if name in cls.shown else ' '} {name:{names}}  "
    facts = [_choices(field, str(field.description)), _limits(field)]
    words = " ".join([str(field.description), *(f"({fact})" for fact in facts if fact)])
    if len(default) > _WIDEST:
        yield f"{start}{default}"
        start, default = " " * len(start), ""
    yield from _wrapped(f"{start}{default:{defaults}}  ", words, width)


def _wrapped(start: str, text: str, width: int) -> list[str]:
    """Return text beside its start, over as many lines as it needs."""
    first, *more = wrap(text, max(width - len(start), 24)) or [""]
    return [start + first, *(" " * len(start) + line for line in more)]


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True)
    return value if isinstance(value, str) and value else repr(value).replace("'", '"')


def _choices(field: FieldInfo, names: str) -> str:
    """Return what may be chosen, unless the description has it all."""
    choices = list(_listed(field.annotation))
    return "" if all(choice in names for choice in choices) else " | ".join(choices)


def choices(cls: type[Parameters], name: str) -> list[str]:
    """Return what may be chosen for a parameter: what its type lists, or yes and no; else none."""
    annotation = cls.model_fields[name].annotation
    return ["true", "false"] if annotation is bool else [*_listed(annotation)]


def _listed(annotation: Any) -> Iterator[str]:
    """Yield what a `Literal` lists, wherever it stands in a type."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        yield from map(str, inner)
    elif origin in (Annotated, Union, UnionType, list):
        for one in inner:
            yield from _listed(one)


def _limits(field: FieldInfo) -> str:
    """Return the bounds of a number."""
    ends: dict[type, Any] = {type(one): one for one in field.metadata}
    if Ge in ends and Le in ends:
        return f"{ends[Ge].ge:g}-{ends[Le].le:g}"
    signs = ((Ge, "ge", ">="), (Gt, "gt", ">"), (Lt, "lt", "<"), (Le, "le", "<="))
    return ", ".join(f"{sign}{getattr(ends[k], end):g}" for k, end, sign in signs if k in ends)


STAGES: dict[str, type[Parameters]] = {
    c.stage: c
    for c in (
        Explore, Prepare, Audit, SegmentTrain, SegmentApply, Train, FindLr, Metadata, Embed,
        Predict, PseudoLabel, Look, Ensemble, Ablation, Report, Explain, Choose, External,
        Robustness,
    )
}  # fmt: skip


def stage_class(stage: str) -> type[Parameters]:
    """Return the parameter class of a stage.

    Raises:
        ParameterError: There is no such stage; the nearest is named.
    """
    if stage not in STAGES:
        hint = did_you_mean(stage, STAGES, cutoff=0.3)
        raise ParameterError(f"no stage {stage!r}{hint} (stages: {list(STAGES)})")
    return STAGES[stage]


def read_parameters(
    stage: str, files: Iterable[str | Path] = (), overrides: Iterable[str] = ()
) -> Parameters:
    """Read and check the parameters of a stage.

    Args:
        stage: The notebook's stem, such as `03_train`.
        files: YAML files; a later file wins.
        overrides: `key=value` texts; they win over files. What is typed for a text is the text;
            lists and mappings are YAML.

    Raises:
        ParameterError: A file is not a mapping, a name is unknown, or a value is refused.
    """
    values: dict[str, Any] = {}
    for file in files:
        values |= read_yaml(file)
    for text in overrides:
        key, value = read_pair(text, "fold=2")
        values[key] = value
    return stage_class(stage).check(values)


def defaults() -> dict[str, dict[str, Any]]:
    """Return what each stage's parameters are where nobody sets them, by stage and name."""
    return {
        stage: {
            name: field.get_default(call_default_factory=True) for name, field in fields.items()
        }
        for stage, fields in ((c.stage, c.model_fields) for c in STAGES.values())
    }
