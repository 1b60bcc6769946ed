"""How systems spell records their own way: what `Quirks` says of spelling and truth, done to rows and envelopes."""

import gzip
import json
from collections.abc import Callable, Mapping
from typing import Any

from connectors.oneroster.twin_fields import MODELS, Model
from connectors.oneroster.twin_quirks import Quirks
from connectors.oneroster.twin_rows import Row

_WORDS = (
    "First", "Second", "Third", "Fourth", "Fifth", "Sixth", "Seventh", "Eighth", "Ninth", "Tenth", "Eleventh",
    "Twelfth",
)  # fmt: skip
_KINDERGARTENS = ("KG", "K", "Kinder", "kindergarten")
_WRONG_TYPES: Mapping[str, Any] = {"text": {"value": "?"}, "date": 20261001, "truth": "perhaps", "ref": 7, "refs": "x"}


class Oddities:
    """The spelling of one system. A row that it has is changed in place; it is the caller's own."""

    def __init__(self, quirks: Quirks) -> None:
        self._quirks = quirks
        self._plain = quirks == Quirks(
            **{
                name: getattr(quirks, name)
                for name in Quirks.__dataclass_fields__
                if name not in ("nulls", "booleans", "dates", "grades", "refs", "id_case", "inactive")
            }
        )

    def spell(self, collection: str, row: Row, place: int | None = None) -> Any:
        """The row as this system writes it. `place` is where it stands in its list; the first are the bad ones."""
        quirks = self._quirks
        model = MODELS["1.1" if _is_old(collection, row) else "1.2"].get(collection) or MODELS["1.2"][collection]
        if place is not None and place < quirks.dangling:
            _dangle(row)
        if not self._plain:
            self._respell(model, row)
        if place is not None and quirks.dangling <= place < quirks.dangling + quirks.bad_rows:
            return _bad(model, row, place - quirks.dangling)
        return row

    def _respell(self, model: Model, row: Row) -> None:
        quirks = self._quirks
        if quirks.inactive and row.get("status") == "tobedeleted":
            row["status"] = "inactive"
        if quirks.grades != "ceds" and "grades" in row:
            row["grades"] = [_grade(quirks.grades, one, str(row.get("sourcedId"))) for one in row["grades"]]
        _dates(quirks.dates, row)
        if quirks.booleans:
            _truths(quirks.booleans, model, row)
        _references(quirks, row)
        self._fill(model, row)

    def _fill(self, model: Model, row: Row) -> None:
        """Absent ones; there too where `fields` left them out, as systems do that fill in at the very end."""
        quirks = self._quirks
        for name, one in model.items() if quirks.nulls != "absent" else ():
            if name in row or one.required:
                continue
            if one.kind == "text" and quirks.nulls in ("empty", "both"):
                row[name] = ""
            elif quirks.nulls in ("null", "both"):
                row[name] = None

    def envelope(self, collection: str, path: str, content: Any) -> Any:
        """A page in its envelope; `path` is the last word of the address."""
        match self._quirks.envelope:
            case "bare-list":
                return content
            case "other-case":
                return {collection[0].upper() + collection[1:]: content}
            case "other-name":
                return {path: content}
            case _:
                return {collection: content}

    def one(self, singular: str, row: Any) -> Any:
        """One record in its envelope."""
        match self._quirks.envelope:
            case "bare-list":
                return row
            case "other-case":
                return {singular[0].upper() + singular[1:]: row}
            case _:
                return {singular: row}

    def encode(self, content: Any) -> tuple[bytes, Mapping[str, str]]:
        """The bytes of an answer and the headers that these bytes need."""
        text = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
        if self._quirks.bom:
            text = b"\xef\xbb\xbf" + text
        if self._quirks.gzip:
            return gzip.compress(text, 1), {"Content-Encoding": "gzip"}
        return text, {}


def _is_old(collection: str, row: Row) -> bool:
    """Whether the record has a property of 1.1 only."""
    return collection in MODELS["1.1"] and bool(row.keys() - MODELS["1.2"][collection].keys())


def _grade(style: str, grade: str, sourced_id: str) -> str:
    if style == "KG":
        return _KINDERGARTENS[sum(sourced_id.encode()) % len(_KINDERGARTENS)] if grade == "KG" else grade
    if not grade.isdecimal():
        return "Kindergarten" if style == "words" and grade == "KG" else grade
    return f"{_WORDS[int(grade) - 1]} grade" if style == "words" else str(int(grade))


_DATES = {"startDate", "endDate", "beginDate", "birthDate", "scoreDate"}
_MOMENTS = {"dateLastModified", "assignDate", "dueDate"}
_RESPELT: Mapping[str, tuple[set[str], Callable[[str], str]]] = {
    "z-date": (_DATES, lambda text: f"{text}Z"),
    "no-zone": (_MOMENTS, lambda text: text.removesuffix("Z")),
    "offset-z": (_MOMENTS, lambda text: text.removesuffix("Z") + "+00:00Z"),
    "date-time": (_DATES, lambda text: f"{text}T00:00:00.000Z"),
    "day": (_MOMENTS, lambda text: text[:10]),
    "us": (_DATES, lambda text: f"{text[5:7]}/{text[8:10]}/{text[:4]}"),
}


def _dates(style: str, value: Any) -> None:
    if style == "iso":
        return
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _dates(style, part)
    if isinstance(value, dict):
        names, respell = _RESPELT[style]
        value |= {name: respell(value[name]) for name in names & value.keys()}


def _truths(style: str, model: Model, row: Row) -> None:
    for name, value in row.items():
        if name in model and model[name].kind == "truth":
            true = value in (True, "true")
            row[name] = true if style == "json" else str(true) if style == "Title" else str(true).lower()


def _references(quirks: Quirks, value: Any) -> None:
    """Every reference in the row, however deep."""
    if quirks.refs == "right" and not quirks.id_case:
        return
    for name, part in value.items() if isinstance(value, dict) else enumerate(value):
        if isinstance(part, dict) and "href" in part:
            value[name] = _reference(quirks, part)
        elif isinstance(part, dict | list):
            _references(quirks, part)


def _reference(quirks: Quirks, ref: Row) -> Any:
    sourced_id = ref["sourcedId"].upper() if quirks.id_case else ref["sourcedId"]
    match quirks.refs:
        case "text":
            return sourced_id
        case "href-only":
            return {"href": ref["href"]}
        case "no-id":
            return {**ref, "sourcedId": ""}
        case _:
            return {**ref, "sourcedId": sourced_id}


def _dangle(row: Row) -> None:
    """The first reference leads to nobody."""
    for name, value in row.items():
        if isinstance(value, dict) and "href" in value:
            nobody = f"nobody-{row.get('sourcedId', '')}"
            row[name] = {**value, "href": f"{value['href'].rpartition('/')[0]}/{nobody}", "sourcedId": nobody}
            return


def _bad(model: Model, row: Row, kind: int) -> Any:
    """Four ways of being no record, in turn."""
    match kind % 4:
        case 0:
            name = next((n for n in row if n in model and n not in _KEPT and model[n].kind in _WRONG_TYPES), None)
            return row | {name: _WRONG_TYPES[model[name].kind]} if name else row
        case 1:
            name = next((n for n in row if n in model and model[n].required and n not in _KEPT), None)
            return {key: value for key, value in row.items() if key != name}
        case 2:
            return {key: value for key, value in row.items() if key != "sourcedId"}
        case _:
            return str(row.get("sourcedId", "no record"))


_KEPT = {"sourcedId", "status", "dateLastModified"}
