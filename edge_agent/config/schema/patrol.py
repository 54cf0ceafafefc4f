"""Patrol rounds, their places and their tag readers."""

from typing import Final

from edge_agent.config import model
from edge_agent.config.keys import TAG_READERS, Key, Section
from edge_agent.config.schema.blocks import called, own_id

TAG_READER: Final = Section(
    name="tag_reader",
    cls=model.TagReader,
    into="tag_readers",
    many=True,
    aside=True,
    zh="一个巡查读卡器",
    en="A reader of patrol tags",
    keys={
        "id": own_id('"reader1"'),
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
        "name": called('"门卫室读卡器"'),
    },
)

PATROL_POINT: Final = Section(
    name="patrol_point",
    cls=model.PatrolPoint,
    into="patrol_points",
    many=True,
    aside=True,
    zh="一个巡查点",
    en="A place to be seen on patrol",
    keys={
        "id": own_id('"stair-3"'),
        "name": called('"三楼楼梯间"'),
        "tag": Key(
            zh="标签号: 读卡器给出的十六进制, 或印在 125 kHz 标签上的 10 位数字 (或旁边的 134,62532); "
            "不写则现场用 edge-agent patrol learn 学习",
            en="Its tag: hex digits as the reader gives them, or the 10 digits printed on a 125 kHz tag "
            "(or the 134,62532 beside them); left out: "
            "learned on site by edge-agent patrol learn",
            example='"0008844356"',
            form="tag",
        ),
    },
)

PATROL: Final = Section(
    name="patrol",
    cls=model.Patrol,
    into="patrols",
    many=True,
    aside=True,
    zh="一条巡查路线: times (每天几点) 或 every_min (每隔多久), 二者只写一个",
    en="A round through patrol points: times of the day, or every so many minutes, exactly one of them",
    keys={
        "id": own_id('"night"'),
        "points": Key(zh="要到的巡查点", en="Patrol points to be seen", example='["stair-3", "pump-house"]', form="id"),
        "name": called('"夜间巡查"'),
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
)
