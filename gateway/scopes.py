"""The scopes that OneRoster names, by their exact URIs, and which scope somebody meant who wrote another one."""

from collections.abc import Iterable
from difflib import get_close_matches

V1P2 = "https://purl.imsglobal.org/spec/or/v1p2/scope/"
V1P1 = "https://purl.imsglobal.org/spec/or/v1p1/scope/"

# OneRoster 1.2 rostering, gradebook, resources, assessment results; OneRoster 1.1
ONEROSTER = {
    f"{V1P2}roster.readonly": "Read all of the roster, also by school, class and course; demographics are not in it.",
    f"{V1P2}roster-core.readonly": "Read the roster without demographics.",
    f"{V1P2}roster-demographics.readonly": "Read demographics.",
    f"{V1P2}gradebook.readonly": "Read the gradebook, also by class, school and student.",
    f"{V1P2}gradebook-core.readonly": "Read the gradebook: line items, categories, results, score scales.",
    f"{V1P2}gradebook.createput": "Write the gradebook under ids of the writer's own.",
    f"{V1P2}gradebook.createpost": "Write the gradebook under ids that are given here.",
    f"{V1P2}gradebook.delete": "Delete of the gradebook what the client wrote.",
    f"{V1P2}assessment.readonly": "Read assessments and their results.",
    f"{V1P2}assessment.createput": "Write assessments and their results.",
    f"{V1P2}assessment.delete": "Delete of assessments and their results what the client wrote.",
    f"{V1P2}resource.readonly": "Read learning resources, also by class, course and user.",
    f"{V1P2}resource-core.readonly": "Read learning resources.",
    f"{V1P1}roster.readonly": "OneRoster 1.1: read all of the roster; demographics are not in it.",
    f"{V1P1}roster-core.readonly": "OneRoster 1.1: read the roster without demographics.",
    f"{V1P1}roster-demographics.readonly": "OneRoster 1.1: read demographics.",
    f"{V1P1}resource.readonly": "OneRoster 1.1: read learning resources.",
    f"{V1P1}gradebook.readonly": "OneRoster 1.1: read the gradebook.",
    f"{V1P1}gradebook.createput": "OneRoster 1.1: write the gradebook.",
    f"{V1P1}gradebook.delete": "OneRoster 1.1: delete of the gradebook what the client wrote.",
}
"""URI -> what it allows. Only these exact URIs are scopes."""


def meant(asked: str, known: Iterable[str]) -> str | None:
    """The scope that was probably meant by one that there is not: with http for https, in capitals, with a slash at
    its end, without its prefix, or misspelt by little. None where that would be a guess."""
    plain = {_plain(scope): scope for scope in known}
    wanted = _plain(asked[:200])
    if (found := plain.get(wanted)) is not None:
        return found
    close = get_close_matches(wanted, plain, 1, 0.85)
    return plain[close[0]] if close else None


def _plain(scope: str) -> str:
    """The last part of the address, and behind it the older version where it is named."""
    older = " 1.1" if "v1p1" in scope.casefold() else ""
    return scope.strip().strip("/").casefold().rpartition("/")[2].removesuffix(".readonly") + older
