"""`edge-centre gb26875`: run the GB/T 26875.3 side, show what comes, ask what is asked for, err as told."""

import argparse
import asyncio
import dataclasses
import json
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable
from datetime import datetime
from typing import Final

from drivers.codecs.gb26875 import DIALECTS, Adu, device_address, encode_adu, show_device
from drivers.codecs.gb26875.adu import DOWNLINK
from drivers.codecs.gb26875.layouts import LAYOUTS
from drivers.codecs.gb26875.meaning import frame_fields, unit_fields
from drivers.codecs.gb26875.objects import InformationObject
from edge_agent.gb_words import head_line, unit_lines
from edge_agent.system_words import system_words
from edge_agent.terminal import FAILURES, OK, print_lines, printable
from edge_agent.texts import text
from simulators.centre.far_side import told_to_people
from simulators.centre.gb26875 import CHINA, Denied, GbCentre
from simulators.centre.gb_faults import FAULTS, FaultMenu, FaultName
from simulators.centre.options import host, port

PORT: Final = 5201  # no port is standard; this one is seen often

Question = tuple[int, tuple[InformationObject, ...]]


def add_options(command: argparse.ArgumentParser, word: Callable[[str], str]) -> None:
    """The options of the command."""
    command.add_argument("--host", type=host, default="127.0.0.1", help=word("gb_opt_host"))
    command.add_argument("--port", type=port, default=PORT, help=word("gb_opt_port"))
    command.add_argument("--udp", action="store_true", help=word("gb_opt_udp"))
    command.add_argument("--dialect", choices=sorted(DIALECTS), default="standard", help=word("gb_opt_dialect"))
    command.add_argument("--address", type=device_address, default="88888", metavar="N", help=word("gb_opt_address"))
    command.add_argument(
        "--fault", type=fault, action="append", default=[], metavar="NAME[=N]", help=word("gb_opt_fault")
    )
    command.add_argument(
        "--ask", type=question, action="append", default=[], metavar="TYPE[:...]", help=word("gb_opt_ask")
    )
    command.add_argument("--json", action="store_true", help=word("gb_opt_json"))


def fault(written: str) -> tuple[FaultName, int | None]:
    """NAME or NAME=TIMES. Raise ArgumentTypeError."""
    name, _, times = written.partition("=")
    for known in FAULTS:
        if name == known and (not times or times.isdecimal()):
            return known, int(times) if times else None
    raise argparse.ArgumentTypeError(f"{written}; {', '.join(FAULTS)}")


def question(written: str) -> Question:
    """TYPE, or TYPE: and the fields of its object with commas between: 62:1,1,0A000200 or 64:1,1,10,2026-11-25T08:00:00, 90:now."""
    try:
        kind_text, _, rest = written.partition(":")
        kind = int(kind_text)
        if kind not in LAYOUTS or kind not in DOWNLINK:
            raise ValueError("no downlink type")
        made = LAYOUTS[kind][0].kind
        names = [field.name for field in dataclasses.fields(made)]
        values = rest.split(",") if rest else ["0"] * (names == ["reserved"])
        if len(values) != len(names):
            raise ValueError(f"{kind}:{','.join(names)}")
        asked: InformationObject = made(*map(_value, names, values))
        encode_adu(kind, [asked])
        return kind, (asked,)
    except ValueError as wrong:
        raise argparse.ArgumentTypeError(f"{written}: {wrong}") from None


def _value(name: str, written: str) -> object:
    if name == "address":
        return bytes.fromhex(written)
    if name in ("time", "start"):
        return datetime.now(CHINA).replace(tzinfo=None) if written == "now" else datetime.fromisoformat(written)
    return int(written)


def run(options: argparse.Namespace, lang: str, shown_db: str) -> int:
    """Serve until SIGINT or SIGTERM. Raise StoreFault for a database that cannot be used."""
    logging.basicConfig(
        level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s %(message)s", stream=sys.stderr
    )
    return asyncio.run(_serve(options, lang, shown_db))


async def _serve(options: argparse.Namespace, lang: str, shown_db: str) -> int:
    stop, bug = asyncio.Event(), asyncio.Event()

    def fall() -> None:
        bug.set()
        stop.set()

    menu = FaultMenu()
    for name, times in options.fault:
        menu.add(name, times=times)
    centre = GbCentre(
        host=options.host,
        port=options.port,
        db=options.db,
        dialect=DIALECTS[options.dialect],
        address=options.address,
        faults=menu,
        udp=options.udp,
        database=told_to_people("database", shown_db, lang),
        on_bug=fall,
    )
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    try:
        await centre.start()
    except OSError as failed:
        why = _why_no_port(failed, lang)
        print_lines([text("centre.gb_no_port", lang, host=options.host, port=options.port, why=why)], err=True)
        return FAILURES
    print(text("centre.gb_ready", lang, host=centre.host, port=centre.port, db=shown_db), flush=True)
    desk = _Desk(centre, options.ask, lang, as_json=options.json)
    tasks = [asyncio.create_task(desk.show()), asyncio.create_task(desk.ask())]
    await stop.wait()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await centre.stop()
    print(text("centre.stopped", lang), flush=True)
    return FAILURES if bug.is_set() else OK


def _why_no_port(failed: OSError, lang: str) -> str:
    """asyncio words it anew, in English; the number is the system's."""
    if isinstance(failed, socket.gaierror):
        return text("centre.why_broker_no_name", lang)
    return system_words(os.strerror(failed.errno) if failed.errno else failed, lang)


class _Desk:
    """What a person at the centre sees and asks."""

    def __init__(self, centre: GbCentre, questions: list[Question], lang: str, *, as_json: bool) -> None:
        self._centre, self._questions, self._lang, self._as_json = centre, questions, lang, as_json
        self._shown = 0
        self._asked: set[bytes] = set()

    async def show(self) -> None:
        """Print every upload that was taken."""
        centre = self._centre
        while True:
            await centre.until(lambda: centre.counters["uploads"] > self._shown, timeout_s=None)
            new = centre.counters["uploads"] - self._shown
            self._shown += new
            for one in centre.received[-new:]:
                fields = frame_fields(one.frame, centre.dialect)
                lines = [head_line(fields, self._lang), *self._indented(fields["adu"])]
                self._say({"received_ns": one.received_ns, **fields}, lines)

    async def ask(self) -> None:
        """Put the questions to every device that appears."""
        while self._questions:
            await self._centre.until(lambda: not self._asked.issuperset(self._centre.devices), timeout_s=None)
            for device in set(self._centre.devices) - self._asked:
                self._asked.add(device)
                for kind, objects in self._questions:
                    await self._put(device, kind, objects)

    async def _put(self, device: bytes, kind: int, objects: tuple[InformationObject, ...]) -> None:
        answer: Adu | None = None
        try:
            answer = await self._centre.send(kind, *objects, device=device)
            said = "answered"
        except Denied:
            said = "denied"
        except (TimeoutError, ConnectionError):
            said = "unanswered"
        name = show_device(device, self._centre.dialect.device_address)
        fields = None if answer is None or not answer.raw else unit_fields(answer, self._centre.dialect)
        lines = [text(f"centre.gb_{said}", self._lang, kind=kind, device=name)]
        told = {"asked": kind, "device": name, "result": said, "adu": fields}
        self._say(told, lines + (self._indented(fields) if fields else []))

    def _indented(self, unit: object) -> list[str]:
        return [f"  {line}" for line in unit_lines(unit, self._lang)]

    def _say(self, fields: dict[str, object], lines: list[str]) -> None:
        print_lines([json.dumps(fields, ensure_ascii=False)] if self._as_json else map(printable, lines))
        sys.stdout.flush()
