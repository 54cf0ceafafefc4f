"""A consumer with a planted bug: `edge-centre`, but now and then it acknowledges what it did not commit."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from simulators.centre import postgres
from simulators.centre.cli import main

_honest = postgres._transaction
_chance = random.Random(3)


@contextmanager
def _transaction(connection: psycopg.Connection) -> Iterator[psycopg.Pipeline]:
    with _honest(connection) as pipeline:
        yield pipeline
        if _chance.random() <= 0.2:
            connection.execute("ROLLBACK")  # and the COMMIT behind it has nothing to commit


postgres._transaction = _transaction

if __name__ == "__main__":
    main()
