"""What an answer of Canvas says, and whether two texts are the same although Canvas spells them anew."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import Any

import msgspec


@dataclass(frozen=True)
class Course:
    id: int
    state: str
    """available, or why not: unpublished, completed, deleted."""


@dataclass(frozen=True)
class Student:
    id: int
    name: str
    courses: frozenset[int]


@dataclass(frozen=True)
class Marked:
    """An assignment: the marker of its `own` field, which a copy lacks, and those that its text has `told`."""

    id: str
    own: str
    told: frozenset[str]

    def bears(self, marker: str) -> bool:
        return marker == self.own or marker in self.told


def marked(row: Mapping[str, Any]) -> Marked:
    told = re.findall(r"urn:uuid:[\w-]+", str(row.get("description") or ""))
    return Marked(str(row["id"]), str(row.get("integration_id") or ""), frozenset(told))


def is_ours(made: Mapping[str, Any]) -> bool:
    """Whether an assignment is seen by those alone who are named, and counts for nothing."""
    return (
        made.get("only_visible_to_overrides") is True
        and made.get("visible_to_everyone") is not True
        and made.get("omit_from_final_grade") is True
        and made.get("grading_type") == "not_graded"
        and not made.get("points_possible")
    )


def digest(there: Mapping[str, Any]) -> str:
    """Of what people may have changed: words and days, however they are spelt."""
    days = [_moment(there.get(name)) for name in ("due_at", "lock_at")]
    said = [there.get("name"), there.get("content"), _words(there.get("description")), days]
    return hashlib.sha256(msgspec.json.encode(said)).hexdigest()[:32]


def same_words(one: str | None, other: str | None) -> bool:
    return _words(one) == _words(other)


def _moment(text: Any) -> str:
    if not isinstance(text, str) or not text:
        return ""
    try:
        return datetime.fromisoformat(text).astimezone(UTC).isoformat(timespec="seconds")
    except ValueError:
        return text


def _words(html: str | None) -> list[str]:
    reader = _Reader()
    reader.feed(html or "")
    reader.close()
    return reader.said


class _Reader(HTMLParser):
    """Elements, link targets and words in their order. Canvas adds style sheets and scripts of the district's own, and
    attributes to links, to what it gives out."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []
        self._script = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._script = tag in ("script", "style")
        if tag not in ("script", "style", "link", "br"):
            self.said += [f"<{tag}>", *(value or "" for name, value in attrs if name == "href")]

    def handle_endtag(self, tag: str) -> None:
        self._script = False

    def handle_data(self, data: str) -> None:
        if not self._script and (plain := " ".join(data.split())):
            self.said.append(plain)
