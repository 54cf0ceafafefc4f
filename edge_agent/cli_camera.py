"""`edge-agent camera test`: a picture from each camera as configured, without core or journal."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edge_agent.cli_base import FilePath
from edge_agent.config.model import Camera as Settings
from edge_agent.config.model import Config
from edge_agent.system_words import system_words
from edge_agent.terminal import CONFIG, FAILURES, OK, USAGE, WARNINGS, CliContext, print_json, print_lines
from edge_agent.texts import text

if TYPE_CHECKING:
    from edge_agent.cameras.faults import CameraFault

CLOCK_OFF_S = 60.0


@click.group()
def camera_group() -> None:
    """Words for it are in the catalogue."""


@camera_group.command("test")
@click.argument("name", required=False, default="")
@click.option("--out", type=FilePath(), metavar="FILE")
@click.option("--before", is_flag=True)
@click.pass_obj
def test(obj: CliContext, name: str, out: Path | None, before: bool) -> int:
    """One picture from NAME, or from each."""
    import asyncio

    from edge_agent.cli_run import load_or_complain

    config = load_or_complain(obj).config
    if config is None:
        return CONFIG
    chosen = [camera for camera in config.cameras if name in ("", camera.id)]
    if not chosen:
        known = ", ".join(camera.id for camera in config.cameras)
        said = text("camera.unknown", obj.lang, name=name, known=known) if known else text("camera.none", obj.lang)
        print_lines([said], err=True)
        return USAGE
    found, worst = [], OK
    for camera in chosen:
        row, code, lines = asyncio.run(_try(camera, config, obj.lang, out, before))
        found.append(row)
        worst = max(worst, code)
        if not obj.json_out:
            print_lines(lines)
    if obj.json_out:
        print_json(found)
    return worst


async def _try(
    settings: Settings, config: Config, lang: str, out: Path | None, before: bool
) -> tuple[dict[str, Any], int, list[str]]:
    from edge_agent.cameras.camera import Camera
    from edge_agent.cameras.faults import CameraFault

    camera = Camera(settings, max_bytes=config.media.picture_kb * 1024, wall_ns=time.time_ns)
    begun_s = time.monotonic()
    try:
        shot = await camera.snapshot()
    except CameraFault as fault:
        why = _why(fault, lang)
        row = {"camera": settings.id, "ok": False, "code": fault.code, "detail": fault.detail}
        return row, FAILURES, [text("camera.failed", lang, name=settings.id, why=why)]
    seconds = round(time.monotonic() - begun_s, 2)
    off_s = None if shot.clock_off_ns is None else round(shot.clock_off_ns / 1e9, 1)
    row = {"camera": settings.id, "ok": True, "bytes": len(shot.jpeg), "seconds": seconds, "clock_off_s": off_s}
    lines = [text("camera.took", lang, name=settings.id, bytes=len(shot.jpeg), seconds=seconds)]
    code = OK
    if off_s is None:
        lines.append(text("camera.clock_unsaid", lang))
    elif abs(off_s) > CLOCK_OFF_S:
        code = WARNINGS
        lines.append(text("camera.clock_off", lang, seconds=off_s))
    else:
        lines.append(text("camera.clock_ok", lang, seconds=off_s))
    if before:
        row["before"], said, failed = await _before(camera, shot.clock_off_ns, lang)
        lines.append(said)
        code = FAILURES if failed else code
    if out is not None:
        written, said = _write(out, shot.jpeg, lang)
        lines.append(said)
        code = code if written else FAILURES
    return row, code, lines


def _why(fault: "CameraFault", lang: str) -> str:
    why = text(f"camera.fault_{fault.code}", lang)
    return text("camera.detail", lang, why=why, detail=fault.detail) if fault.detail else why


def _write(out: Path, jpeg: bytes, lang: str) -> tuple[bool, str]:
    try:
        out.write_bytes(jpeg)
    except OSError as fault:
        return False, text("camera.not_written", lang, path=out, why=system_words(fault, lang))
    return True, text("camera.written", lang, path=out)


async def _before(camera: Any, clock_off_ns: int | None, lang: str) -> tuple[object, str, bool]:
    from edge_agent.cameras.faults import CameraFault

    if not camera.keeps:
        return "not_kept", text("camera.before_not_kept", lang), False
    seconds, now_ns = camera.settings.before_s, time.time_ns()
    try:
        shot = await camera.before(now_ns - round(seconds * 1e9), now_ns, clock_off_ns)
    except CameraFault as fault:
        why = _why(fault, lang)
        return {"code": fault.code, "detail": fault.detail}, text("camera.before_failed", lang, why=why), True
    ago_s = round((now_ns - shot.taken_wall_ns) / 1e9, 1)  # what it is really of
    row = {"bytes": len(shot.jpeg), "seconds_ago": ago_s}
    return row, text("camera.before_took", lang, seconds=ago_s, bytes=len(shot.jpeg)), False
