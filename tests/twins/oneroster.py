"""A client of the OneRoster twin: every way of being let in, and the rows of any path."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
from oauthlib import oauth1

from connectors.oneroster.twin import twin
from synthetic import build
from tests.openapi import document, validator
from tests.serving import serve

DISTRICT = build(students=60)
ROOT = "/ims/oneroster/v1p1"
ROOTS = {
    "roster": "/ims/oneroster/rostering/v1p2",
    "gradebook": "/ims/oneroster/gradebook/v1p2",
    "resources": "/ims/oneroster/resources/v1p2",
}
# collection -> service of 1.2, component of 1.2 without DType, component of 1.1 without .Type, envelope of one
COLLECTIONS = {
    "orgs": ("roster", "Org", "Org", "org"),
    "academicSessions": ("roster", "AcademicSession", "AcademicSession", "academicSession"),
    "courses": ("roster", "Course", "Course", "course"),
    "classes": ("roster", "Class", "Class", "class"),
    "users": ("roster", "User", "User", "user"),
    "enrollments": ("roster", "Enrollment", "Enrollment", "enrollment"),
    "demographics": ("roster", "Demographics", "Demographic", "demographics"),
    "categories": ("gradebook", "Category", "Category", "category"),
    "lineItems": ("gradebook", "LineItem", "LineItem", "lineItem"),
    "results": ("gradebook", "Result", "Result", "result"),
    "scoreScales": ("gradebook", "ScoreScale", None, "scoreScale"),
    "assessmentLineItems": ("gradebook", "AssessmentLineItem", None, "assessmentLineItem"),
    "assessmentResults": ("gradebook", "AssessmentResult", None, "assessmentResult"),
    "resources": ("resources", "Resource", "Resource", "resource"),
}


class Client(httpx.Client):
    """An HTTP client with a token; `below` is what stands before the root of the version."""

    below = ""
    version = "1.2"

    def sign_in(self, path: str = "/token", **form: str) -> httpx.Response:
        form = {"grant_type": "client_credentials", **form}
        answer = self.post(path, data=form, auth=("demo-client", "demo-secret"))
        if answer.is_success:
            self.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
        return answer

    def at(self, path: str) -> str:
        """The address of a path of the contract: `classes/x/students`."""
        last = path.split("/")
        collection = next((part for part in reversed(last) if part in COLLECTIONS), "users")
        root = ROOT if self.version == "1.1" else ROOTS[COLLECTIONS[collection][0]]
        return f"{self.below}{root}/{path}"

    def rows(self, path: str, **query: str | int) -> list[Any]:
        answer = self.get(self.at(path), params={"limit": 5000, **query})
        assert answer.status_code == 200, answer.text
        (rows,) = answer.json().values()
        return list(rows)

    def all(self, path: str) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {}
        while page := self.rows(path, offset=len(found)):
            found |= {row["sourcedId"]: row for row in page}
        return found


@contextmanager
def asked(version: str = "1.2", **options: Any) -> Iterator[Client]:
    """A client of a twin of its own that has these options, signed in by OAuth 2."""
    with serve(twin(DISTRICT, **options)) as url, Client(base_url=url, timeout=60) as client:
        client.version = version
        client.sign_in()
        yield client


def complaints(version: str, collection: str, row: Any) -> list[str]:
    """What the published document has against a record."""
    service, new, old, _ = COLLECTIONS[collection]
    if version == "1.1":
        found = document("oneroster/openapi/v1p1/oneroster_v1p1_openapi3.json")
        component = f"{old}.Type"
    else:
        name = {"roster": "rosters"}.get(service, service)
        found = document(f"oneroster/openapi/v1p2/onerosterv1p2{name}service_openapi3_v1p0.yaml")
        component = f"{new}DType"
    judge = validator(found, {"$ref": f"#/components/schemas/{component}"})
    return [f"{collection}{error.json_path[1:]}: {error.message[:200]}" for error in judge.iter_errors(row)]


def signed(method: str, url: str, hashing: str, secret: str = "demo-secret", **also: Any) -> dict[str, str]:
    """The headers of a request as oauthlib signs it, who knows nothing of ours."""
    signer = oauth1.Client("demo-client", client_secret=secret, signature_method=hashing, **also)
    _, headers, _ = signer.sign(url, http_method=method)
    return {name: str(value) for name, value in headers.items()}
