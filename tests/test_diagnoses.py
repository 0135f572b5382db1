import pytest

from melnb import diagnoses

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
    with pytest.raises(ValueError, match=r"'melanomma' is outside the ontology; nearest is 'mel"):
        diagnoses.find_diagnosis("melanomma")


def test_codes_are_those_of_the_challenge_files() -> None:
    names = ["melanoma", "nevus", "basal_cell_carcinoma", "actinic_keratosis"]
    names += ["benign_keratosis", "dermatofibroma", "vascular_lesion"]
    assert [diagnoses.code(n) for n in names] == CODES
    assert diagnoses.title("vascular_lesion") == "Vascular lesion"
    assert diagnoses.title("other") == "Other"
    with pytest.raises(KeyError, match="no ISIC code"):
        diagnoses.code("other")
