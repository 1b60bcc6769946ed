"""The error tree, named by what happens next; anything outside it is our bug.

PlanbridgeError
    ConfigError     a person must change something; trying again changes nothing
    AuthError       the other side refuses our credentials; the connection pauses
    Unavailable     the other side cannot answer now; try again later
    RecordError     this one record is set aside, the run goes on
    Refused         a rule of ours says no (a guard, a hold, a permission); nothing was changed
"""

from collections.abc import Sequence


class PlanbridgeError(Exception):
    """`code` is stable and explained in docs/errors.md; `fix` says what to do, in one sentence."""

    exit_code = 1

    def __init__(self, code: str, message: str, fix: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.message} {self.fix}".strip() + f" [{self.code}]"


class ConfigError(PlanbridgeError):
    """A person must change a setting, a file or an argument."""

    exit_code = 2


class AuthError(PlanbridgeError):
    """The remote system refuses the credentials, or what they may do."""

    exit_code = 3


class Unavailable(PlanbridgeError):
    """The remote system cannot answer now. `retry_after` is its own wish in seconds, `status` its answer, if it said
    one."""

    exit_code = 4

    def __init__(
        self, code: str, message: str, fix: str = "", *, retry_after: float | None = None, status: int | None = None
    ) -> None:
        super().__init__(code, message, fix)
        self.retry_after = retry_after
        self.status = status


class RecordError(PlanbridgeError):
    """One record cannot be used. `field` names where, in the record's own spelling."""

    exit_code = 5

    def __init__(self, code: str, message: str, fix: str = "", *, field: str = "") -> None:
        super().__init__(code, message, fix)
        self.field = field


class Refused(PlanbridgeError):
    """A rule of the gateway refuses. `missing` lists what would have to be there, as JSON pointers."""

    exit_code = 6

    def __init__(self, code: str, message: str, fix: str = "", *, missing: Sequence[str] = ()) -> None:
        super().__init__(code, message, fix)
        self.missing = tuple(missing)
