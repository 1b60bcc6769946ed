"""Which people the key reaches: those whom an association ties to an organization of its own."""

from collections.abc import Callable, Mapping

from connectors.edfi.twin.collection import Collection, Key

# Ed-Fi: by person, the association that makes the tie and the place of the person in its natural key.
_TIES = {
    "students": ("studentSchoolAssociations", 2),
    "contacts": ("studentContactAssociations", 0),
    "parents": ("studentParentAssociations", 0),
}
_PEOPLE = {"Student": "students", "Contact": "contacts", "Parent": "parents"}


class Reach:
    """The relationship rule. Only who was created here, or has lost an association here, can be out of reach:
    everybody whom the SIS sends comes with one."""

    def __init__(self, collections: Mapping[str, Collection], created: Callable[[str], list[Key]]) -> None:
        self._collections = collections
        self._created = created
        self._left: set[tuple[str, object]] = set()

    def left(self, resource: str, key: Key) -> None:
        """That association was deleted."""
        for people, (association, place) in _TIES.items():
            if association == resource:
                self._left.add((people, key[place]))

    def hides(self, resource: str, key: Key) -> bool:
        """Whether that item is a person without a tie."""
        if resource not in _TIES:
            return False
        if (resource, key[0]) not in self._left and key not in self._created(resource):
            return False
        association, place = _TIES[resource]
        return all(entry.key[place] != key[0] for entry in self._collections[association].entries())

    def hidden(self, resource: str) -> bool:
        """Whether there may be anybody out of reach at all."""
        return resource in _TIES and bool(self._created(resource) or any(one == resource for one, _ in self._left))

    def lacks(self, resource: str, rel: str, key: Key) -> str:
        """The association without which an item of `resource` may not name that person; empty where all is well."""
        people = _PEOPLE.get(rel, "")
        if not people or not self.hides(people, key):
            return ""
        association = _TIES[people][0]
        # Who makes the tie needs none before.
        return "" if resource == association else f"{association[0].upper()}{association[1:-1]}"
