"""What happens between two school years, from 15 June to 15 September, by date."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import date
from random import Random

from synthetic.model import School, Student
from synthetic.people import GRADES
from synthetic.register import Register
from synthetic.terms import following, plan_term_change
from synthetic.timetable import parallel, sections, teaching

CHANGE_SCHOOL = 0.08
"""Of those who return, to another school of their level; who outgrows a level changes as well."""
CHANGE_ID = 0.02
MOVE_AWAY = 0.03
COME = 0.10
STAFF_LEAVE = 0.08
SHOWN_FROM = (8, 2)
"""The next year's classes, and who comes new, are hidden until this day."""


def end_year(register: Register, rng: Random) -> None:
    """15 June: seniors have left with the last day of school; everybody's assignment ends on 30 June."""
    year = register.frame.school_year
    for one in register.remaining():
        if one.grade == GRADES[-1]:
            register.correct(replace(one, exit=register.frame.year_end))
    register.staff = {
        number: one if one.end else replace(one, end=date(year, 6, 30)) for number, one in register.staff.items()
    }


def clear_timetable(register: Register, rng: Random) -> None:
    """24 June: the classes of the year, which have ended, are served no more."""
    register.set_timetable(())


def roll_over(register: Register, rng: Random) -> None:
    """1 July: the books of the next year: everybody a grade on, some at another school, some gone, some remade."""
    register.frame = following(register.frame)
    begin, shown = register.frame.year_begin, date(register.today.year, *SHOWN_FROM)
    returning = _promoted(register, rng)
    register.drop_from(register.students.keys() - {one.number for one in returning}, register.today)
    register.students |= {one.number: one for one in returning}
    remade = rng.sample([one.number for one in returning], round(CHANGE_ID * len(returning)))
    register.frame = replace(register.frame, remade=register.frame.remade.union(remade))
    new = register.welcome(rng, round(COME * len(returning)), begin)
    register.show_from([one.number for one in new], shown)
    _schedule(register, rng, [*returning, *new], shown)


def _promoted(register: Register, rng: Random) -> list[Student]:
    """Who comes back, in their next grade and at their next school."""
    schools = register.frame.schools
    there = [one for one in register.remaining() if one.grade != GRADES[-1]]
    there = rng.sample(there, len(there) - round(MOVE_AWAY * len(there)))
    promoted = []
    for one in sorted(there, key=lambda one: one.number):
        grade = GRADES[GRADES.index(one.grade) + 1]
        offering = [school.number for school in schools if grade in school.grades]
        school = one.school if one.school in offering else rng.choice(offering)
        promoted.append(replace(one, grade=grade, school=school, entry=register.frame.year_begin))
    return _elsewhere(rng, schools, promoted)


def _elsewhere(rng: Random, schools: tuple[School, ...], students: list[Student]) -> list[Student]:
    others = {
        one.number: [s.number for s in schools if one.grade in s.grades and s.number != one.school] for one in students
    }
    able = [number for number, offering in others.items() if offering]
    moving = set(rng.sample(able, min(len(able), round(CHANGE_SCHOOL * len(students)))))
    return [replace(one, school=rng.choice(others[one.number])) if one.number in moving else one for one in students]


def _schedule(register: Register, rng: Random, students: list[Student], shown: date) -> None:
    """The classes of the year, who attends and who teaches them."""
    frame = register.frame
    terms = {term.code: term for term in frame.terms}
    begin = date(frame.school_year - 1, 8, 1)
    here = [one for one in register.staff.values() if not one.end or one.end >= date(frame.school_year - 1, 6, 30)]
    back = sorted(rng.sample(here, len(here) - round(STAFF_LEAVE * len(here))), key=lambda one: one.number)
    again = [replace(one, begin=begin, end=None) for one in back]
    register.drop_from(register.staff.keys() - {one.number for one in again}, register.today)
    made = sections(frame.schools, frame.terms, students)
    staff, taught = teaching(rng, frame.schools, parallel(made), terms, begin, again, max(map(int, register.staff)))
    register.staff |= {one.number: one for one in (*again, *staff)}
    register.set_timetable(made, taught)
    register.attend(students)
    register.show_from(register.sections, shown)
    plan_term_change(register, rng)


SUMMER: Mapping[tuple[int, int], Callable[[Register, Random], None]] = {
    (6, 15): end_year,
    (6, 24): clear_timetable,
    (7, 1): roll_over,
}
"""Month and day, and what the offices do on it."""
