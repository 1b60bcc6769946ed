"""Deliveries that end without a person: conflicts, tries, superseded ones; withdrawals are deliveries too."""

from gateway.migrations import adding

revision = "0029"
down_revision = "0028"

# destination.edited_there: what becomes of a text that a person edited at the destination. ledger.adopted: found there
# by its marker, not made by the delivery. delivery.kind: `withdraw` takes back what a plan has there, `because` says
# why in words and `cause` who asked for it: a person, or what ended. `tries`: how often the destination could not
# answer, since `tried_at`; a delivery that is queued and has `next_at` is deferred again then. `superseded`: a newer
# one of the same plan went instead. district.swept_at: when it was last looked whether what destinations have may stay
# there; none where something ended since.
STATEMENTS = """
ALTER TABLE destination
    ADD edited_there text NOT NULL DEFAULT 'ask' CHECK (edited_there IN ('ask', 'keep', 'ours'));

ALTER TABLE ledger ADD adopted boolean NOT NULL DEFAULT false;

ALTER TABLE delivery
    DROP CONSTRAINT delivery_state_check,
    ADD CONSTRAINT delivery_state_check
        CHECK (state IN ('queued', 'sending', 'delivered', 'parked', 'superseded', 'withdrawn')),
    ADD kind text NOT NULL DEFAULT 'push' CHECK (kind IN ('push', 'withdraw')),
    ADD because text,
    ADD cause text CHECK (cause IN ('person', 'consent', 'plan', 'agreement', 'left')),
    ADD tries int NOT NULL DEFAULT 0,
    ADD tried_at timestamptz,
    ADD next_at timestamptz;
CREATE INDEX ON delivery (next_at) WHERE next_at IS NOT NULL AND state = 'queued';
CREATE INDEX ON delivery (plan_id, connection_id, id);
DROP INDEX delivery_untold;
CREATE INDEX delivery_untold ON delivery (district_id, id)
    WHERE state IN ('parked', 'delivered', 'withdrawn') AND NOT told;

ALTER TABLE district ADD swept_at timestamptz;
"""


def upgrade() -> None:
    adding.apply(STATEMENTS)
