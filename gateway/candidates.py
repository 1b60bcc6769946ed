"""Who might be the same person: by what people are compared, how two resemble each other, what is shown of them."""

import hashlib
import unicodedata
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec

from gateway.fold import Doc
from gateway.identity import population

Verdict = Literal["same", "without zeros", "former", "swapped", "different", "unknown"]
Strength = Literal["strong", "fair", "weak", "conflict"]


class Traits(msgspec.Struct, frozen=True):
    """What a person is compared by: keyed hashes of 64 bits, equal where two people of one population agree."""

    named: int | None = None
    born: int | None = None
    email: int | None = None
    phone: int | None = None
    numbers: frozenset[int] = frozenset()


def traits(district_key: bytes, doc: Doc, systems: Collection[str] = ()) -> Traits:
    """The traits of a person. `systems`: the identifier systems that count, where the person has any of them; a
    number that only one program knows says nothing."""
    who = population(doc) or ""

    def mark(sort: str, value: str) -> int:
        return _mark(district_key, who, sort, value)

    names = spelt(doc.get("given_name")), spelt(doc.get("family_name"))
    values = list(numbers(doc, systems))
    phone = "".join(c for c in doc.get("phone") or doc.get("sms") or "" if c.isdigit())
    email = (doc.get("email") or "").strip().casefold()
    return Traits(
        named=mark("names", "\x1f".join(sorted(names))) if all(names) else None,
        born=mark("born", doc["birth_date"]) if "birth_date" in doc else None,
        email=mark("email", email) if email else None,
        phone=mark("phone", phone) if phone else None,
        numbers=frozenset(mark("number", bare(value)) for value in values if bare(value)),
    )


def spelt(name: str | None) -> str:
    """A name as it is compared: small letters without accents, spaces and marks."""
    if not name:
        return ""
    letters = (name if name.isascii() else unicodedata.normalize("NFKD", name)).casefold()
    return letters if letters.isalnum() else "".join(letter for letter in letters if letter.isalnum())


def number_mark(district_key: bytes, population: str, number: str) -> int:
    """By what a number of somebody of that population is found again."""
    return _mark(district_key, population, "number", bare(number))


def _mark(district_key: bytes, who: str, sort: str, value: str) -> int:
    digest = hashlib.blake2b(f"{who}\x1f{sort}\x1f{value}".encode(), digest_size=8, key=district_key).digest()
    return int.from_bytes(digest, "big", signed=True)


def bare(number: str) -> str:
    """A number as it is compared where zeros may have been lost: a spreadsheet takes 0012 for 12."""
    return number.strip().casefold().lstrip("0")


def numbers(doc: Doc, systems: Collection[str] = ()) -> Iterator[str]:
    """A person's numbers of these systems; all there are where none of them is stated."""
    stated = doc.get("identifiers", ())
    chosen = [one for one in stated if one["system"] in systems]
    yield from (one["value"].strip() for one in chosen or stated)


def contradict(one: Traits, other: Traits) -> bool:
    """Another birth date and another name: these two are not the same child, whatever number they share."""
    return _differ(one.named, other.named) and _differ(one.born, other.born)


def _differ(one: int | None, other: int | None) -> bool:
    return one is not None and other is not None and one != other


@dataclass(frozen=True)
class Rule:
    """A district's rule beyond the configured identifier: which identifier systems carry the number, in the sources'
    words. `named`: the name must be the same too."""

    systems: frozenset[str]
    named: bool

    def holds(self, theirs: Doc, ours: Doc) -> bool:
        """Exactly the same number, the same birth date, and the same name in the same order where that is asked."""
        shared = self._values(theirs) & self._values(ours)
        same_birth = "birth_date" in theirs and theirs["birth_date"] == ours.get("birth_date")
        same_name = all(spelt(theirs.get(n)) and spelt(theirs.get(n)) == spelt(ours.get(n)) for n in NAMES)
        return bool(shared) and same_birth and (same_name or not self.named) and population(theirs) == population(ours)

    def _values(self, doc: Doc) -> set[str]:
        return {one["value"].strip() for one in doc.get("identifiers", ()) if one["system"] in self.systems} - {""}


NAMES = ("given_name", "family_name")
RULES: dict[str, tuple[bool, str]] = {
    "state-id": (False, "The same number of the state and the same birth date."),
    "district-id": (True, "The same number of the district, the same name and the same birth date."),
}
"""Rule -> whether the name must agree, and what it says."""


@dataclass(frozen=True)
class Resemblance:
    """How a waiting person resembles a published one: by field, and taken together."""

    fields: dict[str, Verdict]
    strength: Strength

    @property
    def how(self) -> list[str]:
        """By what the pair was found, in a few words of a fixed list."""
        found = []
        number, names, born = (self.fields[name] for name in ("number", "names", "birth_date"))
        if number in ("same", "without zeros", "former"):
            words = {"same": "same number", "without zeros": "same number without zeros", "former": "former number"}
            found.append(words[number] + (", other birth date" if born == "different" else ""))
        if names in ("same", "swapped"):
            also = [word for word, field in ALSO.items() if self.fields[field] == "same"]
            found.append(" and ".join([f"{names} name" + "s" * (names == "swapped"), *also]))
        return found


ALSO = {"birth date": "birth_date", "e-mail": "email", "telephone": "phone"}


def compare(theirs: Doc, ours: Doc, systems: Collection[str], *, former: bool = False) -> Resemblance:
    """Compare a waiting person with a published one. `former`: they share a number that the published one had once."""
    fields: dict[str, Verdict] = {
        "number": _number(set(numbers(theirs, systems)), set(numbers(ours)), former=former),
        "names": _names([spelt(theirs.get(n)) for n in NAMES], [spelt(ours.get(n)) for n in NAMES]),
        **{name: _plain(theirs.get(name), ours.get(name)) for name in ("birth_date", "sex", "email", "phone")},
    }
    return Resemblance(fields, _strength(fields))


def _number(theirs: set[str], ours: set[str], *, former: bool) -> Verdict:
    if not theirs or not ours:
        return "unknown"
    if theirs & ours:
        return "same"
    if {bare(one) for one in theirs} & {bare(one) for one in ours} - {""}:
        return "without zeros"
    return "former" if former else "different"


def _names(theirs: Sequence[str], ours: Sequence[str]) -> Verdict:
    if not all(theirs) or not all(ours):
        return "unknown"
    if theirs == ours:
        return "same"
    return "swapped" if theirs == ours[::-1] else "different"


def _plain(theirs: str | None, ours: str | None) -> Verdict:
    if not theirs or not ours:
        return "unknown"
    return "same" if theirs.strip().casefold() == ours.strip().casefold() else "different"


def _strength(fields: dict[str, Verdict]) -> Strength:
    """Three things that agree are strong. A number with another birth date is a conflict, whatever else agrees."""
    number = fields["number"] in ("same", "without zeros", "former")
    if number and fields["birth_date"] == "different":
        return "conflict"
    worth = 2 if number else 0
    for name in ("names", "birth_date"):
        worth += {"same": 1, "swapped": 1, "different": -1}.get(fields[name], 0)
    worth += sum(fields[name] == "same" for name in ("email", "phone"))
    return "strong" if worth >= 3 else "fair" if worth == 2 else "weak"


def masked(doc: Doc) -> dict[str, str]:
    """A person as IT staff see one: enough to tell two apart, too little to know who it is."""
    shown = {name: f"{doc[name][:1]}…" for name in NAMES if doc.get(name)}
    if "birth_date" in doc:
        shown["birth_date"] = f"{doc['birth_date'][:4]}-…"
    shown["numbers"] = ", ".join(f"{one['system']} …{_tail(one['value'].strip())}" for one in _identifiers(doc))
    return shown | _open(doc)


def _tail(number: str) -> str:
    """The last two characters, and never more than half."""
    return number[len(number) - min(2, len(number) // 2) :]


def revealed(doc: Doc) -> dict[str, str]:
    """The same fields in full: for somebody who gave a reason."""
    shown = {name: doc[name] for name in (*NAMES, "birth_date", "email", "phone") if doc.get(name)}
    shown["numbers"] = ", ".join(f"{one['system']} {one['value']}" for one in _identifiers(doc))
    return shown | _open(doc)


def _identifiers(doc: Doc) -> Sequence[dict[str, str]]:
    return doc.get("identifiers") or ()


def _open(doc: Doc) -> dict[str, str]:
    return {"sex": doc.get("sex", ""), "grade": ", ".join(doc.get("grades", ()))}
