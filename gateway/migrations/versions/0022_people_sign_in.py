"""Who may sign in and how: accounts, links, sessions, the district's own identity provider; codes and refresh tokens
of programs that act for somebody; tokens of automation."""

from gateway.migrations import adding

revision = "0022"
down_revision = "0021"

# Whatever opens something is kept as a hash; `totp` (a seed) is sealed. `person_id` is the person by the id that the
# roster had when it was written: planbridge_survivor says who that is today. `sign_in_try` counts by keyed hashes of
# names, of accounts that there are and of such that there are not. `family`: what came of one consent.
STATEMENTS = """
CREATE TABLE account (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    district_id int NOT NULL REFERENCES district ON DELETE CASCADE,
    person_id uuid NOT NULL,
    name text COLLATE "C" NOT NULL,
    password_hash text,
    totp bytea,
    totp_step bigint NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    signed_in_at timestamptz,
    suspended_at timestamptz,
    UNIQUE (district_id, name),
    UNIQUE (district_id, person_id)
);

CREATE TABLE account_link (
    token_hash text COLLATE "C" PRIMARY KEY,
    district_id int NOT NULL,
    account_id bigint NOT NULL REFERENCES account ON DELETE CASCADE,
    totp bytea NOT NULL,
    expires_at timestamptz NOT NULL,
    used_at timestamptz
);
CREATE INDEX ON account_link (account_id);

CREATE TABLE recovery_code (
    district_id int NOT NULL,
    account_id bigint NOT NULL REFERENCES account ON DELETE CASCADE,
    code_hash text COLLATE "C" NOT NULL,
    used_at timestamptz,
    PRIMARY KEY (account_id, code_hash)
);

CREATE TABLE sign_in_try (
    district_id int NOT NULL REFERENCES district ON DELETE CASCADE,
    subject text COLLATE "C" NOT NULL,
    failures int NOT NULL,
    at timestamptz NOT NULL,
    waits_until timestamptz NOT NULL,
    PRIMARY KEY (district_id, subject)
);

CREATE TABLE session (
    id_hash text COLLATE "C" PRIMARY KEY,
    id bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    district_id int NOT NULL REFERENCES district ON DELETE CASCADE,
    person_id uuid NOT NULL,
    means text NOT NULL,
    second_factor boolean NOT NULL,
    began_at timestamptz NOT NULL DEFAULT now(),
    used_at timestamptz NOT NULL DEFAULT now(),
    ends_at timestamptz NOT NULL
);
CREATE INDEX ON session (district_id, person_id);

CREATE TABLE identity_provider (
    district_id int PRIMARY KEY REFERENCES district ON DELETE CASCADE,
    issuer text NOT NULL,
    client_id text NOT NULL,
    secret_reference text NOT NULL DEFAULT '',
    claim text NOT NULL,
    matched_by text NOT NULL,
    second_factor boolean NOT NULL DEFAULT false,
    audiences json NOT NULL DEFAULT '{}',
    private_addresses json NOT NULL DEFAULT '[]'
);

CREATE TABLE sign_in_begun (
    state_hash text COLLATE "C" PRIMARY KEY,
    district_id int NOT NULL REFERENCES district ON DELETE CASCADE,
    nonce text NOT NULL,
    verifier text NOT NULL,
    next text NOT NULL,
    expires_at timestamptz NOT NULL
);

ALTER TABLE client ADD redirect_uris json NOT NULL DEFAULT '[]';

CREATE TABLE authorization_code (
    code_hash text COLLATE "C" PRIMARY KEY,
    district_id int NOT NULL REFERENCES district ON DELETE CASCADE,
    client_id text NOT NULL,
    person_id uuid NOT NULL,
    redirect_uri text NOT NULL,
    challenge text NOT NULL,
    scopes json NOT NULL,
    family uuid NOT NULL,
    second_factor boolean NOT NULL,
    expires_at timestamptz NOT NULL,
    used_at timestamptz
);

CREATE TABLE refresh_token (
    token_hash text COLLATE "C" PRIMARY KEY,
    district_id int NOT NULL REFERENCES district ON DELETE CASCADE,
    client_id text NOT NULL,
    person_id uuid NOT NULL,
    scopes json NOT NULL,
    family uuid NOT NULL,
    second_factor boolean NOT NULL,
    expires_at timestamptz NOT NULL,
    used_at timestamptz
);
CREATE INDEX ON refresh_token (district_id, person_id);
CREATE INDEX ON refresh_token (family);

CREATE TABLE family_token (
    district_id int NOT NULL REFERENCES district ON DELETE CASCADE,
    family uuid NOT NULL,
    jti text COLLATE "C" NOT NULL,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (family, jti)
);

CREATE TABLE api_token (
    client_id text COLLATE "C" PRIMARY KEY REFERENCES client ON DELETE CASCADE,
    district_id int NOT NULL REFERENCES district ON DELETE CASCADE,
    name text NOT NULL,
    token_hash text COLLATE "C" NOT NULL UNIQUE,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    used_on date,
    revoked_at timestamptz
);
CREATE UNIQUE INDEX ON api_token (district_id, name) WHERE revoked_at IS NULL;
"""
DISTRICTS = (
    "account", "account_link", "recovery_code", "sign_in_try", "session", "identity_provider", "sign_in_begun",
    "authorization_code", "refresh_token", "family_token", "api_token",
)  # fmt: skip


def upgrade() -> None:
    adding.apply(STATEMENTS, districts=DISTRICTS)
