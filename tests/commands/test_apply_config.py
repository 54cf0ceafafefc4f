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

from edge_agent.local_api import LocalClient
from edge_agent.sent_config import State, read
from edge_agent.tasks import end
from tests.brokers import Broker
from tests.commands.programs import Asker, asker, program_of, statuses
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
        self.place, self.centre, self.broker = place, centre, broker
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

    async def status(self) -> dict[str, Any] | None:
        """What the core says to who asks it on site; None while it does not run."""
        try:
            client = await LocalClient.connect(self.place.directory / "run" / "core.sock")
        except OSError:
            return None
        try:
            async with asyncio.timeout(PATIENCE_S):
                found: Any = await client.request("status")
        except ConnectionError:
            return None
        finally:
            await client.close()
        return dict(found)

    async def connected(self) -> bool:
        status = await self.status()
        return status is not None and all(uplink["up"] for uplink in status["uplinks"])

    async def config(self) -> dict[str, Any]:
        """`config` of read_state. Asked only where somebody can answer: a centre may not ask without end."""
        found: dict[str, Any] = {}

        async def answered() -> bool:
            await until(self.connected, "core and uplink run")
            self._asked += 1
            name = f"state-{self._asked}"
            self.centre.send("read_state", command=name, expiry_s=5)

            def said() -> list[dict[str, Any]]:
                return [a for _, _, a in self.centre.answers if a["id"] == name]

            with contextlib.suppress(AssertionError):  # a program may have gone over just now
                await until(said, within_s=3)
            found.update(said()[-1]["result"]["config"] if said() and said()[-1]["status"] == "done" else {})
            return bool(found)

        await until(answered, "read_state is answered")
        return found

    async def until_sent(self, state: State, serial: int) -> None:
        """By its file: a centre may not ask without end."""

        def is_so() -> bool:
            sent = read(self.place.directory / "data", str(self.directory))
            return sent is not None and (sent.state, sent.letter.serial) == (state, serial)

        await until(is_so, f"{state} {serial}", within_s=3 * PATIENCE_S)

    def apply(self, text: str, *, serial: int, replaces: str, command: str) -> None:
        params = self.signer.sign(GATEWAY, text, serial=serial, replaces=replaces)
        self.centre.send("apply_config", command=command, params=params)

    def send_as_people_do(self, text: str, *, serial: int) -> subprocess.CompletedProcess[str]:
        """By the reference centre's own command."""
        (file := self.place.directory / "new.toml").write_text(text, "utf-8")
        command = [sys.executable, "-m", "simulators.centre", "apply-config", GATEWAY, str(file)]
        options = [
            "--serial",
            str(serial),
            "--sign-key",
            str(self.signer.key),
            "--port",
            str(self.broker.port),
            "--json",
        ]
        return subprocess.run([*command, *options], capture_output=True, text=True, check=False)

    def told(self) -> list[dict[str, Any]]:
        """What the journal has of it."""
        told = [r["fields"] for r in statuses(self.place) if r["point"] == "command/apply_config"]
        return [
            one for place, one in enumerate(told) if one not in told[:place]
        ]  # a kill may have an outcome told twice


@contextlib.asynccontextmanager
async def gateway(tmp_path: Path) -> AsyncIterator[Gateway]:
    with Broker(tmp_path) as broker, asker(broker, GATEWAY) as centre:
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


@pytest.mark.slow
async def test_a_signed_configuration_is_taken_tried_kept_or_gone_and_gives_way_to_an_edit_on_site(
    tmp_path: Path,
) -> None:
    async with gateway(tmp_path) as here:
        with running_centre(tmp_path / "centre", here.broker):
            first = await here.config()
            assert first["sent"] is None
            here.apply(here.text.replace("厂房", "一号厂房") + HALL, serial=1, replaces=first["check"], command="c-1")
            answer = await here.centre.answer("c-1")
            assert (answer["status"], answer["result"]["serial"]) == ("done", 1), answer
            await here.until_sent(State.KEPT, 1)
            kept = {"dest": "county", "serial": 1, "trial": False}

            async def is_kept() -> bool:  # the file is written before the core says so
                status = await here.status()
                return status is not None and status["config_sent"] == kept

            await until(is_kept, "the core says so too")
            second = await here.config()
            assert second["sent"] == kept
            assert second["check"] != first["check"]
            for program in here.programs.values():  # both went over, once
                log = program.log.read_text("ascii")
                assert (program.starts, log.count("another configuration")) == (2, 1), log
            said = await asyncio.to_thread(here.send_as_people_do, here.text, serial=2)
            left_out = {"keys": ["contacts[hall]"], "count": 1}
            assert (said.returncode, json.loads(said.stdout)["result"]) == (1, left_out)
            here.centre.send("update", command="c-3")
            assert (await here.centre.answer("c-3"))["code"] == "not_authorised"

        here.apply(here.text + HALL, serial=2, replaces=second["check"], command="c-4")
        assert (await here.centre.answer("c-4"))["status"] == "done"
        await here.until_sent(State.TRIAL, 2)
        await here.kill_core()  # the centre is gone and could not confirm; whatever ends a try, it is over
        await here.until_sent(State.KEPT, 1)
        await here.kill_core()  # it has gone back, and has told nothing yet
        await until(here.status, "it has told the journal, which may linger for a second")
        await here.kill_core()
        await here.until_sent(State.KEPT, 1)
        assert (await here.config()) == second, "what it ran on before"
        await until(lambda: len(here.told()) == 5, "told by the start that lived")

        (here.directory / "config.toml").write_text(here.text + "# somebody was here\n", "utf-8")
        await here.kill_core()
        await here.until_sent(State.VOID, 1)
        await here.kill_core()
        await until(lambda: len(here.told()) == 6, "all of it is written down")
        told = here.told()
    assert [(one["command"], one["status"], one.get("code", "")) for one in told if one["command"][:2] == "c-"] == [
        ("c-1", "done", ""),
        ("c-1", "done", "confirmed"),
        ("c-4", "done", ""),
        ("c-4", "failed", "not_confirmed"),
        ("c-1", "failed", "edited"),
    ]
    lengths = told[0]["params"].values()
    assert all(isinstance(length, int) for length in lengths), "the audit has its length, not its text"
