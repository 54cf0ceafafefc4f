"""A contribution: a profile, captures with what names people and places taken out, and a report of what was read in them.

Taken out of what the codec shows as text is all that is not known to be safe: words that neither the profile nor the vocabulary of
panels has, and long runs of digits. Each is replaced by as many bytes, and a frame that then reads otherwise is left out.
"""

import contextlib
import hashlib
import io
import json
import re
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from drivers.profile import Profile, try_capture
from edge_agent.profile_files import findings_of

_HANZI = re.compile(r"[\u3400-\u9fff]{2,}")
_LONG_NUMBER = re.compile(r"(?<![0-9])[0-9]{7,}(?![0-9])")
_LATIN = re.compile(r"[A-Za-z]{3,}")
_LATIN_BYTES, _NUMBER_BYTES = re.compile(rb"[A-Za-z]{3,}"), re.compile(rb"[0-9]{7,}")
_TEXT_KEYS = (
    "location_text",
    "label",
    "detail",
    "text",
    "event_text",
)  # of a decoded frame: where words of people stand
_STAND_IN = "某"
_EPOCH = (2011, 7, 1, 0, 0, 0)  # of the archive's files: the same content is the same bytes
# What every panel may print and no customer is known by.
_SAFE_WORDS = """
火警 火灾 报警 预警 故障 恢复 屏蔽 隔离 启动 停止 反馈 监管 联动 复位 消音 自检 开机 关机 手动 自动 主电 备电 正常
首警 系统 控制器 回路 总线 设备 感烟 感温 探测器 手报 按钮 消火栓 声光 警报器 模块 输入 输出 水流 指示器 压力 开关
防火 卷帘 阀 排烟 风机 泵 喷淋 广播 电话 电梯 气体 灭火 可燃 电气 剩余 电流 温度 打印 时间 日期 号 区 层 路 机 年 月
日 时 分 秒 点 型 未 总 数 请求 延时 允许 禁止 撤销 确认 测试 断路 短路 丢失 通讯 通信 主机 从机 分机 网络 电源 电池
充电 接地 漏电 过流 过压 欠压
fire alarm alm trouble fault smoke heat pull station manual auto zone loop point panel node device detector det module address
label active inactive normal restore restored clear cleared reset silence silenced ack acknowledge acknowledged test disabled
disable enabled supervisory sup prealarm pre warning alert open short ground circuit battery charger low high mains power
system network comm communication input output relay valve waterflow flow tamper switch bell horn strobe sounder door damper
fan pump gas water leak evacuation event state status abnormal first second count time date mon tue wed thu fri sat sun jan
feb mar apr may jun jul aug sep oct nov dec
"""


@dataclass(frozen=True, slots=True)
class Redacted:
    """A capture as it may be shown. `replaced` counts what was blotted out, `dropped` the frames left out for it."""

    data: bytes
    replaced: int
    dropped: int


def redact(profile: Profile, data: bytes) -> Redacted:
    """Blot out of a capture what names people and places. Raise ProfileError for a profile that cannot be used."""
    words = _safe_words(profile)
    blotted, replaced = _blot_stream(profile, data, words)
    if blotted is not None:
        return Redacted(blotted, replaced, 0)
    kept, total, dropped = bytearray(), 0, 0
    for frame in _frames(try_capture(profile, data)):  # a checksum over a word that had to go takes its frame with it
        blotted, replaced = _blot_stream(profile, frame, words)
        if blotted is None:
            dropped += 1
        else:
            kept += blotted
            total += replaced
    return Redacted(bytes(kept), total, dropped)


def _blot_stream(profile: Profile, data: bytes, words: frozenset[str]) -> tuple[bytes | None, int]:
    """`data` without what is private, and how much that was; None if that cannot be found in it, or it then reads otherwise."""
    with contextlib.suppress(UnicodeDecodeError):
        if _private(data.decode("utf-8"), words):  # most codecs read GB18030, and show other words of this
            return None, 0
    shown = try_capture(profile, data)
    blotted, replaced = _blot(data, words, shown)
    if blotted != data:
        again = try_capture(profile, blotted)
        if _meaning(again, words) != _meaning(shown, words):
            return None, 0
        shown = again
    return (None, 0) if any(set(run) != {_STAND_IN} for run in _private(_told(shown), words)) else (blotted, replaced)


def write_bundle(path: Path, profile: Profile, captures: Sequence[bytes], version: str) -> dict[str, object]:
    """Write the archive and return its manifest. Raise OSError, FileExistsError, and ProfileError."""
    if path.exists():  # before minutes are spent on a long capture
        raise FileExistsError
    text = profile.path.read_bytes()
    clean = [redact(profile, data) for data in captures]
    manifest: dict[str, object] = {
        "schema": 1,
        "profile": profile.name,
        "profile_sha256": hashlib.sha256(text).hexdigest(),
        "evidence": profile.evidence,
        "agent": version,
        "findings": [finding.code for finding in findings_of(profile)],
        "captures": [
            {
                "file": f"capture-{number}.hex",
                "bytes": len(one.data),
                "replaced": one.replaced,
                "frames_left_out": one.dropped,
                "read": _counts(try_capture(profile, one.data)),
            }
            for number, one in enumerate(clean, 1)
        ],
        "as_written": ["profile.toml"],
    }
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as made:
        _add(made, "profile.toml", text)
        _add(made, "report.json", json.dumps(manifest, ensure_ascii=False, indent=1).encode() + b"\n")
        for number, one in enumerate(clean, 1):
            _add(made, f"capture-{number}.hex", _hex_lines(one.data))
    with path.open("xb") as file:
        file.write(archive.getvalue())
    return manifest


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    entry = zipfile.ZipInfo(name, _EPOCH)
    entry.external_attr = 0o644 << 16
    archive.writestr(entry, content, zipfile.ZIP_DEFLATED)


def _hex_lines(data: bytes) -> bytes:
    return b"".join(data[at : at + 32].hex(" ").upper().encode() + b"\n" for at in range(0, len(data), 32))


def _counts(shown: Sequence[Mapping[str, object]]) -> dict[str, int]:
    """Event name -> how many frames; "refused" and "nothing" for those without one."""
    return dict(
        Counter("refused" if one.get("reject") else str(one.get("event") or "nothing") for one in shown).most_common()
    )


def _safe_words(profile: Profile) -> frozenset[str]:
    """Every word of the profile's tables (not of its examples), and those any panel prints; Latin ones in capitals."""
    told = {key: value for key, value in profile.data.items() if key not in ("example", "counter_example", "caveat")}
    written = json.dumps(told, ensure_ascii=False) + _SAFE_WORDS
    return frozenset(
        {*_HANZI.findall(written), *_SAFE_WORDS.split(), *(word.upper() for word in _LATIN.findall(written))}
    )


def _meaning(shown: Sequence[Mapping[str, object]], words: frozenset[str]) -> list[dict[str, object]]:
    """What must not change: all but the bytes themselves and texts that have something private in them."""
    return [
        {
            key: _meaning(value, words) if key == "events" and isinstance(value, list) else value
            for key, value in one.items()
            if key not in ("raw", *_TEXT_KEYS) and not (isinstance(value, str) and _private(value, words))
        }
        for one in shown
    ]


def _frames(shown: Sequence[Mapping[str, object]]) -> Iterator[bytes]:
    for one in shown:
        raw = one.get("raw")
        if isinstance(raw, bytes | str):
            yield raw if isinstance(raw, bytes) else bytes.fromhex(raw)


def _blot(data: bytes, words: frozenset[str], shown: Sequence[Mapping[str, object]]) -> tuple[bytes, int]:
    """`data` with what is private replaced, byte for byte as long, and how many pieces that were."""
    told = _told(shown)
    # Bytes that are no text look like Chinese often enough: they are taken so where the codec shows text or could not read.
    refused = any(one.get("reject") for one in shown)
    private = _private(data.decode("gb18030", "replace") if refused else told, words)
    latin = {word for word in _LATIN.findall(told) if word.upper() not in words and set(word) != {"X"}}
    blotted, latin_count = _blot_words(data, _LATIN_BYTES, {word.encode(): b"X" * len(word) for word in latin})
    blotted, number_count = _blot_words(
        blotted, _NUMBER_BYTES, {number.encode(): b"0" * len(number) for number in _LONG_NUMBER.findall(told)}
    )
    blotted, run_count = _blot_runs(blotted, private)
    return blotted, latin_count + number_count + run_count


def _blot_words(data: bytes, whole: re.Pattern[bytes], stand_ins: Mapping[bytes, bytes]) -> tuple[bytes, int]:
    """`data` with those words of `whole` replaced that have a stand-in, and how many that were."""
    replaced = 0

    def put(found: re.Match[bytes]) -> bytes:
        nonlocal replaced
        stand_in = stand_ins.get(found[0])
        replaced += stand_in is not None
        return found[0] if stand_in is None else stand_in

    return whole.sub(put, data), replaced


def _blot_runs(data: bytes, private: set[str]) -> tuple[bytes, int]:
    """`data` with runs of Chinese replaced, the longest first where several begin; each byte is looked at once."""
    by_head: dict[bytes, list[tuple[bytes, bytes]]] = {}
    for run in sorted(private, key=len, reverse=True):
        piece, stand_in = run.encode("gb18030"), _STAND_IN.encode("gb18030") * len(run)
        if len(piece) == len(stand_in):
            by_head.setdefault(piece[:2], []).append((piece, stand_in))
    out, at, replaced = bytearray(), 0, 0
    while at < len(data):
        pieces = by_head.get(data[at : at + 2], ())
        stand_in = next((stand_in for piece, stand_in in pieces if data.startswith(piece, at)), b"")
        replaced += bool(stand_in)
        out += stand_in or data[at : at + 1]
        at += len(stand_in) or 1
    return bytes(out), replaced


def _told(shown: Sequence[Mapping[str, object]]) -> str:
    """What the codec shows of the words in a capture."""
    told = [str(one[key]) for one in shown for key in _TEXT_KEYS if isinstance(one.get(key), str)]
    several = [
        several for one in shown if isinstance(several := one.get("events"), list)
    ]  # of several places in one frame
    return "\n".join([*told, *(_told(one) for one in several)])


def _private(text: str, words: frozenset[str]) -> set[str]:
    """Runs of Chinese in `text` that are not made of safe words alone."""
    return {run for run in _HANZI.findall(text) if not _is_safe(run, words)}


def _is_safe(run: str, words: frozenset[str]) -> bool:
    ends = {0}
    for at in range(len(run)):
        if at in ends:
            ends |= {at + length for length in range(1, 13) if run[at : at + length] in words}
    return len(run) in ends
