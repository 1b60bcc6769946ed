"""Which records of OneRoster's gradebook service an entity makes."""

from typing import Any

from mappings.oneroster.cells import (
    Entity,
    Row,
    Shape,
    Write,
    as_number,
    either,
    flag,
    moment,
    number,
    ref,
    school_of_class,
    told,
    word,
)


def _scale_values(entity: Entity) -> list[Row]:
    return [
        {"itemValueLHS": one["value"], "itemValueRHS": one["stands_for"]} for one in entity.values.get("values", ())
    ]


def _objectives(entity: Entity) -> list[Row]:
    by_source: dict[str, list[str]] = {}
    for one in entity.values.get("learning_objectives", ()):
        by_source.setdefault(one["source"], []).append(one["id"])
    return [{"source": source, "learningObjectiveIds": ids} for source, ids in by_source.items()]


def _objective_results(entity: Entity) -> list[Row]:
    by_source: dict[str, list[Row]] = {}
    for n, one in enumerate(entity.values.get("learning_objectives", ())):
        row: Row = {"learningObjectiveId": one["id"]}
        score = as_number(one.get("score"))
        if score is not None:
            row["score"] = score
        elif "score" in one:
            entity.lose(
                f"learning_objectives/{n}/score", "It is no number, and the standard has no other place for it."
            )
        if "text_score" in one:
            row["textScore"] = one["text_score"]
        by_source.setdefault(one["source"], []).append(row)
    return [{"source": source, "learningObjectiveResults": rows} for source, rows in by_source.items()]


def _score(entity: Entity) -> int | float | None:
    """A score that is no number goes where words go, unless there are words already."""
    stated = entity.values.get("score")
    found = as_number(stated)
    if stated and found is None:
        instead = "" if "text_score" in entity.values else " It stands in textScore."
        entity.lose("score", f"It is no number.{instead}")
    return found


def _text_score(entity: Entity) -> str | None:
    words: str | None = entity.values.get("text_score")
    stated = entity.values.get("score")
    return words if words or as_number(stated) is not None else stated


# An assessment result of OneRoster has one place each for a number, a percentile and words.
_PLACES = {"score": ("integer", "decimal"), "scorePercentile": ("percentile",), "textScore": ("text", "level", "range")}
_NAMED = {"score": "score", "percentile": "scorePercentile", "text score": "textScore"}


def _chosen(entity: Entity) -> dict[str, int]:
    """Of each place, the index of the score that stands there: the one named so, else the first that fits."""
    scores = entity.values.get("scores", ())
    chosen: dict[str, int] = {}
    for named in (True, False):
        for n, one in enumerate(scores):
            place = _NAMED.get(one["method"]) if named else _place(one)
            if place and place not in chosen and n not in chosen.values() and _fits(place, one["value"]):
                chosen[place] = n
    return chosen


def _place(score: Row) -> str | None:
    datatype = score.get("datatype", "text")
    return next((place for place, types in _PLACES.items() if datatype in types), None)


def _fits(place: str, value: str) -> bool:
    return place == "textScore" or as_number(value) is not None


def _placed(place: str) -> Write:
    def write(entity: Entity) -> Any:
        n = _chosen(entity).get(place)
        if n is None:
            return None
        value = entity.values["scores"][n]["value"]
        return value if place == "textScore" else as_number(value)

    return write


def _in_words(entity: Entity) -> Any:
    """The words; and here, once, which scores have no place, and which lose their name."""
    chosen = _chosen(entity)
    names = {place: name for name, place in _NAMED.items()}
    for n, one in enumerate(entity.values.get("scores", ())):
        place = next((place for place, index in chosen.items() if index == n), None)
        if place is None:
            entity.lose(f"scores/{n}", "An assessment result has one number, one percentile and one score in words.")
        elif one["method"] != names[place]:
            entity.lose(f"scores/{n}/method", f"It is written as {place}; what the vendor calls it has no place.")
    return _placed("textScore")(entity)


_FLAGS = {
    "inProgress": flag("in_progress"),
    "incomplete": flag("incomplete"),
    "late": flag("late"),
    "missing": flag("missing"),
}


def _purpose(entity: Entity) -> Row | None:
    """The standard has no field for it; this is where it is read from, too."""
    purpose = entity.values.get("purpose")
    return {"purpose": purpose} if purpose else None


SHAPES: dict[str, tuple[Shape, ...]] = {
    "category": (Shape("categories", {"title": told("title"), "weight": told("weight")}, required=("title",)),),
    "score_scale": (
        Shape(
            "scoreScales",
            {
                "title": told("title"),
                "type": told("type"),
                "course": ref("course", "courses"),
                "class": ref("class", "classes"),
                "scoreScaleValue": _scale_values,
            },
            required=("title", "type", "class", "scoreScaleValue"),
        ),
    ),
    "line_item": (
        Shape(
            "lineItems",
            {
                "title": told("title"),
                "description": told("description"),
                "assignDate": moment("assign_on"),
                "dueDate": moment("due_on"),
                "class": ref("class", "classes"),
                "school": either(ref("school", "orgs"), school_of_class),
                "category": ref("category", "categories"),
                "gradingPeriod": ref("grading_period", "academicSessions"),
                "academicSession": ref("session", "academicSessions"),
                "scoreScale": ref("score_scale", "scoreScales"),
                "resultValueMin": number("minimum"),
                "resultValueMax": number("maximum"),
                "learningObjectiveSet": _objectives,
            },
            required=("title", "assignDate", "dueDate", "class", "school", "category"),
            placeholders={"assignDate": moment("due_on"), "dueDate": moment("assign_on")},
        ),
    ),
    "result": (
        Shape(
            "results",
            {
                "lineItem": ref("line_item", "lineItems"),
                "student": ref("student", "users"),
                "class": ref("class", "classes"),
                "scoreScale": ref("score_scale", "scoreScales"),
                "scoreStatus": word("status", "out_score_status"),
                "score": _score,
                "textScore": _text_score,
                "scoreDate": told("on"),
                "comment": told("comment"),
                "learningObjectiveSet": _objective_results,
                **_FLAGS,
            },
            required=("lineItem", "student", "scoreStatus", "scoreDate"),
        ),
    ),
    "assessment": (
        Shape(
            "assessmentLineItems",
            {
                "metadata": _purpose,
                "title": told("title"),
                "description": told("description"),
                "class": ref("class", "classes"),
                "parentAssessmentLineItem": ref("parent", "assessmentLineItems"),
                "scoreScale": ref("score_scale", "scoreScales"),
                "resultValueMin": number("minimum"),
                "resultValueMax": number("maximum"),
                "learningObjectiveSet": _objectives,
            },
            required=("title",),
        ),
    ),
    "assessment_result": (
        Shape(
            "assessmentResults",
            {
                "assessmentLineItem": ref("assessment", "assessmentLineItems"),
                "student": ref("student", "users"),
                "score": _placed("score"),
                "textScore": _in_words,
                "scoreDate": told("on"),
                "scoreScale": ref("score_scale", "scoreScales"),
                "scorePercentile": _placed("scorePercentile"),
                "scoreStatus": word("status", "out_score_status"),
                "comment": told("comment"),
                "learningObjectiveSet": _objective_results,
                **_FLAGS,
            },
            required=("assessmentLineItem", "student", "scoreDate", "scoreStatus"),
        ),
    ),
}

_NO_FIELD = "OneRoster has no field for it."
NOWHERE: dict[str, dict[str, str]] = {
    "score_scale": {"organization": "Only the CSV binding says who uses a scale."},
    "assessment": dict.fromkeys(("identifier", "namespace", "family", "category", "subjects", "grades"), _NO_FIELD),
    "assessment_result": dict.fromkeys(
        ("parent", "period", "school_year", "school", "grade", "performance_levels", "retest", "reason_not_tested"),
        _NO_FIELD,
    ),
}
"""Of each kind, the fields that no record has a place for, and why."""
