"""The tools of whoever makes an update, and of whoever brings it to a gateway."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from edge_agent.update.state import REQUEST
from tests.update.maker import Maker
from tests.update.stand import ROOT, Stand
from tests.waiting import eventually

PROVISION = (sys.executable, "-c", "from provisioning.cli import main; main()")
AGENT = (sys.executable, "-m", "edge_agent")


def run(*words: object, **environ: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [str(word) for word in words],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={**os.environ, **environ},
    )
    return done.returncode, done.stdout, done.stderr


def test_an_update_is_made_signed_and_checked_on_the_laptop_and_on_the_gateway(stand: Stand, maker: Maker) -> None:
    out = maker.place / "by-hand.zgb"
    make = (
        *PROVISION,
        "update",
        "make",
        maker.wheel(),
        "--counter",
        7,
        "--python",
        "3.11",
        "--python",
        "3.12",
        "--out",
        out,
    )
    code, said, err = run(*make, "--json")
    assert (code, json.loads(said)["version"], err) == (0, "9.1.0", "")
    assert run(*make)[0] == 2, "one that is there is never written over"
    for n, name in enumerate(("vendor", "county"), 1):
        assert (
            json.loads(run(*PROVISION, "update", "sign", out, "--key", maker.key(name), "--json")[1])["signatures"] == n
        )
        code, said, _ = run(*PROVISION, "update", "check", out, "--keys", maker.keys, "--json")
        assert (code, json.loads(said)["code"]) == ((2, "few_signatures") if n == 1 else (0, ""))
    places = ("--config", stand.place / "etc", "--root", stand.root)
    code, said, _ = run(*AGENT, "update", "check", out, *places, "--keys", maker.keys, "--json")
    assert (code, json.loads(said)["signers"], stand.links(), stand.told) == (0, 2, ("a", "a"), [])
    code, said, err = run(*AGENT, "update", "check", out, *places, "--keys", stand.place, "--lang", "zh")
    assert code == 2 and "公钥" in err


@pytest.mark.skipif(os.geteuid() != 0, reason="only root installs")
def test_a_technician_installs_from_a_file_and_is_told_how_it_went(stand: Stand, maker: Maker) -> None:
    places = ("--config", stand.place / "etc", "--root", stand.root)
    bundle = maker.bundle()
    stand.versions["b"] = "9.1.0"
    said: list[tuple[int, str, str]] = []
    install = (*AGENT, "update", "install", bundle, *places, "--keys", maker.keys, "--lang", "en")
    asking = threading.Thread(target=lambda: said.append(run(*install, SUDO_USER="wang")))
    asking.start()
    eventually((stand.spool / REQUEST).exists, "the path unit would see it")
    assert run(*install)[0] == 2, "one at a time"
    stand.update(maker.keys)
    asking.join()
    assert said[0][:2] == (0, "9.1.0 is confirmed and stays\n"), said
    assert {one["who"] for one in stand.told} == {"cli:wang"}
    code, out, _ = run(*AGENT, "update", "status", *places, "--json")
    found = json.loads(out)
    assert (code, found["slot"], found["previous"], found["last"]["status"]) == (0, "b", "a", "confirmed")
    assert run(*AGENT, "update", "status", *places, "--lang", "zh")[1].count("\n") == 4


def test_a_machine_without_slots_says_so(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('[gateway]\nid = "gw-1"\n')
    code, _, err = run(*AGENT, "update", "status", "--config", tmp_path, "--root", tmp_path, "--lang", "en")
    assert code == 2 and "docs/install.md" in err
