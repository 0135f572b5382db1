"""HDF5: what lies in the file itself, and nothing that the file only points to.

An HDF5 file may hold links to other files, data sets whose bytes are another file's (external
storage) or other data sets' (virtual), and data sets of a terabyte that take a kilobyte: reading
one would put a file of this machine into a shard, or fill its memory.
"""

from __future__ import annotations

from pathlib import Path

import h5py

MOST_BYTES = 1 << 28  # of one data set that is the file of a picture
_MORE, _TIMES = 1 << 26, 10  # what data sets may take: so much, and so many times their file


class ForeignError(ValueError):
    """An HDF5 file points out of itself, or stands for more than it holds."""


def read_own(group: h5py.Group, key: str) -> bytes:
    """Read the bytes of a data set that lies in the file.

    Args:
        group: Of the file, opened.
        key: Of the data set, `a` or `a/b`.

    Raises:
        KeyError: There is no such data set.
        ForeignError: It lies elsewhere, is larger than a picture's file can be, or holds no bytes.
    """
    item = group
    for name in key.strip("/").split("/"):
        item = _own_item(item, name)
    if not isinstance(item, h5py.Dataset):
        raise KeyError(f"{key} is a group, no data set")
    _check_dataset(item)
    if item.dtype.kind not in "uiSV" and h5py.check_string_dtype(item.dtype) is None:
        raise ForeignError(f"{key} holds {item.dtype}, no bytes of a picture's file")
    if item.nbytes > MOST_BYTES:
        raise ForeignError(f"{key} is of {item.nbytes:,} bytes, more than {MOST_BYTES:,}")
    if h5py.check_string_dtype(item.dtype) is not None and item.shape != ():
        raise ForeignError(f"{key} holds a list of texts, no bytes of a picture's file")
    value = item[()]
    return value if isinstance(value, bytes) else bytes(value.tobytes())


def check_own(file: h5py.File, size: int) -> None:
    """Refuse a file of weights that points out of itself, or that stands for far more than it is.

    Args:
        file: Opened.
        size: Its bytes.

    Raises:
        ForeignError: It does; what is named.
    """
    total, seen, todo = 0, set(), [file]
    while todo:
        group = todo.pop()
        for name in group:
            item = _own_item(group, name)
            place = h5py.h5o.get_info(item.id).addr
            if place in seen:  # two names of one thing, or a ring of groups
                continue
            seen.add(place)
            if isinstance(item, h5py.Dataset):
                _check_dataset(item)
                total += item.nbytes
            elif isinstance(item, h5py.Group):
                todo.append(item)
    if total > _MORE + _TIMES * size:
        raise ForeignError(f"its {size:,} bytes stand for {total:,}")


def open_hdf5(path: str | Path) -> h5py.File:
    """Open an HDF5 file to read.

    Raises:
        FileNotFoundError: There is none.
        ForeignError: It is another kind of file, or cut.
    """
    try:
        return h5py.File(path, "r")
    except FileNotFoundError:
        raise
    except OSError as error:
        reason = str(error).partition("(")[2].rstrip(")") or str(error)
        raise ForeignError(f"{path} is no whole HDF5 file ({reason}): get it again") from None


def _own_item(group: h5py.Group, name: str) -> h5py.Group | h5py.Dataset:
    link = group.get(name, getlink=True) if isinstance(group, h5py.Group) else None
    if link is None:
        raise KeyError(f"there is no {name}")
    if not isinstance(link, h5py.HardLink):
        where = getattr(link, "filename", "") or link.path
        raise ForeignError(f"{name} is a link to {where!r}, which is not followed")
    return group[name]


def _check_dataset(item: h5py.Dataset) -> None:
    if item.external:
        where = [str(file) for file, *_ in item.external][:2]
        raise ForeignError(f"{item.name} has its bytes in other files, {where}: not read")
    if item.is_virtual:
        raise ForeignError(f"{item.name} is put together of other data sets: not read")
