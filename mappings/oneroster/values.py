"""How the values of a OneRoster record are read once they are spelt as the standard says (mappings.oneroster.lenient).

Whatever cannot be read makes a RecordError that names the field, never the value: the value may be personal.
"""

import math
import re
from datetime import date

from msgspec import UNSET, UnsetType

from connectors.oneroster.models import Flag, Link, Links, Number, Ref, Text, Texts
from gateway.errors import RecordError
from gateway.mapping import Crosswalks

_DAY = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})(?:T[0-9:.]+Z)?")


def text(value: Text) -> str | UnsetType:
    """A text without blanks around it; null, "" and blanks are not stated."""
    return (value or "").strip() or UNSET


def required_text(value: Text, field: str) -> str:
    """A text that must be there."""
    return (value or "").strip() or _missing(field)


def texts(value: Texts) -> list[str] | UnsetType:
    """A list of texts; a bare text is a list of one."""
    items = [value] if isinstance(value, str) else value or ()
    return [item.strip() for item in items if item.strip()] or UNSET


def grades(value: Texts, codes: Crosswalks) -> list[str] | UnsetType:
    """CEDS codes of the grades."""
    items = [value] if isinstance(value, str) else value or ()
    words = (codes.translate("grade", item.strip()) for item in items if item.strip())
    return list(dict.fromkeys(word for word in words if word)) or UNSET


def code(table: str, value: Text, codes: Crosswalks) -> str | UnsetType:
    """The common schema's word for a code, not stated where there is no code or no word."""
    stated = text(value)
    return UNSET if stated is UNSET else codes.translate(table, stated) or UNSET


def reference(value: Ref, field: str) -> str | UnsetType:
    """The key that a reference holds."""
    if isinstance(value, str):
        if value.strip():
            raise RecordError("bad-reference", f"{field} must be a reference with a sourcedId.", field=field)
        return UNSET
    return (value.sourcedId if value is not None else None) or UNSET


def required_reference(value: Ref, field: str) -> str:
    """The key that a reference holds, which must be there."""
    key = reference(value, field)
    return _missing(field) if key is UNSET else key


def references(values: Links) -> list[str]:
    """The distinct keys of a list of references; an empty reference in it says nothing."""
    if values is not None and not isinstance(values, list):
        raise RecordError("bad-reference", "What should be a list of references is something else.")
    links = values or ()
    return list(dict.fromkeys(link.sourcedId for link in links if isinstance(link, Link) and link.sourcedId))


def day(value: Text, field: str) -> date | UnsetType:
    """The calendar day as written; a time of day behind it changes nothing."""
    stated = text(value)
    if stated is UNSET:
        return UNSET
    found = _DAY.fullmatch(stated)
    if found:
        try:
            return date.fromisoformat(found[1])
        except ValueError:
            pass
    raise RecordError("bad-date", f"{field} is not a date like 2026-08-17.", field=field)


def flag(value: Flag, field: str) -> bool | UnsetType:
    """The word true or false."""
    match value:
        case None | "":
            return UNSET
        case "true":
            return True
        case "false":
            return False
    raise RecordError("bad-boolean", f"{field} is neither true nor false.", field=field)


def number_text(value: Number) -> str | UnsetType:
    """A number as text: 59 and 59.0 are one number, as JSON sees them; text stays as it is."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return text(None if value is None else str(value))


def decimal(value: Number, field: str) -> float | UnsetType:
    """A finite number."""
    stated = number_text(value)
    if stated is UNSET:
        return UNSET
    try:
        number = float(stated)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise RecordError("bad-number", f"{field} is not a number.", field=field)
    return number


def year(value: Number, field: str) -> int | UnsetType:
    """A year of four digits."""
    stated = number_text(value)
    if stated is UNSET:
        return UNSET
    if not re.fullmatch("[0-9]{4}", stated):
        raise RecordError("bad-year", f"{field} is not a year of four digits.", field=field)
    return int(stated)


def _missing(field: str) -> str:
    raise RecordError("missing-field", f"{field} is missing.", field=field)
