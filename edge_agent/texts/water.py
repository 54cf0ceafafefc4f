"""What the rules of hydrants and pump rooms found: names of their points."""

TEXTS: dict[str, tuple[str, str]] = {
    "leak": ("无火警时有水流, 疑似漏水", "flow without a fire: a leak?"),
    "over_pressure": ("出水压力过高", "pressure too high at the outlet"),
    "in_use": ("无火警时出水", "water drawn without a fire"),
    "cap_open": ("闷盖打开", "cap open"),
    "tilted": ("倾斜或撞倒", "tilted or knocked over"),
    "freezing": ("结冰危险", "freezing"),
    "level_low": ("水位低", "water level low"),
    "pump_fault": ("水泵故障", "pump fault"),
    "pump_manual": ("水泵不在自动位", "pump not in automatic"),
    "pump_power": ("水泵电源断开", "pump without power"),
    "pump_running": ("水泵运行", "pump running"),
    "pump_no_pressure": ("水泵运行而压力不足", "pump runs, pressure stays low"),
    "pump_idle": ("压力低而水泵未启动", "pressure low, pump does not start"),
    "dry_run": ("水泵无水运行", "pump runs dry"),
}
