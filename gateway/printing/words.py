"""The words of a printed plan, language by language: a file in languages/ is all that one more takes."""

import csv
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

from gateway.errors import ConfigError
from gateway.printing.sheet import Line, Span, plain

FOLDER = Path(__file__).parent / "languages"


def words(language: str) -> "Words":
    """The words of a language, asked for by its code (`es` or `spa`). ConfigError where there is no file of it."""
    name = tag(language)
    if name not in known():
        raise ConfigError(
            "print-language-unknown",
            f"Plans cannot be printed in {language!r}: there are no words for it.",
            f"Choose one of: {', '.join(known())}.",
        )
    return _read(name)


def known() -> list[str]:
    """The languages that plans can be printed in, as BCP 47 tags."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def tag(language: str) -> str:
    """The BCP 47 tag of a language given by an ISO 639-3 code or as a tag: the shortest code that there is."""
    first, *rest = language.strip().replace("_", "-").split("-")
    return "-".join([_tags().get(first.lower(), first.lower()), *rest])


@cache
def _tags() -> dict[str, str]:
    with (FOLDER / "tags.csv").open(encoding="utf-8", newline="") as file:
        return {row["iso_639_3"]: row["tag"] for row in csv.DictReader(file)}


@cache
def _read(name: str) -> "Words":
    found = tomllib.loads((FOLDER / f"{name}.toml").read_text(encoding="utf-8"))
    return Words(name, found)


@dataclass(frozen=True)
class Words:
    """One language: its sentences with places for what is put in, its words for codes, its dates and numbers."""

    tag: str
    file: Mapping[str, Any]

    @property
    def direction(self) -> str:
        return str(self.file["direction"])

    def text(self, key: str, **given: str) -> str:
        """A sentence without parts in another language."""
        return "".join(span.text for span in self.line(key, **given))

    def line(self, key: str, **given: str | Span | Line) -> Line:
        """A sentence; what is put in keeps its own language."""
        found: list[Span] = []
        for n, piece in enumerate(re.split(r"\{(\w+)\}", self.file["text"][key])):
            value = piece if n % 2 == 0 else given[piece]
            if isinstance(value, str):
                value = Span(value)
            found += (value,) if isinstance(value, Span) else value
        return tuple(span for span in found if span.text)

    def has(self, key: str) -> bool:
        return key in self.file["text"]

    def code(self, of: str, value: str) -> Line:
        """The word for a code. One that no translator has seen yet stands as it is, in English and as such."""
        word = self.file["codes"].get(of, {}).get(value)
        return (Span(word),) if word else (Span(value.replace("_", " "), "" if self.tag == "en" else "en"),)

    def language(self, code: str) -> str:
        """The name of a language."""
        return str(self.file["languages"].get(tag(code), code))

    def date(self, day: date) -> str:
        form, months = self.file["dates"]["form"], self.file["dates"]["months"]
        return str(form.format(day=day.day, month=months[day.month - 1], year=day.year))

    def number(self, value: int | float) -> str:
        marks = {",": self.file["numbers"]["group"], ".": self.file["numbers"]["decimal"]}
        # No more digits than were given, and no exponents.
        written = f"{value:,}" if isinstance(value, int) else f"{value:,.6f}".rstrip("0").rstrip(".")
        return "".join(marks.get(sign, sign) for sign in written)

    def value(self, value: int | float | str, lang: str) -> Span:
        """A value: a number in the manner of this language, or a level in the plan's own words."""
        return Span(plain(value), lang) if isinstance(value, str) else Span(self.number(value))
