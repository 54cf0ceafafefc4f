"""A signed configuration over a real mosquitto, to real processes that a supervisor starts again as systemd does."""

import asyncio
import contextlib
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from edge_agent.sent_config import State, read
from edge_agent.tasks import end
from tests.brokers import Broker
from tests.commands.test_mqtt import Asker, asker, program_of, statuses
from tests.config.sent import Signer, site_text
from tests.core.house import Site, site
from tests.uplink.site import running_centre
from tests.waiting import PATIENCE_S, until

pytestmark = pytest.mark.asyncio
GATEWAY = "ZG-SENT-0001"
HALL = '[[contact]]\nid = "hall"\nline = 13\n'


class Gateway:
    """Both services of one site, started again whenever one of them ends by itself, and a centre that holds the key."""

    def __init__(self, place: Site, broker: Broker, centre: Asker) -> None:
        self.place, self.centre, self.port = place, centre, broker.port
        self.signer = Signer(place.directory)
        self.text = site_text(place.directory, self.signer.public, port=broker.port)
        self.directory = place.directory / "etc"
        self.directory.mkdir()
        (self.directory / "config.toml").write_text(self.text, "utf-8")
        self.programs = {name: program_of(self.directory, name) for name in ("run", "uplink")}
        self._asked = 0

    async def start(self) -> None:
        for program in self.programs.values():
            await program.start()

    async def keep(self) -> None:
        """As Restart=always."""
        while True:
            for program in self.programs.values():
                if program.ended:
                    await program.start()
            await asyncio.sleep(0.05)

    async def kill_core(self) -> None:
        """A crash in the middle, and its next start."""
        await self.programs["run"].kill()
        await self.programs["run"].start()

    async def state(self) -> dict[str, Any] | None:
        """`config` of read_state, asked until somebody answers."""
        self._asked += 1
        name = f"state-{self._asked}"
        self.centre.send("read_state", command=name, expiry_s=5)
        with contextlib.suppress(AssertionError):
            await until(lambda: any(a["id"] == name for _, _, a in self.centre.answers), within_s=3)
        said = [a for _, _, a in self.centre.answers if a["id"] == name and a["status"] == "done"]
        if not said:
            await asyncio.sleep(2)
        return said[-1]["result"] if said else None

    async def config(self) -> dict[str, Any]:
        found: dict[str, Any] = {}

        async def answered() -> bool:
            state = await self.state()
            found.update(state["config"] if state else {})
            return state is not None

        await until(answered, "read_state is answered")
        return found

    async def until_sent(self, state: State) -> None:
        """By its file: a centre may not ask without end."""
        await until(lambda: self.sent_state() is state, state, within_s=3 * PATIENCE_S)

    def apply(self, text: str, *, serial: int, replaces: str, command: str) -> None:
        params = self.signer.sign(GATEWAY, text, serial=serial, replaces=replaces)
        self.centre.send("apply_config", command=command, params=params)

    def send_as_people_do(self, text: str, *, serial: int) -> subprocess.CompletedProcess[str]:
        """By the reference centre's own command."""
        (file := self.place.directory / "new.toml").write_text(text, "utf-8")
        command = [sys.executable, "-m", "simulators.centre", "apply-config", GATEWAY, str(file)]
        options = ["--serial", str(serial), "--sign-key", str(self.signer.key), "--port", str(self.port), "--json"]
        return subprocess.run([*command, *options], capture_output=True, text=True, check=False)

    def told(self) -> list[dict[str, Any]]:
        """What the journal has of it."""
        return [r["fields"] for r in statuses(self.place) if r["point"] == "command/apply_config"]

    def sent_state(self) -> State | None:
        sent = read(self.place.directory / "data", str(self.directory))
        return sent.state if sent is not None else None


@contextlib.asynccontextmanager
async def gateway(tmp_path: Path, *, centre_there: bool = True) -> AsyncIterator[Gateway]:
    with contextlib.ExitStack() as stack:
        broker = stack.enter_context(Broker(tmp_path))
        if centre_there:
            stack.enter_context(running_centre(tmp_path / "centre", broker))
        centre = stack.enter_context(asker(broker, GATEWAY))
        async with site() as place:
            made = Gateway(place, broker, centre)
            await made.start()
            keeping = asyncio.create_task(made.keep())
            try:
                yield made
            finally:
                await end(keeping)
                for program in made.programs.values():
                    await program.stop(PATIENCE_S)


async def test_a_signed_configuration_is_taken_tried_kept_and_gives_way_to_an_edit_on_site(tmp_path: Path) -> None:
    async with gateway(tmp_path) as here:
        first = await here.config()
        assert first["sent"] is None
        here.apply(here.text.replace("厂房", "一号厂房") + HALL, serial=1, replaces=first["check"], command="c-1")
        answer = await here.centre.answer("c-1")
        assert (answer["status"], answer["result"]["serial"]) == ("done", 1), answer
        kept = {"dest": "county", "serial": 1, "trial": False}
        await here.until_sent(State.KEPT)
        while (second := await here.config())["sent"] != kept:  # the file is written before the core says so
            assert second["sent"] == kept | {"trial": True}
            await asyncio.sleep(1)
        assert second["check"] != first["check"]
        for program in here.programs.values():  # both went over, once
            log = program.log.read_text("ascii")
            assert (program.starts, log.count("another configuration")) == (2, 1), log
        here.apply(here.text, serial=2, replaces=first["check"], command="c-2")
        refused = await here.centre.answer("c-2")
        assert (refused["code"], refused["result"]["config"]) == ("base_differs", second["check"])
        here.apply(here.text.replace("line = 12", "line = 14"), serial=2, replaces=second["check"], command="c-3")
        refused = await here.centre.answer("c-3")
        assert (refused["status"], refused["code"]) == ("refused", "only_on_site")

        (here.directory / "config.toml").write_text(here.text + "# somebody was here\n", "utf-8")
        assert (await here.config())["sent"] == kept, "an edit counts at the next start"
        await here.kill_core()
        await here.until_sent(State.VOID)
        assert (await here.config())["sent"] is None, "the files again"
        await until(lambda: len(here.told()) == 5, "all of it is written down")
        assert [(one["command"], one["status"], one.get("code", "")) for one in here.told()] == [
            ("c-1", "done", ""),
            ("c-1", "done", "confirmed"),
            ("c-2", "refused", "base_differs"),
            ("c-3", "refused", "only_on_site"),
            ("c-1", "failed", "edited"),
        ]
        lengths = here.told()[0]["params"].values()
        assert all(isinstance(length, int) for length in lengths), "the audit has its length, not its text"


async def test_one_that_nobody_confirms_over_is_gone_at_the_next_start_whatever_ended_the_try(tmp_path: Path) -> None:
    """The centre does not acknowledge, so the try never succeeds; the core is killed in the middle of it."""
    async with gateway(tmp_path, centre_there=False) as here:
        first = await here.config()
        here.apply(here.text + HALL, serial=1, replaces=first["check"], command="c-1")
        assert (await here.centre.answer("c-1"))["status"] == "done"
        await here.until_sent(State.TRIAL)
        assert (await here.config())["sent"] == {"dest": "county", "serial": 1, "trial": True}
        await here.kill_core()
        await here.until_sent(State.VOID)
        back = await here.config()
        assert (back["check"], back["sent"]) == (first["check"], None)
        here.apply(here.text + HALL, serial=1, replaces=first["check"], command="c-2")
        assert (await here.centre.answer("c-2"))["code"] == "serial_used", "a recording of it is worth nothing"
        said = await asyncio.to_thread(here.send_as_people_do, here.text.replace("line = 12", "line = 14"), serial=2)
        assert (said.returncode, json.loads(said.stdout)["result"]) == (
            1,
            {"keys": ["contacts[pump-room].line"], "count": 1},
        )
        here.centre.send("update", command="c-4")
        assert (await here.centre.answer("c-4"))["code"] == "not_supported"
        told = [(one["command"], one["status"], one.get("code")) for one in here.told()]
        assert ("c-1", "failed", "not_confirmed") in told
