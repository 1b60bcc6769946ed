"""What of a plan goes into an Ed-Fi extension, ours or a district's own: there, again, edited, over, and where it is
missing."""

import json
from datetime import date, timedelta
from typing import Any

import httpx
import pytest

from connectors.edfi.twin import Extension, ssp
from connectors.edfi.twin.extension import ORGANIZATION, OWNED, STUDENT, identifier, key_of_plan
from connectors.edfi.twin.shapes import Field, Shape, coded, must, pointer, text
from gateway import crosswalks, delivery
from gateway.store.codes import Line
from tests.e2e.test_delivery import (
    COUNSELOR,
    DISTRICT,
    Here,
    here,  # noqa: F401  a fixture
    standard,  # noqa: F401  a fixture
    without_bookkeeping,
)

TODAY = date.today()
SSP = (
    "ssp/studentSuccessPlans",
    "ssp/studentSuccessPlanGoals",
    "ssp/studentSuccessPlanGoalObservations",
    "ssp/studentSuccessPlanSupports",
)
GOAL = "Retells a chapter."


@pytest.fixture
def extension(request: pytest.FixtureRequest, standard: str) -> Extension | None:  # noqa: F811
    """What the host of the server has added; SSP unless the test names another."""
    made: Extension | None = getattr(request, "param", ssp(standard))
    return made


def wrote(here: Here, *, namespace: str = "") -> list[tuple[str, int]]:  # noqa: F811
    """Every write since the log began anew, as (namespace/resource, status)."""
    log = httpx.get(f"{here.there.url}/_twin/log", verify=False).json()
    asked = [("/".join(one["path"].split("/")[-2:]), one["status"]) for one in log if one["method"] == "POST"]
    return [one for one in asked if not one[0].startswith("oauth/") and one[0].startswith(namespace)]


def held(here: Here, resource: str) -> list[dict[str, Any]]:  # noqa: F811
    base = str(here.there.http.base_url).removesuffix("ed-fi/")
    rows = here.there.http.get(base + resource, params={"limit": 100}).json()
    return sorted(map(without_bookkeeping, rows), key=lambda row: json.dumps(row, sort_keys=True))


async def intended(here: Here, resource: str) -> list[dict[str, Any]]:  # noqa: F811
    made = await delivery.preview(here.store, here.district, here.plan, "ods")
    found = [one.body for one in made.documents if one.resource == resource]
    return sorted(found, key=lambda row: json.dumps(row, sort_keys=True))


@pytest.mark.parametrize("standard", ["4.0", "5.0", "6.0"])
async def test_a_plan_is_in_the_extension_and_ends_there(here: Here) -> None:  # noqa: F811
    await here.profile(extension="ssp", include_team=True, include_reviews=True)
    await here.finalize()
    here.there.forget()
    found = await here.push()
    assert (found["state"], found["reason"]) == ("delivered", None)
    # After the core, and parents before children.
    resources = [resource for resource, _ in wrote(here)]
    assert resources.index("ssp/studentSuccessPlans") == len([one for one in resources if one.startswith("ed-fi/")])
    assert wrote(here, namespace="ssp/") == [(SSP[0], 201), (SSP[1], 201), (SSP[2], 201), *[(SSP[3], 201)] * 2]
    for resource in SSP:
        assert held(here, resource) == await intended(here, resource)
    [goal], supports = held(here, SSP[1]), held(here, SSP[3])
    # No word of the plan unless words were switched on.
    assert GOAL not in json.dumps([held(here, one) for one in SSP]) and "goalStatement" not in goal
    assert {loss["pointer"] for loss in found["losses"]} >= {"/goals/0/statement", "/goals/0/targets/0/value"}
    assert "/goals/0" not in {loss["pointer"] for loss in found["losses"]}
    codes = [one["interventionReference"]["interventionIdentificationCode"] for one in supports]
    assert sorted(codes) == sorted(one["interventionIdentificationCode"] for one in here.there.all("interventions"))
    for document, there in await delivery.read_back(here.store, here.district, here.plan, "ods"):
        assert there == document.body

    here.there.forget()
    assert (await here.push())["state"] == "delivered"
    assert wrote(here) == [], "the same plan was sent twice"

    await here.profile(extension="ssp", include_team=True, include_reviews=True, include_goal_statements=True)
    here.there.forget()
    assert (await here.push())["state"] == "delivered"
    assert wrote(here) == [(SSP[1], 200)]
    [goal] = held(here, SSP[1])
    assert (goal["goalStatement"], goal["goalTargets"][0]["targetValue"]) == (GOAL, "at least 4")

    # A goal that is no part of the plan any more, and one of health, which is sent without a word or an area.
    other = {"domain": "mental_health", "statement": "planted: sleeps through.", "addresses": ["need-1"]}
    baseline = {"baseline": {"measure": "planted", "value": "planted", "on": TODAY.isoformat()}}

    def replaced(content: dict[str, Any]) -> None:
        targets = [{"measure": "planted", "value": "planted", "due_on": TODAY.isoformat()}]
        content["goals"] = [{**other, **baseline, "targets": targets, "id": "goal-2"}]
        for support in content["supports"]:
            support["goals"] = ["goal-2"]

    await here.edit(replaced)
    await here.finalize()
    here.there.forget()
    assert (await here.push())["state"] == "delivered"
    first, second = held(here, SSP[1])
    assert first["goalEndDate"] == TODAY.isoformat() and first["goalStatement"] == GOAL
    assert "planted" not in json.dumps([held(here, one) for one in SSP]) and "goalAreaDescriptor" not in second
    assert len(held(here, SSP[2])) == 2, "how the earlier goal stood stays"

    def over(content: dict[str, Any]) -> None:
        content["period_end"] = TODAY.isoformat()
        for support in content["supports"]:
            support["status"] = "completed"

    await here.edit(over)
    await here.finalize()
    assert (await here.push())["state"] == "delivered"
    [plan] = held(here, SSP[0])
    assert plan["planStatusDescriptor"].endswith("#Completed") and plan["planEndDate"] == TODAY.isoformat()
    assert {one["supportEndDate"] for one in held(here, SSP[3])} == {TODAY.isoformat()}
    assert {one["goalEndDate"] for one in held(here, SSP[1])} == {TODAY.isoformat()}


@pytest.mark.parametrize("extension", [None], indirect=True)
async def test_a_server_without_the_extension_is_reported_and_gets_nothing(here: Here) -> None:  # noqa: F811
    await here.finalize()
    await here.profile(extension="ssp")
    here.there.forget()
    parked = await here.push()
    assert (parked["state"], parked["waits"], wrote(here)) == ("parked", None, [])
    assert parked["reason"].startswith("Nothing was sent. This server does not show ssp/studentSuccessPlans")
    assert "docs/edfi-extension" in parked["reason"] and "extension=none" in parked["reason"]
    await here.profile(extension="none")
    assert (await here.push())["state"] == "delivered"


NUMBER = "planNumber"
OWN = Extension(
    "mrd",
    "uri://mapleridge.example.org",
    {
        "learnerPlans": Shape(
            "LearnerPlan",
            (*OWNED, NUMBER, "studentReference.studentUniqueId"),
            {
                NUMBER: identifier(),
                "educationOrganizationReference": ORGANIZATION,
                "studentReference": STUDENT,
                "startDate": must("day"),
                "endDate": Field("day"),
                "learnerPlanStateDescriptor": coded("LearnerPlanState", required=True),
            },
        ),
        "learnerPlanGoals": Shape(
            "LearnerPlanGoal",
            (
                "learnerPlanReference.educationOrganizationId",
                "goalNumber",
                f"learnerPlanReference.{NUMBER}",
                "learnerPlanReference.studentUniqueId",
            ),
            {
                "goalNumber": identifier(),
                "learnerPlanReference": pointer("LearnerPlan", key_of_plan(NUMBER).items()),
                "wording": text(10),
                "endDate": Field("day"),
            },
        ),
    },
    {"LearnerPlanState": "Running; Done"},
)
NAMES: dict[str, Any] = {
    "plan": {
        "resource": "mrd/learnerPlans",
        "fields": {
            "studentReference": "studentReference",
            "educationOrganizationReference": "educationOrganizationReference",
            "planIdentifier": NUMBER,
            "planBeginDate": "startDate",
            "planEndDate": "endDate",
            "planStatusDescriptor": "learnerPlanStateDescriptor",
        },
    },
    "goal": {
        "resource": "mrd/learnerPlanGoals",
        "fields": {
            "studentSuccessPlanReference": "learnerPlanReference",
            "studentSuccessPlanReference.planIdentifier": NUMBER,
            "goalIdentifier": "goalNumber",
            "goalStatement": "wording",
            "goalEndDate": "endDate",
        },
    },
}


@pytest.mark.parametrize("extension", [OWN], indirect=True)
async def test_a_districts_own_extension_is_written_by_its_own_names(here: Here) -> None:  # noqa: F811
    await here.finalize()
    await here.profile(extension="map", extension_map=json.dumps(NAMES), include_goal_statements=True)
    state = "uri://mapleridge.example.org/LearnerPlanStateDescriptor"
    here.there.forget()
    parked = await here.push()
    assert parked["state"] == "parked" and wrote(here) == []
    assert "The server has no uri://planbridge/PlanStatusDescriptor#Active" in parked["reason"]
    assert "POST mrd/learnerPlanStateDescriptors" in parked["reason"]
    await crosswalks.choose(
        here.store, here.district, "edfi", [Line("out_ssp_plan_status", "active", f"{state}#Running")], COUNSELOR
    )
    found = await here.push()
    assert (found["state"], found["reason"]) == ("delivered", None)
    number = f"SSP-{held(here, 'mrd/learnerPlans')[0][NUMBER].removeprefix('SSP-')}"
    organization = {"educationOrganizationId": DISTRICT.number}
    [plan], [goal] = held(here, "mrd/learnerPlans"), held(here, "mrd/learnerPlanGoals")
    assert plan == {
        NUMBER: number,
        "educationOrganizationReference": organization,
        "studentReference": plan["studentReference"],
        "startDate": TODAY.isoformat(),
        "learnerPlanStateDescriptor": f"{state}#Running",
    }
    # The words are longer than this server takes, and never cut.
    assert goal == {
        "goalNumber": "goal-1",
        "learnerPlanReference": {NUMBER: number, **organization, **plan["studentReference"]},
    }
    lost = {loss["pointer"]: loss["reason"] for loss in found["losses"]}
    assert "wording" in lost["/goals/0/statement"]
    assert lost["/goals/0/lifecycle"] == "The district's extension has no goalStatusDescriptor."
    assert lost["/supports/0/status"] == "The district's extension has no support."
    assert lost["/goals/0/achievement"] == "The district's extension has no observation."
    here.there.forget()
    assert (await here.push())["state"] == "delivered" and wrote(here) == []
    await here.edit(lambda content: content["goals"].append({**content["goals"][0], "id": "goal-2"}))
    await here.finalize()
    assert (await here.push())["state"] == "delivered"
    assert wrote(here) == [("mrd/learnerPlanGoals", 201)]

    def first_only(content: dict[str, Any]) -> None:
        content["goals"] = content["goals"][:1]
        content["period_end"] = (TODAY + timedelta(days=30)).isoformat()

    await here.edit(first_only)
    await here.finalize()
    assert (await here.push())["state"] == "delivered"
    ends = {one["goalNumber"]: one.get("endDate") for one in held(here, "mrd/learnerPlanGoals")}
    assert ends == {"goal-1": None, "goal-2": TODAY.isoformat()}
