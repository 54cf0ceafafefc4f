"""Words about profiles: what `edge-agent profile check` finds, and why a profile cannot be used."""

TEXTS: dict[str, tuple[str, str]] = {
    # why a profile cannot be used: ProfileError.code
    "unknown_profile": (
        "没有名为 {profile} 的型号; 已有: {known}",
        "There is no profile {profile}; there are: {known}",
    ),
    "unreadable": ("{file} 读不出: {detail}", "{file} cannot be read: {detail}"),
    "too_large": ("{file} 超过 {most} 字节, 不是型号文件", "{file} is over {most} bytes and no profile"),
    "not_utf8": (
        "{file} 第 {line} 行不是 UTF-8 文字; 请用 UTF-8 另存",
        "{file}, line {line}: not UTF-8 text; save the file as UTF-8",
    ),
    "bad_toml": ("{file} 不是正确的 TOML: {detail}", "{file} is not sound TOML: {detail}"),
    "bad_kind": (
        "型号 {profile} 的 kind 为 {found}; 应为 {known} 之一",
        "Profile {profile}: kind is {found}; it must be one of {known}",
    ),
    "bad_link": (
        "型号 {profile}: {key} 的值 {value} 不对; 应为: {expected}",
        "Profile {profile}: {key} cannot be {value}; expected: {expected}",
    ),
    "bad_meaning": (
        "型号 {profile} 的含义表不对: {detail}",
        "Profile {profile}: its tables of meaning are wrong: {detail}",
    ),
    "unknown_codec": (
        "型号 {profile}: 没有名为 {codec} 的解码器; 已有: {known}",
        "Profile {profile}: there is no codec {codec}; there are: {known}",
    ),
    "bad_schema": (
        "型号 {profile} 的 schema 为 {found}, 本版本只认 {known}: 请升级软件, 或改用旧格式",
        "Profile {profile} is of schema {found} and this version knows {known}: update the software, or write it in the old form",
    ),
    "bad_name": (
        "{profile} 不能作型号名: 只用字母、数字、. _ -, 最多 64 个",
        "{profile} is no name for a profile: letters, digits, . _ -, at most 64",
    ),
    "file_exists": ("{file} 已存在, 未改动", "{file} exists already and was left as it is"),
    "unwritable": (
        "{file} 写不进去: {detail}; 请用有权限的用户 (sudo) 再试",
        "{file} cannot be written: {detail}; try as a user who may (sudo)",
    ),
    "no_directory": (
        "配置里的 profile_dirs 为空: 没有地方安装现场型号",
        "profile_dirs of the configuration is empty: there is no place for a profile of the site's own",
    ),
    "in_use": (
        "型号 {profile} 正由 {users} 使用, 未安装; 确认无误后加 --force 再执行, 并重启服务",
        "{users} use the profile {profile}, so nothing was installed; if you are sure, run it again with --force and restart the "
        "service",
    ),
    "template": (
        "型号 {profile} 是样板, 其中的寄存器号、格式是虚构的, 不能用于现场。"
        "先抄一份: edge-agent profile new 名称 --like {profile}, "
        '照厂家资料填好, 再把 evidence 改为 "unproven"',
        "The profile {profile} is a template: its registers and layout are made up, so no site may use it. Copy it with "
        "edge-agent profile new NAME --like {profile}, fill the copy in after the maker's document, then write "
        'evidence = "unproven" in it',
    ),
    "still_template": (
        "型号 {profile} 的寄存器号、格式与样板 {template} 完全一样, 都是虚构的, 不能用于现场: 照厂家资料逐项填好",
        "Every register and layout of the profile {profile} is still what the template {template} made up, so no site may use it: "
        "fill them in after the maker's document",
    ),
    # what check() finds: ProfileFinding.code
    "left_of_template": (
        "这些项仍与样板 {template} 虚构的一样: {names}; 逐项对照厂家资料",
        "These still say what the template {template} made up: {names}; hold each against the maker's document",
    ),
    "missing_schema": ("缺 schema: 请写 schema = {known}", "schema is missing: write schema = {known}"),
    "overrides": (
        "现场文件 {profile} 代替随软件提供的同名型号 (自定义)",
        "The site's file {profile} takes the place of the shipped profile of that name",
    ),
    "missing_words": ("缺 {key}: 值班人员看不到名称", "{key} is missing: the duty officer sees no name"),
    "bad_evidence": (
        "evidence 为 {found}; 应为 {known} 之一",
        "evidence is {found}; it must be one of {known}",
    ),
    "unproven": (
        "此型号没有抓包或资料证实: 投用前须做真实火警试验",
        "No capture or document stands behind this profile: try it with a real test alarm before relying on it",
    ),
    "untested": (
        "没有样例证明能读出: {names}; 投用前逐项做真实试验",
        "No example shows these: {names}; try each for real before relying on it",
    ),
    "bad_caveat": (
        "第 {number} 个 [[caveat]]: {key} 不对; 要写 zh、en 两种文字和 evidence ({known})",
        "[[caveat]] {number}: {key} is wrong; it has words in zh and en, and evidence ({known})",
    ),
    "caveat_evidence": (
        "第 {number} 个 [[caveat]] 没有写依据: evidence 为 {known} 之一 (design = 本软件的约定)",
        "[[caveat]] {number} does not say what it stands on: evidence is one of {known} (design = this software's own choice)",
    ),
    "missing_source": (
        "缺 source: 写明抓包或资料的出处",
        "source is missing: say where the captures or documents come from",
    ),
    "unknown_key": ("不认识的键 {key}; 可用: {known}", "Unknown key {key}; known ones: {known}"),
    "unknown_event": (
        "{key} 写的事件 {event} 不在词汇表; 可用: {known}",
        "{key} names the event {event}, which is not in the vocabulary: {known}",
    ),
    "slow_regex": (
        "第 {number} 个 [[meaning.pattern]] 的正则太慢 ({took_ms} 毫秒): 会拖住报警, 请改写",
        "The expression of [[meaning.pattern]] {number} is slow ({took_ms} ms): it would hold up an alarm; write it otherwise",
    ),
    "no_fire": (
        "含义表中没有任何一项是火警: 火警将报不出来",
        "Nothing in its tables means fire: a fire would not be told",
    ),
    "no_example": (
        "没有样例 ([[example]]): 无法证明能识别",
        "There is no [[example]]: nothing shows that it reads anything",
    ),
    "no_counter_example": (
        "没有反例 ([[counter_example]]): 无法证明会拒绝坏帧",
        "There is no [[counter_example]]: nothing shows that it refuses a bad frame",
    ),
    "bad_hex": (
        "{where}: hex 不是十六进制字节, 或缺 expect",
        "{where}: hex is not bytes in hexadecimal, or expect is missing",
    ),
    "example_refused": ("样例 {number} 被拒绝: {why}", "Example {number} is refused: {why}"),
    "example_differs": (
        "样例 {number} 的 {key} 应为 {expected}, 实为 {got}",
        "Example {number}: {key} should be {expected} and is {got}",
    ),
    "counter_example_raised": (
        "反例 {number} 被当成事件 {event}",
        "Counter-example {number} was taken for the event {event}",
    ),
    "unusable": ("不能用: {detail}", "It cannot be used: {detail}"),
    "bad_table": ("{where}: {detail} ({value})", "{where}: {detail} ({value})"),
    "bad_gb26875": (
        "第 {index} 个 [[gb26875_point]]: {key} = {value} 不能用",
        "[[gb26875_point]] number {index}: {key} = {value} cannot be used",
    ),
}
