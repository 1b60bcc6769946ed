"""The feed of events: in which order plans and deliveries moved; and the webhooks that events are sent to."""

from gateway.migrations import adding

revision = "0026"
down_revision = "0020"

# district.feed: another one after a restore, so that a place in the feed from before is known as such. xid: the
# transaction that wrote the row, or let a delivery end; see gateway.store.events. webhook.place: where its reading of
# the feed goes on. webhook_message: what is on its way to it, in the order of the feed; those about one `subject` go
# one after the other; `ids` are all whom it names. webhook_attempt: how sending went, without what was sent.
STATEMENTS = """
ALTER TABLE district ADD feed uuid NOT NULL DEFAULT gen_random_uuid();

ALTER TABLE plan_event ADD xid xid8 NOT NULL DEFAULT pg_current_xact_id();
CREATE INDEX ON plan_event (xid, seq);

ALTER TABLE delivery ADD xid xid8 NOT NULL DEFAULT pg_current_xact_id();
CREATE INDEX ON delivery (xid, id);
CREATE FUNCTION planbridge_moved() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.xid := pg_current_xact_id();
    RETURN NEW;
END $$;
CREATE TRIGGER moved BEFORE UPDATE OF state ON delivery
    FOR EACH ROW WHEN (NEW.state IS DISTINCT FROM OLD.state) EXECUTE FUNCTION planbridge_moved();

CREATE TABLE webhook (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    district_id int NOT NULL REFERENCES district ON DELETE CASCADE,
    client_id text COLLATE "C" NOT NULL REFERENCES client ON DELETE CASCADE,
    shown text NOT NULL,
    sealed_url bytea NOT NULL,
    sealed_secret bytea NOT NULL,
    sealed_former bytea,
    former_until timestamptz,
    allow_private boolean NOT NULL DEFAULT false,
    types text[] NOT NULL,
    place text NOT NULL,
    looked_at timestamptz NOT NULL DEFAULT now(),
    rests_until timestamptz NOT NULL DEFAULT now(),
    stopped text,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE webhook_message (
    n bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    district_id int NOT NULL,
    webhook_id bigint NOT NULL REFERENCES webhook ON DELETE CASCADE,
    event json NOT NULL,
    mark text COLLATE "C" NOT NULL,
    subject text COLLATE "C" NOT NULL,
    ids uuid[] NOT NULL,
    state text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'parked')),
    attempts int NOT NULL DEFAULT 0,
    queued_at timestamptz NOT NULL DEFAULT now(),
    first_at timestamptz,
    next_at timestamptz NOT NULL DEFAULT now(),
    reason text,
    UNIQUE (webhook_id, mark)
);
CREATE INDEX ON webhook_message (webhook_id, subject, n) WHERE state = 'waiting';
CREATE INDEX ON webhook_message (next_at) WHERE state = 'waiting';

CREATE TABLE webhook_attempt (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    district_id int NOT NULL,
    webhook_id bigint NOT NULL REFERENCES webhook ON DELETE CASCADE,
    mark text COLLATE "C" NOT NULL,
    type text NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    status int,
    code text,
    ms int NOT NULL
);
CREATE INDEX ON webhook_attempt (webhook_id, id);
CREATE INDEX ON webhook_attempt (at);
"""


def upgrade() -> None:
    adding.apply(STATEMENTS, districts=("webhook", "webhook_message", "webhook_attempt"))
