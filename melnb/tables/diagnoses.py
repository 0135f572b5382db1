"""The diagnoses: one ontology that every source maps onto, by name and never by position."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from melnb.tables.nearest import did_you_mean


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


# Nevi of melanocytes, and melanomas, as derm7pt and reports of pathology call them. Other nevi
# (epidermal, sebaceous, comedonicus) are not of melanocytes, and have no class.
_NEVI = (
    "acral", "atypical", "benign", "blue", "clark", "combined", "common", "compound", "congenital",
    "dermal", "dysplastic", "halo", "intradermal", "junctional", "melanocytic", "recurrent", "reed",
    "reed or spitz", "spitz",
)  # fmt: skip
_MELANOMAS = (
    "acral lentiginous", "amelanotic", "desmoplastic", "in situ", "invasive", "lentigo maligna",
    "metastatic", "nodular", "superficial spreading",
)  # fmt: skip
_STAGE = re.compile(r" \((in situ|invasive|metasta\w+|[^()]*\d mm)\)$")  # of derm7pt

DIAGNOSES: tuple[Diagnosis, ...] = (
    Diagnosis(
        "melanoma",
        "MEL",
        "Melanoma",
        True,
        (
            "mel",
            "malignant melanoma",
            "melanoma in situ",
            "melanoma invasive",
            "melanoma metastasis",
            *(f"{kind} melanoma" for kind in _MELANOMAS),
            "lentigo maligna",
            "malignant melanoma in situ",
            "melanom",
            "malignes melanom",
            "mélanome",
            "malignant melanocytic proliferations (melanoma)",
        ),
    ),
    Diagnosis(
        "nevus",
        "NV",
        "Nevus",
        False,
        (
            "nv",
            "nev",
            "naevus",
            "nevi",
            "naevi",
            "nevo",
            "nävus",
            *(f"{kind} {nevus}" for kind in _NEVI for nevus in ("nevus", "naevus")),
        ),
    ),
    Diagnosis("basal_cell_carcinoma", "BCC", "Basal cell carcinoma", True, ("bcc", "basaliom")),
    Diagnosis(
        "actinic_keratosis",
        "AKIEC",
        "Actinic keratosis",
        None,
        # A squamous cell carcinoma in situ is Bowen's disease, which HAM10000 counts here.
        (
            "akiec",
            "ak",
            "ack",
            "bowen disease",
            "bowens disease",
            "bowen's disease",
            "intraepithelial carcinoma",
            "solar or actinic keratosis",
            "solar keratosis",
            "squamous cell carcinoma in situ",
        ),
    ),
    Diagnosis(
        "benign_keratosis",
        "BKL",
        "Benign keratosis",
        False,
        # The harmonisation of the SIIM-ISIC 2020 winners: keratoses and lentigines are one class.
        (
            "bkl",
            "sek",
            "seborrheic keratosis",
            "seborrhoeic keratosis",
            "lichenoid keratosis",
            "lichen planus like keratosis",
            "solar lentigo",
            "lentigo",
            "lentigo nos",
            "lentigo simplex",
            "pigmented benign keratosis",
        ),
    ),
    Diagnosis("dermatofibroma", "DF", "Dermatofibroma", False, ("df",)),
    Diagnosis(
        "vascular_lesion",
        "VASC",
        "Vascular lesion",
        False,
        (
            "vasc",
            "angioma",
            "hemangioma",
            "angiokeratoma",
            "pyogenic granuloma",
            "lymphangioma",
            "hemorrhage",
            "benign soft tissue proliferations - vascular",
        ),
    ),
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


def looked_for(classes: Sequence[str]) -> str:
    """Return the class of several that is looked for: melanoma, or the last where there is none."""
    return MELANOMA if MELANOMA in classes else classes[-1]


OTHER = "other"  # everything that is not melanoma, in a two-class task
NAMES: tuple[str, ...] = tuple(d.name for d in DIAGNOSES)
_BY_NAME = {d.name: d for d in DIAGNOSES}


def _plain(text: str) -> str:
    return " ".join(re.sub("[-_]", " ", unicodedata.normalize("NFC", text).lower()).split())


_BY_TEXT = {_plain(text): d.name for d in DIAGNOSES for text in (d.name, d.code, *d.synonyms)}


def find_diagnosis(text: str) -> str:
    """Return the ontology's name for a published diagnosis.

    What follows a comma tells a kind of the same diagnosis, as in ISIC's archive: `"Nevus, Spitz"`,
    `"Squamous cell carcinoma, Invasive"`; so does a stage in brackets, as in derm7pt.

    Args:
        text: A name, code or synonym in any case, with blanks, hyphens or underscores, such as
            `"NV"` or `"seborrheic keratosis"`.

    Raises:
        ValueError: The text is outside the ontology; the nearest known name is given.
    """
    key = _plain(text)
    first, *kinds = (part.strip() for part in _STAGE.sub(r", \1", key).split(","))
    named = _BY_TEXT.get(first)
    if key not in _BY_TEXT and named and {_BY_TEXT.get(kind, named) for kind in kinds} == {named}:
        return named
    if key not in _BY_TEXT:
        hint = did_you_mean(key, _BY_TEXT)
        raise ValueError(f"diagnosis {text!r} is outside the ontology{hint} (known: {list(NAMES)})")
    return _BY_TEXT[key]


def find_in_hierarchy(levels: Iterable[str]) -> str:
    """Return the ontology's name for a diagnosis that ISIC's archive tells in levels.

    Args:
        levels: From the widest to the narrowest, such as `Malignant`, `Malignant epidermal
            proliferations`, `Squamous cell carcinoma, Invasive`; a text may hold several, parted
            by colons.

    Returns:
        The name of the narrowest level that the ontology holds; `unknown` where it holds none:
        most of the archive's 300 names have no class of their own.
    """
    names = [name for level in levels for name in re.split(":+", level)]
    for name in reversed(names):
        try:
            return find_diagnosis(name)
        except ValueError:
            continue
    return "unknown"


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
