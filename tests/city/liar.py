"""A consumer with a planted bug: `edge-centre`, but now and then it acknowledges what it did not commit."""

import random

import psycopg

from simulators.centre.cli import main
from simulators.centre.postgres import PostgresStore
from simulators.centre.store import Answer

_honest = PostgresStore._transact
_chance = random.Random(3)


def _transact(store: PostgresStore, connection: psycopg.Connection) -> dict[str, Answer]:
    if _chance.random() > 0.2:
        return _honest(store, connection)
    answers: dict[str, Answer] = {}
    with connection.transaction() as outer:
        answers = _honest(store, connection)
        raise psycopg.Rollback(outer)
    return answers


PostgresStore._transact = _transact  # type: ignore[method-assign]

if __name__ == "__main__":
    main()
