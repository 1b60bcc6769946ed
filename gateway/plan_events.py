"""What an event keeps of a plan, and the plan that its events tell of: state and content at any moment."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.errors import Refused


@dataclass
class Told:
    """A plan as its events tell it, up to one of them. `versions`: the state of each finalized version."""

    state: str = ""
    standing: str | None = None
    revision: int = 0
    content: dict[str, Any] = field(default_factory=dict)
    versions: dict[int, str] = field(default_factory=dict)


def change(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """What an event has to keep, so that the content after it can be told from the content before it."""
    kept = {"set": {name: value for name, value in after.items() if name not in before or before[name] != value}}
    gone = sorted(set(before) - set(after))
    return kept | ({"unset": gone} if gone else {})


def told(events: Iterable[Mapping[str, Any]]) -> Told:
    """The plan after these events, which begin with its first. Refused where they begin before events kept what they
    changed."""
    plan = Told()
    begun = False
    for event in events:
        detail = event["detail"]
        begun = begun or "set" in detail
        if "to" not in detail:
            continue
        plan.state, plan.standing = detail["to"], detail.get("standing")
        plan.revision = detail["revision"]
        plan.content |= detail.get("set", {})
        for name in detail.get("unset", ()):
            del plan.content[name]
        _version(plan, detail)
    if not begun:
        raise Refused(
            "history-too-old",
            "What this plan said then was not kept with each act yet.",
            "Ask for a later moment; its finalized versions are kept whole.",
        )
    return plan


def _version(plan: Told, detail: Mapping[str, Any]) -> None:
    if "version" in detail:
        # Whose successor came before its own first day never was in force.
        plan.versions = {n: "superseded" if state == "finalized" else state for n, state in plan.versions.items()}
        plan.versions[detail["version"]] = plan.state
    elif plan.versions and plan.standing:
        *before, newest = sorted(plan.versions)
        plan.versions[newest] = plan.standing
        if plan.standing != "finalized":  # what was in force until then has its successor now
            over = {n for n in before if plan.versions[n] != "superseded"}
            plan.versions |= dict.fromkeys(over, "closed")
