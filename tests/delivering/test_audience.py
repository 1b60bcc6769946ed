"""Who would see a plan where it is sent to: asked before anything leaves, and parked where somebody may not."""

import json

from gateway import delivery
from gateway.audience import Audience
from gateway.connector import Viewer
from gateway.store import standing
from tests.delivering.conftest import COLLEAGUE, COUNSELOR, DOROTHEA, IGNATZ, OTHER, Hall
from tests.store.school import GONE


async def who_sees(hall: Hall, *, doorway: bool = False) -> Audience:
    made = await delivery.preview(hall.store, hall.district, hall.plan, "board", doorway=doorway)
    return await delivery.seen_by(hall.store, hall.district, "board", made)


async def test_the_team_the_student_and_the_family_may_see_it_and_it_is_sent(hall: Hall) -> None:
    hall.board.viewers += [Viewer("teacher", COUNSELOR, "Osric Tansy"), Viewer("guardian"), Viewer("staff")]
    found = await who_sees(hall)
    assert [one.may for one in found.seen] == [True] * 6
    assert (await hall.push())["state"] == "delivered"
    [notice] = hall.board.hangs.values()
    assert notice["team"] == ["teacher 500"]
    assert notice["said"][2] == ["Supports", "Reading group", "Who: teacher"]
    assert "planted" not in json.dumps(notice)


STRANGERS = {
    "another student": (Viewer("student", OTHER, "Maud"), "Nothing on record ties this person to the student."),
    "another teacher of the class": (Viewer("teacher", COLLEAGUE, "Quill"), "They are not on the plan's team."),
    "somebody nobody knows": (Viewer("guardian", "4711", "Nemo"), "Nobody on the roster has this number."),
    "teachers without names": (Viewer("teacher"), "The platform does not tell who they are."),
}


async def test_nobody_else_may(hall: Hall) -> None:
    usual = list(hall.board.viewers)
    for viewer, because in STRANGERS.values():
        hall.board.viewers = [*usual, viewer]
        found = await who_sees(hall)
        assert [(one.name, one.because) for one in found.seen if not one.may] == [(viewer.name, because)]
    hall.board.viewers = [*usual, *(viewer for viewer, _ in STRANGERS.values())]
    ended = await hall.push()
    assert ended["state"] == "parked"
    assert hall.board.hangs == {}
    assert "1 x teacher: They are not on the plan's team." in ended["reason"]
    assert "doorway" in ended["reason"]
    told = json.dumps([ended[what] for what in ("reason", "causes", "audience", "losses", "receipts")])
    assert not any(name in told for name in ("Maud", "Quill", "Nemo", COLLEAGUE)), "no names"
    assert sum(one["people"] for one in ended["audience"] if not one["may"]) == 4


async def test_a_parent_who_is_kept_from_the_student_is_among_nobodys_viewers(hall: Hall) -> None:
    hall.board.viewers.append(Viewer("guardian", IGNATZ))
    assert not (await who_sees(hall)).refusal
    await standing.restrict(
        hall.store, hall.district, hall.ids[GONE], hall.ids["par-ignatz"], "court order 7", hall.actor
    )
    refused = [one for one in (await who_sees(hall)).seen if not one.may]
    assert [one.because for one in refused] == [
        "This person is kept from the student, or has no right to the record."
    ]  # fmt: skip
    hall.board.viewers[-1] = Viewer("guardian")
    assert "somebody is kept from the student" in (await who_sees(hall)).refusal, "the platform cannot tell which"
    hall.board.viewers[-1] = Viewer("guardian", DOROTHEA)
    assert not (await who_sees(hall)).refusal


async def test_a_doorway_holds_nothing_and_may_be_sent_to_all(hall: Hall) -> None:
    hall.board.viewers.append(Viewer("teacher", COLLEAGUE))
    assert (await hall.push())["state"] == "parked"
    ended = await hall.push(doorway=True)
    assert (ended["state"], ended["doorway"]) == ("delivered", True)
    [notice] = hall.board.hangs.values()
    assert notice["said"] == []
    assert notice["link"].endswith(f"/plans/{hall.plan}")
    assert hall.ids[GONE] not in notice["link"]
    again = await delivery.preview(hall.store, hall.district, hall.plan, "board")
    assert again.documents[0].body == notice, "what is looked at afterwards is what was sent"
