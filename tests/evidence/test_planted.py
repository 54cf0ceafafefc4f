"""Rows of docs/matrix.md can fail: a bug of the row's kind is planted in the product, and the row's own test finds it.

Those of the other rows: tests/sim/test_planted.py, tests/proof/test_checker.py, `-k "planted or found_out"` in tests/power, and
the tests named in the matrix. What is planted is undone after each; that the tests hold without it is what every run shows.
"""

import asyncio
import ssl
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from drivers.modbus_rtu import Owed
from drivers.serial_link import SerialLink
from edge_agent import sent_check
from edge_agent.alarm.patterns import DUTY_SOUND
from edge_agent.boot_times import BootTimes
from edge_agent.points.filters import Debounce
from edge_agent.uplink import outbox as outbox_module
from edge_agent.uplink.trust import Trust
from tests.alarm import test_duty
from tests.config import test_sent_check
from tests.drivers import test_modbus_rtu, test_serial_link
from tests.points import test_table
from tests.time import test_clock
from tests.uplink import test_outbox, test_tls

Plant = Callable[[pytest.MonkeyPatch], None]


def alarms_have_no_slots_of_their_own(patch: pytest.MonkeyPatch) -> None:
    """A fresh alarm waits until the backlog has left the wire."""
    patch.setattr(outbox_module, "ALARM_RESERVE", 0)
    pick = outbox_module.Outbox.pick
    patch.setattr(outbox_module.Outbox, "pick", lambda self, window, *more: pick(self, window + 1, *more))


def contacts_count_at_once(patch: pytest.MonkeyPatch) -> None:
    """Each bounce is a change."""
    real = Debounce.__init__
    patch.setattr(Debounce, "__init__", lambda self, **given: real(self, level=given.get("level", False)))


def a_duty_check_masks_a_fire(patch: pytest.MonkeyPatch) -> None:
    """The sound of the check comes first."""

    def overlay(alarms: Any, *, duty_sound: bool, duty_lamp: bool, test: bool) -> Any:
        return replace(alarms, buzzer=DUTY_SOUND) if duty_sound else alarms

    patch.setattr(test_duty, "overlay", overlay)


def a_pulled_port_stays_in_the_selector(patch: pytest.MonkeyPatch) -> None:
    """It is told, and read again and again."""

    def drop(self: SerialLink, why: str) -> None:
        lost, self._lost = self._lost, None
        if lost is not None and not lost.done():
            lost.set_result(why)

    patch.setattr(SerialLink, "_drop", drop)


def a_late_answer_is_believed(patch: pytest.MonkeyPatch) -> None:
    """Whatever fits the question asked last is its answer."""
    patch.setattr(Owed, "credit", lambda self, answer, now_s: True)
    patch.setattr(Owed, "confuses", lambda self, request, now_s: False)


def all_boots_began_at_once(patch: pytest.MonkeyPatch) -> None:
    """A record is dated by the boot that was learned last."""
    patch.setattr(BootTimes, "get", lambda self, boot_id: next(reversed(self._boots.values()), None))

    def restamp(self: BootTimes, at: Any) -> Any:
        known = next(reversed(self._boots.values()), None)
        return replace(at, wall_ns=at.mono_ns + known.offset_ns, restamped=True) if known else at

    patch.setattr(BootTimes, "restamp", restamp)


def any_certificate_will_do(patch: pytest.MonkeyPatch) -> None:
    """The broker's certificate is not looked at."""

    real = Trust.context

    def context(self: Trust, meeting: Any) -> ssl.SSLContext:
        found = real(self, meeting)
        found.check_hostname, found.verify_mode = False, ssl.CERT_NONE
        return found

    patch.setattr(Trust, "context", context)


def any_signature_will_do(patch: pytest.MonkeyPatch) -> None:
    """What was sent is not verified."""
    patch.setattr(sent_check, "verify", lambda *given: None)


def _pulled(place: Path) -> None:
    pty = test_serial_link.Pty(place / "port")
    pty.plug()
    asyncio.run(test_serial_link.test_a_port_that_hangs_up_costs_no_cpu_and_is_told_once(pty))


@dataclass(frozen=True, slots=True)
class Planted:
    """`look` is the row's own test; it is given a directory."""

    row: str
    plant: Plant
    look: Callable[[Path], object]


PLANTED = [
    Planted(
        "A1",
        alarms_have_no_slots_of_their_own,
        lambda _: test_outbox.test_a_backlog_leaves_the_alarm_slots_free_and_a_fresh_alarm_needs_no_disk(),
    ),
    Planted(
        "A2",
        contacts_count_at_once,
        lambda _: test_table.test_glitches_shorter_than_the_delay_are_no_event.hypothesis.inner_test([(20, 100)]),
    ),
    Planted(
        "A3",
        a_duty_check_masks_a_fire,
        lambda _: test_duty.test_checks_tests_and_manual_alarms_beside_fires_fire_first_and_all_answered(0),
    ),
    Planted("I2", a_pulled_port_stays_in_the_selector, _pulled),
    Planted(
        "I3",
        a_late_answer_is_believed,
        lambda _: test_modbus_rtu.test_a_slave_that_is_always_late_is_never_credited_with_the_wrong_register(0.22),
    ),
    Planted(
        "T1",
        all_boots_began_at_once,
        lambda _: test_clock.test_records_of_three_boots_keep_their_order_and_each_gets_the_time_of_its_own_boot(),
    ),
    Planted(
        "N6",
        any_certificate_will_do,
        lambda place: asyncio.run(test_tls.test_a_broker_of_another_ca_is_refused(place)),
    ),
    Planted(
        "C1",
        any_signature_will_do,
        lambda place: test_sent_check.test_a_signature_that_is_not_the_key_holders_over_these_very_bytes_is_refused(
            test_sent_check.Bench(place)
        ),
    ),
]


@pytest.mark.parametrize("one", PLANTED, ids=lambda one: f"{one.row}-{one.plant.__name__}")
def test_the_rows_own_test_finds_the_bug(monkeypatch: pytest.MonkeyPatch, one: Planted) -> None:
    one.plant(monkeypatch)
    with (
        tempfile.TemporaryDirectory(prefix="zg-") as place,
        pytest.raises((AssertionError, pytest.fail.Exception)) as found,
    ):
        one.look(Path(place))
    print(one.row, str(found.value)[:200])
