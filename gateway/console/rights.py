"""Who may open which page of the console and send which form: the one table; what stands in no line is refused."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from gateway.access import AT_SCHOOL, STAFF, Role

ABOVE_SCHOOLS = frozenset({"district", "local", "state", "national", "department"})
"""Kinds of organizations of the roster at which a role is one for the whole district."""

_IT = frozenset[Role]({"it"})
_LOOKING = frozenset[Role]({"it", "administrator", "auditor"})

RIGHTS: Mapping[str, frozenset[Role]] = {
    "GET /": _LOOKING,
    "GET /connections/{connection}": _LOOKING,
    "POST /connections/{connection}/pull": _IT,
    "POST /connections/{connection}/check": _IT,
    "POST /connections/{connection}/on": _IT,
    "POST /connections/{connection}/pause": _IT,
    "POST /connections/{connection}/resume": _IT,
    "GET /runs": _LOOKING,
    "GET /runs/{run}": _LOOKING,
    "GET /runs/{run}/progress": _LOOKING,
    "POST /runs/{run}/decide": _IT,
    "GET /runs/{run}/undo": _IT,
    "POST /runs/{run}/undo/preview": _IT,
    "POST /runs/{run}/undo": _IT,
    "GET /connect": _IT,
    "GET /connect/{connector}": _IT,
    "POST /connect/{connector}": _IT,
}
"""A route, as the application has it -> who may. All else is refused to everybody."""

OPEN = frozenset({"GET /assets/{name}"})
"""What nobody has to sign in for: it is the same for everybody, and tells of nobody."""


def may(roles: Collection[Role], route: str) -> bool:
    """Whether somebody in these roles may do that."""
    return not RIGHTS.get(route, frozenset()).isdisjoint(roles)


def offices(person: Mapping[str, Any], today: str) -> list[tuple[Role, str]]:
    """What somebody is by the roles of the roster that hold today, each with the organization where."""
    return [
        (AT_SCHOOL[one["role"]], one.get("organization", ""))
        for one in person.get("roles", ())
        if one["role"] in AT_SCHOOL and one.get("begin_on", "") <= today <= one.get("end_on", "9")
    ]


def roles(held: Iterable[tuple[Role, str]], kinds: Mapping[str, str]) -> frozenset[Role]:
    """The roles in which somebody is here: those held above the schools. `kinds`: organization -> its kind. What the
    console shows and decides is of the whole district, so whoever is something at one school alone is nobody here."""
    return frozenset(role for role, at in held if kinds.get(at) in ABOVE_SCHOOLS and role in STAFF)
