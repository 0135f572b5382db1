import subprocess
import sys

import pytest

CODE = """
import sys
{code}
assert "jsonschema" in sys.modules, "it is no longer needed: is `no_grammar` ?"
assert "lark" not in sys.modules
import rfc3987_syntax  # whoever wants it still has it
"""


@pytest.mark.parametrize(
    "code",
    [
        "from melnb.display import theme; theme.apply()",
        "from melnb.kernels import _import_engine; _import_engine()",
    ],
    ids=["figures", "papermill"],
)
def test_no_grammar_of_addresses_is_built(code: str) -> None:
    pytest.importorskip("rfc3987_syntax")
    command = [sys.executable, "-c", CODE.format(code=code)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
