"""What is agreed with a centre that speaks GB/T 26875.3-2011."""

from typing import Final

from edge_agent.config import uplinks
from edge_agent.config.keys import KEEPALIVES, Key, Section
from edge_agent.config.schema.blocks import seconds

UPLINK_GB26875: Final = Section(
    name="uplink.gb26875",
    cls=uplinks.Gb26875,
    into="gb26875",
    many=False,
    aside=True,
    zh="GB/T 26875.3-2011 中心的约定, 逐项向中心问清 (docs/uplinks.zh.md)",
    en="What is agreed with a GB/T 26875.3-2011 centre: ask it every one of these (docs/uplinks.md)",
    keys={
        "source": Key(
            zh="本装置地址, 由中心分配",
            en="Address of this device, given by the centre",
            example='"889"',
            form="gb_device",
        ),
        "target": Key(zh="中心地址", en="Address of the centre", example='"88888"', form="gb_device"),
        "transport": Key(
            zh="传输层: tcp, 或 udp (不能加密)",
            en="Transport: tcp, or udp (cannot be encrypted)",
            example='"tcp"',
            choices=("tcp", "udp"),
        ),
        "history": Key(
            zh="新加的中心是否补发库中已有的记录: 协议分不清补发和新报, 旧火警会当作新火警",
            en="Whether a centre that is new here gets what the journal still holds: the protocol cannot mark it as old, so "
            "an old fire looks like a new one",
            example="false",
        ),
        "address_style": Key(
            zh="两个地址的写法: integer 整数 (低字节先传), wire 线上 6 字节的十六进制, high-first 整数 (高字节先传)",
            en="How both are written: integer (low byte first), wire (the six bytes in hex), high-first (an integer)",
            example='"integer"',
            choices=("integer", "wire", "high-first"),
        ),
        "any_address": Key(
            zh="确认帧的目的地址不是本装置也接受: 有的中心填零",
            en="Take a confirm though it names another device: some centres send zeros",
            example="false",
        ),
        "version": Key(zh="主版本号", en="Main version byte", example="1", low=0, high=255),
        "user_version": Key(zh="用户版本号", en="User version byte", example="1", low=0, high=255),
        "time": Key(zh="时间标签编码", en="How time tags are coded", example='"binary"', choices=("binary", "bcd")),
        "component_address": Key(
            zh="部件地址 4 字节: loop-point 回路在前, point-loop 位号在前, u32 一个整数, raw 照写",
            en="The four bytes of a component address: loop first, point first, one number, or as written",
            example='"loop-point"',
            choices=("loop-point", "point-loop", "u32", "raw"),
        ),
        "description": Key(
            zh="部件状态带 31 字节部件说明; 极少数中心不要",
            en="Component status carries its 31 bytes of text; a few centres want none",
            example="true",
        ),
        "adu_max": Key(
            zh="应用数据单元上限", en="Most bytes of a data unit", example="512", unit="B", low=64, high=1024
        ),
        "objects_max": Key(
            zh="一帧最多几个信息对象; 0 为放得下就放",
            en="Most information objects in a frame; 0: as many as fit",
            example="0",
            low=0,
            high=102,
        ),
        "recovery": Key(
            zh="恢复怎样报: bit 状态位清零, user-type 用自定义类型",
            en="How a recovery is told: the bit at 0, or a user type of its own",
            example='"bit"',
            choices=("bit", "user-type"),
        ),
        "recovery_types": Key(
            zh="系统、部件、装置状态恢复的类型号, 三个",
            en="The three user types that recover system, component and device status",
            example="[134, 135, 136]",
            low=128,
            high=254,
        ),
        "residual_current_type": Key(
            zh="剩余电流 (mA) 的模拟量类型号; 标准里没有, 不写就不传",
            en="The analogue type agreed for residual current in mA; the standard has none, left out: not carried",
            example="128",
            low=128,
            high=255,
        ),
        "residual_current_step_ma": Key(zh="剩余电流的单位", en="Unit of it", example="1", unit="mA", low=1, high=1000),
        "trailing_time": Key(
            zh="类型 5、6、7、25、26 的信息对象后也带时间",
            en="The centre wants a time after objects of types 5, 6, 7, 25, 26 too",
            example="false",
        ),
        "keepalive": Key(
            zh="心跳形式: none 无, empty-send-data 空的发送数据帧, device-status 装置状态 (类型 21), "
            "one-byte 一字节, command-7 命令 7",
            en="Form of the keep-alive: none, an empty send-data frame, device status (type 21), one byte, or command 7",
            example='"device-status"',
            choices=KEEPALIVES,
        ),
        "keepalive_s": seconds("心跳间隔", "Period of the keep-alive", "30.0", 5, 7200),
        "timeout_s": seconds(
            "等待确认的时间 (标准: 不大于 10 s)", "Wait for a confirm (standard: at most 10 s)", "10.0", 0.2, 60
        ),
        "resends": Key(zh="重发次数 (标准: 3)", en="Resends (standard: 3)", example="3", low=0, high=10),
        "open_exchanges": Key(
            zh="同时等待确认的帧数; 许多中心一次只处理一帧",
            en="Frames that may wait for their confirm at once; many centres take one at a time",
            example="1",
            low=1,
            high=16,
        ),
    },
)

GB26875_POINT: Final = Section(
    name="gb26875_point",
    cls=uplinks.Gb26875Point,
    into="gb26875_points",
    many=True,
    aside=True,
    zh="测点在 GB/T 26875.3 里叫什么; 优先于型号文件和默认 (edge-agent gb26875 map 查看全部)",
    en="What points are called in GB/T 26875.3, over profile and defaults (edge-agent gb26875 map shows all)",
    keys={
        "points": Key(
            zh="测点编号, 或以 * 结尾的前缀; 写得更细的优先",
            en="Ids of points, or prefixes ending in *; the more exact one wins",
            example='["panel1/1-*"]',
            form="point_pattern",
        ),
        "send": Key(
            zh="false: 这些测点不经 GB/T 26875.3 上传",
            en="false: these points are not carried over GB/T 26875.3",
            example="true",
        ),
        "system_type": Key(zh="系统类型 (表 4)", en="System type (table 4)", example="1", low=0, high=255),
        "system_address": Key(
            zh="系统地址, 一般为主机号",
            en="System address, mostly the panel's number",
            example="1",
            low=0,
            high=255,
        ),
        "component_type": Key(zh="部件类型 (表 5)", en="Component type (table 5)", example="40", low=0, high=255),
        "component_address": Key(
            zh='部件地址: "回路-位号"、"位号" 或 "0x" 加四个字节; 只能用于单个测点',
            en='Component address: "loop-point", "point", or "0x" and four bytes; for a single point only',
            example='"1-27"',
            form="gb_component",
        ),
        "description": Key(
            zh="部件说明, 至多 15 个汉字; 不写则用测点名",
            en="Description, at most 31 bytes of GB 18030; left out: the point's name",
            example='"一层走道"',
            form="name",
        ),
        "analogue_type": Key(
            zh="模拟量类型 (表 6)", en="Type of the analogue value (table 6)", example="5", low=1, high=255
        ),
        "scale": Key(
            zh="数值乘以它就是线上的整数",
            en="The value times this is the whole number on the wire",
            example="10.0",
            low=1e-6,
            high=1e6,
        ),
    },
)
