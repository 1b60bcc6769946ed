"""What of plans waits for a person, since when, by which run; who is named in plans; and when a
district's plans were last looked over."""

from gateway.migrations import adding

revision = "0020"
down_revision = "0019"

# An open row is a thing that waits; it is closed by the look that finds it mended. `item`: of the plan; `person`: who
# left, or has no right any more, by the id the plan names them by; `acts`: who must act, or, where that is nobody, the
# administrators of `acts_at`; `school`: under which it is counted; `run_id`: the run that showed it, none where its day
# had come; `told_on`: when people were last told. There is no foreign key to the plan: its check would make the run
# that publishes wait for whoever is at work on a plan.
STATEMENTS = """
CREATE TABLE attention (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    district_id int NOT NULL REFERENCES district ON DELETE CASCADE,
    plan_id uuid NOT NULL,
    kind text COLLATE "C" NOT NULL,
    item text NOT NULL,
    person text NOT NULL,
    acts uuid,
    acts_at text NOT NULL,
    school text NOT NULL,
    reason text,
    drafted boolean NOT NULL DEFAULT false,
    run_id bigint,
    since timestamptz NOT NULL DEFAULT now(),
    due_on date NOT NULL,
    told_on date,
    closed_at timestamptz
);
CREATE UNIQUE INDEX attention_open ON attention (plan_id, kind, item, person) WHERE closed_at IS NULL;
CREATE INDEX ON attention (run_id);

-- Who coordinates a plan or owns a support of it, by the ids that stand in its content and its newest version.
CREATE TABLE plan_named (
    district_id int NOT NULL,
    plan_id uuid NOT NULL REFERENCES plan ON DELETE CASCADE,
    person text COLLATE "C" NOT NULL,
    PRIMARY KEY (plan_id, person)
);
CREATE INDEX ON plan_named (person);
INSERT INTO plan_named (district_id, plan_id, person)
SELECT DISTINCT p.district_id, p.id, w #>> '{}' FROM plan p
CROSS JOIN LATERAL (SELECT p.content UNION ALL (SELECT CAST(v.content AS json) FROM plan_version v
    WHERE v.plan_id = p.id ORDER BY v.version DESC LIMIT 1)) d (doc)
CROSS JOIN LATERAL (SELECT d.doc->'coordinator'
    UNION ALL SELECT s->'owner' FROM json_array_elements(d.doc->'supports') s) n (w)
WHERE json_typeof(w) = 'string';

ALTER TABLE district ADD plans_looked_on date;
"""


def upgrade() -> None:
    adding.apply(STATEMENTS, districts=("attention", "plan_named"))
