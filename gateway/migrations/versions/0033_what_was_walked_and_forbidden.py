"""What a program walked of a collection today, whatever way it asked; and families' words that wait after a restore."""

from gateway.migrations import adding

revision = "0033"
down_revision = "0032"

# walked: of a list that a program was answered on a day, how much of a page it was. `question` is a keyed hash: the
# same question asked again is no further page.
# standing.placed: false while a restored database was told of a family's word about a student whom it does not know.
STATEMENTS = """
CREATE TABLE walked (
    district_id int NOT NULL,
    agreement_id bigint NOT NULL REFERENCES vendor_agreement ON DELETE CASCADE,
    collection text COLLATE "C" NOT NULL,
    on_day date NOT NULL,
    question text COLLATE "C" NOT NULL,
    share double precision NOT NULL,
    PRIMARY KEY (agreement_id, collection, on_day, question)
);

ALTER TABLE standing ADD placed boolean NOT NULL DEFAULT true;
"""


def upgrade() -> None:
    adding.apply(STATEMENTS, districts=("walked",))
