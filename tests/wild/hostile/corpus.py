"""Hostile files, and what must come of each: it does nothing, and is refused by name.

Run as a script it makes and reads all of them in one process, whose memory and time are limited,
and prints what came of each: `python tests/wild/hostile/corpus.py FOLDER`.
"""

import io
import json
import pickle
import resource
import struct
import sys
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from PIL import Image

from melnb.data.datasets import read_dataset
from melnb.data.metadata import read_encoder
from melnb.data.pictures import read_mask, read_picture, read_size
from melnb.data.sources.isic2024 import list_hdf5
from melnb.data.sources.ph2 import read_ph2
from melnb.evaluation.calibration.calibrators import read_calibrator
from melnb.evaluation.decisions.class_decision import read_class_decision
from melnb.evaluation.decisions.locked_threshold import read_threshold
from melnb.evaluation.ensembles.recipes import read_recipe
from melnb.models.networks.state_dicts import read_state_dict
from melnb.models.training.checkpoints import CheckpointError, read_state
from melnb.params import catalogue
from melnb.tables.schema import read_images, read_predictions

Make = Callable[[Path], Any]
Case = tuple[Make, Callable[[Any], Any], list[str]]
SECRET = b"a picture of somebody else"
MEMORY, SECONDS = 3 << 30, 300  # of the address space, and of the processor, for all together
TOO_LARGE = [r"a\.x: [\d,]+ pixels, and one picture may have 67,108,864 .*save it smaller"]


def file(content: bytes | str, name: str = "a.x") -> Make:
    def make(folder: Path) -> Path:
        path = folder / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return make


# ------------------------------------------------------------------------------- pictures


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width: int, height: int, *more: bytes, rows: bytes = b"") -> bytes:
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(more) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def blank_png(width: int, height: int) -> bytes:
    """Half a megabyte that says 177 million black pixels, all of which are there."""
    packer = zlib.compressobj(6)
    rows = [packer.compress(bytes(1 + 3 * width)) for _ in range(height)]
    return png(width, height, rows=b"".join([*rows, packer.flush()]))


def encoded(kind: str, **options: Any) -> bytearray:
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64), "brown").save(buffer, kind, **options)
    return bytearray(buffer.getvalue())


def jpeg(width: int, height: int) -> bytes:
    data = encoded("JPEG")
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = struct.pack(">HH", height, width)
    return bytes(data)


def webp() -> bytes:
    data = encoded("WEBP", lossless=True)
    at = data.index(b"VP8L") + 9
    data[at : at + 4] = struct.pack("<I", 16382 | 16382 << 14)
    return bytes(data)


def tiff(side: int, pages: int = 1) -> bytes:
    """Grey pages without pixels, each of another size than the one before."""
    data = b"II*\0" + struct.pack("<I", 8)
    for page in range(pages):
        tags = (
            (256, 4, side - page % 2), (257, 4, side), (258, 3, 8), (259, 3, 1), (262, 3, 1),
            (273, 4, 8), (277, 3, 1), (278, 4, side), (279, 4, 1),
        )  # fmt: skip
        entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
        end = len(data) + 2 + len(entries) + 4
        following = end if page < pages - 1 else 0
        data += struct.pack("<H", len(tags)) + entries + struct.pack("<I", following)
    return data


def frames(count: int) -> bytes:
    first, *others = (Image.new("L", (4, 4), k % 255) for k in range(count))
    buffer = io.BytesIO()
    first.save(buffer, "GIF", save_all=True, append_images=others)
    return buffer.getvalue()


def postscript(folder: Path) -> Path:
    """A program that writes a file beside itself, where Ghostscript is installed."""
    acted = folder / "acted"
    code = f"({acted}) (w) file dup (x) writestring closefile showpage"
    head = "%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n"
    return file(f"{head}{code}\n%%EOF\n", "a.jpg")(folder)


TEXTS = [chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(1 << 24))) for _ in range(3)]
PICTURES: dict[str, Case] = {
    "a PNG of 177 megapixels": (file(png(13300, 13300)), read_picture, TOO_LARGE),
    "its size": (file(png(13300, 13300)), read_size, TOO_LARGE),
    "a mask of 177 megapixels": (
        file(png(13300, 13300)), lambda path: read_mask(path, 64), TOO_LARGE,
    ),
    "a PNG as large as its header can say": (
        file(png(2**31 - 1, 2**31 - 1)), read_picture, TOO_LARGE,
    ),
    "a JPEG of 4 gigapixels": (file(jpeg(65500, 65500)), read_picture, TOO_LARGE),
    "a JPEG of 90 megapixels, decoded small": (
        file(jpeg(10000, 9000)), lambda path: read_picture(path, 64), TOO_LARGE,
    ),
    "a WebP of 268 megapixels": (file(webp()), read_picture, TOO_LARGE),
    "a TIFF of 10 gigapixels": (file(tiff(100_000)), read_picture, TOO_LARGE),
    "a TIFF of 5,000 pages": (
        file(tiff(4, 5000)), read_picture, [r"a\.x: a TIFF of more than 100 pages: save"],
    ),
    "a GIF of 2,000 frames": (
        file(frames(2000)), read_picture, [r"a\.x: an animation of 2000 frames: save"],
    ),
    "a PNG of 48 MB of text": (
        file(png(4, 4, *TEXTS)), read_picture, [r"a\.x: Decompressed data too large"],
    ),
    "a program that is called a picture": (
        postscript, read_picture, [r"a\.jpg: not a picture .*a PostScript document: give the file"],
    ),
    "its size, which would run it": (postscript, read_size, [r"a\.jpg: not a picture"]),
}  # fmt: skip

# ----------------------------------------------------------------------------------- HDF5


def hdf5(folder: Path) -> Path:
    """A set of pictures, of which all but one lie elsewhere or nowhere."""
    (folder / "secret.jpg").write_bytes(SECRET)
    with h5py.File(folder / "other.hdf5", "w") as other:
        other["secret"] = np.frombuffer(SECRET, np.uint8)
    size = len(SECRET)
    with h5py.File(folder / "train-image.hdf5", "w") as pictures:
        pictures["linked"] = h5py.ExternalLink("other.hdf5", "/secret")
        pictures["pointed"] = h5py.SoftLink("/linked")
        where = [(str(folder / "secret.jpg"), 0, size)]
        pictures.create_dataset("stored", shape=(size,), dtype="u1", external=where)
        layout = h5py.VirtualLayout((size,), "u1")
        layout[:] = h5py.VirtualSource("other.hdf5", "secret", (size,))
        pictures.create_virtual_dataset("virtual", layout)
        pictures.create_dataset("terabyte", shape=(10**12,), dtype="u1", chunks=(1000,))
        pictures["texts"] = ["a", "b"]
        pictures["group/picture"] = np.zeros(3, np.uint8)
    return folder / "train-image.hdf5"


def inside(key: str) -> Callable[[Path], Any]:
    return lambda path: read_picture(f"{path}::{key}")


HDF5: dict[str, Case] = {
    "a link to another file": (
        hdf5, inside("linked"), [r"hdf5::linked: linked is a link to 'other\.hdf5', .*not followed"]
    ),
    "a link to that link": (hdf5, inside("pointed"), ["pointed is a link to '/linked', .*not fol"]),
    "the bytes of another file": (
        hdf5, inside("stored"), [r"stored has its bytes in other files, .*secret\.jpg.*not read"],
    ),
    "another data set's bytes": (hdf5, inside("virtual"), ["virtual is put together of other"]),
    "a terabyte": (hdf5, inside("terabyte"), ["terabyte is of 1,000,000,000,000 bytes, more than"]),
    "texts": (hdf5, inside("texts"), ["texts holds .*, no bytes of a picture's file"]),
    "a group": (hdf5, inside("group"), ["group is a group, no data set"]),
    "a key that climbs": (hdf5, inside("../secret"), [r"there is no \.\."]),
    "no HDF5": (file(b"PK", "a.hdf5"), list_hdf5, [r"a\.hdf5 is no whole HDF5 file .*again"]),
}  # fmt: skip

# ------------------------------------------------------------------------------ a workbook

_SHEET = '<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">'
LAUGHS = "".join(f'<!ENTITY l{k} "{f"&l{k - 1};" * 10}">' for k in range(1, 12))


def book(sheet: str | bytes, name: str = "xl/worksheets/sheet1.xml") -> Make:
    def make(folder: Path) -> Path:
        with zipfile.ZipFile(folder / "PH2_dataset.xlsx", "w", zipfile.ZIP_DEFLATED) as parts:
            parts.writestr(name, sheet)
            parts.writestr("xl/sharedStrings.xml", "<sst/>")
        return folder

    return make


def torn(folder: Path) -> Path:
    path = book(_SHEET + "</worksheet>")(folder) / "PH2_dataset.xlsx"
    path.write_bytes(path.read_bytes()[:-30])
    return folder


def refused(words: str) -> list[str]:
    return [rf"PH2_dataset\.xlsx does not read as a workbook \({words}.*get it again"]


WORKBOOKS: dict[str, Case] = {
    "a thousand million laughs": (
        book(f'<!DOCTYPE l [<!ENTITY l0 "lol">{LAUGHS}]><l>&l11;</l>'), read_ph2,
        refused(r"xl/worksheets/sheet1\.xml defines entities"),
    ),
    "an entity of another file": (
        book(f'<!DOCTYPE l [<!ENTITY a SYSTEM "file:///etc/hostname">]>{_SHEET}&a;</worksheet>'),
        read_ph2, refused(".*defines entities"),
    ),
    "entities in UTF-16": (
        book(f'<!DOCTYPE l [<!ENTITY l0 "lol">{LAUGHS}]><l>&l11;</l>'.encode("utf-16")),
        read_ph2, refused(".*not in UTF-8"),
    ),
    "a sheet that unpacks to 20 MB": (
        book(_SHEET + " " * 20_000_000 + "</worksheet>"), read_ph2,
        refused(r".*sheet1\.xml is of 20,000,\d+ bytes, more than 16,777,216"),
    ),
    "a sheet elsewhere": (
        book("", "../../sheet1.xml"), read_ph2, refused("There is no item named 'xl/worksheets/"),
    ),
    "cells without a place": (
        book(f"{_SHEET}<row><c><v>1</v></c></row></worksheet>"), read_ph2, refused(""),
    ),
    "a text that is not there": (
        book(f'{_SHEET}<row r="1"><c r="A1" t="s"><v>9</v></c></row></worksheet>'), read_ph2,
        refused("list index out of range"),
    ),
    "a torn zip": (torn, read_ph2, refused("File is not a zip file")),
}  # fmt: skip

# ------------------------------------------------------------------------------ parameters


def read_parameters(path: Path) -> Any:
    return catalogue.read_parameters("03_train", [str(path)])


def settings(text: str, *words: str) -> Case:
    return file(text, "p.yaml"), read_parameters, list(words)


BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{k}: &a{k} [{', '.join([f'*a{k - 1}'] * 9)}]\n" for k in range(1, 12)
)
ALIASES = [r"p\.yaml cannot be read .*its aliases .*100,000 values: write out"]
PARAMETERS: dict[str, Case] = {
    "an object of Python": settings(
        "run: !!python/object/apply:os.system ['touch acted']", r"p\.yaml .*python/object/apply"
    ),
    "a module of Python": settings("run: !!python/module:os x", r"p\.yaml .*python/module"),
    "a bomb of aliases": settings(BOMB, *ALIASES),
    "a bomb of aliases where a list is wanted": settings(f"{BOMB}external: *a11\n", *ALIASES),
    "an alias of itself": settings("external: &a [*a]", *ALIASES),
    "a merge of itself": settings("<<: &a {<<: *a}", *ALIASES),
    "100,000 brackets": settings("run: " + "[" * 100_000, r"p\.yaml .*too many brackets"),
    "2 MB": settings("run: " + "x" * (2 << 20), r"p\.yaml .*too large"),
    "900 levels": settings(
        "\n".join("  " * k + "a:" for k in range(900)), r"p\.yaml .*(too deep|too large)"
    ),
    "400 digits for a whole number": settings(
        "epochs: " + "9" * 400, r"epochs: .*more than 19 digits .*received 9{20,30}\.\.\."
    ),
    "5,000 digits for a whole number": settings("epochs: " + "9" * 5000, "epochs: .*finite number"),
    "400 digits for a number": settings(
        "learning_rate: " + "9" * 400, r"learning_rate: .*valid number \(received 9+\.\.\.9+\)"
    ),
    "1e999": settings("learning_rate: 1e999", r"learning_rate: .*finite number \(received inf\)"),
    "nan": settings("learning_rate: nan", r"learning_rate: .*finite number \(received 'nan'\)"),
    "-.inf": settings("learning_rate: -.inf", r"learning_rate: .*\(received '-\.inf'\)"),
    "a name that colours the terminal": settings(
        r'run: "\e[31mred"', r"run: a name is letters, .*received '\\x1b\[31mred'"
    ),
    "a key that colours the terminal": settings(r'"\e[31mred": 1', r"parameter '\\x1b\[31mred'"),
    "a name that climbs": settings("run: ../../x", r"run: a name is letters, .*'\.\./\.\./x'"),
}  # fmt: skip

# --------------------------------------------------------------------- records and arrays

DEEP = "[" * 100_000 + "]" * 100_000
JSON: dict[str, Case] = {
    "a dataset too deep": (
        file(DEEP, "dataset.json"), read_dataset, [r"dataset\.json: .*brackets are too deep"],
    ),
    "an encoder too deep": (
        file(DEEP, "metadata.json"), read_encoder, [r"metadata\.json .*too deep"],
    ),
    "a recipe too deep": (file(DEEP, "recipe.json"), read_recipe, [r"recipe\.json.*too deep"]),
    "a calibrator too deep": (
        file(DEEP, "calibrator.json"), read_calibrator, [r"calibrator\.json.*too deep"],
    ),
    "a class decision too deep": (
        file(DEEP, "class_decision.json"), read_class_decision, [r"class_decision\.json.*too deep"],
    ),
    "a threshold too deep": (
        file(DEEP, "point.json"), read_threshold, [r"point\.json.*too deep"],
    ),
    "a threshold of 5,000 digits": (
        file('{"threshold": ' + "9" * 5000 + "}", "point.json"), read_threshold, [r"point\.json"],
    ),
}  # fmt: skip


class Acts:
    """A pickle of it writes a file where it is read."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("acted"),)


def pickled(folder: Path) -> Path:
    np.savez(folder / "state.npz", note=np.array([Acts()], dtype=object))
    return folder


def swollen(folder: Path) -> Path:
    with zipfile.ZipFile(folder / "state.npz", "w", zipfile.ZIP_DEFLATED) as parts:
        parts.writestr("note.npy", bytes(9_000_000))
    return folder


def huge(folder: Path) -> Path:
    """An array whose header says 8 terabytes."""
    head = "{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,), }".ljust(117) + "\n"
    data = b"\x93NUMPY\x01\0" + struct.pack("<H", len(head)) + head.encode()
    with zipfile.ZipFile(folder / "state.npz", "w") as parts:
        parts.writestr("note.npy", data)
    return folder


def state(folder: Path) -> Any:
    return read_state(folder, {})


LOST = r"state\.npz cannot be read \({}.*: delete its folder and train anew"
ARRAYS: dict[str, Case] = {
    "a pickle": (pickled, state, [LOST.format("Object arrays cannot be loaded")]),
    "an array that unpacks to 9 MB": (swollen, state, [LOST.format("it would unpack to 9,000")]),
    "an array of 8 terabytes": (huge, state, [LOST.format("")]),
}

# ----------------------------------------------------------------------------- state dicts

NUMBERS = [pickle.dumps(n, 2) for n in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})]


def archived(content: bytes, packed: int = zipfile.ZIP_STORED) -> Make:
    def make(folder: Path) -> Path:
        with zipfile.ZipFile(folder / "a.pth", "w", packed) as parts:
            parts.writestr("net/data.pkl", content)
            parts.writestr("net/data/0", bytes(50_000_000 * packed))
        return folder / "a.pth"

    return make


ASKS = r"a\.pth is not read .*asks for .*, which is no tensor; nothing of it was run"
STATES: dict[str, Case] = {
    "weights that act": (
        file(b"".join([*NUMBERS, pickle.dumps(Acts(), 2)]), "a.pth"), read_state_dict, [ASKS],
    ),
    "weights in an archive that act": (archived(pickle.dumps(Acts())), read_state_dict, [ASKS]),
    "weights that unpack to 400 MB": (
        archived(pickle.dumps({}, 2), zipfile.ZIP_DEFLATED), read_state_dict,
        [r"a\.pth .*its parts are packed, or stand for more than it holds: save it anew"],
    ),
    "weights of a text of 4 GB": (
        file(NUMBERS[0] + b"\x80\x02X\xff\xff\xff\xff", "a.pth"), read_state_dict,
        [r"a\.pth is not read"],
    ),
    "names of an exabyte": (
        file(struct.pack("<Q", 1 << 60) + b"{}", "a.safetensors"), read_state_dict,
        [r"a\.safetensors .*its header would be of 1,152,921,504,606,846,976 bytes"],
    ),
    "names too deep": (
        file(struct.pack("<Q", 200_000) + b'{"a":' + b"[" * 199_995, "a.safetensors"),
        read_state_dict, [r"a\.safetensors is not read"],
    ),
}  # fmt: skip

# ---------------------------------------------------------------------------------- tables

HEAD = "image_id,patient_id,lesion_id,path,diagnosis,target,sex,age,site,source\n"
SCORES = "image_id,fold,truth,p_{0},p_other,run,views,kind\ni,0,other,0.2,0.8,r,none,probability\n"


def images(row: str) -> Make:
    return file(f"{HEAD}{row}\n", "images.csv")


SEEN = r"not seen but acted on .*: write it without"
TABLES: dict[str, Case] = {
    "an id that colours the terminal": (
        images("i,\x1b[31mp1,,,,,,,,"), read_images, [r"patient_id is '\\x1b\[31mp1'", SEEN],
    ),
    "an id that turns the line": (
        images("i,p\u202e1,,,,,,,,"), read_images, [r"patient_id is 'p\\u202e1'", SEEN],
    ),
    "a diagnosis that rings": (images("i,,,,ne\avus,,,,,"), read_images, [r"'ne\\x07vus'", SEEN]),
    "a site that goes back": (images("i,,,,,,,,a\bb,"), read_images, [r"site is 'a\\x08b'", SEEN]),
    "a path that turns": (
        images("i,,,a\u2066b.jpg,,,,,,"), read_images, [r"path is 'a\\u2066b\.jpg'", SEEN],
    ),
    "a class that turns": (
        file(SCORES.format("mel\u202e"), "predictions.csv"), read_predictions,
        [r"name of a column is 'p_mel\\u202e'", SEEN],
    ),
    "an image id that is a page": (
        images("<script>x</script>,,,,,,,,,"), read_images, ["unsafe as a file name"],
    ),
    "an image id that is a formula": (
        images("=cmd|' /C calc'!A0,,,,,,,,,"), read_images, ["unsafe as a file name"],
    ),
    "an image id that climbs": (
        images("../../x,,,,,,,,,"), read_images, [r"'\.\./\.\./x' is unsafe as a file name"],
    ),
}  # fmt: skip

CASES = PICTURES | HDF5 | WORKBOOKS | PARAMETERS | JSON | ARRAYS | STATES | TABLES


def outcome(name: str, folder: Path) -> str:
    """Make a file and read it; return what was said of it."""
    make, read, _ = CASES[name]
    folder.mkdir()
    try:
        return f"read: {read(make(folder))!r}"[:200]
    except (ValueError, OSError, CheckpointError) as error:
        return f"refused: {error}"
    except BaseException as error:
        return f"escaped: {error!r}"


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    root, before = Path(sys.argv[1]), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    CASES["a PNG of 177 megapixels, all there"] = (
        file(blank_png(13300, 13300)), read_picture, TOO_LARGE,
    )  # fmt: skip
    said = {name: outcome(name, root / f"{k}") for k, name in enumerate(CASES)}
    most = resource.getrusage(resource.RUSAGE_SELF)
    print(json.dumps({"said": said, "kilobytes": most.ru_maxrss - before, "cpu": most.ru_utime}))
