"""An HTTP client of an Ed-Fi twin, which finds its way by discovery alone, and a plan that it can write."""

from typing import Any

import httpx

from synthetic import build

DISTRICT = build(students=90)
NAMESPACE = "uri://mapleridge.example.org"
WRITABLE = ["programs", "studentProgramAssociations", "interventions", "studentInterventionAssociations"]


class Client(httpx.Client):
    """It knows what discovery says at the twin's address, or `below` it, and holds a token."""

    def __init__(self, url: str, below: str = "") -> None:
        self.twin = url
        self.urls: dict[str, str] = httpx.get(f"{url}{below}/", verify=False).json()["urls"]
        super().__init__(base_url=self.urls["dataManagementApi"].rstrip("/") + "/ed-fi", verify=False)
        self.sign_in()

    def token(self, **how: Any) -> httpx.Response:
        form = {"data": {"grant_type": "client_credentials"}, "auth": ("demo-key", "demo-secret")}
        return httpx.post(self.urls["oauth"], verify=False, **{**form, **how})

    def sign_in(self) -> None:
        self.headers["Authorization"] = f"Bearer {self.token().json()['access_token']}"

    def all(self, resource: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        while page := self.get(resource, params={"offset": len(found), "limit": 500}).json():
            found += page
        return found

    def window(self, resource: str, **query: Any) -> list[dict[str, Any]]:
        """What is told of deletions or new keys."""
        answer = self.get(resource, params={"limit": 500, "totalCount": "true", **query})
        found: list[dict[str, Any]] = answer.json()
        assert answer.headers["total-count"] == str(len(found))
        return found

    def change(self, **what: Any) -> None:
        assert self.post(f"{self.twin}/_twin/change", json=what).status_code == 204


def read(url: str) -> httpx.Response:
    """Without a token. Nothing here is https, and to read who vouches for whom would take longer than the request."""
    return httpx.get(url, verify=False)


def program(**more: Any) -> dict[str, Any]:
    return {
        "educationOrganizationReference": {"educationOrganizationId": DISTRICT.number},
        "programName": "Student Success Plan",
        "programTypeDescriptor": f"{NAMESPACE}/ProgramTypeDescriptor#Student Success Plan",
        **more,
    }


def participation(**more: Any) -> dict[str, Any]:
    own = program()
    del own["educationOrganizationReference"]
    return {
        "beginDate": "2026-10-01",
        "educationOrganizationReference": {"educationOrganizationId": DISTRICT.number},
        "programReference": {"educationOrganizationId": DISTRICT.number, **own},
        "studentReference": {"studentUniqueId": DISTRICT.students[0].number},
        "services": [{"serviceDescriptor": f"{NAMESPACE}/ServiceDescriptor#Tutoring"}],
        **more,
    }


def intervention(**more: Any) -> dict[str, Any]:
    return {
        "educationOrganizationReference": {"educationOrganizationId": DISTRICT.schools[0].number},
        "interventionIdentificationCode": "SSP-1-A",
        "beginDate": "2026-10-01",
        "deliveryMethodDescriptor": "uri://ed-fi.org/DeliveryMethodDescriptor#Small Group",
        "interventionClassDescriptor": "uri://ed-fi.org/InterventionClassDescriptor#Supplement",
        "minDosage": "30",
        "staffs": [{"staffReference": {"staffUniqueId": DISTRICT.staff[0].number}}],
        **more,
    }


def taking_part(**more: Any) -> dict[str, Any]:
    key = {"educationOrganizationId": DISTRICT.schools[0].number, "interventionIdentificationCode": "SSP-1-A"}
    student = {"studentUniqueId": DISTRICT.students[0].number}
    return {"interventionReference": key, "studentReference": student, "dosage": 30, **more}


PLAN = dict(zip(WRITABLE, (program, participation, intervention, taking_part), strict=True))


def write_plan(client: Client) -> None:
    for resource, body in PLAN.items():
        assert client.post(resource, json=body()).status_code == 201, resource


def assert_refused(answer: httpx.Response, status: int, kind: str, standard: str, old: int = 0) -> None:
    """The right status in the right shape; `old` is the status before 7.2 where it was another."""
    body = answer.json()
    if standard >= "5":
        assert (answer.status_code, body["type"], body["status"]) == (status, f"urn:ed-fi:api:{kind}", status)
        assert body.keys() >= {"detail", "title", "correlationId"}
    else:
        assert answer.status_code == (old or status), body
        assert body.keys() == ({"message", "modelState"} if "modelState" in body else {"message"})
