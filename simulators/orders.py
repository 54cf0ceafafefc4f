"""Orders to a simulator: one a line on standard input, each answered by one JSON object on standard output."""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path


async def obey(link: Path, carry_out: Callable[[list[str]], Awaitable[dict[str, object]]]) -> None:
    """Say that it is ready on `link`, then carry out orders until `quit` or the end of input. ValueError: no such order."""
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    print(json.dumps({"did": "ready", "link": str(link)}), flush=True)
    while line := await lines.readline():
        words = line.decode(errors="replace").split()
        if words == ["quit"]:
            break
        if words:
            try:
                done = await carry_out(words)
            except ValueError as wrong:
                done = {"error": str(wrong)}
            print(json.dumps(done), flush=True)
