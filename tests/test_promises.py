"""Every executed notebook of the demo: a sentence finds in the picture beside it what it names.

`test_page.py` asks the same of the report, on rows that leave no part of it empty.
"""

import json
from collections import Counter
from pathlib import Path

import pytest
from melnb_promises import between, promised

pytestmark = pytest.mark.xdist_group("demo")


def test_each_sentence_finds_in_its_picture_what_it_speaks_of(demo: Path) -> None:
    spoken = Counter[str]()
    for path in sorted((demo / "outputs").rglob("notebook.ipynb")):
        stage = path.relative_to(demo / "outputs").parts[0]
        if stage == "06_report":
            continue
        for sentence, pictures in between(json.loads(path.read_text(encoding="utf-8"))["cells"]):
            for words, held in promised(sentence, pictures):
                assert held, f"{stage} shows no {words}: {sentence}"
                spoken[stage] += 1
    assert len(spoken) > 10, spoken
    assert spoken.total() > 40, spoken
