"""What melnb writes as JSON, and one reader for all of it, which checks the shape.

A file may be empty, cut, another program's or an older melnb's: whoever reads it is told so by
`DamagedError`, and never by a `KeyError` further on.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import fields
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, NotRequired, TypeVar

from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, ValidationError, with_config
from typing_extensions import TypedDict  # pydantic asks for this one before 3.12

T = TypeVar("T")
_SHOWN = 60  # characters of a value that is wrong


class DamagedError(ValueError):
    """A file that melnb wrote is not as it was written.

    Attributes:
        path: Of the file.
        problem: What is wrong with it, in words.
    """

    def __init__(self, path: Path, problem: str, remedy: str) -> None:
        self.path, self.problem = path, problem
        super().__init__(f"{path} is damaged ({problem}): {remedy}")


def _no_nul(path: str) -> str:
    if "\0" in path:
        raise ValueError("no path")
    return path


def _inside(path: str) -> str:
    pure = PurePosixPath(_no_nul(path))
    if not path or pure.is_absolute() or ".." in pure.parts:
        raise ValueError("no path inside the run's folder")
    return path


def _time(text: str) -> str:
    try:
        datetime.fromtimestamp(datetime.fromisoformat(text).timestamp())
    except (ValueError, OverflowError, OSError):
        raise ValueError("no time") from None
    return text


Size = Annotated[int, Field(ge=0)]
Seconds = Annotated[float, Field(ge=0, le=1e10, allow_inf_nan=False)]
_LOOSE = ConfigDict(strict=True, extra="allow")  # a younger melnb may say more


@with_config(_LOOSE)
class Entry(TypedDict):
    """A file of a run, or a folder of many, whose path ends in `/`."""

    path: Annotated[str, AfterValidator(_inside)]
    bytes: Size
    files: NotRequired[Size]
    sha256: NotRequired[str]


@with_config(_LOOSE)
class Input(TypedDict):
    """What a run read, and what stands for its content, as `kind:sha256`."""

    path: Annotated[str, AfterValidator(_no_nul)]
    sha256: str


def _counted(entry: Entry) -> Entry:
    if entry["path"].endswith("/") and "files" not in entry:
        raise ValueError("a folder without the number of its files")
    return entry


@with_config(_LOOSE)
class Record(TypedDict):
    """What a finished run recorded: its `run.json`."""

    stage: str
    run: str
    parameters: dict[str, Any]
    inputs: list[Input]
    results: dict[str, Any]
    files: list[Annotated[Entry, AfterValidator(_counted)]]
    stamps: NotRequired[dict[str, str]]  # of the files, by path: see `provenance.stamps`
    started: Annotated[str, AfterValidator(_time)]
    seconds: Seconds
    resumed: bool
    commit: str
    versions: dict[str, str]
    device: str
    launch: NotRequired[str]  # by which its notebook was executed; empty: by hand


@with_config(_LOOSE)
class Opened(TypedDict):
    """Whose an unfinished folder is: its `parameters.json`."""

    parameters: NotRequired[dict[str, Any]]
    pid: NotRequired[int]
    host: NotRequired[str]


@with_config(_LOOSE)
class JobState(TypedDict):
    """How far a pipeline's job is: its state file."""

    state: str
    note: str
    started: Seconds
    seconds: Seconds


@with_config(_LOOSE)
class CellMetadata(TypedDict):
    """What is read of a cell's metadata."""

    tags: NotRequired[list[str]]
    papermill: NotRequired[dict[str, Any]]


@with_config(_LOOSE)
class Output(TypedDict):
    """What is read of a cell's output."""

    output_type: NotRequired[str]
    ename: NotRequired[str]
    evalue: NotRequired[str]


def _named(output: Output) -> Output:
    if output.get("output_type") == "error" and not {"ename", "evalue"} <= output.keys():
        raise ValueError("an error without its name and text")
    return output


@with_config(_LOOSE)
class Cell(TypedDict):
    """A cell of a notebook."""

    cell_type: str
    source: str | list[str]
    metadata: CellMetadata
    execution_count: NotRequired[int | None]
    outputs: NotRequired[list[Annotated[Output, AfterValidator(_named)]]]


@with_config(_LOOSE)
class Notebook(TypedDict):
    """A notebook, executed or not."""

    cells: list[Cell]


RECORD_SHAPE, OPENED_SHAPE = TypeAdapter(Record), TypeAdapter(Opened)
RECORD = "run.json"  # written last: a folder that has it is whole
_ADAPTERS: dict[type, TypeAdapter[Any]] = {}  # one takes a millisecond to make
STATE_SHAPE, NOTEBOOK_SHAPE = TypeAdapter(JobState), TypeAdapter(Notebook)


def read_document(path: Path, shape: TypeAdapter[T], remedy: str) -> T:
    """Read a JSON file that holds a mapping of a shape.

    Args:
        path: Of the file.
        shape: What its values must be; names beyond it are kept where the shape allows them.
        remedy: What to do if it is damaged.

    Raises:
        FileNotFoundError: There is none.
        DamagedError: It cannot be read, is empty or cut, or holds something else.
    """
    read = read_json(path, remedy)
    try:
        return shape.validate_python(read)
    except ValidationError as error:
        raise DamagedError(path, _words(error), remedy) from None


def read_run(folder: str | Path, *, stage: str = "") -> Record:
    """Return what a finished run recorded.

    Args:
        folder: Of the run.
        stage: Whose run it must be; empty: any.

    Raises:
        FileNotFoundError: The folder holds no finished run.
        DamagedError: Its record is damaged, or of another stage.
    """
    path = Path(folder) / RECORD
    if not path.is_file():
        raise FileNotFoundError(f"no {RECORD} in {folder}: the run is not finished")
    record = read_record(Path(folder))
    if stage and record["stage"] != stage:
        raise DamagedError(
            path,
            f"it is of {record['stage']}",
            f"move it to a folder of that stage, or run {stage}",
        )
    return record


def read_record(folder: Path) -> Record:
    """Read and check the record of a finished run.

    Raises:
        FileNotFoundError: The folder holds none.
        DamagedError: It is empty, cut, another program's, or lacks what a record has.
    """
    remedy = "run its stage again, which makes it anew"
    return read_document(folder / RECORD, RECORD_SHAPE, remedy)


def read_as(path: Path, shape: type[T], remedy: str, **more: Any) -> T:
    """Read a JSON file into a dataclass.

    Args:
        path: Of the file.
        shape: The dataclass, whose fields are what the file must hold, and all that it may.
        remedy: What to do if it is damaged.
        more: Fields that are not in the file.

    Raises:
        FileNotFoundError: There is none.
        DamagedError: It cannot be read, is empty or cut, or holds something else.
    """
    return shaped(read_json(path, remedy) | more, shape, path, remedy)


def shaped(content: Mapping[str, Any], shape: type[T], path: Path, remedy: str) -> T:
    """Make a dataclass of what a file held; arguments and errors as of `read_as`."""
    names = {field.name for field in fields(shape)}  # type: ignore[arg-type]
    if strange := sorted(map(str, content.keys() - names)):
        raise DamagedError(path, f"unknown key {strange[0]!r}", remedy)
    try:
        # From JSON, so that a list is a tuple and a text a path, and nothing else is another.
        if shape not in _ADAPTERS:
            _ADAPTERS[shape] = TypeAdapter(shape)
        adapter: TypeAdapter[T] = _ADAPTERS[shape]
        return adapter.validate_json(json.dumps(content), strict=True)
    except ValidationError as error:
        raise DamagedError(path, _words(error), remedy) from None


def read_json(path: Path, remedy: str, *, needs: Iterable[str] = ()) -> dict[str, Any]:
    """Read a JSON file that holds a mapping.

    Args:
        path: Of the file.
        remedy: What to do if it is damaged.
        needs: Names that the mapping must have.

    Raises:
        FileNotFoundError: There is none.
        DamagedError: It cannot be read, is empty or cut, or holds something else.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise DamagedError(path, f"it cannot be read: {error.strerror}", remedy) from None
    try:
        read = json.loads(content) if content.strip(b"\0 \t\r\n") else None
        if b"\\ud" in content.lower():  # half of a pair could be printed nowhere
            json.dumps(read, ensure_ascii=False).encode()
    except ValueError as error:
        raise DamagedError(path, f"no JSON: {error}", remedy) from None
    except RecursionError:
        raise DamagedError(path, "no JSON: its brackets are too deep", remedy) from None
    if not isinstance(read, dict):
        kind = "it is empty" if read is None else f"it holds a {type(read).__name__}"
        raise DamagedError(path, kind, remedy)
    if lost := [name for name in needs if name not in read]:
        raise DamagedError(path, f"it has no {lost[0]!r}", remedy)
    return read


def _words(error: ValidationError) -> str:
    """Say of the first thing that is wrong where it is, what it is, and why it cannot be."""
    item = error.errors(include_url=False)[0]
    *places, last = item["loc"] or ("",)
    if item["type"] == "missing":
        return f"{_place(places) or 'it'} has no {last!r}"
    text = repr(item["input"])
    text = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
    why = str(item["msg"]).removeprefix("Value error, ").removeprefix("Input should be ")
    wants = "" if item["type"] == "value_error" else "not "
    return f"{_place([*places, last]) or 'it'} is {text}, {wants}{why}"


def _place(names: Iterable[int | str]) -> str:
    """Return `files[0].bytes` of its parts; the kinds that pydantic tried are left out."""
    text = ""
    for name in names:
        text += f"[{name}]" if isinstance(name, int) else f".{name}" if text else str(name)
    return text
