"""Where each collection of OneRoster is: its service, the scopes that open it, and in which versions there is one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Version = Literal["1.1", "1.2"]
Service = Literal["rostering", "gradebook", "resources"]
VERSIONS: tuple[Version, ...] = ("1.2", "1.1")
SERVICES: tuple[Service, ...] = ("rostering", "gradebook", "resources")

SCOPE = "https://purl.imsglobal.org/spec/or/v1p2/scope/"
SCOPE_1_1 = "https://purl.imsglobal.org/spec/or/v1p1/scope/"


@dataclass(frozen=True)
class Home:
    """Where a collection is served. `scope` opens it in 1.2, `scope_1_1` in 1.1; without one, 1.1 does not have it."""

    service: Service
    group: str
    scope: str
    scope_1_1: str


_ROSTER = Home("rostering", "roster", "roster-core.readonly", "roster-core.readonly")
_DEMOGRAPHICS = Home("rostering", "demographics", "roster-demographics.readonly", "roster-demographics.readonly")
_ASSESSMENTS = Home("gradebook", "assessments", "assessment.readonly", "")
_GRADEBOOK = Home("gradebook", "gradebook", "gradebook-core.readonly", "gradebook.readonly")
_SCALES = Home("gradebook", "gradebook", "gradebook-core.readonly", "")
_RESOURCES = Home("resources", "resources", "resource-core.readonly", "resource.readonly")

# OneRoster 1.2 Rostering, Gradebook (with its assessment results profile) and Resources; OneRoster 1.1
HOMES: Mapping[str, Home] = {
    "orgs": _ROSTER,
    "academicSessions": _ROSTER,
    "courses": _ROSTER,
    "classes": _ROSTER,
    "users": _ROSTER,
    "demographics": _DEMOGRAPHICS,
    "enrollments": _ROSTER,
    "resources": _RESOURCES,
    "scoreScales": _SCALES,
    "categories": _GRADEBOOK,
    "lineItems": _GRADEBOOK,
    "results": _GRADEBOOK,
    "assessmentLineItems": _ASSESSMENTS,
    "assessmentResults": _ASSESSMENTS,
}
GROUPS: Mapping[str, tuple[str, ...]] = {
    group: tuple(name for name, home in HOMES.items() if home.group == group)
    for group in dict.fromkeys(home.group for home in HOMES.values())
}
BEYOND_ROSTER = frozenset({"gradebook", "resources"})
"""Groups that are off until a district says what they are for."""

ROOTS: Mapping[Version, Mapping[Service, str]] = {
    "1.1": dict.fromkeys(SERVICES, "/ims/oneroster/v1p1"),
    "1.2": {service: f"/ims/oneroster/{service}/v1p2" for service in SERVICES},
}
"""Where the standard has its services, below a server's own address."""


DEFAULT = ("roster", "demographics", "assessments")
"""What is pulled where a district says nothing."""


def chosen(words: str) -> tuple[str, ...]:
    """The collections that names of groups and of collections mean, parents before children. ValueError for a name
    that is neither."""
    meant: set[str] = set()
    for word in words.replace(",", " ").split():
        if word not in GROUPS and word not in HOMES:
            raise ValueError(f"{word!r} is neither one of {', '.join(GROUPS)} nor a collection of OneRoster")
        meant.update(GROUPS.get(word, (word,)))
    return tuple(name for name in HOMES if name in meant)


def scope_of(name: str, version: Version) -> str:
    """The scope that opens a collection, in full; empty where that version does not have it."""
    home = HOMES[name]
    if version == "1.2":
        return SCOPE + home.scope
    return SCOPE_1_1 + home.scope_1_1 if home.scope_1_1 else ""


_WRITING = {
    "no": (),
    "put": ("gradebook.readonly", "gradebook.createput", "gradebook.delete"),
    "post": ("gradebook.readonly", "gradebook.createput", "gradebook.createpost", "gradebook.delete"),
}


def scopes_of(collections: Sequence[str], version: Version, write: str = "no") -> tuple[str, ...]:
    """The scopes that open these collections, and a gradebook for writing, each once. # 1.1 has no POST"""
    opening = [scope for name in collections if (scope := scope_of(name, version))]
    prefix = SCOPE if version == "1.2" else SCOPE_1_1
    writing = [prefix + name for name in _WRITING[write] if version == "1.2" or name != "gradebook.createpost"]
    return tuple(dict.fromkeys((*opening, *writing)))
