"""What people are told of plans that wait for a person: five parts, with counts and names of schools, and of nobody."""

from collections import Counter
from collections.abc import Sequence
from datetime import date, timedelta

from gateway.continuity import Waits
from gateway.messages import Message

SCHOOLS = 5
"""So many schools are named; of the others it is told how many there are."""

_OF_PLANS = {
    "coordinator-gone": ("plan has lost its coordinator", "plans have lost their coordinator"),
    "student-moved": ("student has moved to another school", "students have moved to another school"),
    "student-left": ("student has left the district", "students have left the district"),
    "rights-ended": ("plan rests on somebody without a right to it", "plans rest on somebody without a right to them"),
    "review-overdue": ("review is more than two weeks overdue", "reviews are more than two weeks overdue"),
}
"""What waits in a plan as a whole, of one and of several."""
_OF_SUPPORTS = {
    "owner-gone": ("support has lost its owner", "supports have lost their owner"),
    "urgent": ("urgent support goes on without a consultation", "urgent supports go on without a consultation"),
    "urgent-overdue": (
        "urgent support has gone on for more than 15 school days without a consultation",
        "urgent supports have gone on for more than 15 school days without a consultation",
    ),
}
_CONSULT = "Consult the family, or end the support."
_SUCCESSOR = "Name somebody in the place of who left: until then no new version of the plan can be finalized."
_MENDS = {
    "owner-gone": _SUCCESSOR,
    "coordinator-gone": _SUCCESSOR,
    "student-moved": "The new school names a coordinator, who takes the plan over.",
    "student-left": "Find out whether the plan of who left is to be closed or handed on.",
    "rights-ended": "Take whoever has no right out of the plan, or consult somebody who has one, and finalize it "
    "again. What another system has of it is taken back with: planbridge push PLAN --to NAME --withdraw.",
    "review-overdue": "Hold the review, or name who does.",
    "urgent": _CONSULT,
    "urgent-overdue": _CONSULT,
}


def of_plans(waiting: Sequence[Waits]) -> Message:
    """What waits in plans since people were last told; there is something."""
    found = {kind: [one for one in waiting if one.kind == kind] for kind in _MENDS}
    told = [f"{_told(kind, things)}." for kind, things in found.items() if things]
    plans = {one.plan: one.school or "a school that is gone" for one in waiting}
    withheld = " Plans that name somebody without a right are sent nowhere." if found["rights-ended"] else ""
    mend = dict.fromkeys(_MENDS[kind] for kind, things in found.items() if things)
    return Message(
        f"Plans wait for a person. {' '.join(told)}",
        f"{_number(len(plans), 'plan', 'plans')}: {_schools(Counter(plans.values()))}.",
        f"Every plan as it was: none was closed, and no support was dropped.{withheld}",
        f"See which, and who must act: planbridge attention. {' '.join(mend)}",
        f"Before {_day(min(one.due_on for one in waiting) + timedelta(days=1))}.",
    )


_OF_WITHDRAWALS = {
    "rights": (
        "because somebody it names is kept from the student",
        "because somebody they name is kept from the student",
    ),
    "audience": ("because somebody would see it there who may not", "because people would see them there who may not"),
    "person": ("because somebody asked for it", "because somebody asked for it"),
    "consent": ("because the consent for it ended", "because the consents for them ended"),
    "plan": ("because the plan was taken back", "because they were taken back here"),
    "agreement": ("because the agreement with the host is over", "because the agreement with the host is over"),
    "left": ("because the student has left", "because the students have left"),
}


def of_withdrawals(name: str, causes: Counter[str], objects: int, kept: Counter[str], today: date) -> Message:
    """What was taken back from a destination since people were last told, and what it did not give back and why."""
    told = [f"{_number(n, 'plan', 'plans')} {_OF_WITHDRAWALS[cause][n > 1]}" for cause, n in sorted(causes.items())]
    left = kept.total()
    there = (
        f"In {name}: all or some of what was delivered of {_number(left, 'plan', 'plans')}. "
        if left
        else f"In {name}: nothing of them but what they share with other plans. "
    )
    why = " ".join(f"{_number(n, 'plan', 'plans')}: {reason}" for reason, n in kept.most_common(3))
    return Message(
        f"Plans were taken back from {name}: {'; '.join(told)}."
        + (f" {_number(left, 'of them is', 'of them are')} still there, or in part." if left else ""),
        f"{_number(causes.total(), 'plan', 'plans')}, {_number(objects, 'object', 'objects')} taken back.",
        f"{there}Here every plan and each receipt stays.",
        f"{why} Which these are: planbridge refused --to {name}. Have it removed there, or take the plan back again: "
        f'planbridge push PLAN --to {name} --withdraw --because "...".'
        if left
        else f"Nothing, if that is right. What is to go to {name} again is sent by planbridge push PLAN --to {name}.",
        f"Before {_day(today + timedelta(days=1))}." if left else "Nothing is due.",
    )


def of_amendments(overdue: int, since: date) -> Message:
    """Requests of families whose day of the answer is past; there is one."""
    requests = _number(overdue, "request to amend a record has", "requests to amend a record have")
    return Message(
        f"A family waits for an answer: {requests} no answer, and the day for it is past.",
        f"{_number(overdue, 'request', 'requests')}; the oldest was to be answered by {_day(since)}.",
        "Every record as it was, and what the family asked, word for word.",
        "See which: planbridge family amendments --overdue. Answer each: planbridge family decide.",
        "Within a day: families have a right to an answer.",
    )


def _told(kind: str, things: Sequence[Waits]) -> str:
    if kind in _OF_SUPPORTS:
        return _number(len(things), *_OF_SUPPORTS[kind])
    return _number(len({one.plan for one in things}), *_OF_PLANS[kind])


def _number(n: int, one: str, several: str) -> str:
    return f"{n:,} {one if n == 1 else several}"


def _schools(plans: Counter[str]) -> str:
    most = sorted(plans.items(), key=lambda found: (-found[1], found[0]))
    named = ", ".join(f"{n:,} at {school}" for school, n in most[:SCHOOLS])
    rest = most[SCHOOLS:]
    return named + (f", and {sum(n for _, n in rest):,} at {len(rest):,} more" if rest else "")


def _day(day: date) -> str:
    return f"{day:%a} {day.day} {day:%b %Y}"
