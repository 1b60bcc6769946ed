"""Commands about who is who: the queue of people no rule could place, and what somebody decides about them."""

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Annotated, Any

import typer

from gateway import decisions, waiting
from gateway.candidates import RULES
from gateway.cli.output import (
    DEFAULT_DISTRICT,
    STDOUT,
    As,
    Because,
    District,
    Gateway,
    Json,
    Role,
    actor,
    gateway,
    run,
    say,
    show,
)
from gateway.store import cases
from gateway.store import decisions as stored

identity = typer.Typer(
    help="Who is who: queue, show, proposals, confirm, refuse, merge, split, undo, decisions, rules.",
    no_args_is_help=True,
)
CaseId = Annotated[str, typer.Argument(help="The case, by the id that the queue shows.")]
Person = Annotated[str, typer.Argument(help="The id of a published person.")]


def register(app: typer.Typer) -> None:
    app.add_typer(identity, name="identity")


@identity.command("queue")
def queue(
    who: Annotated[str, typer.Option("--population", help="student, staff or contact; else all.")] = "",
    limit: int = waiting.SHOWN,
    district: District = DEFAULT_DISTRICT,
    as_json: Json = False,
) -> None:
    """Show who waits to be told apart, and whom they resemble, without a name or a number."""

    async def look() -> dict[str, Any]:
        async with gateway(district) as g:
            found, causes = await waiting.queue(g.store, g.district, who=who, limit=limit)
            return {"cases": [waiting.summary(one) for one in found], "waiting": causes}

    found = run(look())
    if as_json:
        show(found, True)
        return
    rows = [
        {"case": one["case"], "connection": one["connection"], "population": one["population"], "code": one["code"]}
        | {name: candidate[name] for candidate in one["candidates"][:1] for name in ("person", "strength")}
        | {"how": "; ".join(one["candidates"][0]["how"]) if one["candidates"] else "resembles nobody"}
        | {"others": len(one["candidates"]) - 1 if len(one["candidates"]) > 1 else None}
        for one in found["cases"]
    ]
    columns = ("case", "connection", "population", "code", "person", "strength", "how", "others")
    show(rows, False, columns=columns, empty="Nobody waits.")
    for code, count in found["waiting"].items():
        STDOUT.print(f"{code}: {count} in all")


@identity.command("show")
def show_one(
    id: Annotated[str, typer.Argument(help="A case, or a published person.")],
    reveal: Annotated[bool, typer.Option("--reveal", help="In full; needs --because, which is kept.")] = False,
    person: Annotated[bool, typer.Option("--person", help="Show the keys that denote this person.")] = False,
    because: Because = "",
    district: District = DEFAULT_DISTRICT,
    as_: As = "district IT",
    role: Role = "district_it",
    as_json: Json = False,
) -> None:
    """Show a case beside its candidates, masked; or which keys denote a person."""

    async def look() -> dict[str, Any]:
        async with gateway(district) as g:
            if person:
                return await decisions.keys_of(g.store, g.district, id)
            who = actor(as_, role)
            return await waiting.side_by_side(g.store, g.district, id, who, reveal=reveal, because=because)

    found = run(look())
    if as_json:
        show(found, True)
    elif person:
        show(found["keys"], False, title=f"{found['population']} {found['person']}")
    else:
        STDOUT.print(f"Case {found['case']}: {found['code']}, a {found['population']} of {found['connection']}")
        fields = list(dict.fromkeys(name for one in (found, *found["candidates"]) for name in one["says"]))
        sides = {"waits": found["says"]} | {one["person"]: one["says"] for one in found["candidates"]}
        show([{"field": name} | {side: says.get(name) for side, says in sides.items()} for name in fields], False)
        for one in found["candidates"]:
            likely = f", {one['likelihood']:.0%} likely" if one["likelihood"] is not None else ""
            STDOUT.print(f"{one['person']}: {one['strength']}{likely}; {'; '.join(one['how'])}", highlight=False)


@identity.command("confirm")
def confirm(
    case: CaseId,
    person: Person,
    because: Because = "",
    district: District = DEFAULT_DISTRICT,
    as_: As = "district IT",
    role: Role = "district_it",
    as_json: Json = False,
) -> None:
    """Say that a case is this person. Published at once; no pull takes it back."""

    async def act(g: Gateway) -> decisions.Outcome:
        return await decisions.confirm(g.store, g.district, case, person, actor(as_, role), because)

    _decide(act, district, as_json)


@identity.command("refuse")
def refuse(
    case: CaseId,
    person: Person,
    because: Because = "",
    district: District = DEFAULT_DISTRICT,
    as_: As = "district IT",
    role: Role = "district_it",
    as_json: Json = False,
) -> None:
    """Say that a case is not this person: the pair is proposed no more, and no rule links it."""

    async def act(g: Gateway) -> decisions.Outcome:
        return await decisions.refuse(g.store, g.district, case, person, actor(as_, role), because)

    _decide(act, district, as_json)


@identity.command("merge")
def merge(
    person: Person,
    into: Annotated[str, typer.Option("--into", help="The person who stays.")],
    with_plans: Annotated[
        bool, typer.Option("--with-plans", help="Also where both have success plans: all become plans of one student.")
    ] = False,
    because: Because = "",
    district: District = DEFAULT_DISTRICT,
    as_: As = "district IT",
    role: Role = "district_it",
    as_json: Json = False,
) -> None:
    """Say that two published records are one person."""

    async def act(g: Gateway) -> decisions.Outcome:
        who = actor(as_, role)
        return await decisions.merge(g.store, g.district, person, into, who, because, with_plans=with_plans)

    _decide(act, district, as_json)


@identity.command("split")
def split(
    person: Person,
    key: Annotated[str, typer.Option("--key", help="Which key leaves: planbridge identity show --person.")],
    because: Because = "",
    district: District = DEFAULT_DISTRICT,
    as_: As = "district IT",
    role: Role = "district_it",
    as_json: Json = False,
) -> None:
    """Say that one key of a person is somebody else's."""

    async def act(g: Gateway) -> decisions.Outcome:
        return await decisions.split(g.store, g.district, person, key, actor(as_, role), because)

    _decide(act, district, as_json)


@identity.command("undo")
def undo(
    number: Annotated[int, typer.Argument(help="Which decision.")],
    because: Because = "",
    district: District = DEFAULT_DISTRICT,
    as_: As = "district IT",
    role: Role = "district_it",
    as_json: Json = False,
) -> None:
    """Undo a decision: keys denote again whom they did before it."""

    async def act(g: Gateway) -> decisions.Outcome:
        return await decisions.undo(g.store, g.district, number, actor(as_, role), because)

    _decide(act, district, as_json)


def _decide(act: Callable[[Gateway], Awaitable[decisions.Outcome]], district: str, as_json: bool) -> None:
    async def work() -> dict[str, Any]:
        async with gateway(district) as g:
            return asdict(await act(g))

    done = run(work())
    if as_json:
        show(done, True)
        return
    STDOUT.print(f"Decision {done['decision']} is kept. To undo it: planbridge identity undo {done['decision']}")
    for kind, counts in (done["published"] or {}).items():
        STDOUT.print(f"{kind}: " + ", ".join(f"{count} {op}" for op, count in counts.items()))
    for plan in done["plans"]:
        STDOUT.print(f"The plan {plan} is read as the other student's now.", highlight=False)


@identity.command("proposals")
def proposals(district: District = DEFAULT_DISTRICT, as_json: Json = False) -> None:
    """Score whoever waits against whom they may be, and show what is likely. Nobody is linked by it."""

    async def work() -> dict[str, Any]:
        async with gateway(district) as g:
            found, compared = await waiting.propose(g.store, g.district)
            return {"cases": [waiting.summary(one) for one in found], "compared": compared}

    found = run(work())
    if as_json:
        show(found, True)
        return
    rows = [
        {name: one[name] for name in ("case", "connection", "population")}
        | {"person": candidate["person"], "likelihood": f"{candidate['likelihood']:.0%}"}
        | {side: ", ".join(fields) for side, fields in _sides(candidate["weights"]).items()}
        for one in found["cases"]
        for candidate in one["candidates"]
        if candidate["likelihood"] is not None
    ]
    show(rows, False, empty="Nothing is likely.")
    STDOUT.print(f"{found['compared']} cases were compared. Look: planbridge identity show CASE")


def _sides(weights: dict[str, float]) -> dict[str, list[str]]:
    """Which fields speak for a proposal, and which against it."""
    return {
        "for": [field for field, weight in weights.items() if weight > 0],
        "against": [field for field, weight in weights.items() if weight < 0],
    }


@identity.command("decisions")
def list_decisions(limit: int = 50, district: District = DEFAULT_DISTRICT, as_json: Json = False) -> None:
    """Show what was decided, the newest first."""

    async def look() -> list[dict[str, Any]]:
        async with gateway(district) as g, g.store.transaction(g.district) as c:
            return await stored.listed(c, limit)

    show(run(look()), as_json, empty="Nothing was decided yet.")


@identity.command("rules")
def list_rules(district: District = DEFAULT_DISTRICT, as_json: Json = False) -> None:
    """Show the rules that link people beyond the configured identifier, and which are on."""

    async def look() -> list[dict[str, Any]]:
        async with gateway(district) as g, g.store.transaction(g.district) as c:
            on = await cases.rules_set(c)
            return [
                {"rule": name, "on": name in on, "systems": ", ".join(on.get(name, [])), "meaning": meaning}
                for name, (_, meaning) in RULES.items()
            ]

    show(run(look()), as_json)


@identity.command("rule")
def rule(
    name: Annotated[str, typer.Argument(help=f"Which one: {', '.join(RULES)}.")],
    systems: Annotated[
        list[str] | None,
        typer.Option("--system", help="An identifier system that has the number, in a source's word; repeat."),
    ] = None,
    district: District = DEFAULT_DISTRICT,
    as_: As = "district IT",
    role: Role = "district_it",
    as_json: Json = False,
) -> None:
    """Switch a rule on for these identifier systems, or off without any."""

    async def work() -> None:
        async with gateway(district) as g:
            await waiting.set_rule(g.store, g.district, name, systems or [], actor(as_, role))

    run(work())
    say(
        {"rule": name, "on": bool(systems), "systems": systems or []},
        as_json,
        f"The rule {name} is {'on' if systems else 'off'} from the next run on.",
    )
