"""What is on a printed plan, in order, without a word on how it looks: one sheet, drawn as HTML and as PDF."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

Paper = Literal["letter", "a4"]


@dataclass(frozen=True)
class Span:
    """Words in one language. `lang` is a BCP 47 tag where it is not the sheet's own; `mark` says in the sheet's
    language what a reader must know of them."""

    text: str
    lang: str = ""
    mark: str = ""
    name: bool = False
    """A name: it stands in no language, and its direction is its own."""


Line = tuple[Span, ...]


@dataclass(frozen=True)
class Heading:
    level: int
    line: Line


@dataclass(frozen=True)
class Paragraph:
    line: Line
    tone: str = ""
    """`alert` for what must not be overlooked, `quote` for somebody's own words."""


@dataclass(frozen=True)
class Bullets:
    items: tuple[Line, ...]


@dataclass(frozen=True)
class Terms:
    """Names of things, each with what is said of it."""

    pairs: tuple[tuple[Line, tuple[Line, ...]], ...]


@dataclass(frozen=True)
class Table:
    header: tuple[Line, ...]
    rows: tuple[tuple[Line, ...], ...]
    """The first cell of a row names the row."""


Block = Heading | Paragraph | Bullets | Terms | Table


@dataclass(frozen=True)
class Sheet:
    """A whole print. `mark` stands on every page, as DRAFT does; `foot` at its end and at the foot of each page."""

    lang: str
    direction: str
    title: str
    mark: str
    page: str
    """`Page {page} of {pages}` in the sheet's language."""
    foot: tuple[str, ...]
    blocks: tuple[Block, ...]
    left_out: tuple[str, ...] = ()
    marked: int = 0
    """How many lines carry a mark of their translation."""


def plain(text: str) -> str:
    """The words without characters that no page can show: controls, and half of a pair."""
    kept = text.replace("\r\n", "\n").replace("\r", "\n").replace("\t", " ")
    return re.sub(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff\u202a-\u202e\u2066-\u2069]", "", kept).strip()


def joined(parts: Iterable[Line], between: str) -> Line:
    """Lines as one, with something between them."""
    found: list[Span] = []
    for part in parts:
        if found:
            found.append(Span(between))
        found.extend(part)
    return tuple(found)


def as_json(sheet: Sheet) -> dict[str, Any]:
    """The sheet as plain data; each block says what it is."""
    blocks = [{"is": type(block).__name__.lower(), **_plain(block)} for block in sheet.blocks]
    return {**_plain(sheet), "blocks": blocks}


def _plain(value: Any) -> Any:
    if hasattr(value, "__dataclass_fields__"):
        return {name: _plain(getattr(value, name)) for name in value.__dataclass_fields__}
    return [_plain(part) for part in value] if isinstance(value, tuple) else value
