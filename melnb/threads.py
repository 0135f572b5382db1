"""Keep small work in one thread."""

from __future__ import annotations

import functools
from contextlib import AbstractContextManager
from typing import Any


def one_thread() -> AbstractContextManager[Any]:
    """Let scikit-learn's boosted trees use no more than the thread that asks for them.

    They take a thread for each core, and on tables of a few features the threads mostly wait for
    each other, busily: where another job has the cores, a fit of 0.5 s takes 15 s. The limit is
    that of the calling thread.
    """
    limit: AbstractContextManager[Any] = _controller().limit(limits=1, user_api="openmp")
    return limit


@functools.cache
def _controller() -> Any:
    import sklearn.ensemble  # so that its OpenMP is there to be found
    from threadpoolctl import ThreadpoolController

    assert sklearn.ensemble
    return ThreadpoolController()
