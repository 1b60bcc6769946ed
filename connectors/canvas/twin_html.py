"""What Canvas leaves of HTML that it is given, and what it adds to it where it gives it out."""

from html import escape
from html.parser import HTMLParser

_KEPT = (
    *("a", "b", "blockquote", "br", "code", "div", "em", "h2", "h3", "h4", "h5", "h6", "hr", "i", "li", "ol", "p"),
    *("pre", "span", "strong", "table", "tbody", "td", "th", "thead", "tr", "u", "ul"),
)
_ATTRIBUTES = ("href", "title", "class", "dir", "lang", "id", "style", "role", "target")
_EMPTY = ("br", "hr")
_SHEET = '<link rel="stylesheet" href="https://brand.example.org/mobile.css">'
_SCRIPT = '<script src="https://brand.example.org/mobile.js"></script>'


def cleaned(html: str | None) -> str | None:
    if html is None:
        return None
    cleaner = _Cleaner()
    cleaner.feed(html)
    cleaner.close()
    return "".join(cleaner.out)


def given_out(html: str | None, *, branded: bool) -> str | None:
    """With the style sheets and scripts of the district's own theme, for its mobile application."""
    return f"{_SHEET}{html}{_SCRIPT}" if branded and html else html


class _Cleaner(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.out: list[str] = []
        self._dropped = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("script", "style"):
            self._dropped += 1
        elif tag in _KEPT:
            kept = [(name, value or "") for name, value in attrs if name in _ATTRIBUTES]
            kept = [(name, value) for name, value in kept if not value.strip().lower().startswith("javascript:")]
            told = [f'{name}="{escape(value)}"' for name, value in kept]
            self.out.append(f"<{' '.join([tag, *told])}>")

    def handle_endtag(self, tag: str) -> None:
        if tag in ("script", "style"):
            self._dropped = max(self._dropped - 1, 0)
        elif tag in _KEPT and tag not in _EMPTY:
            self.out.append(f"</{tag}>")

    def handle_data(self, data: str) -> None:
        if not self._dropped:
            self.out.append(escape(data, quote=False))
