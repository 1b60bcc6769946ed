"""Access tokens known by their id, with the person they were issued for; the keys that sign them; how clients prove
who they are, and what of that serves once only; how often tokens were asked for."""

from gateway.migrations import adding

revision = "0021"
down_revision = "0020"

# Tokens of before were no JWTs and lasted an hour: programs ask for new ones. `person`: for whom it was issued, by
# their id in the roster. A token names its district in what was signed, so that it can be looked up under the policy.
#
# client: `old_secret_hash` is good until then; `default_scopes` is what a token gets where none were asked for, NULL
# for all; `jwks` or `jwks_url` hold public keys; `sealed_oauth1` is there where the district switched OAuth 1.0a on:
# its signatures need the secret itself. `refused` counts proofs of this client that were wrong.
#
# signing_key belongs to the installation; its private half is sealed. token_rate: whoever asks, as a keyed hash.
STATEMENTS = """
DELETE FROM client_token;
ALTER TABLE client_token RENAME token_hash TO jti;
ALTER TABLE client_token
    ADD district_id int NOT NULL REFERENCES district ON DELETE CASCADE,
    ADD person uuid,
    ADD issued_at timestamptz NOT NULL DEFAULT now();
CREATE INDEX client_token_person ON client_token (district_id, person) WHERE person IS NOT NULL;

ALTER TABLE client ALTER secret_hash DROP NOT NULL;
ALTER TABLE client
    ADD old_secret_hash text,
    ADD old_secret_until timestamptz,
    ADD default_scopes json,
    ADD jwks json,
    ADD jwks_url text,
    ADD sealed_oauth1 bytea,
    ADD refused int NOT NULL DEFAULT 0,
    ADD refused_at timestamptz;

CREATE TABLE signing_key (
    kid text COLLATE "C" PRIMARY KEY,
    sealed bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
GRANT SELECT ON signing_key TO planbridge_app;

CREATE TABLE used_once (
    district_id int NOT NULL REFERENCES district ON DELETE CASCADE,
    client_id text COLLATE "C" NOT NULL REFERENCES client ON DELETE CASCADE,
    what text COLLATE "C" NOT NULL,
    until timestamptz NOT NULL,
    PRIMARY KEY (client_id, what)
);
CREATE INDEX ON used_once (until);

CREATE TABLE scope_miss (
    district_id int NOT NULL REFERENCES district ON DELETE CASCADE,
    client_id text COLLATE "C" NOT NULL REFERENCES client ON DELETE CASCADE,
    meant text COLLATE "C" NOT NULL,
    times int NOT NULL DEFAULT 1,
    last_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (client_id, meant)
);

CREATE TABLE token_rate (
    subject text COLLATE "C" PRIMARY KEY,
    began timestamptz NOT NULL DEFAULT now(),
    times int NOT NULL
);
GRANT SELECT, INSERT, UPDATE, DELETE ON token_rate TO planbridge_app;
"""


def upgrade() -> None:
    adding.apply(STATEMENTS, districts=("client_token", "used_once", "scope_miss"))
