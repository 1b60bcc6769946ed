"""A district that is served already, laid by SQL: what is measured is the serving, and pulls of a million rows are not.

Its rows are those that a projection leaves: documents in the wire shape of OneRoster 1.2, typed columns, a time each.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway import clock
from gateway.scopes import ONEROSTER
from gateway.served import COLLECTIONS
from gateway.store import clients, registers, vendors
from gateway.store.database import Store
from gateway.store.registers import Actor
from gateway.vendors import Terms

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
"""When the first enrollment changed; each further one a second later, in no order of their ids."""
AGREED = frozenset(
    ("username", "userIds", "enabledUser", "givenName", "familyName", "roles", "email", "primaryOrg", "grades")
)
"""What it may see of users: less than there is, so that every row is looked through."""
IT, PRINCIPAL = Actor("it@fennel.example.org", "district_it"), Actor("Ottoline Farrow", "principal")


@dataclass(frozen=True)
class Town:
    """Who may ask, and how long its agreement took to be approved, in seconds."""

    district: int
    client: str
    secret: str
    enrollments: int
    approved_in: float

    def since(self, share: float) -> str:
        """From when on that share of the enrollments changed."""
        seconds = self.enrollments - round(self.enrollments * share)
        return (BEGAN + timedelta(seconds=seconds)).isoformat().replace("+00:00", ".000Z")


async def lay(store: Store, users: int, enrollments: int) -> Town:
    """One student in ten is staff instead; each class has 25 enrollments. The agreement reaches all of it, by the same
    way as every agreement: drafted, looked at, approved by somebody else."""
    district = await registers.district(store, "fennel")
    values = {"d": district, "users": users, "enrollments": enrollments, "classes": max(1, enrollments // 25)}
    values |= {"students": users * 9 // 10, "began": BEGAN}
    async with store.owner.begin() as c:
        for statement in _ROWS:
            await c.execute(text(statement), values)
    async with store.owner.connect() as c:
        await analyze(c)
    client, secret = await clients.add(store, district, "Reading App", sorted(ONEROSTER), IT)
    today = clock.today()
    terms = Terms(
        purpose="rostering",
        basis="school_official",
        signer="Ottoline Farrow",
        document="contract 17",
        breach_contact="breach@vendor.example.org",
        begin=today - timedelta(days=1),
        until=today + timedelta(days=300),
        collections=dict.fromkeys(COLLECTIONS) | {"users": AGREED},
        pages=1_000,
    )
    drafted = await vendors.draft(store, district, client, terms, IT)
    async with store.transaction(district) as c:
        seen = await vendors.preview(c, drafted)
    began = clock.now()
    async with store.transaction(district) as c:
        await vendors.approve(c, district, drafted.id, PRINCIPAL, people=seen.widening.people)
    approved_in = (clock.now() - began).total_seconds()
    async with store.owner.begin() as c:  # long ago: else all of it would be in every delta
        await c.execute(text("UPDATE reach SET at = :began WHERE district_id = :d"), {"d": district, "began": BEGAN})
    async with store.owner.connect() as c:
        await analyze(c)
    return Town(district, client, secret, enrollments, approved_in)


async def analyze(c: AsyncConnection) -> None:
    """What the database does by itself within a minute."""
    c = await c.execution_options(isolation_level="AUTOCOMMIT")
    tables = ", ".join(one.table for one in COLLECTIONS.values())
    await c.execute(text(f"VACUUM ANALYZE {tables}, reach"))


def _id(kind: str, number: str) -> str:
    """SQL: the id of the n-th; in no order, as ids are."""
    return f"CAST(CAST(md5('{kind}' || ({number})) AS uuid) AS text)"


def _ref(collection: str, id: str) -> str:
    one = COLLECTIONS[collection]
    return (
        f"json_build_object('href', '@/{one.service}/v1p2/{collection}/' || {id}, 'sourcedId', {id}, "
        f"'type', '{one.singular}')"
    )


def _insert(collection: str, rows: str, id: str, fields: str, columns: str, at: str = ":began") -> str:
    names, values = zip(*(one.split(" = ", 1) for one in columns.split("; ")), strict=True)
    # A document is written without blanks behind its colons, which is how a reference is told from a text.
    doc = f"CAST(json_build_object('sourcedId', {id}, {fields}) AS text)"
    return (
        f"INSERT INTO {COLLECTIONS[collection].table} (district_id, sourced_id, entity_id, at, doc, "  # noqa: S608 ours
        f"{', '.join(names)}) SELECT :d, {id}, CAST({id} AS uuid), {at}, "
        f"CAST(regexp_replace({doc}, '\" : ', '\":', 'g') AS json), {', '.join(values)} FROM {rows}"
    )


_SCHOOL = _id("school", "n % 50")
_CLASS, _USER = _id("class", "n % :classes"), _id("user", "n % :students")
_ROLE = "CASE WHEN n < :students THEN 'student' ELSE 'teacher' END"
_TOP = _id("top", "0")
_ROWS = (
    "INSERT INTO projection (district_id, number, at, followed_at) VALUES (:d, 1, now(), now())",
    _insert("orgs", "generate_series(0, 0) n", _TOP, "'name', 'Fennel County', 'type', 'district'",
            "name = 'fennel county'; type = 'district'"),
    _insert("orgs", "generate_series(0, 49) n", _id("school", "n"),
            f"'name', 'School ' || n, 'type', 'school', 'identifier', CAST(n AS text), 'parent', {_ref('orgs', _TOP)}",
            f"name = 'school ' || n; type = 'school'; identifier = n; parent_id = {_TOP}"),
    _insert("courses", "generate_series(0, 499) n", _id("course", "n"),
            f"'title', 'Course ' || n, 'courseCode', 'C' || n, 'org', {_ref('orgs', _TOP)}",
            f"title = 'course ' || n; course_code = 'c' || n; org_id = {_TOP}"),
    _insert("classes", "generate_series(0, :classes - 1) n", _id("class", "n"),
            f"'title', 'Class ' || n, 'classType', 'scheduled', 'course', {_ref('courses', _id('course', 'n % 500'))}, "
            f"'school', {_ref('orgs', _SCHOOL)}",
            f"title = 'class ' || n; class_type = 'scheduled'; course_id = {_id('course', 'n % 500')}; "
            f"school_id = {_SCHOOL}"),
    _insert("users", "generate_series(0, :users - 1) n", _id("user", "n"),
            "'userMasterIdentifier', 'M' || n, 'username', 'user.' || n, 'userIds', "
            "json_build_array(json_build_object('type', 'SIS', 'identifier', CAST(n AS text))), 'enabledUser', 'true', "
            "'givenName', 'Given' || n % 977, 'familyName', 'Family' || n % 4001, 'roles', json_build_array("
            f"json_build_object('roleType', 'primary', 'role', {_ROLE}, 'org', {_ref('orgs', _SCHOOL)})), "
            "'identifier', CAST(n AS text), 'email', 'user.' || n || '@fennel.example.org', "
            f"'primaryOrg', {_ref('orgs', _SCHOOL)}, "
            "'grades', json_build_array(lpad(CAST(n % 12 + 1 AS text), 2, '0'))",
            "user_master_identifier = 'm' || n; username = 'user.' || n; user_ids_type = ARRAY['sis']; "
            "user_ids_identifier = ARRAY[CAST(n AS text)]; enabled_user = true; given_name = 'given' || n % 977; "
            f"family_name = 'family' || n % 4001; roles_role = ARRAY[{_ROLE}]; roles_role_type = ARRAY['primary']; "
            f"roles_org_ids = ARRAY[{_SCHOOL}]; roles_at = ARRAY[{_ROLE} || '@' || {_SCHOOL}]; "
            f"primary_org_id = {_SCHOOL}; identifier = n; email = 'user.' || n || '@fennel.example.org'; "
            "grades = ARRAY[lpad(CAST(n % 12 + 1 AS text), 2, '0')]"),
    _insert("enrollments", "generate_series(0, :enrollments - 1) n", _id("enrollment", "n"),
            f"'user', {_ref('users', _USER)}, 'class', {_ref('classes', _CLASS)}, 'school', {_ref('orgs', _SCHOOL)}, "
            "'role', 'student', 'beginDate', '2026-08-20'",
            f"user_id = {_USER}; class_id = {_CLASS}; school_id = {_SCHOOL}; role = 'student'; "
            "begin_date = date '2026-08-20'",
            "CAST(:began AS timestamptz) + make_interval(secs => n)"),
)  # fmt: skip
