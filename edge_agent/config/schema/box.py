"""The box itself: who it is, its own lamps and buttons, what its journal keeps."""

from typing import Final

from edge_agent.config import model
from edge_agent.config.keys import BUTTONS, GPIO_BACKENDS, OUTPUTS, Key, Section
from edge_agent.config.schema.blocks import seconds

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

GATEWAY: Final = Section(
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
)

BOARD: Final = Section(
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
        "modem_power_pulse_s": seconds(
            "断电重启模组时, 反电平保持多久",
            "How long the other level is held to power-cycle the modem",
            "12.0",
            0.1,
            120,
        ),
    },
)

JOURNAL: Final = Section(
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
        "telemetry_linger_s": seconds(
            "遥测最多等多久写卡: 掉电时可能丢失的时间",
            "How long telemetry may wait for the card: what a power cut may lose",
            "10.0",
            0.1,
            600,
        ),
        "telemetry_s": seconds(
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
)
