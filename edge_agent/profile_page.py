"""The page of one profile, docs/drivers/profiles/NAME.md and .zh.md: all of it made of the profile."""

import json
from collections.abc import Iterator, Mapping, Sequence

from drivers.profile import TEMPLATE, Profile, try_capture
from drivers.profile_events import tables_of
from edge_agent.profile_tables import Row, event_words, parts, patterns
from edge_agent.texts import text

BYTES_SHOWN = 40  # of an example: the whole of it is in the profile


def page(profile: Profile, lang: str, pages: Sequence[tuple[str, str]], left: Sequence[str]) -> str:
    """Markdown. `pages`: (title, file name in docs/drivers) of the pages of the drivers that speak of it; `left`: what no
    example shows.
    """
    return "\n".join(_page(profile, lang, pages, left)) + "\n"


def product(profile: Profile, lang: str) -> str:
    """Brand and product, the brand once."""
    brand, what = profile.words("brand", lang), profile.words("product", lang)
    return what if what.startswith(brand) else f"{brand} {what}"


def evidence(profile: Profile, lang: str) -> str:
    """What the profile stands on, in words."""
    return text(f"cli.evidence_{profile.evidence}", lang)


def line(profile: Profile, lang: str) -> str:
    """Speed and framing as the profile has them, and what is ever sent."""
    if profile.kind == "mqtt":
        return "MQTT"
    link = profile.data.get("link")
    table: Mapping[str, object] = link if isinstance(link, dict) else {}
    if "baud" in table or profile.kind != "modbus" or table.get("transport") != "tcp":
        said = f"{table.get('baud', 9600)} {table.get('framing', '8N1')}"
    else:
        said = "Modbus TCP"
    if profile.kind != "panel":
        return said
    return f"{said}, {text(f'page.sends_{_sends(profile)}', lang)}"


def table(columns: Sequence[str], rows: Sequence[Row], lang: str) -> Iterator[str]:
    """A Markdown table; `columns` are names of texts."""
    yield _row([text(f"page.col_{column}", lang) for column in columns])
    yield "|" + "---|" * len(columns)
    yield from map(_row, rows)


def _page(profile: Profile, lang: str, pages: Sequence[tuple[str, str]], left: Sequence[str]) -> Iterator[str]:
    name, other = profile.name, ".zh.md" if lang == "en" else ".md"
    links = [f"[{'中文' if lang == 'en' else 'English'}]({name}{other})"]
    links += [f"[{text('page.all_devices', lang)}](../{_file('catalogue', lang)})"]
    links += [f"[{title}](../{file})" for title, file in pages]
    yield from (f"# {name}: {product(profile, lang)}", "", " · ".join(links), "")
    yield from (text("page.made", lang, name=name), "")
    if profile.evidence == TEMPLATE:
        yield from (text("page.template", lang, name=name), "")
    yield from _facts(profile, lang, left)
    caveats = tables_of(profile.data, "caveat")
    if caveats:
        yield from ("", f"## {text('page.caveats', lang)}", "")
        for caveat in caveats:
            on = text(f"cli.evidence_{caveat.get('evidence', 'unproven')}", lang)
            yield "- " + text("page.caveat", lang, words=caveat.get(lang, ""), evidence=on)
    for part in parts(profile, lang):
        yield from ("", f"## {text(f'page.{part.title}', lang)}", "")
        yield from table(part.columns, part.rows, lang)
    if expressions := patterns(profile):
        yield from ("", f"## {text('page.part_pattern', lang)}", "", "```text", *expressions, "```")
    yield from ("", f"## {text('page.examples', lang)}", "")
    yield from table(("bytes_in", "meaning"), list(_examples(profile)), lang)
    yield from ("", text("page.counter_examples", lang, count=len(tables_of(profile.data, "counter_example"))))
    yield from ("", f"## {text('page.use', lang)}", "", "```toml", *configuration(profile), "```")
    yield from ("", f"## {text('page.try', lang)}", "", "```sh", *_commands(profile), "```")


def _facts(profile: Profile, lang: str, left: Sequence[str]) -> Iterator[str]:
    yield from ("| | |", "|---|---|")
    for key in ("brand", "product"):
        yield _row(
            (text(f"page.row_{key}", lang), " · ".join(dict.fromkeys(profile.words(key, one) for one in ("zh", "en"))))
        )
    yield _row((text("page.row_kind", lang), text(f"cli.profilekind_{profile.kind}", lang)))
    yield _row((text("page.row_evidence", lang), evidence(profile, lang)))
    yield _row((text("page.row_source", lang), " ".join(str(profile.data.get("source", "-")).split())))
    link = profile.data.get("link")
    settings = [
        f"`{key} = {_toml(value)}`"
        for key, value in (link.items() if isinstance(link, dict) else ())
        if key not in ("baud", "framing", "transport")  # said already
    ]
    codec = [f"`codec = {_toml(profile.data['codec'])}`"] if "codec" in profile.data else []
    yield _row((text("page.row_line", lang), ", ".join([line(profile, lang), *codec, *settings])))
    if left:
        yield _row((text("page.row_untested", lang), ", ".join(event_words(event, lang) for event in left)))


def _sends(profile: Profile) -> str:
    from drivers.codecs.base import Codec
    from drivers.codecs.registry import build_codec

    if profile.link.poll_s is not None:
        return "poll"
    return "nothing" if type(build_codec(profile)).reply is Codec.reply else "answer"


def _examples(profile: Profile) -> Iterator[Row]:
    for example in tables_of(profile.data, "example"):
        given = str(example.get("message") or example.get("hex", ""))
        if "hex" in example:
            shown = bytes.fromhex(given)
            given = shown[:BYTES_SHOWN].hex(" ").upper() + (f" … ({len(shown)})" if len(shown) > BYTES_SHOWN else "")
        expect = example.get("expect")
        said = ", ".join(
            f"{key} = {_toml(value)}" for key, value in (expect.items() if isinstance(expect, dict) else ())
        )
        yield f"`{given}`", f"`{said}`" if said else ""


def configuration(profile: Profile) -> Iterator[str]:
    """What to write into the configuration of a site; for a template, with the name of the copy."""
    name = "our-profile" if profile.evidence == TEMPLATE else profile.name
    if profile.kind == "mqtt":
        [first, *_] = try_capture(profile, str(tables_of(profile.data, "example")[0]["message"]).encode())
        yield from ("[[mqtt]]", 'id = "mqtt1"', "")
        yield from ("[[mqtt.device]]", 'id = "device1"', f'profile = "{name}"', f'topic = "{first["device"]}"')
    elif profile.kind == "panel":
        yield from ("[[panel]]", 'id = "panel1"', f'profile = "{name}"', 'port = "/dev/zg/usb-1-1.1:1.0"')
    else:
        yield from ("[[bus]]", 'id = "bus1"')
        if profile.kind != "modbus":
            yield f'protocol = "{profile.kind}"'
        link = profile.data.get("link")
        if isinstance(link, dict) and link.get("transport") == "tcp":
            yield 'host = "192.168.1.50"'
        else:
            yield 'port = "/dev/zg/usb-1-1.2:1.0"'
            if profile.kind == "modbus" and isinstance(link, dict) and "baud" in link:
                yield f"baud = {link['baud']}"
        yield ""
        yield from ("[[bus.device]]", 'id = "device1"', f'profile = "{name}"')
        yield "address = 1" if profile.kind == "modbus" else 'meter = "000012345678"'


def _commands(profile: Profile) -> Iterator[str]:
    example = tables_of(profile.data, "example")[0]
    yield f"edge-agent profile show {profile.name}"
    if "hex" in example:
        yield f'edge-agent profile try {profile.name} "{bytes.fromhex(str(example["hex"])).hex(" ").upper()}"'
    else:
        yield f"edge-agent profile try {profile.name} capture.log"
    yield f"edge-agent profile new ours --like {profile.name}"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def _toml(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _file(name: str, lang: str) -> str:
    return f"{name}.md" if lang == "en" else f"{name}.zh.md"
