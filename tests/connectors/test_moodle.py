"""Learning plans in a Moodle, over a socket: made once, kept in step, seen by the right people, taken back."""

import json
from collections.abc import Iterator
from copy import deepcopy
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette

from connectors.moodle.client import Moodle, fields
from connectors.moodle.twin import CUSTODIAN, PARENT, SERVICE, Site
from connectors.moodle.twin_cleaner import cleaned
from connectors.moodle.twin_signatures import stripped
from connectors.moodle.twin_site import COMPLETE, MANAGER, Token, User
from gateway.connector import Allocating, Announcing, Checking, Document, Ending, Guarding, Retracting, Showing, Viewer
from gateway.errors import AuthError, ConfigError, Unavailable
from gateway.summary import Item, Part, Summary
from mappings.moodle.rendering import LONGEST_NAME, described, named, plain
from tests.connectors.moodle import (
    COUNSELOR,
    MARKER,
    OTHER,
    PLAN,
    STUDENT,
    TEACHER,
    TODAY,
    Ledger,
    a_moodle,
    a_plan,
    configured,
    documents,
    of,
    opened,
    parties,
)

EVERYTHING = dict.fromkeys(("include_domains", "include_consultation"), True)


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[Starlette, Site, str]]:
    with a_moodle() as made:
        yield made


@pytest.fixture
def there(served: tuple[Starlette, Site, str]) -> Iterator[Site]:
    """The site, as empty as it began."""
    made, site, _ = served
    before = deepcopy((site.users, site.roles, site.tokens))
    yield site
    site.users, site.roles, site.tokens = before
    for kept in (site.plans, site.assignments, site.frameworks, site.competencies, site.in_plans, site.comments):
        kept.clear()
    made.state.received.clear()
    made.state.faults.reset()


@pytest.fixture
def url(served: tuple[Starlette, Site, str], there: Site) -> str:
    return served[2]


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


def seen(site: Site, number: str) -> str:
    return "\n".join(site.visible_to(of(site, number)))


async def test_a_plan_is_active_and_its_student_and_team_alone_see_it(url: str, there: Site, ledger: Ledger) -> None:
    sent, _ = documents(a_plan())
    async with opened(url) as sink:
        assert isinstance(sink, Allocating | Announcing) and isinstance(sink, Guarding) and isinstance(sink, Showing)
        assert isinstance(sink, Checking) and isinstance(sink, Retracting) and isinstance(sink, Ending)
        receipts = await ledger.send(sink, sent)
    assert [one.status for one in receipts] == [201, 200, 200], receipts
    [plan] = there.plans.values()
    assert (plan["status"], plan["userid"], plan["name"]) == (1, of(there, STUDENT), "Student success plan")
    for one in (STUDENT, TEACHER, COUNSELOR):
        assert "Reading hour" in seen(there, one)
    outsiders = {one.idnumber for one in there.users.values()} - {STUDENT, TEACHER, COUNSELOR, "SVC-1"}
    assert len(outsiders) > 3 and not any(there.visible_to(of(there, one)) for one in outsiders)
    parent = there.add(User(900, "parent", "A", "Parent"))
    assert there.visible_to(parent.id) == []
    there.assignments.add((PARENT, parent.id, of(there, STUDENT)))
    assert "Reading hour" in "\n".join(there.visible_to(parent.id))


async def test_nothing_that_is_withheld_is_in_any_request(
    url: str, there: Site, served: tuple[Starlette, Site, str], ledger: Ledger
) -> None:
    sent, losses = documents(a_plan())
    async with opened(url) as sink:
        await ledger.send(sink, sent)
    told = json.dumps(served[0].state.received)
    assert "planted" not in told.casefold() and "Reads 5" in told
    pointers = {one.pointer: one.kind for one in losses}
    assert pointers["/needs/0"] == pointers["/goals/1"] == "withheld" and pointers["/consultations"] == "cannot"
    assert pointers["/team"] == "cannot" and "/team/0" not in pointers


async def test_the_same_again_is_one_plan_and_an_edit_is_one_update(
    url: str, there: Site, served: tuple[Starlette, Site, str], ledger: Ledger
) -> None:
    sent, _ = documents(a_plan())
    async with opened(url) as sink:
        await ledger.send(sink, sent)
    async with opened(url) as sink:
        changed, _ = documents(a_plan(strengths=[{"statement": "Sings."}]))
        served[0].state.received.clear()
        [receipt] = await ledger.send(sink, changed[:1])
    assert receipt.status == 200 and not receipt.adopted
    [plan] = there.plans.values()
    assert "<li>Sings.</li>" in plan["description"] and "Reads 5" not in plan["description"]
    written = [name for name, _ in served[0].state.received if "_get_" not in name and "_read_" not in name]
    assert written == ["core_competency_update_plan"]


@pytest.mark.parametrize("lost", ["core_competency_create_plan", "core_role_assign_roles", "core_comment_add_comments"])
async def test_an_answer_that_never_came_makes_nothing_twice(
    url: str, there: Site, served: tuple[Starlette, Site, str], ledger: Ledger, lost: str
) -> None:
    sent, _ = documents(a_plan(), include_consultation=True)
    served[0].state.faults.lose, served[0].state.faults.lose_answers = lost, 2
    async with opened(url) as sink:
        with pytest.raises(Unavailable) as caught:
            await ledger.send(sink, sent)
    assert caught.value.code == ("connection-dropped" if "roles" in lost else "outcome-unknown")
    served[0].state.faults.lose_answers = 0
    async with opened(url) as sink:
        receipts = await ledger.send(sink, sent)
    assert all(one.delivered for one in receipts), receipts
    assert receipts[0].adopted == ("create" in lost)
    assert (len(there.plans), len(there.assignments), len(there.comments)) == (1, 2, 1)


async def test_what_may_have_been_made_is_taken_back_by_its_marker(
    url: str, there: Site, served: tuple[Starlette, Site, str], ledger: Ledger
) -> None:
    """The family withdrew its consent while nobody knew whether the plan had arrived."""
    served[0].state.faults.lose, served[0].state.faults.lose_answers = "core_competency_create_plan", 1
    async with opened(url) as sink:
        with pytest.raises(Unavailable):
            await ledger.send(sink, documents(a_plan())[0])
        assert len(there.plans) == 1
    async with opened(url) as sink:
        assert [one.status for one in await ledger.take_back(sink)] == [200]
    assert there.plans == {}


async def test_without_a_ledger_the_marker_tells_which_is_ours(url: str, there: Site, ledger: Ledger) -> None:
    """A crash between create and ledger; and a plan of somebody else of the same name stays as it is."""
    sent, _ = documents(a_plan())
    async with opened(url) as sink:
        await ledger.send(sink, sent[:1])
        there.plans[99] = {**there.plans[max(there.plans)], "id": 99, "description": "<p>A teacher's own.</p>"}
        [receipt] = await Ledger().send(sink, sent[:1])
        assert receipt.adopted and receipt.remote_id == ledger.ids[sent[0].name] and len(there.plans) == 2
        there.plans[99]["description"] = next(iter(there.plans.values()))["description"]
        [receipt] = await Ledger().send(sink, sent[:1])
    assert receipt.status == 409 and "2 learning plans" in receipt.message


async def test_what_a_person_edited_is_told_and_what_they_left_is_not(url: str, there: Site, ledger: Ledger) -> None:
    sent, _ = documents(a_plan(), title="Plan & more &amp; &lt;")
    async with opened(url) as sink:
        await ledger.send(sink, sent)
        document, revision = sent[0], ledger.revisions[sent[0].name]
        assert not await sink.edited(document, revision)
        [plan] = there.plans
        there.edit(plan, duedate=there.plans[plan]["duedate"] + 86400)
        read = await sink.read_back(document)
        assert read is not None and read["due"] > document.body["due"]
        there.edit(plan, description="<p>Mine.</p>")
        assert await sink.edited(document, revision)
        read = await sink.read_back(document)
        assert read is not None and read["description"] == "<p>Mine.</p>"
        assert not await sink.edited(sent[1], "")
        [again] = await ledger.send(sink, sent[:1])
        assert again.revision == revision and not await sink.edited(document, revision)
        assert await sink.read_back(document) == document.body
        del there.plans[plan]
        assert not await sink.edited(document, revision) and await sink.read_back(document) is None


async def test_a_plan_that_ended_is_complete_and_is_reopened_before_it_is_edited(
    url: str, there: Site, ledger: Ledger
) -> None:
    over = {"period_end": (TODAY - timedelta(days=1)).isoformat(), "next_review_on": None}
    async with opened(url) as sink:
        first, _ = documents(a_plan(**over))
        assert (await ledger.send(sink, first[:1]))[0].status == 201
        [plan] = there.plans.values()
        assert plan["status"] == COMPLETE and plan["duedate"] == 0
        edited, _ = documents(a_plan(**over, strengths=[{"statement": "Sings."}]), include_domains=True)
        assert all(one.delivered for one in await ledger.send(sink, edited))
        [plan] = there.plans.values()
        assert plan["status"] == COMPLETE and "Sings" in plan["description"] and len(there.in_plans) == 1
        longer, _ = documents(a_plan())
        assert (await ledger.send(sink, longer[:1]))[0].delivered
        [plan] = there.plans.values()
        assert plan["status"] == 1 and plan["duedate"] > 0
        closed, _ = documents(a_plan(), parties(closed=True))
        assert (await ledger.send(sink, closed[:1]))[0].delivered
    assert [one["status"] for one in there.plans.values()] == [COMPLETE]


@pytest.mark.parametrize(
    ("review", "end", "due"),
    [(60, 200, 60), (-3, 200, 200), (0, 200, 200), (None, 200, 200), (-3, 0, None), (None, None, None)],
)
def test_a_plan_is_due_at_its_next_review_else_at_its_end_and_never_in_the_past(
    review: int | None, end: int | None, due: int | None
) -> None:
    def day(n: int | None) -> str | None:
        return None if n is None else (TODAY + timedelta(days=n)).isoformat()

    sent, losses = documents(a_plan(next_review_on=day(review), period_end=day(end)))
    assert sent[0].body["due"] == (day(due) or "")
    assert ("/period_end" in {one.pointer for one in losses}) == (end is not None and due != end)


async def test_who_left_the_team_sees_nothing_from_then_on(url: str, there: Site, ledger: Ledger) -> None:
    sent, _ = documents(a_plan())
    async with opened(url) as sink:
        await ledger.send(sink, sent)
    left, losses = documents(a_plan(), parties(team=(TEACHER,)))
    [gone] = [one for one in sent if one.name not in {kept.name for kept in left}]
    assert {"/team/1": "cannot"}.items() <= {one.pointer: one.kind for one in losses}.items()
    async with opened(url) as sink:
        bare = Document(gone.resource, gone.key, {})
        sink.know(bare, ledger.ids[gone.name])
        assert (await sink.end(bare, date.today())).delivered and (await sink.end(bare, date.today())).delivered
    assert there.visible_to(of(there, COUNSELOR)) == [] and "Reading hour" in seen(there, TEACHER)


async def test_a_doorway_has_nothing_of_the_plan_and_nobody_needs_a_role_for_it(
    url: str, there: Site, ledger: Ledger
) -> None:
    sent, _ = documents(a_plan(), doorway=True, **EVERYTHING)
    async with opened(url) as sink:
        assert [one.status for one in await ledger.send(sink, sent)] == [201]
    [plan] = there.plans.values()
    link = f"https://planbridge.example.org/plans/{PLAN}"
    assert plan["description"] == f'<p><a href="{link}" title="{MARKER}">Open the plan</a></p>' and not plan["duedate"]


async def test_domains_are_general_and_a_comment_has_day_and_way_alone(
    url: str, there: Site, served: tuple[Starlette, Site, str], ledger: Ledger
) -> None:
    sent, _ = documents(a_plan(), **EVERYTHING)
    async with opened(url) as sink:
        assert all(one.delivered for one in await ledger.send(sink, sent))
        assert all(one.delivered for one in await Ledger().send(sink, sent))
        for document in sent:
            sink.know(document, ledger.ids[document.name])
            assert await sink.read_back(document) is not None
    assert [one["shortname"] for one in there.competencies.values()] == ["Attendance"]
    assert [one["content"] for one in there.comments.values()] == ["Family consultation: 2026-09-12 (in person)"]
    assert "planted" not in json.dumps(served[0].state.received).casefold()
    assert "every day" not in seen(there, OTHER) and "Attendance" in seen(there, OTHER)
    async with opened(url) as sink:
        assert all(one.delivered for one in await ledger.take_back(sink))
    assert not there.plans and not there.assignments and not there.comments and not there.in_plans


async def test_what_was_taken_back_there_already_counts_as_taken_back(url: str, there: Site, ledger: Ledger) -> None:
    async with opened(url) as sink:
        await ledger.send(sink, documents(a_plan(), **EVERYTHING)[0])
        there.plans.clear()
        there.in_plans.clear()
        there.comments.clear()
        assert [one.status for one in await ledger.take_back(sink)] == [200] * 5
        never = Document("learningPlans", {"plan": "another"}, {})
        assert (await sink.delete(never)).unchanged


async def test_a_number_that_is_not_exactly_one_account_in_use_gets_nothing(
    url: str, there: Site, ledger: Ledger
) -> None:
    sent, _ = documents(a_plan())
    twice = there.add(User(901, "again", "A", "Namesake", STUDENT))
    async with opened(url) as sink:
        assert [(await ledger.send(sink, sent[:1]))[0].status] == [409]
    del there.users[twice.id]
    there.users[of(there, STUDENT)].suspended = True
    async with opened(url) as sink:
        [receipt] = await ledger.send(sink, sent[:1])
    assert receipt.status == 403 and "suspended" in receipt.message and STUDENT not in receipt.message
    async with opened(url) as sink:
        others, _ = documents(a_plan(), parties(student="s-404"))
        [receipt] = await ledger.send(sink, others[:1])
    assert receipt.status == 404 and "the student" in receipt.message and there.plans == {}


async def test_a_member_without_an_account_is_named_and_the_others_get_the_plan(
    url: str, there: Site, ledger: Ledger
) -> None:
    there.users[of(there, COUNSELOR)].idnumber = ""
    async with opened(url) as sink:
        receipts = await ledger.send(sink, documents(a_plan())[0])
    assert [one.status for one in receipts] == [201, 200, 404] and COUNSELOR in receipts[2].message


async def test_a_number_that_moved_to_another_account_is_not_followed(url: str, there: Site, ledger: Ledger) -> None:
    """Else the plan would stay with a child who has nothing to do with it."""
    sent, _ = documents(a_plan())
    async with opened(url) as sink:
        await ledger.send(sink, sent)
    there.users[of(there, STUDENT)].idnumber = "old"
    there.users[of(there, OTHER)].idnumber = STUDENT
    async with opened(url) as sink:
        assert [one.status for one in await ledger.send(sink, sent)] == [409] * 3
        assert all(one.delivered for one in await ledger.take_back(sink))
    assert not there.plans and not there.assignments


async def test_who_sees_it_is_told_but_for_the_parents_whom_nobody_can_ask_for(url: str, there: Site) -> None:
    plan, first, _ = documents(a_plan())[0]
    mine = Viewer("student", STUDENT, there.users[of(there, STUDENT)].name)
    managers = Viewer("staff", name="whoever manages the site")
    async with opened(url) as sink:
        assert await sink.audience(plan) == [mine, managers, Viewer("guardian")]
        assert [(one.relation, one.key) for one in await sink.audience(first)] == [("staff", TEACHER)]
    async with opened(url, parents="no") as sink:
        assert await sink.audience(plan) == [mine, managers]
    assert there.plans == {}


async def test_errors_say_what_to_do(url: str, there: Site, served: tuple[Starlette, Site, str]) -> None:
    faults = served[0].state.faults
    document = documents(a_plan())[0][0]

    async def met(**more: Any) -> Exception:
        async with opened(url, **more) as sink:
            with pytest.raises((AuthError, ConfigError, Unavailable)) as caught:
                await sink.push(document)
        return caught.value

    refused = await met(token="an-invented-token")
    assert isinstance(refused, AuthError) and refused.code == "moodle-token-refused"
    assert "an-invented-token" not in str(refused)
    there.tokens["demo-token"].until = 1.0
    ended = await met()
    assert isinstance(ended, AuthError) and ended.code == "moodle-access-refused" and "has ended" in str(ended)
    assert (await met()).code == "moodle-token-refused"  # type: ignore[attr-defined]
    there.tokens["demo-token"] = Token(SERVICE)
    faults.maintenance = 1
    assert (await met()).code == "moodle-maintenance"  # type: ignore[attr-defined]
    faults.busy = 2
    busy = await met()
    assert isinstance(busy, Unavailable) and busy.status == 503
    assert (await met(base_url=f"{url}/nowhere")).code == "moodle-no-web-services"  # type: ignore[attr-defined]
    there.users[SERVICE].capabilities = frozenset({"planmanage"})
    async with opened(url) as sink:
        receipt = await sink.push(document)
    assert receipt.status == 403 and "does not show ID numbers" in receipt.message
    there.users[SERVICE].capabilities = frozenset({"userupdate", "planview"})
    async with opened(url) as sink:
        receipt = await sink.push(document)
    assert receipt.status == 403 and "moodle/competency:planmanage" in receipt.message


async def test_a_check_says_what_is_missing_and_how_to_mend_it(url: str, there: Site) -> None:
    async def wrong(**more: Any) -> dict[str, str]:
        async with opened(url, **more) as sink:
            return {one.text: one.fix for one in await sink.check() if not one.ok}

    assert await wrong() == {} and await wrong(team_role=None) == {}
    assert there.plans == {} and there.assignments == set()
    [(text, fix)] = (await wrong(team_role=CUSTODIAN)).items()
    assert f"role {CUSTODIAN}" in text and "team_role" in fix
    there.users[SERVICE].capabilities = MANAGER - {"planmanage", "assign"}
    assert list(await wrong()) == [
        "The account may not make learning plans.",
        "The account may not give roles.",
    ]
    there.tokens["demo-token"].functions = frozenset({"core_webservice_get_site_info", "core_role_assign_roles"})
    lacks = await wrong()
    assert any("core_competency_create_plan" in text for text in lacks)
    assert any("core_role_unassign_roles" in text for text in lacks)
    async with opened(url) as sink:
        assert {one.choice for one in await sink.check() if not one.ok} == {
            "",
            "include_domains",
            "include_consultation",
        }


async def test_every_request_fits_the_signature_of_its_function(
    url: str, there: Site, served: tuple[Starlette, Site, str], ledger: Ledger, contracts: Path
) -> None:
    """Whatever the client does, once: names, what must be given, and types, as Moodle itself publishes them."""
    published = json.loads((contracts / "lms/moodle-4.5.6-webservice-functions.json").read_text())
    over = {"period_end": (TODAY - timedelta(days=1)).isoformat()}
    async with opened(url) as sink:
        await sink.check()
        await ledger.send(sink, documents(a_plan(), **EVERYTHING)[0])
        await ledger.send(sink, documents(a_plan(**over), **EVERYTHING)[0])
        await ledger.send(sink, documents(a_plan(), **EVERYTHING)[0])
        for document in ledger.kept.values():
            await sink.read_back(document)
        await ledger.take_back(sink)
    asked = {name for name, _ in served[0].state.received}
    assert len(asked) == 21, sorted(asked)
    for name, form in served[0].state.received:
        assert list(_misfits(published[name]["parameters"], _nested(form))) == [], (name, form)


def _nested(form: list[tuple[str, str]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in form:
        steps = name.replace("]", "").split("[")
        place = found
        for step in steps[:-1]:
            place = place.setdefault(step, {})
        place[steps[-1]] = value
    return found


def _misfits(spec: dict[str, Any], given: dict[str, Any]) -> Iterator[str]:
    yield from (f"{name}: no such argument" for name in given.keys() - spec.keys())
    for name, one in spec.items():
        if name not in given:
            if one.get("required") and one["type"] != "object":
                yield f"{name}: must be given"
        elif one["type"] == "object":
            yield from _misfits(one["keys"], given[name])
        elif one["type"] == "array":
            for n, value in given[name].items():
                assert n.isdigit()
                yield from _misfits({name: one["items"]}, {name: value})
        elif one["type"] == "int" and not given[name].lstrip("-").isdigit():
            yield f"{name}: {given[name]!r} is no number"


async def test_the_token_stands_in_no_address(url: str, served: tuple[Starlette, Site, str]) -> None:
    asked: list[Any] = []

    class Watched:
        async def send(self, method: str, url: str, **more: Any) -> Any:
            asked.append((method, url, more["headers"]))
            raise Unavailable("x", "enough")

    with pytest.raises(Unavailable):
        await Moodle(configured(url), Watched()).call("core_webservice_get_site_info")  # type: ignore[arg-type]
    assert "demo-token" not in repr(asked)


def test_arguments_are_written_as_php_reads_them() -> None:
    given = {"a": {"b": "c", "d": True}, "e": [{"f": 1}, {"f": 2}], "g": []}
    assert list(fields(given)) == [("a[b]", "c"), ("a[d]", "1"), ("e[0][f]", "1"), ("e[1][f]", "2")]


ANY = st.text(st.characters(exclude_categories=()), max_size=40)


@settings(max_examples=150)
@given(words=st.lists(ANY, min_size=3, max_size=3), link=ANY)
@example(
    words=["a & b < c > d &nbsp; &#39; \"x\" 'y'", "<script>x</script>", " \u202e\u0627\u0644\x00\x07\ud800 "],
    link='"><b>&',
)
@example(words=["\u0085\u00ad\ufeff\U0001f469\u200d\U0001f469", "\ufffe\uffff\x7f\x9f", "]]>--><!--"], link="")
def test_whatever_a_plan_says_the_cleaner_leaves_it_as_it_is(words: list[str], link: str) -> None:
    first, second, third = words
    items = (Item(first, (("Target", second), ("Target", third)), ""), Item(second, (), ""))
    parts = (Part("Goals", "goals", items), Part("Strengths", "strengths", (Item(third, (), ""),)))
    summary = Summary(first, parts, TODAY, f"https://planbridge.example.org/plans/{link}", MARKER)
    html = described(summary)
    assert cleaned(html) == html and html.count(f'title="{MARKER}"') == 1
    assert html.count("<li>") == 1 and html.count("<tr>") == 3
    name, _ = named(first)
    assert len(name) <= LONGEST_NAME and stripped(name) == name


@pytest.mark.parametrize(
    "title", ["x" * 101, "\U0001f389" * 120, "R & D <b> \"q\" 'a'", "\u0627\u0644\u062e\u0637\u0629"]
)
async def test_a_name_is_cut_where_moodle_would_refuse_it_and_the_loss_is_told(
    url: str, there: Site, ledger: Ledger, title: str
) -> None:
    cut = len(title) > LONGEST_NAME
    sent, _ = documents(a_plan(), **({} if "<" in title or cut else {"title": title}))
    if "<" in title or cut:  # longer than a profile allows: a title that some later one may have
        sent[0] = Document(sent[0].resource, sent[0].key, sent[0].body | {"name": named(title)[0]})
        assert named(title)[1] == cut
    async with opened(url) as sink:
        [receipt] = await ledger.send(sink, sent[:1])
        assert receipt.status == 201, receipt
        assert not await sink.edited(sent[0], receipt.revision)
    [plan] = there.plans.values()
    assert plan["name"] == sent[0].body["name"] and plain(plan["name"]) == plan["name"]
    assert (plan["name"] == title) == (not cut and "<" not in title)
