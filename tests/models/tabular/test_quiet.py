"""The room is for quick notebooks: neither Keras nor TensorFlow, and scikit-learn when it fits."""

import json
import subprocess
import sys
from pathlib import Path

import melnb

ROOM = Path(melnb.__file__).parent / "models" / "tabular"


def test_the_room_leaves_networks_alone() -> None:
    names = [f"melnb.models.tabular.{path.stem}" for path in sorted(ROOM.glob("[a-z]*.py"))]
    assert len(names) == 4
    code = (
        "import importlib, json, sys\n"
        f"for name in {names!r}: importlib.import_module(name)\n"
        "heavy = {'tensorflow', 'keras', 'jax', 'torch', 'lightgbm', 'xgboost', 'catboost', "
        "'sklearn.ensemble'}\n"
        "print(json.dumps(sorted(heavy & set(sys.modules))))"
    )
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert json.loads(out.stdout) == []
