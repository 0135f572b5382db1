"""What a page would ask for as it opens, or its scripts and styles name."""

import re
from html.parser import HTMLParser

ADDRESS = re.compile(r"""(?:(?:https?|wss?):|["'(=\s])//[\w-]+\.[^\s"'<>)\\]+""")
NAMESPACE = "http://www.w3.org/"  # of SVG: a name, which nobody asks for
# Where an attribute's address is asked for as the page opens, or without a reader's seeing it.
LOADED = {"src", "srcset", "href", "xlink:href", "poster", "data", "action", "formaction", "ping"}


class Reader(HTMLParser):
    """Collects the addresses that a page asks for, or that its scripts and styles name."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.named: list[str] = []
        self._inside = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._inside = tag if tag in ("script", "style") else ""
        for name, text in attrs:
            clicked = tag == "a" and name == "href"  # by a reader, who sees where it leads
            if (name in LOADED and not clicked) or name == "style" or name.startswith("on"):
                self.named += addresses(f" {text}")
            if (tag, name) == ("meta", "content"):
                self.named += addresses(text or "")

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.named += addresses(data)


def addresses(text: str) -> list[str]:
    """Return the addresses in a text that is no page's."""
    found = [match.strip("\"'(= ") for match in ADDRESS.findall(text)]
    return [address for address in found if not address.startswith(NAMESPACE)]
