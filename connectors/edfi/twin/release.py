"""Which server is played: the release of ODS/API, what came or went with it, and what its host has switched on."""

from dataclasses import dataclass

STANDARDS = ("3.3", "4.0", "5.0", "6.0")


@dataclass(frozen=True)
class Release:
    """One release with one data standard: 7.3 pages by cursor, 7.2 does not, 6.2 says no in the old way.

    `changes`: "told"; "not granted", where the key may not read what was deleted or renamed; "off" at this host.
    `suppressed`: nothing is told of the deletion of an item that was created anew.
    """

    standard: str  # one of STANDARDS
    cursor: bool
    changes: str = "told"
    suppressed: bool = True

    def __post_init__(self) -> None:
        if self.standard not in STANDARDS:
            raise ValueError(f"the twin plays the Data Standards {', '.join(STANDARDS)}")
        if self.changes not in ("told", "not granted", "off"):
            raise ValueError("changes are told, not granted or off")

    @property
    def version(self) -> str:
        if self.cursor:
            return "7.3"
        return "7.2" if self.five else "6.2"

    @property
    def five(self) -> bool:
        """Contacts instead of parents, and other spellings of Data Standard 5 and later."""
        return self.standard >= "5"

    @property
    def six(self) -> bool:
        """What students and staff are, where they live and their numbers each in a resource of its own."""
        return self.standard >= "6"

    @property
    def modern(self) -> bool:
        """Problem details, a limit of tokens, a limit of 0, _lastModifiedDate, no school year in the path."""
        return self.version != "6.2"
