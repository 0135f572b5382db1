"""Near duplicates among 10,000 to 1,000,000 vectors: below quadratic, and every copy found.

Random vectors of 64 numbers, of which one in a hundred has a near copy. Run with `-s` to read the
table; `NEAR_SIZES=10000,100000` asks for others.
"""

import os
import resource
import time

import numpy as np
import pytest

from melnb.data.audit.near_duplicates import nearest_rows, whitened

pytestmark = pytest.mark.benchmark

WIDTH, COPIES, NOISE = 64, 100, 0.2
SIZES = [int(n) for n in os.environ.get("NEAR_SIZES", "10000,100000,1000000").split(",")]


def planted(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return vectors, and the rows whose copies are the last ones."""
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((n, WIDTH), dtype=np.float32)
    of = rng.choice(n - n // COPIES, n // COPIES, replace=False)
    vectors[n - len(of) :] = vectors[of] + NOISE * vectors[n - len(of) :]
    return vectors, of


def _peak() -> float:
    """Return the most MiB that this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def test_time_grows_below_quadratic_and_every_copy_is_found() -> None:
    seconds, before = [], _peak()
    for n in SIZES:
        vectors, of = planted(n)
        held = vectors.nbytes + n * 20 * 8
        start = time.process_time()
        rows, _ = nearest_rows(whitened(vectors), 20)
        seconds.append(time.process_time() - start)
        more = _peak() - before
        copies = np.arange(n - len(of), n)
        recall = ((rows[copies, 0] == of) | (rows[of, 0] == copies)).mean()
        print(f"{n:9,} {seconds[-1]:8.1f} s {more:6.0f} MiB, of them {held / 2**20:.0f} held,"
              f" recall {recall:.4f}", flush=True)  # fmt: skip
        assert recall >= 0.9995
        assert more < 3 * held / 2**20 + 300
    growth = np.polyfit(np.log(SIZES), np.log(seconds), 1)[0]
    print(f"fitted exponent {growth:.2f}")
    assert growth < 1.75
