"""The diagnoses: one ontology that every source maps onto, by name and never by position."""

from __future__ import annotations

import difflib
from dataclasses import dataclass


@dataclass(frozen=True)
class Diagnosis:
    """One class of the ontology.

    Attributes:
        name: The name in every melnb table, and in `p_<name>` columns.
        code: The column of the ISIC 2018/2019 ground truth and submission files.
        title: The name on figures.
        malignant: None where the name alone does not say.
        synonyms: Names seen in published files, lower case.
    """

    name: str
    code: str
    title: str
    malignant: bool | None
    synonyms: tuple[str, ...] = ()


DIAGNOSES: tuple[Diagnosis, ...] = (
    Diagnosis("melanoma", "MEL", "Melanoma", True, ("mel", "malignant melanoma")),
    Diagnosis("nevus", "NV", "Nevus", False, ("nv", "naevus", "melanocytic nevus", "common nevus")),
    Diagnosis("basal_cell_carcinoma", "BCC", "Basal cell carcinoma", True, ("bcc",)),
    Diagnosis(
        "actinic_keratosis",
        "AKIEC",
        "Actinic keratosis",
        None,
        ("akiec", "ak", "bowen disease", "intraepithelial carcinoma"),
    ),
    Diagnosis(
        "benign_keratosis",
        "BKL",
        "Benign keratosis",
        False,
        # The harmonisation of the SIIM-ISIC 2020 winners: keratoses and lentigines are one class.
        (
            "bkl",
            "seborrheic keratosis",
            "lichenoid keratosis",
            "solar lentigo",
            "lentigo nos",
            "lentigo simplex",
            "pigmented benign keratosis",
        ),
    ),
    Diagnosis("dermatofibroma", "DF", "Dermatofibroma", False, ("df",)),
    Diagnosis("vascular_lesion", "VASC", "Vascular lesion", False, ("vasc", "angioma")),
    Diagnosis("squamous_cell_carcinoma", "SCC", "Squamous cell carcinoma", True, ("scc",)),
    Diagnosis(
        "unknown",
        "UNK",
        "Unknown",
        None,
        # Real diagnoses without a class of their own: too few to learn, too different to merge.
        ("unk", "cafe-au-lait macule", "atypical melanocytic proliferation"),
    ),
)

MELANOMA = "melanoma"
OTHER = "other"  # everything that is not melanoma, in a two-class task
NAMES: tuple[str, ...] = tuple(d.name for d in DIAGNOSES)
_BY_NAME = {d.name: d for d in DIAGNOSES}
_BY_TEXT = {
    text: d.name
    for d in DIAGNOSES
    for text in (d.name, d.name.replace("_", " "), d.code.lower(), *d.synonyms)
}


def find_diagnosis(text: str) -> str:
    """Return the ontology's name for a published diagnosis.

    Args:
        text: A name, code or synonym in any case, such as `"NV"` or `"seborrheic keratosis"`.

    Raises:
        ValueError: The text is outside the ontology; the nearest known name is given.
    """
    key = " ".join(text.strip().lower().replace("_", " ").split())
    if key not in _BY_TEXT:
        near = difflib.get_close_matches(key, _BY_TEXT, n=1)
        hint = f"; nearest is {near[0]!r}" if near else ""
        raise ValueError(f"diagnosis {text!r} is outside the ontology{hint} (known: {list(NAMES)})")
    return _BY_TEXT[key]


def title(name: str) -> str:
    """Return the name for figures of a class; a class outside the ontology is tidied."""
    return _BY_NAME[name].title if name in _BY_NAME else name.replace("_", " ").capitalize()


def code(name: str) -> str:
    """Return the ISIC 2018 column of a class.

    Raises:
        KeyError: The class has no official code.
    """
    if name not in _BY_NAME:
        raise KeyError(f"class {name!r} has no ISIC code (known: {list(NAMES)})")
    return _BY_NAME[name].code
