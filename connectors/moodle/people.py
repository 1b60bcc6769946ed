"""Who of Moodle's accounts is meant by a number of the district: exactly one that is in use, or nobody."""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from connectors.moodle.client import Moodle, Problem, refused
from gateway.connector import Receipt
from gateway.together import Together

MOST = 250
"""Numbers in one question: PHP reads a thousand fields of a form, and drops the rest without a word."""
FRESH = 300.0
"""Seconds for which an answer holds: one sink may be at work for hours, and accounts are suspended meanwhile."""

Rows = Sequence[dict[str, object]]


@dataclass(frozen=True)
class Account:
    """An account. Its id is Moodle's own, and never changes."""

    id: int
    name: str


class Accounts:
    """Accounts by their ID number, each asked for once in a while, and those that are asked for at once together."""

    def __init__(self, moodle: Moodle, clock: Callable[[], float] = time.monotonic) -> None:
        self._moodle = moodle
        self._clock = clock
        self._found: dict[str, tuple[float, Rows]] = {}
        self._together: Together[str, Rows | Receipt] = Together(self._ask, MOST)

    async def expect(self, numbers: Iterable[str]) -> None:
        """All of these are about to be asked for."""
        await asyncio.gather(*(self._rows(number) for number in dict.fromkeys(numbers)))

    async def one(self, number: str, whose: str) -> Account | Receipt:
        """The account of that number, or a refusal that says what to mend. `whose` says in words who is meant.

        # Moodle 4.5: user.idnumber is not unique, and accounts that are suspended come back as well
        """
        found = await self._rows(number)
        if isinstance(found, Receipt):
            return found
        if not found:
            return Receipt(404, message=f"No account of this Moodle has the ID number of {whose}. {_MEND}")
        if len(found) > 1:
            return Receipt(
                409,
                message=f"{len(found)} accounts of this Moodle have the ID number of {whose}, and the plan must not"
                f" reach the wrong one. {_MEND}",
            )
        account = found[0]
        if account.get("suspended"):
            return Receipt(403, message=f"The account of {whose} is suspended in this Moodle. Have it reactivated.")
        return Account(int(str(account["id"])), str(account.get("fullname", "")))

    async def _rows(self, number: str) -> Rows | Receipt:
        until, rows = self._found.get(number, (0.0, ()))
        if self._clock() < until:
            return rows
        return await self._together(number)

    async def _ask(self, numbers: Sequence[str]) -> Sequence[Rows | Receipt]:
        wanted = list(dict.fromkeys(numbers))
        answer = await self._moodle.call("core_user_get_users_by_field", {"field": "idnumber", "values": wanted})
        if isinstance(answer, Problem):
            return [refused(answer, "the question for an account")] * len(numbers)
        rows = [one for one in answer if isinstance(one, dict)] if isinstance(answer, list) else []
        if any("idnumber" not in one for one in rows):
            return [Receipt(403, message=_HIDDEN)] * len(numbers)
        until = self._clock() + FRESH
        for number in wanted:
            # Case counts here as well: a database may not care, and S-1a is not S-1A.
            self._found[number] = until, [one for one in rows if one.get("idnumber") == number]
        return [self._found[number][1] for number in numbers]


_MEND = "Have the ID numbers put right in Moodle, or name another sort of number in this connection's settings."
_HIDDEN = (
    "This Moodle does not show ID numbers to the service account, so nobody can be told apart. Allow"
    " moodle/user:update, moodle/user:viewdetails and moodle/user:viewhiddendetails in its role."
)
