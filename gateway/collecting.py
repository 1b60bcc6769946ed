"""What goes beyond roster and results: the groups of collections, and what a person must say to have one read."""

from collections.abc import Iterable
from dataclasses import dataclass

from gateway.connector import Collecting, Connector, Source
from gateway.errors import ConfigError, Refused

GROUPS = {
    "programs": "programs and the needs they stand for: special education, 504, language instruction, homeless ...",
    "attendance": "attendance of each day and each class",
    "discipline": "that there was a discipline incident: whose, when and where, never what",
    "grades": "grades of grading periods",
    "meals": "free and reduced-price meals",
}
"""Name -> what is read then, in words."""
ON_A_BASIS = frozenset({"meals"})
"""Groups that may be read only on a basis in law or agreement that somebody has stated."""


@dataclass(frozen=True)
class Reason:
    """Why a group is read; `basis` says what allows it, where that has to be said."""

    purpose: str
    basis: str = ""


def reason(connector: Connector, group: str, purpose: str, basis: str = "") -> Reason:
    """A reason that is enough. ConfigError where the system has no such group; Refused without a purpose in words, or
    without a basis where one is needed."""
    if group not in offered(connector):
        raise ConfigError(
            "group-unknown",
            f"{connector.title} has nothing called {group!r} to collect.",
            f"Choose from: {', '.join(offered(connector)) or 'nothing; it is read with the roster or not at all'}.",
        )
    if not purpose.strip():
        raise Refused("purpose-missing", f"To collect {group} needs a purpose in words.", "Give --purpose.")
    if group in ON_A_BASIS and not basis.strip():
        raise Refused(
            "basis-missing",
            f"To collect {group} needs the basis in law or agreement that allows it.",
            "Give --basis: who allows it, for which use.",
        )
    return Reason(purpose.strip(), basis.strip())


def offered(connector: Connector) -> list[str]:
    """The groups that a system may have something of."""
    there = {resource.group for resource in connector.resources}
    return [group for group in GROUPS if group in there]


def left_out(connector: Connector, groups: Iterable[str]) -> list[str]:
    """The collections that are not read while these groups are on."""
    on = {"", *groups}
    return sorted({resource.name for resource in connector.resources if resource.group not in on})


def open_for(source: Source, groups: Iterable[str]) -> None:
    """Have these groups read too, where the system has any."""
    if isinstance(source, Collecting):
        source.collect(groups)
