"""What may be asked of what is served: a view of a collection, whose parent, which rows, in which order."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

Op = Literal["=", "!=", ">", ">=", "<", "<=", "~", "in", "not in"]
"""The last two are our own: that a text, or something in a list, is one of the words between the commas."""


@dataclass(frozen=True)
class Clause:
    """One comparison. `field` is a name of the standard, with dots where it leads into another (`school.sourcedId`)."""

    field: str
    op: Op
    value: str


@dataclass(frozen=True)
class Filter:
    """One clause, or two: then both must hold, or one of them where `either`."""

    clauses: tuple[Clause, ...] = ()
    either: bool = False

    @property
    def tells_of_the_gone(self) -> bool:
        """Whether rows that are no longer there are asked for. # OneRoster 1.2: a delta by dateLastModified"""
        return any(clause.field in ("dateLastModified", "status") for clause in self.clauses)


@dataclass(frozen=True)
class View:
    """Some rows of a collection under a name of their own: schools are those orgs of which `type` says so."""

    name: str
    collection: str
    where: tuple[Clause, ...] = ()


@dataclass(frozen=True)
class Own:
    """A row belongs to a parent that it names itself, in `field`."""

    field: str
    parent: str


@dataclass(frozen=True)
class Via:
    """A row belongs to a parent because a row of `collection` says so: its field `theirs` names our field `mine`, and
    its other fields the parents (`where`) or a word (`being`)."""

    collection: str
    theirs: str
    mine: str = "sourcedId"
    where: Mapping[str, str] = field(default_factory=dict)
    being: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Holds:
    """A user belongs to an org at which he or she has this role."""

    role: str
    parent: str


Bond = Own | Via | Holds


@dataclass(frozen=True)
class Parent:
    """What must be there before anything below it is listed: a row of `view` whose id the path gives as `name`; it may
    have to belong to a parent further up."""

    view: View
    name: str
    below: tuple[Bond, ...] = ()


@dataclass(frozen=True)
class Query:
    """One question. `bonds`: a row answers it where at least one of them holds, or there are none; `all_of`: and
    every one of these. `given` has the ids of the parents by name."""

    view: View
    parents: tuple[Parent, ...] = ()
    bonds: tuple[Bond, ...] = ()
    all_of: tuple[Bond, ...] = ()
    given: Mapping[str, str] = field(default_factory=dict)
    filter: Filter = Filter()
    sort: str = ""
    descending: bool = False
    limit: int = 100
    offset: int = 0

    @property
    def told(self) -> Mapping[str, frozenset[str]]:
        """Of each collection, the fields that the answer tells something of by being the answer: beside those that its
        rows show, those by which they were chosen."""
        found: dict[str, set[str]] = {}
        for collection, path in self._paths():
            names = found.setdefault(collection, set())
            if path not in ("sourcedId", "status", "dateLastModified"):
                names.add(path.partition(".")[0])
        return {collection: frozenset(names) for collection, names in found.items()}

    def _paths(self) -> Iterator[tuple[str, str]]:
        for view in (self.view, *(parent.view for parent in self.parents)):
            yield view.collection, "sourcedId"
            yield from ((view.collection, clause.field) for clause in view.where)
        yield from ((self.view.collection, clause.field) for clause in self.filter.clauses)
        for bond in (*self.bonds, *self.all_of):
            yield from _told(self.view.collection, bond)
        for parent in self.parents:
            for bond in parent.below:
                yield from _told(parent.view.collection, bond)


def _told(collection: str, bond: Bond) -> Iterator[tuple[str, str]]:
    match bond:
        case Own():
            yield collection, bond.field
        case Holds():
            yield collection, "roles"
        case Via():
            yield collection, bond.mine
            yield from ((bond.collection, name) for name in (bond.theirs, *bond.where, *bond.being))
