"""Every text a user meets, in Chinese and English: one catalogue, a file for each room.

A key is `room.name`; `edge_agent/texts/<room>.py` holds `TEXTS: dict[str, tuple[str, str]]`, name -> (zh, en), with
`str.format` fields of the same names in both. `scripts/check` compares them and looks for keys that nobody defines.
"""

import functools
import importlib
import os
import sys
from collections.abc import Mapping
from typing import Final

LANGUAGES: Final = ("zh", "en")


@functools.cache
def _room(room: str) -> Mapping[str, tuple[str, str]]:
    texts: Mapping[str, tuple[str, str]] = importlib.import_module(f"edge_agent.texts.{room}").TEXTS
    return texts


def forget() -> None:
    """Let go of every room that was read; one that is wanted again is read again. For services, which hardly speak."""
    _room.cache_clear()
    package = sys.modules[__name__]
    for name in [key for key in sys.modules if key.startswith(f"{__name__}.")]:
        del sys.modules[name]
        vars(package).pop(name.rpartition(".")[2], None)


def text(key: str, lang: str, /, **values: object) -> str:
    """The text of `key` in `lang` ("zh" or "en"), filled with `values`. An unknown key is a bug and raises KeyError."""
    room, _, name = key.partition(".")
    return _room(room)[name][LANGUAGES.index(lang)].format(**values)


def language_of_locale(environ: Mapping[str, str] = os.environ) -> str:
    """zh for a Chinese locale, else en; the Linux text console has no Chinese glyphs, so it gets English."""
    if environ.get("TERM") == "linux":
        return "en"
    locale = environ.get("LC_ALL") or environ.get("LC_MESSAGES") or environ.get("LANG") or ""
    return "zh" if locale.lower().startswith("zh") else "en"
