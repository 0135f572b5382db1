"""Clustered proportions: one row a cluster is Wilson's, twins count once, and limits exist."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from melnb.evaluation.statistics import bootstrap
from melnb.evaluation.statistics.intervals import wilson_interval
from melnb.evaluation.statistics.proportions import clustered_wilson


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1), st.integers(0, 3))
def test_rows_alone_are_wilsons(rows: list[tuple[bool, bool]], extra: int) -> None:
    hits, counted = (np.array(c) for c in zip(*rows, strict=True))
    found = clustered_wilson(hits, counted)
    low, high = wilson_interval((hits & counted).sum(), counted.sum())
    assert found[1:] == pytest.approx((float(low), float(high)), nan_ok=True)
    # Every row several times: no more is known than before, but for the number of clusters less 1.
    times = 2 + extra
    own = np.repeat(np.arange(len(rows)), times)
    again = clustered_wilson(np.repeat(hits, times), np.repeat(counted, times), own)
    assert again[0] == pytest.approx(found[0], nan_ok=True)
    number = int(counted.sum())
    if number > 1:
        share = found[0]
        fewer = number if share in (0, 1) else min(number - 1, number * times)
        low, high = wilson_interval(share * fewer, fewer)
        assert again[1:] == pytest.approx((float(low), float(high)), abs=1e-9)
    else:
        assert np.isnan(again[1:]).all()


def test_clusters_widen_as_the_bootstrap_says() -> None:
    draw = np.random.default_rng(0)
    clusters = np.repeat(np.arange(300), 5)
    rate = draw.beta(1, 3, 300)[clusters]
    hits, counted = draw.random(1500) < rate, draw.random(1500) < 0.8
    share, low, high = clustered_wilson(hits, counted, clusters)
    made = bootstrap.resampled_means(hits[:, None], weights=counted, clusters=clusters, draws=4000)
    _, wanted_low, wanted_high = bootstrap.percentile_interval(made)
    assert (low, high) == pytest.approx((float(wanted_low[0]), float(wanted_high[0])), abs=0.004)
    alone = clustered_wilson(hits, counted)
    assert alone[0] == share == pytest.approx(hits[counted].mean())
    assert high - low > 1.2 * (alone[2] - alone[1])


def test_all_or_none_of_few_clusters() -> None:
    clusters = np.repeat(np.arange(4), 5)
    every = np.ones(20, dtype=bool)
    # Four clusters wholly alike are four rows.
    assert clustered_wilson(every, every, clusters)[1:] == pytest.approx(
        tuple(float(v) for v in wilson_interval(4, 4))
    )
    assert clustered_wilson(~every, every, clusters)[0] == 0
    one = clustered_wilson(every, every, np.zeros(20, dtype=int))
    assert one[0] == 1
    assert np.isnan(one[1:]).all()
    assert np.isnan(clustered_wilson(every, ~every, clusters)).all()
