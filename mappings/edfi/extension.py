"""What of a plan goes into an Ed-Fi extension: ours, SSP, or one of the district's own by a map of its names."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from gateway.connector import Document, Loss
from gateway.mapping import Crosswalks, Parties
from gateway.schema.plan import Goal, Plan, Support, Who
from mappings.edfi.extension_names import (
    FIELDS,
    GOAL,
    KEYS,
    OWN,
    SSP,
    ExtensionProfile,
    Kind,
    Names,
    called,
    flat,
    renamed,
)

SENSITIVE = ("physical_health", "mental_health", "accessibility", "family_basic_needs")
"""Goals of these domains are sent without a word: they would tell of health, disability or what a family lacks."""
GONE = ("rejected", "entered_in_error")
COMPARATORS = {
    "at_least": "at least",
    "more_than": "more than",
    "at_most": "at most",
    "less_than": "less than",
    "equal_to": "exactly",
}


@dataclass(frozen=True)
class Core:
    """What went before into the core model: `over`, whether nothing more will be given; `supports`, those that are
    sent, each with its intervention and its first and last day."""

    organization: Mapping[str, Any]
    participation: Document
    supports: Sequence[tuple[Support, Document]]
    over: bool


@dataclass
class Extended:
    """What goes into the extension; what is lost by it, and which losses of the core are none any more."""

    documents: list[Document] = field(default_factory=list)
    losses: list[Loss] = field(default_factory=list)
    held: set[str] = field(default_factory=set)

    def beside(self, core: Iterable[Loss]) -> list[Loss]:
        return [*(loss for loss in core if loss.pointer not in self.held), *self.losses]


def extended(
    plan: Plan, parties: Parties, profile: ExtensionProfile, codes: Crosswalks, core: Core, *, team: bool
) -> Extended:
    """The records of the extension in the order in which they refer to each other. `team`: whether it is to be told."""
    if profile.extension == "none":
        return Extended()
    made = _Making(plan, parties, profile, codes, core, team)
    made.all()
    return made.found


class _Record:
    """One record as SSP calls its parts, and which parts of the plan stand where in it."""

    def __init__(self, kind: Kind, key: Mapping[str, Any]) -> None:
        self.kind: Kind = kind
        self.body: dict[str, Any] = {}
        self.sources: list[tuple[str, str]] = []
        for path, value in key.items():
            _put(self.body, path, value)
        self.key = json.loads(json.dumps(self.body))

    def say(self, path: str, value: Any, *pointers: str, within: dict[str, Any] | None = None) -> None:
        """State a value, if there is one; `within` is an entry of a list, which `path` names too."""
        if value not in (None, ""):
            place = self.body if within is None else within
            place[path.rpartition(".")[2]] = value
            self.sources += [(path, pointer) for pointer in pointers]

    def entry(self, name: str) -> dict[str, Any]:
        """A new entry of a list."""
        made: dict[str, Any] = {}
        self.body.setdefault(name, []).append(made)
        return made


class _Making:
    def __init__(
        self, plan: Plan, parties: Parties, profile: ExtensionProfile, codes: Crosswalks, core: Core, team: bool
    ) -> None:
        self._plan, self._parties, self._profile, self._codes, self._core = plan, parties, profile, codes, core
        self._team = team
        self._goals: dict[str, Document] = {}
        # Nothing of the plan can be read in it.
        number = f"SSP-{hashlib.sha256(parties.plan.encode()).hexdigest()[:24]}"
        self._key = [parties.student, core.organization["educationOrganizationId"], number]
        self.found = Extended()

    def all(self) -> None:
        self._plans()
        for n, goal in enumerate(self._plan.goals):
            self._goal(f"/goals/{n}", goal)
        for support, intervention in self._core.supports:
            self._support(f"/supports/{self._plan.supports.index(support)}", support, intervention)

    def _plans(self) -> None:
        plan, record = self._plan, _Record("plan", dict(zip(OWN, self._key, strict=True)))
        record.say("planBeginDate", plan.period_start.isoformat())
        record.say("planEndDate", plan.period_end and plan.period_end.isoformat())
        record.say("nextReviewDate", plan.next_review_on and plan.next_review_on.isoformat(), "/next_review_on")
        record.say("planStatusDescriptor", self._code("out_ssp_plan_status", self._status(), ""))
        record.say("supportTierDescriptor", self._code("out_ssp_tier", plan.tier, "/tier"), "/tier")
        record.say("studentProgramAssociationReference", _reference(self._core.participation))
        if self._team:
            self._members(record)
        elif plan.coordinator:
            self.found.held.add("/coordinator")
            self._lost("/coordinator", "withheld", "The team is switched off for this destination.")
        for n, held in enumerate(plan.consultations):
            pointer = f"/consultations/{n}"
            self.found.held.add(pointer)
            if not self._profile.include_reviews:
                self._lost(pointer, "withheld", "Reviews are switched off for this destination.")
                continue
            entry = record.entry("planReviews")
            record.say("planReviews.reviewIdentifier", held.id, within=entry)
            record.say("planReviews.reviewDate", held.held_on.isoformat(), f"{pointer}/held_on", within=entry)
            method = self._code("out_ssp_review_method", held.mode, f"{pointer}/mode")
            record.say("planReviews.reviewMethodDescriptor", method, f"{pointer}/mode", within=entry)
            for name in held.model_dump(exclude_none=True, exclude={"id", "held_on", "mode"}):
                if getattr(held, name) != []:
                    self._lost(f"{pointer}/{name}", "withheld", "What was said with a family stays in the plan.")
        if self._profile.plan_address:
            record.say("planUri", self._profile.plan_address.replace("{plan}", self._parties.plan))
        self._add(record, after=(self._core.participation.name,), held=("/next_review_on", "/tier"))

    def _status(self) -> str:
        if not self._core.over:
            return "active"
        stopped = [one.status != "completed" for one in self._plan.supports if one.status != "entered_in_error"]
        return "discontinued" if stopped and all(stopped) else "completed"

    def _members(self, record: _Record) -> None:
        """The coordinator and the team. Who is not on the destination's staff is there as a role alone."""
        if self._plan.coordinator:
            self._member(record, "/coordinator", "coordinator", "coordinator", self._plan.coordinator)
        for n, member in enumerate(self._plan.team):
            self._member(record, f"/team/{n}", member.id or "", member.role, member.who)
            for name in ("begin_on", "end_on", "access_basis"):
                if getattr(member, name) is not None:
                    self._lost(f"/team/{n}/{name}", "cannot", "The extension has no place for it.")

    def _member(self, record: _Record, pointer: str, id: str, role: str, who: Who) -> None:
        said, named = (pointer, pointer) if pointer == "/coordinator" else (f"{pointer}/role", f"{pointer}/who")
        self.found.held |= {pointer, said}
        translated = self._code("out_ssp_team_role", role, pointer)
        if translated is None:
            return
        entry = record.entry("planTeamMembers")
        record.say("planTeamMembers.memberIdentifier", id, within=entry)
        record.say("planTeamMembers.planTeamRoleDescriptor", translated, said, within=entry)
        if isinstance(who, str) and who in self._parties.staff and role not in ("student", "guardian"):
            staff = {"staffUniqueId": self._parties.staff[who]}
            record.say("planTeamMembers.staffReference", staff, named, within=entry)
        else:
            self._lost(named, "cannot", "Only staff the destination knows is named in the team.")

    def _goal(self, pointer: str, goal: Goal) -> None:
        self.found.held.add(pointer)
        status = None if goal.lifecycle in GONE else self._code("out_ssp_goal_status", goal.lifecycle, "")
        if status is None:
            why = (
                "It is no part of the plan." if goal.lifecycle in GONE else "The crosswalk has no word for its status."
            )
            self._lost(pointer, "withheld" if goal.lifecycle in GONE else "cannot", why)
            return
        for name in ("standards", "owner", "authored_by_role", "measure", "shareable", "template"):
            if getattr(goal, name) not in (None, []):
                self._lost(f"{pointer}/{name}", "cannot", "The extension has no place for it.")
        record = _Record("goal", dict(zip(KEYS["goal"], [*self._key, goal.id], strict=True)))
        area = self._code("out_ssp_goal_area", goal.domain, f"{pointer}/domain")
        record.say("goalAreaDescriptor", area, f"{pointer}/domain")
        record.say("goalStatusDescriptor", status, f"{pointer}/lifecycle")
        self._text(record, "goalStatement", goal, goal.statement, f"{pointer}/statement")
        if goal.addresses:
            self._lost(f"{pointer}/addresses", "cannot", "The extension has no needs and interests.")
        if goal.baseline:
            at = f"{pointer}/baseline"
            record.say("baselineDate", goal.baseline.on.isoformat(), f"{at}/on")
            self._text(record, "baselineMeasure", goal, goal.baseline.measure, f"{at}/measure")
            self._text(record, "baselineValue", goal, str(goal.baseline.value), f"{at}/value")
        if goal.baseline_unknown_until:
            why = "The extension has no day by which a baseline will be known."
            self._lost(f"{pointer}/baseline_unknown_until", "cannot", why)
        for n, target in enumerate(goal.targets):
            at, entry = f"{pointer}/targets/{n}", record.entry("goalTargets")
            record.say("goalTargets.targetNumber", n + 1, within=entry)
            record.say("goalTargets.dueDate", target.due_on.isoformat(), f"{at}/due_on", within=entry)
            self._text(record, "goalTargets.targetMeasure", goal, target.measure, f"{at}/measure", within=entry)
            words = " ".join(filter(None, [COMPARATORS[target.comparator], str(target.value), target.unit]))
            parts = [f"{at}/{name}" for name in ("comparator", "value", "unit") if getattr(target, name)]
            parts += [f"{at}/value"] if f"{at}/value" not in parts else []
            self._text(record, "goalTargets.targetValue", goal, words, *parts, within=entry)
        if self._core.over and self._plan.period_end:
            record.say("goalEndDate", self._plan.period_end.isoformat())
        given = self._add(record, after=(self._of_plan(),))
        if given and goal.id:
            self._goals[goal.id] = given
        self._observation(pointer, goal, given)

    def _text(
        self, record: _Record, path: str, goal: Goal, words: str, *pointers: str, within: dict[str, Any] | None = None
    ) -> None:
        limit = FIELDS[record.kind][path]
        for pointer in pointers:
            if not self._profile.include_goal_statements:
                self._lost(pointer, "withheld", "Goals in words are switched off for this destination.")
            elif goal.domain in SENSITIVE:
                self._lost(pointer, "withheld", "Words about health, accessibility or a family's needs stay here.")
            elif len(words) > limit:
                self._lost(pointer, "cannot", f"It is longer than {limit} characters, and is never cut.")
        if self._profile.include_goal_statements and goal.domain not in SENSITIVE and len(words) <= limit:
            record.say(path, words, *pointers, within=within)

    def _observation(self, pointer: str, goal: Goal, given: Document | None) -> None:
        """How the goal stood on the last day on which the plan was talked over."""
        at, days = f"{pointer}/achievement", [one.held_on for one in self._plan.consultations]
        days += [self._plan.waiver.approved_on] if self._plan.waiver else []
        reached = self._code("out_ssp_achievement", goal.achievement, at)
        if reached is None:
            return
        if not days:
            self._lost(at, "cannot", "No day is known on which the goal stood so.")
            return
        key = dict(zip(KEYS["observation"], [*self._key, goal.id, max(days).isoformat()], strict=True))
        record = _Record("observation", key)
        record.say("goalAchievementDescriptor", reached, at)
        self._add(record, after=(given.name,) if given else (self._of_plan(),))

    def _support(self, pointer: str, support: Support, intervention: Document) -> None:
        status = self._code("out_ssp_support_status", support.status, "")
        if status is None:
            return  # the core says already that its status is lost
        record = _Record("support", dict(zip(KEYS["support"], [*self._key, support.id], strict=True)))
        record.say("supportStatusDescriptor", status, f"{pointer}/status")
        record.say("supportBeginDate", intervention.body.get("beginDate"))
        record.say("supportEndDate", intervention.body.get("endDate"))
        interval = self._code("out_ssp_interval", support.frequency_interval, "")
        if interval:
            record.say("frequencyCount", support.frequency, f"{pointer}/frequency")
            record.say("frequencyIntervalDescriptor", interval, f"{pointer}/frequency_interval")
        record.say("interventionReference", _reference(intervention))
        for n, id in enumerate(support.goals):
            if id not in self._goals:
                self._lost(f"{pointer}/goals/{n}", "cannot", "This goal is not in the extension.")
                continue
            goal = dict(zip(GOAL, [*self._key, id], strict=True))
            entry = record.entry("studentSuccessPlanGoals")
            for path, value in goal.items():
                _put(entry, path, value)
            record.sources.append(("studentSuccessPlanGoals", f"{pointer}/goals/{n}"))
        held = [f"{pointer}/status", f"{pointer}/goals"]
        held += [f"{pointer}/frequency", f"{pointer}/frequency_interval"] if interval else []
        after = (
            self._of_plan(),
            intervention.name,
            *(self._goals[id].name for id in support.goals if id in self._goals),
        )
        self._add(record, after=after, held=held)

    def _of_plan(self) -> str:
        return self.found.documents[0].name

    def _code(self, table: str, word: str | None, pointer: str) -> str | None:
        """The descriptor; that there is none is told of the place of the plan, where one is given."""
        code = self._codes.translate(table, word) if word else None
        if word and code is None and pointer:
            self.found.held.add(pointer)
            self._lost(pointer, "cannot", f"The crosswalk {table} has no descriptor for {word}.")
        return code

    def _lost(self, pointer: str, kind: Literal["cannot", "withheld"], reason: str) -> None:
        if pointer not in {loss.pointer for loss in self.found.losses}:
            self.found.losses.append(Loss(pointer, kind, reason))

    def _add(self, record: _Record, after: tuple[str, ...], held: Sequence[str] = ()) -> Document | None:
        """Name the record as the destination does, and tell what it has no name for."""
        self.found.held |= set(held)
        known = self._profile.extension_map if self._profile.extension == "map" else None
        names: Names | None = getattr(known, record.kind) if known else None
        if known and names is None:
            for _, pointer in record.sources:
                self._lost(pointer, "cannot", f"The district's extension has no {record.kind}.")
            return None
        kept = {name: name for name in record.body} if names is None else names.fields
        for path, pointer in record.sources:
            if not called(kept, path):
                self._lost(pointer, "cannot", f"The district's extension has no {path}.")
        texts = {
            called(kept, path): tuple(pointer for at, pointer in record.sources if at == path)
            for path in ("goalStatement", "baselineMeasure", "baselineValue")
            if path in record.body and called(kept, path)
        }
        document = Document(
            SSP[record.kind] if names is None else names.resource,
            flat(renamed(record.key, kept)),
            renamed(record.body, kept),
            after=after,
            texts=texts,
        )
        self.found.documents.append(document)
        return document


def _put(record: dict[str, Any], path: str, value: Any) -> None:
    *way, last = path.split(".")
    for name in way:
        record = record.setdefault(name, {})
    record[last] = value


def _reference(document: Document) -> dict[str, Any]:
    """To a record of the core: # Ed-Fi: a reference has the names of the key."""
    return dict(document.key)
