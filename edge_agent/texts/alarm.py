"""Names of kinds, states and outputs, and what to do about a board that cannot be driven."""

TEXTS: dict[str, tuple[str, str]] = {
    # kinds of event
    "kind_fire": ("火警", "fire"),
    "kind_fire_manual": ("手动报警", "manual alarm"),
    "kind_unknown": ("未知报警", "unknown alarm"),
    "kind_prealarm": ("预警", "prealarm"),
    "kind_gas": ("可燃气体", "gas"),
    "kind_electrical": ("电气火灾", "electrical"),
    "kind_supervisory": ("监管", "supervisory"),
    "kind_fault": ("故障", "fault"),
    "kind_disabled": ("屏蔽", "disabled"),
    "kind_mains_fault": ("主电故障", "mains fault"),
    "kind_battery_fault": ("备电故障", "standby fault"),
    "kind_tamper": ("防拆", "tamper"),
    "kind_link": ("离线", "offline"),
    "kind_store": ("存储故障", "storage fault"),
    "kind_worker": ("部件重启", "worker restarted"),
    "kind_start": ("启动", "start"),
    "kind_feedback": ("反馈", "feedback"),
    "kind_link_request": ("联动请求", "linkage request"),
    "kind_delay": ("延时", "delay"),
    "kind_reset": ("复位", "reset"),
    "kind_silence": ("消音", "silence"),
    "kind_acknowledge": ("确认", "acknowledge"),
    "kind_boot": ("开机", "start-up"),
    "kind_test": ("自检", "self-test"),
    "kind_command": ("中心命令", "command"),
    "kind_duty_check": ("查岗", "duty check"),
    "kind_patrol": ("巡查", "patrol"),
    "kind_linkage": ("联动", "linkage"),
    "kind_evidence": ("印证", "evidence"),
    "kind_clock": ("时钟", "clock"),
    # which rule of a point found it
    "rule_extreme": ("超过上上限或下下限", "past its extreme limit"),
    "rule_rise": ("上升过快", "rising fast"),
    "rule_fall": ("下降过快", "falling fast"),
    "rule_baseline": ("偏离平时", "unlike its own past"),
    # states of an alarm
    "state_active": ("待确认", "active, unacknowledged"),
    "state_acknowledged": ("已确认", "active, acknowledged"),
    "state_returned": ("已恢复, 待确认", "returned, unacknowledged"),
    "first_fire": ("首警", "first fire"),
    # outputs of the box
    "output_buzzer": ("蜂鸣器", "buzzer"),
    "output_fire_lamp": ("火警灯", "fire lamp"),
    "output_fault_lamp": ("故障灯", "fault lamp"),
    "output_link_lamp": ("通信链路灯", "link lamp"),
    "output_modem_power": ("模组断电中", "modem power"),
    # GPIO errors: the fact, then the next step
    "gpio_no_library": (
        "没有 {library} 库 ({reason})。请安装: gpiod 用 pip install 'zg119-edge-agent[gpio]', "
        "RPi.GPIO 用 apt install python3-rpi-lgpio",
        "The {library} library is missing ({reason}). Install it: gpiod by pip install 'zg119-edge-agent[gpio]', "
        "RPi.GPIO by apt install python3-rpi-lgpio",
    ),
    "gpio_no_chip": (
        "没有标签为 {labels} 的 GPIO 芯片。用 gpiodetect 查看标签, 写入 [board] chip_label",
        "There is no GPIO chip labelled {labels}. See the labels with gpiodetect and set [board] chip_label",
    ),
    "gpio_no_backend": (
        "配置了线路 {line}, 但 [board] gpio 是 none。请改为 gpiod",
        "Line {line} is configured but [board] gpio is none. Set it to gpiod",
    ),
    "gpio_denied": (
        "无权使用 {device}。请把运行用户加入 gpio 组: usermod -aG gpio edge-agent",
        "No right to use {device}. Add the user to the group gpio: usermod -aG gpio edge-agent",
    ),
    "gpio_busy": (
        "线路 {line} 正被 {holder} 占用。用 gpioinfo 查看, 停掉它后重试",
        "Line {line} is in use by {holder}. Look with gpioinfo and stop it",
    ),
    "gpio_bad_line": (
        "线路 {line} 不存在, 该芯片只有 0 到 {count} 以下的线路",
        "Line {line} does not exist: this chip has lines below {count}",
    ),
    "gpio_not_open": ("GPIO 没有打开, 正在重试", "The GPIO lines are not open; they are being retried"),
    "gpio_not_requested": ("线路 {line} 没有申请", "Line {line} was not requested"),
    "gpio_direction": (
        "线路 {line} 不能既作输入又作输出",
        "Line {line} cannot be both an input and an output",
    ),
    "gpio_io": ("GPIO 读写失败: {reason}", "The GPIO chip refused: {reason}"),
}
