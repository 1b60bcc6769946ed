"""Which Ed-Fi collections beyond roster and results may be switched on, and how little of each record is kept."""

from collections.abc import Callable
from operator import attrgetter
from typing import Any

import msgspec

from connectors.edfi import models_needs as models
from gateway.connector import Resource

_BOOKKEEPING = ("id", "_etag", "_lastModifiedDate")


# Ed-Fi: general participation may be in a program of any type. What some say of a child is asked for by a switch of its
# own (meals), or by nobody.
_NEVER_KEPT = {
    "health services program",
    "immigrant education",
    "student school food service",
    "substance abuse education/prevention",
}


def _tells_too_much(one: models.StudentProgramAssociation) -> bool:
    return one.programReference.programTypeDescriptor.rpartition("#")[2].strip().casefold() in _NEVER_KEPT


def _resource(group: str, name: str, wire: type, inactive: Callable[[Any], bool] | None = None) -> Resource:
    """Only what is mapped is kept, whatever a server adds: no drop list can know what stands beside a disability."""
    read = (field.encode_name for field in msgspec.structs.fields(wire))
    return Resource(
        name,
        wire,
        key=attrgetter("key"),
        ignore=(*_BOOKKEEPING, "**.link"),
        inactive=inactive,
        group=group,
        keep=(*_BOOKKEEPING, *read),
    )


_ALL = frozenset(range(3, 7))
_UP_TO_4 = frozenset(range(3, 5))
_FROM_5 = frozenset(range(5, 7))

NEEDS: tuple[tuple[Resource, frozenset[int]], ...] = (
    (_resource("programs", "studentProgramAssociations", models.StudentProgramAssociation, _tells_too_much), _ALL),
    (
        _resource(
            "programs",
            "studentSpecialEducationProgramAssociations",
            models.StudentSpecialEducationProgramAssociation,
        ),
        _ALL,
    ),
    # Ed-Fi: 5.2 and later; of 5.0 and 5.1 the server says that there is none.
    (
        _resource("programs", "studentSection504ProgramAssociations", models.StudentSection504ProgramAssociation),
        _FROM_5,
    ),
    (
        _resource(
            "programs",
            "studentLanguageInstructionProgramAssociations",
            models.StudentLanguageInstructionProgramAssociation,
        ),
        _ALL,
    ),
    (_resource("programs", "studentHomelessProgramAssociations", models.StudentHomelessProgramAssociation), _ALL),
    (
        _resource("programs", "studentTitleIPartAProgramAssociations", models.StudentTitleIPartAProgramAssociation),
        _ALL,
    ),
    (
        _resource(
            "programs",
            "studentMigrantEducationProgramAssociations",
            models.StudentMigrantEducationProgramAssociation,
        ),
        _ALL,
    ),
    (_resource("programs", "studentCTEProgramAssociations", models.StudentCTEProgramAssociation), _ALL),
    (
        _resource(
            "programs",
            "studentNeglectedOrDelinquentProgramAssociations",
            models.StudentNeglectedOrDelinquentProgramAssociation,
        ),
        _ALL,
    ),
    (
        _resource(
            "meals",
            "studentSchoolFoodServiceProgramAssociations",
            models.StudentSchoolFoodServiceProgramAssociation,
        ),
        _ALL,
    ),
    (_resource("attendance", "studentSchoolAttendanceEvents", models.StudentSchoolAttendanceEvent), _ALL),
    (_resource("attendance", "studentSectionAttendanceEvents", models.StudentSectionAttendanceEvent), _ALL),
    (_resource("discipline", "disciplineActions", models.DisciplineAction), _ALL),
    (_resource("grades", "grades", models.Grade4), _UP_TO_4),
    (_resource("grades", "grades", models.Grade), _FROM_5),
)
"""Each with the major versions of the data standard that have it; after the roster, which it refers to."""
