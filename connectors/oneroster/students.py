"""Who is a student according to roles.csv: users.csv of 1.2 names a person's agents and not the person's role."""

from array import array
from bisect import bisect_left
from collections.abc import Iterable
from hashlib import blake2b
from typing import Any

import msgspec


class Students:
    """Eight bytes for each person who has a role, however large the district. `whole`: roles.csv is a bulk file, so
    that whoever is not in it has no role."""

    def __init__(self, roles: Iterable[msgspec.Raw], *, whole: bool) -> None:
        students, others = array("Q"), array("Q")
        for row in roles:
            role = msgspec.json.decode(row, type=_Role)
            if role.user is not None and (role.status or "").strip().casefold() in ("", "active"):
                is_student = (role.role or "").strip().casefold() == "student"
                (students if is_student else others).append(_short(role.user.sourcedId))
        self._students = array("Q", sorted(students))
        self._others = array("Q", [] if whole else sorted(others))
        self._whole = whole

    def complete(self, record: dict[str, Any]) -> str:
        """Give a user who has agents and no role that of a student if roles.csv says so; the code of a notice where
        it is not known from there.

        A delta package holds only the roles that changed. Then a student is known by grades: the standard has them for
        nobody else.
        """
        if "agents" not in record or "role" in record:
            return ""
        person = _short(str(record.get("sourcedId")))
        if _holds(self._students, person):
            record["role"] = "student"
        elif self._whole or _holds(self._others, person):
            pass
        elif record.get("grades"):
            record["role"] = "student"
            return "csv-student-by-grades"
        else:
            return "csv-agents-left-out"
        return ""


class _Person(msgspec.Struct):
    sourcedId: str


class _Role(msgspec.Struct):
    user: _Person | None = None
    role: str | None = None
    status: str | None = None


def _short(id: str) -> int:
    return int.from_bytes(blake2b(id.strip().encode(), digest_size=8).digest())


def _holds(found: "array[int]", one: int) -> bool:
    place = bisect_left(found, one)
    return place < len(found) and found[place] == one
