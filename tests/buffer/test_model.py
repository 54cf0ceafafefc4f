"""The stores against a model: whatever the order of writes, confirmations, pressure, crashes and power cuts."""

import json
import shutil
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from buffer import retention
from buffer.faults import StoreFault
from buffer.owners import BulkOwner, VitalOwner
from buffer.reader import JournalReader
from buffer.records import Name, Priority
from buffer.reserve import Space
from buffer.store import BulkStore, VitalStore
from buffer.waiting import Ticket

A, F, S, T, M = Priority
RANKS = {VitalOwner: (A, F, S), BulkOwner: (T, M)}


class JournalModel(RuleBasedStateMachine):
    """Runs the two owners inline, on a clock of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp(prefix="journal-model-"))
        self.faults: list[StoreFault] = []
        self.accepted: dict[Name, bytes] = {}
        self.confirmed: dict[tuple[str, Priority], int] = {}
        self.state: dict[str, bytes] = {}
        self.epoch_count = self.body_count = self.boot = 0
        self.now_ns = 0
        self._open()

    def _open(self) -> None:
        space = Space(self.directory, 0)
        self.vital = VitalOwner(
            VitalStore, self.directory / "vital.db", budget_bytes=1 << 20, **self._common(space, "v")
        )
        self.bulk = BulkOwner(BulkStore, self.directory / "bulk.db", budget_bytes=1 << 20, **self._common(space, "b"))
        self.vital.history = retention.History(5, 10**9)
        for owner in (self.vital, self.bulk):
            owner.open(self.now_ns)
            assert owner.store is not None

    def _common(self, space: Space, prefix: str) -> dict:  # type: ignore[type-arg]
        return {
            "mandatory": ("c",),
            "space": space,
            "report": self.faults.append,
            "new_epoch": lambda: self._epoch(prefix),
            "boot_id": f"boot-{self.boot}",
            "wall_ns": lambda: 1_800_000_000 * 10**9 + self.now_ns,
        }

    def _epoch(self, prefix: str) -> str:
        self.epoch_count += 1
        return f"{prefix}-{self.epoch_count}"

    def _owner(self, rank: Priority) -> VitalOwner | BulkOwner:
        return self.bulk if rank in (T, M) else self.vital

    @rule(rank=st.sampled_from(Priority), count=st.integers(1, 40), size=st.integers(1, 400))
    def append(self, rank: Priority, count: int, size: int) -> None:
        batch = []
        for _ in range(count):
            self.body_count += 1
            batch.append(Ticket(rank, b"%d " % self.body_count + b"." * size, self.now_ns + 1))
        if rank is A:
            batch[-1].state = {"last": batch[-1].body}
            self.state["last"] = batch[-1].body
        assert self._owner(rank).commit(batch, {}, self.now_ns)
        for ticket in batch:
            assert ticket.name is not None and ticket.name not in self.accepted
            self.accepted[ticket.name] = ticket.body

    @rule(rank=st.sampled_from(Priority), part=st.floats(0, 1))
    def confirm(self, rank: Priority, part: float) -> None:
        owner = self._owner(rank)
        assert owner.store is not None
        for epoch in owner.store.epochs:
            through = int(owner.store.head(epoch, rank) * part)
            if through:
                owner.put_marks({("c", epoch, rank): through}, self.now_ns)
                self.confirmed[epoch, rank] = max(through, self.confirmed.get((epoch, rank), 0))

    @rule(turns=st.integers(1, 30))
    def background(self, turns: int) -> None:
        for owner in (self.vital, self.bulk):
            for _ in range(turns):
                self.now_ns += max(owner.step(self.now_ns), 1)

    @rule(turns=st.integers(1, 6))
    def pressure(self, turns: int) -> None:
        for owner in (self.vital, self.bulk):
            for _ in range(turns):
                owner._shed(self.now_ns)

    @rule(power=st.booleans())
    def crash(self, power: bool) -> None:
        """The process is gone; its locks too. Both connections are dropped without closing the journal in order."""
        for owner in (self.vital, self.bulk):
            copies = [path for path in self.directory.iterdir() if path.name.startswith(owner.path.name)]
            saved = [(path, path.read_bytes()) for path in copies]
            assert owner.store is not None
            owner.store.close()
            for path, content in saved:
                path.write_bytes(content)
        self.boot += power
        self._open()

    @rule()
    def restart(self) -> None:
        for owner in (self.vital, self.bulk):
            owner.close()
        self.boot += 1
        self._open()

    @rule(which=st.sampled_from(["vital", "bulk"]))
    def damage(self, which: str) -> None:
        owner = self.vital if which == "vital" else self.bulk
        owner.close()
        with owner.path.open("r+b") as file:
            file.write(b"\xff" * 50)
        self.vital.close()
        self.bulk.close()
        self._open()
        owner = self.vital if which == "vital" else self.bulk
        for _ in range(5000):
            owner.step(self.now_ns)
            self.now_ns += 1
            if not owner._salvages:
                break
        assert not owner._salvages

    @invariant()
    def what_was_accepted_is_there_or_told_or_confirmed(self) -> None:
        with JournalReader.open(self.directory) as reader:
            kept = {record.name: record.body for record in reader.records()}
        gaps = [json.loads(body)["gap"] for body in kept.values() if body.startswith(b'{"gap"')]
        for name, body in kept.items():
            assert self.accepted.get(name, body) == body
            assert name in self.accepted or body.startswith(b'{"gap"')
        for name in self.accepted.keys() - kept.keys():
            if name.n <= self.confirmed.get((name.epoch, name.priority), 0):
                continue
            assert name.priority is not A, f"{name}: an unconfirmed alarm is gone"
            assert any(
                gap.get("epoch") == name.epoch and gap["from"] <= name.n and (gap["to"] is None or name.n <= gap["to"])
                for gap in gaps
            ), f"{name} is gone and nobody says so"
        assert self.vital.state() == self.state

    def teardown(self) -> None:
        self.vital.close()
        self.bulk.close()
        shutil.rmtree(self.directory)


TestJournalModel = JournalModel.TestCase
TestJournalModel.settings = settings(
    max_examples=40,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    database=None,
    report_multiple_bugs=False,
)
