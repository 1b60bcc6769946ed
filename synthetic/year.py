"""The district from one day to the next: a school year at declared rates, and the summer that ends it."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from random import Random

from synthetic.model import District, Student
from synthetic.names import FAMILY, GIVEN
from synthetic.register import DAY, Register
from synthetic.results import sitting
from synthetic.summer import SUMMER
from synthetic.terms import is_school_day, is_working_day, plan_term_change

RATES = (0.002, 0.02)
"""Of a thousand records 2 to 20 change on a school day, small shares more often than large ones."""


class Year:
    """One district on any day from its first one on; the same seed always tells the same story.

    On a school day students and families come, leave, move between classes and schools and are corrected, and
    teachers are replaced; who sat an assessment has a result the day after. Between the terms most sections change
    (synthetic.terms), between the years everything does (synthetic.summer).
    """

    def __init__(self, district: District, seed: int = 0) -> None:
        self._first = district
        self._seed = seed
        self._register = self._opened()

    def on(self, day: date) -> District:
        """The district as its systems serve it on the evening of that day."""
        if day < self._register.today:
            self._register = self._opened()
        while self._register.today < day:
            self._register.today += DAY
            self._live()
        return self._register.shown()

    def _opened(self) -> Register:
        register = Register.opened(self._first)
        plan_term_change(register, self._rng(register.today))
        return register

    def _live(self) -> None:
        register, today = self._register, self._register.today
        rng = self._rng(today)
        act = SUMMER.get((today.month, today.day))
        if act:
            act(register, rng)
        elif is_school_day(register.frame, today):
            _school_day(register, rng)
        elif is_working_day(today):
            _office_day(register, rng)

    def _rng(self, day: date) -> Random:
        return Random(f"{self._seed} {day}")


def _school_day(register: Register, rng: Random) -> None:
    """As much happens as the day's rate says, to nobody twice."""
    low, high = RATES
    left = low * (high / low) ** rng.random() * register.size()
    there = [one for one in register.remaining() if one.entry < register.today]
    rng.shuffle(there)
    while there and left > 0:
        [event] = rng.choices(list(_EVENTS), list(_EVENTS.values()))
        left -= event(register, rng, there.pop())


def _office_day(register: Register, rng: Random) -> None:
    there = register.remaining()
    for one in rng.sample(there, min(len(there), round(RATES[0] * register.size()))):
        _corrected(register, rng, one)


# What may happen to a student; each says how many records it touched.


def _corrected(register: Register, rng: Random, student: Student) -> int:
    match rng.choice(("given", "middle", "family", "preferred", "device")):
        case "given":
            return register.correct(replace(student, given=rng.choice(GIVEN[student.sex])))
        case "middle":
            return register.correct(replace(student, middle=rng.choice(GIVEN[student.sex])))
        case "family":
            return register.correct(replace(student, family=rng.choice(FAMILY)))
        case "preferred":
            return register.correct(replace(student, preferred_given=rng.choice(GIVEN[student.sex])))
    return register.correct(replace(student, device=not student.device))


def _new_telephone(register: Register, rng: Random, student: Student) -> int:
    kin = rng.choice([kin for kin in register.kinships if kin.student == student.number])
    return register.correct(replace(register.contacts[kin.contact], phone=f"555-01{rng.randrange(100):02d}"))


def _moved(register: Register, rng: Random, student: Student) -> int:
    """Out of one class, into a parallel one."""
    attended = register.running(student.number)
    one = rng.choice(attended)
    offers = next(
        group
        for group in register.offered[student.school, student.grade]
        if any(section.code == one.section for section in group)
    )
    return register.move(one, rng.choice([section for section in offers if section.code != one.section]))


def _regraded(register: Register, rng: Random, student: Student) -> int:
    [school] = [school for school in register.frame.schools if school.number == student.school]
    place = school.grades.index(student.grade)
    near = [school.grades[n] for n in (place - 1, place + 1) if 0 <= n < len(school.grades)]
    return register.place(student, school=student.school, grade=rng.choice(near))


def _transferred(register: Register, rng: Random, student: Student) -> int:
    others = [
        school.number
        for school in register.frame.schools
        if student.grade in school.grades and school.number != student.school
    ]
    return register.place(student, school=rng.choice(others), grade=student.grade) if others else 0


def _left(register: Register, rng: Random, student: Student) -> int:
    return register.leave(student)


def _new_family(register: Register, rng: Random, student: Student) -> int:
    came = register.welcome(rng, rng.choice((1, 1, 2)), register.today)
    return 4 * len(came) + register.attend(came)


def _sat(register: Register, rng: Random, student: Student) -> int:
    """The interim assessment, if it was missed until now."""
    [test] = [one for one in register.frame.assessments if one.purpose == "interim"]
    late = sitting(rng, test, student, register.today, rng.gauss(0, 0.8))
    return 0 if late.code in register.sittings else register.sit(late)


def _teacher_replaced(register: Register, rng: Random, student: Student) -> int:
    one = rng.choice(register.running(student.number))
    teachers = register.teachers(one.section, one.school)
    return register.replace_teacher(rng, rng.choice(teachers)) if teachers else 0


_EVENTS: dict[Callable[[Register, Random, Student], int], float] = {
    _corrected: 50,
    _new_telephone: 15,
    _moved: 25,
    _sat: 5,
    _new_family: 1.5,
    _left: 1.5,
    _regraded: 1,
    _transferred: 0.5,
    _teacher_replaced: 0.5,
}
"""What happens, and how often beside the others."""
