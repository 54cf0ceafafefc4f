"""What a buzzer or a lamp does over time."""

import itertools
from dataclasses import dataclass, replace

_MS = 1_000_000


@dataclass(frozen=True, slots=True)
class Pattern:
    """`steps_ns` are on, off, on, off ... from the moment the pattern starts, over and over; none at all is constant `base`."""

    steps_ns: tuple[int, ...] = ()
    base: bool = False

    def __post_init__(self) -> None:
        if len(self.steps_ns) % 2 or any(step <= 0 for step in self.steps_ns):
            raise ValueError("steps come in pairs and last")

    def level(self, elapsed_ns: int) -> bool:
        """On or off, so long after the start. The first level of every pattern is on, except of OFF."""
        return self.base if not self.steps_ns else self._step(elapsed_ns)[0] % 2 == 0

    def next_change_ns(self, elapsed_ns: int) -> int | None:
        """The elapsed time of the next change; None if there is none."""
        return self._step(elapsed_ns)[1] if self.steps_ns else None

    def _step(self, elapsed_ns: int) -> tuple[int, int]:
        period_ns = sum(self.steps_ns)
        turns, within_ns = divmod(max(0, elapsed_ns), period_ns)
        for number, end_ns in enumerate(itertools.accumulate(self.steps_ns)):
            if within_ns < end_ns:
                return number, turns * period_ns + end_ns
        raise AssertionError("unreachable")


OFF = Pattern()
STEADY = Pattern(base=True)
SENDING = Pattern((500 * _MS, 500 * _MS))  # GB 26875.1-2011 4.1.1.3: flashing is sending, steady is confirmed
PAST = Pattern((100 * _MS, 1900 * _MS))  # it is over, and nobody has acknowledged it yet
# ISO 8201 temporal-3 means "evacuate" and is left to evacuation sounders
FIRE_SOUND = Pattern((200 * _MS, 100 * _MS))
FAULT_SOUND = Pattern((500 * _MS, 4500 * _MS))
# 查岗: a triple that grows, unlike any alarm
DUTY_SOUND = Pattern((100 * _MS, 100 * _MS, 200 * _MS, 100 * _MS, 400 * _MS, 1100 * _MS))
DUTY_LAMP = Pattern((100 * _MS, 100 * _MS, 100 * _MS, 100 * _MS, 100 * _MS, 500 * _MS))
TEST_SOUND = Pattern((50 * _MS, 50 * _MS, 50 * _MS, 350 * _MS))
LINK_SOUND = Pattern((150 * _MS, 150 * _MS, 150 * _MS, 4550 * _MS))


@dataclass(frozen=True, slots=True, kw_only=True)
class Annunciation:
    """What the box shows and sounds now."""

    buzzer: Pattern = OFF
    fire_lamp: Pattern = OFF
    fault_lamp: Pattern = OFF
    link_lamp: Pattern = OFF


def overlay(alarms: Annunciation, *, duty_sound: bool, duty_lamp: bool, test: bool) -> Annunciation:
    """What the box does with a duty check or a test on top of its alarms. A fire is never masked; a duty check beats a test, a
    test beats the sound of faults, whose lamps stay.
    """
    shown = replace(alarms, link_lamp=DUTY_LAMP) if duty_lamp else alarms
    if alarms.buzzer == FIRE_SOUND or not (duty_sound or test):
        return shown
    return replace(shown, buzzer=DUTY_SOUND if duty_sound else TEST_SOUND)
