"""The words of a success plan: every closed list of codes that plans, mappings and pages share."""

from typing import Literal

Domain = Literal[
    "academic",
    "social_emotional",
    "behavior",
    "attendance_engagement",
    "physical_health",
    "mental_health",
    "family_basic_needs",
    "language",
    "college_career",
    "enrichment",
    "accessibility",
]

Setting = Literal["in_school", "out_of_school_program", "home", "community", "virtual", "hospital_homebound"]

OUT_OF_SCHOOL: frozenset[Setting] = frozenset({"out_of_school_program", "home", "community"})
"""Where somebody other than the school provides; virtual and homebound teaching is the school's own."""

SupportKind = Literal[
    "academic_intervention",
    "tutoring",
    "extended_time_program",
    "counseling",
    "mentoring",
    "check_in_check_out",
    "behavior_support",
    "attendance_support",
    "language_support",
    "special_education_service_ref",
    "section_504_accommodation_ref",
    "health_service",
    "basic_needs",
    "family_support",
    "enrichment_arts",
    "enrichment_sports",
    "technology_access",
    "college_career",
    "crisis_response",
    "other",
]

Tier = Literal["universal", "targeted", "intensive"]
SaidBy = Literal["student", "family", "educator", "partner", "assessment"]
Severity = Literal["watch", "moderate", "high", "urgent"]
NeedStatus = Literal["open", "addressed", "resolved", "no_longer_applicable", "entered_in_error"]

Comparator = Literal["at_least", "more_than", "at_most", "less_than", "equal_to"]
Lifecycle = Literal[
    "proposed", "accepted", "active", "on_hold", "completed", "cancelled", "rejected", "entered_in_error"
]
Achievement = Literal[
    "not_started",
    "in_progress",
    "improving",
    "no_change",
    "worsening",
    "achieved",
    "sustaining",
    "not_achieved",
    "not_attainable",
]

DeliveryMethod = Literal["individual", "small_group", "whole_class", "whole_school"]
Intensity = Literal["enrichment", "prevention", "early_intervention", "intensive", "crisis"]
Interval = Literal["day", "week", "month", "quarter", "semester", "year"]
SupportStatus = Literal[
    "not_started",
    "scheduled",
    "in_progress",
    "on_hold",
    "completed",
    "cancelled",
    "stopped",
    "entered_in_error",
]

TeamRole = Literal[
    "coordinator",
    "teacher",
    "counselor",
    "specialist",
    "administrator",
    "nurse",
    "student",
    "guardian",
    "trusted_adult",
    "partner",
    "interpreter",
]
ParticipantRole = Literal["parent", "guardian", "student", "relative", "educator", "partner", "interpreter"]
EducationRights = Literal["yes", "no", "unknown"]
AccessBasis = Literal["school_official", "family", "eligible_student", "consent", "transfer"]
Author = Literal["educator", "student", "family"]
DurationInterval = Literal["per_session", "per_week", "per_month"]
ExternalPlanType = Literal["iep", "section_504", "learning_plan", "behavior_plan", "health_plan", "mtss", "other"]
ExternalPlanStatus = Literal["proposed", "active", "on_hold", "ended"]
ReviewDecision = Literal["continue", "adjust", "intensify", "fade", "exit", "refer"]
ClosingOutcome = Literal[
    "goals_met", "partly_met", "not_met", "graduated", "transferred", "family_withdrew", "replaced"
]
Section = Literal["profile", "academic", "social_emotional", "health", "family", "supports", "team", "record"]
"""To which part of a plan a document belongs, for whoever decides who may open it."""

Mode = Literal["in_person", "home_visit", "phone", "video", "written"]
Outcome = Literal["agreed", "agreed_with_changes", "disagreed", "declined_to_participate"]
Channel = Literal["phone", "sms", "email", "letter", "home_visit", "in_person", "video", "portal"]
AttemptResult = Literal["reached", "left_message", "no_answer", "undeliverable", "declined", "rescheduled"]

TWO_LETTERS = {
    "en": "eng", "es": "spa", "zh": "zho", "vi": "vie", "ar": "ara", "ht": "hat", "tl": "tgl", "ko": "kor",
    "ru": "rus", "pt": "por", "fr": "fra", "so": "som", "ur": "urd", "uk": "ukr", "fa": "fas", "hi": "hin",
    "ja": "jpn", "pl": "pol", "de": "deu", "it": "ita", "bn": "ben", "ps": "pus", "sw": "swa", "am": "amh",
}  # fmt: skip


def iso(language: str) -> str:
    """A language as ISO 639-3 has it, where a source or a person gave the two letters of its elder brother."""
    word = language.strip().lower()
    return TWO_LETTERS.get(word.partition("-")[0], word)
