"""Who sees a delivery where it arrived: its audience, doorways, roll-out stages, and looks at what changed since."""

from gateway.migrations import adding

revision = "0030"
down_revision = "0029"

# destination.stage: `shadow` sends nothing, `schools` only plans of these `schools` (entity ids), `all` what is asked
# for; `rechecked_at`: when it was last looked whether what it has may still lie there. delivery.doorway: it holds a
# link and nothing of the plan; `audience`: who sees it there, as counts; `rehearsed`: which objects would have been
# sent; a state of that name for one of which nothing was. recheck: by what a plan was judged when that was last done,
# a hash of it.
STATEMENTS = """
ALTER TABLE destination
    ADD stage text NOT NULL DEFAULT 'all' CHECK (stage IN ('shadow', 'schools', 'all')),
    ADD schools text[] NOT NULL DEFAULT '{}',
    ADD rechecked_at timestamptz;

ALTER TABLE delivery
    ADD doorway boolean NOT NULL DEFAULT false,
    ADD audience json,
    ADD rehearsed json,
    DROP CONSTRAINT delivery_state_check,
    ADD CONSTRAINT delivery_state_check CHECK (
        state IN ('queued', 'sending', 'delivered', 'parked', 'superseded', 'withdrawn', 'rehearsed')),
    DROP CONSTRAINT delivery_cause_check,
    ADD CONSTRAINT delivery_cause_check CHECK (
        cause IN ('person', 'consent', 'plan', 'agreement', 'left', 'rights', 'audience'));

CREATE TABLE recheck (
    connection_id int NOT NULL REFERENCES connection ON DELETE CASCADE,
    plan_id uuid NOT NULL REFERENCES plan ON DELETE CASCADE,
    district_id int NOT NULL,
    facts text NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (connection_id, plan_id)
);
CREATE INDEX ON recheck (plan_id);
"""


def upgrade() -> None:
    adding.apply(STATEMENTS, districts=("recheck",))
