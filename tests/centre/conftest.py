"""Databases for the centre's tests: a file, and one on a real PostgreSQL that runs for the whole session, emptied for each."""

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from simulators.centre.store import Database
from tests.postgres import Postgres

Hold = Callable[[], contextlib.AbstractContextManager[None]]


@pytest.fixture(scope="session")
def server() -> Iterator[Postgres]:
    with Postgres() as running:
        yield running


def emptied(server: Postgres) -> str:
    """The server's database without anything in it; its URL."""
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
    return server.url


@pytest.fixture
def city(server: Postgres) -> str:
    """An empty database of the server."""
    return emptied(server)


@pytest.fixture(params=["file", "server"])
def db(request: pytest.FixtureRequest, tmp_path: Path) -> Database:
    """A place for a store: every test of the interface holds for both."""
    return tmp_path / "centre.db" if request.param == "file" else emptied(request.getfixturevalue("server"))


@pytest.fixture
def hold(db: Database, request: pytest.FixtureRequest) -> Hold:
    """A block in which the database answers nobody: another program holds the file, or the server is frozen."""

    @contextlib.contextmanager
    def locked() -> Iterator[None]:
        with contextlib.closing(sqlite3.connect(db, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            yield
            other.execute("ROLLBACK")

    if isinstance(db, Path):
        return locked
    server: Postgres = request.getfixturevalue("server")
    return server.frozen
