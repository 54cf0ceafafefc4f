"""`edge-agent decode PROTOCOL [HEX|FILE|-]`: bytes in, meaning out, for every codec of the house."""

import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edge_agent.cli_base import language_of
from edge_agent.frame_words import Names, frame_lines
from edge_agent.system_words import system_words
from edge_agent.terminal import FAILURES, OK, WARNINGS, CliContext, print_json, print_lines, printable
from edge_agent.texts import text

if TYPE_CHECKING:
    from drivers.profile import Profile

INPUT_BYTES_MAX = (
    16 * 1024 * 1024
)  # a day of a chatty printer is under 1 MiB; a small machine has to hold this and its meaning
_SEPARATORS = re.compile(r"[\s:,;|_-]+")
_PREFIX = re.compile(r"0x|\\x", re.IGNORECASE)
_COMMENT = re.compile(r"#.*")


class BadInput(Exception):
    """Input that is no bytes. `code` is ASCII; `decode.input_<code>` says it in words."""

    def __init__(self, code: str, **params: object) -> None:
        super().__init__(code)
        self.code, self.params = code, params

    def say(self, lang: str) -> str:
        """In words."""
        params = {key: system_words(value, lang) if key == "detail" else value for key, value in self.params.items()}
        return text(f"decode.input_{self.code}", lang, **params)


def parse_hex(written: str) -> bytes:
    """Bytes of `written`: digits in either case, with blanks, colons, commas, dashes, line ends, 0x or \\x between them.

    Raise BadInput: not_hex (names what is in the way), odd_digits (names where), empty.
    """
    spaced = _SEPARATORS.sub(" ", _PREFIX.sub(" ", written)).strip()
    digits = []
    for group in spaced.split():
        wrong = re.search(r"[^0-9A-Fa-f]", group)
        if wrong:
            raise BadInput("not_hex", found=printable(group[:20]))
        if len(group) % 2:
            raise BadInput("odd_digits", group=group[-20:], count=len(group))
        digits.append(group)
    if not digits:
        raise BadInput("empty")
    return bytes.fromhex("".join(digits))


def looks_like_hex(content: bytes) -> bool:
    """Whether a file's content is hex written out rather than the bytes themselves; lines may end in a # comment."""
    try:
        written = _COMMENT.sub("", content.decode("utf-8-sig"))
    except UnicodeDecodeError:
        return False
    spaced = _SEPARATORS.sub("", _PREFIX.sub("", written))
    return bool(spaced) and re.fullmatch(r"[0-9A-Fa-f]+", spaced) is not None


def read_input(given: str | None, *, raw: bool) -> bytes:
    """The bytes that `given` stands for: hex, a file, or stdin for "-" and None. Raise BadInput."""
    if given not in (None, "-"):
        assert given is not None
        try:
            return parse_hex(given)
        except BadInput as not_hex:
            path = Path(given)
            if not _is_file(path):
                raise (
                    not_hex if not_hex.code != "not_hex" else BadInput("neither", given=printable(given[:60]))
                ) from None
        content = _read_file(path)
    else:
        content = sys.stdin.buffer.read(INPUT_BYTES_MAX + 1)
    if len(content) > INPUT_BYTES_MAX:
        raise BadInput("too_long", limit_mib=INPUT_BYTES_MAX >> 20)
    if not content:
        raise BadInput("empty")
    if raw or not looks_like_hex(content):
        return content
    return parse_hex(_COMMENT.sub("", content.decode("utf-8-sig")))


def _is_file(path: Path) -> bool:
    try:
        return path.exists() and not path.is_dir()
    except (OSError, ValueError):  # a name too long for a path, or with a NUL
        return False


def _read_file(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(INPUT_BYTES_MAX + 1)
    except OSError as fault:
        raise BadInput("unreadable", path=str(path), detail=fault.strerror or str(fault)) from None


class _Protocol(click.ParamType[str]):
    name = "protocol"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        from drivers.codecs.registry import PROTOCOLS

        if str(value) in PROTOCOLS:
            return str(value)
        import difflib

        lang = language_of(ctx)
        near = difflib.get_close_matches(str(value).lower(), PROTOCOLS, cutoff=0.4)
        said = text("decode.no_such_protocol", lang, name=printable(str(value)[:40]))
        if near:
            said += " " + text("cli.nearest", lang, names=text("cli.or", lang).join(near[:2]))
        return self.fail(
            said + " " + text("decode.known_protocols", lang, names=", ".join(sorted(PROTOCOLS))), param, ctx
        )


@click.command()
@click.argument("protocol", type=_Protocol())
@click.argument("data", metavar="[HEX|FILE|-]", required=False)
@click.option("--raw", is_flag=True)
@click.option("--json", "json_out", is_flag=True)
@click.pass_obj
def decode(obj: CliContext, protocol: str, data: str | None, raw: bool, json_out: bool) -> int:
    """Bytes in, meaning out."""
    from drivers.codecs.registry import PROTOCOLS
    from drivers.profile import load_profiles

    profiles = load_profiles(())
    names: Names = {}
    if protocol in profiles.names():
        note_template(profiles.get(protocol), obj.lang)
        names = names_of(profiles.get(protocol), obj.lang)
    as_json = json_out or obj.json_out
    return report(PROTOCOLS[protocol], protocol, data, raw=raw, as_json=as_json, lang=obj.lang, names=names)


def names_of(profile: "Profile", lang: str) -> Names:
    """What a profile calls the values it reads: name -> (words, unit). Raise ProfileError for one that cannot be used."""
    from drivers.profile import specs

    return {spec.id: (spec.name_zh if lang == "zh" else spec.name_en, spec.unit) for spec in specs(profile)}


def note_template(profile: "Profile", lang: str) -> None:
    """Say that what is about to be shown rests on made-up numbers, if it does. On stderr: what is shown stays as it is."""
    from drivers.profile import TEMPLATE

    if profile.evidence == TEMPLATE:
        print_lines([text("profile.template", lang, profile=profile.name)], err=True)


def report(
    decoder: Callable[[bytes], list[dict[str, object]]],
    name: str,
    data: str | None,
    *,
    raw: bool,
    as_json: bool,
    lang: str,
    names: Names,
) -> int:
    """Read `data` (hex, file or stdin), show what `decoder` makes of it, and return the exit code.

    `name` is for the reader, `names` are those of the profile.
    """
    if data is None and sys.stdin.isatty():
        print_lines([text("decode.waits", lang)], err=True)
    try:
        content = read_input(data, raw=raw)
    except BadInput as bad:
        said = bad.say(lang)
        if bad.code != "empty":
            raise click.UsageError(said, click.get_current_context()) from None
        if as_json:
            print_json([])
        print_lines([said], err=True)
        return FAILURES
    frames = decoder(content)
    refused = sum(bool(frame.get("reject")) for frame in frames)
    if as_json:
        print_json(_plain(frames))
    else:
        print_lines(
            line for number, frame in enumerate(frames, start=1) for line in frame_lines(number, frame, lang, names)
        )
    if not frames:
        print_lines([text("decode.no_frame", lang, count=len(content), protocol=name)], err=True)
    elif refused:
        key = "decode.none_decoded" if refused == len(frames) else "decode.refused"
        print_lines([text(key, lang, count=refused, total=len(frames))], err=True)
    return FAILURES if refused == len(frames) else WARNINGS if refused else OK


def _plain(value: object) -> object:
    if isinstance(value, bytes):
        return value.hex(" ").upper()
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
