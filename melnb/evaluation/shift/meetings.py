"""Images that stand in two sources: whoever was learnt from is no stranger.

An image of another source is met if the image itself, another picture of its lesion or of its
patient, or the same picture under another name was learnt from. Numbers on such rows would be
internal ones.
"""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from melnb.tables import TableError

COLUMNS = ("image_id", "met_by", "shared")
BY = ("image", "lesion", "patient", "picture")
_SMALLER = "_downsampled"  # ISIC 2019 marks smaller copies of earlier images so


def met_images(
    images: pd.DataFrame, learnt: pd.DataFrame, *, identical: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Name the images that a model has met, and by what.

    Ids are compared as they are, but for the mark of ISIC 2019's smaller copies. Sources that
    number their patients alike (1, 2 …) seem to meet: give them ids of their own.

    Args:
        images: `image_id`, and `lesion_id` and `patient_id` where known: predictions or images.
        learnt: The same, of all that was learnt from.
        identical: `image_id` and `identical`, sets of equal pictures over both
            (`find_identical`); None: pictures are not compared.

    Returns:
        A row per met image, by id: `image_id`, `met_by` (the first of image, lesion, patient,
        picture), `shared` (the id that both have; of a picture, an image learnt from).
    """
    own = images["image_id"].astype(str)
    shared = {"image": _shared(own.map(_plain), learnt["image_id"].astype(str).map(_plain))}
    for name in ("lesion", "patient"):
        column = f"{name}_id"
        if column in images and column in learnt:
            shared[name] = _shared(images[column], learnt[column])
    if identical is not None:
        shared["picture"] = _shared_pictures(own, learnt["image_id"].astype(str), identical)
    table = pd.DataFrame(shared, index=images.index, columns=list(BY), dtype=object)
    met = table.notna().any(axis=1)
    found = table[met]
    made = {
        "image_id": own[met],
        "met_by": found.notna().idxmax(axis=1),
        "shared": found.bfill(axis=1).iloc[:, 0],
    }
    made_table = pd.DataFrame(made, columns=list(COLUMNS))
    return made_table.sort_values("image_id", ignore_index=True)


def source_meetings(sources: Mapping[str, pd.DataFrame], learnt: pd.DataFrame) -> pd.DataFrame:
    """Return `met_images` of each external source, under its name.

    Args:
        sources: External tables by name.
        learnt: See `met_images`.

    Returns:
        `source` and the columns of `met_images`.
    """
    parts = [met_images(table, learnt).assign(source=name) for name, table in sources.items()]
    names = ["source", *COLUMNS]
    return pd.concat(parts, ignore_index=True)[names] if parts else pd.DataFrame(columns=names)


def meeting_counts(sources: Mapping[str, pd.DataFrame], met: pd.DataFrame) -> pd.DataFrame:
    """Count what is left of each source without the images that were met.

    Args:
        sources: External tables by name.
        met: `source_meetings`.

    Returns:
        A row per source: `source`, `images`, `image`, `lesion`, `patient`, `picture` (met by),
        `kept`, and how many of its images stand `in_another` external source too: they count in
        both, whose numbers are then no independent evidence.
    """
    rows = []
    ids = {name: {*table["image_id"].astype(str).map(_plain)} for name, table in sources.items()}
    for name, table in sources.items():
        another = set().union(*(own for other, own in ids.items() if other != name))
        own = met.loc[met["source"] == name, "met_by"]
        counts = own.value_counts().reindex(list(BY), fill_value=0).to_dict()
        row = {"source": name, "images": len(table), **counts, "kept": len(table) - len(own)}
        rows.append(row | {"in_another": len(ids[name] & another)})
    return pd.DataFrame(rows, columns=["source", "images", *BY, "kept", "in_another"])


def strangers(sources: Mapping[str, pd.DataFrame], met: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return the sources without the images that were met.

    Args:
        sources: External tables by name.
        met: `source_meetings`.

    Raises:
        TableError: Nothing is left of a source.
    """
    made = {}
    for name, table in sources.items():
        own = met.loc[met["source"] == name, "image_id"]
        made[name] = table[~table["image_id"].astype(str).isin(own)].reset_index(drop=True)
        if made[name].empty:
            raise TableError(
                f"source {name}: of {len(table)} images not one is new to the model: give images "
                "of another source"
            )
    return made


def _plain(name: str) -> str:
    return name.removesuffix(_SMALLER)


def _shared(own: pd.Series, learnt: pd.Series) -> pd.Series:
    """Return each id that is among those learnt from, else NaN."""
    known = learnt.dropna().astype(str)
    return own.astype(object).where(own.notna() & own.astype(str).isin(known))


def _shared_pictures(own: pd.Series, learnt: pd.Series, identical: pd.DataFrame) -> pd.Series:
    """Return of each image one learnt from that is the same picture, else NaN."""
    number = identical.set_index(identical["image_id"].astype(str))["identical"]
    sets = number[number.index.isin(learnt)]
    first = pd.Series(sets.index, index=sets.to_numpy(), dtype=object).sort_values()
    first = first[~first.index.duplicated()]
    return own.map(number).map(first).astype(object)
