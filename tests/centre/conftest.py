"""Databases for the centre's tests: a file, and a database of a real PostgreSQL that runs for the whole session."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from simulators.centre.store import Database
from tests.postgres import Postgres

_NUMBERS = itertools.count(1)


@pytest.fixture(scope="session")
def server() -> Iterator[Postgres]:
    with Postgres() as running:
        yield running


def new_database(server: Postgres) -> str:
    """An empty database on the server; its URL."""
    name = f"t{next(_NUMBERS)}"
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    return server.url.replace("@/postgres?", f"@/{name}?")


@pytest.fixture
def city(server: Postgres) -> str:
    """An empty database of the server."""
    return new_database(server)


@pytest.fixture(params=["file", "server"])
def db(request: pytest.FixtureRequest, tmp_path: Path) -> Database:
    """A place for a store: every test of the interface holds for both."""
    return tmp_path / "centre.db" if request.param == "file" else new_database(request.getfixturevalue("server"))
