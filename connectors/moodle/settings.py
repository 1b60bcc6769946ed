"""What a Moodle asks for: its address, a token, the role of a plan's team, and which numbers its accounts have."""

from typing import Annotated, Literal

from pydantic import Field, SecretStr, field_validator

from gateway.connector import Advanced, ConnectionSettings

REST = "/webservice/rest/server.php"


class MoodleSettings(ConnectionSettings):
    """A site, and whom we are there. Its README says what its administrator sets up first."""

    base_url: Annotated[
        str,
        Field(
            title="Address of the site",
            description="As people type it to reach its front page: https://moodle.example.org",
            pattern=r"^https?://[^\s?#]+$",
        ),
    ]
    token: Annotated[
        SecretStr,
        Field(
            title="Token",
            description="Of the account that was made for Planbridge, for the service that was made for it.",
            min_length=1,
        ),
    ]
    team_role: Annotated[
        int | None,
        Field(
            default=None,
            ge=1,
            title="Role of a plan's team",
            description="Number of the role by which a plan's team sees it: roleid in the address when you open the"
            " role under Define roles. Without it only the student sees the plan there.",
        ),
    ]
    parents: Annotated[
        Literal["yes", "no"],
        Field(
            default="yes",
            title="Parents have a role",
            description="Whether this site gives parents a role by which they see their child's learning plans. Nobody"
            " can ask Moodle who they are: where a child has somebody who must not see the plan, it is not sent.",
        ),
    ]
    scale: Annotated[
        int,
        Field(
            default=2,
            ge=1,
            title="Scale of the framework",
            description="Number of the scale, of at least two values, with which the framework of domains is made.",
            json_schema_extra=Advanced,
        ),
    ]
    student_identifier: Annotated[
        str,
        Field(
            default="identifier; District; studentUniqueId",
            title="Student identifier",
            description="Which of the district's numbers stands in the ID number of a student's account; several,"
            " parted by semicolons: the first that a student has.",
        ),
    ]
    staff_identifier: Annotated[
        str,
        Field(
            default="identifier; District; staffUniqueId",
            title="Staff identifier",
            description="The same for members of staff.",
        ),
    ]

    @field_validator("team_role", mode="before")
    @classmethod
    def _none(cls, value: object) -> object:
        """What is typed as empty is not set."""
        return None if value == "" else value

    @field_validator("base_url")
    @classmethod
    def _front_page(cls, value: str) -> str:
        """Whoever pastes the address of the service itself means the same site."""
        return value.rstrip("/").removesuffix(REST).rstrip("/")
