"""What an answer holds: its rows, its count, when it was given; and in what it is not as the standard has it."""

import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cached_property

import msgspec

from gateway.connector import Notice
from gateway.errors import ConfigError
from gateway.http import Reply
from gateway.payload import UNREADABLE, members_of, rows_of


@dataclass(frozen=True)
class Answer:
    """One page as a server gave it. `refused` is its status where that is not 200: it then has no rows."""

    reply: Reply
    rows: Sequence[msgspec.Raw] = ()
    total: int | None = None
    notices: Sequence[Notice] = ()

    @property
    def refused(self) -> int:
        return 0 if self.reply.status == 200 else self.reply.status

    @cached_property
    def marks(self) -> Sequence["Marks"]:
        """What tells each row from the others, and when it changed."""
        return [_marks(row) for row in self.rows]

    def old(self, since: datetime) -> Sequence[bool]:
        """Of each row, whether it did certainly not change after that moment."""
        return [mark.zoned and mark.changed is not None and mark.changed <= since for mark in self.marks]

    @property
    def undated(self) -> list[bool]:
        """Of each row, whether it is a record that does not say when it changed: no filter on that finds it."""
        return [mark.record and mark.changed is None for mark in self.marks]

    @property
    def keys(self) -> Sequence[str]:
        return [mark.key for mark in self.marks]

    @cached_property
    def fingerprint(self) -> str:
        """The same for the same rows in the same order, whatever stands in them: some servers write the time of the
        answer into each row."""
        return short("\n".join(self.keys))

    @property
    def given_at(self) -> datetime | None:
        """The moment by the server's own clock."""
        try:
            return parsedate_to_datetime(self.reply.headers.get("date", "")).replace(tzinfo=UTC)
        except (ValueError, OverflowError):
            return None

    @property
    def revision(self) -> str:
        """ClassLink numbers the state of its data."""
        return self.reply.headers.get("x-perm-rev", "").strip()


def answer(name: str, reply: Reply, limit: int) -> Answer:
    """The answer to a request for so many rows of a collection. ConfigError where it holds none of it."""
    if reply.status != 200:
        return Answer(reply)
    rows, notices = _rows(name, reply)
    total, spelt = _total(reply)
    got = Answer(reply, rows, total, notices)
    if len(rows) > limit:
        notices.append(Notice("limit-ignored", "limit", name))
    keys = Counter(got.keys)
    if repeated := [key for key, count in keys.items() if count > 1]:
        notices.append(Notice("row-repeated", "sourcedId", repeated[0], len(rows) - len(keys)))
    notices += spelt
    return got


def short(text: str) -> str:
    """A text as twelve characters that another text does not have."""
    return hashlib.blake2b(text.encode(), digest_size=6).hexdigest()


def _rows(name: str, reply: Reply) -> tuple[list[msgspec.Raw], list[Notice]]:
    """The rows of `{"<name>": [...]}`, undecoded. Another spelling of the name, another name for the only list, or a
    list without an envelope will do. # OneRoster 1.2 3: envelopes, which servers often get wrong"""
    try:
        body = reply.body.removeprefix(_BOM)
        notices = [Notice("byte-order-mark", name)] if body is not reply.body else []
        if body.lstrip()[:1] == b"[":
            rows = rows_of(body)
            if not rows or bytes(rows[0])[:1] == b"{":
                return rows, [*notices, Notice("envelope-missing", name)]
            raise msgspec.DecodeError  # whatever it lists, it is no records
        members = members_of(body)
        spelt = {key.casefold(): key for key in members}
        lists = [key for key, value in members.items() if bytes(value).startswith(b"[")]
        key = name if name in members else spelt.get(name.casefold()) or (lists[0] if len(lists) == 1 else "")
        found = members.get(key, msgspec.Raw(b'""'))
        if key != name and key:
            notices.append(Notice("envelope-name", name, key))
        if bytes(found) == b"null":
            return [], [*notices, Notice("envelope-null", name)]
        return rows_of(found), notices
    except msgspec.DecodeError as error:
        raise ConfigError(
            "oneroster-envelope",
            f"{reply.name} answered without a list named {name}.",
            "Check that the address is that of a OneRoster service.",
        ) from error


_BOM = b"\xef\xbb\xbf"


def _total(reply: Reply) -> tuple[int | None, list[Notice]]:
    stated = reply.headers.get("x-total-count", "").strip()
    plain = re.sub(r"[,\s_']|\.0*$", "", stated)
    if not (plain.isascii() and plain.isdigit()) or len(plain) > 18:  # no count of anything, and more than is stored
        return None, []
    return int(plain), [] if plain == stated else [Notice("total-spelt", "X-Total-Count", stated)]


class Marks(msgspec.Struct, frozen=True, gc=False):
    """What a row is known by. A row that cannot be read is known by its bytes."""

    key: str
    changed: datetime | None = None
    zoned: bool = True
    record: bool = False


class _Known(msgspec.Struct, frozen=True, gc=False):
    sourcedId: msgspec.Raw = msgspec.Raw(b"null")
    dateLastModified: msgspec.Raw = msgspec.Raw(b"null")


_decode = msgspec.json.Decoder(_Known).decode


def _marks(row: msgspec.Raw) -> Marks:
    try:
        known = _decode(row)
        key = msgspec.json.decode(known.sourcedId)
        stamp = msgspec.json.decode(known.dateLastModified)
    except UNREADABLE:
        return Marks(short(bytes(row).hex()))
    changed, zoned = _instant(stamp)
    if isinstance(key, str) and key:
        return Marks(key, changed, zoned, record=True)
    return Marks(short(bytes(row).hex()), changed, zoned)


_STAMP = re.compile(r"(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d(?:[.,]\d{1,6})?)?)\d*)?\s*(Z|[+-]\d\d:?\d\d)?Z?")


def _instant(stamp: object) -> tuple[datetime | None, bool]:
    """A dateLastModified as a moment, and whether it said in which zone; without one it is taken as UTC.
    # seen: `2024-10-01Z`, `+00:00Z`, no zone"""
    found = _STAMP.fullmatch(stamp.strip()) if isinstance(stamp, str) else None
    if found is None:
        return None, True
    day, time, zone = found.groups()
    try:
        spelt = f"{day}T{(time or '00:00').replace(',', '.')}{'+00:00' if zone in (None, 'Z') else zone}"
        return datetime.fromisoformat(spelt).astimezone(UTC), zone is not None
    except (ValueError, OverflowError):
        return None, True
