"""Words of `edge-agent gb26875 map`: what a point is called in GB/T 26875.3, and what is doubtful about it."""

TEXTS: dict[str, tuple[str, str]] = {
    "col_point": ("测点", "point"),
    "col_name": ("名称", "name"),
    "col_system": ("系统类型-地址", "system type-address"),
    "col_component": ("部件类型", "component type"),
    "col_address": ("回路-位号", "loop-point"),
    "col_bytes": ("线上字节", "bytes"),
    "col_quantity": ("模拟量类型", "analogue type"),
    "col_note": ("说明", "note"),
    "whole": ("整台", "as a whole"),
    "not_sent": ("不上传", "not sent"),
    "by_default": ("默认", "default"),
    "warning": ("警告", "warning"),
    "error": ("错误", "error"),
    "collision": (
        "{point}: 地址与 {other} 相同, 中心会当作同一部件。请用 [[gb26875_point]] 改其中一个",
        "{point} has the address of {other}: to the centre they are one component. Change one with [[gb26875_point]]",
    ),
    "no_address": (
        "{point}: 名称里没有回路和位号, 以地址 0 上传。请用 [[gb26875_point]] 指定",
        "{point} has no loop and point in its name and goes as address 0. Give it one with [[gb26875_point]]",
    ),
    "defaults": (
        "{point}: 以下为默认值, 请与中心核对: {keys}",
        "{point} has defaults, compare them with the centre: {keys}",
    ),
    "no_quantity": (
        "{point}: 单位 {unit} 没有标准模拟量类型, 数值不上传",
        "{point}: the standard has no analogue type for {unit}, so its value is not carried",
    ),
    "out_of_range": (
        "{point}: 当前值 {value} 超出模拟量类型 {quantity} 的范围, 不会上传",
        "{point}: its present value {value} does not fit analogue type {quantity} and is not sent",
    ),
    "bad_rule": (
        "型号资料 {point} 的第 {index} 个 [[gb26875_point]] 未采用: {key} = {value}",
        "[[gb26875_point]] number {index} of profile {point} is left out: {key} = {value}",
    ),
    "summary": (
        "{points} 个测点, {errors} 个错误, {warnings} 个警告",
        "{points} points, {errors} errors, {warnings} warnings",
    ),
    "no_core": (
        "核心程序未运行: 只列出已配置的测点, 报警控制器的探测器要等它报过才知道",
        "The core does not run: only configured points are listed; detectors of a panel are known once they have spoken",
    ),
    "unknown_centre": (
        "没有 GB/T 26875.3 中心 {centre}",
        "There is no GB/T 26875.3 centre {centre}",
    ),
    "unknown_point": (
        "{point}: 现场没有来源能给出它, 这条 [[gb26875_point]] 不起作用。请检查编号",
        "{point}: no source of this site gives it, so its [[gb26875_point]] does nothing. Check the id",
    ),
    "no_centre": (
        "没有配置 GB/T 26875.3 中心, 按标准约定列出",
        "There is no GB/T 26875.3 centre: listed as the standard has it",
    ),
}
