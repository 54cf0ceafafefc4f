"""The catalogue of devices, docs/drivers/catalogue.md and .zh.md: made of the shipped profiles, so that a new model needs no page.

python -m edge_agent.profile_catalogue en > docs/drivers/catalogue.md
"""

import re
import sys
from collections.abc import Iterator, Mapping, Sequence

from drivers.profile import TEMPLATE, Profile, load_profiles, try_capture
from edge_agent.cli_base import lookup
from edge_agent.texts import text

LANGS = ("en", "zh")


def page(lang: str) -> str:
    """The whole page in one language, Markdown."""
    profiles = load_profiles(()).list()
    lines = [
        f"# {text('profile.page_title', lang)}",
        "",
        text("profile.page_other", lang),
        "",
        text("profile.page_intro", lang, count=len(profiles)),
        "",
        *_table([profile for profile in profiles if profile.evidence != TEMPLATE], lang),
        "",
        text("profile.page_templates", lang),
        "",
        *_table([profile for profile in profiles if profile.evidence == TEMPLATE], lang),
    ]
    for profile in profiles:
        lines += ["", *_section(profile, lang)]
    return "\n".join(lines) + "\n"


def _table(profiles: Sequence[Profile], lang: str) -> Iterator[str]:
    yield "| " + " | ".join(text(f"cli.col_{name}", lang) for name in ("profile", "device", "kind", "evidence")) + " |"
    yield "|---|---|---|---|"
    for profile in profiles:
        kind = text(f"cli.profilekind_{profile.kind}", lang)
        evidence = text(f"cli.evidence_{profile.evidence}", lang)
        yield f"| [`{profile.name}`](#{profile.name}) | {product(profile, lang)} | {kind} | {evidence} |"


def product(profile: Profile, lang: str) -> str:
    """Brand and product, the brand once."""
    brand, what = profile.words("brand", lang), profile.words("product", lang)
    return what if what.startswith(brand) else f"{brand} {what}"


def _section(profile: Profile, lang: str) -> Iterator[str]:
    yield f"## {profile.name}"
    yield ""
    yield f"{product(profile, lang)}. {_link(profile, lang)}"
    yield ""
    yield text(
        "profile.page_source", lang, evidence=text(f"cli.evidence_{profile.evidence}", lang), source=_source(profile)
    )
    for told in _told(profile, lang):
        yield ""
        yield told
    caveats = [str(one.get(lang, "")) for one in _tables(profile.data, "caveat")]
    if caveats:
        yield ""
        yield from (f"- {caveat}" for caveat in caveats)
    yield ""
    yield from _example(profile)


def _source(profile: Profile) -> str:
    return str(profile.data.get("source", "-"))


def _link(profile: Profile, lang: str) -> str:
    if profile.kind == "mqtt":
        topics = ", ".join(f"`{one.get('topic')}`" for one in _tables(profile.data, "topic"))
        return text("profile.page_link", lang, link=f"MQTT, {topics}")
    link = profile.data.get("link")
    table: Mapping[str, object] = link if isinstance(link, dict) else {}
    parts = []
    if "baud" in table or profile.kind != "modbus" or table.get("transport") != "tcp":
        parts.append(f"{table.get('baud', 9600)} {table.get('framing', '8N1')}")
    else:
        parts.append("Modbus TCP")
    if profile.kind == "panel":
        parts.append(text(f"profile.page_sends_{_sends(profile)}", lang))
    return text("profile.page_link", lang, link=", ".join(parts))


def _sends(profile: Profile) -> str:
    from drivers.codecs.base import Codec
    from drivers.codecs.registry import build_codec

    if profile.link.poll_s is not None:
        return "poll"
    return "nothing" if type(build_codec(profile)).reply is Codec.reply else "answer"


def _told(profile: Profile, lang: str) -> Iterator[str]:
    tables = [*_tables(profile.data, "value")]
    tables += [value for topic in _tables(profile.data, "topic") for value in _tables(topic, "value")]
    values = list(dict.fromkeys(_ranged(str(one.get(lang, one.get("name", ""))), one) for one in tables))
    if values:
        yield text("profile.page_values", lang, values=("、" if lang == "zh" else ", ").join(values))
    words = dict.fromkeys(word for event in _events(profile.data) if (word := lookup(f"decode.event_{event}", lang)))
    if words:
        yield text("profile.page_events", lang, events=("、" if lang == "zh" else ", ").join(words))


def _ranged(name: str, table: Mapping[str, object]) -> str:
    """A name that stands for many: loop {n} with n = [1, 12] is "loop 1-12"."""
    for key, span in table.items():
        if isinstance(span, list) and len(span) == 2:
            name = re.sub(rf"\{{{key}(:[^}}]*)?\}}", f"{span[0]}-{span[1]}", name)
    return name


def _events(data: Mapping[str, object]) -> Iterator[str]:
    """Every event a profile names, in its order."""
    tables: list[object] = [data.get("meaning"), *_tables(data, "point"), *_tables(data, "log")]
    while tables:
        table = tables.pop(0)
        if isinstance(table, str):
            yield table
        elif isinstance(table, dict):
            tables += [value for key, value in table.items() if key not in ("from", "id", "address", "mode", "poll")]


def _tables(data: Mapping[str, object], key: str) -> Sequence[Mapping[str, object]]:
    found = data.get(key, [])
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _example(profile: Profile) -> Iterator[str]:
    yield "```toml"
    if profile.kind == "mqtt":
        yield from ("[[mqtt]]", 'id = "mqtt1"', "")
        yield from ("[[mqtt.device]]", 'id = "device1"', f'profile = "{profile.name}"')
        yield f'topic = "{try_capture(profile, str(_tables(profile.data, "example")[0]["message"]).encode())[0]["device"]}"'
    elif profile.kind == "panel":
        yield from ("[[panel]]", 'id = "panel1"', f'profile = "{profile.name}"', 'port = "/dev/zg/usb-1-1.1:1.0"')
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
        yield from ("[[bus.device]]", 'id = "device1"', f'profile = "{profile.name}"')
        yield "address = 1" if profile.kind == "modbus" else 'meter = "000012345678"'
    yield "```"


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in LANGS:
        sys.exit(f"usage: python -m edge_agent.profile_catalogue {'|'.join(LANGS)}")
    sys.stdout.write(page(sys.argv[1]))
