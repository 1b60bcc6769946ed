"""All collections of one server, and which writes to them it takes."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from connectors.edfi.twin import descriptors, refusals
from connectors.edfi.twin.collection import Changes, Collection, Entry, Key, Row
from connectors.edfi.twin.filters import filters
from connectors.edfi.twin.given import Given, sources
from connectors.edfi.twin.keys import natural_key
from connectors.edfi.twin.planted import Planted
from connectors.edfi.twin.release import Release
from connectors.edfi.twin.rows import Rows
from connectors.edfi.twin.shapes import DESCRIPTOR, Shape, writable
from connectors.edfi.twin.writing import Pointer, judge, key_of, linked, pointers
from synthetic.model import District

CLAIM_SET = "Success Plan Vendor"
_PEOPLE = ("Student", "Staff")


class Ods:
    """The district's data as one server keeps it: the roster can only be read, plans can be written.

    Written items stay when the district changes. `programs`: whether the key may create programs. `given`: rows that
    stand for the district's; no other resource of the roster is served then.
    """

    def __init__(
        self,
        district: District,
        release: Release,
        *,
        namespace: str,
        planted: Planted,
        programs: bool,
        given: Given | None = None,
    ) -> None:
        self._release = release
        self.namespace = namespace
        self.changes = Changes()
        self._planted = planted
        self._programs = programs
        self._given = given
        self._shapes: dict[str, Shape] = {}
        self._collections: dict[str, Collection] = {}
        self.play(district)
        self._open_descriptors()
        for name, shape in writable(five=release.five).items():
            self._open(name, shape)

    def play(self, district: District) -> None:
        """Serve this district from now on."""
        self.district = district
        self._organizations = {district.number, *(school.number for school in district.schools)}
        rows = Rows(district, standard=self._release.standard, namespace=self.namespace, planted=self._planted)
        every = rows.sources() if self._given is None else sources(self._given, five=self._release.five)
        for name, source in every.items():
            if name not in self._collections:
                self._collections[name] = self._collection(name, source.row)
            self._collections[name].load(source)

    @property
    def operations(self) -> Mapping[str, tuple[str, ...]]:
        """What the key may do with each resource."""
        every = ("Create", "Read", "Update", "Delete")
        return {name: every if self._may_write(name) else ("Read",) for name in self._collections}

    def collection(self, name: str) -> Collection:
        # Ed-Fi: paths are case-insensitive.
        for known, collection in self._collections.items():
            if known.lower() == name.lower():
                return collection
        raise refusals.no_such_data()

    def upsert(self, collection: Collection, body: object) -> tuple[Entry, bool]:
        """Create the item, or replace the one with the same natural key wholly; true if it is new."""
        shape = self._shape(collection, "create")
        if isinstance(body, dict) and body.get("id"):
            raise refusals.assigned_identifier()
        row, key = self._judge(shape, body)
        created = collection.put(key, row)
        return _present(collection.get(key)), created

    def replace(self, collection: Collection, identifier: str, body: object, if_match: str | None) -> Entry:
        """Replace the item wholly; what the body leaves out is gone."""
        shape = self._shape(collection, "update")
        entry = _present(collection.find(identifier))
        if isinstance(body, dict) and body.get("id", identifier) != identifier:
            raise refusals.bad_request("The id in the body must be the one in the URL.")
        row, key = self._judge(shape, body)
        _match(entry, if_match)
        if key != entry.key:
            if self._release.modern:
                raise refusals.key_change(shape.rel)
            # Ed-Fi: before 7.2 the change of a key that cannot change is ignored.
            row |= {name: entry.fact[name] for name in (path.split(".")[0] for path in shape.key)}
        collection.put(entry.key, row)
        return _present(collection.get(entry.key))

    def delete(self, collection: Collection, identifier: str, if_match: str | None) -> None:
        shape = self._shape(collection, "delete")
        entry = _present(collection.find(identifier))
        self._check_namespace(shape, entry.fact)
        _match(entry, if_match)
        for name, other in self._shapes.items():
            if any(_refers(other, item, shape, entry) for item in self._collections[name].entries()):
                raise refusals.dependent_exists(other.rel)
        collection.remove(entry.key)

    def _open(self, name: str, shape: Shape) -> None:
        """A collection that can be written to, empty at first."""
        self._shapes[name] = shape

        def row(body: Row) -> Row:
            return linked(shape.fields, body, self.district.number)

        self._collections[name] = self._collection(name, row)

    def _collection(self, name: str, row: Callable[[Any], Row]) -> Collection:
        natural = natural_key(name, five=self._release.five)
        return Collection(name, self.changes, row, filters(name), natural)

    def _open_descriptors(self) -> None:
        for name, rel in descriptors.served().items():
            self._open(name, Shape(rel, ("namespace", "codeValue"), DESCRIPTOR))
        for rel, namespace, code in descriptors.values(self.namespace, five=self._release.five):
            value = {"codeValue": code, "namespace": namespace, "shortDescription": code, "description": code}
            self._collections[_plural(rel)].put((namespace, code), value)

    def _may_write(self, name: str) -> bool:
        return name in self._shapes and (self._programs or name != "programs")

    def _shape(self, collection: Collection, action: str) -> Shape:
        """How items of a writable collection look. Raises Refusal (403) where the key may only read."""
        if not self._may_write(collection.name):
            raise refusals.denied_action(CLAIM_SET, action, collection.name)
        return self._shapes[collection.name]

    def _judge(self, shape: Shape, body: object) -> tuple[Row, Key]:
        row = judge(shape.fields, body, self._has_value)
        self._check_namespace(shape, row)
        for rel, key in pointers(shape.fields, row):
            if rel == "EducationOrganization":
                self._check_organization(key[0])
            elif not self._has_item(rel, key):
                raise refusals.unresolved(rel, within=shape.rel, person=rel in _PEOPLE)
        return row, key_of(shape, row)

    def _check_namespace(self, shape: Shape, row: Row) -> None:
        # Ed-Fi: descriptors are authorized by the namespace prefixes of the key.
        if shape.fields is DESCRIPTOR and not row["namespace"].startswith(self.namespace):
            raise refusals.denied_namespace(self.namespace)

    def _check_organization(self, number: int) -> None:
        if number not in self._organizations:
            raise refusals.denied_organization([self.district.number], "EducationOrganizationId")

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


def _refers(other: Shape, item: Entry, shape: Shape, entry: Entry) -> bool:
    """Whether that item of another collection names this entry, by reference or as a descriptor."""
    if shape.fields is DESCRIPTOR:
        return json.dumps("#".join(entry.key)) in json.dumps(item.fact)
    return Pointer(shape.rel, entry.key) in pointers(other.fields, item.fact)
