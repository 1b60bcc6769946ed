"""What a print says: a plan as a sheet, in the words of one language, without what its reader may not see."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

from gateway import sections
from gateway.access import SECTIONS, May, Section
from gateway.plans import GuardResult
from gateway.printing.missing import missing
from gateway.printing.sheet import (
    Block,
    Bullets,
    Heading,
    Line,
    Paragraph,
    Sheet,
    Span,
    Table,
    Terms,
    joined,
    plain,
)
from gateway.printing.translations import rendered
from gateway.printing.words import Words, tag
from gateway.schema.codes import OUT_OF_SCHOOL
from gateway.schema.plan import (
    CitedResult,
    Consultation,
    ExternalPlan,
    Goal,
    Named,
    Plan,
    Review,
    Support,
    Translation,
    Who,
    canonical,
)
from gateway.schema.work import Evidence, Interest, Strength, Target

TITLE = Plan.model_fields["title"].default
"""The title of a plan that nobody gave one."""

Visible = Callable[[Section], bool]
"""Whether the reader may see a section."""


@dataclass(frozen=True)
class Standing:
    """Where the plan stands. `mark` is draft, revoked, superseded, error, or nothing where it is in force."""

    mark: str
    shown_sha256: str
    version: int | None = None
    version_sha256: str = ""
    finalized_on: date | None = None
    report: Sequence[GuardResult] = ()
    translations: Sequence[Translation] = ()
    """Of other versions of the plan: a line counts where it is of the same words."""


@dataclass(frozen=True)
class Known:
    """Names that the plan gives only ids of: people, schools, assessment results with their day."""

    people: Mapping[str, str] = field(default_factory=dict)
    organizations: Mapping[str, str] = field(default_factory=dict)
    results: Mapping[str, tuple[str, date | None]] = field(default_factory=dict)


def sheet(plan: Plan, standing: Standing, known: Known, words: Words, visible: Visible = lambda section: True) -> Sheet:
    """The print of a plan. Nothing is left out in silence: it says which sections it does not show."""
    seen, hidden = _seen(plan, visible)
    printing = _Printing(plan, seen, standing, known, words, visible, hidden)
    blocks = tuple(printing.blocks())
    foot = [words.text("foot.shown", sha256=standing.shown_sha256)]
    if standing.version_sha256:
        foot.append(words.text("foot.version", sha256=standing.version_sha256))
    if printing.hidden:
        foot.append(words.text("foot.left_out"))
    return Sheet(
        words.tag,
        words.direction,
        printing.text("/title", seen.title, bare=True).text,
        words.text(f"mark.{standing.mark}") if standing.mark else "",
        words.file["text"]["page"],
        tuple(foot),
        blocks,
        printing.hidden,
        printing.marked,
    )


def _seen(plan: Plan, visible: Visible) -> tuple[Plan, tuple[Section, ...]]:
    """The plan as its reader may see it, and the sections that something of it was left out for. Who it is for, its
    team and its days stand on every print."""
    how: dict[Section, May] = {section: "read" if visible(section) else "none" for section in SECTIONS}
    content = json.loads(canonical(plan))
    if plan.title == TITLE:
        del content["title"]  # says nothing of anybody, and is not missed
    content, left = sections.seen(content, {**how, "identity": "read"})
    hidden = {one.section or "restricted_notes" for one in left}
    return Plan.model_validate(content), tuple(section for section in SECTIONS if section in hidden)


class _Printing:
    """One print: the plan and everything its sentences need."""

    def __init__(
        self,
        whole: Plan,
        plan: Plan,
        standing: Standing,
        known: Known,
        words: Words,
        visible: Visible,
        hidden: tuple[Section, ...],
    ) -> None:
        self.whole, self.plan, self.standing, self.known, self.words = whole, plan, standing, known, words
        self.visible, self.hidden = visible, hidden
        self.original = original(plan)
        self.foreign = "" if self.original == words.tag else self.original
        self.translated = rendered(plan, words.tag, standing.translations)
        self.marked = 0

    def blocks(self) -> Iterator[Block]:
        yield Heading(1, (self.text("/title", self.plan.title),))
        yield from self._notices()
        yield Terms(tuple(self._facts()))
        yield from self._missing()
        if self.visible("strengths"):
            for of, said in (("strengths", self.plan.strengths), ("interests", self.plan.interests)):
                yield self._heading(of)
                yield from self._bullets([self._said(one) for one in said])
        yield self._heading("needs")
        yield from self._needs()
        if self.visible("goals"):
            yield self._heading("goals")
            yield from self._goals()
        yield from self._supports()
        if self.plan.external_plans:
            yield self._heading("other_plans")
            yield from self._bullets([self._other_plan(one) for one in self.plan.external_plans])
        yield self._heading("team")
        yield from self._team()
        if self.visible("consultation"):
            yield self._heading("consultation")
            yield from self._consultations()
        if self.plan.reviews:
            yield self._heading("reviews")
            for review in self.plan.reviews:
                yield Terms(tuple(self._review(review)))
        yield self._heading("next")
        yield from self._next()

    # --- what comes first ------------------------------------------------------------------------------------

    def _notices(self) -> Iterator[Block]:
        say = self.words
        if self.standing.mark:
            alert = say.text(f"alert.{self.standing.mark}")
            yield Paragraph((Span(say.text(f"mark.{self.standing.mark}") + ". "), Span(alert)), "alert")
        if self.hidden:
            names = joined((say.code("section", name) for name in self.hidden), ", ")
            yield Paragraph(say.line("alert.left_out", sections=names), "alert")
        if self.foreign:
            yield Paragraph(say.line("alert.original", language=say.language(self.original)))
            yield from self._translators()

    def _facts(self) -> Iterator[tuple[Line, tuple[Line, ...]]]:
        say, plan = self.words, self.plan
        period = {"begin": say.date(plan.period_start)}
        key = "period.from"
        if plan.period_end:
            key, period = "period", period | {"end": say.date(plan.period_end)}
        yield self._term("student", self._who(plan.student))
        school = self.known.organizations.get(plan.school)
        yield self._term("school", self._name(school) if school else say.line("unknown.organization"))
        yield self._term("coordinator", self._who(plan.coordinator))
        yield self._term("period", say.line(key, **period))
        if plan.next_review_on:
            yield self._term("next_review", say.line("period.day", day=say.date(plan.next_review_on)))
        if plan.tier:
            yield self._term("tier", say.code("tier", plan.tier))
        if self.standing.version and self.standing.finalized_on:
            done = say.date(self.standing.finalized_on)
            yield self._term("version", say.line("version", version=str(self.standing.version), day=done))

    def _missing(self) -> Iterator[Block]:
        lines = missing(self.whole, self.plan, self.standing.report, self.words)
        if lines:
            yield self._heading("missing")
            yield Bullets(tuple((Span(line),) for line in lines))

    def _translators(self) -> Iterator[Block]:
        say = self.words
        for one in (*self.plan.translations, *self.standing.translations):
            if tag(one.language) == say.tag:
                given = {"language": say.language(one.language), "day": say.date(one.on)}
                yield Paragraph(say.line("translated.by", translator=self._who(one.translator), **given))
                return

    # --- the student -----------------------------------------------------------------------------------------

    def _needs(self) -> Iterator[Block]:
        needs = [need for need in self.plan.needs if need.status != "entered_in_error"]
        if not needs:
            yield Paragraph(self.words.line("none"))
        for need in needs:
            yield Heading(3, (self.text(need.id, need.statement),))
            pairs = [self._term("domain", self.words.code("domain", need.domain))]
            if need.evidence:
                pairs.append(self._term("rests_on", *(self._evidence(one) for one in need.evidence)))
            yield Terms(tuple(pairs))

    def _evidence(self, one: Evidence) -> Line:
        if isinstance(one, CitedResult):
            title, day = self.known.results.get(one.assessment_result, ("", None))
            what = self._name(title) if title else self.words.line("result.unknown")
        else:
            what, day = (self._own(one.observation),), one.on
        return self.words.line("with.day", what=what, day=self.words.date(day)) if day else what

    def _said(self, one: Strength | Interest) -> Line:
        what, by, day = self.text(one.id, one.statement), one.said_by, one.as_of
        given = {"who": self.words.code("said_by", by)} if by else {}
        if day and by:
            return self.words.line("with.source.day", what=what, day=self.words.date(day), **given)
        if day:
            return self.words.line("with.day", what=what, day=self.words.date(day))
        return self.words.line("with.source", what=what, **given) if by else (what,)

    # --- what is to be done ----------------------------------------------------------------------------------

    def _goals(self) -> Iterator[Block]:
        goals = [goal for goal in self.plan.goals if goal.lifecycle != "entered_in_error"]
        if not goals:
            yield Paragraph(self.words.line("none"))
        for goal in goals:
            yield Heading(3, self._named_goal(goal))
            yield Terms(tuple(self._about(goal)))

    def _named_goal(self, goal: Goal) -> Line:
        statement = self.text(goal.id, goal.statement)
        return self.words.line("goal", number=_number(goal.id), statement=statement)

    def _about(self, goal: Goal) -> Iterator[tuple[Line, tuple[Line, ...]]]:
        say = self.words
        yield self._term("domain", say.code("domain", goal.domain))
        needs, interests = ({one.id: one for one in some} for some in (self.plan.needs, self.plan.interests))
        answers = [one for name in goal.addresses if (one := needs.get(name) or interests.get(name))]
        told = [(self.text(one.id, one.statement, bare=True),) for one in answers]
        if told:
            yield self._term("answers", *told)
        if goal.baseline:
            value = say.value(goal.baseline.value, self.foreign)
            measure = self._own(goal.baseline.measure)
            line = say.line("baseline", measure=measure, value=value, day=say.date(goal.baseline.on))
            yield self._term("baseline", line)
        elif goal.baseline_unknown_until:
            yield self._term("baseline", say.line("baseline.until", day=say.date(goal.baseline_unknown_until)))
        if goal.targets:
            yield self._term("target", *(self._target(target) for target in goal.targets))
        yield self._term("status", say.code("achievement", goal.achievement))

    def _target(self, target: Target) -> Line:
        say = self.words
        value: Line = (say.value(target.value, self.foreign),)
        if target.unit:
            value = say.line("value.unit", value=value, unit=self._own(target.unit))
        measure, due = self._own(target.measure), say.date(target.due_on)
        return say.line(f"target.{target.comparator}", measure=measure, value=value, due=due)

    def _supports(self) -> Iterator[Block]:
        supports = [one for one in self.plan.supports if one.status != "entered_in_error"]
        places: tuple[tuple[Section, bool], ...] = (("school_supports", False), ("outside_supports", True))
        for section, outside in places:
            if not self.visible(section):
                continue
            yield self._heading(section)
            found = [one for one in supports if (one.setting in OUT_OF_SCHOOL) == outside]
            if not found:
                yield Paragraph(self.words.line("none"))
            for support in found:
                yield Heading(3, (self.text(support.id, support.name),))
                yield Paragraph(self._sentence(support))
                yield Terms(tuple(self._of_support(support)))

    def _sentence(self, support: Support) -> Line:
        """Dosage and owner in a sentence or two."""
        say = self.words
        parts = []
        minutes = "" if support.duration_minutes is None else say.number(support.duration_minutes)
        per = ""
        if support.duration_interval and support.duration_interval != "per_session":  # not minutes of each time
            minutes, per = "", minutes
        if support.frequency is not None and support.frequency_interval is not None:
            key = "times.one" if support.frequency == 1 else "times.many"
            given = {"times": say.number(support.frequency), "minutes": minutes}
            interval = say.code("interval", support.frequency_interval)
            parts.append(say.line(f"{key}.minutes" if minutes else key, interval=interval, **given))
        elif minutes:
            parts.append(say.line("minutes", minutes=minutes))
        if per and support.duration_interval:
            parts.append(say.line("minutes.per", minutes=per, interval=say.code("per", support.duration_interval)))
        begin, end = support.begin_on, support.end_on
        if begin and end:
            parts.append(say.line("support.when", begin=say.date(begin), end=say.date(end)))
        elif begin:
            parts.append(say.line("support.since", begin=say.date(begin)))
        elif end:
            parts.append(say.line("support.until", end=say.date(end)))
        parts.append(say.line("support.owner", who=self._who(support.owner)))
        return joined(parts, " ")

    def _of_support(self, support: Support) -> Iterator[tuple[Line, tuple[Line, ...]]]:
        say = self.words
        what = {
            "kind": say.code("kind", support.kind),
            "setting": say.code("setting", support.setting),
            "method": say.code("method", support.delivery_method),
        }
        yield self._term("what", say.line("support", **what))
        goals = [goal for goal in self.plan.goals if goal.id in support.goals]
        if goals:
            yield self._term("serves", *(say.line("item.goal", number=_number(goal.id)) for goal in goals))
        if support.provider_organization:
            yield self._term("provider", self._name(support.provider_organization))
        if support.urgent:
            day = say.date(support.urgent.from_on)
            yield self._term("urgent", say.line("with.day", what=self._own(support.urgent.reason), day=day))
        yield self._term("status", say.code("support_status", support.status))
        if support.status_reason:
            yield self._term("reason", (self._own(support.status_reason),))

    def _other_plan(self, other: ExternalPlan) -> Line:
        """A plan kept elsewhere, as a pointer: nothing of what it says."""
        say = self.words
        line = say.line(
            "other_plan",
            type=say.code("external_plan", other.type),
            status=say.code("external_status", other.status),
        )
        return say.line("with.day", what=line, day=say.date(other.end_on)) if other.end_on else line

    def _review(self, review: Review) -> Iterator[tuple[Line, tuple[Line, ...]]]:
        say = self.words
        yield self._term("held_on", say.line("period.day", day=say.date(review.held_on)))
        yield self._term("decision", say.code("decision", review.decision))
        for one in review.per_goal:
            found = say.code("achievement", one.achievement)
            told = joined([found, (self._own(one.note),)], ": ") if one.note else found
            yield say.line("item.goal", number=_number(one.goal)), (told,)

    # --- the people ------------------------------------------------------------------------------------------

    def _team(self) -> Iterator[Block]:
        say = self.words
        if not self.plan.team:
            yield Paragraph(say.line("none"))
            return
        rows = []
        for member in self.plan.team:
            organization = member.who.organization if isinstance(member.who, Named) else None
            rows.append((self._who(member.who, bare=True), say.code("role", member.role), self._name(organization)))
        header = (say.line("of.name"), say.line("of.role"), say.line("of.organization"))
        yield Table(header, tuple(rows))

    def _consultations(self) -> Iterator[Block]:
        say, plan = self.words, self.plan
        if not plan.consultations and plan.waiver is None:
            yield Paragraph(say.line("consultation.none"))
        for meeting in plan.consultations:
            if meeting.outcome == "disagreed":
                yield Paragraph(say.line("consultation.disagreed"), "alert")
            yield Terms(tuple(self._meeting(meeting)))
            if meeting.family_statement:
                yield Paragraph(say.line("label", name=say.line("consultation.statement")))
                spoken = tag(meeting.language) if meeting.language else self.original
                lang = "" if spoken == say.tag else spoken
                yield Paragraph((Span(plain(meeting.family_statement), lang),), "quote")
        if plan.waiver:
            given = {"day": say.date(plan.waiver.approved_on), "end": say.date(plan.waiver.expires_on)}
            who, why = self._who(plan.waiver.approved_by), self._own(plan.waiver.reason)
            yield Paragraph(say.line("waiver", name=who, reason=why, **given))
            if plan.attempts:
                yield Paragraph(say.line("label", name=say.line("attempts")))
                yield Bullets(
                    tuple(
                        say.line(
                            "attempt",
                            day=say.date(attempt.on),
                            channel=say.code("channel", attempt.channel),
                            result=say.code("attempt_result", attempt.result),
                        )
                        for attempt in plan.attempts
                    )
                )

    def _meeting(self, meeting: Consultation) -> Iterator[tuple[Line, tuple[Line, ...]]]:
        say = self.words
        yield self._term("held_on", say.line("period.day", day=say.date(meeting.held_on)))
        yield self._term("mode", say.code("mode", meeting.mode))
        people = []
        for participant in meeting.participants:
            name = self._who(participant.who)
            role = say.code("role", participant.role) if participant.role else ()
            people.append(say.line("participant", name=name, role=role) if role else name)
        if people:
            yield self._term("participants", *people)
        if meeting.language:
            language = say.language(meeting.language)
            if meeting.interpreter_used is None:
                yield self._term("language", (Span(language),))
            else:
                key = "interpreter.yes" if meeting.interpreter_used else "interpreter.no"
                yield self._term("language", say.line(key, language=language))
        yield self._term("outcome", say.code("outcome", meeting.outcome))
        if meeting.summary:
            yield self._term("summary", (self.text(f"{meeting.id}/summary", meeting.summary),))
        if meeting.changes:
            told = []
            for change in meeting.changes:
                item = self._item(change.item)
                told.append(say.line("change", item=item, told=self._own(change.told)) if change.told else item)
            yield self._term("changes", *told)
        if meeting.copy_provided_on:
            yield self._term("copy", say.line("period.day", day=say.date(meeting.copy_provided_on)))

    def _item(self, name: str) -> Line:
        """What an item id or a pointer names, in words where there are any."""
        prefix, _, number = name.partition("-")
        key = f"item.{prefix}"
        return self.words.line(key, number=number) if number and self.words.has(key) else (Span(plain(name)),)

    def _next(self) -> Iterator[Block]:
        say, plan = self.words, self.plan
        if plan.next_review_on:
            yield Paragraph(say.line("next.review", day=say.date(plan.next_review_on)))
        else:
            yield Paragraph(say.line("next.review.none"))
        if plan.coordinator in self.known.people:
            yield Paragraph(say.line("next.correction", name=self._who(plan.coordinator)))
        else:
            yield Paragraph(say.line("next.correction.nobody"))

    # --- single words ----------------------------------------------------------------------------------------

    def _heading(self, of: str) -> Heading:
        return Heading(2, self.words.line(f"section.{of}"))

    def _bullets(self, lines: Sequence[Line]) -> Iterator[Block]:
        yield Bullets(tuple(lines)) if lines else Paragraph(self.words.line("none"))

    def _term(self, of: str, *lines: Line) -> tuple[Line, tuple[Line, ...]]:
        return self.words.line(f"of.{of}"), lines

    def _own(self, text: str) -> Span:
        """Words of the plan itself, in the language that it was written in."""
        return Span(plain(text), self.foreign)

    def text(self, item: str | None, text: str, bare: bool = False) -> Span:
        """A text that can be translated: its current translation, or the original and that it is not translated.
        `bare` where the same text stands elsewhere on the print with its mark."""
        if not self.foreign:
            return self._own(text)
        found = self.translated[item or ""]
        if found.standing == "current":
            return Span(plain(found.text))
        if item == "/title" and text == TITLE:
            return Span(self.words.text("title"))
        key = "mark.stale" if found.standing == "stale" else "mark.untranslated"
        mark = self.words.text(key, language=self.words.language(self.original))
        self.marked += not bare
        return Span(plain(text), self.foreign, "" if bare else mark)

    def _name(self, name: str | None) -> Line:
        return (Span(plain(name), name=True),) if name else ()

    def _who(self, who: Who | None, bare: bool = False) -> Line:
        if who is None:
            return self.words.line("nobody")
        if isinstance(who, Named):
            if who.organization and not bare:
                organization = self._name(who.organization)
                return self.words.line("partner", name=self._name(who.name), organization=organization)
            return self._name(who.name)
        return self._name(self.known.people.get(who)) or self.words.line("unknown.person")


def original(plan: Plan) -> str:
    """The language that people wrote the plan in, as a BCP 47 tag."""
    return tag(plan.language or "eng")


def _number(name: str | None) -> str:
    return (name or "").rpartition("-")[2]
