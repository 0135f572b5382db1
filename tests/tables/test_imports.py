import json
import subprocess
import sys

import pytest

from melnb.tables.processes import without

CODE = """
import sys
{code}
assert "{needed}" in sys.modules
assert "{spared}" not in sys.modules
import {wanted}  # whoever wants it still has it
"""


@pytest.mark.parametrize(
    ("code", "needed", "spared", "wanted"),
    [
        ("from melnb.display import theme; theme.use_theme()", "jsonschema", "lark",
         "rfc3987_syntax"),
        ("from melnb.running import kernels; kernels._import_engine()", "jsonschema", "lark",
         "rfc3987_syntax"),
        ("from melnb.models import accelerator; accelerator.setup()", "tensorflow", "jax", "jax"),
    ],
    ids=["figures", "papermill", "accelerator"],
)  # fmt: skip
def test_what_takes_seconds_for_nothing_is_not_imported(
    code: str, needed: str, spared: str, wanted: str
) -> None:
    pytest.importorskip(wanted)
    command = [sys.executable, "-c", CODE.format(**locals())]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_what_is_left_out_can_be_imported_later_and_what_is_there_stays() -> None:
    sys.modules.pop("colorsys", None)
    with without("json", "colorsys"):
        assert __import__("json") is json
        with pytest.raises(ImportError):
            __import__("colorsys")
    assert __import__("colorsys").__name__ == "colorsys"
    with pytest.raises(KeyError), without("colorsys_of_old"):
        raise KeyError
    assert "colorsys_of_old" not in sys.modules
