"""What a document drop asks a district for: where the folder is, how files are named, which list its system reads."""

import re
from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from connectors.document_drop.flags import FIELDS, PRESETS, Layout, Preset
from gateway.connector import Advanced
from gateway.inbox import FolderSettings

_WORD = r"^[A-Za-z0-9][A-Za-z0-9 ._-]{0,40}$"
"""Nothing that a spreadsheet takes for a formula, or that needs quotes."""


class DocumentDropSettings(FolderSettings):
    """A folder that is ours to write into: whoever can open it reads what lies there."""

    path: Annotated[
        str,
        Field(
            title="Folder",
            description="Where the files are put: a folder of this computer, or sftp://user@host/folder. It is there"
            " already, and nothing else writes into it.",
            min_length=1,
        ),
    ]
    student_identifier: Annotated[
        str,
        Field(
            default="identifier; studentUniqueId",
            title="Student number",
            description="Which of a student's numbers the system that reads the files knows: the name of the number as"
            " your roster has it. Of several, parted by semicolons, the first that the student has.",
            min_length=1,
        ),
    ]
    staff_identifier: Annotated[
        str, Field(default="none", title="Staff identifier", description="Not used.", json_schema_extra=Advanced)
    ]
    readers: Annotated[
        str,
        Field(
            default="",
            max_length=200,
            title="Who can open the folder",
            description="In your own words, as: the registrar and three people of student services. The folder is not"
            " able to say so. Left empty, only doorways are put there: a plan is not shown to people nobody names.",
        ),
    ]
    in_flight: Annotated[
        int,
        Field(
            default=64,
            ge=1,
            le=64,
            title="Plans side by side",
            description="So many are put there before the lists are written, once for all of them.",
            json_schema_extra=Advanced,
        ),
    ]
    file_name: Annotated[
        str,
        Field(
            default="success-plan-{student}-{plan}-v{version}.pdf",
            title="Names of the PDFs",
            description="{plan} is needed, {student} is the student's number, {version} the plan's version. Without"
            " {version} the file keeps its name when the plan changes. There is no place for a name of a person.",
            max_length=100,
            json_schema_extra=Advanced,
        ),
    ]
    flags: Annotated[
        Preset,
        Field(
            default="plain",
            title="List of flags",
            description="One line for each student, laid out for a system that imports it: "
            + ", ".join((*PRESETS, "none"))
            + ".",
        ),
    ]
    flag_columns: Annotated[
        str,
        Field(
            default="",
            max_length=500,
            title="Columns of the list of flags",
            description="Instead of those of the layout, as: Student_Number=student, U_Plan=flag. On the right stands"
            f" one of {', '.join(FIELDS)}.",
            json_schema_extra=Advanced,
        ),
    ]
    flag_on: Annotated[
        str, Field(default="1", pattern=_WORD, title="Flag of a student with a plan", json_schema_extra=Advanced)
    ]
    flag_off: Annotated[
        str,
        Field(
            default="0",
            pattern=_WORD,
            title="Flag of a student whose plan was withdrawn",
            description="An import that only adds and changes would keep the flag for ever if the line just vanished.",
            json_schema_extra=Advanced,
        ),
    ]
    withdrawn_days: Annotated[
        int,
        Field(
            default=30,
            ge=1,
            le=366,
            title="Days that a withdrawn plan stays in the lists",
            description="As withdrawn, without a file. Long enough for every import to have read it.",
            json_schema_extra=Advanced,
        ),
    ]

    @field_validator("file_name")
    @classmethod
    def _named(cls, value: str) -> str:
        rest = re.sub(r"\{(student|plan|version)\}", "", value)
        if "{plan}" not in value or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*\.pdf|[._-]*\.pdf", rest):
            raise ValueError(
                "a file name has {plan} in it, ends in .pdf, and has besides {student} and {version} only letters of"
                " the alphabet, digits, dots, hyphens and underscores"
            )
        if not re.match(r"[A-Za-z0-9{]", value):
            raise ValueError("a file name begins with a letter, a digit or {plan}")
        return value

    @field_validator("flag_columns")
    @classmethod
    def _columns(cls, value: str) -> str:
        for part in filter(None, (part.strip() for part in value.split(","))):
            heading, equals, field = part.rpartition("=")
            if not equals or not re.fullmatch(_WORD, heading.strip()) or field.strip() not in FIELDS:
                raise ValueError(f"give columns as heading=field, with a field of {', '.join(FIELDS)}")
        return value

    @model_validator(mode="after")
    def _one_folder(self) -> Self:
        if re.search(r"[*?]", self.path):
            raise ValueError("give the folder alone, without a pattern (path)")
        return self

    @property
    def layout(self) -> Layout | None:
        """How the list of flags is laid out; None where there is to be none."""
        if self.flags == "none":
            return None
        found = PRESETS[self.flags]
        pairs = [part.rpartition("=") for part in self.flag_columns.split(",") if part.strip()]
        columns = {heading.strip(): field.strip() for heading, _, field in pairs} or found.columns
        return Layout(columns, found.delimiter, found.day, found.header, self.flag_on, self.flag_off)
