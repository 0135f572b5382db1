"""Random effects against R's metafor and published meta-analyses, statsmodels, and coverage."""

import math
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import t as student
from statsmodels.stats.meta_analysis import combine_effects

from melnb.evaluation.discrimination import ranking
from melnb.evaluation.shift import areas as effects
from melnb.evaluation.shift.other_sources import source_tables

Make = Callable[..., pd.DataFrame]
# Colditz et al. 1994, metafor's dat.bcg: tuberculosis, and none, of the vaccinated and the others.
BCG = np.array([
    (4, 119, 11, 128), (6, 300, 29, 274), (3, 228, 11, 209), (62, 13536, 248, 12619),
    (33, 5036, 47, 5761), (180, 1361, 372, 1079), (8, 2537, 10, 619), (505, 87886, 499, 87892),
    (29, 7470, 45, 7232), (17, 1699, 65, 1600), (186, 50448, 141, 27197), (5, 2493, 3, 2338),
    (27, 16886, 29, 17825),
], dtype=float)  # fmt: skip
# Raudenbush 1984, metafor's dat.raudenbush1985: what teachers expect, and pupils' intelligence.
TEACHERS = (
    (.03, .12, -.14, 1.18, .26, -.06, -.02, -.32, .27, .80, .54, .18, -.02, .23, -.18, -.06, .30,
     .07, -.07),
    (.0156, .0216, .0279, .1391, .1362, .0106, .0106, .0484, .0269, .0630, .0912, .0497, .0835,
     .0841, .0253, .0279, .0193, .0088, .0303),
)  # fmt: skip


def log_risk_ratios() -> tuple[np.ndarray, np.ndarray]:
    ill, well, other_ill, other_well = BCG.T
    n, m = ill + well, other_ill + other_well
    return np.log(ill / n * m / other_ill), 1 / ill - 1 / n + 1 / other_ill - 1 / m


def test_the_vaccine_is_as_metafor_documents_it() -> None:
    """`rma(yi, vi)`: -0.7145 (0.1798), tau^2 0.3132, Q 152.2330; `predict(transf=exp)`."""
    values, variances = log_risk_ratios()
    found = effects.random_effects(values, variances)
    assert found["mean"] == pytest.approx(-0.7145, abs=5e-5)
    assert found["tau"] ** 2 == pytest.approx(0.3132, abs=5e-5)
    assert found["q"] == pytest.approx(152.2330, abs=5e-5)
    assert found["i2"] == pytest.approx(0.9222, abs=5e-5)
    assert math.exp(found["mean"]) == pytest.approx(0.4894, abs=5e-5)
    # With the plain error and the normal quantile it documents 0.3441, 0.6962; 0.1546, 1.5490.
    plain = (1 / (1 / (variances + found["tau"] ** 2)).sum()) ** 0.5
    for spread, limits in ((plain, (0.3441, 0.6962)), (math.hypot(plain, found["tau"]),
                                                      (0.1546, 1.5490))):  # fmt: skip
        half = 1.959964 * spread
        ends = math.exp(found["mean"] - half), math.exp(found["mean"] + half)
        assert ends == pytest.approx(limits, abs=1e-4)
    # Ours has Student's quantiles: of k - 1 for the mean and k - 2 for another source.
    assert found["high"] - found["mean"] == pytest.approx(student.ppf(0.975, 12) * found["se"])
    half = student.ppf(0.975, 11) * math.hypot(found["se"], found["tau"])
    assert (found["higgins_low"], found["higgins_high"]) == pytest.approx(
        (found["mean"] - half, found["mean"] + half)
    )


def test_the_teachers_are_as_raudenbush_published_them() -> None:
    """Pages 83 to 86 of his chapter, as metafor's tests hold them."""
    found = effects.random_effects(*(np.array(v) for v in TEACHERS))
    assert found["tau"] ** 2 == pytest.approx(0.0188, abs=5e-5)
    assert found["mean"] == pytest.approx(0.0837, abs=5e-5)
    assert found["q"] == pytest.approx(35.83, abs=5e-3)


def test_hartungs_and_knapps_error_is_statsmodels(monkeypatch: pytest.MonkeyPatch) -> None:
    values, variances = log_risk_ratios()
    theirs = combine_effects(values, variances, method_re="iterated")
    monkeypatch.setattr(effects, "between_variance", lambda *_: theirs.tau2)
    found = effects.random_effects(values, variances)
    assert found["mean"] == pytest.approx(theirs.mean_effect_re)
    assert found["se"] == pytest.approx(theirs.sd_eff_w_re_hksj)
    assert found["q"] == pytest.approx(theirs.q)


@settings(max_examples=settings.default.max_examples // 2)
@given(
    st.lists(st.tuples(st.floats(-3, 3), st.floats(0.01, 2)), min_size=2, max_size=8),
    st.floats(-2, 2), st.floats(0.1, 10),
)  # fmt: skip
def test_a_shift_and_a_scale_go_through(
    pairs: list[tuple[float, float]], moved: float, scale: float
) -> None:
    values, variances = np.array(pairs).T
    found = effects.random_effects(values, variances)
    again = effects.random_effects(moved + scale * values, scale**2 * variances)
    assert again["tau"] == pytest.approx(scale * found["tau"], rel=1e-4, abs=1e-4 * scale)
    assert again["mean"] == pytest.approx(moved + scale * found["mean"], abs=1e-3 * scale)
    assert found["low"] <= found["mean"] <= found["high"]
    assert found["weights"].sum() == pytest.approx(1)
    if len(values) > 2:
        low, high = effects.prediction_interval(values, variances, draws=4000)
        assert low < found["mean"] < high
        moved_low, moved_high = effects.prediction_interval(
            moved + scale * values, scale**2 * variances, draws=4000
        )
        assert (moved_low, moved_high) == pytest.approx(
            (moved + scale * low, moved + scale * high), rel=1e-3, abs=0.05 * scale * (high - low)
        )


def test_of_many_sources_both_prediction_intervals_are_one() -> None:
    draw = np.random.default_rng(1)
    values, variances = draw.normal(1, 0.5, 300), draw.uniform(0.01, 0.05, 300)
    values = values + draw.normal(size=300) * variances**0.5
    found = effects.random_effects(values, variances)
    limits = effects.prediction_interval(values, variances, draws=40_000)
    assert limits == pytest.approx((found["higgins_low"], found["higgins_high"]), abs=0.03)


def covered(sets: int, sources: int, tau: float) -> tuple[float, float]:
    draw, held = np.random.default_rng(0), []
    for _ in range(sets):
        variances = draw.uniform(0.01, 0.15, sources)
        true = 2 + tau * draw.normal(size=sources + 1)
        values = true[:-1] + draw.normal(size=sources) * variances**0.5
        found = effects.random_effects(values, variances)
        limits = effects.prediction_interval(values, variances, draws=1000)
        held.append((found["low"] <= 2 <= found["high"], limits[0] <= true[-1] <= limits[1]))
    mean, coming = np.mean(held, axis=0)
    return float(mean), float(coming)


def test_both_intervals_cover() -> None:
    mean, coming = covered(150, 8, 0.4)
    assert mean >= 0.91
    assert coming >= 0.90


@pytest.mark.nightly
@pytest.mark.parametrize(("sources", "tau"), [(3, 0.4), (4, 0.4), (8, 0.2), (8, 0.4), (20, 0.6)])
def test_both_intervals_cover_at_five_settings(sources: int, tau: float) -> None:
    mean, coming = covered(2000, sources, tau)
    assert mean >= 0.935
    assert coming >= 0.93


def test_sources_are_weighed_on_the_log_odds_of_their_areas(source: Make) -> None:
    others = {
        f"s{k}": source(n, prevalence=0.3, name=f"s{k}-", fold=-1, seed=k, scale=1.0)
        for k, n in enumerate((400, 800, 1600), start=1)
    }
    tables = source_tables(source(900), others, positive="melanoma")
    table = effects.external_summary(tables, positive="melanoma").set_index("source")
    assert list(table.index) == ["s1", "s2", "s3", effects.SUMMARY, effects.NEXT]
    areas = [ranking.auc(tables[n], positive="melanoma").iloc[0] for n in others]
    odds = np.array([math.log(a["value"] / (1 - a["value"])) for a in areas])
    errors = np.array([a["se"] / a["value"] / (1 - a["value"]) for a in areas])
    found = effects.random_effects(odds, errors**2)
    assert table["weight"].head(3).tolist() == pytest.approx(found["weights"].tolist())
    mean = table.loc[effects.SUMMARY]
    assert math.log(mean["high"] / (1 - mean["high"])) == pytest.approx(found["high"])
    assert table.loc[effects.NEXT, "low"] < mean["low"] < mean["value"]
    assert mean["note"].startswith("rough: of 3 sources")
    assert mean["n"] == 2800


def test_too_few_sources_say_so(source: Make) -> None:
    one = {"a": source(400, name="a-", fold=-1, seed=1)}
    perfect = source(50, name="b-", fold=-1, seed=2)
    sure = (perfect["truth"] == "melanoma") * 0.8 + 0.1
    perfect = perfect.assign(p_melanoma=sure, p_other=1 - sure)
    tables = source_tables(source(500), {**one, "b": perfect}, positive="melanoma")
    table = effects.external_summary(tables, positive="melanoma").set_index("source")
    assert table.loc["b", "note"].endswith("no part in the mean")
    assert table.loc[effects.SUMMARY, "value"] == pytest.approx(table.loc["a", "value"])
    words = "not estimable: 1 source(s) with an area and its error, of"
    assert table.loc[effects.SUMMARY, "note"] == f"interval {words} 2 or more"
    assert table.loc[effects.NEXT, "note"] == f"{words} 3 or more"
    assert math.isnan(table.loc[effects.NEXT, "value"])
    none = source_tables(source(500), {"b": perfect}, positive="melanoma")
    empty = effects.external_summary(none, positive="melanoma").set_index("source")
    assert math.isnan(empty.loc[effects.SUMMARY, "value"])
