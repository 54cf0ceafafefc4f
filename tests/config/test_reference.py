"""One table says all of a key: the model, the checks, the sample and the page agree with it."""

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest

from edge_agent import last_good
from edge_agent.config import load, model, site, source, uplinks
from edge_agent.config.load import load as load_config
from edge_agent.config.reference import CODES, page, sample
from edge_agent.config.schema import SECTIONS, TOP, shapes

ROOT = Path(__file__).parents[2]
HOW = "run: python -m edge_agent.config.reference {what} {lang}, and put its output there"


def test_every_field_of_the_model_is_a_key_of_the_schema_or_a_section() -> None:
    for section in (TOP, *SECTIONS):
        inner = {s.into for s in SECTIONS if s.parent == section.name}
        names = {field.name for field in dataclasses.fields(section.cls)}
        assert names - inner == set(section.keys) == set(shapes(section.name)), section.name
    classes: set[Any] = {
        cls for cls in (*vars(model).values(), *vars(uplinks).values()) if dataclasses.is_dataclass(cls)
    }
    assert {section.cls for section in (TOP, *SECTIONS)} == classes


def test_every_key_has_words_in_both_languages_and_bounds_if_it_is_a_number() -> None:
    for section in (TOP, *SECTIONS):
        for name, key in section.keys.items():
            assert re.search("[\u4e00-\u9fff]", key.zh), (section.name, name)
            assert key.en, (section.name, name)
            assert not re.search("[\u4e00-\u9fff]", key.en), (section.name, name)
            kind = shapes(section.name)[name].kind
            if kind in {"whole", "number", "lines"} and not (key.choices and kind == "whole"):
                assert key.low is not None, (section.name, name)
                assert key.high is not None, (section.name, name)
            if name.endswith("_s"):
                assert key.unit == "s", (section.name, name)


@pytest.mark.parametrize("lang", ["zh", "en"])
def test_every_example_and_every_default_is_allowed(tmp_path: Path, lang: str) -> None:
    text = sample(lang)
    for section in (section for section in SECTIONS if section.aside):  # they have a test of their own below
        header = re.escape(f"# [[{section.name}]]" if section.many else f"# [{section.name}]")
        text, found = re.subn(rf"^{header}\n(?:# .*\n)*", "", text, flags=re.MULTILINE)
        assert found == 1, section.name
    everything = re.sub(r"^# (?=[a-z_]+ = )", "", text, flags=re.MULTILINE)
    # A bus has a port or a host, and the parts of a serial line mean nothing to a TCP one, nor a meter's digits to Modbus.
    everything = re.sub(
        r"^(host = \"192|device = |tcp_port|fake_socket|meter|tap_of).*\n", "", everything, flags=re.MULTILINE
    )
    (tmp_path / "config.toml").write_text(everything, encoding="utf-8")
    assert load_config(tmp_path).findings == ()


@pytest.mark.parametrize("lang", ["zh", "en"])
def test_every_example_of_a_gb26875_centre_is_allowed(tmp_path: Path, lang: str) -> None:
    written = sample(lang, sections=["gateway", "contact", "board", "uplink", "uplink.gb26875", "gb26875_point"])
    everything = re.sub(r"^# (?=[a-z_]+ = )", "", written, flags=re.MULTILINE)
    parts = {name: _table(everything, name) for name in ("gateway", "board", "contact", "uplink.gb26875")}
    rule = _table(everything, "gb26875_point").replace('"panel1/1-*"', '"pump-room"')
    uplink = '[[uplink]]\nid = "county"\nhost = "127.0.0.1"\nport = 26875\nprotocol = "gb26875"\n'
    board = re.sub(r"^fake_socket.*\n", "", parts["board"], flags=re.MULTILINE)
    parts["contact"] = re.sub(r"^tap_of.*\n", "", parts["contact"], flags=re.MULTILINE)
    text = "\n".join([parts["gateway"], board, parts["contact"], uplink, parts["uplink.gb26875"], rule])
    (tmp_path / "config.toml").write_text(text, encoding="utf-8")
    loaded = load_config(tmp_path)
    assert loaded.findings == ()
    assert loaded.config is not None
    assert loaded.config.uplinks[0].gb26875 is not None
    assert loaded.config.gb26875_points[0].points == ("pump-room",)


def _table(text: str, name: str) -> str:
    found = re.search(rf"^\[\[?{re.escape(name)}\]\]?\n(?:[a-z_]+ = .*\n)*", text, flags=re.MULTILINE)
    assert found, name
    return found.group()


@pytest.mark.parametrize(("file", "lang"), [("docs/configuration.md", "en"), ("docs/configuration.zh.md", "zh")])
def test_the_reference_page_is_what_the_schema_says(file: str, lang: str) -> None:
    text = (ROOT / file).read_text(encoding="utf-8")
    _, _, rest = text.partition("<!-- reference -->\n\n")
    assert rest == page(lang), HOW.format(what="page", lang=lang)


def test_the_example_file_is_what_the_schema_says() -> None:
    got = (ROOT / "docs/examples/config.toml").read_text(encoding="utf-8")
    assert got == sample("zh"), HOW.format(what="sample", lang="zh")


def test_the_example_site_with_its_conf_d_is_sound() -> None:
    loaded = load_config(ROOT / "docs/examples")
    assert loaded.findings == ()
    assert len(loaded.sources) > 1


def test_every_code_the_checks_give_has_a_text_and_every_text_of_a_code_is_given() -> None:
    files = [Path(module.__file__ or "") for module in (load, site, source, last_good)]
    checks = list((ROOT / "edge_agent/config/check").glob("*.py"))
    assert len(checks) > 5
    text = "".join(file.read_text(encoding="utf-8") for file in (*files, *checks))
    literals = set(re.findall(r'"([a-z0-9_]+)"', text))
    assert {code for code in CODES if not {code, code.removeprefix("syntax_")} & literals} == set()
    given = set(re.findall(r'(?:[.]error|[.]warning|_error)[(]\s*"([a-z0-9_]+)"', text))
    assert len(given) > 40
    assert given <= set(CODES)
