"""What result files ask a district for: where they lie, how they are laid out, which of its ids they hold."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from gateway.connector import Advanced
from gateway.inbox import PlaceSettings


class AssessmentFilesSettings(PlaceSettings):
    """A file, a zip or a folder; the layout is recognised by the column names unless it is named."""

    takes: ClassVar[Sequence[str]] = ("*.csv", "*.txt", "*.zip")

    path: Annotated[
        str,
        Field(
            default="",
            title="Result files",
            description="A CSV file or a zip of them, a folder (or sftp://user@host/folder) with either, or a"
            " folder and a pattern (/data/in/*.csv).",
        ),
    ]
    which: Annotated[
        Literal["all", "newest"],
        Field(
            default="all",
            title="Which files of a folder",
            description="all, the oldest first, so that a newer one has the last word; or the newest alone.",
        ),
    ]
    layout: Annotated[
        str,
        Field(
            default="",
            title="Layout",
            description="What kind of file it is. Empty: it is recognised by its column names.",
        ),
    ]
    layout_file: Annotated[
        str,
        Field(
            default="",
            title="Own layout",
            description="A CSV of yours that says what each column means, for a file that no layout here knows.",
        ),
    ]
    student_identifier: Annotated[
        str,
        Field(
            default="district",
            title="Student identifier",
            description="Which id of the file your student information system has as well: district or state; auto:"
            " the one by which more students are recognised.",
            pattern=r"^(district|state|auto)(\s*;\s*(district|state|auto))*$",
        ),
    ]
    staff_identifier: Annotated[
        str,
        Field(default="none", title="Staff identifier", description="Not used.", json_schema_extra=Advanced),
    ]

    @field_validator("layout_file")
    @classmethod
    def _absolute(cls, value: str) -> str:
        """The worker runs in another folder than the person who types."""
        return str(Path(value).expanduser().absolute()) if value else value

    @model_validator(mode="after")
    def _needed(self) -> Self:
        if not self.path:
            raise ValueError("give the path of a CSV file, a zip or a folder (path)")
        if self.layout and self.layout_file:
            raise ValueError("name a layout or give one of your own (layout_file), not both")
        return self
