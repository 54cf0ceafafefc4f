"""What the inputs mean: smoke, gas, pressure, tilt, tamper, button, battery. No pins, no clock: time is an argument.

An alarm must have held for `hold` samples; it ends when the value is back past the hysteresis for as long. A sensor that says
what no sensor can say is a fault, and never "normal".
"""

BATTERY_LOW_V = 2.6  # of a 3 V cell
TEST_MS = 60_000  # a test ends by itself
MUTE_MS = 600_000  # and so does a mute
STUCK_MS = 60_000  # nobody holds a button for so long
DIRTY_PERCENT = 80
ALARMS = ("smoke", "gas")  # somebody may be in danger


class Limit:
    """One threshold of one number. `above` False: low is the alarm."""

    def __init__(self, at: float, back: float, hold: int, above: bool = True) -> None:
        self.at, self.back, self.hold, self.above = at, back, hold, above
        self.on = False
        self._count = 0

    def feed(self, value: float | None) -> bool:
        """Take a sample; None, a sensor that cannot be read, changes nothing."""
        if value is None:
            return self.on
        edge = self.back if self.on else self.at
        beyond = value >= edge if self.above else value <= edge
        if self.on and self.above:
            beyond = value > edge
        elif self.on:
            beyond = value < edge
        self._count = 0 if beyond == self.on else self._count + 1
        if self._count >= self.hold:
            self.on, self._count = beyond, 0
        return self.on


class Detector:
    """The state of one node. `settings` is the configuration's "detector": limits of what is fitted."""

    def __init__(self, settings: dict) -> None:
        self.hold = hold = settings.get("hold", 3)
        self.state: dict = {}
        self._limits = {}
        for name, value, above in (
            ("smoke", "smoke_percent", True),
            ("gas", "gas_lel_percent", True),
            ("pressure_low", "pressure_kpa", False),
            ("pressure_high", "pressure_kpa", True),
            ("tilt", "tilt_deg", True),
        ):
            if name in settings:
                at = settings[name]
                back = settings.get(name + "_back", at * (0.8 if above else 1.1))
                self._limits[name] = (value, Limit(at, back, hold, above))
        self._fitted = {value for value, _ in self._limits.values()}
        self._warmup_ms = settings.get("gas_warmup_s", 0) * 1000
        self._warm_at: int = None  # ms, None: not yet known
        self._test_until: int = None  # ms, None: none
        self._mute_until: int = None
        self._muted: list = []  # the alarms a person has muted
        self._pressed_ms: int = None  # since when, or that it is not
        self._pressed = True  # one that is held at the start was not pressed now
        low = settings.get("battery_low", BATTERY_LOW_V)
        self._battery = Limit(low, low + 0.1, 3, False)

    def restore(self, flags: dict) -> None:
        """What was so when the power went still is, until the sensors say otherwise."""
        self.state = {name: flags.get(name, False) for name in self._limits}
        for name, (_, limit) in self._limits.items():
            limit.on = self.state[name]
        self.state["battery_low"] = self._battery.on = flags.get("battery_low", False)

    def feed(self, inputs: dict, now_ms: int) -> bool:
        """Take one sample of everything; return whether a flag has changed. `inputs` has numbers, `tamper` and `button`."""
        if self._warm_at is None:
            self._warm_at = now_ms + self._warmup_ms
        if now_ms - self._warm_at < 0:  # a gas sensor says anything until it is warm: not an alarm, and not watching
            inputs = dict(inputs)
            inputs["gas_lel_percent"] = None
        flags = {name: limit.feed(inputs.get(value)) for name, (value, limit) in self._limits.items()}
        stuck = self._press(bool(inputs.get("button")), alarms(flags), now_ms)
        flags["fault"] = stuck or any(inputs.get(value) is None for value in self._fitted)
        flags["tamper"] = bool(inputs.get("tamper"))
        contamination = inputs.get("contamination_percent")
        flags["dirty"] = contamination is not None and contamination >= DIRTY_PERCENT
        flags["battery_low"] = self._battery.feed(inputs.get("battery_v"))
        flags["test"], flags["muted"] = self._test_until is not None, self._mute_until is not None
        before = {name: self.state.get(name, False) for name in flags}
        self.state = {name: value for name, value in inputs.items() if value is not None and name != "button"}
        self.state.update(flags)
        return flags != before

    def calm(self) -> bool:
        """Whether there is time and battery for what can wait."""
        return not (alarms(self.state) or self.state.get("test") or self.state.get("battery_low"))

    def sounding(self) -> bool:
        """Whether the sounder should be heard: an alarm that nobody muted, or a test."""
        return bool((alarms(self.state) and not self.state.get("muted")) or self.state.get("test"))

    def _press(self, pressed: bool, now_on: list, now_ms: int) -> bool:
        """The one button: mutes an alarm for ten minutes, and without one it is a test of a minute. Return whether it is stuck:
        then it does nothing, so that it can neither mute an alarm nor test for ever.
        """
        edge, self._pressed = pressed and not self._pressed, pressed
        if not pressed or self._pressed_ms is None:
            self._pressed_ms = now_ms
        if self._test_until is not None and now_ms - self._test_until >= 0:
            self._test_until = None
        if self._mute_until is not None:
            news = [name for name in now_on if name not in self._muted]
            if now_ms - self._mute_until >= 0 or not now_on or news:
                self._mute_until = None  # a new alarm sounds again
        if edge and now_on and self._mute_until is None:
            self._mute_until, self._muted, self._test_until = now_ms + MUTE_MS, now_on, None
        elif edge and not now_on:
            self._test_until = now_ms + TEST_MS
        return pressed and now_ms - self._pressed_ms >= STUCK_MS


def alarms(flags: dict) -> list:
    """Which alarms are on."""
    return [name for name in ALARMS if flags.get(name)]
