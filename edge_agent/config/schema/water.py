"""Hydrants, test points and pump rooms."""

from typing import Final

from edge_agent.config import model
from edge_agent.config.keys import BUILDINGS, Key, Section
from edge_agent.config.schema.blocks import called, own_id, seconds


def _point(zh: str, en: str, example: str) -> Key:
    return Key(zh=zh, en=en, example=f'"{example}"', form="point_id")


WATER: Final = Section(
    name="water",
    cls=model.Water,
    into="waters",
    many=True,
    aside=True,
    zh="一个消火栓、末端试水或泵房, 由监测它的测点组成; 没写的测点就没有那条规则 (docs/water.zh.md)",
    en="A hydrant, a test point or a pump room, by the points that watch it; a point left out has no rule (docs/water.md)",
    keys={
        "id": own_id('"hydrant1"'),
        "name": called('"1号楼消火栓"'),
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
        "leak_s": seconds(
            "无火警、无冲洗而出水多久算漏水",
            "Flow without fire or flushing for so long is a leak",
            "300.0",
            0,
            86400,
        ),
        "off_delay_s": seconds("恢复保持多久才算", "How long it must stay back", "30.0", 0, 86400),
        "pump_s": seconds(
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
)
