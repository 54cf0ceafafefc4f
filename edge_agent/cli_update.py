"""`edge-agent update status|check|install|back`: the gateway's own update, by a person on site."""

import os
import time
from pathlib import Path
from typing import Final

import click

from edge_agent import __version__
from edge_agent.cli_base import FilePath
from edge_agent.system_words import system_words
from edge_agent.terminal import FAILURES, OK, WARNINGS, CliContext, print_json, print_lines, printable
from edge_agent.texts import text
from edge_agent.update.bundle import BundleError, read
from edge_agent.update.judge import KEYS_DIR, Machine, as_dict, check_fits, check_room, check_signatures
from edge_agent.update.slots import CURRENT, GOOD, ROOT, LayoutError, Slots
from edge_agent.update.state import BUNDLE, OPEN, REQUEST, SPOOL, Desk, Phase, Request, State, put_request
from edge_agent.update.words import about_words, outcome, why_words

BEGIN_S: Final = 30.0  # for the path unit to see a request
LOOK_S: Final = 0.5

_root = click.option("--root", type=FilePath(), default=ROOT, metavar="DIR")
_keys = click.option("--keys", type=FilePath(), default=KEYS_DIR, metavar="DIR")
_without_centre = click.option("--without-centre", is_flag=True)
_no_wait = click.option("--no-wait", is_flag=True)


@click.group()
def update_group() -> None:
    """Words for it are in the catalogue."""


@update_group.command("status")
@_root
@click.pass_obj
def status(obj: CliContext, root: Path) -> int:
    """What runs, from which slot, whether it is on trial. Exit 1 while an update is in hand, or a slot is damaged."""
    slots, desk = Slots(root), _desk(obj, root)
    try:
        current, good = slots.named(CURRENT), slots.named(GOOD)
    except LayoutError:
        print_lines([text("update.no_slots", obj.lang, root=root)], err=True)
        return FAILURES
    state = desk.read()
    versions = {name: slots.about(name)[0] for name in (current, good, state.previous) if name}
    asked = (desk.spool / REQUEST).exists()
    trial, damaged = current != good, desk.damaged()
    if obj.json_out:
        print_json(
            {
                "version": __version__,
                "slot": current,
                "good": good,
                "phase": state.phase.value,
                "trial": trial,
                "asked": asked,
                "taken": state.version,
                "previous": state.previous,
                "versions": versions,
                "floor": state.floor,
                "damaged": damaged,
                "last": state.last,
            }
        )
    else:
        lines = [text("update.runs", obj.lang, version=__version__, slot=current)]
        if trial:
            lines.append(text("update.trial", obj.lang, version=state.version, slot=current, before=state.before))
        elif state.phase is not Phase.IDLE:
            lines.append(text("update.at_work", obj.lang, version=state.version or "?"))
        elif asked:
            lines.append(text("update.asked", obj.lang))
        version = versions.get(state.previous) or text("update.unknown_version", obj.lang)
        previous = text("update.previous", obj.lang, slot=state.previous, version=version)
        lines += [previous if state.previous else text("update.no_previous_slot", obj.lang)]
        lines += [text("update.floor", obj.lang, floor=state.floor)]
        for slot, file in damaged.items():
            known = {"slot": printable(slot), "file": printable(file)}
            lines.append(text("update.damaged_runs" if slot == current else "update.damaged", obj.lang, **known))
        if state.last is not None:
            lines.append(text("update.last", obj.lang, how=outcome(state.last, obj.lang)))
        print_lines(lines)
    return WARNINGS if trial or asked or damaged or state.phase is not Phase.IDLE else OK


@update_group.command("check")
@click.argument("file", type=FilePath())
@_root
@_keys
@click.pass_obj
def check(obj: CliContext, file: Path, root: Path, keys: Path) -> int:
    """Whether this gateway would take a bundle. Exit 2 if not, with the reason."""
    said: dict[str, object] = {}
    code, params = "", dict[str, object]()
    try:
        said = _judge(file, root, keys, _desk(obj, root).read())
    except BundleError as why:
        code, params = why.code, why.params
    except OSError as fault:
        print_lines([text("update.cannot_read", obj.lang, path=file, why=system_words(fault, obj.lang))], err=True)
        return FAILURES
    if obj.json_out:
        print_json({**said, "code": code, "params": {key: str(value) for key, value in params.items()}})
    elif code:
        print_lines([text("update.would_not", obj.lang, why=why_words(code, params, obj.lang))], err=True)
    else:
        print_lines([about_words(said, obj.lang), text("update.would_take", obj.lang, signers=said["signers"])])
    return FAILURES if code else OK


@update_group.command("install")
@click.argument("file", type=FilePath())
@_without_centre
@_no_wait
@_root
@_keys
@click.pass_obj
def install(obj: CliContext, file: Path, *, without_centre: bool, no_wait: bool, root: Path, keys: Path) -> int:
    """Hand a bundle to the updater and wait how it goes."""
    from edge_agent.update.updater import take

    desk = _desk(obj, root)
    if (code := _may_ask(obj, desk)) != OK:
        return code
    try:
        _judge(file, root, keys, desk.read())
        take(file, desk.spool / BUNDLE)
        request = _request("install", without_centre)
        put_request(desk.spool, request)
    except BundleError as why:
        print_lines([text("update.would_not", obj.lang, why=why_words(why.code, why.params, obj.lang))], err=True)
        return FAILURES
    except OSError as fault:
        print_lines(
            [text("update.cannot_put", obj.lang, path=fault.filename, why=system_words(fault, obj.lang))], err=True
        )
        return FAILURES
    return _handed_over(obj, desk, request, no_wait)


@update_group.command("back")
@_without_centre
@_no_wait
@_root
@click.pass_obj
def back(obj: CliContext, without_centre: bool, no_wait: bool, root: Path) -> int:
    """Go back to the version before this one, on trial like any other."""
    desk = _desk(obj, root)
    if (code := _may_ask(obj, desk)) != OK:
        return code
    if not desk.read().previous:
        print_lines([text("update.no_previous_slot", obj.lang)], err=True)
        return FAILURES
    request = _request("back", without_centre)
    try:
        put_request(desk.spool, request)
    except OSError as fault:
        print_lines(
            [text("update.cannot_put", obj.lang, path=fault.filename, why=system_words(fault, obj.lang))], err=True
        )
        return FAILURES
    return _handed_over(obj, desk, request, no_wait)


def _desk(obj: CliContext, root: Path) -> Desk:
    from edge_agent.last_good import gateway_of

    return Desk(root, gateway_of(obj.config_dir).data_dir / SPOOL)


def _judge(file: Path, root: Path, keys: Path, state: State) -> dict[str, object]:
    """What a bundle is for, and by how many it is signed. Raise BundleError, OSError."""
    from buffer.dbfile import SCHEMA

    bundle = read(file)
    signers = check_signatures(bundle, keys)
    slots = Slots(root)
    try:
        counter = slots.about(slots.named(GOOD))[1]
    except LayoutError:
        counter = 0
    check_fits(bundle.manifest, Machine.here(__version__, max(state.floor, counter), SCHEMA))
    for _ in bundle.wheels():
        pass  # each is read and held against its sum
    check_room(bundle.manifest, root)
    return {**as_dict(bundle.manifest), "signers": len(signers)}


def _may_ask(obj: CliContext, desk: Desk) -> int:
    if os.geteuid() != 0:
        print_lines([text("update.needs_root", obj.lang)], err=True)
        return FAILURES
    if desk.spool.is_symlink() or not desk.spool.is_dir():  # a link there would have root write wherever it leads
        print_lines([text("update.no_spool", obj.lang, path=desk.spool)], err=True)
        return FAILURES
    if (desk.spool / REQUEST).exists() or (desk.directory / OPEN).exists():
        print_lines([text("update.busy", obj.lang)], err=True)
        return FAILURES
    return OK


def _request(do: str, without_centre: bool) -> Request:
    who = os.environ.get("SUDO_USER") or "root"
    name = f"site/{os.urandom(6).hex()}"
    return Request(id=name, do=do, who=f"cli:{who[:40]}", without_centre=without_centre)


def _handed_over(obj: CliContext, desk: Desk, request: Request, no_wait: bool) -> int:
    """Wait for the end of it. Exit 0: it stays."""
    if not obj.json_out:
        print_lines([text("update.handed_over", obj.lang)], err=True)
    if no_wait:
        return OK
    deadline_s = time.monotonic() + BEGIN_S
    while (last := desk.read().last) is None or last.get("request") != request.id:
        if (desk.spool / REQUEST).exists() and desk.read().phase is Phase.IDLE and time.monotonic() > deadline_s:
            print_lines([text("update.not_taken_up", obj.lang)], err=True)
            return FAILURES
        time.sleep(LOOK_S)
    if obj.json_out:
        print_json(dict(last))
    else:
        print_lines([outcome(last, obj.lang)])
    return OK if last.get("status") == "confirmed" else FAILURES
