"""The small shapes that every Ed-Fi row is made of: descriptor values, references with their links."""

from collections.abc import Iterable
from typing import Any

from connectors.edfi.twin.collection import Row, identify
from connectors.edfi.twin.descriptors import CORE


def coded(name: str, code: str, *, role: str = "", namespace: str = CORE) -> Row:
    """{"entryGradeLevelDescriptor": "uri://ed-fi.org/GradeLevelDescriptor#Tenth grade"}."""
    prop = f"{role}{name}Descriptor" if role else f"{name[0].lower()}{name[1:]}Descriptor"
    return {prop: f"{namespace}/{name}Descriptor#{code}"}


def reference(rel: str, resource: str, **key: Any) -> Row:
    """A reference with its link; the key's values stand in the order in which the resource keeps them."""
    href = f"/ed-fi/{resource}/{identify(resource, tuple(key.values()))}"
    return {**key, "link": {"rel": rel, "href": href}}


def student(number: str) -> Row:
    return reference("Student", "students", studentUniqueId=number)


def staff(number: str) -> Row:
    return reference("Staff", "staffs", staffUniqueId=number)


def school(number: int) -> Row:
    return reference("School", "schools", schoolId=number)


def organization(number: int, *, agency: bool) -> Row:
    """A reference to any education organization; its link says which kind it is."""
    rel, resource = ("LocalEducationAgency", "localEducationAgencies") if agency else ("School", "schools")
    href = f"/ed-fi/{resource}/{identify(resource, (number,))}"
    return {"educationOrganizationId": number, "link": {"rel": rel, "href": href}}


def mail(address: str, kind: str) -> Row:
    return {"electronicMailAddress": address, **coded("ElectronicMailType", kind)}


def score(method: str, datatype: str, result: int) -> Row:
    # Ed-Fi: results are text whatever their datatype says.
    return {
        **coded("AssessmentReportingMethod", method),
        **coded("ResultDatatypeType", datatype),
        "result": str(result),
    }


def scale(method: str, datatype: str, lowest: int, highest: int) -> Row:
    return {
        **coded("AssessmentReportingMethod", method),
        **coded("ResultDatatypeType", datatype),
        "minimumScore": str(lowest),
        "maximumScore": str(highest),
    }


def level(code: str) -> Row:
    return {**coded("AssessmentReportingMethod", "Proficiency level"), **coded("PerformanceLevel", code)}


def without_nulls(row: Row) -> Row:
    return {name: value for name, value in row.items() if value is not None}


def each_coded(name: str, codes: Iterable[str]) -> list[Row]:
    return [coded(name, code) for code in codes]
