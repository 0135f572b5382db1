"""State dicts: files of torch.save and of safetensors are read right, or refused and do nothing."""

import io
import json
import pickle
import struct
import zipfile
from collections.abc import Callable, Mapping
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from melnb.models.networks.layouts import WeightsError
from melnb.models.networks.state_dicts import read_state_dict

# What torch.save writes, opcode by opcode: PyTorch is not installed here.


def number(n: int) -> bytes:
    size = n.bit_length() // 8 + 1
    return b"\x8a" + bytes([size]) + n.to_bytes(size, "little", signed=True)


def text(words: str) -> bytes:
    return b"X" + struct.pack("<I", len(words)) + words.encode()


def row(*parts: bytes) -> bytes:
    return b"(" + b"".join(parts) + b"t"


def numbers(*values: int) -> bytes:
    return row(*(number(n) for n in values))


def asked(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode()


def tensor(
    shape: tuple[int, ...] = (2, 3), strides: tuple[int, ...] = (3, 1), *, offset: int = 0,
    key: str = "0", count: int = 6, kind: str = "FloatStorage", more: bytes = b"",
) -> bytes:  # fmt: skip
    storage = row(
        text("storage"), asked("torch", kind), text(key), text("cpu"), number(count), more
    )
    hooks = asked("collections", "OrderedDict") + b")R"
    parts = storage + b"Q", number(offset), numbers(*shape), numbers(*strides), b"\x89", hooks
    return asked("torch._utils", "_rebuild_tensor_v2") + row(*parts) + b"R"


def named(**values: bytes) -> bytes:
    return b"}(" + b"".join(text(name) + value for name, value in values.items()) + b"u"


def pickled(values: bytes) -> bytes:
    return b"\x80\x02" + values + b"."


MAGIC = 0x1950A86A20F9469CFC6C
SIX = np.arange(6, dtype="<f4")
Storages = Mapping[str, np.ndarray]


def old(values: bytes, storages: Storages | None = None, *, little: bool = True) -> bytes:
    """Return a file as torch.save wrote it before 1.6."""
    storages = {"0": SIX} if storages is None else storages
    system = {"protocol_version": 1001, "little_endian": little, "type_sizes": {"int": 4}}
    head = b"".join(pickle.dumps(thing, 2) for thing in (MAGIC, 1001, system))
    raw = b"".join(struct.pack("<q", s.size) + s.tobytes() for s in storages.values())
    return head + pickled(values) + pickle.dumps([*storages], 2) + raw


def archive(
    values: bytes, storages: Storages | None = None, *, packed: int = zipfile.ZIP_STORED,
    **parts: bytes,
) -> bytes:  # fmt: skip
    """Return a file as torch.save has written it since 1.6."""
    storages = {"0": SIX} if storages is None else storages
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", packed) as file:
        file.writestr("net/data.pkl", pickled(values))
        file.writestr("net/byteorder", "little")
        for key, values_ in storages.items():
            file.writestr(f"net/data/{key}", values_.tobytes())
        for name, content in parts.items():
            file.writestr(name, content)
    return buffer.getvalue()


def safe(entries: Mapping[str, Any], body: bytes = SIX.tobytes(), *, length: int = -1) -> bytes:
    head = json.dumps(entries).encode()
    return struct.pack("<Q", len(head) if length < 0 else length) + head + body


def entry(shape: list[int], begin: int, end: int, kind: str = "F32") -> dict[str, Any]:
    return {"dtype": kind, "shape": shape, "data_offsets": [begin, end]}


Write = Callable[..., bytes]
HUGE = 1 << 62


def read(folder: Path, content: bytes, name: str = "a.pth") -> dict[str, np.ndarray]:
    (folder / name).write_bytes(content)
    return read_state_dict(folder / name)


# Read right.


@pytest.mark.parametrize("write", [old, archive])
def test_tensors_come_as_they_lie_in_their_storage(write: Write, tmp_path: Path) -> None:
    values = named(
        whole=tensor(), turned=tensor((3, 2), (1, 3)), part=tensor((2,), (1,), offset=4),
        one=tensor((), ()), again=tensor((2, 3), (0, 1)), long=tensor((1, 6), (HUGE, 1)),
    )  # fmt: skip
    state = read(tmp_path, write(values))
    whole = SIX.reshape(2, 3)
    expected = {
        "whole": whole, "turned": whole.T, "part": SIX[4:], "one": SIX[0],
        "again": np.stack([SIX[:3]] * 2), "long": SIX[None],
    }  # fmt: skip
    assert state.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(state[name], array)
        assert state[name].dtype == "f4"


@pytest.mark.parametrize("write", [old, archive])
@pytest.mark.parametrize(
    ("kind", "code"),
    [("DoubleStorage", "<f8"), ("HalfStorage", "<f2"), ("LongStorage", "<i8"),
     ("IntStorage", "<i4"), ("ShortStorage", "<i2"), ("CharStorage", "i1"), ("ByteStorage", "u1"),
     ("BoolStorage", "?")],
)  # fmt: skip
def test_numbers_of_every_kind(write: Write, kind: str, code: str, tmp_path: Path) -> None:
    stored = np.array([0, 1, 1, 0, 1, 1]).astype(code)
    state = read(tmp_path, write(named(a=tensor(kind=kind)), {"0": stored}))
    np.testing.assert_array_equal(state["a"], stored.reshape(2, 3))
    assert state["a"].dtype == np.dtype(code)


def test_brain_floats_become_those_of_which_they_are_the_half(tmp_path: Path) -> None:
    halves = np.array([0x3F80, 0xC000, 0x7F80, 0x0000, 0x3E80, 0xBF00], "<u2")
    expected = [[1, -2, np.inf], [0, 0.25, -0.5]]
    content = archive(named(a=tensor(kind="BFloat16Storage")), {"0": halves})
    np.testing.assert_array_equal(read(tmp_path, content)["a"], expected)
    content = safe({"a": entry([2, 3], 0, 12, "BF16")}, halves.tobytes())
    np.testing.assert_array_equal(read(tmp_path, content)["a"], expected)


def test_what_people_wrap_a_state_dict_in(tmp_path: Path) -> None:
    parameter = asked("torch._utils", "_rebuild_parameter") + row(tensor(), b"\x88", b"N") + b"R"
    notes = named(_metadata=b"}")
    inner = asked("collections", "OrderedDict") + b")R(" + text("module.a") + parameter + b"u"
    whole = named(epoch=number(3), state_dict=inner + notes + b"b", steps=b"](K\x01K\x02e")
    state = read(tmp_path, old(whole))
    assert [*state] == ["a"]
    np.testing.assert_array_equal(state["a"], SIX.reshape(2, 3))
    both = named(
        model=named(a=tensor()), optimizer=named(step=tensor((1,), (1,), key="1", count=2))
    )
    state = read(tmp_path, old(both, {"1": SIX[:2], "0": SIX}))
    assert [*state] == ["a"]
    remembered = b"}" + text("a") + tensor() + b"q\x07s" + text("b") + b"h\x07s"
    assert [*read(tmp_path, archive(remembered))] == ["a", "b"]
    younger = text("torch._utils") + text("_rebuild_tensor_v2") + b"\x93"
    later = tensor().replace(asked("torch._utils", "_rebuild_tensor_v2"), younger)
    assert [*read(tmp_path, archive(named(a=later)))] == ["a"]


def test_safetensors(tmp_path: Path) -> None:
    half = np.arange(4, dtype="<f2")
    content = safe(
        {
            "__metadata__": {"format": "pt"},
            "b": entry([4], 24, 32, "F16"),
            "a": entry([2, 3], 0, 24),
        },
        SIX.tobytes() + half.tobytes(),
    )
    state = read(tmp_path, content, "a.safetensors")
    np.testing.assert_array_equal(state["a"], SIX.reshape(2, 3))
    np.testing.assert_array_equal(state["b"], half)


SMALL = st.lists(st.integers(-1, 4), max_size=3)


@settings(max_examples=settings.default.max_examples // 2)
@given(shape=SMALL, strides=SMALL, offset=st.integers(-1, 7), count=st.integers(0, 8))
@example(shape=[2, 3], strides=[3, 1], offset=0, count=6)
@example(shape=[2, 3], strides=[3, 1], offset=1, count=6)
@example(shape=[1], strides=[4], offset=5, count=6)
def test_a_tensor_is_read_from_its_own_storage_or_not_at_all(
    shape: list[int], strides: list[int], offset: int, count: int, tmp_path_factory: Any
) -> None:
    folder = tmp_path_factory.getbasetemp()
    stored = np.arange(count, dtype="<f4")
    content = archive(
        named(a=tensor(tuple(shape), tuple(strides), offset=offset, count=count)), {"0": stored}
    )
    regular = len(shape) == len(strides) and min([1, *shape]) > 0 and min([0, *strides]) >= 0
    places = [
        offset + sum(k * step for k, step in zip(place, strides, strict=True))
        for place in product(*(range(n) for n in shape))
    ] if regular else [-1]  # fmt: skip
    if min(places) < 0 or max(places) >= count:
        with pytest.raises(WeightsError, match=r"no tensor has|reaches beyond"):
            read(folder, content)
    else:
        np.testing.assert_array_equal(read(folder, content)["a"].ravel(), stored[places])


# Refused.


class Acts:
    """A pickle of it writes a file where it is read."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("acted"),)


ACTS = pickle.dumps(Acts(), 2)[2:-1]
ACTS_LATER = pickle.dumps(Acts(), 4)[2:-1]
SHELL = asked("os", "system") + row(text("touch acted")) + b"R"
SAVE = r"torch\.save\(model\.state_dict\(\), path\)"
ASKS = r"asks for {}, which is no tensor; nothing of it was run.*" + SAVE
PICKLES: dict[str, tuple[bytes, str]] = {
    "a function that acts": (ACTS, ASKS.format(r"pathlib\w*\.Path|asks for getattr|asks for .*")),
    "a younger pickle that acts": (ACTS_LATER, ASKS.format(".*")),
    "a shell": (SHELL, ASKS.format(r"os\.system")),
    "a shell among tensors": (named(a=tensor(), b=SHELL), ASKS.format(r"os\.system")),
    "a shell as a hook": (
        named(a=tensor().replace(b"ccollections\nOrderedDict\n)R", SHELL)),
        ASKS.format(r"os\.system"),
    ),
    "a loader of torch": (asked("torch", "load"), ASKS.format(r"torch\.load")),
    "a whole network": (asked("__main__", "Net") + b")\x81", ASKS.format(r"__main__\.Net")),
    "an old instance": (b"(ios\nsystem\n", r"does more than hold tensors \(INST\)"),
    "an extension": (b"\x82\x01", r"does more than hold tensors \(EXT1\)"),
    "a dictionary of others": (
        asked("collections", "OrderedDict") + row(b"]") + b"R", "something else than tensors",
    ),
    "a storage called as a function": (
        asked("torch", "FloatStorage") + row(number(HUGE)) + b"R", "something else than tensors",
    ),
    "a state for what has none": (b"](K\x01eK\x02b", r"does more than hold tensors \(BUILD\)"),
    "sizes below nothing": (named(a=tensor((-2, 3))), r"'a' has shape \(-2, 3\).*no tensor has"),
    "steps below nothing": (named(a=tensor((2, 3), (-3, 1), offset=5)), r"steps \(-3, 1\)"),
    "a place below nothing": (named(a=tensor(offset=-4)), "from -4: no tensor has"),
    "no size": (named(a=tensor((0, 3))), r"'a' has shape \(0, 3\)"),
    "a size beyond all": (named(a=tensor((HUGE, 3), (0, 0))), r"'a' has shape"),
    "fewer steps than axes": (named(a=tensor((2, 3), (1,))), r"'a' has shape"),
    "thousands of axes": (named(a=tensor((1,) * 5000, (1,) * 5000)), r"'a' has shape \(1, 1"),
    "a step beyond": (named(a=tensor((2, 3), (4, 1))), "'a' reaches beyond what the file holds"),
    "a place beyond": (named(a=tensor(offset=1)), "'a' reaches beyond"),
    "a step far beyond": (named(a=tensor((2, 2), (HUGE, 1))), "'a' reaches beyond"),
    "no number for a size": (named(a=tensor().replace(number(3), b"\x88", 1)), "something else"),
    "a terabyte of one number": (
        named(a=tensor((1 << 20, 1 << 18), (0, 0))), r"stand for 1,099,511,627,776",
    ),
    "a number of another kind": (named(a=tensor(kind="ComplexFloatStorage")), ASKS.format(".*")),
    "a view of a view": (named(a=tensor(more=row(b"N"))), "a storage of another kind"),
    "nothing that has a name": (b"]", "no tensors that have names"),
    "a name that is a list": (b"}(]K\x01u", "names what cannot have a name"),
    "a name without a value": (b"}(" + text("a") + b"u", "longer|shorter"),
    "an end too many": (b"tttt", "not read as a state dict"),
    "what was never kept": (b"h\x05", "not read as a state dict"),
}  # fmt: skip


@pytest.mark.parametrize("write", [old, archive])
@pytest.mark.parametrize("case", PICKLES)
def test_what_is_no_tensor_is_named_and_does_nothing(
    write: Write, case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    values, words = PICKLES[case]
    with pytest.raises(WeightsError, match=words) as refused:
        read(tmp_path, write(values))
    assert str(tmp_path / "a.pth") in str(refused.value)
    assert len(str(refused.value)) < 700
    assert not (tmp_path / "acted").exists()


def test_those_pickles_would_have_acted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for values in (ACTS, SHELL):
        monkeypatch.chdir(tmp_path)
        pickle.loads(pickled(values))
        assert (tmp_path / "acted").exists()
        (tmp_path / "acted").unlink()


TENSOR = named(a=tensor())
FILES: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "is empty"),
    "a pointer of Git LFS": (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
    "a web page": (b"<!DOCTYPE html>", "is a web page"),
    "a picture": (b"\xff\xd8\xff\xe0JFIF and so on", "neither of torch.save nor of safetensors"),
    "a plain pickle": (pickle.dumps({"a": 1}), "neither of torch.save nor of safetensors"),
    "an old file, cut": (old(TENSOR)[:-4], "reaches beyond what the file holds"),
    "an old file, cut early": (old(TENSOR)[:200], "not read as a state dict"),
    "an old file of the other end": (old(TENSOR, little=False), "another order of bytes"),
    "an old file of another size": (
        old(TENSOR, {"0": SIX[:4]}), "storages are not those of its tensors",
    ),
    "an old file of exabytes": (
        old(named(a=tensor(count=HUGE))).replace(struct.pack("<q", 6), struct.pack("<q", HUGE)),
        "storages are not those",
    ),
    "an old file without its storage": (old(TENSOR, {}), "reaches beyond"),
    "an old file of other storages": (old(TENSOR, {"7": SIX}), "storages are not those"),
    "an archive, cut": (archive(TENSOR)[:-30], "File is not a zip file"),
    "an archive that is packed": (
        archive(TENSOR, packed=zipfile.ZIP_DEFLATED), "packed, or stand for more",
    ),
    "an archive that climbs": (
        archive(TENSOR, **{"../../acted": b"x"}), r"'\.\./\.\./acted' would lie elsewhere",
    ),
    "an archive from the root": (archive(TENSOR, **{"/acted": b"x"}), "'/acted' would lie else"),
    "a storage that climbs": (
        archive(named(a=tensor(key="../../x"))), r"its storage '\.\./\.\./x' has no number",
    ),
    "an archive of the other end": (
        archive(TENSOR).replace(b"little", b"bittle"), "CRC|order of bytes",
    ),
    "an archive of something else": (
        archive(TENSOR).replace(b"data.pkl", b"data.pkx"), "a zip of something else",
    ),
    "an archive without its storage": (archive(TENSOR, {}), "no item named|not read as"),
    "an archive of a short storage": (archive(TENSOR, {"0": SIX[:5]}), "reaches beyond"),
}  # fmt: skip
SAFES: dict[str, tuple[bytes, str]] = {
    "a header of exabytes": (safe({"a": entry([6], 0, 24)}, length=HUGE), "header would be of"),
    "a header that is cut": (safe({"a": entry([6], 0, 24)}, length=9), "not read as"),
    "a header too deep": (
        struct.pack("<Q", 200_001) + b'{"a":' + b"[" * 199_996, "recursion|too deep",
    ),
    "bytes beyond": (safe({"a": entry([7], 0, 28)}), r"bytes 0 to 28 of 24: no tensor has"),
    "bytes below": (safe({"a": entry([6], -24, 0)}), "no tensor has"),
    "bytes and shape that differ": (safe({"a": entry([5], 0, 24)}), "no tensor has"),
    "sizes below nothing": (safe({"a": entry([-2, -3], 0, 24)}), "no tensor has"),
    "sizes beyond all": (safe({"a": entry([HUGE, 4], 0, 24)}), "no tensor has"),
    "tensors that overlap": (
        safe({"a": entry([6], 0, 24), "b": entry([3], 0, 12)}), "overlap or leave gaps",
    ),
    "a gap": (safe({"a": entry([3], 0, 12)}), "overlap or leave gaps"),
    "a name twice": (safe({"a": 1}).replace(b'"a": 1', b'"a": 1,"a": 2'), "not read as"),
    "a kind of the future": (safe({"a": entry([24], 0, 24, "F8_E4M3")}), "'a' is no tensor of a"),
    "places that are no numbers": (safe({"a": entry([6], 0, 24) | {"shape": [6.0]}}), "no tensor"),
    "no tensor": (safe({}), "overlap or leave gaps"),
}  # fmt: skip


@pytest.mark.parametrize("case", FILES | SAFES)
def test_what_is_no_whole_file_is_named(case: str, tmp_path: Path) -> None:
    content, words = (FILES | SAFES)[case]
    with pytest.raises(WeightsError, match=words) as refused:
        read(tmp_path, content)
    assert str(tmp_path / "a.pth") in str(refused.value)
    assert [path.name for path in tmp_path.iterdir()] == ["a.pth"]
