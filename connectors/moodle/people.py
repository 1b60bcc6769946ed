"""Who of Moodle's accounts is meant by a number of the district: exactly one that is in use, or nobody."""

from collections.abc import Iterable
from dataclasses import dataclass

from connectors.moodle.client import Moodle, Problem, refused
from gateway.connector import Receipt


@dataclass(frozen=True)
class Account:
    """An account. Its id is Moodle's own, and never changes."""

    id: int
    name: str


class Accounts:
    """Accounts by their ID number, each asked for once."""

    def __init__(self, moodle: Moodle) -> None:
        self._moodle = moodle
        self._found: dict[str, list[dict[str, object]]] = {}

    async def one(self, number: str, whose: str) -> Account | Receipt:
        """The account of that number, or a refusal that says what to mend. `whose` says in words who is meant.

        # Moodle 4.5: user.idnumber is not unique, and accounts that are suspended come back as well
        """
        if (problem := await self.ask([number])) is not None:
            return problem if isinstance(problem, Receipt) else refused(problem, "the question for an account")
        found = self._found[number]
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

    async def ask(self, numbers: Iterable[str]) -> Problem | Receipt | None:
        """Look several up at once."""
        wanted = [number for number in numbers if number not in self._found]
        if not wanted:
            return None
        answer = await self._moodle.call("core_user_get_users_by_field", {"field": "idnumber", "values": wanted})
        if isinstance(answer, Problem):
            return answer
        rows = [one for one in answer if isinstance(one, dict)] if isinstance(answer, list) else []
        if any("idnumber" not in one for one in rows):
            return Receipt(403, message=_HIDDEN)
        for number in wanted:
            # Case counts here as well: a database may not care, and S-1a is not S-1A.
            self._found[number] = [one for one in rows if one.get("idnumber") == number]
        return None


_MEND = "Have the ID numbers put right in Moodle, or name another sort of number in this connection's settings."
_HIDDEN = (
    "This Moodle does not show ID numbers to the service account, so nobody can be told apart. Allow"
    " moodle/user:update, moodle/user:viewdetails and moodle/user:viewhiddendetails in its role."
)
