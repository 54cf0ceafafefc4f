"""Devices that speak to the box by themselves."""

from typing import Final

from edge_agent.config import model
from edge_agent.config.keys import GB_DIALECTS, RECEIVERS, TRANSPORTS, Key, Section
from edge_agent.config.schema.blocks import baud, called, framing, own_id, seconds, tap

RECEIVER: Final = Section(
    name="receiver",
    cls=model.Receiver,
    into="receivers",
    many=True,
    aside=True,
    zh="自己发来的设备: 经现场网络 (listen)、串口 (port) 或目录 (folder), 只写一个",
    en="Devices that speak by themselves: over the site's network (`listen`), a serial `port` or a `folder`, one of them",
    keys={
        "id": own_id('"net1"'),
        "protocol": Key(
            zh="规约; 各是什么见 docs/drivers/receivers.zh.md",
            en="What is spoken; docs/drivers/receivers.md says who speaks which",
            example='"gb26875"',
            choices=RECEIVERS,
        ),
        "name": called('"消防网接收"'),
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
        "baud": baud("波特率; 不写则按规约", "Speed; left out: the protocol's"),
        "framing": framing(
            "数据位、校验、停止位; 不写则按规约", "Data bits, parity, stop bits; left out: the protocol's"
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
        "polls": Key(
            zh="本机当 ESPA 4.4.4 控制站, 轮询这个站号的主机 (那时 station 一般为 1); 不写: 主机是控制站",
            en="We are the control station of the ESPA 4.4.4 line and poll the panel at this address (station is then usually 1);"
            " left out: the panel is",
            example='"2"',
            form="station",
        ),
        "profile": Key(
            zh="espa444: 读懂文字的型号资料, 不写用 generic-printer; frames: 帧的型号资料",
            en="espa444: the profile that reads its texts, left out: generic-printer; frames: the one that reads them",
            example='"our-concentrator"',
            form="profile",
        ),
    },
)

RECEIVER_DEVICE: Final = Section(
    name="receiver.device",
    cls=model.ReceiverDevice,
    into="devices",
    many=True,
    aside=True,
    zh="向它发来的一台设备",
    en="One device that speaks to it",
    keys={
        "id": own_id('"panel2"'),
        "address": Key(
            zh="设备在报文中的地址; 只有一台时可不写",
            en="How it names itself on the wire; may be left out where there is only one",
            example='"889"',
            form="wire_address",
        ),
        "name": called('"2号楼传输装置"'),
        "silence_s": seconds(
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
        "tap_of": tap("word", "来处", '"panel1"'),
    },
)
