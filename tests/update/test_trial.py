"""A new program is tried: it stays if all is well with it, else the one before is back; and what is in between is never neither."""

import os
import random
import subprocess
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from edge_agent import __version__
from edge_agent.update import rot
from edge_agent.update.state import REQUEST, Phase
from tests.update.maker import Maker
from tests.update.stand import CORE, UPLINK, Stand, tree
from tests.waiting import PATIENCE_S, eventually

KILLS = int(os.environ.get("EDGE_UPDATE_KILLS", "1"))  # scripts/evidence asks for more
SEED = int(os.environ.get("EDGE_CUT_SEED", "20261126"))
CRASH = f'[ "$(readlink {{root}}/current)" = slots/a ] || echo 1 >{CORE}.restarts'


def test_what_is_well_stays_and_the_one_before_can_be_gone_back_to(stand: Stand, maker: Maker) -> None:
    stand.ask(maker.bundle(counter=5))
    stand.run(maker.keys)  # as the unit starts it
    assert stand.steps() == [("begun", ""), ("switched", ""), ("confirmed", "")]
    assert [one["by"] for one in stand.told] == ["a", "b", "b"], "the new core told that it runs"
    assert (stand.links(), stand.state().previous, stand.state().floor) == (("b", "b"), "a", 5)
    assert stand.restarts() == [f"{CORE} {UPLINK}"], "one restart of both, and none of what does not run"
    script = stand.slots.path("b") / "bin" / "edge-agent"
    assert subprocess.run([script], check=False).returncode == 0, "its command is there"

    stand.versions["a"] = __version__  # by hand: slot a has no bundle's word of its version
    stand.ask(None, "c-2", do="back")
    stand.update(maker.keys)
    assert stand.steps()[3:] == [("switched", ""), ("confirmed", "")]
    assert (stand.links(), stand.state().previous, stand.state().floor) == (("a", "a"), "b", 5)
    stand.ask(maker.bundle(version="9.0.9", counter=4), "c-3")
    stand.update(maker.keys)
    assert stand.steps()[-1] == ("refused", "downgrade"), "going back by hand opens no way for what is older still"
    assert stand.is_tidy()


@pytest.mark.parametrize(
    ("code", "spoil"),
    [
        ("not_confirmed", lambda s: setattr(s, "confirms", False)),
        ("inputs", lambda s: s.up_of.update(b={"pump-room": False})),
        ("inputs", lambda s: s.up_of.update(b={})),
        ("other_version", lambda s: s.versions.update(b="8.0")),
        ("core_absent", lambda s: setattr(s, "mute", "b")),
        ("crashed", lambda s: s.at_restart(CRASH.format(root=s.root))),
    ],
)
def test_what_is_not_well_is_taken_back(
    stand: Stand, maker: Maker, code: str, spoil: Callable[[Stand], object]
) -> None:
    before = tree(stand.slots.path("a"))
    stand.ask(maker.bundle())
    spoil(stand)
    quick = (
        {"core_s": 1.0} if code == "core_absent" else {"trial_s": 1.5} if code in ("not_confirmed", "inputs") else {}
    )
    stand.update(maker.keys, **quick)
    assert stand.steps()[-1] == ("gone_back", code) and stand.told[-1]["by"] == "a"
    assert (stand.links(), stand.runs, tree(stand.slots.path("a"))) == (("a", "a"), "a", before)
    assert stand.state().floor == 0, "what did not stay sets no floor"
    assert stand.restarts()[1:] == [UPLINK, CORE], "the uplink first: it can be restarted at any instant"


def test_a_device_that_reports_when_it_likes_is_given_time_and_then_believed(stand: Stand, maker: Maker) -> None:
    stand.ask(maker.bundle())
    stand.up_of["b"] = {"pump-room": None}
    stand.update(maker.keys, hold_s=1.0)
    assert stand.steps()[-1] == ("confirmed", "")


@pytest.mark.parametrize("why", ["fire", "sending", "no_centre"])
def test_nothing_is_restarted_while_an_alarm_needs_the_gateway(stand: Stand, maker: Maker, why: str) -> None:
    stand.ask(maker.bundle())
    if why == "fire":
        stand.alarms = [{"id": "1", "kind": "fire", "state": "acknowledged"}]
    elif why == "sending":
        stand.undelivered = ["e-1"]
    else:
        stand.centre_up = False
    stand.update(maker.keys, calm_s=0.0)
    assert (stand.steps()[-1], stand.told[-1]["what"], stand.restarts()) == (("refused", "not_calm"), why, [])
    stand.ask(maker.bundle(), "c-2")

    def calm() -> None:
        stand.alarms, stand.undelivered, stand.centre_up = [], [], True

    over = threading.Timer(1.5, calm)
    over.start()
    stand.update(maker.keys, calm_s=PATIENCE_S)
    over.join()
    assert stand.steps()[-1] == ("confirmed", "")


def test_a_person_on_site_may_answer_for_it_where_no_centre_is(stand: Stand, maker: Maker) -> None:
    stand.centre_up, stand.confirms, stand.undelivered = False, False, ["e-1"]
    stand.ask(maker.bundle(), without_centre=True)
    (stand.spool / REQUEST).chmod(0o600)
    stand.update(maker.keys)
    assert stand.steps()[-1] == ("confirmed", "")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to write under another name")
@pytest.mark.parametrize("more", [{"without_centre": True}, {"do": "back"}])
def test_the_services_user_may_not_answer_for_it_nor_go_back(
    stand: Stand, maker: Maker, more: dict[str, object]
) -> None:
    stand.centre_up = False
    stand.ask(maker.bundle(), **more)
    os.chown(stand.spool / REQUEST, 65534, -1)
    stand.update(maker.keys)
    assert (stand.links(), stand.restarts()) == (("a", "a"), [])
    assert stand.steps() == ([] if "do" in more else [("begun", ""), ("refused", "not_calm")])


def test_a_core_that_hears_a_fire_is_left_to_it_when_the_rest_goes_back(stand: Stand, maker: Maker) -> None:
    """The uplink goes back at once: it may be why nothing is confirmed, and the fire has to be delivered."""
    stand.ask(maker.bundle())
    stand.confirms = False
    stand.at_restart("true")

    def burn(status: str) -> None:  # as soon as the new program says that it runs
        if status == "switched":
            stand.alarms = [{"id": "1", "kind": "fire", "state": "active"}]

    stand.on_told = burn
    working = threading.Thread(target=stand.update, args=(maker.keys,), kwargs={"trial_s": 2.0})
    working.start()
    eventually(lambda: UPLINK in stand.restarts(), "the uplink is back")
    assert stand.alarms, "it burned before the trial was over"
    assert (stand.runs, stand.links()) == ("b", ("a", "a")), (
        "the core still hears the fire; the next boot would be the old program"
    )
    stand.alarms = []
    working.join(PATIENCE_S)
    assert (stand.runs, stand.restarts()[1:], stand.steps()[-1]) == (
        "a",
        [UPLINK, CORE],
        ("gone_back", "not_confirmed"),
    )


def test_what_takes_the_machine_down_each_time_is_given_up(stand: Stand, maker: Maker) -> None:
    stand.desk.directory.mkdir()
    stand.ask(maker.bundle())
    request = stand.desk.request()
    stand.desk.write(replace(stand.state(), phase=Phase.TAKEN, request=request, tries=3))
    stand.update(maker.keys)
    assert (stand.steps(), stand.links()) == ([("refused", "gave_up")], ("a", "a"))


STEPS = ("taken", "staged", "judged", "filled", "tested", "trying", "switched", "restarted", "good", "confirmed")


@pytest.mark.parametrize("reboot", [False, True])
def test_a_kill_at_any_step_leaves_one_whole_program_running(stand: Stand, maker: Maker, reboot: bool) -> None:
    """kill -9 of the updater, alone or with the machine; then it is started again, as its path unit does."""
    chance = random.Random(f"{SEED}/{reboot}")
    steps = [step for n in range(KILLS) for step in chance.sample(STEPS, len(STEPS))][:KILLS]
    before, after = program(stand.slots.path("a")), None
    for n, step in enumerate(steps):
        killed_at(stand, maker, step, f"c-{n}")
        if reboot:
            stand.guard()
            current, good = stand.links()
            assert current == good, f"{step}: within one boot"
            (stand.control / f"{CORE}.runs").write_text(f"slots/{current}\n")
        stand.update(maker.keys, boot="boot-2" if reboot else stand.state().boot or "boot-1")
        current, good = stand.links()
        assert current == good == stand.runs, f"seed {SEED} {step}: {stand.links()} {stand.runs}"
        ended = stand.steps()[-1]
        if step in ("good", "confirmed"):
            assert ended == ("confirmed", "") and good == "b", step
        elif step in ("trying", "switched", "restarted"):
            assert ended[0] == "gone_back" and good == "a", (step, ended)
        else:
            assert ended == ("confirmed", "") and good == "b", f"{step}: begun anew"
        now = program(stand.slots.path(good))
        assert rot.damaged(stand.slots.path(good)) == ""
        after = now if good == "b" and after is None else after
        assert now == (before if good == "a" else after), f"{step}: whole"
        assert stand.is_tidy()
        stand.slots.point("good", "a")  # and once more from the beginning
        stand.slots.point("current", "a")
        (stand.control / f"{CORE}.runs").write_text("slots/a\n")
        stand.desk.write(replace(stand.state(), floor=0, previous=""))


def program(slot: Path) -> dict[str, tuple[str, bytes]]:
    """All of a slot but the list that is made of it when it is first found good."""
    return {name: held for name, held in tree(slot).items() if name != rot.SUMS}


def killed_at(stand: Stand, maker: Maker, step: str, name: str) -> None:
    """Start it for one more update and kill it when it says that it has come so far."""
    stand.ask(maker.bundle(), name)
    process = subprocess.Popen(
        stand.command(maker.keys), env=stand.environ, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        assert process.stderr is not None
        for line in process.stderr:
            if f"step={step} " in f"{line.strip()} ":
                break
        else:
            raise AssertionError(f"it never came to {step}")
    finally:
        process.kill()
        process.wait()
