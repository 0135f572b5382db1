"""The ledger: which pictures, labels, licences and pretrained weights the models have met.

Read off the records of the runs behind the predictions. A licence is what the publisher of a source
states; whether it reaches to a model that learnt from the pictures is for lawyers, and that it says
something is for everyone to know.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

Records = Sequence[Mapping[str, Any]]

COLUMNS = ("what", "name", "from", "images", "met_by", "licence", "asks")
NOT_RECORDED, JUDGED = "not recorded", "judged alone"
_NC = "CC BY-NC 4.0"
# As stated where the sources are given out: challenge.isic-archive.com/data; for HAM10000 Harvard
# Dataverse (doi 10.7910/DVN/DBW86T), whose pictures ISIC 2018's third task and ISIC 2019 hold too.
LICENCES = {
    "synthetic": "none: drawn by this program",
    "isic2016": "CC0 1.0", "isic2017": "CC0 1.0", "isic2018_task1": "CC0 1.0",
    "isic2018": _NC, "isic2019": _NC, "siim2020": _NC, "isic2024": _NC, "ham10000": _NC,
    "ph2": "for research and education alone (ADDI project, University of Porto)",
}  # fmt: skip
_NETWORKS = ("02c_segment_train", "03_train", "03d_embed")  # weights of 05_ensemble are members'
# What published weights have seen, beside the licence of their file.
PRETRAINED_ON = {
    "imagenet": "ImageNet-1k",
    "noisy-student": "ImageNet-1k, and 300 million unlabelled pictures of the web (JFT)",
    "edges": "ImageNet-1k and BSDS500",
}
_ASKS = (
    (("-NC", "research and education"), "not for commercial use"),
    (("-ND",), "no changed copies may be given away"),
    (("-SA",), "what is made of it is given away under the same licence"),
    (("CC BY",), "names of its authors"),
)
_CONFLICTS = dict(_ASKS[:2])


def ledger(records: Records) -> tuple[str, pd.DataFrame]:
    """Return what the models behind a run have met, and in a sentence what that stands against.

    Args:
        records: Of a run and all runs behind it (`lookup.lineage`).

    Returns:
        `licence_conflict`, and `met_table`.
    """
    table = met_table(records)
    return licence_conflict(table), table


def met_table(records: Records) -> pd.DataFrame:
    """Return what the models behind a run have met, a row each.

    Args:
        records: Of a run and all runs behind it (`lookup.lineage`).

    Returns:
        `what` (pictures, or weights), `name` (of the dataset, or of what the weights are), `from`
        (the source, or the file), `images`, `met_by` (which stages, and how; `judged alone`:
        nothing has learnt from it), `licence` as its publisher states it, and what that `asks`.
    """
    rows = [*_pictures(records), *_weights(records)]
    table = pd.DataFrame(rows, columns=list(COLUMNS)).drop_duplicates(ignore_index=True)
    return table.assign(asks=table["licence"].map(_asked), images=table["images"].astype("Int64"))


def licence_conflict(table: pd.DataFrame) -> str:
    """Name in one sentence what licences stand against: commerce, or changed copies.

    Args:
        table: `met_table`.

    Returns:
        The sentence; it says so where nothing does, or where licences are not known.
    """
    learnt = table[table["met_by"] != JUDGED]
    parts = []
    for marks, words in _CONFLICTS.items():
        bound = learnt[[any(mark in text for mark in marks) for text in learnt["licence"]]]
        names = [f"{row['name']} ({row['licence']})" for _, row in bound.iterrows()]
        parts += [f"{', '.join(dict.fromkeys(names))}: {words}"] if names else []
    unknown = [str(name) for name in learnt.loc[learnt["licence"].eq(NOT_RECORDED), "name"]]
    if unknown:
        parts.append(f"the licence of {', '.join(dict.fromkeys(unknown))} is not recorded")
    if table.empty:  # of a CSV nobody knows what was learnt from: nothing is said of it
        return ""
    if not parts:
        return "No licence of what was learnt from stands against commercial use or changed copies."
    return f"Before this model is given away or sold: {'; '.join(parts)}."


def licence_answer(records: Records) -> str:
    """Return the card's answer: the licence of each thing met, and what stands against what."""
    conflict, table = ledger(records)
    names = [f"{row['name']}: {row['licence']}" for _, row in table.iterrows()]
    return f"{'; '.join(dict.fromkeys(names))}. {conflict}" if names else ""


def _pictures(records: Records) -> Iterator[dict[str, Any]]:
    """Yield the prepared datasets, each source of them, and who has met them."""
    for record in records:
        if record["stage"] != "02_prepare":
            continue
        asked = record["parameters"]
        several = (asked.get("sources") or {}).values()
        sources = [str(part.get("source")) for part in several]
        cut = f"02d_segment_apply/{asked['applied']}" if asked.get("applied") else ""
        for source in dict.fromkeys(sources or [cut or str(asked.get("source", ""))]):
            yield {
                "what": "pictures", "name": asked["dataset"], "from": source,
                "images": None if len(sources) > 1 else record["results"].get("images"),
                "met_by": _met_by(asked["dataset"], records),
                "licence": _licence(source),
            }  # fmt: skip


def _licence(source: str) -> str:
    cut = source.startswith("02d_segment_apply/")
    return "that of the pictures it was cut from" if cut else LICENCES.get(source, NOT_RECORDED)


def _met_by(dataset: str, records: Records) -> str:
    """Return which stages learnt from a dataset, and how."""
    ways = {
        "02c_segment_train": "masks", "03_train": "labels", "03c_metadata": "metadata",
        "03d_embed": "probes",
    }  # fmt: skip
    met = []
    for record in records:
        stage, asked = str(record["stage"]), record["parameters"]
        if stage in ways and dataset == asked.get("dataset"):
            met.append(f"{stage} ({ways[stage]})")
        if dataset in (asked.get("external") or ()) and stage == "03_train":
            met.append(f"{stage} (mixed in)")
        if stage == "04b_pseudo_label" and dataset == asked.get("dataset"):
            met.append("03_train (labelled by models)")
    return ", ".join(dict.fromkeys(met)) or JUDGED


def _weights(records: Records) -> Iterator[dict[str, Any]]:
    """Yield what networks and encoders began with."""
    for record in records:
        asked, results = record["parameters"], record["results"]
        weights = str(asked.get("weights", "none"))
        origin = results.get("weights_source") or results.get("encoder_source")
        if record["stage"] not in _NETWORKS or (weights == "none" and not origin):
            continue
        yield {
            "what": "weights",
            "name": f"{asked.get('backbone', asked.get('encoder', ''))}, {weights}".lstrip(", "),
            "from": f"{origin or weights}; learnt from {PRETRAINED_ON.get(weights, NOT_RECORDED)}",
            "images": None,
            "met_by": f"{record['stage']} (began with)",
            "licence": str(results.get("weights_licence") or NOT_RECORDED),
        }


def _asked(licence: str) -> str:
    return "; ".join(words for marks, words in _ASKS if any(mark in licence for mark in marks))
