"""Words about profiles: what `edge-agent profile check` finds, and why a profile cannot be used."""

TEXTS: dict[str, tuple[str, str]] = {
    # why a profile cannot be used: ProfileError.code
    "unknown_profile": (
        "没有名为 {profile} 的型号; 已有: {known}",
        "There is no profile {profile}; there are: {known}",
    ),
    "unreadable": ("{file} 读不出: {detail}", "{file} cannot be read: {detail}"),
    "too_large": ("{file} 超过 {most} 字节, 不是型号文件", "{file} is over {most} bytes and no profile"),
    "not_a_file": ("{file} 不是普通文件", "{file} is no ordinary file"),
    "not_utf8": (
        "{file} 第 {line} 行不是 UTF-8 文字; 请用 UTF-8 另存",
        "{file}, line {line}: not UTF-8 text; save the file as UTF-8",
    ),
    "bad_toml": (
        "{file} 第 {line} 行第 {column} 列: {what} (TOML 解析器: {detail})",
        "{file}, line {line}, column {column}: {what} (TOML parser: {detail})",
    ),
    "bad_toml_also": ("{file} 第 {line} 行第 {column} 列: {what}", "{file}, line {line}, column {column}: {what}"),
    "toml_unclear": (
        "写法不对; 请检查这里和前面几行的引号、括号和等号",
        "it is not written right; look at quotes, brackets and equals signs here and in the lines before",
    ),
    "bad_kind": (
        "型号 {profile} 的 kind 为 {found}; 应为 {known} 之一",
        "Profile {profile}: kind is {found}; it must be one of {known}",
    ),
    "bad_link": (
        "型号 {profile}: {key} 的值 {value} 不对; 应为: {expected}",
        "Profile {profile}: {key} cannot be {value}; expected: {expected}",
    ),
    "missing_link": ("型号 {profile}: 缺 {key}", "Profile {profile}: {key} is missing"),
    "bad_meaning": (
        "型号 {profile} 的 {where}: {detail} ({value})",
        "Profile {profile}, {where}: {detail} ({value})",
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
    "users_unknown": (
        "配置有错误, 看不出谁在用型号 {profile}, 未安装; 先执行 edge-agent config check, 或确认无误后加 --force",
        "The configuration has errors, so nobody knows who uses the profile {profile}, and nothing was installed: run edge-agent "
        "config check first, or, if you are sure, add --force",
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
        "{where} 的正则太慢 ({took_ms} 毫秒): 会拖住报警, 请改写",
        "The expression {where} is slow ({took_ms} ms): it would hold up an alarm; write it otherwise",
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
    "too_many_examples": ("{key} 超过 {most} 条", "More than {most} of {key}"),
    "bad_words": ("{key} 的值 {value} 不是可显示的文字", "{key} is {value}, no text that can be shown"),
    "unknown_unit": (
        "{key} 的单位 {value} 不认识; 常用: {known}",
        "{key}: the unit {value} is not known; usual ones: {known}",
    ),
    "unit_differs": (
        "{key} 为 {value}, 而名称 {name} 说的是 {meant}",
        "{key} is {value}, while the name {name} says {meant}",
    ),
    "unknown_kind": (
        "{key} 写的 {value} 不是事件种类; 可用: {known}",
        "{key} is {value}, no kind of event; there are: {known}",
    ),
    "bad_limit": ("{key} = {value} 超出范围 {expected}", "{key} = {value} is out of range {expected}"),
    "order_of_limits": ("{key}: {low} 应小于 {high}", "{key}: {low} must be below {high}"),
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
    # what is wrong with a table: the detail of bad_table and bad_meaning
    "fault_bad_bit": ("位号应为 0 到 63", "a bit is a number from 0 to 63"),
    "fault_bad_di": (
        "标识不是 8 位 (1997 版 4 位) 十六进制",
        "an identifier is 8 hexadecimal digits, 4 in the 1997 edition",
    ),
    "fault_bad_entry": ("entry 写法不对, 应像 time:u32 code:u16", "entry is wrong; write it like time:u32 code:u16"),
    "fault_bad_field": ("字段写法不对", "the field is written wrongly"),
    "fault_bad_field_place": (
        "字段要写 name 和 at, 可写 size、as、scale",
        "a field has name and at, and may have size, as and scale",
    ),
    "fault_bad_field_shape": ("as、size (1-64) 或 scale 不对", "as, size (1-64) or scale is wrong"),
    "fault_bad_flag": ("on、off 或 bit 不对", "on, off or bit is wrong"),
    "fault_bad_format": ("format 应为 json、text 或 any", "format is json, text or any"),
    "fault_bad_formula": (
        "算式不对: 只用整数、范围名、start、+ - * // % 和括号",
        "the formula is wrong: whole numbers, names of ranges, start, + - * // % and brackets",
    ),
    "fault_bad_framing": (
        "应为数据位 5-8、校验 N E O M S、停止位 1 2, 如 8N1",
        "bits 5-8, parity N E O M S, stop bits 1 2, like 8N1",
    ),
    "fault_bad_id": (
        "测点名不对: 花括号里只能用本表的范围名",
        "the point's name is wrong: only ranges of this table may stand in braces",
    ),
    "fault_bad_name": ("名称只用字母、数字、_ - .", "a name has letters, digits, _ - and . only"),
    "fault_bad_number": ("不是数, 或超出范围", "is no number, or out of range"),
    "fault_bad_pattern": (
        "要写 regex, 可写 fixed (表) 和 whole (名称列表)",
        "wants regex, and may have fixed (a table) and whole (a list of names)",
    ),
    "fault_bad_poll": (
        "查询帧只能是 FF FF FF xx 00 00 01 6E 01 0A 00 83",
        "only FF FF FF xx 00 00 01 6E 01 0A 00 83 may be sent as poll",
    ),
    "fault_bad_range": ("范围应为 [小, 大] 两个整数", "a range is [low, high], whole numbers"),
    "fault_bad_table": ("表的写法不对", "the table is written wrongly"),
    "fault_bad_terminator": ("至多 8 个 ASCII 字符", "at most 8 ASCII characters"),
    "fault_bad_topic": (
        "主题不对: 设备只能由一种方式得知 (主题中的设备位置、devices 或 bridge), 不能有 # 或控制字符",
        "the topic is wrong: one way to know the device (its hole, devices or bridge), no # and no control characters",
    ),
    "fault_duplicate_block": ("两个 [[block]] 同名", "two [[block]]s have one name"),
    "fault_duplicate_point": ("测点名重复", "the name of the point is there twice"),
    "fault_duplicate_value": ("数值名重复", "the name of the value is there twice"),
    "fault_enum_or_flags": ("要写 enum 或 flags, 只写一种", "has either enum or flags"),
    "fault_field_of_wide_value": ("mask、shift 只用于 bool 和 u16", "mask and shift are for bool and u16 only"),
    "fault_fire_held_back": ("火警不能延时", "a fire must not be held back"),
    "fault_frame_without_end": (
        "要写 start, 并写 end、length 或 length_at 之一",
        "wants a start, and an end, a length or length_at",
    ),
    "fault_guard_read_apart": (
        "带 off 的 guard 必须与该值在同一次读取里",
        "a guard with off must be read in the same question as the value",
    ),
    "fault_log_in_pieces": ("事件记录必须一次读完: 加大 max_regs", "a log is read in one question: raise max_regs"),
    "fault_missing": ("缺此项", "is missing"),
    "fault_no_event_group": ("正则里没有名为 event 的组", "the expression has no group named event"),
    "fault_no_faults": ("guard 要写 faults 或 off", "guard wants faults or off"),
    "fault_not_a_table": ("应是一个表", "must be a table"),
    "fault_not_a_text": ("应是引号内的文字", "must be text in quotes"),
    "fault_not_an_event": ("应是词汇表里的事件名", "must be the name of an event"),
    "fault_not_hex": ("不是十六进制字节", "is not bytes in hexadecimal"),
    "fault_not_hex_key": ("键不是十六进制数", "the key is not hexadecimal"),
    "fault_not_hex_texts": ("应是 十六进制字节 = 文字", "must be hexadecimal byte = text"),
    "fault_not_in_block": ("地址不在读取范围里", "the address is in no range that is read"),
    "fault_not_number_texts": ("应是 数字 = 文字", "must be number = text"),
    "fault_not_numbers": ("应是整数列表", "must be a list of whole numbers"),
    "fault_not_tables": ("应是若干个 [[ ]] 表", "must be tables in double brackets"),
    "fault_not_texts": ("应是文字列表", "must be a list of texts"),
    "fault_nothing_to_read": ("没有任何要读的内容", "there is nothing to read"),
    "fault_off_of_a_number": ("off 只用于 bool 的 guard", "off is for the guard of a bool only"),
    "fault_point_or_measure": ("要写 point 或 measure, 只写一种", "has either point or measure"),
    "fault_regex_nested_repeat": (
        "正则不安全: 没有上限的重复里面还有重复或选择",
        "the expression is not safe: a repeat or choice inside an unbounded repeat",
    ),
    "fault_regex_not_a_regex": ("正则写法不对", "is no regular expression"),
    "fault_regex_overlapping_repeats": (
        "正则不安全: 相邻两个重复能取同样的字符",
        "the expression is not safe: two repeats side by side take the same characters",
    ),
    "fault_regex_too_long": ("正则超过 500 个字符", "the expression is over 500 characters"),
    "fault_regex_too_many_repeats": ("正则里没有上限的重复超过 12 个", "the expression has over 12 unbounded repeats"),
    "fault_regex_too_many_ways": (
        "正则不安全: 同一段文字有太多种取法, 会拖住报警",
        "the expression is not safe: it can take one text in too many ways, and would hold up an alarm",
    ),
    "fault_summary_of_last_event": ("last_event 方式不能用 summary", "summary is not for the mode last_event"),
    "fault_too_many": ("太多", "there are too many"),
    "fault_too_many_points": ("测点太多", "there are too many points"),
    "fault_unknown_block": ("没有这个 [[block]]", "there is no such [[block]]"),
    "fault_unknown_check": ("没有这种校验", "there is no such check"),
    "fault_unknown_edition": ("edition 应为 1997 或 2007", "edition is 1997 or 2007"),
    "fault_unknown_encoding": ("没有这种编码", "there is no such encoding"),
    "fault_unknown_event": ("不在事件词汇表", "is not in the vocabulary of events"),
    "fault_unknown_key": ("不认识的键", "unknown key"),
    "fault_unknown_limit": ("没有这种限值, 或数值不能这样用", "there is no such limit, or not for this value"),
    "fault_unknown_mode": ("mode 应为 state 或 last_event", "mode is state or last_event"),
    "fault_unknown_priority": ("priority 应为 fire 或 meter", "priority is fire or meter"),
    "fault_unknown_transport": ("transport 应为 rtu 或 tcp", "transport is rtu or tcp"),
    "fault_unknown_type": ("没有这种类型", "there is no such type"),
    "fault_unknown_word_order": ("字序应为 ABCD、CDAB、BADC、DCBA 之一", "the word order is ABCD, CDAB, BADC or DCBA"),
    "fault_writes_not_supported": ("不写任何寄存器: 本软件没有此功能", "nothing is ever written: this software cannot"),
    "bad_gb26875": (
        "第 {index} 个 [[gb26875_point]]: {key} = {value} 不能用",
        "[[gb26875_point]] number {index}: {key} = {value} cannot be used",
    ),
}
