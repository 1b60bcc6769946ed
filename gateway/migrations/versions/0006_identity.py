"""What people are compared by, keys that came back as somebody else, and what people decided about who is who."""

from alembic import op

from gateway.migrations import adding

revision = "0006"
down_revision = "0005"

# Traits are keyed hashes of names, birth dates and numbers: equal where those are, and telling nothing. A row belongs
# to a published person (entity_id) or to a source key that waits (connection_id, key).
STATEMENTS = """
CREATE TABLE person_trait (
    district_id int NOT NULL,
    entity_id uuid UNIQUE,
    connection_id int,
    key text COLLATE "C",
    named bigint,
    born bigint,
    email bigint,
    phone bigint,
    UNIQUE (key, connection_id),
    CHECK ((entity_id IS NULL) = (key IS NOT NULL))
);
CREATE INDEX ON person_trait (named);
CREATE INDEX ON person_trait (born);

-- `former`: the person had this number once; somebody else may have it now.
CREATE TABLE person_number (
    district_id int NOT NULL,
    entity_id uuid,
    connection_id int,
    key text COLLATE "C",
    number bigint NOT NULL,
    former boolean NOT NULL DEFAULT false,
    UNIQUE (entity_id, number),
    UNIQUE (key, connection_id, number),
    CHECK ((entity_id IS NULL) = (key IS NOT NULL))
);
CREATE INDEX ON person_number (number);

-- A key that denotes a person and came back as somebody else. `doc` is what the source says now in `collections`; it is
-- not published. `over`: the newest pull does not say so any more.
CREATE TABLE identity_conflict (
    district_id int NOT NULL,
    connection_id int NOT NULL REFERENCES connection ON DELETE CASCADE,
    key text COLLATE "C" NOT NULL,
    entity_id uuid NOT NULL,
    collections text[] NOT NULL,
    doc json NOT NULL,
    named bigint,
    born bigint,
    run_id bigint NOT NULL,
    over boolean NOT NULL DEFAULT false,
    PRIMARY KEY (key, connection_id)
);
CREATE INDEX ON identity_conflict (entity_id);

-- same, different: this key denotes, or does not denote, this person. split: the key left this person (other_id: whom
-- it denotes since, if anybody). merge: this person is other_id. `before`: the links as they were. A decision that
-- belongs to another one (part_of) is undone with it.
CREATE TABLE identity_decision (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    district_id int NOT NULL REFERENCES district ON DELETE CASCADE,
    act text NOT NULL CHECK (act IN ('same', 'different', 'merge', 'split', 'undo')),
    connection_id int REFERENCES connection ON DELETE CASCADE,
    key text COLLATE "C",
    entity_id uuid NOT NULL,
    other_id uuid,
    named bigint,
    born bigint,
    before json NOT NULL DEFAULT '[]',
    part_of bigint REFERENCES identity_decision,
    undone_by bigint REFERENCES identity_decision,
    actor json NOT NULL,
    because text NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    run_id bigint
);
CREATE INDEX ON identity_decision (key, connection_id);
CREATE INDEX ON identity_decision (entity_id);

CREATE TABLE identity_rule (
    district_id int NOT NULL REFERENCES district ON DELETE CASCADE,
    rule text COLLATE "C" NOT NULL,
    systems json NOT NULL,
    PRIMARY KEY (district_id, rule)
);

CREATE TABLE identity_proposal (
    district_id int NOT NULL,
    connection_id int NOT NULL REFERENCES connection ON DELETE CASCADE,
    key text COLLATE "C" NOT NULL,
    entity_id uuid NOT NULL,
    score real NOT NULL,
    fields json NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (key, connection_id, entity_id)
);
CREATE INDEX ON identity_proposal (entity_id);

-- Whom an id stands for today: merges are followed to their end.
CREATE FUNCTION planbridge_survivor(person uuid) RETURNS uuid LANGUAGE sql STABLE AS $$
    WITH RECURSIVE follow (id, depth) AS (
        SELECT person, 0
        UNION ALL
        SELECT d.other_id, f.depth + 1 FROM follow f JOIN identity_decision d ON d.entity_id = f.id
        WHERE d.act = 'merge' AND d.undone_by IS NULL
    )
    SELECT id FROM follow ORDER BY depth DESC LIMIT 1
$$;

ALTER TABLE link
    DROP CONSTRAINT link_method_check,
    ADD CONSTRAINT link_method_check CHECK (method IN ('first', 'matched', 'ruled', 'decided', 'alias'));
-- A decision publishes in a run of its own, which belongs to no connection.
ALTER TABLE run
    ALTER connection_id DROP NOT NULL,
    DROP CONSTRAINT run_kind_check,
    ADD CONSTRAINT run_kind_check CHECK (kind IN ('pull', 'replay', 'undo', 'decision')),
    ADD CONSTRAINT run_connection_check CHECK (kind = 'decision' OR connection_id IS NOT NULL);
-- Everybody who is published gets traits with the next run.
UPDATE district SET resolve_all = true;
"""

DISTRICT_TABLES = (
    "person_trait",
    "person_number",
    "identity_conflict",
    "identity_decision",
    "identity_rule",
    "identity_proposal",
)


def upgrade() -> None:
    adding.apply(STATEMENTS, districts=DISTRICT_TABLES, kept=("identity_decision",))
    op.execute("GRANT UPDATE (undone_by) ON identity_decision TO planbridge_app")
