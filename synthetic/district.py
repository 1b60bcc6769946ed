"""How the district is put together from one seed."""

from datetime import date
from random import Random

from synthetic.model import District, School, Term
from synthetic.names import PLACES
from synthetic.people import families
from synthetic.results import ASSESSMENTS, sittings
from synthetic.timetable import LEVELS, attending, catalogue, parallel, sections, teaching

_NUMBER = 990100
_FIRST_STUDENT = 12000

_BEGIN, _END = date(2026, 8, 17), date(2027, 5, 28)
_TERMS = (
    Term("fall", "Fall Semester 2026", _BEGIN, date(2026, 12, 18)),
    Term("spring", "Spring Semester 2027", date(2027, 1, 5), _END),
)


def build(*, schools: int = 3, students: int = 600, seed: int = 2026) -> District:
    """The invented district in school year 2026-27; the same arguments always give equal districts.

    A student attends about eight sections over the year (four in elementary school, ten later).
    """
    if schools < 1 or students < 0:
        raise ValueError("a district needs at least one school and no negative number of students")
    rng = Random(seed)
    places = tuple(_school(place) for place in range(schools))
    terms = {term.code: term for term in _TERMS}
    children, contacts, kinships = families(rng, places, students, after=_FIRST_STUDENT, entry=_BEGIN)
    classes = sections(places, _TERMS, children)
    offered = parallel(classes)
    staff, taught = teaching(rng, places, offered, terms, _BEGIN)
    enrollments = [*taught, *attending(children, offered, terms)]
    return District(
        number=_NUMBER,
        name="Larkspur Valley School District",
        school_year=_END.year,
        year_begin=_BEGIN,
        year_end=_END,
        schools=places,
        terms=_TERMS,
        courses=catalogue(),
        sections=classes,
        staff=tuple(staff),
        students=tuple(children),
        contacts=tuple(contacts),
        kinships=tuple(sorted(kinships, key=lambda kin: (kin.student, kin.priority))),
        enrollments=tuple(sorted(enrollments, key=lambda one: one.key)),
        assessments=ASSESSMENTS,
        sittings=tuple(sorted(sittings(rng, children), key=lambda sitting: sitting.code)),
        issued=_FIRST_STUDENT + students,
    )


def _school(place: int) -> School:
    """Elementary, middle and high schools in turn."""
    level = tuple(LEVELS)[place % len(LEVELS)]
    round_, name = divmod(place, len(PLACES))
    title = f"{PLACES[name]} {level.title()} School" + (f" {round_ + 1}" if round_ else "")
    return School(_NUMBER + 1 + place, title, level, LEVELS[level])
