import plotly.graph_objects as go
import plotly.io as pio
import pytest

from melnb.display import theme
from melnb.tables import diagnoses


@pytest.fixture(autouse=True)
def _as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give plotly its own defaults back after each test."""
    monkeypatch.setattr(pio.templates, "_default", pio.templates._default)
    monkeypatch.setattr(pio.renderers, "_default_renderers", pio.renderers._default_renderers)
    monkeypatch.setattr(pio.renderers, "_default_name", pio.renderers._default_name)


def luminance(colour: str) -> float:
    """Return the relative luminance of WCAG 2.2."""
    parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_contrast_is_that_of_the_standard() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("palette", [theme.LIGHT, theme.DARK], ids=["light", "dark"])
def test_text_and_class_colours_stand_out_from_the_page(palette: dict[str, str]) -> None:
    for background in ("page", "surface"):
        assert contrast(palette["ink"], palette[background]) > 7
        assert contrast(palette["muted"], palette[background]) > 4.5
        for name in ("accent", "positive", "negative"):
            assert contrast(palette[name], palette[background]) > 3


def test_figures_that_know_no_page_colour_are_seen_on_both() -> None:
    for colour in (*theme.TRUTHS, theme.INK_ON_ANY):
        assert min(contrast(colour, p["page"]) for p in (theme.LIGHT, theme.DARK)) > 3


def test_every_diagnosis_has_a_colour_of_its_own() -> None:
    colours = [theme.class_colour(name) for name in diagnoses.NAMES]
    assert len(set(colours)) == len(diagnoses.NAMES)
    assert theme.class_colour("melanoma", 5) == theme.class_colour("melanoma", 0)
    assert theme.class_colour("mole", 1) == theme.SERIES[1]


def test_apply_makes_every_figure_ours_and_visible_without_a_network() -> None:
    theme.use_theme()
    assert pio.templates.default == "melnb"
    assert pio.renderers.default == "melnb"
    assert go.Figure().layout.template.layout.colorway == theme.SERIES


def test_apply_leaves_a_host_its_own_renderer() -> None:
    pio.renderers.default = "kaggle"
    theme.use_theme()
    assert pio.renderers.default == "kaggle"
    theme.use_theme("json")
    assert pio.renderers.default == "json"


def test_palette_as_css() -> None:
    css = theme.css_variables(theme.DARK)
    assert f"--melnb-ink: {theme.DARK['ink']};" in css
    assert css.count("--melnb-") == len(theme.DARK) == len(theme.LIGHT)
