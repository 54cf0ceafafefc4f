"""Outputs that follow alarms."""

from typing import Final

from edge_agent.config import model
from edge_agent.config.keys import ACTIONS, ALARM_KINDS, Key, Section
from edge_agent.config.schema.blocks import called, own_id, seconds

LINKAGE: Final = Section(
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
)

LINKAGE_OUTPUT: Final = Section(
    name="linkage.output",
    cls=model.LinkageOutput,
    into="outputs",
    many=True,
    aside=True,
    zh="一个继电器输出",
    en="One relay",
    keys={
        "id": own_id('"kitchen-valve"'),
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
        "name": called('"厨房燃气阀"'),
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
        "hold_s": seconds("报警保持多久才动作", "How long the alarm must stand", "5.0", 0, 3600),
        "min_on_s": seconds("至少动作多久", "It acts at least so long", "30.0", 0, 86400),
        "max_on_s": seconds(
            "至多动作多久 (脉冲阀); 0 不限", "And at most so long, as for a pulse; 0: no limit", "60.0", 0, 86400
        ),
        "min_off_s": seconds("两次动作至少间隔", "Rest between two acts", "60.0", 0, 86400),
        "stale_s": seconds("多久以前的报警不再作依据", "An older alarm is not acted upon", "300.0", 1, 3600),
        "start_s": seconds(
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
)
