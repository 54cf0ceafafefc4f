"""The pages people meet: both languages, links that lead somewhere, commands and devices that exist."""

import re
import shlex
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from drivers.modbus_map import compile_profile
from drivers.profile import check, load_file, load_profiles
from edge_agent.cli import root
from edge_agent.config.keys import RECEIVERS
from edge_agent.config.load import load
from edge_agent.profile_catalogue import left_over, pages
from provisioning.cli import commands as provision

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
# Pages for engineers, in English only.
OURS = (
    "architecture.md",
    "journal.md",
    "evidence.md",
    "matrix.md",
    "power.md",
    "simulation.md",
    "guests-board.md",
    "guests.md",
    "decisions",
)
ENGLISH = sorted(
    page
    for page in DOCS.rglob("*.md")
    if not page.name.endswith(".zh.md")
    and page.relative_to(DOCS).parts[0] not in OURS
    and page.parent.name != "profiles"
)
MADE = sorted((DOCS / "drivers/profiles").glob("*.md"))  # whole, of the profiles: looked at all at once
PAGES = sorted({ROOT / "README.md", ROOT / "README.zh.md", *DOCS.rglob("*.md")} - {*MADE})
DEVICES = [
    page
    for page in sorted((DOCS / "drivers").glob("*.md"))
    if page.name.split(".")[0]
    not in (
        "profiles",
        "modbus",
        "mqtt",
        "edge-node",
        "catalogue",
        "gb26875",
        "receivers",
        "modbus-panels",
        "electrical-fire",
        "text-lines",
        "frame-fields",
    )
]
FAMILIES = [
    DOCS / "drivers" / f"{name}{lang}.md" for name in ("modbus-panels", "electrical-fire") for lang in ("", ".zh")
]
# Translated word by word here, so that code, numbers and examples can be held side by side.
TWINS = [p for p in ENGLISH if p.parent != DOCS or p.name in ("install.md", "demo.md", "alarm.md")]


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def chinese(page: Path) -> Path:
    return page.with_suffix(".zh.md")


def fences(page: Path, language: str = r"\w*") -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text("utf-8"), re.DOTALL | re.MULTILINE)


def prose(page: Path) -> str:
    return re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)


def slugs(page: Path) -> set[str]:
    heads = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", ENGLISH, ids=name)
def test_a_page_for_users_is_there_in_both_languages_and_says_so_at_its_top(page: Path) -> None:
    twin = chinese(page)
    assert twin.is_file()
    assert f"]({twin.name})" in "".join(page.read_text("utf-8").splitlines(True)[:6])
    assert f"]({page.name})" in "".join(twin.read_text("utf-8").splitlines(True)[:6])


@pytest.mark.parametrize("page", TWINS, ids=name)
def test_both_languages_hold_the_same_code_tables_and_examples(page: Path) -> None:
    def shape(one: Path) -> tuple[object, ...]:
        text = prose(one)
        codes = {code for code in re.findall(r"`([^`\n]+)`", text) if code.isascii() and " FILE" not in code}
        rows = sum(line.startswith("|") for line in text.splitlines())
        typed = [
            fence for language in ("sh", "console", "toml") for fence in fences(one, language)
        ]  # ```text is output: words
        bare = [re.sub(r'\s*#.*|"[^"]*"', "", line) for fence in typed for line in fence.splitlines()]
        return {code.replace(".zh.md", ".md") for code in codes}, rows, [line for line in bare if line.isascii()]

    ours, theirs = shape(page), shape(chinese(page))
    assert ours[1:] == theirs[1:]
    differing = {code for code in ours[0] ^ theirs[0] if "<" not in code}  # type: ignore[operator]  # <placeholders> are words
    assert differing == set()


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    dead = []
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        path, _, anchor = target.partition("#")
        if re.match(r"[a-z]+:", target):
            continue
        there = (page.parent / path).resolve() if path else page
        if not there.exists() or (anchor and anchor not in slugs(there)):
            dead.append(target)
    assert dead == []


# --- commands


def spoken(page: Path) -> Iterator[list[str]]:
    """Each command line of ours on a page, in a block or between backticks."""
    lines = [line for fence in fences(page, "(?:sh|console)") for line in fence.splitlines()]
    lines += re.findall(r"`([^`\n]+)`", prose(page))
    for line in lines:
        for part in re.split(r"&&|\||;", line.partition("  #")[0]):
            words = part.replace("(", " ").replace("$ ", "").removeprefix("sudo ").split()
            if words and Path(words[0]).name in ("edge-agent", "edge-provision", "edge-centre"):
                yield [Path(words[0]).name, *words[1:]]


def why_not(words: list[str]) -> str:
    """What is wrong with a command line, or ""."""
    command: click.Command = root if words[0] == "edge-agent" else provision("en")
    context = click.Context(command)
    options = (
        {"--config", "--lang", "--json"}
        | {option for param in command.params for option in (*param.opts, *param.secondary_opts)}
        | {"--help"}
    )
    awaiting = False
    for word in words[1:]:
        flag = word.partition("=")[0].strip("[]")
        if flag.startswith("--"):
            if flag not in options:
                return f"{command.name} has no {flag}"
            awaiting = flag not in ("--json", "--help", "--follow", "--refused", "--raw", "--for-start")
        elif awaiting:
            awaiting = False
        elif isinstance(command, click.Group):
            if "|" in word or not word.isascii() or word.isupper() or word == "...":
                return ""
            found = command.get_command(context, word)
            if found is None:
                return f"{command.name} has no command {word}"
            command = found
            options |= {option for param in command.params for option in (*param.opts, *param.secondary_opts)}
    return ""


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_command_and_option_on_a_page_exists(page: Path) -> None:
    lines = [words for words in spoken(page) if words[0] != "edge-centre"]
    assert {" ".join(words): fault for words in lines if (fault := why_not(words))} == {}


def test_a_command_that_does_not_exist_is_found() -> None:
    assert why_not(shlex.split("edge-agent journal mend"))
    assert why_not(shlex.split("edge-agent status --colour"))
    assert why_not(shlex.split("edge-provision identity sign"))
    assert not why_not(shlex.split("edge-agent --config site events --limit 5 --json"))


@pytest.mark.parametrize("page", ["install.md", "install.zh.md"])
def test_root_blocks_are_sound_shell_and_install_what_systemd_says(page: str) -> None:
    blocks = [fence for fence in fences(DOCS / page, "sh") if fence.startswith("# root")]
    assert len(blocks) >= 6
    for block in blocks:
        assert subprocess.run(["bash", "-n"], input=block.encode(), capture_output=True, check=False).returncode == 0
    [theirs] = fences(ROOT / "systemd/README.md", "sh")
    placed = {
        line for block in blocks for line in block.splitlines() if line.startswith(("install ", "systemd-", "udevadm"))
    }
    assert placed == {line for line in theirs.splitlines() if line.startswith(("install ", "systemd-", "udevadm"))}


# --- devices


@pytest.mark.parametrize("page", DEVICES, ids=name)
def test_the_example_of_a_device_page_passes_the_check(page: Path, tmp_path: Path) -> None:
    [example] = fences(page, "toml")
    gateway = '[gateway]\nid = "ZG-360700-0123"\n'
    (tmp_path / "config.toml").write_text(gateway + example, "utf-8")
    loaded = load(tmp_path)
    assert loaded.findings == ()
    used = [entry["profile"] for entry in tomllib.loads(example).get("panel", [])]
    used += [device["profile"] for bus in tomllib.loads(example).get("bus", []) for device in bus["device"]]
    assert all(profile.startswith(page.name.split(".")[0]) for profile in used)
    assert used


@pytest.mark.parametrize("page", FAMILIES, ids=name)
def test_a_page_of_a_family_names_profiles_that_exist_and_its_example_passes_the_check(
    page: Path, tmp_path: Path
) -> None:
    [example] = fences(page, "toml")
    (tmp_path / "config.toml").write_text('[gateway]\nid = "ZG-360700-0123"\n' + example, "utf-8")
    assert load(tmp_path).findings == ()
    there = {path.stem for path in (ROOT / "drivers/profiles").glob("*.toml")}
    rows = [line for line in page.read_text("utf-8").splitlines() if line.startswith("| ")]
    named = {code for line in rows for code in re.findall(r"`([a-z0-9]+-[a-z0-9-]+)`", line.split("|")[-3])}
    assert len(named) > 8
    assert named <= there


@pytest.mark.parametrize("page", ["modbus.md", "modbus.zh.md"])
def test_the_modbus_profile_that_shows_every_key_compiles(page: str) -> None:
    [example] = fences(DOCS / "drivers" / page, "toml")
    assert compile_profile(tomllib.loads(example)).questions


@pytest.mark.parametrize("page", ["mqtt.md", "mqtt.zh.md", "edge-node.md", "edge-node.zh.md"])
def test_the_example_of_the_brokers_page_passes_the_check(page: str, tmp_path: Path) -> None:
    [example] = fences(DOCS / "drivers" / page, "toml")
    (tmp_path / "config.toml").write_text('[gateway]\nid = "ZG-360700-0123"\n' + example, "utf-8")
    assert load(tmp_path).findings == ()
    shipped = {path.stem for path in (ROOT / "drivers/profiles").glob("*.toml")}
    assert {device["profile"] for device in tomllib.loads(example)["mqtt"][0]["device"]} <= shipped


@pytest.mark.parametrize("page", ["receivers.md", "receivers.zh.md"])
def test_the_example_of_the_receivers_page_passes_the_check(page: str, tmp_path: Path) -> None:
    [example] = fences(DOCS / "drivers" / page, "toml")
    (tmp_path / "config.toml").write_text('[gateway]\nid = "ZG-360700-0123"\n' + example, "utf-8")
    loaded = load(tmp_path)
    assert loaded.findings == ()
    assert loaded.config is not None
    shown = set(re.findall(r"^\| `([\w-]+)` \|", prose(DOCS / "drivers" / page), re.MULTILINE))
    assert {receiver.protocol for receiver in loaded.config.receivers} <= set(RECEIVERS) <= shown


@pytest.mark.parametrize(
    "page", [f"{codec}{lang}.md" for codec in ("text-lines", "frame-fields") for lang in ("", ".zh")]
)
def test_the_profile_that_shows_every_key_of_a_codec_is_sound(page: str, tmp_path: Path) -> None:
    [example] = fences(DOCS / "drivers" / page, "toml")
    (tmp_path / "ours.toml").write_text(example, "utf-8")
    assert [finding.code for finding in check(load_file(tmp_path / "ours.toml")) if finding.severity == "error"] == []


# --- pages made of profiles


def test_every_page_made_of_profiles_is_what_they_say() -> None:
    made = pages(DOCS, load_profiles(()).list())
    stale = [name(path) for path, words in made.items() if not path.is_file() or path.read_text("utf-8") != words]
    stale += [name(path) for path in left_over(DOCS, made)]
    assert stale == [], "run: python -m edge_agent.profile_catalogue docs"


def test_a_page_somebody_edited_or_forgot_is_found(tmp_path: Path) -> None:
    (tmp_path / "drivers").mkdir()
    page = tmp_path / "drivers" / "acme.md"
    page.write_text("# Acme\n<!-- profiles: gst-crt* -->\n| by hand |\n<!-- /profiles -->\nmore\n", "utf-8")
    made = pages(tmp_path, [load_profiles(()).get(profile) for profile in ("gst-crt500", "zp2-modbus")])
    assert "by hand" not in made[page]
    assert "[`gst-crt500`](profiles/gst-crt500.md)" in made[page]
    assert made[page].endswith("<!-- /profiles -->\nmore\n")
    assert "[Acme](../acme.md)" in made[tmp_path / "drivers/profiles/gst-crt500.md"]
    assert made[tmp_path / "drivers/profiles/gst-crt500.zh.md"]  # in both languages
    (tmp_path / "drivers/profiles").mkdir()
    (tmp_path / "drivers/profiles/gone.md").touch()
    assert [path.name for path in left_over(tmp_path, made)] == ["gone.md"]


def test_every_profile_has_a_page_in_both_languages_and_a_page_of_its_driver_that_names_it() -> None:
    there = {path.stem for path in (ROOT / "drivers/profiles").glob("*.toml")}
    assert {page.name for page in MADE} == {f"{one}{lang}.md" for one in there for lang in ("", ".zh")}
    alone = [page for page in MADE if " · [" not in page.read_text("utf-8").splitlines()[2].partition("catalogue")[2]]
    assert [name(page) for page in alone] == []


def test_pages_of_profiles_lead_somewhere_and_their_examples_pass_the_check(tmp_path: Path) -> None:
    (tmp_path / "config.toml").touch()
    for page in MADE:
        for target in re.findall(r"\]\(([^)\s#]+)\)", prose(page)):
            assert (page.parent / target).is_file(), f"{name(page)}: {target}"
        if page.name.endswith(".zh.md"):
            continue
        assert fences(page, "toml") == fences(chinese(page), "toml")
        [example] = fences(page, "toml")
        (tmp_path / "config.toml").write_text(f'[gateway]\nid = "ZG-360700-0123"\n{example}', "utf-8")
        assert load(tmp_path).findings == (), name(page)
        assert {" ".join(words): fault for words in spoken(page) if (fault := why_not(words))} == {}, name(page)


def test_a_page_of_registers_shows_names_in_both_languages_addresses_units_and_events() -> None:
    page = (DOCS / "drivers/profiles/acrel-aim-r100.md").read_text("utf-8")
    [row] = [line for line in page.splitlines() if line.startswith("| `residual_1-12_ma`")]
    cells = [cell.strip() for cell in row.split("|")[1:-1]]
    assert cells[:8] == [
        "`residual_1-12_ma`",
        "1-12 回路剩余电流",
        "Residual current, loop 1-12",
        "3",
        "74-85",
        "`u16`",
        "",
        "mA",
    ]
    assert "alarm_high 300" in cells[8]


# --- the house


def test_architecture_names_only_files_that_exist_and_every_request_of_the_local_api() -> None:
    page = (DOCS / "architecture.md").read_text("utf-8")
    files = re.findall(r"`((?:edge_agent|drivers|buffer|simulators)/[\w/]+(?:\.py|/))`", page)
    assert len(files) > 20
    assert [file for file in files if not (ROOT / file).exists()] == []
    code = (ROOT / "edge_agent/answers.py").read_text("utf-8")
    handlers = re.findall(r'^ +"(\w+)": ', code[code.index("def handlers") : code.index("def _status")], re.MULTILINE)
    [told] = re.findall(r"^do: (.*?)^status ", page, re.DOTALL | re.MULTILINE)
    assert len(handlers) > 9
    assert [name for name in handlers if not re.search(rf"\b{name}\b", told)] == []
