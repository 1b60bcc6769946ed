"""What a program walked of a collection today, question by question, so that no way of asking gets round the leave."""

from gateway.migrations import adding

revision = "0033"
down_revision = "0028"

# walked: of a list that a program was answered on a day, how much of a page it was. `question` is a keyed hash: the
# same question asked again is no further page.
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
"""


def upgrade() -> None:
    adding.apply(STATEMENTS, districts=("walked",))
