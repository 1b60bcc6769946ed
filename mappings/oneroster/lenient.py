"""What real servers write instead of what OneRoster says: put into the standard's own spelling, and told.

Only where it can mean one thing. Whatever cannot be read so stays as it is, for mappings.oneroster.values to refuse.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from typing import Any, get_args, get_type_hints
from urllib.parse import unquote, urlsplit

import msgspec

from connectors.oneroster.models import Flag, Link, Links, Number, Ref, Texts
from gateway.mapping import Crosswalks, Inbound

Mend = Callable[[Any, str, Crosswalks], Any]
"""From a value, its field and the codes to the value as the standard has it: the same object where it is so already."""


def lenient(wire: type, inbound: Inbound) -> Inbound:
    """The mapping of a wire type, for records as they come."""
    mends = _mends(wire)

    def reading(record: Any, codes: Crosswalks) -> Any:
        return inbound(_mended(record, mends, codes), codes)

    return reading


def _mended(record: Any, mends: Sequence[tuple[str, str, Mend]], codes: Crosswalks) -> Any:
    changed = {}
    for attribute, field, mend in mends:
        value = getattr(record, attribute)
        if value is not None and (better := mend(value, field, codes)) is not value:
            changed[attribute] = better
    return msgspec.structs.replace(record, **changed) if changed else record


DAYS = ("startDate", "endDate", "beginDate", "birthDate", "scoreDate")
MOMENTS = ("assignDate", "dueDate")

# Table of the crosswalk, and the standard's spellings. # OneRoster 1.1 and 1.2
CODES = {
    "Org.type": ("org_type", "department district local national school state"),
    "AcademicSession.type": ("session_type", "gradingPeriod semester schoolYear term"),
    "Class.classType": ("class_type", "homeroom scheduled"),
    "Role.roleType": ("", "primary secondary"),
    "Enrollment.role": ("enrollment_role", "administrator aide proctor student teacher"),
    "Demographics.sex": ("sex", "female male other unspecified"),
}
_ROLES = (
    "role",
    "administrator aide counselor districtAdministrator guardian parent principal proctor relative siteAdministrator"
    " student systemAdministrator teacher",
)
_STATUS = ("score_status", ("exempt", "fully graded", "not submitted", "partially graded", "submitted"))


def _mends(wire: type, path: str = "") -> list[tuple[str, str, Mend]]:
    """(attribute, field, how it is mended) for each field that may be spelt in more than one way."""
    hints = get_type_hints(wire)
    found: list[tuple[str, str, Mend]] = []
    for field in msgspec.structs.fields(wire):
        name = f"{path}{field.encode_name}"
        if mend := _mend(wire, field.name, hints[field.name]):
            found.append((field.name, name, mend))
        elif parts := [part for part in map(_item, get_args(hints[field.name])) if part is not None]:
            found.append((field.name, name, _each(_mends(parts[0], f"{name}[]."))))
    return found


def _item(hint: Any) -> type | None:
    """The record of which a list is."""
    item = next(iter(get_args(hint)), None)
    return item if isinstance(item, type) and issubclass(item, msgspec.Struct) else None


def _each(mends: Sequence[tuple[str, str, Mend]]) -> Mend:
    def mend(values: Any, field: str, codes: Crosswalks) -> Any:
        if not isinstance(values, list):
            return values
        better = [_mended(value, mends, codes) for value in values]
        return values if all(new is old for new, old in zip(better, values, strict=True)) else better

    return mend


def _mend(wire: type, name: str, hint: Any) -> Mend | None:
    if known := _codes(wire.__name__, name):
        return _code(*known)
    if name in DAYS:
        return day
    if name in MOMENTS:
        return moment
    if name == "schoolYear" and hint == Number:
        return school_year
    if name == "grades":
        return grades
    if name == "userIds":
        return None
    kinds: tuple[tuple[Any, Mend], ...] = (
        (Flag, flag), (Ref, reference), (Links, references), (Texts, texts), (Number, number),
    )  # fmt: skip
    return next((mend for kind, mend in kinds if hint == kind), None)


def _codes(wire: str, name: str) -> tuple[str, tuple[str, ...]] | None:
    if name == "scoreStatus":
        return _STATUS
    if name == "role" and wire in ("User", "Role", "UserRole"):
        return _ROLES[0], tuple(_ROLES[1].split())
    table, words = CODES.get(f"{wire.replace('UserRole', 'Role')}.{name}", ("", ""))
    return (table, tuple(words.split())) if words else None


def _code(table: str, spellings: tuple[str, ...]) -> Mend:
    """One of the standard's words in other letters, or an abbreviation that the crosswalk knows. A line of the
    district's own for just this spelling counts before ours."""
    standard = {_squeezed(word): word for word in spellings}
    right = frozenset(spellings)

    def mend(value: Any, field: str, codes: Crosswalks) -> Any:
        if value in right or not isinstance(value, str) or not value.strip():
            return value
        lines = codes.tables.get(table, {})
        word = standard.get(_squeezed(value))
        if word is not None and (value not in lines or lines[value] == lines.get(word.casefold())):
            codes.notice("code-in-other-spelling", field)
            return word
        if table and (line := codes.find(table, value)) is not None and line.target:
            codes.notice("code-in-other-words", field)
        return value

    return mend


def _squeezed(word: str) -> str:
    return re.sub(r"[\s_-]", "", word).casefold()


def grades(value: Any, field: str, codes: Crosswalks) -> Any:
    """CEDS codes in a list; in one text with commas, as CSV has them; in words, as our crosswalk knows them."""
    items = texts_apart(value, field, codes)
    for item in items if isinstance(items, list) else ():
        line = codes.find("grade", item.strip())
        if line is not None and line.target not in ("", item.strip()):
            codes.notice("grade-in-other-words", field)
            break
    return items


def texts_apart(value: Any, field: str, codes: Crosswalks) -> Any:
    """A list of texts, where commas part them."""
    if isinstance(value, str) and value.strip():
        codes.notice("text-for-list", field)
        return [item.strip() for item in value.split(",") if item.strip()]
    return value


def texts(value: Any, field: str, codes: Crosswalks) -> Any:
    """A list of texts. A comma in a bare one may belong to it, unless these are codes."""
    if field.endswith(("subjectCodes", "periods", "roles")):
        return texts_apart(value, field, codes)
    if isinstance(value, str) and value.strip():
        codes.notice("text-for-list", field)
        return [value]
    return value


def flag(value: Any, field: str, codes: Crosswalks) -> Any:
    """The texts true and false."""
    if value in ("true", "false", ""):
        return value
    if isinstance(value, bool):
        codes.notice("boolean-as-json", field)
        return "true" if value else "false"
    word = str(value).strip().casefold()
    if word in ("true", "false"):
        codes.notice("boolean-in-capitals", field)
        return word
    if word in _WORDS:
        codes.notice("boolean-in-other-words", field)
        return _WORDS[word]
    return value


_WORDS = {**dict.fromkeys(("yes", "y", "t", "1"), "true"), **dict.fromkeys(("no", "n", "f", "0"), "false")}


def references(value: Any, field: str, codes: Crosswalks) -> Any:
    """A list of references; one alone, or keys in one text with commas."""
    if isinstance(value, Link):
        if not value.sourcedId and not value.href:
            return value
        codes.notice("one-for-list", field)
        value = [value]
    elif isinstance(value, str):
        if not value.strip():
            return None
        codes.notice("text-for-list", field)
        return [Link(item.strip()) for item in value.split(",") if item.strip()]
    better = [reference(item, f"{field}[]", codes) for item in value]
    return [item for item in better if isinstance(item, Link)]


def reference(value: Any, field: str, codes: Crosswalks) -> Any:
    """An object with a sourcedId; the key as a text; an address alone, whose last part is the key."""
    if isinstance(value, str):
        if not (stated := value.strip()):
            return value
        key = _last_part(stated) if "://" in stated else stated
        codes.notice("reference-as-text", field)
        return Link(key)
    if not (value.sourcedId or "").strip() and value.href and (key := _last_part(value.href)):
        codes.notice("reference-by-address", field)
        return Link(key)
    return value


def _last_part(address: str) -> str:
    parts = [part for part in urlsplit(address).path.split("/") if part]
    return unquote(parts[-1]) if len(parts) > 1 else ""


def number(value: Any, field: str, codes: Crosswalks) -> Any:
    """A number, also with a decimal comma, and with commas between thousands where a point follows them. Whether 1,234
    is more than a thousand or little more than one nobody can tell."""
    if not isinstance(value, str) or "," not in value:
        return value
    stated = value.strip()
    if re.fullmatch(r"[+-]?[0-9]{1,3}(,[0-9]{3})+\.[0-9]+", stated):
        better = stated.replace(",", "")
    elif re.fullmatch(r"[+-]?[0-9]+,([0-9]{1,2}|[0-9]{4,})", stated):
        better = stated.replace(",", ".")
    else:
        return value
    codes.notice("number-with-comma", field)
    return better


def school_year(value: Any, field: str, codes: Crosswalks) -> Any:
    """The year in which it ends, also of 2026-2027 and 2026-27."""
    if isinstance(value, int | float):
        codes.notice("number-for-text", field)
        return str(value)
    found = re.fullmatch(r"\s*([0-9]{4})\s*[-/\u2013]\s*((?:[0-9]{2})?[0-9]{2})\s*", value)
    if found and (int(found[1]) + 1) % 10 ** len(found[2]) == int(found[2]):
        codes.notice("school-year-as-span", field)
        return str(int(found[1]) + 1)
    return value


def day(value: Any, field: str, codes: Crosswalks) -> Any:
    """2026-10-01; also with a zone or a time behind it, in another order where that cannot be mistaken."""
    stated = value.strip()
    if stated.startswith("0000") and re.fullmatch(r"0{4}-?00-?00(?:[T ][0:.]+Z?)?", stated):
        codes.notice("date-of-zeros", field)
        return None
    if _DAY.fullmatch(value):
        return value
    if found := _DAY_AND_MORE.fullmatch(stated):
        if found["time"]:
            codes.notice("date-with-time", field)
        else:
            codes.notice("date-with-zone", field)
        return found["day"]
    if (read := _other_order(stated)) is None:
        return value
    codes.notice("date-in-other-form", field)
    return read


def moment(value: Any, field: str, codes: Crosswalks) -> Any:
    """2026-10-01T08:00:00.000Z, or the day alone, as CSV has it. Of it the day is kept as it is written."""
    found = _DAY_AND_MORE.fullmatch(value)
    if not found or (found["time"] and found["zone"] == "Z"):
        return value if found else day(value, field, codes)
    if found["time"] and not found["zone"]:
        codes.notice("time-without-zone", field)
    elif found["zone"]:
        codes.notice("time-in-other-zone", field)
    return found["day"]


_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_DAY_AND_MORE = re.compile(
    r"(?P<day>[0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?P<time>[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]+)?)?)?"
    r"(?P<zone> ?(?:[+-][0-9]{2}:?[0-9]{2})?Z?)"
)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")


def _other_order(stated: str) -> str | None:
    """ISO 8601 for 20261001, 2026/10/1, 17-AUG-2026, August 17, 2026 and 10/25/2026; None for 10/11/2026, which is two
    days, and for what is no day."""
    days = {made for made in _readings(stated) if made is not None}
    return days.pop() if len(days) == 1 else None


def _readings(stated: str) -> Iterator[str | None]:
    stated = re.sub(r"[T ][0-9]{1,2}:[0-9]{2}.*", "", stated)
    if found := re.fullmatch(r"([0-9]{4})([-/.]?)([0-9]{1,2})\2([0-9]{1,2})", stated):
        if found[2] or len(stated) == 8:
            yield _iso(found[1], found[3], found[4])
    elif found := re.fullmatch(r"([0-9]{1,2})([-/.])([0-9]{1,2})\2([0-9]{4})", stated):
        yield _iso(found[4], found[1], found[3])
        yield _iso(found[4], found[3], found[1])
    elif found := re.fullmatch(r"([0-9]{1,2})[- ]([A-Za-z]{3,9})[- ]([0-9]{4})", stated):
        yield _iso(found[3], _month(found[2]), found[1])
    elif found := re.fullmatch(r"([A-Za-z]{3,9})\.? ([0-9]{1,2}), ?([0-9]{4})", stated):
        yield _iso(found[3], _month(found[1]), found[2])


def _month(word: str) -> str:
    short = word[:3].casefold()
    return str(_MONTHS.index(short) + 1) if short in _MONTHS else "0"


def _iso(year: str, month: str, day: str) -> str | None:
    try:
        return date(int(year), int(month), int(day)).isoformat()
    except ValueError:
        return None
