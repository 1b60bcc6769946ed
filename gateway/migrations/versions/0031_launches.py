"""What an LTI tool keeps: its keys, logins under way, what was used once, pages that are open, links to register."""

from gateway.migrations import adding

revision = "0031"
down_revision = "0030"

# tool_key belongs to all districts, like signing_key. lti_login is there before a district is known, for minutes:
# hashes, a random word, and which platform; nothing of a person. planbridge_lti_platforms: which district a platform's
# launch may be of, asked for by the issuer: nothing but numbers and the platform's own names leaves it.
# planbridge_district_of_plan: where somebody signs in who has a link to a plan; its name, and nothing of the plan.
STATEMENTS = """
CREATE TABLE tool_key (
    kid text COLLATE "C" PRIMARY KEY,
    sealed bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
GRANT SELECT ON tool_key TO planbridge_app;

CREATE TABLE lti_login (
    state_hash text COLLATE "C" PRIMARY KEY,
    browser_hash text COLLATE "C" NOT NULL,
    nonce text NOT NULL,
    issuer text NOT NULL,
    client_id text NOT NULL,
    target text NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE INDEX ON lti_login (expires_at);
GRANT SELECT, INSERT, DELETE ON lti_login TO planbridge_app;

CREATE TABLE lti_used (
    district_id int NOT NULL REFERENCES district ON DELETE CASCADE,
    connection_id int NOT NULL REFERENCES connection ON DELETE CASCADE,
    what text COLLATE "C" NOT NULL,
    until timestamptz NOT NULL,
    PRIMARY KEY (connection_id, what)
);
CREATE INDEX ON lti_used (until);

CREATE TABLE lti_session (
    id_hash text COLLATE "C" PRIMARY KEY,
    district_id int NOT NULL REFERENCES district ON DELETE CASCADE,
    connection_id int NOT NULL REFERENCES connection ON DELETE CASCADE,
    person_id uuid NOT NULL,
    staff boolean NOT NULL,
    sections text[] NOT NULL DEFAULT '{}',
    frames text[] NOT NULL DEFAULT '{}',
    began_at timestamptz NOT NULL DEFAULT now(),
    ends_at timestamptz NOT NULL
);
CREATE INDEX ON lti_session (district_id, person_id);

CREATE TABLE lti_invitation (
    token_hash text COLLATE "C" PRIMARY KEY,
    district_id int NOT NULL REFERENCES district ON DELETE CASCADE,
    name text NOT NULL,
    private_addresses json NOT NULL DEFAULT '[]',
    expires_at timestamptz NOT NULL,
    used_at timestamptz
);

CREATE FUNCTION planbridge_lti_platforms(issuer text)
RETURNS TABLE (district_id int, connection_id int, client_id text, deployments json)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT n.district_id, n.id, n.settings->>'client_id', n.settings->'deployment_ids'
    FROM connection n JOIN district d ON d.id = n.district_id
    WHERE n.connector = 'lti' AND n.settings->>'issuer' = issuer AND d.suspended_at IS NULL
      AND coalesce(n.paused_code, '') <> 'person' ORDER BY n.id
$$;
CREATE FUNCTION planbridge_district_of_plan(plan uuid) RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT d.name FROM plan p JOIN district d ON d.id = p.district_id WHERE p.id = plan
$$;
REVOKE EXECUTE ON FUNCTION planbridge_district_of_plan(uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION planbridge_district_of_plan(uuid) TO planbridge_app;
REVOKE EXECUTE ON FUNCTION planbridge_lti_platforms(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION planbridge_lti_platforms(text) TO planbridge_app;
"""


def upgrade() -> None:
    adding.apply(STATEMENTS, districts=("lti_used", "lti_session", "lti_invitation"))
