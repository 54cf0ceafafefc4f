"""SIA DC-09 spoken to us: what is told, ACK, NAK and DUH, encryption, the sender's clock, copies."""

import random
from collections.abc import Mapping
from datetime import datetime, timedelta

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given
from hypothesis import strategies as st

from drivers.codecs import sia_dc09, sia_dcs
from drivers.codecs.aes import AesCbc
from drivers.messages import PanelEvent
from drivers.receivers.dc09 import Dc09Talk, read_key
from drivers.receivers.desk import Listed
from tests.receivers.bench import NOON, Bench, S

KEY = bytes.fromhex("00112233445566778899AABBCCDDEEFF")


class Communicator(Bench):
    """An alarm communicator and our side of its connection."""

    def __init__(self, keys: Mapping[str, AesCbc | None] | None = None, now: datetime | None = NOON) -> None:
        accounts = {"1234": None, "AB12": AesCbc(KEY)} if keys is None else dict(keys)
        super().__init__(*(Listed(id=f"com{a}" if a else "com", address=a, silence_s=360) for a in accounts))
        self.talk = Dc09Talk(accounts, lambda: now, random.Random(1))

    def send(self, raw: bytes, at_ns: int = 0) -> None:
        self.desk.take(self.talk.feed(raw, at_ns), self.said.append, at_ns)

    def answers(self) -> list[dict[str, object]]:
        """What went back, read by the codec; each must be sound."""
        read = [sia_dc09.parse(said) for said in self.said]
        assert all(one["crc_ok"] and one["length_ok"] for one in read)
        return read


def stamp(shift_s: float = 0.0) -> str:
    return sia_dc09.time_text(NOON + timedelta(seconds=shift_s))


def theirs(identity: str, seq: int, account: str, text: str) -> bytes:
    """An encrypted message of another implementation: padded with letters in front, hex behind the [."""
    return locked(identity, seq, account, b"k" * 16, text.encode())


def locked(identity: str, seq: int, account: str, padding: bytes, text: bytes) -> bytes:
    """As many bytes of padding as it takes, then the text."""
    cipher = Cipher(algorithms.AES(KEY), modes.CBC(bytes(16))).encryptor()
    padded = padding[: -len(text) % 16] + text
    return sia_dc09.encode(identity, seq, account, "", locked=cipher.update(padded).hex().upper())


@pytest.mark.parametrize(
    ("identity", "data", "told"),
    [
        ("ADM-CID", "#1234|1110 00 129", [("com1234/00-129", "fire")]),
        ("ADM-CID", "#1234|3110 00 129", [("com1234/00-129", "fire_restore")]),
        ("ADM-CID", "#1234|1115 01 001", [("com1234/01-001", "fire_manual")]),
        ("ADM-CID", "#1234|1301 00 000", [("com1234/00-000", "mains_fault")]),
        ("ADM-CID", "#1234|1131 00 005", [("com1234/00-005", "burglar")]),
        ("ADM-CID", "#1234|3383 00 005", [("com1234/00-005", "tamper_restore")]),
        ("ADM-CID", "#1234|1316 00 000", [("com1234/00-000", "burglar")]),
        ("ADM-CID", "#1234|1306 00 000", [("com1234/00-000", "status")]),
        ("ADM-CID", "#1234|111000129", [("com1234/00-129", "fire")]),
        ("ADM-CID", "#1234|1399 00 005", [("com1234/00-005", "fault")]),
        ("ADM-CID", "#1234|3401 00 005", [("com1234/00-005", "status")]),
        ("SIA-DCS", "#1234|Nri1/FA001", [("com1234/1-001", "fire")]),
        ("SIA-DCS", "|Nri1/FA001", [("com1234/1-001", "fire")]),
        ("SIA-DCS", "#1234|Nri0KR1^TAST. 001 ^", [("com1234/0-1", "fire_restore")]),
        ("SIA-DCS", "#1234|Nti20:50:26RP99", [("com1234/0-99", "test")]),
        ("SIA-DCS", "#1234|Nri2/FA1/GA2", [("com1234/2-1", "fire"), ("com1234/2-2", "gas_alarm")]),
        ("SIA-DCS", "#1234|Nri1/UA7", [("com1234/1-7", "unknown")]),
        ("SIA-DCS", "#1234|Nri04/OP001NM", [("com1234/04-001", "status")]),
        ("SIA-DCS", "#1234|Nri1/JT", [("com1234/1-0", "status")]),
        (
            "SIA-DCS",
            "#1234|Nri1/YA/YQ/XT5/ZA3",
            [
                ("com1234/1-0/bell", "fault"),
                ("com1234/1-0/power", "fault_restore"),
                ("com1234/1-5", "battery_fault"),
                ("com1234/1-3", "supervisory"),
            ],
        ),
        ("SIA-DCS", "#1234|Nri1/FA1^kitchen 2/3^/FA2^hall^", [("com1234/1-1", "fire"), ("com1234/1-2", "fire")]),
        ("SIA-DCS", "#1234|nonsense", [("com1234/device", "fault")]),
        ("ADM-CID", "#1234|11x0 00 129", [("com1234/device", "fault")]),
        ("HENG-BO", "#1234|1701", [("com1234/device", "fault")]),
        ("SIA-DCS", "1234|Nri1/FA001", [("com1234/1-001", "fire")]),
        ("NULL", "", []),
        ("XNM", "", []),
    ],
)
def test_what_the_data_say(identity: str, data: str, told: list[tuple[str, str]]) -> None:
    device = Communicator()
    device.send(sia_dc09.encode(identity, 17, "1234", data, stamp=stamp()))
    assert device.events() == told
    device.settle()
    [answer] = device.answers()
    duh = told == [("com1234/device", "fault")]
    assert (answer["id"], answer["seq"], answer["account"], answer["line"]) == (
        "DUH" if duh else "ACK",
        17,
        "1234",
        "0",
    )


def test_the_zones_text_is_its_name() -> None:
    [event] = sia_dcs.parse("Nri1/FA1^Third floor^")
    assert (event.text, event.events) == ("Third floor", ("fire",))
    assert sia_dcs.parse("NFA001|AKitchen")[0].text == "Kitchen"
    assert [one.text for one in sia_dcs.parse("Nri1/FA1^kitchen 2/3^/FA2|Ahouse")] == ["kitchen 2/3", "house"]


def test_nothing_is_acknowledged_before_it_is_kept_and_a_copy_is_told_once() -> None:
    device = Communicator()
    raw = sia_dc09.encode("ADM-CID", 17, "1234", "#1234|1110 00 129")
    device.send(raw)
    assert device.said == []
    device.settle()
    device.send(raw, 30 * S)
    assert [one["id"] for one in device.answers()] == ["ACK", "ACK"]
    assert device.events() == [("com1234/00-129", "fire")]


@pytest.mark.parametrize(("shift_s", "good"), [(0, True), (-40, True), (20, True), (-41, False), (21, False)])
@pytest.mark.parametrize("account", ["1234", "AB12"])
def test_a_stamp_must_be_of_now(account: str, shift_s: float, good: bool) -> None:
    device = Communicator()
    text = f"|#{account}|1110 00 129]{stamp(shift_s)}"
    plain = sia_dc09.encode("ADM-CID", 3, account, text.partition("]")[0][1:], stamp=stamp(shift_s))
    device.send(plain if account == "1234" else theirs("ADM-CID", 3, account, text))
    device.settle()
    [answer] = device.answers()
    assert answer["id"] == ("ACK" if good else "NAK")
    point = f"com{account}/00-129"
    if good or account == "1234":  # a stamp that nothing protects must not keep a fire from being heard
        assert device.events() == [("net1/refused", "fault")] * (not good) + [(point, "fire")]
    else:
        assert device.events() == [("net1/refused", "fault"), (f"com{account}/clock", "fault")]
    if not good:
        assert answer["timestamp"] == "2026-11-26T04:00:00Z", "so that it can set its clock"


@pytest.mark.parametrize("account", ["1234", "AB12"])
def test_a_clock_that_was_never_set_is_told_the_time_and_its_plain_fire_is_heard(account: str) -> None:
    device = Communicator()
    plain = sia_dc09.encode("ADM-CID", 3, account, f"#{account}|1110 00 129", stamp="_00:00:00,00-00-0000")
    device.send(
        plain if account == "1234" else theirs("ADM-CID", 3, account, f"|#{account}|1110 00 129]_00:00:00,00-00-0000")
    )
    device.settle()
    assert [one["id"] for one in device.answers()] == ["NAK"]
    told = (f"com{account}/00-129", "fire") if account == "1234" else (f"com{account}/clock", "fault")
    assert device.events() == [("net1/refused", "fault"), told]


def test_chinese_text_is_read_in_either_of_its_codes_and_under_a_key() -> None:
    for code in ("utf-8", "gb18030"):
        device = Communicator()
        span = '"SIA-DCS"0007L0#1234[#1234|Nri1/FA001^三楼烟感^][L东侧走廊][O1号楼]'.encode(code)
        device.send(b"\n%04X%04X%b\r" % (sia_dc09.crc16_arc(span), len(span), span))
        text = f"|#AB12|Nri1/FA002^四楼烟感^][I火警]{stamp()}".encode(code)
        device.send(locked("SIA-DCS", 8, "AB12", b"\x9d\xfe\x81" * 16, text))
        device.settle()
        assert [one["id"] for one in device.answers()] == ["ACK", "ACK"], code
        assert device.events() == [("com1234/1-001", "fire"), ("comAB12/1-002", "fire")]
        fields = [seen.fields for seen in device.seen if isinstance(seen, PanelEvent) and seen.event == "fire"]
        assert [one["location_text"] for one in fields] == ["三楼烟感", "四楼烟感"]
        assert [one["xdata"] for one in fields] == ["[L东侧走廊] [O1号楼]", "[I火警]"]


def test_further_data_name_the_place_where_the_data_do_not() -> None:
    device = Communicator()
    span = b'"ADM-CID"0007L0#1234[#1234|1110 00 129][M0026b9e4268b][RRoom 2][SSchool 3]'
    device.send(b"\n%04X%04X%b\r" % (sia_dc09.crc16_arc(span), len(span), span))
    [event] = [seen for seen in device.seen if isinstance(seen, PanelEvent)]
    assert event.fields["location_text"] == "School 3 Room 2"


def test_an_account_without_its_mark_is_found_behind_the_line() -> None:
    device = Communicator()
    for head in (b'"ADM-CID"0007L01234', b'"NULL"0008R1L0AB1234'):
        span = head + b"[|1110 00 129]"
        device.send(b"\n%04X%04X%b\r" % (sia_dc09.crc16_arc(span), len(span), span))
        device.settle()
    assert device.events() == [("com1234/00-129", "fire")]
    assert [(one["id"], one["line"]) for one in device.answers()] == [("ACK", "01234"), ("ACK", "0AB1234")]


def test_without_our_own_time_no_stamp_is_judged() -> None:
    device = Communicator(now=None)
    device.send(theirs("ADM-CID", 3, "AB12", f"|1110 00 129]{stamp(-86400)}"))
    device.settle()
    assert [one["id"] for one in device.answers()] == ["ACK"]


@pytest.mark.parametrize(
    ("identity", "text", "told"),
    [
        ("SIA-DCS", "|#AB12|Nri1/FA001]", [("comAB12/1-001", "fire")]),
        ("SIA-DCS", "|Nri1/FA001][Vx]", [("comAB12/1-001", "fire")]),
        ("ADM-CID", "|#AB12|1110 00 129]", [("comAB12/00-129", "fire")]),
        ("NULL", "]", []),
    ],
)
def test_an_encrypted_message_is_read_and_answered_encrypted(
    identity: str, text: str, told: list[tuple[str, str]]
) -> None:
    device = Communicator()
    device.send(theirs(identity, 9, "AB12", text + stamp()))
    device.settle()
    assert device.events() == told
    [answer] = device.answers()
    assert (answer["id"], answer["encrypted"], answer["seq"]) == ("ACK", True, 9)
    decryptor = Cipher(algorithms.AES(KEY), modes.CBC(bytes(16))).decryptor()
    opened = decryptor.update(bytes.fromhex(str(answer["cipher"]))).decode()
    assert opened.endswith("]_04:00:00,11-26-2026")
    assert not set(opened.partition("]")[0]) & set("|[]")


def test_a_heartbeat_of_a_real_sender_opens_with_its_key() -> None:
    device = Communicator(
        {"AAAB": read_key("text:AAAAAAAAAAAAAAAA")}, now=datetime.fromisoformat("2020-07-05T18:24:52Z")
    )
    device.send(b'\n76D80055"*NULL"0000R0L0#AAAB[B4BC8B40D0E6D959D6BEA78E88CC0B2155741A3C44FBB96D476A3E557CAD64D9\r')
    device.settle()
    assert [(one["id"], one["encrypted"], one["receiver"]) for one in device.answers()] == [("ACK", True, "0")]


def test_who_has_a_key_is_believed_only_with_it() -> None:
    device = Communicator()
    device.send(sia_dc09.encode("ADM-CID", 1, "AB12", "#AB12|1110 00 129", stamp=stamp()))
    wrong = AesCbc(bytes(16)).encrypt(b"k" * 16 + b"|1110 00 129]" + b"_" * 3).hex().upper()
    device.send(sia_dc09.encode("ADM-CID", 2, "AB12", "", locked=wrong))
    device.send(theirs("ADM-CID", 3, "1234", f"|1110 00 129]{stamp()}"))
    device.settle()
    assert [one["id"] for one in device.answers()] == ["DUH"] * 3
    assert device.events() == [("net1/refused", "fault")]
    assert [one.why for one in device.desk.refused()] == ["not_encrypted", "decrypt", "no_key"]


def test_an_account_nobody_listed_gets_duh_and_its_fire_is_an_alarm_of_kind_unknown() -> None:
    device = Communicator()
    device.send(sia_dc09.encode("ADM-CID", 5, "9999", "#9999|1110 00 129"))
    assert [one["id"] for one in device.answers()] == ["DUH"]
    assert device.events() == [("net1/unlisted", "fault"), ("net1/9999", "unknown")]


@pytest.mark.parametrize("damage", [1, 5])
def test_a_message_that_does_not_add_up_gets_no_answer_and_hides_no_fire(damage: int) -> None:
    device = Communicator()
    raw = bytearray(sia_dc09.encode("ADM-CID", 5, "1234", "#1234|1110 00 129"))
    raw[damage] = ord("0") if raw[damage] != ord("0") else ord("1")
    device.send(bytes(raw))
    device.settle()
    assert device.said == []
    assert device.events() == [("net1/refused", "fault"), ("com1234/00-129", "unknown")]
    quiet = bytearray(sia_dc09.encode("ADM-CID", 6, "1234", "#1234|1602 00 000"))
    quiet[1:5] = b"0000"
    device.send(bytes(quiet))
    assert len(device.events()) == 2


def test_any_account_will_do_where_the_only_device_names_none() -> None:
    device = Communicator({"": None})
    device.send(sia_dc09.encode("ADM-CID", 5, "77AB", "#77AB|1110 00 129"))
    assert device.events() == [("com/00-129", "fire")]


@given(st.lists(st.binary(max_size=80), max_size=10), st.integers(0, 40))
def test_nothing_a_peer_sends_raises_and_a_sound_message_behind_it_is_found(pieces: list[bytes], cut: int) -> None:
    device = Communicator()
    for piece in pieces:
        device.send(piece)
    sound = b"\r" + sia_dc09.encode("ADM-CID", 5, "1234", "#1234|1110 00 129")
    device.send(sound[:cut])
    device.send(sound[cut:])
    device.settle()
    assert device.bugs == []
    assert ("com1234/00-129", "fire") in device.events()
    assert len(device.talk._buffer) <= sia_dc09.MESSAGE_BYTES_MAX


def test_keys_are_hex_or_text() -> None:
    block = bytes(16)
    assert read_key("00112233445566778899aabbccddeeff\n").encrypt(block) == AesCbc(KEY).encrypt(block)
    assert read_key("text:0123456789abcdef").encrypt(block) == AesCbc(b"0123456789abcdef").encrypt(block)
    for wrong in ("", "zz", "text:short", "0011"):
        with pytest.raises(ValueError):
            read_key(wrong)
