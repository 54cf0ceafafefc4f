"""How the demo's story looks: a line for what happened, and a picture of where the newest fire is now.

In a terminal the picture stays below the story and changes in place; into a file or a pipe it is printed whenever it changes.
"""

import asyncio
import os
import shutil
import sys
import time

from edge_agent.terminal import cells, pad, print_lines
from edge_agent.texts import text

PAUSE_S, PAUSES = 2.5, 9  # between the scenes, so that a person can read along
STORY_S = 14.0  # what the story itself may take on a slow computer: with less time than that there are no pauses
WHO_CELLS, AT_CELLS = 8, 9
INDENT = AT_CELLS + WHO_CELLS + 2
WIDEST = 120

SAID, HEARD, KEPT, DELIVERED = 1, 2, 3, 4  # how far the newest fire has come


class Show:
    """Tells the story and keeps its timeline. `quiet` prints nothing; `deadline_s` (monotonic) takes the pauses back."""

    def __init__(self, lang: str, *, quiet: bool = False, deadline_s: float | None = None) -> None:
        self.lang, self._quiet, self._deadline_s = lang, quiet, deadline_s
        self._terminal = not quiet and sys.stdout.isatty()
        self._alive = self._terminal and os.environ.get("TERM", "") not in ("", "dumb")
        self.timeline: list[dict[str, object]] = []
        self._started_s = time.monotonic()
        self.gateway_up, self.link_up, self.buzzer = False, True, False
        self.stage, self.kept, self.stored = 0, 0, 0
        self._picture: list[str] = []
        self._drawn = 0  # lines of the picture below the story

    def elapsed_s(self) -> float:
        """Since the beginning."""
        return round(time.monotonic() - self._started_s, 2)

    def title(self) -> None:
        """What this is."""
        if not self._quiet:
            print_lines([*wrap(text("demo.title", self.lang), self._width()), ""])

    def say(self, who: str, what: str, **values: object) -> None:
        """One line: when, who, what. The picture follows it."""
        at_s = round(time.monotonic() - self._started_s, 3)
        self.timeline.append({"at_s": at_s, "who": who, "what": what, **values})
        if self._quiet:
            return
        words = {key: short(value) if isinstance(value, float) else value for key, value in values.items()}
        told = wrap(text(f"demo.{what}", self.lang, **words), self._width() - INDENT)
        name = pad(text(f"demo.who_{who}", self.lang), WHO_CELLS)
        head = f"{at_s:6.1f} s {name}  "
        self._print([head + told[0], *(" " * INDENT + line for line in told[1:])])

    async def pause(self) -> None:
        """Let a person read, if there is one and the time is there."""
        if not self._terminal:
            return
        pause_s = PAUSE_S
        if self._deadline_s is not None:
            pause_s = min(pause_s, (self._deadline_s - self._started_s - STORY_S) / PAUSES)
        await asyncio.sleep(max(0.0, pause_s))

    def end(self, lines: list[str]) -> None:
        """The result, below the last picture."""
        self._drawn = 0
        print_lines([part for line in lines for part in wrap(line, self._width())])

    def _print(self, lines: list[str]) -> None:
        picture = self._draw()
        if self._alive:
            up = f"\x1b[{self._drawn}A\x1b[J" if self._drawn else ""
            below = ["", *picture]
            sys.stdout.write(up + "".join(line + "\n" for line in (*lines, *below)))
            sys.stdout.flush()
            self._drawn = len(below)
        else:
            print_lines(lines if picture == self._picture else [*lines, *picture])
            sys.stdout.flush()
        self._picture = picture

    def _draw(self) -> list[str]:
        """Two lines of at most 79 columns: >> is where the newest fire has been, -- where it has yet to come, xx a cut."""

        def word(key: str, **values: object) -> str:
            return text(f"demo.pic_{key}", self.lang, **values)

        def way(stage: int) -> str:
            return " >> " if self.stage >= stage else " -- "

        core = word("core") if self.gateway_up else f"{word('core')}({word('down')})"
        start = f"  {word('panel')}{way(HEARD)}{core}"
        buzzer = word("on" if self.buzzer else "off") if self.gateway_up else word("down")
        link = f"{way(DELIVERED)}{word('link')}{way(DELIVERED)}" if self.link_up else f" -- {word('link_cut')} xx "
        above = f"{start}{way(HEARD)}{word('buzzer')} {buzzer}"
        below = f"{way(KEPT)}{word('journal', count=self.kept)}{link}{word('broker')}{way(DELIVERED)}"
        return [above, " " * cells(start) + below + word("centre", count=self.stored)]

    def _width(self) -> int:
        return min(WIDEST, shutil.get_terminal_size().columns - 1) if self._terminal else WIDEST


def short(value: float) -> str:
    """A figure for people: four digits of it."""
    return f"{value:.4g}" if abs(value) < 1000 else f"{value:.0f}"


def wrap(line: str, width: int) -> list[str]:
    """`line` in lines of at most `width` columns: broken at spaces, and anywhere between Chinese characters."""
    pieces: list[str] = []
    for char in line:  # a piece is what must stay together
        before = pieces[-1][-1] if pieces else " "
        if char in ",.;:)" or not (" " in (char, before) or cells(char) > 1 or cells(before) > 1):
            pieces[-1:] = [(pieces or [""])[-1] + char]
        else:
            pieces.append(char)
    lines, now = [], ""
    for piece in pieces:
        if now and cells(now) + cells(piece) > width:
            lines.append(now.rstrip())
            now = ""
        now += piece.lstrip() if not now else piece
    return [*lines, now]
