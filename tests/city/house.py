"""A city's centre for a test: mosquitto, PostgreSQL, consumers and a fleet, each a real program, and ways to kill them."""

import contextlib
import json
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.brokers import Broker
from tests.city.distance import Distance
from tests.city.fleet import Load
from tests.postgres import Postgres
from tests.waiting import eventually

BROKER = "max_queued_messages 0\nset_tcp_nodelay true\nmax_inflight_messages 64\n"


HURTS = ("consumer", "two_consumers", "server", "broker", "frozen")  # kill -9, but the last: SIGSTOP


class Consumer:
    """One `edge-centre run` of the group."""

    def __init__(
        self, number: int, broker: Broker, url: str, directory: Path, module: str = "simulators.centre"
    ) -> None:
        self._log = directory / f"consumer-{number}.log"
        self._arguments = [
            sys.executable, "-m", module, "run", "--port", str(broker.port), "--db", url,
            "--client-id", f"consumer-{number}", "--lang", "en",
        ]  # fmt: skip
        self.process: subprocess.Popen[str] | None = None

    def start(self, *, wait: bool = True) -> None:
        with self._log.open("a") as log:
            self.process = subprocess.Popen(self._arguments, stdout=subprocess.PIPE, stderr=log, text=True)
        if wait:
            self.ready()

    def ready(self) -> None:
        assert self.process is not None
        assert self.process.stdout is not None
        assert "ready" in self.process.stdout.readline(), self._log.read_text()[-3000:]

    def tend(self) -> None:
        """What systemd does (Restart=always): one that ended, for example because it found no server, is started again."""
        if self.process is not None and self.process.poll() is not None:
            self.kill()
            self.start(wait=False)

    @property
    def bugs(self) -> int:
        """Exceptions nobody expected, in all its lives."""
        return self._log.read_text(errors="replace").count("Traceback")

    def send(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        process, self.process = self.process, None
        if process is not None:
            process.kill()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()

    def stop(self) -> int:
        assert self.process is not None
        self.process.terminate()
        code = self.process.wait(30)
        self.kill()
        return code


class Crowd:
    """A fleet process and what it last said."""

    def __init__(
        self, broker: Broker, directory: Path, first: int, gateways: int, load: Load, *, unconfirmed_s: float, seed: int
    ) -> None:
        more = [part for field, value in asdict(load).items() for part in (f"--{field}", str(value))]
        with (directory / f"fleet-{first}.log").open("w") as log:
            self.process = subprocess.Popen(
                [
                    sys.executable, "-m", "tests.city.fleet", "--port", str(broker.port), "--first", str(first),
                    "--gateways", str(gateways), "--directory", str(directory), "--seed", str(seed),
                    "--unconfirmed-s", str(unconfirmed_s), *more,
                ],
                stdout=subprocess.PIPE, stderr=log, text=True,
            )  # fmt: skip
        self.last: dict[str, Any] = {}
        self._log = directory / f"fleet-{first}.log"
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.last = json.loads(line)

    @property
    def done(self) -> bool:
        """Whether every record is confirmed. Raise AssertionError if it ended otherwise."""
        if self.process.poll() is not None:
            self._thread.join()
            assert self.last.get("done"), self._log.read_text()[-3000:]
        return bool(self.last.get("done"))

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._thread.join()
        assert self.process.stdout is not None
        self.process.stdout.close()


class City:
    """Broker, server, consumers; `one_way_s` from each consumer to the server, None for a socket beside it."""

    def __init__(
        self,
        directory: Path,
        consumers: int,
        *,
        module: str = "simulators.centre",
        data: Path | None = None,
        one_way_s: float | None = None,
    ) -> None:
        self.directory = directory
        self._close = contextlib.ExitStack()
        try:
            self.server = self._close.enter_context(Postgres(data))
            self.broker = self._close.enter_context(Broker(directory, config=BROKER))
            url = self.server.url
            if one_way_s is not None:
                url = self._close.enter_context(Distance(self.server.home, one_way_s)).url
            self.consumers = [Consumer(n, self.broker, url, directory, module) for n in range(1, consumers + 1)]
            for consumer in self.consumers:
                self._close.callback(consumer.kill)
                consumer.start(wait=False)
            for consumer in self.consumers:
                consumer.ready()
        except BaseException:
            self._close.close()
            raise

    def __enter__(self) -> "City":
        return self

    def __exit__(self, *_: object) -> None:
        self._close.close()

    @contextlib.contextmanager
    def crowds(
        self, gateways: int, load: Load, *, processes: int = 1, unconfirmed_s: float = 5.0, seed: int = 1
    ) -> Iterator[Sequence[Crowd]]:
        share = -(-gateways // processes)
        made = [
            Crowd(
                self.broker, self.directory, first, min(share, gateways - first), load,
                unconfirmed_s=unconfirmed_s, seed=seed + first,
            )
            for first in range(0, gateways, share)
        ]  # fmt: skip
        try:
            yield made
        finally:
            for crowd in made:
                crowd.close()

    def hurt(self, what: str, rng: random.Random) -> None:
        """One of HURTS, and its end."""
        if what == "broker":
            self.broker.restart()
        elif what == "server":
            self.server.kill()
            time.sleep(rng.uniform(0.0, 1.5))
            self.server.start()
        elif what == "frozen":
            [victim] = rng.sample(self.consumers, 1)
            victim.send(signal.SIGSTOP)
            time.sleep(rng.uniform(1.0, 9.0))  # beyond 7.5 s the broker gives its session up
            victim.send(signal.SIGCONT)
        else:
            victims = rng.sample(self.consumers, 1 if what == "consumer" else 2)
            for victim in victims:
                victim.kill()
            time.sleep(rng.uniform(0.0, 1.0))
            for victim in victims:
                victim.start(wait=False)

    def settle(self, crowds: Sequence[Crowd], within_s: float) -> None:
        """Wait until every gateway is told that all it had is stored."""

        def settled() -> bool:
            for consumer in self.consumers:
                consumer.tend()
            return all(crowd.done for crowd in crowds)

        eventually(settled, f"{[c.last for c in crowds]}", within_s)
