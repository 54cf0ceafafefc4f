"""What is wired to the box and asked or listened to there: panels, polled buses, dry contacts."""

from typing import Final

from edge_agent.config import model
from edge_agent.config.keys import KINDS, Key, Section
from edge_agent.config.schema.blocks import baud, called, framing, own_id, seconds, tap

PANEL: Final = Section(
    name="panel",
    cls=model.Panel,
    into="panels",
    many=True,
    zh="串口上的一台火灾报警控制器, 只听不发",
    en="A fire panel on a serial port; the gateway only listens",
    keys={
        "id": own_id('"panel1"'),
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
        "name": called('"消控室主机"', sample=True),
        "baud": baud("波特率; 不写则按型号", "Speed; left out: the profile's"),
        "framing": framing("数据位、校验、停止位", "Data bits, parity, stop bits"),
        "silence_s": seconds(
            "多久没有数据算离线; 不写则按型号",
            "Silent for this long is a fault; left out: the profile's",
            "300.0",
            1,
            604800,
        ),
        "software_version": Key(
            zh="控制器软件版本, 写成 主版本.次版本, 各 0-255; GB/T 26875.3 中心读版本 (65) 时照此回答",
            en="Version of its software, MAJOR.MINOR of 0-255 each: what a GB/T 26875.3 centre is told that reads it (65)",
            example='"3.18"',
            form="version",
        ),
        "tap_of": tap("port", "接口", '"panel2"'),
        "tap_hold_s": seconds(
            "这台主机的另一处可以晚多久说同一件事", "How much later another tap may say the same", "30.0", 1, 3600
        ),
    },
)

BUS: Final = Section(
    name="bus",
    cls=model.Bus,
    into="buses",
    many=True,
    zh="一条轮询的总线。Modbus: port 为 RTU, host 为 TCP, 二者只写一个; DL/T 645 电能表、京硅断路器: port",
    en="A polled line. Modbus: `port` for RTU, `host` for TCP, exactly one of them; DL/T 645 meters, KS breakers: `port`",
    keys={
        "id": own_id('"rtu1"'),
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
        "baud": baud(
            "波特率; 不写: Modbus 9600, 其余按型号",
            "Speed; left out: 9600 for Modbus, the profile's for the others",
        ),
        "framing": framing(
            "数据位、校验、停止位; 不写: Modbus 8N1, 其余按型号",
            "Data bits, parity, stop bits; left out: 8N1 for Modbus, the profile's for the others",
        ),
        "host": Key(zh="TCP 网关地址", en="Address of the TCP gateway", example='"192.168.1.50"', form="host"),
        "tcp_port": Key(zh="TCP 端口", en="TCP port", example="502", low=1, high=65535),
        "timeout_s": seconds("等待应答的时间", "How long a reply may take", "0.3", 0.02, 30),
        "gap_s": seconds("两次询问之间的间隔", "Pause between two requests", "0.02", 0, 5),
    },
)

BUS_DEVICE: Final = Section(
    name="bus.device",
    cls=model.Device,
    into="devices",
    many=True,
    zh="总线上的一台设备",
    en="One slave of the bus",
    keys={
        "id": own_id('"meter1"'),
        "profile": Key(zh="型号", en="Profile", example='"eastron-sdm630"', form="profile"),
        "meter": Key(
            zh="DL/T 645 表号、KS 断路器地址: 铭牌上的 12 位数字; 电能表不写则询问线上唯一的一块表",
            en="Address of a DL/T 645 meter or KS breaker: the 12 digits on its plate; left out: the only meter on the line "
            "is asked for it",
            example='"000012345678"',
            form="meter",
        ),
        "address": Key(zh="从站地址", en="Slave address", example="1", low=1, high=247, sample=True),
        "name": called('"总配电箱电表"', sample=True),
        "period_s": seconds("轮询周期; 不写则按型号", "Poll period; left out: the profile's", "10.0", 0.05, 86400),
        "tap_of": tap("card", "接口卡", '"panel1"'),
    },
)

CONTACT: Final = Section(
    name="contact",
    cls=model.Contact,
    into="contacts",
    many=True,
    zh="一个干接点",
    en="One dry contact",
    keys={
        "id": own_id('"pump-room"'),
        "line": Key(zh="输入线 (BCM 编号)", en="Input line (BCM number)", example="12", low=0, high=63),
        "kind": Key(
            zh="动作时是什么事件", en="What event it is while active", example='"fire"', choices=KINDS, sample=True
        ),
        "name": called('"水泵房手报"', sample=True),
        "normally": Key(
            zh="常态: open 常开, closed 常闭",
            en="Its normal state",
            example='"open"',
            choices=("open", "closed"),
        ),
        "on_delay_s": seconds("动作保持多久才算", "How long it must hold to count as active", "0.05", 0, 600),
        "off_delay_s": seconds("恢复保持多久才算", "How long it must hold to count as normal again", "0.5", 0, 600),
        "tap_of": tap("relay", "继电器输出", '"panel1"'),
    },
)
