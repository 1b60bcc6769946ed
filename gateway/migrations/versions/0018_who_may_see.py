"""Consents, the log of who was shown what, what each agreement and program is for, and what assessments are for."""

from gateway.migrations import adding

revision = "0018"
down_revision = "0015"

# `disclosure` takes lines and gives none back. `outside`: whoever got it is not the district's own staff. `until`: for
# how long somebody opened what is masked to them otherwise. A delivery that is tried again is one disclosure.
# `agreement.sections` is NULL where it names none: it was made before sections had names.
STATEMENTS = """
CREATE TABLE consent (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    district_id int NOT NULL REFERENCES district ON DELETE CASCADE,
    student_id uuid NOT NULL,
    grantor text NOT NULL,
    capacity text NOT NULL,
    recipient text NOT NULL,
    sections json NOT NULL,
    purpose text NOT NULL,
    permit boolean NOT NULL,
    from_on date NOT NULL,
    until_on date NOT NULL,
    evidence text NOT NULL DEFAULT '',
    actor json NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    revoked_at timestamptz,
    revoked_because text
);
CREATE INDEX ON consent (district_id, student_id);

CREATE TABLE disclosure (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    district_id int NOT NULL REFERENCES district ON DELETE CASCADE,
    student_id uuid NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    act text NOT NULL,
    party text NOT NULL,
    person_id uuid,
    actor json NOT NULL,
    outside boolean NOT NULL,
    interest text NOT NULL,
    purpose text NOT NULL,
    basis text NOT NULL,
    sections json NOT NULL,
    plan_id uuid,
    version int,
    delivery_id bigint,
    until timestamptz
);
CREATE INDEX ON disclosure (district_id, student_id, at);
CREATE UNIQUE INDEX ON disclosure (delivery_id) WHERE delivery_id IS NOT NULL;

CREATE TABLE purpose (
    district_id int NOT NULL REFERENCES district ON DELETE CASCADE,
    assessment_id uuid NOT NULL,
    purpose text NOT NULL,
    because text NOT NULL,
    actor json NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (district_id, assessment_id)
);

ALTER TABLE agreement ADD purpose text NOT NULL DEFAULT 'planning';
ALTER TABLE agreement ADD sections json;
ALTER TABLE agreement ADD needs_consent boolean NOT NULL DEFAULT false;
ALTER TABLE client ADD purpose text NOT NULL DEFAULT 'planning';
ALTER TABLE client ADD kind text NOT NULL DEFAULT 'vendor';
ALTER TABLE client ADD sections json NOT NULL DEFAULT '[]';

-- Whoever decides about holds is told of it too, until somebody chooses otherwise.
UPDATE channel SET events = array_append(events, 'access') WHERE 'hold' = ANY (events);
"""


def upgrade() -> None:
    adding.apply(STATEMENTS, districts=("consent", "disclosure", "purpose"), kept=("disclosure",))
