"""The mark in a student's enrollment: off by default, last of all, and gone with the plan."""

from dataclasses import replace
from datetime import date

import pytest

from gateway.connector import Document
from mappings.edfi.outbound import CORE, EdfiProfile
from tests.mappings.test_edfi_outbound import DEFAULT, PARTIES, full
from tests.mappings.test_edfi_outbound import sent as sent_by_default

MARK = f"{CORE}/EducationPlanDescriptor#Student Success Plan"
PARTY = replace(PARTIES, school="990101", today=date(2026, 11, 28))


def sent(monkeypatch: pytest.MonkeyPatch, profile: EdfiProfile, **parties: object) -> list[Document]:
    monkeypatch.setattr("tests.mappings.test_edfi_outbound.PARTIES", replace(PARTY, **parties))  # type: ignore[arg-type]
    return sent_by_default(full(), profile)[0]


def test_a_mark_is_sent_where_it_is_switched_on(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not any(document.merge for document in sent(monkeypatch, DEFAULT))
    *rest, mark = sent(monkeypatch, EdfiProfile(mark_enrollment=True))
    assert rest == sent(monkeypatch, DEFAULT) and mark.merge
    assert (mark.resource, mark.body) == (
        "studentSchoolAssociations",
        {
            "studentReference": {"studentUniqueId": PARTIES.student},
            "schoolReference": {"schoolId": 990101},
            "educationPlans": [{"educationPlanDescriptor": MARK}],
        },
    )


@pytest.mark.parametrize(("today", "marked"), [(date(2027, 5, 27), True), (date(2027, 5, 28), False)])
def test_it_goes_with_the_last_day_of_the_plan(monkeypatch: pytest.MonkeyPatch, today: date, marked: bool) -> None:
    profile = EdfiProfile(mark_enrollment=True)
    [*_, now] = sent(monkeypatch, profile)
    [*_, then] = sent(monkeypatch, profile, today=today, school="")
    assert then.identity == now.identity, "it is the same one that is taken out"
    assert bool(then.body["educationPlans"]) is marked and "schoolReference" not in then.body


def test_each_plan_of_a_student_has_a_mark_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or the end of one would be in dispute with the other for ever."""
    profile = EdfiProfile(mark_enrollment=True)
    [*_, one] = sent(monkeypatch, profile)
    [*_, other] = sent(monkeypatch, profile, plan="00000000-0000-4000-8000-000000000078")
    assert one.body == other.body and one.identity != other.identity
