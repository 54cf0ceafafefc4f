"""Lines of modems that no capture has, written from each family's description: every form, ends of ranges, glued, split."""

from typing import Any

import pytest

from drivers.codecs.at import timers
from drivers.codecs.at.decode import decode
from drivers.codecs.at.fields import Reading
from drivers.codecs.at.lines import Line, LineReader, final_of
from drivers.codecs.at.readings import STATES, is_registered, read
from tests.codecs.agrees import assert_agrees


def said(text: str, asked: str = "") -> dict[str, Any]:
    got = read(text, asked)
    assert isinstance(got, Reading), (text, got)
    return {"command": got.command, "urc": got.urc, **got.fields}


@pytest.mark.parametrize("name", ["CREG", "CGREG", "CEREG", "C5GREG"])
@pytest.mark.parametrize("stat", range(12))
def test_registration_in_every_state_and_every_form(name: str, stat: int) -> None:
    area: dict[str, Any] = {"area_hex": "59AB", "cell_hex": "0D32F9"}
    for mode in range(6):
        for text, more in (
            (f"+{name}: {mode},{stat}", {}),
            (f"+{name}:00{mode},00{stat}" if stat < 10 else f"+{name}:00{mode},0{stat}", {}),
            (f'+{name}: {mode},{stat},"59AB","0D32F9"', area),
            (f"+{name}: {mode}, {stat}, 59AB, 0D32F9, 9", area | {"act": 9, "rat": "nb-iot"}),
        ):
            assert_agrees(said(text), {"solicited": True, "stat": stat, "state": STATES[stat], **more})
    forms: tuple[tuple[str, dict[str, Any]], ...] = (
        (f"+{name}: {stat}", {}),
        (f"+{name}: {stat},,", {"area_hex": None}),
        (f'+{name}: {stat},"59AB","0D32F9",7', area | {"act": 7, "rat": "lte"}),
        (f"+{name}:{stat},59AB,0D32F9,13", area | {"act": 13, "rat": "en-dc"}),
    )
    for text, more in forms:
        assert_agrees(said(text), {"solicited": False, "urc": True, "stat": stat, **more})
    got = read(f"+{name}: 0,{stat}")
    assert isinstance(got, Reading) and is_registered([got]) == (stat in (1, 5, 9, 10))  # SMS only carries no data


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ('+CEREG: 4,2,"59AB","0D32F9",9,0,15,,', {"stat": 2, "act": 9}),
        ('+CEREG: 4,1,"59AB","0D32F9",9,,,"00100001","10100011"', {"t3324_s": 60, "t3412_s": 180}),
        ('+CEREG: 1,"59AB","0D32F9",9,,,"11100000","11100000"', {"t3324_s": None, "t3412_s": None, "urc": True}),
        ("+CSQ: 0,0", {"rssi_dBm": -113, "ber": 0}),
        ("+CSQ:31,7", {"rssi_dBm": -51, "ber": 7}),
        ("+CSQ: 99,99", {"rssi_dBm": None, "ber": None}),
        ("+CESQ: 0,0,255,255,255,255", {"rssi_dBm": -111.0, "ber": 0, "rat": "gsm"}),
        ("+CESQ: 99,99,0,0,255,255", {"rscp_dBm": -121.0, "ecno_dB": -24.5, "rat": "umts"}),
        ("+CESQ: 99,99,96,49,255,255", {"rscp_dBm": -25.0, "ecno_dB": 0.0, "rat": "umts"}),
        ("+CESQ: 99,99,255,255,0,0", {"rsrq_dB": -20.0, "rsrp_dBm": -141.0, "rat": "lte"}),
        ("+CESQ: 99,99,255,255,34,97", {"rsrq_dB": -3.0, "rsrp_dBm": -44.0, "rssi_dBm": "absent", "rat": "lte"}),
        ("+CESQ: 99,99,255,255,255,255", {"rat": None, "rsrp_dBm": "absent"}),
        ('+QCSQ: "LTE",-52,-81,195,-10', {"rat": "LTE", "rssi_dBm": -52, "rsrp_dBm": -81, "sinr_dB": 19.0}),
        ('+QCSQ: "NOSERVICE"', {"rat": "NOSERVICE", "rsrp_dBm": "absent"}),
        ('+QENG: "servingcell","SEARCH"', {"state": "SEARCH"}),
        (
            '+QENG: "servingcell","NOCONN","LTE","FDD",460,01,5F1EA15,12,1650,3,5,5,DE10,-,-,-,-,-',
            {"mcc": "460", "cell_hex": "5F1EA15", "tac_hex": "DE10", "rsrp_dBm": None, "rsrq_dB": None, "sinr": None},
        ),
        ('+QNWINFO: "FDD LTE","46001","LTE BAND 3",1650', {"plmn": "46001", "channel": 1650}),
        ("+QTEMP: 255,255,255", {"temperature_c": None}),
        ("+QTEMP: -40,-38,255", {"temperature_c": -38}),
        (
            "+CPSI: LTE,Online,460-00,0x1816,136582439,264,EUTRAN-BAND41,40936,5,5,-13,-98,-69,12",
            {"tac_hex": "1816", "cell": 136582439, "rsrq": -13, "rsrp": -98, "rssi": -69, "snr": 12},
        ),
        ("+CPSI: NO SERVICE,Online", {"rat": "NO SERVICE", "mode": "Online"}),
        ("Signal power: -1250", {"rsrp_dBm": -125.0}),
        ("ECL:2", {"ecl": 2}),
        ("SNR:-32768", {"snr_dB": None}),
        ('+CCLK: "24/02/29,23:59:59-32"', {"iso": "2024-02-29T23:59:59-08:00", "offset_min": -480}),
        ('+CCLK: "26/11/25,14:02:03"', {"iso": "2026-11-25T14:02:03", "offset_min": None, "unset": False}),
        ("+CCLK:26/11/25,14:02:03+56", {"offset_min": 840, "unset": False}),
        ('+CCLK: "70/01/01,00:00:05+00"', {"unset": True}),
        ('+CCLK: "23/12/31,23:59:59+32"', {"unset": True}),
        ('+QLTS: "2026/11/25,14:02:03+32,0"', {"iso": "2026-11-25T14:02:03+08:00", "offset_min": 480}),
        ('+CCLK: "26/11/25,14:02:03+00"', {"unset": True}),  # its zone was never set
        ('+QLTS: "2026/11/25,06:02:03+00,0"', {"unset": False}),  # QLTS=1: UTC
        ("+COPS: 0", {"mode": 0, "operator": None}),
        ('+COPS: 0,2,"46011",9', {"operator": "46011", "act": 9}),
        ("+CGATT: 1", {"attached": True}),
        ("+CGATT:0", {"attached": False}),
        ("+CPIN: READY", {"lock": "none"}),
        ("+CPIN: SIM PIN", {"lock": "sim_pin"}),
        ("+CPIN: SIM PUK", {"lock": "sim_puk"}),
        ("+CPIN: PH-NET PIN", {"lock": "ph_net_pin"}),
        ("+CPSMS: 0", {"on": False}),
        ('+CPSMS: 1,,,"01000011","01000011"', {"on": True, "t3412_s": 30 * 3600, "t3324_s": 18 * 60}),
        ("+CPSMS: 1,,,,", {"on": True, "t3412_s": "absent"}),
        ('+CEDRXP: 5,"0010","1111","0011"', {"asked_s": 20.48, "granted_s": 10485.76, "urc": True}),
        ('+CEDRXS: 5,"1101"', {"asked_s": 2621.44, "urc": False}),
        ('+CGPADDR: 0,"10.169.241.248"', {"cid": 0, "address": "10.169.241.248"}),
        ("+CGPADDR: 1", {"cid": 1, "address": None}),
    ],
)
def test_readings_at_the_ends_of_their_ranges(text: str, wanted: dict[str, Any]) -> None:
    assert_agrees(said(text), wanted)


def test_timers_of_power_saving_in_every_unit() -> None:
    units = (600, 3600, 36000, 2, 30, 60, 320 * 3600)
    for unit, one_s in enumerate(units):
        assert timers.t3412_s(f"{unit:03b}11111") == 31 * one_s
    assert timers.t3412_s("11100001") is None
    assert [timers.t3324_s(f"{unit}11111") for unit in ("000", "001", "010", "111")] == [62, 31 * 60, 31 * 360, None]


@pytest.mark.parametrize(
    ("rest", "wanted"),
    [
        ("NW DETACH", {"action": "nw_detach", "link_lost": True}),
        ("ME DETACH", {"action": "me_detach", "link_lost": True}),
        ("NW DEACT IP, 10.0.0.1, 1", {"action": "nw_deact_pdp", "cid": 1, "link_lost": True}),
        ('ME DEACT "IP","10.0.0.1",3', {"action": "me_deact_pdp", "cid": 3, "link_lost": True}),
        ('NW DEACT "IP","10.0.0.1"', {"action": "nw_deact_pdp", "cid": "absent", "link_lost": True}),
        ("NW PDN DEACT 1", {"action": "nw_deact_primary", "cid": 1, "link_lost": True}),
        ("ME PDN DEACT 2,0", {"action": "me_deact_primary", "cid": 2, "link_lost": True}),
        ("ME PDN ACT 1,0", {"action": "me_act_primary", "cid": 1, "link_lost": "absent"}),
        ("NW ACT 1,2,0", {"action": "nw_act_secondary", "cid": 2, "link_lost": "absent"}),
        ("NW DEACT 1, 2, 0", {"action": "nw_deact_secondary", "cid": 2, "link_lost": "absent"}),
        ("NW REACT IP, 10.0.0.1, 1", {"action": "nw_react", "cid": 1}),
        ("NW MODIFY 1,0,0", {"action": "nw_modify", "cid": 1}),
        ("ME CLASS B", {"action": "me_class"}),
        ("REJECT IP, 10.0.0.1", {"action": "reject"}),
    ],
)
def test_events_of_the_packet_domain(rest: str, wanted: dict[str, Any]) -> None:
    assert_agrees(said(f"+CGEV: {rest}"), {"urc": True, **wanted})


@pytest.mark.parametrize(
    ("asked", "text", "wanted"),
    [
        ("", '+QIURC: "closed",11', {"command": "closed", "socket": 11, "urc": True}),
        ("", '+QIURC: "recv",0', {"command": "recv", "socket": 0}),
        ("", '+QIURC: "pdpdeact",1', {"context": 1, "link_lost": True}),
        ("", "+QIOPEN: 11,566", {"socket": 11, "code": 566, "ok": False}),
        ("", "+QIOPEN: 0,0", {"ok": True}),
        ("QISEND=0,0", "+QISEND: 5,5,0", {"sent": 5, "acked": 5, "unacked": 0}),
        ("QIGETERROR", "+QIGETERROR: 565,DNS parse failed", {"code": 565, "text": "DNS parse failed"}),
        ("QIACT?", '+QIACT: 1,1,1,"10.7.157.1"', {"active": True, "address": "10.7.157.1"}),
        ("NSOCR=DGRAM,17,4587,1", "6", {"command": "NSOCR", "socket": 6}),
        ("NSOST=0,10.0.0.1,5683,2,ABCD", "0,2", {"command": "NSOST", "socket": 0, "sent": 2}),
        ("NSOSD=1,2,ABCD", "1,2", {"command": "NSOSD", "sent": 2}),
        (
            "NSORF=0,1358",
            "0,10.0.0.1,5683,3,616263,0",
            {"command": "NSORF", "peer": "10.0.0.1", "port": 5683, "payload_hex": "616263", "rest": 0},
        ),
        ("", "+NSONMI:6,1358", {"socket": 6, "length": 1358}),
        ("", "+NSONMI: 0,10.0.0.1,5683,3,61626a", {"length": 3, "payload_hex": "61626a", "urc": True}),
        ("", "+NSOCLI: 1", {"socket": 1, "urc": True}),
        ("", "+NSMI:SENT", {"sent": True}),
        ("", "+NSMI:DISCARDED", {"sent": False}),
        ("", "+NNMI:3,616263", {"length": 3, "payload_hex": "616263"}),
        ("NQMGR", "BUFFERED=0,RECEIVED=34,DROPPED=2", {"buffered": 0, "received": 34, "dropped": 2}),
        ("NQMGS", "PENDING=1,SENT=2,ERROR=0", {"pending": 1, "sent": 2, "error": 0}),
        ("", "+CIPOPEN: 0,3", {"socket": 0, "code": 3, "ok": False}),
        ("", "+NETOPEN: 0", {"ok": True, "urc": True}),
        ("", "+IPCLOSE: 0,1", {"socket": 0, "code": 1, "ok": False}),
        ("", "+IPCLOSE 0,1", {"socket": 0, "code": 1, "ok": False}),
        ("", "+CIPSEND: 0,1500,1500", {"asked": 1500, "sent": 1500}),
        ("", "RECV FROM:117.131.85.139:5253", {"peer": "117.131.85.139", "port": 5253, "urc": True}),
        ("", "+CSONMI: 4,8,61626364", {"socket": 4, "length": 4, "payload_hex": "61626364"}),
        ("", "+CSOC: 4", {"socket": 4}),
        ("", "+QMTOPEN: 0,0", {"client": 0, "ok": True}),
        ("", "+QMTOPEN: 0,-1", {"codes": [-1], "ok": False}),
        ("", "+QMTCONN: 0,0,0", {"ok": True}),
        ("", "+QMTCONN: 0,0,5", {"codes": [0, 5], "ok": False}),
        ("", "+QMTCONN: 5,1", {"client": 5, "ok": False}),
        ("", "+QMTPUBEX: 0,7,0", {"ok": True}),
        ("", "+QMTSTAT: 0,1", {"client": 0, "code": 1, "link_lost": True}),
        ("", '+QMTRECV: 0,0,"fire/cmd","x"', {"client": 0, "topic": "fire/cmd"}),
        ("", "+CMQTTCONNECT: 0,0", {"ok": True}),
        ("", "+CMQTTSTART: 0", {"ok": True}),
        ("CCID", "+CCID: 89860319945121480001", {"value": "89860319945121480001"}),
        ("QCCID", "+QCCID: 898602F9091830020009", {"value": "898602F9091830020009"}),
        ("NCCID", "+NCCID:8986031994512148000F", {"value": "8986031994512148000"}),
        ("CCID", "898602f9091830020009", {"value": "898602F9091830020009"}),
        ("CICCID", "+ICCID: 98683091491512840010", {"value": "89860319945121480001"}),
        ("CRSM=176,12258,0,0,10", '+CRSM: 144,0,"98683091491512840010"', {"value": "89860319945121480001"}),
        ("CGSN=1", "+CGSN:490154203237518", {"field": "imei", "value": "490154203237518"}),
        ("CGSN", "490154203237518", {"field": "imei", "value": "490154203237518"}),
        ("", "REBOOT_CAUSE_SECURITY_RESET_PIN", {"command": "boot", "cause": "SECURITY_RESET_PIN"}),
        ("", "POWERED DOWN", {"command": "power_down"}),
    ],
)
def test_sockets_identities_and_what_is_announced(asked: str, text: str, wanted: dict[str, Any]) -> None:
    assert_agrees(said(text, asked), wanted)


def test_finals_in_numbers_in_words_and_of_messages() -> None:
    for text, ok, code in (
        ("OK", True, "ok"),
        ("ERROR", False, "error"),
        ("NO CARRIER", False, "no_carrier"),
        ("ABORTED", False, "aborted"),
        ("SEND OK", True, "ok"),
        ("SEND FAIL", False, "send_fail"),
        ("+CME ERROR: 10", False, "cme_10"),
        ("+CME ERROR:107", False, "cme_107"),
        ("+CME ERROR: SIM not inserted", False, "cme_10"),
        ("+CME ERROR: Unknown", False, "cme_100"),
        ("+CME ERROR: something new", False, "cme_unknown"),
        ("+CMS ERROR: 310", False, "cms_310"),
        ("+CMS ERROR: SIM busy", False, "cms_unknown"),  # 314 there, not the 14 of the other table
    ):
        ending = final_of(text)
        assert ending is not None and (ending.ok, ending.code) == (ok, code), text


# A stream as each family would send it, the payloads made of what would be lines.
STREAMS: list[tuple[bytes, list[bytes]]] = [
    (b'\r\n+QIURC: "recv",0,10\r\n\r\nOK\r\nab\r\n\r\n\r\n+CSQ: 9,99\r\n', [b"\r\nOK\r\nab\r\n"]),
    (b'\r\n+QIURC: "recv",2,4,"10.0.0.1",5683\r\nOK\r\n\r\n+CSQ: 9,99\r\n', [b"OK\r\n"]),
    (b"\r\n+QIRD: 6\r\n+CSQ: \r\n\r\nOK\r\n\r\n+CSQ: 9,99\r\n", [b"+CSQ: "]),
    (b"\r\nRECV FROM:10.0.0.1:8013\r\n+IPD4:\r\n\r\nOK\r\n+CSQ: 9,99\r\n", [b"\r\nOK"]),
    (b"+IPD2\r\n> \r\n+CSQ: 9,99\r\n", [b"> "]),
    (b"\r\n+CIPRXGET: 2,0,5,0\r\nERROR\r\nOK\r\n\r\n+CSQ: 9,99\r\n", [b"ERROR"]),
]


@pytest.mark.parametrize(("stream", "payloads"), STREAMS)
def test_socket_bytes_that_look_like_lines_and_the_line_behind_them(stream: bytes, payloads: list[bytes]) -> None:
    for step in (len(stream), 1, 3):
        reader, tokens = LineReader(), []
        for at in range(0, len(stream), step):
            tokens += reader.feed(stream[at : at + step])
        lines = [token for token in tokens if isinstance(token, Line)]
        assert [line.payload for line in lines if line.payload is not None] == payloads
        assert lines[-1].text == "+CSQ: 9,99"


def test_two_announcements_in_one_read_and_one_inside_an_answer() -> None:
    glued = decode(b'\r\n+CEREG: 2\r\n\r\n+CEREG: 1,"59AB","0D32F9",9\r\n')
    assert [(one["kind"], one["stat"]) for one in glued] == [("urc", 2), ("urc", 1)]
    inside = decode(b'AT+CSQ\r\r\n+CSQ: 20,99\r\n\r\n+QIURC: "pdpdeact",1\r\n\r\nOK\r\n')
    assert [one["kind"] for one in inside] == ["command", "answer", "urc", "final"]
    three = decode(
        b'+QENG: "servingcell","NOCONN"\r\n+QENG: "LTE","FDD",460,01,5F1EA15,12,1650,3,5,5,DE10,-100,-12,-68,11,27\r\n'
        b'+QENG: "NR5G-NSA",460,01,321,-92,13,-11\r\n\r\nOK\r\n'
    )
    assert len(three) == 2
    assert_agrees(three[0], {"state": "NOCONN", "rat": "EN-DC", "rsrp_dBm": -100, "nr_rsrp_dBm": -92})
