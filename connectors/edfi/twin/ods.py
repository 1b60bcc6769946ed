"""All collections of one server, and which writes to them it takes."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from connectors.edfi.twin import descriptors, refusals
from connectors.edfi.twin.claims import Claims
from connectors.edfi.twin.collection import Changes, Collection, Entry, Key, Row
from connectors.edfi.twin.extension import Extension
from connectors.edfi.twin.filters import filters
from connectors.edfi.twin.given import Given, sources
from connectors.edfi.twin.keys import natural_key
from connectors.edfi.twin.planted import Planted
from connectors.edfi.twin.reach import Reach
from connectors.edfi.twin.release import Release
from connectors.edfi.twin.roster import roster
from connectors.edfi.twin.rows import Rows
from connectors.edfi.twin.rows_needs import NeedsRows
from connectors.edfi.twin.shapes import DESCRIPTOR, Shape, writable
from connectors.edfi.twin.writing import Pointer, judge, key_of, linked, references
from connectors.edfi.twin.written import Overlay
from synthetic.model import District

_PEOPLE = ("Student", "Staff", "Contact", "Parent")
_ENROLMENTS = "studentSchoolAssociations"
# Ed-Fi: the only ones whose natural key a PUT may change, among what can be written here.
_RENAMABLE = frozenset({_ENROLMENTS})


class Ods:
    """The district's data as one server keeps it: its roster, which the SIS sends, and the plans that are written.

    Written items stay when the district changes; a record of the SIS that was written over stays so until the SIS has
    something else to say of it. `claims`: what the key may do; `programs`: whether it may create programs. `needs`:
    whether there is more than roster and results. `given`: rows that stand for the district's; no other resource of
    the roster is served then. `extension`: what the host has added to the core model.
    """

    def __init__(
        self,
        district: District,
        release: Release,
        *,
        namespace: str,
        planted: Planted,
        programs: bool,
        claims: Claims | None = None,
        needs: bool = False,
        given: Given | None = None,
        extension: Extension | None = None,
    ) -> None:
        self._release = release
        self.namespace = namespace
        self.changes = Changes()
        self._planted = planted
        granted = {} if programs else {"programs": ("Read",)}
        self.claims = claims or Claims("plans", granted, changes=release.changes == "told")
        self.shapes: dict[str, Shape] = roster(release.standard)
        self._overlays = {name: Overlay(self._linked(shape)) for name, shape in self.shapes.items()}
        self._needs = needs
        self._given = given
        self._extension = extension
        self._collections: dict[str, Collection] = {}
        self._reach = Reach(self._collections, lambda name: list(self._overlays[name].created()))
        self.play(district)
        self._open_descriptors()
        extended = extension.shapes if extension else {}
        for name, shape in {**writable(release.standard), **extended}.items():
            self._open(name, shape)

    def play(self, district: District) -> None:
        """Serve this district from now on."""
        self.district = district
        self._organizations = {district.number, *(school.number for school in district.schools)}
        standard = self._release.standard
        rows = Rows(district, standard=standard, namespace=self.namespace, planted=self._planted)
        every = rows.sources() if self._given is None else sources(self._given, five=self._release.five)
        if self._needs:
            more = NeedsRows(district, standard=standard, namespace=self.namespace, planted=self._planted)
            every |= more.sources()
        for name, source in every.items():
            if name in self._overlays:
                source = self._overlays[name].source(source)
            if name not in self._collections:
                self._collections[name] = self._collection(name, source.row)
            self._collections[name].load(source)

    def repost(self) -> None:
        """The SIS sends its enrolments again, all of each: what others have put into them is gone."""
        self._overlays[_ENROLMENTS].repost(self._collections[_ENROLMENTS])

    @property
    def operations(self) -> Mapping[str, tuple[str, ...]]:
        """What the key may do with each resource that it may touch at all."""
        told = {name: self._allowed(name) for name in self._collections}
        return {name: operations for name, operations in told.items() if operations}

    @property
    def collections(self) -> Mapping[str, Collection]:
        return self._collections

    def collection(self, name: str, action: str = "Read", namespace: str = "ed-fi") -> Collection:
        """Raises Refusal: 404 where there is none, 403 where the key may not do that with it."""
        # Ed-Fi: paths are case-insensitive.
        for known, collection in self._collections.items():
            if collection.path.lower() == f"{namespace}/{name}".lower():
                # A POST creates or updates; which of them is known when the body is.
                if not {action, "Update" if action == "Create" else action} & set(self._allowed(known)):
                    raise refusals.denied_action(self.claims.name, action, known)
                return collection
        raise refusals.no_such_data()

    def visible(self, collection: Collection, entries: Sequence[Entry]) -> Sequence[Entry]:
        """Without the people whom the key does not reach."""
        if not self._reach.hidden(collection.name):
            return entries
        return [entry for entry in entries if not self._reach.hides(collection.name, entry.key)]

    def item(self, collection: Collection, identifier: str) -> Entry:
        """Raises Refusal: 404 where there is none, 403 where the key does not reach that person."""
        entry = _present(collection.find(identifier))
        self._check_reach(collection, entry.key)
        return entry

    def upsert(self, collection: Collection, body: object, if_match: str | None = None) -> tuple[Entry, bool]:
        """Create the item, or replace the one with the same natural key wholly; true if it is new."""
        shape = self.shapes[collection.name]
        if isinstance(body, dict) and body.get("id"):
            raise refusals.assigned_identifier()
        row, key = self._judge(collection, shape, body)
        entry = collection.get(key)
        self._check_action(collection, "Create" if entry is None else "Update")
        if entry is not None:
            self._check_reach(collection, key)
            _match(entry, if_match)
        self._put(collection, key, row, entry)
        return _present(collection.get(key)), entry is None

    def replace(self, collection: Collection, identifier: str, body: object, if_match: str | None) -> Entry:
        """Replace the item wholly; what the body leaves out is gone."""
        shape = self.shapes[collection.name]
        entry = self.item(collection, identifier)
        if isinstance(body, dict) and _plain(body.get("id", identifier)) != _plain(identifier):
            raise refusals.bad_request("The id in the body must be the one in the URL.")
        row, key = self._judge(collection, shape, body)
        _match(entry, if_match)
        if key != entry.key and collection.name in _RENAMABLE:
            if collection.get(key) is not None:
                raise refusals.not_unique(shape.rel)
            fact = self._overlays[collection.name].keep(key, row, entry)
            collection.rename(entry.key, key, fact)
            return _present(collection.get(key))
        if key != entry.key:
            if self._release.modern:
                raise refusals.key_change(shape.rel)
            # Ed-Fi: before 7.2 the change of a key that cannot change is ignored.
            kept = collection.row(entry, dated=False)
            row |= {name: _unlinked(kept[name]) for name in (path.split(".")[0] for path in shape.key)}
        self._put(collection, entry.key, row, entry)
        return _present(collection.get(entry.key))

    def delete(self, collection: Collection, identifier: str, if_match: str | None) -> None:
        shape = self.shapes[collection.name]
        entry = self.item(collection, identifier)
        if not shape.open:
            self._check_namespace(shape, entry.fact)
        _match(entry, if_match)
        for name, other in self.shapes.items():
            if any(_refers(other, item, shape, entry) for item in self._collections[name].entries()):
                raise refusals.dependent_exists(other.rel)
        if overlay := self._overlays.get(collection.name):
            overlay.drop(entry.key)
        self._reach.left(collection.name, entry.key)
        collection.remove(entry.key)

    def _put(self, collection: Collection, key: Key, row: Row, entry: Entry | None) -> None:
        overlay = self._overlays.get(collection.name)
        collection.put(key, row if overlay is None else overlay.keep(key, row, entry))

    def _open(self, name: str, shape: Shape) -> None:
        """A collection that only clients write to, empty at first."""
        self.shapes[name] = shape
        self._collections[name] = self._collection(name, self._linked(shape))

    def _linked(self, shape: Shape) -> Callable[[Row], Row]:
        return lambda body: linked(shape.fields, body, self.district.number)

    def _collection(self, name: str, row: Callable[[Any], Row]) -> Collection:
        more = self._extension
        if more and name in more.shapes:
            natural = more.natural_key(name)
            return Collection(name, self.changes, row, ["id", *natural], natural, more.namespace)
        natural = list(natural_key(name, five=self._release.five))
        own = {"namespace": more.namespace} if more and name in more.descriptors() else {}
        return Collection(name, self.changes, row, filters(name), natural, **own)

    def _open_descriptors(self) -> None:
        more = self._extension
        for name, rel in {**descriptors.served(), **(more.descriptors() if more else {})}.items():
            self._open(name, Shape(rel, ("namespace", "codeValue"), DESCRIPTOR))
        values = descriptors.values(self.namespace, five=self._release.five)
        for rel, namespace, code in (*values, *(more.values() if more else ())):
            value = {"codeValue": code, "namespace": namespace, "shortDescription": code, "description": code}
            self._collections[_plural(rel)].put((namespace, code), value)

    def _allowed(self, name: str) -> tuple[str, ...]:
        return self.claims.of(name, writable=name in self.shapes)

    def _check_action(self, collection: Collection, action: str) -> None:
        if action not in self._allowed(collection.name):
            raise refusals.denied_action(self.claims.name, action, collection.name)

    def _judge(self, collection: Collection, shape: Shape, body: object) -> tuple[Row, Key]:
        row = judge(shape, body, self._has_value, exact=self._release.exact_names)
        self._check_namespace(shape, row)
        lost: dict[str, str] = {}
        for path, (rel, key) in references(shape.fields, row):
            if rel in ("EducationOrganization", "School"):
                self._check_organization(f"{rel}Id", key[0])
            elif not self._has_item(rel, key):
                lost[path] = rel
            elif association := self._reach.lacks(collection.name, rel, key):
                raise refusals.denied_person([self.district.number], f"{rel}UniqueId", association)
        if lost:
            raise refusals.unresolved(lost, within=shape.rel, people=_PEOPLE)
        return row, key_of(shape, row)

    def _check_reach(self, collection: Collection, key: Key) -> None:
        if self._reach.hides(collection.name, key):
            rel = self.shapes[collection.name].rel
            association = self._reach.lacks("", rel, key)
            raise refusals.denied_person([self.district.number], f"{rel}UniqueId", association)

    def _check_namespace(self, shape: Shape, row: Row) -> None:
        # Ed-Fi: descriptors are authorized by the namespace prefixes of the key.
        if shape.fields is DESCRIPTOR and not row["namespace"].startswith(self.namespace):
            raise refusals.denied_namespace(self.namespace)

    def _check_organization(self, prop: str, number: int) -> None:
        if number not in self._organizations:
            raise refusals.denied_organization([self.district.number], prop)

    def _has_item(self, rel: str, key: Key) -> bool:
        collection = self._collections.get(_plural(rel))
        return collection is not None and collection.get(key) is not None

    def _has_value(self, descriptor: str, value: str) -> bool:
        namespace, _, code = value.partition("#")
        return self._has_item(descriptor, (namespace, code))


def _plural(rel: str) -> str:
    return f"{rel[0].lower()}{rel[1:]}s"


def _present(entry: Entry | None) -> Entry:
    if entry is None:
        raise refusals.no_such_item()
    return entry


def _match(entry: Entry, if_match: str | None) -> None:
    # Ed-Fi: quoted, unquoted and * are taken.
    if if_match is not None and if_match.strip('"') not in (entry.etag, "*"):
        raise refusals.modified()


def _plain(identifier: object) -> str:
    return str(identifier).replace("-", "").lower()


def _unlinked(value: Any) -> Any:
    return {name: part for name, part in value.items() if name != "link"} if isinstance(value, dict) else value


def _refers(other: Shape, item: Entry, shape: Shape, entry: Entry) -> bool:
    """Whether that item of another collection names this entry, by reference or as a descriptor."""
    body = getattr(item.fact, "body", item.fact)
    if shape.fields is DESCRIPTOR:
        return isinstance(body, dict) and json.dumps("#".join(entry.key)) in json.dumps(body)
    if isinstance(body, dict):
        return any(pointer == Pointer(shape.rel, entry.key) for _, pointer in references(other.fields, body))
    # The SIS's own: whom an item concerns stands in its natural key.
    return shape.open and len(shape.key) == 1 and entry.key[0] in item.key and other.rel != shape.rel
