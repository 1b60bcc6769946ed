"""What Moodle's cleaner makes of a piece of HTML; a description is taken only where that changes nothing."""

from dataclasses import dataclass, field
from html.parser import HTMLParser

ATTRIBUTES: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("p", "h3", "ul", "ol", "li", "table", "thead", "tbody", "tr", "td", "strong", "em", "dl"), ()),
    **dict.fromkeys(("dt", "dd", "br"), ()),
    "th": ("scope",),
    "a": ("href",),
}
"""Elements that stay, with what each may have besides a class, a title and a direction."""
_EVERYWHERE = ("class", "title", "dir")
_INLINE = frozenset({"strong", "em", "br", "a"})
_BLOCKS = frozenset({"p", "h3", "ul", "ol", "table", "dl"})
_ONLY: dict[str, frozenset[str]] = {
    "ul": frozenset({"li"}),
    "ol": frozenset({"li"}),
    "dl": frozenset({"dt", "dd"}),
    "table": frozenset({"thead", "tbody", "tr"}),
    "thead": frozenset({"tr"}),
    "tbody": frozenset({"tr"}),
    "tr": frozenset({"th", "td"}),
    **dict.fromkeys(("p", "h3", "strong", "em", "dt"), _INLINE),
    "a": _INLINE - {"a"},
    **dict.fromkeys(("li", "td", "th", "dd"), _INLINE | _BLOCKS),
    "": _INLINE | _BLOCKS,
}
"""Which elements stand in which; "" is the text itself."""
_NO_TEXT = frozenset({"ul", "ol", "dl", "table", "thead", "tbody", "tr"})
_DROPPED = frozenset({"script", "style"})


def cleaned(html: str) -> str:
    """The text as Moodle would keep it."""
    reader = _Reader()
    reader.feed("".join(one for one in html if _is_allowed(one)))
    reader.close()
    while len(reader.open) > 1:
        reader.end()
    return "".join(reader.open[0].parts).strip()


def is_fixed_point(html: str) -> bool:
    return cleaned(html) == html


def _is_allowed(character: str) -> bool:
    """# HTML 4: the characters that are no controls; a lone surrogate is no text."""
    n = ord(character)
    return n in (9, 10) or 0x20 <= n <= 0x7E or 0xA0 <= n <= 0xD7FF or 0xE000 <= n <= 0xFFFD or n >= 0x10000


@dataclass
class _Open:
    """An element whose end has not come."""

    name: str
    attributes: str = ""
    parts: list[str] = field(default_factory=list)


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open = [_Open("")]
        self._dropping = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if self._dropping or tag in _DROPPED:
            self._dropping = self._dropping or tag
            return
        if tag not in ATTRIBUTES:
            return
        while tag not in _ONLY[self.open[-1].name] and len(self.open) > 1:
            self.end()
        if tag not in _ONLY[self.open[-1].name]:
            return
        if tag == "br":
            self.open[-1].parts.append("<br />")
            return
        self.open.append(_Open(tag, "".join(_attribute(tag, name, value or "") for name, value in attrs)))

    def handle_endtag(self, tag: str) -> None:
        if self._dropping:
            self._dropping = "" if tag == self._dropping else self._dropping
        elif tag in (one.name for one in self.open):
            while self.open[-1].name != tag:
                self.end()
            self.end()

    def handle_data(self, data: str) -> None:
        if not self._dropping and (self.open[-1].name not in _NO_TEXT or not data.strip()):
            self.open[-1].parts.append(_escaped(data))

    def end(self) -> None:
        done = self.open.pop()
        inner = "".join(done.parts)
        if done.name in _NO_TEXT and not inner.strip():
            return
        self.open[-1].parts.append(f"<{done.name}{done.attributes}>{inner}</{done.name}>")


def _attribute(tag: str, name: str, value: str) -> str:
    if name not in (*ATTRIBUTES[tag], *_EVERYWHERE) or not value:
        return ""
    if name == "href" and not value.startswith(("https://", "http://", "mailto:")):
        return ""
    if name == "dir" and value not in ("ltr", "rtl"):
        return ""
    return f' {name}="{_escaped(value).replace(chr(34), "&quot;")}"'


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
