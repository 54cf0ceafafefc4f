"""One frame, by ffmpeg: of an RTSP stream it fetches itself, or of a clip it is given.

The address with the password in it goes to ffmpeg's standard input, as a list of one file (ffconcat): on the command line every
user of this machine could read it. What ffmpeg gives back is bounded in bytes and time, and so is ffmpeg.
"""

import asyncio
import contextlib
import os
import resource
import shutil
import signal
from typing import Final
from urllib.parse import quote

from edge_agent.cameras.digest import Credentials
from edge_agent.cameras.faults import CameraFault

MEMORY_MAX: Final = 1024 * 1024 * 1024  # address space: ffmpeg maps much more than it uses
CPU_MAX_S: Final = 20
ERRORS_MAX: Final = 4096
SPARE_FRAMES: Final = 2  # a damaged frame is not counted, and there would be none at the very last number
_LIST: Final = ["-protocol_whitelist", "pipe,file,crypto,data,rtsp,rtp,tcp,udp", "-f", "concat", "-safe", "0"]


def address(host: str, port: int, path: str, who: Credentials | None) -> str:
    """The RTSP address with the credentials in it. Never to be logged."""
    login = f"{quote(who.user, safe='')}:{quote(who.password, safe='')}@" if who else ""
    host = f"[{host}]" if ":" in host else host
    return f"rtsp://{login}{host}:{port}{path}"


def program() -> str:
    """ffmpeg. Raise CameraFault."""
    found = os.environ.get("EDGE_FFMPEG") or shutil.which("ffmpeg")
    if not found:
        raise CameraFault("no_ffmpeg")
    return found


def command(ffmpeg: str, given: list[str], *, skip: int = 0) -> list[str]:
    """One JPEG on standard output, as good as its scale of 2 (best) to 31 makes sense; nothing of ours is on the line.

    `given`: what standard input is; `skip`: so many frames are only decoded.
    """
    return [
        ffmpeg, "-hide_banner", "-loglevel", "error", "-nostdin", *given, "-i", "pipe:0",
        "-map", "0:v:0", *(("-vf", f"select=gte(n\\,{skip})") if skip else ()),
        "-frames:v", "1", "-c:v", "mjpeg", "-q:v", "4", "-f", "image2pipe", "pipe:1",
    ]  # fmt: skip


async def grab(url: str, *, max_bytes: int) -> bytes:
    """A JPEG of a stream. Raise CameraFault; cancelled or late, ffmpeg is gone before this returns."""
    given = f"ffconcat version 1.0\nfile '{url.replace(chr(39), '%27')}'\noption rtsp_flags prefer_tcp\n"
    return await _run(command(program(), _LIST), given.encode(), max_bytes)


async def last_frame(codec: str, stream: bytes, frames: int, *, max_bytes: int) -> bytes:
    """A JPEG of the last of `frames` frames of an Annex B stream, as `grab`; of one just before it where a frame is damaged."""
    given = ["-protocol_whitelist", "pipe", "-f", codec]
    return await _run(command(program(), given, skip=max(0, frames - 1 - SPARE_FRAMES)), stream, max_bytes)


async def _run(line: list[str], given: bytes, max_bytes: int) -> bytes:
    ffmpeg = await asyncio.create_subprocess_exec(
        *line,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
        preexec_fn=_bounds,
        limit=64 * 1024,
    )
    assert ffmpeg.stdin is not None
    assert ffmpeg.stdout is not None
    assert ffmpeg.stderr is not None
    errors = asyncio.create_task(_words(ffmpeg.stderr), name="ffmpeg-errors")
    giving = asyncio.create_task(_give(ffmpeg.stdin, given), name="ffmpeg-input")
    try:
        picture = bytearray()
        while piece := await ffmpeg.stdout.read(64 * 1024):
            picture += piece
            if len(picture) > max_bytes:
                raise CameraFault("too_large")
        if not picture:
            raise _explain(await errors)
        return bytes(picture)
    finally:
        errors.cancel()
        giving.cancel()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(ffmpeg.pid, signal.SIGKILL)
        await asyncio.shield(ffmpeg.wait())


async def _give(stream: asyncio.StreamWriter, given: bytes) -> None:
    """It may have all it wants before it has read all of it."""
    with contextlib.suppress(OSError):
        stream.write(given)
        await stream.drain()
    stream.close()


async def _words(stream: asyncio.StreamReader) -> str:
    """All it says, as far as it is short; the rest is read and thrown away, or ffmpeg would wait for us."""
    said = bytearray()
    while piece := await stream.read(ERRORS_MAX):
        said += piece[: ERRORS_MAX - len(said)]
    return said.decode("utf-8", "replace")


def _bounds() -> None:
    """In the child: a stream that makes ffmpeg eat or spin ends ffmpeg, not this machine."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_MAX, MEMORY_MAX))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_MAX_S, CPU_MAX_S))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError):
        os.nice(10)


def _explain(said: str) -> CameraFault:
    """Which of our codes ffmpeg's words mean. The words may hold the address, and so the password: they go no further."""
    for mark, code in (
        ("401 Unauthorized", "auth"),
        ("403 Forbidden", "auth"),
        ("404", "no_stream"),
        ("Connection refused", "refused"),
        ("No route to host", "no_route"),
        ("timed out", "timeout"),
    ):
        if mark in said:
            return CameraFault(code)
    return CameraFault("no_frame")
