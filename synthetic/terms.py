"""The dates of a school year: days off, when the classes of one term are shown and dropped, the year after."""

from dataclasses import replace
from datetime import date, timedelta
from random import Random

from synthetic.model import District, Section, Term
from synthetic.register import Register

ONE_TERM = 0.60
"""The share of the sections that are made for one term: shown shortly before it, dropped soon after it."""

_YEAR = timedelta(weeks=52)
_SHOWN_BEFORE_THE_OTHER_ENDS = timedelta(days=4)
_DROPPED_AFTER_THE_OTHER_BEGAN = timedelta(days=14)
# First and last day, as months and days: Labor Day to Presidents' Day as in 2026-27.
_OFF = (
    ((9, 7), (9, 7)),
    ((10, 12), (10, 12)),
    ((11, 25), (11, 27)),
    ((12, 21), (12, 31)),
    ((1, 1), (1, 4)),
    ((1, 18), (1, 18)),
    ((2, 15), (2, 15)),
    ((3, 15), (3, 19)),
    ((5, 31), (5, 31)),
    ((7, 4), (7, 4)),
)


def is_working_day(day: date) -> bool:
    """Whether the schools' offices are open."""
    return day.weekday() < 5 and not any(first <= (day.month, day.day) <= last for first, last in _OFF)


def is_school_day(district: District, day: date) -> bool:
    """Whether there are classes, and there were before in this term."""
    return is_working_day(day) and any(term.begin < day <= term.end for term in district.terms)


def following(district: District) -> District:
    """The calendar of the school year after: the same weeks, 52 later."""

    def later(term: Term) -> Term:
        begin = term.begin + _YEAR
        return replace(term, title=f"{term.code.title()} Semester {begin.year}", begin=begin, end=term.end + _YEAR)

    return replace(
        district,
        school_year=district.school_year + 1,
        year_begin=district.year_begin + _YEAR,
        year_end=district.year_end + _YEAR,
        terms=tuple(later(term) for term in district.terms),
    )


def plan_term_change(register: Register, rng: Random) -> None:
    """Choose the groups whose sections are made for one term; those of the second are hidden until it is near."""
    first, second = register.frame.terms
    groups = sorted({_group(one) for one in register.sections.values()})
    chosen = set(rng.sample(groups, round(ONE_TERM * len(groups))))
    made = {place: one for place, one in register.sections.items() if _group(one) in chosen}
    later = [place for place, one in made.items() if one.term == second.code]
    register.show_from(later, first.end - _SHOWN_BEFORE_THE_OTHER_ENDS)
    register.drop_from(made.keys() - set(later), second.begin + _DROPPED_AFTER_THE_OTHER_BEGAN)


def _group(section: Section) -> tuple[int, str]:
    """What the sections of one class in both terms have in common."""
    return section.school, section.code[:-3] + section.code[-2:]
