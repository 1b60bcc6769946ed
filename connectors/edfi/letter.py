"""The mail to whoever hosts an Ed-Fi API: which keys a district needs, with which claims, and what was seen."""

from collections.abc import Collection, Iterator, Sequence

from connectors.edfi.resources import every_resource
from connectors.edfi.server import EdfiSettings
from connectors.edfi.sink import BY_CHOICE, WRITTEN
from gateway.connector import Finding

_QUESTIONS = (
    "Which release of ODS/API or of the Ed-Fi API do you run, and which data standard? When do you change it?",
    "How many records does a page have at most, and how many requests a second may we make?",
    "Are change queries switched on? Do you offer snapshots for reading, and how often are they made?",
    "Are the OpenAPI metadata and token introspection (oauth/token_info) switched on?",
    "How many access tokens may one key have at a time? We use one at a time and keep it until it ends.",
    "Is the API bound to profiles, and which extensions does it serve?",
    "At what times is data loaded, and when should we not ask?",
    "When do these keys end, and whom do we ask for new ones?",
)


def letter(settings: EdfiSettings, findings: Sequence[Finding], groups: Collection[str]) -> str:
    """The mail, ready to be sent. It holds no secret and nothing about a person. It asks for roster and results, and of
    what goes beyond for these groups only: a key that reaches more is one more way to lose it."""
    ours = settings.education_organization_id
    district = f"education organization {ours}" if ours is not None else "our district (its education organization id)"
    parts = [
        "Subject: Ed-Fi API access for our district",
        "Hello,",
        "we connect your Ed-Fi API to Planbridge, our gateway for student success plans. It reads"
        f" {', '.join(['rosters', 'results', *groups])}, and may write finished plans. Please give us two keys, so that"
        " the one that reads every night can write nothing:",
        f"1. A reader, for {district} and all its schools, without an API profile. Its claim set:\n"
        + _listed(_reader({"", *groups}))
        + "\nRead on all descriptors too, and the namespaces of the assessments that we are to see.",
        f"2. A writer, for {district} and all its schools, without an API profile. Its claim set:\n"
        + _listed(_writer())
        + "\nIt needs a relationship to the students of these schools, and no Delete.",
        f"The address we use: {settings.base_url}",
        "Please tell us:\n" + _numbered(_QUESTIONS),
    ]
    if seen := [finding.text for finding in findings if not finding.ok]:
        parts.append("When we tried, we saw this. Please look into it:\n" + _listed(seen))
    return "\n\n".join([*parts, "Please send the secrets by another way than the rest. Thank you."])


def _reader(groups: Collection[str]) -> Iterator[str]:
    for resource in every_resource():
        if resource.group in groups:
            yield f"ed-fi/{resource.name}: Read, ReadChanges"


def _writer() -> Iterator[str]:
    for name in WRITTEN:
        yield f"ed-fi/{name}: Create, Read, Update"
    # It names people as it has read them, and learns from the enrollments when one that was refused may be sent again.
    read = ("students", "staffs", "studentSchoolAssociations", "schools", "localEducationAgencies")
    yield f"{', '.join(f'ed-fi/{name}' for name in read)}: Read"
    for what, resources in BY_CHOICE.values():
        for name, operations in resources.items():
            yield f"only if our district asks for {what}: ed-fi/{name}: {', '.join(operations)}"


def _listed(lines: Sequence[str] | Iterator[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _numbered(lines: Sequence[str]) -> str:
    return "\n".join(f"{number}. {line}" for number, line in enumerate(lines, 1))
