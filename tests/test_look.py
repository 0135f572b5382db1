"""A picture dropped on the page of 06c_choose is told what 04c_look tells of it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

pytestmark = pytest.mark.xdist_group("demo")
DROP = """
import json, sys
from pathlib import Path
root, names = Path(sys.argv[1]), {}
for cell in json.loads((root / "notebooks/06c_choose.ipynb").read_text())["cells"]:
    if cell["cell_type"] == "code":
        exec(compile("".join(cell["source"]), cell["id"], "exec"), names)
        if "parameters" in cell["metadata"].get("tags", []):
            names["run"] = "dropped"
drop = names["drop"]
drop.drop("notes.pdf", b"%PDF")
light = not {"tensorflow", "keras"} & set(sys.modules)
for picture in map(Path, sys.argv[2:]):
    drop.drop(picture.name, picture.read_bytes())
print(json.dumps({"light": light, "reasons": [a.reason for a in drop.answers],
                  "folders": [str(a.folder) for a in drop.answers[1:]],
                  "table": json.loads(drop.table().to_json(orient="records")),
                  "read": len(names["asking"]._kept), "page": drop.view().answers[0]["html"]}))
"""


def test_dropped_pictures_are_told_what_a_look_at_them_tells(demo: Path) -> None:
    home = demo / "outputs/04c_look/demo"
    told = pd.read_csv(home / "predictions.csv").set_index("image_id")
    near = pd.read_csv(home / "neighbours.csv")
    drawn = demo / "outputs/synthetic/images12-seed1/images"
    pictures = sorted(drawn.glob("*.jpg"))[:2]
    done = subprocess.run(
        [sys.executable, "-c", DROP, str(demo), *map(str, pictures)],
        env=os.environ | {"MELNB_ROOT": str(demo)}, cwd=demo, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    assert said["light"], "nothing heavy is imported before a picture is there"
    assert said["reasons"][0].startswith("no picture to look at (notes.pdf: ")
    assert said["reasons"][1:] == ["", ""]
    assert said["read"] == 2, "networks and extractors, read for the first"
    for row, folder in zip(said["table"], said["folders"], strict=True):
        own = told.loc[row["image_id"]]
        numbers = ["score", "among_others", "among_positives", "networks_calling", "p_melanoma"]
        assert [row[name] for name in numbers] == pytest.approx(own[numbers].tolist(), abs=1e-6)
        assert (row["called"], row["strange"], row["set"]) == (
            own["called"], own["strange"], own["set"],
        )  # fmt: skip
        assert (row["flags"] or "") == (own["flags"] if own["flags"] == own["flags"] else "")
        mine = pd.read_csv(Path(folder) / "neighbours.csv")
        theirs = near[near["image_id"] == row["image_id"]]
        assert mine["neighbour"].tolist() == theirs["neighbour"].tolist()
        assert mine["similarity"].tolist() == pytest.approx(theirs["similarity"].tolist(), abs=1e-5)
    assert f"score {said['table'][1]['score']:.3f}" in said["page"]
