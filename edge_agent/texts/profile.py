"""What is wrong with a profile: the words for the codes of `drivers.profile` (ProfileError, ProfileFinding)."""

TEXTS: dict[str, tuple[str, str]] = {
    "unknown_profile": ("没有设备资料 {profile}。可用: {known}", "There is no profile {profile}. Known: {known}"),
    "unreadable": ("读不了 {file}: {detail}", "Cannot read {file}: {detail}"),
    "too_large": ("{file} 超过 {most} 字节, 不是设备资料。", "{file} is over {most} bytes; that is no profile."),
    "not_utf8": (
        "{file} 第 {line} 行不是 UTF-8。用编辑器另存为 UTF-8。",
        "{file}, line {line}, is not UTF-8. Save it as UTF-8 in the editor.",
    ),
    "bad_toml": ("{file} 不是 TOML: {detail}", "{file} is not TOML: {detail}"),
    "bad_kind": ("kind = {found} 不可用, 可用: {known}", "kind = {found} is not one of: {known}"),
    "unknown_codec": ("没有协议 {codec}, 可用: {known}", "There is no codec {codec}; known: {known}"),
    "bad_meaning": ("[meaning] 不对: {detail}", "[meaning] is wrong: {detail}"),
    "bad_link": ("{key} = {value} 不可用, 应为: {expected}", "{key} = {value} is wrong; expected: {expected}"),
    "bad_modbus": ("{where} 不对: {detail} ({value})", "{where} is wrong: {detail} ({value})"),
    "overrides": ("取代自带的 {profile}。", "Takes the place of the shipped {profile}."),
    "missing_words": ("没有写 {key}。", "{key} is not given."),
    "bad_evidence": ("evidence = {found} 不可用, 可用: {known}", "evidence = {found} is not one of: {known}"),
    "unproven": ("未经证实: 没有现场或实测字节。", "Unproven: no captured bytes stand behind it."),
    "missing_source": ("没有写 source (依据出处)。", "No source is given."),
    "unknown_key": ("不认识的键 {key}, 可用: {known}", "Unknown key {key}; known: {known}"),
    "unknown_event": (
        "{key}: 没有事件 {event}, 可用: {known}",
        "{key}: there is no event {event}; known: {known}",
    ),
    "no_fire": ("没有任何一项表示火警, 火警会被漏掉。", "Nothing in it means fire: a fire would be missed."),
    "no_example": ("没有正例 ([[example]])。", "It has no [[example]]."),
    "no_counter_example": ("没有反例 ([[counter_example]])。", "It has no [[counter_example]]."),
    "bad_hex": ("{where}: hex 或 expect 写得不对。", "{where}: its hex or expect is wrong."),
    "example_refused": ("正例 {number} 被拒收: {why}", "Example {number} is refused: {why}"),
    "example_differs": (
        "正例 {number} 的 {key}: 应为 {expected}, 译出 {got}",
        "Example {number}, {key}: expected {expected}, decoded {got}",
    ),
    "counter_example_raised": (
        "反例 {number} 不该产生事件, 却产生了 {event}",
        "Counter-example {number} must raise nothing, yet raises {event}",
    ),
}
