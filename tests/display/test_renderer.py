import base64
import json
import re
import zlib
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest
from plotly.io.json import to_json_plotly
from plotly.offline import get_plotlyjs

from melnb.display import theme


def unpacked(page: str) -> str:
    """Return what the first packed script of a page holds."""
    packed = re.search(r'data-bytes="(\d+)">([^<>&"]*)</script>', page)
    assert packed
    text = packed[2].translate(str.maketrans(":,.", "&<>"))
    return zlib.decompress(base64.b85decode(text)[: int(packed[1])]).decode()


def drawn(page: str) -> Any:
    """Return the figure that a page draws."""
    return json.loads(unpacked(page))


def test_the_library_is_plotlys_own_in_less_than_half_its_size() -> None:
    page = theme.library_html()
    assert unpacked(page) == get_plotlyjs()
    assert len(page) < len(get_plotlyjs()) / 2
    assert "http" not in re.sub(r">[^<>]*</script>", "", page, count=1)


def test_a_figure_asks_nobody_for_anything_and_its_names_are_no_html() -> None:
    name = "</script><img src=x onerror=alert(1)>"
    figure = go.Figure(go.Scatter(y=[1, 2], name=name), layout={"height": 321, "title": name})
    bundle = theme.OfflineRenderer().to_mimebundle(figure.to_dict())
    page = bundle["text/html"]
    assert page.count("</script>") == page.count("<script") == 2
    assert "<img" not in page
    assert "http" not in page + unpacked(page) + json.dumps(bundle)
    assert "height:321px" in page
    told = drawn(page)
    assert told["data"][0]["name"] == name
    assert told["layout"]["title"]["text"] == name
    assert told["config"]["responsive"]


def test_every_figure_has_a_place_of_its_own_and_a_height() -> None:
    pages = [theme.figure_html({"data": [], "layout": {}}) for _ in range(2)]
    places = [re.findall(r'id="([^"]+)"', page) for page in pages]
    assert places[0] != places[1]
    assert all("height:450px" in page for page in pages)


def test_activation_shows_the_library_once(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    monkeypatch.setattr(theme, "display", lambda page: shown.append(page.data))
    theme.OfflineRenderer().activate()
    assert shown == [theme.library_html(go.Figure().to_dict()["layout"]["template"])]


def test_the_shared_look_is_said_once_and_another_stays_with_its_figure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shown: list[str] = []
    monkeypatch.setattr(theme, "display", lambda page: shown.append(page.data))
    own = theme.OfflineRenderer()
    own.activate()
    plain, dark = (go.Figure(layout={"template": name}) for name in (None, "plotly_dark"))
    usual = json.loads(to_json_plotly(plain.to_dict()["layout"]["template"]))
    script = re.search(r"window.melnbTemplate = (.*?);\n", shown[0])
    assert script
    assert json.loads(script[1]) == usual
    layouts = [
        drawn(own.to_mimebundle(figure.to_dict())["text/html"])["layout"]
        for figure in (plain, dark)
    ]
    assert "template" not in layouts[0]
    assert layouts[1]["template"] == json.loads(
        to_json_plotly(dark.to_dict()["layout"]["template"])
    )


def test_arrays_are_drawn_in_single_precision_and_others_as_they_are() -> None:
    values = np.array([[1 / 3, np.nan], [np.inf, 999_999.5]])
    trace = go.Scatter(y=values[:, 0], customdata=values, x=np.array([0, 1.7e12]), ids=["a", "b"])
    figure = go.Figure(trace).to_dict()
    told = drawn(theme.figure_html(figure))["data"][0]
    assert told["ids"] == ["a", "b"]
    assert told["x"] == figure["data"][0]["x"]
    for name, shape in (("y", (2,)), ("customdata", (2, 2))):
        packed = np.frombuffer(base64.b64decode(told[name]["bdata"]), dtype=told[name]["dtype"])
        expected = values[:, 0] if name == "y" else values
        np.testing.assert_array_equal(packed.reshape(shape), expected.astype("float32"))
    assert told["customdata"]["shape"] == figure["data"][0]["customdata"]["shape"]
