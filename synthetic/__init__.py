"""The one invented district, built from a seed: the same for twins, demo and tests."""

from synthetic.changes import moved, with_new_students, without_students
from synthetic.district import build
from synthetic.model import District
from synthetic.timetable import SUBJECTS
from synthetic.year import Year

__all__ = ["SUBJECTS", "District", "Year", "build", "moved", "with_new_students", "without_students"]
