"""One frame of an RTSP stream, by ffmpeg.

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
_PROTOCOLS: Final = "pipe,file,crypto,data,rtsp,rtp,tcp,udp"


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


def command(ffmpeg: str) -> list[str]:
    """One JPEG on standard output, as good as its scale of 2 (best) to 31 makes sense; nothing of ours is on the line."""
    return [
        ffmpeg, "-hide_banner", "-loglevel", "error", "-nostdin",
        "-protocol_whitelist", _PROTOCOLS, "-f", "concat", "-safe", "0", "-i", "pipe:0",
        "-map", "0:v:0", "-frames:v", "1", "-c:v", "mjpeg", "-q:v", "4", "-f", "image2pipe", "pipe:1",
    ]  # fmt: skip


async def grab(url: str, *, max_bytes: int) -> bytes:
    """A JPEG. Raise CameraFault; cancelled or late, ffmpeg is gone before this returns."""
    given = f"ffconcat version 1.0\nfile '{url.replace(chr(39), '%27')}'\noption rtsp_flags prefer_tcp\n"
    ffmpeg = await asyncio.create_subprocess_exec(
        *command(program()),
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
    try:
        with contextlib.suppress(OSError):
            ffmpeg.stdin.write(given.encode())
            ffmpeg.stdin.close()
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
        with contextlib.suppress(ProcessLookupError):
            os.killpg(ffmpeg.pid, signal.SIGKILL)
        await asyncio.shield(ffmpeg.wait())


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
