"""Forks on order: a process that has imported Keras and computes nothing, and whose children run.

It reads lines, each a JSON list of orders, and answers with how the child of each ended: its exit
status, or minus the signal that killed it. TensorFlow takes ten seconds to import; a fork, none.
An order names the module beside this one that runs it.
"""

import importlib
import json
import os
import sys
import traceback
from typing import Any


def fork(order: dict[str, Any]) -> int:
    """Run an order in a child, and return how it ended."""
    module = importlib.import_module(order.get("module", "training_run"))
    child = os.fork()
    if not child:
        try:
            os.dup2(2, 1)  # only answers go to our output
            module.run(order)
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps([fork(order) for order in json.loads(line)]), flush=True)
