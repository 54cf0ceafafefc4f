"""Words of the pages that are made of profiles (edge_agent.profile_page, edge_agent.profile_catalogue)."""

TEXTS: dict[str, tuple[str, str]] = {
    # the catalogue
    "title": ("设备目录", "Catalogue of devices"),
    "intro": (
        "随软件提供的 {count} 份型号资料, 每份一页。依据: 现场或实测字节 = 用真实报文核对过; 厂家文件 = 只有资料; "
        "未证实 = 投用前须做真实火警试验。本页和各型号页由型号资料生成。",
        "The {count} profiles that come with the software, a page each. Evidence: captured = held against real frames; document = "
        "papers only; unproven = try it with a real test alarm before relying on it. This page and those are made of the profiles.",
    ),
    "templates": (
        "样板: 寄存器号、格式是虚构的, 只供抄一份按厂家资料填好, 现场不能直接用。",
        "Templates: their registers and layouts are made up. Fill in a copy after the maker's document; no site can use them as "
        "they are.",
    ),
    # one profile
    "made": (
        "由 `drivers/profiles/{name}.toml` 生成, 请改型号资料, 不要改本页。",
        "Made of `drivers/profiles/{name}.toml`: change that, not this page.",
    ),
    "all_devices": ("设备目录", "all devices"),
    "template": (
        "**样板: 下面的寄存器号、格式是虚构的, 现场不能直接用。** 抄一份填好: `edge-agent profile new NAME --like {name}`",
        "**A template: the registers and layout below are made up, and no site can use them as they are.** Fill in a copy: "
        "`edge-agent profile new NAME --like {name}`",
    ),
    "row_brand": ("品牌", "Brand"),
    "row_product": ("产品", "Product"),
    "row_kind": ("种类", "Kind"),
    "row_evidence": ("依据", "Evidence"),
    "row_source": ("出处", "Source"),
    "row_line": ("线路", "Line"),
    "row_untested": ("样例未证明", "Shown by no example"),
    "sends_nothing": ("只听不发", "nothing is sent"),
    "sends_poll": ("只发规约的查询帧", "only the protocol's poll is sent"),
    "sends_answer": ("只回规约要求的应答", "only the answers the protocol demands are sent"),
    "caveats": ("注意", "Take care"),
    "caveat": ("{words} (依据: {evidence})", "{words} (evidence: {evidence})"),
    "use": ("用法", "In the configuration"),
    "try": ("查看和试读", "Look at it and try it"),
    "examples": ("样例", "Examples"),
    "counter_examples": (
        "{count} 条反例什么也不报, `edge-agent profile check` 每次都核对。",
        "Counter-examples that tell nothing: {count}. `edge-agent profile check` runs them all.",
    ),
    # tables of what is read
    "part_block": ("读取范围", "What is read"),
    "part_value": ("数值和开关", "Values and switches"),
    "part_point": ("部件", "Points"),
    "part_log": ("事件记录", "Event log"),
    "part_event": ("事件", "Events"),
    "part_layout": ("格式", "Layout"),
    "part_pattern": ("文字版式", "Patterns"),
    "part_device_types": ("设备类型", "Device types"),
    "col_name": ("名称", "name"),
    "col_zh": ("中文", "Chinese"),
    "col_en": ("英文", "English"),
    "col_fc": ("功能码", "function"),
    "col_address": ("地址", "address"),
    "col_type": ("类型", "type"),
    "col_scale": ("倍率", "scale"),
    "col_unit": ("单位", "unit"),
    "col_event": ("事件", "event"),
    "col_period": ("周期", "every"),
    "col_count": ("数量", "count"),
    "col_said": ("装置所报", "what the device says"),
    "col_di": ("标识", "identifier"),
    "col_bytes": ("字节", "bytes"),
    "col_topic": ("主题", "topic"),
    "col_field": ("字段", "field"),
    "col_table": ("表", "table"),
    "col_key": ("键", "key"),
    "col_setting": ("值", "value"),
    "col_bytes_in": ("报文", "bytes in"),
    "col_meaning": ("读出", "what is read"),
    "col_profile": ("资料", "profile"),
    "col_device": ("设备", "device"),
    "col_kind": ("种类", "kind"),
    "col_evidence": ("依据", "evidence"),
    "col_line": ("线路", "line"),
    "else": ("其他", "any other"),
    "nothing": ("不报", "nothing"),
}
