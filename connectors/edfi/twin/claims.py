"""What the key may do: the operations of its claim set on each resource."""

from collections.abc import Iterable, Mapping

EVERY = ("Create", "Read", "Update", "Delete")
# A claim set by its short name: how the server calls it, and what it grants beside reading everything.
_PLANS = (
    *("programs", "studentProgramAssociations", "interventions", "studentInterventionAssociations"),
    *("cohorts", "studentCohortAssociations", "staffCohortAssociations"),
)
_NAMES = {"plans": "Success Plan Vendor", "reader": "Roster Reader", "sis": "SIS Vendor"}


class Claims:
    """One claim set: "plans" writes plans, their marker on enrolments and descriptors; "reader" writes nothing; "sis"
    writes whatever can be written. `granted` says otherwise for some resources, by their operations; none at all closes
    one. `changes`: whether what was deleted or renamed may be read."""

    def __init__(self, name: str, granted: Mapping[str, Iterable[str]], *, changes: bool) -> None:
        if name not in _NAMES:
            raise ValueError(f"the claim sets are {', '.join(_NAMES)}")
        self._short = name
        self.name = _NAMES[name]
        self._granted = {resource: tuple(operations) for resource, operations in granted.items()}
        self._changes = ("ReadChanges",) if changes else ()

    def of(self, resource: str, *, writable: bool) -> tuple[str, ...]:
        """What the key may do with a resource, of which the server takes writes or does not."""
        operations = self._granted.get(resource)
        if operations is None:
            operations = self._usual(resource)
        if not writable:
            operations = tuple(one for one in operations if one == "Read")
        return (*operations, *self._changes) if "Read" in operations else operations

    def _usual(self, resource: str) -> tuple[str, ...]:
        if self._short == "sis":
            return EVERY
        if self._short == "reader":
            return ("Read",)
        # A marker is put on an enrolment that the SIS has written.
        if resource == "studentSchoolAssociations":
            return ("Read", "Update")
        return EVERY if resource in _PLANS or resource.endswith("Descriptors") else ("Read",)
