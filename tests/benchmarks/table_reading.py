"""Read a table by one of melnb's readers: `table_reading.py <reader> <file>`.

Prints the seconds of a processor, and the most memory that reading has held beyond the imports, in
MiB.
"""

import resource
import sys
import time

from melnb.tables import schema
from melnb.tables.delimited import read_delimited

READERS = {
    "delimited": read_delimited,
    "delimited, 2 columns": lambda file: read_delimited(file, only=("image_id", "fold")),
    "predictions": schema.read_predictions,
}


def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    before, start = peak(), time.process_time()
    READERS[sys.argv[1]](sys.argv[2])
    print(time.process_time() - start, peak() - before)
