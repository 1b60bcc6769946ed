"""Families: who the children of the district are, how they are related, and which adults belong to them."""

from collections.abc import Sequence
from datetime import date, timedelta
from random import Random

from synthetic.model import Contact, Kinship, School, Staff, Student
from synthetic.names import FAMILY, GIVEN

GRADES = ("KG", "01", "02", "03", "04", "05", "06", "07", "08", "09", "10", "11", "12")

_RACES = ("american_indian", "asian", "black", "pacific_islander", "white")
_LANGUAGES = ("eng",) * 14 + ("spa", "spa", "spa", "vie", "som", "ara", "hmn")
_COUPLES = (("mother", "father"), ("mother", "guardian"), ("father", "father"), ("mother", "grandparent"))
_SINGLES = ("mother", "mother", "father", "guardian", "grandparent")


def families(
    rng: Random, schools: Sequence[School], count: int, *, after: int, entry: date
) -> tuple[list[Student], list[Contact], list[Kinship]]:
    """Draw `count` students in families of one to three children, numbered from `after` + 1.

    Brothers and sisters share their family name, home language, income and contacts (one or two).
    `entry` is the first day of most; one in twenty-five comes up to eight weeks later.
    """
    students: list[Student] = []
    contacts: list[Contact] = []
    kinships: list[Kinship] = []
    places = [(school, grade) for grade in GRADES for school in schools if grade in school.grades]
    while len(students) < count:
        size = min(rng.choice((1, 1, 2, 2, 3)), count - len(students))
        children = _children(rng, places, size, after + len(students), entry)
        adults = _contacts(rng, children[0])
        students += children
        contacts += [contact for contact, _ in adults]
        kinships += [
            Kinship(contact.number, child.number, relation, place == 1, place == 1 or rng.random() < 0.6, place)
            for child in children
            for place, (contact, relation) in enumerate(adults, start=1)
        ]
    return students, contacts, kinships


def _children(rng: Random, places: Sequence[tuple[School, str]], size: int, after: int, entry: date) -> list[Student]:
    family, language = rng.choice(FAMILY), rng.choice(_LANGUAGES)
    races = tuple(sorted(rng.sample(_RACES, 2 if rng.random() < 0.1 else 1)))
    hispanic, poor, device = rng.random() < 0.27, rng.random() < 0.38, rng.random() < 0.85
    children = []
    for number in (f"{after + place + 1:07d}" for place in range(size)):
        school, grade = rng.choice(places)
        sex = rng.choice(("female", "male"))
        given = rng.choice(GIVEN[sex])
        late = timedelta(days=rng.randrange(7, 56)) if rng.random() < 0.04 else timedelta()
        children.append(
            Student(
                number=number,
                given=given,
                middle=rng.choice(GIVEN[sex]) if rng.random() < 0.4 else None,
                family=family,
                preferred_given=given[:3] if rng.random() < 0.08 and len(given) > 4 else None,
                birth=_birth(rng, grade),
                sex=sex,
                races=races,
                hispanic=hispanic,
                grade=grade,
                school=school.number,
                entry=entry + late,
                email=f"s{number}@students.larkspur.example.org",
                english_learner=language != "eng" and rng.random() < 0.5,
                economically_disadvantaged=poor,
                language=language,
                device=device,
            )
        )
    return children


def _birth(rng: Random, grade: str) -> date:
    """A day that makes the child five on 1 September of kindergarten, one year more per grade."""
    return date(2020 - GRADES.index(grade), 9, 2) + timedelta(days=rng.randrange(364))


def _contacts(rng: Random, eldest: Student) -> list[tuple[Contact, str]]:
    relations = rng.choice(_COUPLES) if rng.random() < 0.6 else (rng.choice(_SINGLES),)
    adults = []
    for letter, relation in zip("AB", relations, strict=False):
        sex = {"mother": "female", "father": "male"}.get(relation) or rng.choice(("female", "male"))
        number = f"C{eldest.number}{letter}"
        adults.append(
            (
                Contact(
                    number=number,
                    given=rng.choice(GIVEN[sex]),
                    family=eldest.family if rng.random() < 0.8 else rng.choice(FAMILY),
                    email=f"{number.lower()}@families.example.org",
                    phone=f"555-01{rng.randrange(100):02d}",
                ),
                relation,
            )
        )
    return adults


def adult(rng: Random, number: int, role: str, school: int | None, begin: date) -> Staff:
    """One member of staff with an invented name; `number` is written with five digits."""
    given, family = rng.choice(GIVEN[rng.choice(("female", "male"))]), rng.choice(FAMILY)
    return Staff(f"{number:05d}", given, family, f"t{number:05d}@larkspur.example.org", role, school, begin)
