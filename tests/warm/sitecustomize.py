import sys

import melnb_kills
import melnb_starts

melnb_starts.count()
if "--multiprocessing-fork" in sys.argv:
    melnb_kills.arm("worker")
