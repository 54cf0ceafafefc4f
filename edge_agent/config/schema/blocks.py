"""Keys that stand in many tables."""

from edge_agent.config.keys import BAUD_RATES, Key


def own_id(example: str) -> Key:
    """What a source is called by all others."""
    return Key(zh="编号, 全站唯一", en="Id, unique in the site", example=example, form="id")


def called(example: str, *, sample: bool = False) -> Key:
    """What people call it."""
    return Key(zh="现场叫法, 给人看", en="What people on site call it", example=example, form="name", sample=sample)


def baud(zh: str, en: str) -> Key:
    """Speed of a serial line."""
    return Key(zh=zh, en=en, example="9600", unit="baud", choices=BAUD_RATES)


def framing(zh: str, en: str) -> Key:
    """Framing of a serial line."""
    return Key(zh=zh, en=en, example='"8N1"', form="framing")


def seconds(zh: str, en: str, example: str, low: float, high: float) -> Key:
    """A time from `low` to `high`."""
    return Key(zh=zh, en=en, example=example, unit="s", low=low, high=high)


def tap(what: str, zh: str, example: str) -> Key:
    """The panel this source is another way to."""
    return Key(
        zh=f"这是哪台主机的另一个{zh}: 写主机的编号, 两处互为印证, 不重复报警 (docs/taps.zh.md)",
        en=f"Another {what} of this panel, by its id: both are one source, and no alarm comes twice (docs/taps.md)",
        example=example,
        form="id",
    )
