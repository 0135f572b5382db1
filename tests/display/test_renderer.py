import base64
import json
import re
import zlib

import plotly.graph_objects as go
import pytest
from plotly.offline import get_plotlyjs

from melnb.display import renderer


def test_the_library_is_plotlys_own_in_less_than_half_its_size() -> None:
    page = renderer.library_html()
    packed = re.search(r'class="melnb-plotly" data-bytes="(\d+)">([^<>&"]*)</script>', page)
    assert packed
    text = packed[2].translate(str.maketrans(":,.", "&<>"))
    assert zlib.decompress(base64.b85decode(text)[: int(packed[1])]).decode() == get_plotlyjs()
    assert len(page) < len(get_plotlyjs()) / 2
    assert "http" not in page.replace(packed[2], "")


def test_a_figure_asks_nobody_for_anything_and_its_names_are_no_html() -> None:
    name = "</script><img src=x onerror=alert(1)>"
    figure = go.Figure(go.Scatter(y=[1, 2], name=name), layout={"height": 321, "title": name})
    bundle = renderer.OfflineRenderer().to_mimebundle(figure.to_dict())
    page = bundle["text/html"]
    assert page.count("</script>") == page.count("<script>") == 1
    assert "<img" not in page
    assert "http" not in page
    assert "height:321px" in page
    drawn = re.search(r"newPlot\(node, (.*)\);\n", page)
    assert drawn
    told = json.loads(drawn[1])
    assert told["data"][0]["name"] == name
    assert told["layout"]["title"]["text"] == name
    assert told["config"]["responsive"]


def test_every_figure_has_a_place_of_its_own_and_a_height() -> None:
    pages = [renderer.figure_html({"data": []}) for _ in range(2)]
    places = [re.findall(r'id="([^"]+)"', page) for page in pages]
    assert places[0] != places[1]
    assert all("height:450px" in page for page in pages)


def test_activation_shows_the_library_once(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    monkeypatch.setattr(renderer, "display", lambda page: shown.append(page.data))
    renderer.OfflineRenderer().activate()
    assert shown == [renderer.library_html()]
