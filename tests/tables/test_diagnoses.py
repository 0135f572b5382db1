import pytest

from melnb.tables import diagnoses

CODES = ["MEL", "NV", "BCC", "AKIEC", "BKL", "DF", "VASC"]


def test_every_published_spelling_finds_its_class() -> None:
    assert diagnoses.find_diagnosis("NV") == "nevus"
    assert diagnoses.find_diagnosis(" Seborrheic  Keratosis ") == "benign_keratosis"
    assert diagnoses.find_diagnosis("lentigo NOS") == "benign_keratosis"
    assert (
        diagnoses.find_diagnosis("AK") == diagnoses.find_diagnosis("akiec") == "actinic_keratosis"
    )
    assert diagnoses.find_diagnosis("basal_cell_carcinoma") == "basal_cell_carcinoma"
    assert diagnoses.find_diagnosis("cafe-au-lait macule") == "unknown"


def test_no_spelling_means_two_classes() -> None:
    texts = [
        text
        for d in diagnoses.DIAGNOSES
        for text in {d.name.replace("_", " "), d.code.lower(), *d.synonyms}
    ]
    assert len(texts) == len(set(texts))


def test_a_label_outside_the_ontology_names_its_neighbour() -> None:
    with pytest.raises(ValueError, match=r"'melanomma' is outside the ontology; did you mean 'mel"):
        diagnoses.find_diagnosis("melanomma")


def test_codes_are_those_of_the_challenge_files() -> None:
    names = ["melanoma", "nevus", "basal_cell_carcinoma", "actinic_keratosis"]
    names += ["benign_keratosis", "dermatofibroma", "vascular_lesion"]
    assert [diagnoses.code(n) for n in names] == CODES
    assert diagnoses.title("vascular_lesion") == "Vascular lesion"
    assert diagnoses.title("other") == "Other"
    with pytest.raises(KeyError, match="no ISIC code"):
        diagnoses.code("other")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Melanoma Invasive", "melanoma"),
        ("Melanoma Invasive, Superficial spreading", "melanoma"),
        ("Melanoma, NOS", "melanoma"),
        ("Squamous cell carcinoma, Invasive", "squamous_cell_carcinoma"),
        ("Squamous cell carcinoma in situ, Bowens disease", "actinic_keratosis"),
        ("Nevus, Atypical, Dysplastic, or Clark", "nevus"),
        ("Basal cell carcinoma, Nodular", "basal_cell_carcinoma"),
        ("Hemangioma, Cherry", "vascular_lesion"),
        ("Solar or actinic keratosis", "actinic_keratosis"),
        ("Lichen planus like keratosis", "benign_keratosis"),
    ],
)
def test_the_archives_names_are_those_of_the_ontology(text: str, name: str) -> None:
    assert diagnoses.find_diagnosis(text) == name
    levels = ["Benign", "Benign - Other", text]
    assert diagnoses.find_in_hierarchy(levels) == name
    assert diagnoses.find_in_hierarchy(["::".join(levels)]) == name


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("melanoma (less than 0.76 mm)", "melanoma"),
        ("melanoma (in situ)", "melanoma"),
        ("clark nevus", "nevus"),
        ("reed or spitz nevus", "nevus"),
        ("lentigo", "benign_keratosis"),
        ("ACK", "actinic_keratosis"),
        ("SEK", "benign_keratosis"),
        ("NEV", "nevus"),
        ("Compound naevus", "nevus"),
        ("superficial spreading melanoma", "melanoma"),
        ("Na\u0308vus", "nevus"),
    ],
)
def test_derm7pt_pad_ufes_and_pathologists_are_understood(text: str, name: str) -> None:
    assert diagnoses.find_diagnosis(text) == name


def test_a_kind_is_no_second_diagnosis() -> None:
    for text in ("nevus, melanoma", "nevus (melanoma)", "melanoma (excluded)", "melanoma?", "", ",",
                 "Nevus comedonicus", "Epidermal nevus"):  # fmt: skip
        with pytest.raises(ValueError, match="outside the ontology"):
            diagnoses.find_diagnosis(text)


def test_what_has_no_class_in_any_level_is_unknown() -> None:
    find = diagnoses.find_in_hierarchy
    assert find(["Benign", "Cysts", "Milium"]) == find(["Indeterminate"]) == find([]) == "unknown"
    assert find(["Malignant", "Malignant melanocytic proliferations (Melanoma)"]) == "melanoma"
