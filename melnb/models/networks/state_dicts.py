"""State dicts: the tensors of a PyTorch file or of safetensors, read without either library.

A `.pth` file is a pickle, and to load a pickle is to run what it says. Nothing is run here: the few
opcodes by which `torch.save` writes tensors are read as words, one after another, and whatever else
stands in the file is refused by its name.
"""

from __future__ import annotations

import io
import json
import math
import pickletools
import re
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from melnb.models.networks.layouts import WeightsError
from melnb.models.networks.saved import ModelFileError, check_first_bytes

SUFFIXES = (".pth", ".pt", ".safetensors")
StateDict = dict[str, np.ndarray]

_MOST_BYTES = 1 << 31  # of a file: ten times the largest of our backbones
_MOST_HEADER = 100_000_000  # bytes that safetensors allows for the names
_MOST_STEPS = 1 << 20  # opcodes of a pickle; an EfficientNet has 12,000
_MOST_AXES, _MOST_SIDE = 8, 1 << 40
_MORE, _TIMES = 1 << 26, 4  # bytes of all tensors: so many, and times the file's own
_SAVE = "save it anew: torch.save(model.state_dict(), path)"
_ZIP = b"PK\x03\x04"
_PICKLES = bytes.fromhex("80028a0a6cfc9c46f9206aa85019")  # how torch.save began before 1.6


def read_state_dict(path: str | Path) -> StateDict:
    """Read the tensors of a file that `torch.save(model.state_dict())` or safetensors wrote.

    Both of PyTorch's formats are read: the pickles of old, and the archive since 1.6. Tensors may
    lie in an entry `state_dict` or `model`, and a `module.` before all names is taken away. It
    takes the memory of the file, of an archive twice, and of its tensors.

    Returns:
        Name and values of every tensor; bfloat16 as float32.

    Raises:
        WeightsError: It is no such file, it is cut, its tensors reach beyond what it holds or stand
            for far more, or it asks for anything else than tensors. Nothing of it is ever run.
    """
    path = Path(path)
    try:
        check_first_bytes(path)
        if path.stat().st_size > _MOST_BYTES:
            raise ValueError(f"{path.stat().st_size:,} bytes are more than {_MOST_BYTES:,}")
        content = path.read_bytes()
        if content.startswith(_ZIP):
            tensors = _read_archive(content)
        elif content[8:9] == b"{":
            tensors = _read_safetensors(content)
        else:
            tensors = _read_pickles(content)
    except ModelFileError as error:
        raise WeightsError(f"weights: {error}") from None
    except (ValueError, LookupError, RuntimeError, EOFError, zipfile.BadZipFile) as error:
        words = str(error) or type(error).__name__
        raise WeightsError(f"{path} is not read as a state dict: {words}") from None
    prefix = "module." if all(name.startswith("module.") for name in tensors) else ""
    return {name.removeprefix(prefix): values for name, values in tensors.items()}


# Pickles, as words.


class _Name(NamedTuple):
    """What a pickle asks for by name. It is compared, and never looked up."""

    module: str
    name: str


class _Storage(NamedTuple):
    """A row of numbers of one kind, which lies elsewhere in the file."""

    kind: str
    key: str
    length: int


class _View(NamedTuple):
    """A tensor: where in a storage it begins, its shape, and its steps along each axis."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


_KINDS = {
    "DoubleStorage": "<f8", "FloatStorage": "<f4", "HalfStorage": "<f2", "BFloat16Storage": "<u2",
    "LongStorage": "<i8", "IntStorage": "<i4", "ShortStorage": "<i2", "CharStorage": "i1",
    "ByteStorage": "u1", "BoolStorage": "?",
}  # fmt: skip
_BRAIN = ("BFloat16Storage", "BF16")  # the upper half of a float32
_DICT = _Name("collections", "OrderedDict")
_TENSOR = _Name("torch._utils", "_rebuild_tensor_v2")
_PARAMETER = _Name("torch._utils", "_rebuild_parameter")
_ADMITTED = {_DICT, _TENSOR, _PARAMETER, *(_Name("torch", kind) for kind in _KINDS)}

_PLAIN = {
    "BINUNICODE", "SHORT_BINUNICODE", "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT",
}  # fmt: skip
_EMPTY: dict[str, Any] = {
    "NONE": lambda: None, "NEWTRUE": lambda: True, "NEWFALSE": lambda: False,
    "EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple,
}  # fmt: skip
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


class _Words:
    """What a pickle describes, of names, numbers, tuples, lists, dicts and views alone."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.storages: dict[str, _Storage] = {}

    def load(self, stream: io.BytesIO) -> Any:
        """Read one pickle to its end."""
        for step, (opcode, word, _) in enumerate(pickletools.genops(stream)):
            if step == _MOST_STEPS:
                raise ValueError(f"a pickle of more than {_MOST_STEPS:,} steps is no state dict")
            if opcode.name == "STOP":
                return self.stack.pop()
            self._take(opcode.name, word)
        raise ValueError("it ends before its end: copy or download it again")

    def _take(self, name: str, word: Any) -> None:
        if name in _PLAIN:
            self.stack.append(word)
        elif name in _EMPTY:
            self.stack.append(_EMPTY[name]())
        elif name in _TUPLES:
            self._put_tuple(len(self.stack) - _TUPLES[name])
        elif name in ("BINPUT", "LONG_BINPUT", "MEMOIZE"):
            self.memo[len(self.memo) if word is None else word] = self.stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            self.stack.append(self.memo[word])
        elif name == "MARK":
            self.marks.append(len(self.stack))
        elif name not in ("PROTO", "FRAME"):
            self._join(name, word)

    def _join(self, name: str, word: Any) -> None:
        match name:
            case "TUPLE":
                self._put_tuple(self.marks.pop())
            case "SETITEM":
                self._put_items(len(self.stack) - 2)
            case "SETITEMS":
                self._put_items(self.marks.pop())
            case "APPEND":
                self._put_values(len(self.stack) - 1)
            case "APPENDS":
                self._put_values(self.marks.pop())
            case "GLOBAL":
                self.stack.append(_admitted(*word.split(" ", 1)))
            case "STACK_GLOBAL":
                *self.stack, module, attribute = self.stack
                self.stack.append(_admitted(module, attribute))
            case "BINPERSID":
                storage = _storage(self.stack.pop())
                self.storages[storage.key] = storage
                self.stack.append(storage)
            case "REDUCE":
                arguments = self.stack.pop()
                self.stack.append(_described(self.stack.pop(), arguments))
            case "BUILD" if isinstance(self.stack[-2], dict):  # notes of modules' versions
                self.stack.pop()
            case _:
                raise ValueError(f"its pickle does more than hold tensors ({name}): {_SAVE}")

    def _cut(self, place: int) -> list[Any]:
        if not 0 <= place <= len(self.stack):
            raise ValueError("its pickle is damaged: copy or download it again")
        items = self.stack[place:]
        del self.stack[place:]
        return items

    def _put_tuple(self, place: int) -> None:
        self.stack.append(tuple(self._cut(place)))

    def _put_values(self, place: int) -> None:
        values, target = self._cut(place), self.stack[-1]
        if not isinstance(target, list):
            raise ValueError("its pickle is damaged: it appends to what is no list")
        target += values

    def _put_items(self, place: int) -> None:
        items, target = self._cut(place), self.stack[-1]
        keys, values = items[::2], items[1::2]
        if not isinstance(target, dict) or not all(isinstance(key, str | int) for key in keys):
            raise ValueError("its pickle is damaged: it names what cannot have a name")
        target.update(zip(keys, values, strict=True))


def _admitted(module: Any, name: Any) -> _Name:
    asked = _Name(str(module)[:80], str(name)[:80])
    if asked not in _ADMITTED:
        raise ValueError(
            f"it asks for {asked.module}.{asked.name}, which is no tensor; nothing of it was run. "
            f"If you trust it, {_SAVE}"
        )
    return asked


def _storage(words: Any) -> _Storage:
    match words:
        case ("storage", _Name("torch", kind), str(key), str(), count, *views) if (
            kind in _KINDS and _numbers((count,)) and count >= 0 and views in ([], [None])
        ):
            return _Storage(kind, key, count)
    raise ValueError(f"it has a storage of another kind: {_SAVE}")


def _described(what: Any, arguments: Any) -> Any:
    if what == _DICT and arguments == ():
        return {}
    if what == _PARAMETER and isinstance(arguments, tuple) and isinstance(arguments[0], _View):
        return arguments[0]
    match arguments:
        case (_Storage() as storage, offset, tuple(shape), tuple(strides), *_) if (
            what == _TENSOR and _numbers((offset, *shape, *strides))
        ):
            return _View(storage, offset, shape, strides)
    raise ValueError(f"its pickle makes something else than tensors: {_SAVE}")


def _numbers(values: Sequence[Any]) -> bool:
    return all(type(value) is int for value in values)


# The two formats of torch.save.


def _read_pickles(content: bytes) -> StateDict:
    """Read three small pickles, one that describes the tensors, one of keys, and the storages."""
    stream = io.BytesIO(content)
    if not content.startswith(_PICKLES):
        raise ValueError(f"it is neither of torch.save nor of safetensors: {_SAVE}")
    _, _, system = (_Words().load(stream) for _ in range(3))
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise ValueError(f"its numbers have another order of bytes: {_SAVE}")
    words = _Words()
    views, keys = _views(words.load(stream)), _Words().load(stream)
    storages, whole = {}, memoryview(content)
    for key in keys if isinstance(keys, list) else ():
        storage = words.storages.get(key) if isinstance(key, str) else None
        length = int.from_bytes(stream.read(8), "little")
        if storage is None or length != storage.length or length > len(content):
            raise ValueError("its storages are not those of its tensors: copy or download it again")
        begin = stream.tell()
        end = stream.seek(begin + storage.length * np.dtype(_KINDS[storage.kind]).itemsize)
        storages[key] = whole[begin:end]
    return _arrays(views, storages, len(content))


def _read_archive(content: bytes) -> StateDict:
    """Read `<name>/data.pkl`, which describes the tensors, and `<name>/data/<key>`."""
    with zipfile.ZipFile(io.BytesIO(content)) as parts:
        names = parts.namelist()
        for name in names:
            if name.startswith("/") or "\\" in name or ".." in name.split("/"):
                raise ValueError(f"its part {name[:80]!r} would lie elsewhere; nothing is unpacked")
        packed = any(part.compress_type != zipfile.ZIP_STORED for part in parts.infolist())
        if packed or sum(part.file_size for part in parts.infolist()) > len(content):
            raise ValueError(f"its parts are packed, or stand for more than it holds: {_SAVE}")
        root = next((name[:-9] for name in names if re.fullmatch("[^/]+/data.pkl", name)), "")
        if not root:
            raise ValueError(f"it is a zip of something else than tensors: {_SAVE}")
        if f"{root}/byteorder" in names and parts.read(f"{root}/byteorder") != b"little":
            raise ValueError(f"its numbers have another order of bytes: {_SAVE}")
        views = _views(_Words().load(io.BytesIO(parts.read(f"{root}/data.pkl"))))
        keys = {view.storage.key for view in views.values()}
        if strange := sorted(key for key in keys if not re.fullmatch(r"[0-9]{1,9}", key)):
            raise ValueError(f"its storage {strange[0][:80]!r} has no number: {_SAVE}")
        storages = {key: memoryview(parts.read(f"{root}/data/{key}")) for key in keys}
    return _arrays(views, storages, len(content))


def _views(held: Any) -> dict[str, _View]:
    """Return the tensors of what was saved, by name."""
    for entry in ("state_dict", "model"):
        if isinstance(held, dict) and isinstance(held.get(entry), dict):
            held = held[entry]
    items = held.items() if isinstance(held, dict) else ()
    views = {str(name): value for name, value in items if isinstance(value, _View)}
    if not views:
        raise ValueError(f"it holds no tensors that have names: {_SAVE}")
    return views


def _arrays(views: Mapping[str, _View], storages: Mapping[str, memoryview], size: int) -> StateDict:
    """Return the values of each view, once all of them lie inside their storages."""
    total = 0
    for name, (storage, offset, shape, strides) in views.items():
        regular = len(shape) == len(strides) <= _MOST_AXES and offset >= 0
        if not regular or not all(0 < n < _MOST_SIDE for n in shape) or min(strides, default=0) < 0:
            places = f"shape {str(shape)[:80]}, steps {str(strides)[:80]}, from {offset}"
            raise ValueError(f"{name[:80]!r} has {places}: no tensor has")
        last = offset + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
        width = np.dtype(_KINDS[storage.kind]).itemsize
        if not last < storage.length <= len(storages.get(storage.key, ())) // width:
            raise ValueError(f"{name[:80]!r} reaches beyond what the file holds: get it again")
        total += math.prod(shape) * width
    if total > _MORE + _TIMES * size:
        raise ValueError(f"its {size:,} bytes stand for {total:,}")
    arrays = {}
    for name, (storage, offset, shape, strides) in views.items():
        flat = np.frombuffer(storages[storage.key], _KINDS[storage.kind], storage.length)[offset:]
        steps = [step * flat.itemsize * (n > 1) for n, step in zip(shape, strides, strict=True)]
        values = np.lib.stride_tricks.as_strided(flat, shape, steps, writeable=False)
        arrays[name] = _widened(values) if storage.kind in _BRAIN else values.copy()
    return arrays


def _widened(values: np.ndarray) -> np.ndarray:
    return (values.astype("<u4") << 16).view("<f4")


# safetensors: a length, names in JSON, and the numbers.

_SAFE_KINDS = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4",
    "I16": "<i2", "I8": "i1", "U8": "u1", "BOOL": "?",
}  # fmt: skip


def _read_safetensors(content: bytes) -> StateDict:
    length = int.from_bytes(content[:8], "little")
    if length > min(_MOST_HEADER, len(content) - 8):
        raise ValueError(f"its header would be of {length:,} bytes: copy or download it again")
    header = json.loads(content[8 : 8 + length].decode(), object_pairs_hook=_once)
    numbers = memoryview(content)[8 + length :]
    header.pop("__metadata__", None)
    arrays, spans = {}, []
    for name, entry in header.items():
        match entry:
            case {"dtype": str(kind), "shape": [*shape], "data_offsets": [begin, end]} if (
                kind in _SAFE_KINDS and _numbers((begin, end, *shape))
            ):
                spans.append((begin, end))
                arrays[name] = _between(name, numbers, kind, shape, begin, end)
            case _:
                raise ValueError(f"{name[:80]!r} is no tensor of a kind that is read here")
    places = sorted(spans)
    ends = [0, *(end for _, end in places)]
    if [begin for begin, _ in places] != ends[:-1] or ends[-1] != len(numbers) or not places:
        raise ValueError("its tensors overlap or leave gaps: copy or download it again")
    return arrays


def _between(
    name: str, numbers: memoryview, kind: str, shape: Sequence[int], begin: int, end: int
) -> np.ndarray:
    values = np.dtype(_SAFE_KINDS[kind])
    wide = all(0 < n < _MOST_SIDE for n in shape) and len(shape) <= _MOST_AXES
    inside = 0 <= begin <= end <= len(numbers)
    if not wide or not inside or math.prod(shape) * values.itemsize != end - begin:
        raise ValueError(
            f"{name[:80]!r} has shape {str(shape)[:80]} and bytes {begin} to {end} of "
            f"{len(numbers):,}: no tensor has"
        )
    flat = np.frombuffer(numbers, values, math.prod(shape), begin).reshape(shape)
    return _widened(flat) if kind in _BRAIN else flat.copy()


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    if len({*names}) < len(names):
        raise ValueError("a name stands in it twice: copy or download it again")
    return dict(pairs)
