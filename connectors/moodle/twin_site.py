"""What the twin's site holds: people, roles, learning plans, and who sees which."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from connectors.moodle.twin_errors import no_such_user, not_permitted, not_there

MANAGER = frozenset(
    {"planmanage", "planview", "competencygrade", "competencymanage", "assign", "notes", "calendar", "userupdate"}
)
"""What a role at the level of the site may let its people do."""
DRAFT, ACTIVE, COMPLETE = 0, 1, 2


@dataclass
class User:
    """An account. `capabilities` are those that it has in the whole site."""

    id: int
    username: str
    given: str
    family: str
    idnumber: str = ""
    suspended: bool = False
    capabilities: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        return f"{self.given} {self.family}".strip()


@dataclass(frozen=True)
class Role:
    """A role. Only one that may be given in the context of a user, and by whoever gives it, can be."""

    id: int
    name: str
    capabilities: frozenset[str] = frozenset()
    in_user_context: bool = True


@dataclass
class Token:
    """A token: whose it is, and when it ends. `functions` are those of its service; None: all that there are."""

    user: int
    functions: frozenset[str] | None = None
    until: float | None = None


@dataclass
class Course:
    """A course with its people and their roles."""

    id: int
    name: str
    short: str
    idnumber: str
    people: list[tuple[int, int, str]] = field(default_factory=list)


@dataclass
class Site:
    """Everything, in plain dicts by id, kept in memory."""

    now: Callable[[], float] = time.time
    url: str = "http://127.0.0.1"
    users: dict[int, User] = field(default_factory=dict)
    roles: dict[int, Role] = field(default_factory=dict)
    tokens: dict[str, Token] = field(default_factory=dict)
    courses: dict[int, Course] = field(default_factory=dict)
    plans: dict[int, dict[str, Any]] = field(default_factory=dict)
    assignments: set[tuple[int, int, int]] = field(default_factory=set)
    """(role, who has it, in whose context)"""
    frameworks: dict[int, dict[str, Any]] = field(default_factory=dict)
    competencies: dict[int, dict[str, Any]] = field(default_factory=dict)
    in_plans: dict[tuple[int, int], dict[str, Any]] = field(default_factory=dict)
    """(plan, competency) -> rating and note"""
    comments: dict[int, dict[str, Any]] = field(default_factory=dict)
    notes: dict[int, dict[str, Any]] = field(default_factory=dict)
    events: dict[int, dict[str, Any]] = field(default_factory=dict)
    _given: dict[str, int] = field(default_factory=dict)

    def next(self, kind: str) -> int:
        """An id that nothing of its kind has had."""
        self._given[kind] = self._given.get(kind, 0) + 1
        return self._given[kind]

    def add(self, user: User) -> User:
        self.users[user.id] = user
        return user

    def user(self, id: int) -> User:
        if id not in self.users:
            raise no_such_user()
        return self.users[id]

    def plan(self, id: int) -> dict[str, Any]:
        if id not in self.plans:
            raise not_there("plans")
        return self.plans[id]

    def may(self, who: User, capability: str, about: int | None = None) -> bool:
        """Whether a role lets somebody do that: in the whole site, or in the context of the user it is about."""
        return capability in who.capabilities or any(
            user == who.id and context == about and capability in self.roles[role].capabilities
            for role, user, context in self.assignments
        )

    def demand(self, who: User, capability: str, about: int | None = None) -> None:
        if not self.may(who, capability, about):
            raise not_permitted(capability)

    def sees(self, who: User, plan: dict[str, Any]) -> bool:
        """Everybody their own, but for drafts; managers, and whoever has a role in the student's context, theirs."""
        own = plan["userid"] == who.id and plan["status"] != DRAFT
        return own or self.may(who, "planview", plan["userid"]) or self.may(who, "planmanage", plan["userid"])

    def visible_to(self, user: int) -> list[str]:
        """Every text that this person can read on the site."""
        who = self.user(user)
        return [] if who.suspended else list(self._readable(who))

    def _readable(self, who: User) -> Iterator[str]:
        for framework in self.frameworks.values():  # by everybody who is logged in
            yield json.dumps(framework, ensure_ascii=False)
        for competency in self.competencies.values():
            yield json.dumps(competency, ensure_ascii=False)
        for event in self.events.values():
            if any(who.id == person for person, *_ in self.courses[event["courseid"]].people):
                yield f"{event['name']} {event['description']}"
        for note in self.notes.values():
            if self.may(who, "notes"):
                yield note["text"]
        for plan in self.plans.values():
            if not self.sees(who, plan):
                continue
            yield plan["name"]
            yield plan["description"]
            yield from (one["content"] for one in self.comments.values() if one["itemid"] == plan["id"])
            yield from (one["note"] or "" for (id, _), one in self.in_plans.items() if id == plan["id"])

    def edit(self, plan: int, **changes: Any) -> None:
        """What a person does to a plan in the browser."""
        self.plans[plan] |= changes | {"timemodified": int(self.now()) + 1}
