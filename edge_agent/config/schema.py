"""The one table of the configuration: every key with its range, unit, form, example and words in both languages.

Types, defaults and what is required come from the dataclasses in `edge_agent.config.model`. This table drives the checks
(`load`), the words of a finding (`report`), the commented sample and the reference page (`reference`). A key added to the
model without a line here, or a line without a key, fails a test.
"""

from collections.abc import Mapping
from functools import cache
from typing import Final

from edge_agent.config import model
from edge_agent.config.keys import (
    ACTIONS,
    ALARM_KINDS,
    BAUD_RATES,
    BUILDINGS,
    BUTTONS,
    COMMANDS,
    GB_DIALECTS,
    GPIO_BACKENDS,
    KEEPALIVES,
    KINDS,
    LINK_KINDS,
    MODEM_FAMILIES,
    OUTPUTS,
    RECEIVERS,
    TAG_READERS,
    TRANSPORTS,
    Key,
    Section,
    Shape,
    shapes_of,
)
from edge_agent.points.presets import PRESETS

SCHEMA_VERSION: Final = 1  # of the files; a file that needs a newer agent says so with `schema = 2`

_ID: Final = Key(zh="编号, 全站唯一", en="Id, unique in the site", example='"panel1"', form="id")
_NAME: Final = Key(zh="现场叫法, 给人看", en="What people on site call it", example='"1号楼主机"', form="name")
_FRAMING: Final = Key(zh="数据位、校验、停止位", en="Data bits, parity, stop bits", example='"8N1"', form="framing")


def _baud(zh: str, en: str) -> Key:
    return Key(zh=zh, en=en, example="9600", unit="baud", choices=BAUD_RATES)


def _seconds(zh: str, en: str, example: str, low: float, high: float) -> Key:
    return Key(zh=zh, en=en, example=example, unit="s", low=low, high=high)


def _limit(zh: str, en: str, example: str) -> Key:
    return Key(zh=zh, en=en, example=example, low=-1e9, high=1e9, sample=True)


def _option(zh: str, en: str, example: str) -> Key:
    return Key(zh=zh, en=en, example=example, low=-1e9, high=1e9)


def _rate(zh: str, en: str) -> Key:
    return Key(zh=f"{zh} (每分钟)", en=f"{en} (per minute)", example="2.0", low=1e-6, high=1e9)


def _point(zh: str, en: str, example: str) -> Key:
    return Key(zh=zh, en=en, example=f'"{example}"', form="point_id")


def _tap(what: str, zh: str, example: str) -> Key:
    return Key(
        zh=f"这是哪台主机的另一个{zh}: 写主机的编号, 两处互为印证, 不重复报警 (docs/taps.zh.md)",
        en=f"Another {what} of this panel, by its id: both are one source, and no alarm comes twice (docs/taps.md)",
        example=example,
        form="id",
    )


TOP: Final = Section(
    name="",
    cls=model.Config,
    into="",
    many=False,
    zh="文件开头, 任何表之前",
    en="At the top of the file, before any table",
    keys={
        "profile_dirs": Key(
            zh="站点自带型号文件的目录, 同名时优先于随程序提供的",
            en="Directories of the site's own profiles; they override the shipped ones",
            example='["/etc/edge-agent/profiles"]',
            form="absolute_path",
        ),
    },
)

SECTIONS: Final[tuple[Section, ...]] = (
    Section(
        name="gateway",
        cls=model.Gateway,
        into="gateway",
        many=False,
        zh="本网关是谁, 数据放在哪里",
        en="Who this gateway is and where it keeps things",
        keys={
            "id": Key(
                zh="网关编号, 也是 MQTT 客户端编号和主题的一级",
                en="Id of the gateway, also its MQTT client id and topic level",
                example='"ZG-360700-0123"',
                form="gateway_id",
            ),
            "name": Key(
                zh="联网单位名称",
                en="Name of the connected unit",
                example='"兴国县 XX制衣厂"',
                form="name",
                sample=True,
            ),
            "language": Key(
                zh="记录和提示所用语言", en="Language of what people read", example='"zh"', choices=("zh", "en")
            ),
            "data_dir": Key(
                zh="事件库目录", en="Directory of the journal", example='"/var/lib/edge-agent"', form="absolute_path"
            ),
            "run_dir": Key(
                zh="本机接口 (套接字) 目录",
                en="Directory of the local API's socket",
                example='"/run/edge-agent"',
                form="run_dir",
            ),
        },
    ),
    Section(
        name="board",
        cls=model.Board,
        into="board",
        many=False,
        zh="本机的蜂鸣器、指示灯和按钮; 未写的线不驱动",
        en="The box's own buzzer, lamps and buttons. A line left out is not driven",
        keys={
            "gpio": Key(
                zh="驱动方式: none 无, gpiod 树莓派和其他 Linux 主板, rpigpio 旧库, fake 模拟",
                en="Back end: none, gpiod for any Linux board, rpigpio for the legacy library, fake for a simulator",
                example='"gpiod"',
                choices=GPIO_BACKENDS,
                sample=True,
            ),
            "chip_label": Key(
                zh="gpiod 芯片标签; 空则自动找树莓派排针所在芯片",
                en='Label of the gpiod chip; "" finds the header chip of any Raspberry Pi',
                example='"pinctrl-bcm2711"',
                form="name",
            ),
            "fake_socket": Key(
                zh='模拟器所用套接字, 仅 gpio = "fake"',
                en='Socket of the simulator, only with gpio = "fake"',
                example='"/run/edge-agent/gpio.sock"',
                form="run_dir",
            ),
            "outputs": Key(
                zh="输出线 (BCM 编号): buzzer 蜂鸣器, fire_lamp 火警灯, fault_lamp 故障灯, link_lamp 通信灯, modem_power 模组电源",
                en="Output lines (BCM numbers): buzzer, fire_lamp, fault_lamp, link_lamp, modem_power",
                example="{ buzzer = 17, fire_lamp = 27, fault_lamp = 22, link_lamp = 23 }",
                choices=OUTPUTS,
                low=0,
                high=63,
                sample=True,
            ),
            "buttons": Key(
                zh="按钮线, 按下接地: ack 确认, silence 消音",
                en="Button lines, pressed pulls to ground: ack, silence",
                example="{ ack = 5, silence = 6 }",
                choices=BUTTONS,
                low=0,
                high=63,
                sample=True,
            ),
            "modem_power_idle": Key(
                zh="modem_power 平时的电平 (模组有电)",
                en="Level of modem_power while the modem has power",
                example="false",
            ),
            "modem_power_pulse_s": _seconds(
                "断电重启模组时, 反电平保持多久",
                "How long the other level is held to power-cycle the modem",
                "12.0",
                0.1,
                120,
            ),
        },
    ),
    Section(
        name="journal",
        cls=model.Journal,
        into="journal",
        many=False,
        zh="事件库: 保存多少, 遥测可等多久写卡",
        en="The journal: how much is kept, and how long telemetry may wait for the card",
        keys={
            "vital_mb": Key(
                zh="警情、故障、状态的上限",
                en="Budget of alarms, faults and states",
                example="256",
                unit="MB",
                low=16,
                high=65536,
            ),
            "bulk_mb": Key(zh="遥测的上限", en="Budget of telemetry", example="512", unit="MB", low=16, high=1048576),
            "reserve_mb": Key(
                zh="只留给火警的预占空间",
                en="Space set aside that only alarms may use",
                example="4",
                unit="MB",
                low=1,
                high=1024,
            ),
            "history_events": Key(
                zh="上传后仍保留的事件条数 (GB 25506 要求不少于 10000)",
                en="Events kept after delivery (GB 25506 asks for 10000)",
                example="10000",
                low=0,
                high=10_000_000,
            ),
            "history_alarm_days": Key(
                zh="上传后警情仍保留的天数",
                en="Days an alarm is kept after delivery",
                example="365",
                unit="d",
                low=0,
                high=36500,
            ),
            "telemetry_linger_s": _seconds(
                "遥测最多等多久写卡: 掉电时可能丢失的时间",
                "How long telemetry may wait for the card: what a power cut may lose",
                "10.0",
                0.1,
                600,
            ),
            "telemetry_s": _seconds(
                "数值不变时多久记录一次", "A value that hardly moves is kept this often", "60.0", 1, 86400
            ),
            "deadband": Key(
                zh="变化超过此比例立即记录 (0.05 即 5 %)",
                en="A change by more than this fraction is kept at once (0.05 is 5 %)",
                example="0.05",
                low=0,
                high=1,
            ),
        },
    ),
    Section(
        name="panel",
        cls=model.Panel,
        into="panels",
        many=True,
        zh="串口上的一台火灾报警控制器, 只听不发",
        en="A fire panel on a serial port; the gateway only listens",
        keys={
            "id": _ID,
            "profile": Key(
                zh="型号 (edge-agent profile list 列出全部)",
                en="Profile (edge-agent profile list shows them all)",
                example='"gst9000-printer"',
                form="profile",
            ),
            "port": Key(
                zh="串口; 用 /dev/zg/ 或 /dev/serial/by-path/ 下按 USB 口位命名的, 重插不变",
                en="Serial port; names in /dev/zg/ or /dev/serial/by-path/ stay with the USB socket",
                example='"/dev/zg/usb-1-1.1:1.0"',
                form="port",
            ),
            "name": Key(zh=_NAME.zh, en=_NAME.en, example='"消控室主机"', form="name", sample=True),
            "baud": _baud("波特率; 不写则按型号", "Speed; left out: the profile's"),
            "framing": _FRAMING,
            "silence_s": _seconds(
                "多久没有数据算离线; 不写则按型号",
                "Silent for this long is a fault; left out: the profile's",
                "300.0",
                1,
                604800,
            ),
            "tap_of": _tap("port", "接口", '"panel2"'),
            "tap_hold_s": _seconds(
                "这台主机的另一处可以晚多久说同一件事", "How much later another tap may say the same", "30.0", 1, 3600
            ),
        },
    ),
    Section(
        name="bus",
        cls=model.Bus,
        into="buses",
        many=True,
        zh="一条轮询的总线。Modbus: port 为 RTU, host 为 TCP, 二者只写一个; DL/T 645 电能表、京硅断路器: port",
        en="A polled line. Modbus: `port` for RTU, `host` for TCP, exactly one of them; DL/T 645 meters, KS breakers: `port`",
        keys={
            "id": Key(zh=_ID.zh, en=_ID.en, example='"rtu1"', form="id"),
            "protocol": Key(
                zh="规约: modbus, dlt645 (DL/T 645 电能表), 或 ks68 (京硅断路器)",
                en="What is spoken on it: modbus, dlt645 (DL/T 645 meters), or ks68 (KS breakers)",
                example='"modbus"',
                choices=("modbus", "dlt645", "ks68"),
            ),
            "port": Key(
                zh="串口 (RTU、DL/T 645、KS)",
                en="Serial port (RTU, DL/T 645, KS)",
                example='"/dev/zg/usb-1-1.2:1.0"',
                form="port",
                sample=True,
            ),
            "baud": _baud(
                "波特率; 不写: Modbus 9600, 其余按型号",
                "Speed; left out: 9600 for Modbus, the profile's for the others",
            ),
            "framing": Key(
                zh="数据位、校验、停止位; 不写: Modbus 8N1, 其余按型号",
                en="Data bits, parity, stop bits; left out: 8N1 for Modbus, the profile's for the others",
                example='"8N1"',
                form="framing",
            ),
            "host": Key(zh="TCP 网关地址", en="Address of the TCP gateway", example='"192.168.1.50"', form="host"),
            "tcp_port": Key(zh="TCP 端口", en="TCP port", example="502", low=1, high=65535),
            "timeout_s": _seconds("等待应答的时间", "How long a reply may take", "0.3", 0.02, 30),
            "gap_s": _seconds("两次询问之间的间隔", "Pause between two requests", "0.02", 0, 5),
        },
    ),
    Section(
        name="bus.device",
        cls=model.Device,
        into="devices",
        many=True,
        zh="总线上的一台设备",
        en="One slave of the bus",
        keys={
            "id": Key(zh=_ID.zh, en=_ID.en, example='"meter1"', form="id"),
            "profile": Key(zh="型号", en="Profile", example='"eastron-sdm630"', form="profile"),
            "meter": Key(
                zh="DL/T 645 表号、KS 断路器地址: 铭牌上的 12 位数字; 电能表不写则询问线上唯一的一块表",
                en="Address of a DL/T 645 meter or KS breaker: the 12 digits on its plate; left out: the only meter on the line "
                "is asked for it",
                example='"000012345678"',
                form="meter",
            ),
            "address": Key(zh="从站地址", en="Slave address", example="1", low=1, high=247, sample=True),
            "name": Key(zh=_NAME.zh, en=_NAME.en, example='"总配电箱电表"', form="name", sample=True),
            "period_s": _seconds("轮询周期; 不写则按型号", "Poll period; left out: the profile's", "10.0", 0.05, 86400),
            "tap_of": _tap("card", "接口卡", '"panel1"'),
        },
    ),
    Section(
        name="receiver",
        cls=model.Receiver,
        into="receivers",
        many=True,
        aside=True,
        zh="自己发来的设备: 经现场网络 (listen)、串口 (port) 或目录 (folder), 只写一个",
        en="Devices that speak by themselves: over the site's network (`listen`), a serial `port` or a `folder`, one of them",
        keys={
            "id": Key(zh=_ID.zh, en=_ID.en, example='"net1"', form="id"),
            "protocol": Key(
                zh="规约; 各是什么见 docs/drivers/receivers.zh.md",
                en="What is spoken; docs/drivers/receivers.md says who speaks which",
                example='"gb26875"',
                choices=RECEIVERS,
            ),
            "name": Key(zh=_NAME.zh, en=_NAME.en, example='"消防网接收"', form="name"),
            "listen": Key(
                zh="在本机哪个地址上接收",
                en="Address of this machine to listen at",
                example='"192.168.1.10"',
                form="ip",
            ),
            "listen_port": Key(zh="端口", en="Its port", example="5201", low=1024, high=65535),
            "transport": Key(
                zh="tcp、udp 或 coap; 不写则按规约",
                en="tcp, udp or coap; left out: the protocol's",
                example='"tcp"',
                choices=TRANSPORTS,
            ),
            "allow": Key(
                zh="允许发来的地址或网段, 其他一律不理",
                en="Addresses and networks that may speak; all others are turned away",
                example='["192.168.1.50", "192.168.1.64/28"]',
                form="network",
            ),
            "port": Key(zh="串口", en="Serial port", example='"/dev/zg/usb-1-1.4:1.0"', form="port"),
            "baud": _baud("波特率; 不写则按规约", "Speed; left out: the protocol's"),
            "framing": Key(
                zh="数据位、校验、停止位; 不写则按规约",
                en="Data bits, parity, stop bits; left out: the protocol's",
                example='"8N1"',
                form="framing",
            ),
            "folder": Key(
                zh="目录: 其中的文件逐行收入, 收完改名为 .done",
                en="Directory whose files are taken in line by line, then renamed to .done",
                example='"/var/lib/edge-agent/import"',
            ),
            "dialect": Key(
                zh="GB/T 26875.3 的方言", en="Dialect of GB/T 26875.3", example='"standard"', choices=GB_DIALECTS
            ),
            "component_address": Key(
                zh="GB/T 26875.3 部件地址的拆法; 不写则按方言",
                en="How GB/T 26875.3 component addresses are split; left out: as the dialect has it",
                example='"loop-point"',
                choices=("", "u32", "loop-point", "point-loop", "raw"),
            ),
            "station": Key(
                zh="ESPA 4.4.4 线路上本机的站号",
                en="Our own address on the ESPA 4.4.4 line",
                example='"2"',
                form="station",
            ),
            "profile": Key(
                zh="espa444: 读懂文字的型号资料, 不写用 generic-printer; frames: 帧的型号资料",
                en="espa444: the profile that reads its texts, left out: generic-printer; frames: the one that reads them",
                example='"radio-concentrator"',
                form="profile",
            ),
        },
    ),
    Section(
        name="receiver.device",
        cls=model.ReceiverDevice,
        into="devices",
        many=True,
        aside=True,
        zh="向它发来的一台设备",
        en="One device that speaks to it",
        keys={
            "id": Key(zh=_ID.zh, en=_ID.en, example='"panel2"', form="id"),
            "address": Key(
                zh="设备在报文中的地址; 只有一台时可不写",
                en="How it names itself on the wire; may be left out where there is only one",
                example='"889"',
                form="wire_address",
            ),
            "name": Key(zh=_NAME.zh, en=_NAME.en, example='"2号楼传输装置"', form="name"),
            "silence_s": _seconds(
                "多久没有报文算离线, 0 为从不; 不写则按规约",
                "Silent for this long is a fault, 0 is never; left out: the protocol's",
                "90.0",
                0,
                2_592_000,
            ),
            "key_file": Key(
                zh="SIA DC-09 密钥文件: 32、48 或 64 位十六进制; 写了就只收加密报文",
                en="File of the SIA DC-09 key, 32, 48 or 64 hex digits; with one, only encrypted messages count",
                example='"/etc/edge-agent/keys/dc09-1234"',
            ),
            "tap_of": _tap("word", "来处", '"panel1"'),
        },
    ),
    Section(
        name="mqtt",
        cls=model.Mqtt,
        into="mqtts",
        many=True,
        zh="本机的消息服务器 (mosquitto) 和向它报告的探测器: Zigbee2MQTT、Tasmota、ESPHome、自有节点",
        en="The broker of this machine (mosquitto) and the detectors that report to it: Zigbee2MQTT, Tasmota, ESPHome, our node",
        keys={
            "id": Key(zh=_ID.zh, en=_ID.en, example='"mqtt1"', form="id"),
            "host": Key(
                zh="服务器地址, 必须是本机",
                en="Address of the broker; it must be this machine",
                example='"127.0.0.1"',
                form="host",
            ),
            "port": Key(zh="端口", en="Port", example="1883", low=1, high=65535),
            "username": Key(
                zh="本程序在服务器上的用户名",
                en="What this program is called at the broker",
                example='"edge-agent"',
                form="name",
                sample=True,
            ),
            "password_file": Key(
                zh="存放密码的文件, 仅服务可读",
                en="File with its password, for the service alone",
                example='"/etc/edge-agent/mqtt/password"',
                sample=True,
            ),
            "discover": Key(
                zh="按这些型号的主题寻找尚未配置的探测器 (edge-agent status --unlisted)",
                en="Profiles whose topics are watched for detectors nobody configured (edge-agent status --unlisted)",
                example='["zigbee2mqtt-smoke"]',
                form="profile",
            ),
        },
    ),
    Section(
        name="mqtt.device",
        cls=model.MqttDevice,
        into="devices",
        many=True,
        zh="一只探测器",
        en="One detector",
        keys={
            "id": Key(zh=_ID.zh, en=_ID.en, example='"smoke1"', form="id"),
            "profile": Key(zh="型号", en="Profile", example='"zigbee2mqtt-smoke"', form="profile"),
            "topic": Key(
                zh="它在主题里的名字, 即型号主题中的 {device}",
                en="What it is called in its topics: what stands for {device} in those of its profile",
                example='"0x005043c95333194d"',
                form="mqtt_name",
            ),
            "name": Key(zh=_NAME.zh, en=_NAME.en, example='"三层走道烟感"', form="name", sample=True),
            "silence_s": _seconds(
                "多久没有消息算失联; 0 为永不; 不写则按型号",
                "No message for so long is a fault; 0 is never; left out: the profile's",
                "90000.0",
                0,
                2592000,
            ),
        },
    ),
    Section(
        name="contact",
        cls=model.Contact,
        into="contacts",
        many=True,
        zh="一个干接点",
        en="One dry contact",
        keys={
            "id": Key(zh=_ID.zh, en=_ID.en, example='"pump-room"', form="id"),
            "line": Key(zh="输入线 (BCM 编号)", en="Input line (BCM number)", example="12", low=0, high=63),
            "kind": Key(
                zh="动作时是什么事件", en="What event it is while active", example='"fire"', choices=KINDS, sample=True
            ),
            "name": Key(zh=_NAME.zh, en=_NAME.en, example='"水泵房手报"', form="name", sample=True),
            "normally": Key(
                zh="常态: open 常开, closed 常闭",
                en="Its normal state",
                example='"open"',
                choices=("open", "closed"),
            ),
            "on_delay_s": _seconds("动作保持多久才算", "How long it must hold to count as active", "0.05", 0, 600),
            "off_delay_s": _seconds(
                "恢复保持多久才算", "How long it must hold to count as normal again", "0.5", 0, 600
            ),
            "tap_of": _tap("relay", "继电器输出", '"panel1"'),
        },
    ),
    Section(
        name="point",
        cls=model.Point,
        into="points",
        many=True,
        zh="站点对某个测点的说明, 优先于型号文件",
        en="What the site says of one point, over what its profile says",
        keys={
            "id": Key(
                zh="测点: 来源编号/测点名; 干接点就是它的编号",
                en="The point: source id, slash, point; a contact is its own id",
                example='"meter1/voltage_l1_v"',
                form="point_id",
            ),
            "name": Key(zh=_NAME.zh, en=_NAME.en, example='"A相电压"', form="name", sample=True),
            "kind": Key(
                zh="超限时是什么事件", en="What event it is while over a limit", example='"electrical"', choices=KINDS
            ),
            "preset": Key(
                zh="按名称取一组限值 (docs/rules.zh.md), 优先于型号文件; limits 里写的再优先于它",
                en="Limits by name (docs/rules.md), over the profile's; what limits says goes over them",
                example='"residual-current"',
                choices=tuple(PRESETS),
            ),
            "telemetry_s": _seconds(
                "多久记录一次; 不写则按 [journal]",
                "Longest time between two kept readings; left out: [journal]",
                "60.0",
                1,
                86400,
            ),
            "deadband": Key(
                zh="变化超过此比例立即记录; 不写则按 [journal]",
                en="A change by more than this fraction is kept at once; left out: [journal]",
                example="0.05",
                low=0,
                high=1,
            ),
        },
    ),
    Section(
        name="point.limits",
        cls=model.Limits,
        into="limits",
        many=False,
        zh="何时成为事件, 单位是该测点自己的; 没写的按预置, 再按型号, 都没有则无此规则 (延时和回差为 0, n、m 为 1)",
        en="When the value becomes an event, in the point's own unit. What is left out is the preset's, else the profile's, "
        "else there is no such rule (delays and hysteresis 0, n and m 1)",
        keys={
            "prealarm_high": _limit("预警上限", "Above this: prealarm", "245.0"),
            "prealarm_low": _option("预警下限", "Below this: prealarm", "198.0"),
            "alarm_high": _limit("报警上限", "Above this: alarm", "253.0"),
            "alarm_low": _limit("报警下限", "Below this: alarm", "187.0"),
            "alarm_high_high": _option(
                "上上限: 到此用更短的延时, 并直接转为二级",
                "Above this: alarm by a shorter delay of its own, and grade 2 at once",
                "280.0",
            ),
            "alarm_low_low": _option("下下限, 同上", "Below this: likewise", "160.0"),
            "hysteresis": Key(
                zh="回差: 回到限值以内多少才算恢复",
                en="How far back the value must go before the limit counts as left",
                example="2.0",
                low=0,
                high=1e9,
            ),
            "on_delay_s": _seconds("超限保持多久才算", "How long it must stay over", "3.0", 0, 86400),
            "off_delay_s": _seconds("恢复保持多久才算", "How long it must stay back", "3.0", 0, 86400),
            "extreme_on_delay_s": _seconds(
                "超过上上限 (下下限) 保持多久才算",
                "How long it must stay past alarm_high_high or alarm_low_low",
                "1.0",
                0,
                86400,
            ),
            "prealarm_rise_per_min": _rate("升得这么快: 预警", "Rising this fast: prealarm"),
            "alarm_rise_per_min": _rate("升得这么快: 报警", "Rising this fast: alarm"),
            "alarm_fall_per_min": _rate("降得这么快: 报警", "Falling this fast: alarm"),
            "rate_window_s": _seconds(
                "变化率在多长时间内计: 每分钟变化量 x 此时间 为须达到的变化量; 不写则 60",
                "Over how long a rate is judged: it must move by rate times this within this; left out: 60",
                "60.0",
                5,
                86400,
            ),
            "baseline_k": Key(
                zh="早期预警: 超过学到的均值多少个偏差 (不写则不学习)",
                en="Early warning: so many learned deviations over the learned mean; left out: nothing is learned",
                example="6.0",
                low=1,
                high=100,
            ),
            "baseline_least": Key(
                zh="早期预警至少超过均值多少", en="And at least so much over the mean", example="30.0", low=0, high=1e9
            ),
            "baseline_learn_s": _seconds(
                "学习多久之后才开始判断; 不写则三天",
                "How long it learns before it judges; left out: three days",
                "259200.0",
                60,
                31_536_000,
            ),
            "baseline_on_delay_s": _seconds(
                "偏离保持多久才算; 不写则 300", "How long it must stay unlike itself; left out: 300", "300.0", 0, 86400
            ),
            "baseline_round": Key(
                zh="换一个数, 就忘掉学到的, 重新学习 (如更换设备后)",
                en="Another number: forget what was learned and begin anew, as after new machines",
                example="1",
                low=0,
                high=1_000_000,
            ),
            "range_low": _option(
                "传感器量程下限: 更低是传感器故障, 不是报警",
                "The sensor's range: below it is a fault of the sensor, never an alarm",
                "0.0",
            ),
            "range_high": _option(
                "传感器量程上限: 要宽于任何火灾",
                "The sensor's range: above it is a fault; it must be wider than any fire",
                "500.0",
            ),
            "stuck_s": _seconds(
                "数值多久一点不变算卡死 (故障)", "Frozen for so long is a fault", "86400.0", 60, 31_536_000
            ),
            "missing_s": _seconds(
                "多久没有新数值算故障; 用于自己上报的测点",
                "No value for so long is a fault; for points that report by themselves",
                "259200.0",
                1,
                31_536_000,
            ),
            "n": Key(
                zh="最近 m 次轮询中有 n 次超限才算", en="n of the last m polls must agree", example="1", low=1, high=100
            ),
            "m": Key(zh="见 n", en="See n", example="1", low=1, high=100),
        },
    ),
    Section(
        name="zone",
        cls=model.Zone,
        into="zones",
        many=True,
        zh="互相印证的测点: 其中两点, 或一个手动报警, 即为二级预警",
        en="Points that confirm each other: two of them, or a manual call point, make grade 2",
        keys={
            "id": Key(zh="分区编号", en="Id of the zone", example='"zone1"', form="id"),
            "points": Key(
                zh="测点编号, 或以 * 结尾的前缀",
                en="Ids of points, or prefixes ending in *",
                example='["panel1/1-*", "pump-room"]',
                form="point_pattern",
            ),
            "name": Key(zh=_NAME.zh, en=_NAME.en, example='"一楼车间"', form="name", sample=True),
            "unacknowledged_s": _seconds(
                "一级警情多久无人确认转为二级; 0 为从不",
                "A grade 1 alarm nobody acknowledged for this long becomes grade 2; 0 is never",
                "120.0",
                0,
                86400,
            ),
        },
    ),
    Section(
        name="water",
        cls=model.Water,
        into="waters",
        many=True,
        aside=True,
        zh="一个消火栓、末端试水或泵房, 由监测它的测点组成; 没写的测点就没有那条规则 (docs/water.zh.md)",
        en="A hydrant, a test point or a pump room, by the points that watch it; a point left out has no rule (docs/water.md)",
        keys={
            "id": Key(zh=_ID.zh, en=_ID.en, example='"hydrant1"', form="id"),
            "name": Key(zh=_NAME.zh, en=_NAME.en, example='"1号楼消火栓"', form="name"),
            "building": Key(
                zh="建筑类型, 决定压力限值",
                en="Kind of building: its limits of pressure hold",
                example='"multi-storey"',
                choices=BUILDINGS,
            ),
            "pressure": _point("压力测点", "Point of the pressure", "press1/pressure_kpa"),
            "flow": _point("流量测点", "Point of the flow", "flow1/flow_lps"),
            "temperature": _point("温度测点", "Point of the temperature", "press1/temperature_degc"),
            "tilt": _point("倾角测点", "Point of the tilt", "press1/tilt_deg"),
            "cap": _point("闷盖开关: 打开为真", "Switch of the cap, true while open", "press1/cap_open"),
            "water": _point("出水开关: 有水为真", "Switch that is true while water comes out", "press1/water"),
            "level": _point("液位测点", "Point of the level", "tank1/level_m"),
            "flushing": _point(
                "冲洗试水开关: 接通时不算漏水", "Switch of planned flushing: no leak while it is on", "flush-key"
            ),
            "pump": _point("水泵运行: 运行为真", "True while the pump runs", "pump1/running"),
            "pump_fault": _point("水泵故障", "True while the pump has a fault", "pump1/fault"),
            "pump_auto": _point("自动位为真", "True while the pump is in automatic", "pump1/auto"),
            "pump_power": _point("有电为真", "True while the pump has power", "pump1/power"),
            "leak_lps": Key(
                zh="流量到多少算出水", en="So much flow is water drawn", example="0.5", unit="L/s", low=0.001, high=1000
            ),
            "leak_s": _seconds(
                "无火警、无冲洗而出水多久算漏水",
                "Flow without fire or flushing for so long is a leak",
                "300.0",
                0,
                86400,
            ),
            "off_delay_s": _seconds("恢复保持多久才算", "How long it must stay back", "30.0", 0, 86400),
            "pump_s": _seconds(
                "水泵启动、压力上来最多多久",
                "How long a pump may take to start and the pressure to come",
                "60.0",
                0,
                3600,
            ),
            "tilt_deg": Key(
                zh="偏离安装角度多少算倾斜",
                en="So far from how it stands is tilted",
                example="15.0",
                unit="deg",
                low=1,
                high=180,
            ),
            "tilt_zero_deg": Key(zh="安装角度", en="How it stands", example="0.0", unit="deg", low=-180, high=180),
            "level_low_m": Key(zh="低水位", en="Too low a level", example="1.5", unit="m", low=0, high=100),
        },
    ),
    Section(
        name="tag_reader",
        cls=model.TagReader,
        into="tag_readers",
        many=True,
        aside=True,
        zh="一个巡更读卡器",
        en="A reader of patrol tags",
        keys={
            "id": Key(zh=_ID.zh, en=_ID.en, example='"reader1"', form="id"),
            "kind": Key(
                zh="rdm6300 (125 kHz 串口), pn532 (13.56 MHz 串口), keyboard (模拟键盘的 USB 读卡器)",
                en="rdm6300 (125 kHz, serial), pn532 (13.56 MHz, serial), keyboard (a USB reader that types)",
                example='"rdm6300"',
                choices=TAG_READERS,
            ),
            "port": Key(
                zh="串口; keyboard 写 /dev/input/by-id/ 下以 -event-kbd 结尾的",
                en="Serial port; for keyboard the one in /dev/input/by-id/ that ends in -event-kbd",
                example='"/dev/zg/usb-1-1.3:1.0"',
                form="port",
            ),
            "name": Key(zh=_NAME.zh, en=_NAME.en, example='"门卫室读卡器"', form="name"),
        },
    ),
    Section(
        name="patrol_point",
        cls=model.PatrolPoint,
        into="patrol_points",
        many=True,
        aside=True,
        zh="一个巡更点",
        en="A place to be seen on patrol",
        keys={
            "id": Key(zh=_ID.zh, en=_ID.en, example='"stair-3"', form="id"),
            "name": Key(zh=_NAME.zh, en=_NAME.en, example='"三楼楼梯间"', form="name"),
            "tag": Key(
                zh="标签号: 读卡器给出的十六进制, 或印在 125 kHz 标签上的 10 位数字; 不写则现场用 edge-agent patrol learn 学习",
                en="Its tag: hex digits as the reader gives them, or the 10 digits printed on a 125 kHz tag; left out: "
                "learned on site by edge-agent patrol learn",
                example='"0008844356"',
                form="tag",
            ),
        },
    ),
    Section(
        name="patrol",
        cls=model.Patrol,
        into="patrols",
        many=True,
        aside=True,
        zh="一条巡查路线: times (每天几点) 或 every_min (每隔多久), 二者只写一个",
        en="A round through patrol points: times of the day, or every so many minutes, exactly one of them",
        keys={
            "id": Key(zh=_ID.zh, en=_ID.en, example='"night"', form="id"),
            "points": Key(
                zh="要到的巡更点", en="Patrol points to be seen", example='["stair-3", "pump-house"]', form="id"
            ),
            "name": Key(zh=_NAME.zh, en=_NAME.en, example='"夜间巡查"', form="name"),
            "times": Key(
                zh="每天几点应巡 (北京时间)",
                en="When it is due (China time)",
                example='["22:00", "02:00"]',
                form="time",
            ),
            "every_min": Key(
                zh="每隔多少分钟应巡", en="Due every so many minutes", example="120", unit="min", low=5, high=10080
            ),
            "grace_min": Key(
                zh="应巡后多少分钟内巡完, 过时为漏巡",
                en="Minutes from due to missed",
                example="30",
                unit="min",
                low=1,
                high=1440,
            ),
            "early_min": Key(
                zh="提前多少分钟到点也算",
                en="A point seen so many minutes before counts",
                example="10",
                unit="min",
                low=0,
                high=120,
            ),
        },
    ),
    Section(
        name="camera",
        cls=model.Camera,
        into="cameras",
        many=True,
        aside=True,
        zh="局域网里的一台摄像机, 和它看得见的测点 (edge-agent camera test 试拍)",
        en="A camera on the LAN, and the points it sees (edge-agent camera test tries it)",
        keys={
            "id": Key(zh=_ID.zh, en=_ID.en, example='"cam-hall"', form="id"),
            "host": Key(zh="摄像机地址", en="Address of the camera", example='"192.168.1.64"', form="host"),
            "points": Key(
                zh="报警时要拍照的测点, 或以 * 结尾的前缀",
                en="Points whose alarms it pictures: ids, or prefixes ending in *",
                example='["panel1/1-*"]',
                form="point_pattern",
            ),
            "name": Key(zh=_NAME.zh, en=_NAME.en, example='"一层大厅"', form="name"),
            "method": Key(
                zh="取图方式: onvif, http (厂家的抓图地址), rtsp (用 ffmpeg 取一帧, 慢而费力)",
                en="How it gives a picture: onvif, http (the maker's own address), rtsp (one frame by ffmpeg: slow, heavy)",
                example='"onvif"',
                choices=("onvif", "http", "rtsp"),
            ),
            "port": Key(
                zh="端口; 不写: 80, 用 tls 为 443, rtsp 为 554",
                en="Port; left out: 80, 443 with tls, 554 for rtsp",
                example="80",
                low=1,
                high=65535,
            ),
            "path": Key(
                zh="http、rtsp: 图片或视频流的路径; {user}、{password} 由账号文件填入",
                en="http, rtsp: path of the picture or stream; {user} and {password} are filled in from the credentials",
                example='"/ISAPI/Streaming/channels/101/picture"',
                form="camera_path",
            ),
            "profile": Key(
                zh="onvif: 配置文件 (profile) 的 token; 空为第一个",
                en="onvif: token of the profile; empty: the first",
                example='"Profile_1"',
                form="name",
            ),
            "tls": Key(zh="用 HTTPS", en="Over HTTPS", example="false"),
            "ca_file": Key(
                zh="HTTPS: 摄像机的 CA 证书, 或它自己的证书",
                en="HTTPS: CA certificate of the camera, or its own",
                example='"/etc/edge-agent/cameras/ca.crt"',
            ),
            "credentials_file": Key(
                zh="账号文件, 一行 用户:密码, 仅服务可读; 请用只读账号",
                en="File with one line user:password, for the service alone; use an account that may only look",
                example='"/etc/edge-agent/cameras/hall.cred"',
            ),
            "basic": Key(
                zh="没有 TLS 也允许 Basic 认证: 密码会在局域网里明文出现",
                en="Allow Basic authentication without TLS: it shows the password to the LAN",
                example="false",
            ),
            "before_method": Key(
                zh="摄像机怎样给出已录的画面",
                en="How the camera gives what it keeps",
                example='"rtsp"',
                choices=("http", "rtsp"),
            ),
            "before_path": Key(
                zh="已录画面的路径, 含 {start}, 可含 {end}; 空: 摄像机不存录像",
                en="Path of what it keeps, with {start} and perhaps {end}; empty: it keeps nothing",
                example='"/Streaming/tracks/101?starttime={start}&endtime={end}"',
                form="camera_path",
            ),
            "before_port": Key(
                zh="已录画面的端口; 不写: rtsp 554, http 同 port",
                en="Its port; left out: 554 for rtsp, that of port for http",
                example="554",
                low=1,
                high=65535,
            ),
            "before_s": _seconds("要报警前多少秒的画面", "How long before the alarm", "5.0", 1, 60),
            "before_format": Key(
                zh="{start}、{end} 的写法 (strftime)",
                en="How {start} and {end} are written (strftime)",
                example='"%Y%m%dT%H%M%SZ"',
                form="stamp_format",
            ),
            "before_clock": Key(
                zh="{start}、{end} 用什么时间: utc 或 china 北京时间",
                en="Their time: utc, or china",
                example='"utc"',
                choices=("utc", "china"),
            ),
            "probe_s": _seconds("多久试拍一次, 不保存", "How often it is tried, keeping nothing", "600.0", 5, 86400),
            "gb28181": Key(
                zh="在 GB/T 28181 平台上的 20 位编码, 随图片上报",
                en="Its 20 digits on a GB/T 28181 platform, told with its pictures",
                example='"36070000001320000001"',
                form="gb28181",
            ),
        },
    ),
    Section(
        name="media",
        cls=model.Media,
        into="media",
        many=False,
        aside=True,
        zh="图片的限量",
        en="How much of pictures",
        keys={
            "picture_kb": Key(
                zh="一张图片的上限, 更大的拒收",
                en="Most of one picture; a larger one is refused",
                example="512",
                unit="KiB",
                low=16,
                high=4096,
            ),
            "day_mb": Key(zh="24 小时的上限", en="Most in 24 hours", example="64", unit="MiB", low=1, high=4096),
            "after_s": _seconds(
                "报警后多久再拍一张; 0 为不拍", "A second picture so long after the alarm; 0: none", "5.0", 0, 60
            ),
            "metered": Key(zh="按流量计费的链路也传图片", en="Pictures go over metered links too", example="false"),
        },
    ),
    Section(
        name="linkage",
        cls=model.Linkage,
        into="linkage",
        many=False,
        aside=True,
        zh="联动输出: 没有在这里按名称启用的, 绝不动作 (docs/linkage.zh.md)",
        en="Outputs that follow alarms; one that is not named here never acts (docs/linkage.md)",
        keys={
            "enable": Key(
                zh="允许动作的输出, 逐个写编号",
                en="The outputs that may act, each by its id",
                example='["kitchen-valve"]',
                form="id",
            ),
        },
    ),
    Section(
        name="linkage.output",
        cls=model.LinkageOutput,
        into="outputs",
        many=True,
        aside=True,
        zh="一个继电器输出",
        en="One relay",
        keys={
            "id": Key(zh=_ID.zh, en=_ID.en, example='"kitchen-valve"', form="id"),
            "action": Key(
                zh="它是什么: gas_valve 燃气阀, fan 风机, sounder 声光警报器 (消音或确认即停)",
                en="What it is; a sounder stops when it is silenced or acknowledged",
                example='"gas_valve"',
                choices=ACTIONS,
            ),
            "line": Key(zh="输出线 (BCM 编号)", en="Output line (BCM number)", example="24", low=0, high=63),
            "kinds": Key(zh="跟随哪些报警", en="Kinds of alarm it follows", example='["gas"]', choices=ALARM_KINDS),
            "points": Key(
                zh="跟随哪些测点: 编号, 或以 * 结尾的前缀",
                en="Points it follows: ids, or prefixes ending in *",
                example='["kitchen/*"]',
                form="point_pattern",
            ),
            "name": Key(zh=_NAME.zh, en=_NAME.en, example='"厨房燃气阀"', form="name"),
            "idle": Key(zh="不动作时的电平", en="Level of the line while it does not act", example="false"),
            "grade": Key(
                zh="几级警情才动作; 2 为已确认的",
                en="Grade an alarm needs; 2 is confirmed",
                example="1",
                choices=(1, 2),
            ),
            "only_if": Key(
                zh="联锁: 这些开关都接通才可动作; 读不到就不动作",
                en="Interlock: these switches must be on; one that cannot be read forbids it",
                example='["vent/power"]',
                form="point_id",
            ),
            "never_if": Key(
                zh="联锁: 其中任何一个接通就不可动作; 读不到也不动作",
                en="Interlock: none of these may be on; one that cannot be read forbids it",
                example='["repair-key"]',
                form="point_id",
            ),
            "override": Key(
                zh="手动开关: 接通时由人接管, 输出释放",
                en="Manual switch: while it is on the output is released and a person has it",
                example='"valve-key"',
                form="point_id",
            ),
            "hold_s": _seconds("报警保持多久才动作", "How long the alarm must stand", "5.0", 0, 3600),
            "min_on_s": _seconds("至少动作多久", "It acts at least so long", "30.0", 0, 86400),
            "max_on_s": _seconds(
                "至多动作多久 (脉冲阀); 0 不限", "And at most so long, as for a pulse; 0: no limit", "60.0", 0, 86400
            ),
            "min_off_s": _seconds("两次动作至少间隔", "Rest between two acts", "60.0", 0, 86400),
            "stale_s": _seconds("多久以前的报警不再作依据", "An older alarm is not acted upon", "300.0", 1, 3600),
            "start_s": _seconds(
                "启动后多久之内的报警不作依据",
                "An alarm that comes so soon after the start is not acted upon",
                "60.0",
                10,
                3600,
            ),
            "release": Key(
                zh="报警结束后: manual 由人释放, auto 自动释放",
                en="Once the alarm is over: a person releases it, or it is released by itself",
                example='"manual"',
                choices=("manual", "auto"),
            ),
        },
    ),
    Section(
        name="link",
        cls=model.Link,
        into="links",
        many=True,
        zh="一条出口链路; 一条都不写则用系统自己的路由",
        en="One way out of this box; with none written, whatever route the system has",
        keys={
            "id": Key(zh="链路编号", en="Id of the link", example='"eth"', form="id"),
            "kind": Key(
                zh="ethernet 网线, wifi 无线, cellular 4G, nbiot 只走压缩帧的 NB-IoT",
                en="What it is; nbiot carries packed frames only",
                example='"ethernet"',
                choices=LINK_KINDS,
                sample=True,
            ),
            "interface": Key(
                zh="网卡名; 不写则由系统选路",
                en="Network interface; left out: the system's choice",
                example='"eth0"',
                form="interface",
                sample=True,
            ),
            "order": Key(
                zh="次序, 小的优先; 不写则网线 10, 无线 20, 4G 30, NB-IoT 40",
                en="Rank, lower is preferred; left out: ethernet 10, wifi 20, cellular 30, nbiot 40",
                example="10",
                low=0,
                high=1000,
            ),
            "metered": Key(
                zh="是否按流量计费; 不写则 4G 和 NB-IoT 是",
                en="Whether bytes cost money; left out: cellular and nbiot do",
                example="false",
            ),
            "monthly_mb": Key(
                zh="每月流量上限, 火警不受限; 0 为不限",
                en="Byte budget of a month, alarms exempt; 0 is no limit",
                example="300.0",
                unit="MB",
                low=0,
                high=1_000_000,
            ),
            "probe_s": _seconds(
                "空闲链路多久探测一次中心; 不写则 60, NB-IoT 为 100",
                "How often the centre is tried over a link that carries no session; left out: 60, nbiot 100",
                "60.0",
                5,
                3600,
            ),
            "misses": Key(
                zh="连续几次探测失败算中断",
                en="So many misses in a row and the link is down",
                example="3",
                low=1,
                high=20,
            ),
            "hold_s": _seconds(
                "更优链路恢复后稳定多久才切回",
                "How long a better link must answer before it is used again",
                "60.0",
                0,
                86400,
            ),
        },
    ),
    Section(
        name="link.modem",
        cls=model.Modem,
        into="modem",
        many=False,
        zh="这条链路的模组: port 为串口 AT, device 为 ModemManager 管理的, 二者只写一个",
        en="The modem of this link: `port` for raw AT, `device` for one of ModemManager's, exactly one of them",
        keys={
            "port": Key(
                zh="AT 串口",
                en="Serial port that takes AT",
                example='"/dev/zg/usb-1-1.4:1.2"',
                form="port",
                sample=True,
            ),
            "device": Key(
                zh="ModemManager 中的设备标识; any 为唯一的一个",
                en="ModemManager's device identifier; any: the only one there is",
                example='"any"',
                form="name",
            ),
            "family": Key(
                zh="型号系列; auto 自动识别", en="Family; auto asks the modem", example='"auto"', choices=MODEM_FAMILIES
            ),
            "baud": _baud("波特率; 不写则按系列", "Speed; left out: the family's"),
            "apn": Key(
                zh="接入点; 空则用卡自带的", en="Access point; empty: the SIM's own", example='"cmiot"', form="apn"
            ),
            "pin_file": Key(
                zh="存放 SIM 卡 PIN 的文件, 仅服务可读; 只试一次",
                en="File with the SIM's PIN, for the service alone; it is tried once",
                example='"/etc/edge-agent/tls/sim.pin"',
            ),
            "mains_fed": Key(
                zh="市电供电: 关闭模组省电, 下行命令不等待",
                en="Fed from mains: power saving is turned off",
                example="true",
            ),
            "power_pin": Key(
                zh="board.outputs.modem_power 控制它的电源",
                en="board.outputs.modem_power switches its supply",
                example="false",
            ),
            "reboot_host": Key(
                zh="断电也救不回时重启网关, 至多 6 小时一次",
                en="Restart the gateway when even a power cut does not help, at most once in 6 h",
                example="false",
            ),
        },
    ),
    Section(
        name="uplink",
        cls=model.Uplink,
        into="uplinks",
        many=True,
        zh="一个监控中心, 可有多个; 中心不在本机时必须用 TLS, 或对 GB/T 26875.3 中心写明 plain",
        en="One centre of any number; TLS unless the host is this machine, or plain for a GB/T 26875.3 centre",
        keys={
            "id": Key(zh=_ID.zh, en=_ID.en, example='"county"', form="id"),
            "host": Key(zh="中心地址", en="Address of the centre", example='"centre.example.cn"', form="host"),
            "port": Key(
                zh="端口; GB/T 26875.3 没有标准端口, 必须写",
                en="Port; GB/T 26875.3 has none of its own, so it must be written",
                example="8883",
                low=1,
                high=65535,
            ),
            "protocol": Key(
                zh="协议: mqtt 为 MQTT 5, gb26875 为 GB/T 26875.3-2011 (另写 [uplink.gb26875])",
                en="Protocol: mqtt is MQTT 5, gb26875 is GB/T 26875.3-2011 (with [uplink.gb26875])",
                example='"mqtt"',
                choices=("mqtt", "gb26875"),
            ),
            "streams": Key(
                zh="给这个中心的数据流: alarm 警情, fault 故障, status 状态, telemetry 遥测, media 图片 (要写明才有)",
                en="The streams this centre gets; media (pictures) only where it is named",
                example='["alarm", "fault", "status"]',
                form="stream",
            ),
            "encoding": Key(
                zh="MQTT 批次的编码: cbor 省流量, 中心须支持",
                en="How MQTT batches are written: cbor saves bytes where the centre reads it",
                example='"json"',
                choices=("json", "cbor"),
            ),
            "plain": Key(
                zh="明知不加密仍连接异地的 GB/T 26875.3 中心: 该协议没有任何保护, 请放在专网或 VPN 里",
                en="Connect to a GB/T 26875.3 centre elsewhere without TLS, knowing that the protocol protects nothing: "
                "keep it inside a private network or VPN",
                example="false",
            ),
            "ca_file": Key(
                zh="中心的 CA 证书",
                en="CA certificate of the centre",
                example='"/etc/edge-agent/tls/ca.crt"',
                sample=True,
            ),
            "cert_file": Key(
                zh="本网关证书",
                en="Certificate of this gateway",
                example='"/etc/edge-agent/tls/gateway.crt"',
                sample=True,
            ),
            "key_file": Key(
                zh="本网关私钥, 仅服务可读",
                en="Private key of this gateway; only the service may read it",
                example='"/etc/edge-agent/tls/gateway.key"',
                sample=True,
            ),
            "ack": Key(
                zh="何时算送达: centre 中心答复已存, broker 消息服务器收到",
                en="When a record counts as delivered: the centre said it stored it, or the broker took it",
                example='"centre"',
                choices=("centre", "broker"),
            ),
            "mandatory": Key(
                zh="是否必须送达才可清理", en="Whether records stay until this centre has them", example="true"
            ),
            "keepalive_s": Key(zh="MQTT 心跳", en="MQTT keep-alive", example="30", unit="s", low=5, high=3600),
            "unconfirmed_s": _seconds(
                "发出后多久没有答复, 算链路半开并重连",
                "Sent and unconfirmed for this long: the link is half open and is made anew",
                "20.0",
                2,
                600,
            ),
            "window": Key(zh="同时在途的批数", en="Batches on the wire at once", example="8", low=1, high=100),
            "batch_bytes": Key(
                zh="一批的字节数上限", en="Most bytes in one batch", example="65536", unit="B", low=1024, high=1048576
            ),
            "packed_host": Key(
                zh="中心收压缩帧的地址; 不写则同 host",
                en="Where the centre takes packed frames; left out: host",
                example='"centre.example.cn"',
                form="host",
            ),
            "packed_port": Key(
                zh="中心收压缩帧的 UDP 端口 (NB-IoT 用); 0 为不收",
                en="UDP port on which the centre takes packed frames (for NB-IoT); 0: it takes none",
                example="5119",
                low=0,
                high=65535,
            ),
            "packed_key_file": Key(
                zh="压缩帧的密钥文件, 64 位十六进制, 每台网关一把, 仅服务可读",
                en="Key of packed frames: 64 hex digits, one for each gateway; only the service may read it",
                example='"/etc/edge-agent/tls/packed.key"',
            ),
            "commands": Key(
                zh="此中心可下达的命令; 默认只能读取和查岗, [] 为全部不接受; GB/T 26875.3 的类型 89、90 是 initialise、set_clock",
                en="What this centre may ask; by default reading and duty checks, [] is nothing; types 89 and 90 of GB/T 26875.3 "
                "are initialise and set_clock",
                example='["read_state", "history", "duty_check"]',
                choices=COMMANDS,
            ),
        },
    ),
    Section(
        name="uplink.gb26875",
        cls=model.Gb26875,
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
                zh="传输层: tcp, 或 udp (不能加密, 不能与 [[link]] 同用)",
                en="Transport: tcp, or udp (cannot be encrypted, nor used with [[link]])",
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
            "residual_current_step_ma": Key(
                zh="剩余电流的单位", en="Unit of it", example="1", unit="mA", low=1, high=1000
            ),
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
            "keepalive_s": _seconds("心跳间隔", "Period of the keep-alive", "30.0", 5, 7200),
            "timeout_s": _seconds(
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
    ),
    Section(
        name="gb26875_point",
        cls=model.Gb26875Point,
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
    ),
)

BY_NAME: Final[Mapping[str, Section]] = {section.name: section for section in (TOP, *SECTIONS)}


@cache
def children(name: str) -> tuple[Section, ...]:
    """The sections that stand in section `name`."""
    return tuple(section for section in SECTIONS if section.parent == name)


@cache
def shapes(name: str) -> Mapping[str, Shape]:
    """What the dataclass of section `name` says of each of its keys."""
    return shapes_of(BY_NAME[name].cls)
