"""What a plan records of talking with the family, of looking again, and of its words in other languages."""

from datetime import date
from typing import Annotated

from gateway.schema import codes
from gateway.schema.part import EntityId, Fingerprint, Language, Part, Text, Verbatim, Who, item_id, says

ASKED = "34 CFR 300.322 as a discipline"
TRIED = "34 CFR 300.322(d) as a discipline"


class Participant(Part):
    """Somebody who took part in a consultation."""

    who: Annotated[Who, says("A contact or the student by entity id, or somebody named.", ASKED)]
    role: Annotated[codes.ParticipantRole | None, says("As what they took part.", "Ed-Fi RelationDescriptor")] = None
    education_rights: Annotated[
        codes.EducationRights,
        says("What the district itself has on record about their rights.", "Ed-Fi StudentContactAssociation"),
    ] = "unknown"


class Change(Part):
    """One change to what had been shown, as it was named to the family."""

    item: Annotated[Text, says("Id of the item, or JSON pointer into the plan.", "RFC 6901")]
    told: Annotated[Text | None, says("The words used.")] = None


class Consultation(Part):
    """A meeting with the family or the eligible student about what they were shown."""

    id: Annotated[str | None, item_id("consultation")] = None
    held_on: Annotated[date, says("Day.", ASKED)]
    mode: Annotated[codes.Mode, says("How.", ASKED)] = "in_person"
    participants: Annotated[list[Participant], says("Who took part.", ASKED)] = []
    language: Annotated[Text | None, says("Language, ISO 639-3.", "ISO 639-3")] = None
    interpreter_used: Annotated[bool | None, says("An interpreter took part.", ASKED)] = None
    interpreter: Annotated[Who | None, says("Who interpreted.", ASKED)] = None
    summary: Annotated[Text | None, says("What was said.", "Student Insights")] = None
    family_statement: Annotated[Verbatim | None, says("The family's own words, verbatim.")] = None
    outcome: Annotated[codes.Outcome, says("Outcome.", "Ed-Fi SEDM consent events")]
    shown_sha256: Annotated[Fingerprint | None, says("Fingerprint of what was shown.")] = None
    changes: Annotated[list[Change], says("Changes since, as named to the family.")] = []
    copy_provided_on: Annotated[date | None, says("Day the family got a copy.", ASKED)] = None


class Attempt(Part):
    """One attempt to reach the family."""

    id: Annotated[str | None, item_id("attempt")] = None
    contact: Annotated[Who, says("Whom.", TRIED)]
    channel: Annotated[codes.Channel, says("How.", TRIED)]
    on: Annotated[date, says("Day.", TRIED)]
    result: Annotated[codes.AttemptResult, says("What came of it.", TRIED)]
    by: Annotated[EntityId | None, says("Who tried.", TRIED)] = None
    language: Annotated[Text | None, says("Language, ISO 639-3.", "ISO 639-3")] = None


class Waiver(Part):
    """The decision to go on without a consultation, after the attempts recorded in the plan."""

    reason: Annotated[Text, says("Why.", TRIED)]
    approved_by: Annotated[EntityId, says("The administrator who decided.")]
    approved_on: Annotated[date, says("Day.")]
    expires_on: Annotated[date, says("Last day on which it holds.")]


class GoalReview(Part):
    """What a review found of one goal."""

    goal: Annotated[str, says("Id of the goal.", "MTSS review cycle", pattern=r"^goal-[1-9][0-9]{0,5}$")]
    achievement: Annotated[codes.Achievement, says("How far it has come.", "FHIR Goal.achievementStatus")]
    note: Annotated[Text | None, says("What was seen.", "FHIR Goal.note")] = None


class Review(Part):
    """A look at how the plan goes, and what follows from it."""

    id: Annotated[str | None, item_id("review")] = None
    held_on: Annotated[date, says("Day.", "MTSS review cycle")]
    participants: Annotated[list[Who], says("Who took part.", "MTSS review cycle")] = []
    decision: Annotated[codes.ReviewDecision, says("What follows.", "MTSS review cycle")]
    per_goal: Annotated[list[GoalReview], says("What was found, goal by goal.", "FHIR Goal.achievementStatus")] = []
    next_review_on: Annotated[date | None, says("Day of the next review.", "MTSS review cycle")] = None


class TranslatedItem(Part):
    """One text of the plan in another language."""

    item: Annotated[
        str,
        says(
            "Which text: the id of an item, `/title`, or `consultation-1/summary`.",
            pattern=r"^(/title|[a-z]{1,20}-[1-9][0-9]{0,5}(/summary)?)$",
        ),
    ]
    text: Annotated[Text, says("Its words in the other language.", "FHIR translation extension")]
    of_sha256: Annotated[Fingerprint, says("Fingerprint of the words that were translated; other words make it stale.")]


class Translation(Part):
    """The plan's words in one more language, by a person."""

    id: Annotated[str | None, item_id("translation")] = None
    language: Annotated[Language, says("Language, ISO 639-3.", "ISO 639-3")]
    translator: Annotated[Who, says("The person who translated.")]
    on: Annotated[date, says("Day.")]
    items: Annotated[list[TranslatedItem], says("The texts.")] = []
