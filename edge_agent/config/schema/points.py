"""What the site says of points: their names, their limits, and which of them confirm each other."""

from typing import Final

from edge_agent.config import model
from edge_agent.config.keys import KINDS, Key, Section
from edge_agent.config.schema.blocks import called, seconds
from edge_agent.points.presets import PRESETS


def _limit(zh: str, en: str, example: str, *, sample: bool = False) -> Key:
    return Key(zh=zh, en=en, example=example, low=-1e9, high=1e9, sample=sample)


def _rate(zh: str, en: str) -> Key:
    return Key(zh=f"{zh} (每分钟)", en=f"{en} (per minute)", example="2.0", low=1e-6, high=1e9)


POINT: Final = Section(
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
        "name": called('"A相电压"', sample=True),
        "kind": Key(
            zh="超限时是什么事件", en="What event it is while over a limit", example='"electrical"', choices=KINDS
        ),
        "preset": Key(
            zh="按名称取一组限值 (docs/rules.zh.md), 优先于型号文件; limits 里写的再优先于它",
            en="Limits by name (docs/rules.md), over the profile's; what limits says goes over them",
            example='"residual-current"',
            choices=tuple(PRESETS),
        ),
        "telemetry_s": seconds(
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
)

POINT_LIMITS: Final = Section(
    name="point.limits",
    cls=model.Limits,
    into="limits",
    many=False,
    zh="何时成为事件, 单位是该测点自己的; 没写的按预置, 再按型号, 都没有则无此规则 (延时和回差为 0, n、m 为 1)",
    en="When the value becomes an event, in the point's own unit. What is left out is the preset's, else the profile's, "
    "else there is no such rule (delays and hysteresis 0, n and m 1)",
    keys={
        "prealarm_high": _limit("预警上限", "Above this: prealarm", "245.0", sample=True),
        "prealarm_low": _limit("预警下限", "Below this: prealarm", "198.0"),
        "alarm_high": _limit("报警上限", "Above this: alarm", "253.0", sample=True),
        "alarm_low": _limit("报警下限", "Below this: alarm", "187.0", sample=True),
        "alarm_high_high": _limit(
            "上上限: 到此用更短的延时, 并直接转为二级",
            "Above this: alarm by a shorter delay of its own, and grade 2 at once",
            "280.0",
        ),
        "alarm_low_low": _limit("下下限, 同上", "Below this: likewise", "160.0"),
        "hysteresis": Key(
            zh="回差: 回到限值以内多少才算恢复",
            en="How far back the value must go before the limit counts as left",
            example="2.0",
            low=0,
            high=1e9,
        ),
        "on_delay_s": seconds("超限保持多久才算", "How long it must stay over", "3.0", 0, 86400),
        "off_delay_s": seconds("恢复保持多久才算", "How long it must stay back", "3.0", 0, 86400),
        "extreme_on_delay_s": seconds(
            "超过上上限 (下下限) 保持多久才算",
            "How long it must stay past alarm_high_high or alarm_low_low",
            "1.0",
            0,
            86400,
        ),
        "prealarm_rise_per_min": _rate("升得这么快: 预警", "Rising this fast: prealarm"),
        "alarm_rise_per_min": _rate("升得这么快: 报警", "Rising this fast: alarm"),
        "alarm_fall_per_min": _rate("降得这么快: 报警", "Falling this fast: alarm"),
        "rate_window_s": seconds(
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
        "baseline_learn_s": seconds(
            "学习多久之后才开始判断; 不写则三天",
            "How long it learns before it judges; left out: three days",
            "259200.0",
            60,
            31_536_000,
        ),
        "baseline_on_delay_s": seconds(
            "偏离保持多久才算; 不写则 300", "How long it must stay unlike itself; left out: 300", "300.0", 0, 86400
        ),
        "baseline_round": Key(
            zh="换一个数, 就忘掉学到的, 重新学习 (如更换设备后)",
            en="Another number: forget what was learned and begin anew, as after new machines",
            example="1",
            low=0,
            high=1_000_000,
        ),
        "range_low": _limit(
            "传感器量程下限: 更低是传感器故障, 不是报警",
            "The sensor's range: below it is a fault of the sensor, never an alarm",
            "0.0",
        ),
        "range_high": _limit(
            "传感器量程上限: 要宽于任何火灾",
            "The sensor's range: above it is a fault; it must be wider than any fire",
            "500.0",
        ),
        "stuck_s": seconds("数值多久一点不变算卡死 (故障)", "Frozen for so long is a fault", "86400.0", 60, 31_536_000),
        "missing_s": seconds(
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
)

ZONE: Final = Section(
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
        "name": called('"一楼车间"', sample=True),
        "unacknowledged_s": seconds(
            "一级警情多久无人确认转为二级; 0 为从不",
            "A grade 1 alarm nobody acknowledged for this long becomes grade 2; 0 is never",
            "120.0",
            0,
            86400,
        ),
    },
)
