"""The year change: announced, previewed, confirmed; why an entity ended; connections that take another one's place."""

from gateway.migrations import adding

revision = "0008"
down_revision = "0007"

# `publication`: the last one before it was announced; what was published then is how the old year stood. `previewed`:
# connection -> the run that a person was shown, and its change set.
STATEMENTS = """
CREATE TABLE year_change (
    id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    district_id int NOT NULL REFERENCES district ON DELETE CASCADE,
    last_day date NOT NULL,
    first_day date NOT NULL CHECK (first_day > last_day),
    because text NOT NULL,
    actor json NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    publication bigint NOT NULL,
    highest_grade text NOT NULL,
    previewed json NOT NULL DEFAULT '{}',
    cancelled json
);
CREATE UNIQUE INDEX ON year_change (district_id, last_day) WHERE cancelled IS NULL;

-- Why an entity ended in a publication.
CREATE TABLE ending (
    district_id int NOT NULL,
    publication bigint NOT NULL,
    kind text COLLATE "C" NOT NULL,
    entity_id uuid NOT NULL,
    reason text NOT NULL CHECK (reason IN ('graduated', 'left', 'not-carried-over')),
    PRIMARY KEY (entity_id, kind, publication)
);
CREATE INDEX ON ending (publication);

-- One connection is to take the place of another. It leaves the shadow on its day (begun_at); the first run that is
-- published then makes it true (done_at).
CREATE TABLE succession (
    new_id int PRIMARY KEY REFERENCES connection ON DELETE CASCADE,
    old_id int NOT NULL REFERENCES connection ON DELETE CASCADE,
    district_id int NOT NULL REFERENCES district ON DELETE CASCADE,
    on_day date NOT NULL,
    actor json NOT NULL,
    begun_at timestamptz,
    done_at timestamptz,
    run_id bigint
);
CREATE UNIQUE INDEX ON succession (old_id);

-- Whose place in the order of connections it has, where that is not its own.
ALTER TABLE connection ADD place int;

-- What is only ever added to goes along when a connection takes another one's place, or nobody would find it again
-- under the keys it belongs to. Nothing but the connection changes, and both have to be of the caller's district.
CREATE FUNCTION planbridge_hand_over(old int, new int) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE own int := nullif(current_setting('planbridge.district', true), '')::int;
BEGIN
    IF NOT EXISTS (SELECT FROM succession s JOIN connection o ON o.id = s.old_id JOIN connection n ON n.id = s.new_id
                   WHERE s.old_id = old AND s.new_id = new AND s.done_at IS NULL
                     AND o.district_id = own AND n.district_id = own) THEN
        RAISE EXCEPTION 'connection % does not take the place of %', new, old;
    END IF;
    UPDATE record_history SET connection_id = new WHERE connection_id = old;
    UPDATE claim_history SET connection_id = new WHERE connection_id = old;
    UPDATE link_history SET connection_id = new WHERE connection_id = old;
    UPDATE identity_decision SET connection_id = new WHERE connection_id = old;
    UPDATE identity_decision d SET before = (
        SELECT json_agg(CASE WHEN (link->>0)::int = old THEN json_build_array(new, link->1, link->2, link->3)
                        ELSE link END ORDER BY n) FROM json_array_elements(d.before) WITH ORDINALITY b(link, n))
    WHERE d.district_id = own AND EXISTS (SELECT FROM json_array_elements(d.before) link
                                          WHERE (link->>0)::int = old);
END $$;
REVOKE ALL ON FUNCTION planbridge_hand_over FROM PUBLIC;
GRANT EXECUTE ON FUNCTION planbridge_hand_over TO planbridge_app;
"""


def upgrade() -> None:
    adding.apply(STATEMENTS, districts=("year_change", "ending", "succession"), kept=("ending",))
