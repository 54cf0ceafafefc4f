"""Words of the command line: help, usage errors, states. `help_<path>`, `opt_<path>_<option>` or `opt_<option>`."""

TEXTS: dict[str, tuple[str, str]] = {
    # --- help: headings and usage errors -----------------------------------------------------------------------------
    "usage": ("用法:", "Usage:"),
    "heading_options": ("选项", "Options"),
    "heading_commands": ("命令", "Commands"),
    "heading_arguments": ("参数", "Arguments"),
    "metavar_command": ("命令 [参数]...", "COMMAND [ARGS]..."),
    "metavar_options": ("[选项]", "[OPTIONS]"),
    "usage_error": ("错误: {message}", "Error: {message}"),
    "try_help": ("用法请看: {command} --help", "For help: {command} --help"),
    "no_such_option": ("没有选项 {name}。", "There is no option {name}."),
    "no_such_command": ("没有命令 {name}。", "There is no command {name}."),
    "nearest": ("是不是想用 {names}?", "Did you mean {names}?"),
    "or": (" 或 ", " or "),
    "missing_parameter": ("缺少 {name}。", "{name} is missing."),
    "missing_command": ("缺少命令。", "A command is missing."),
    "bad_parameter": ("{name}: {why}", "{name}: {why}"),
    "option_no_value": ("选项 {name} 不带值。", "Option {name} takes no value."),
    "option_needs_value": ("选项 {name} 后面要有一个值。", "Option {name} needs a value."),
    "extra_arguments": ("多余的参数: {args}。", "Too many arguments: {args}."),
    "bad_choice": ("{value} 不是可用的值，可用: {known}。", "{value} is not one of: {known}."),
    "bad_number": ("{value} 不是 {low} 到 {high} 之间的整数。", "{value} is not a whole number from {low} to {high}."),
    "bad_duration": (
        "{value} 不是时长。写法: 90s、15m、2h、7d (秒、分、时、天)。",
        "{value} is not a stretch of time. Write 90s, 15m, 2h or 7d (seconds, minutes, hours, days).",
    ),
    "bug": (
        "程序有错, 请把上面的文字连同命令发给维护人员。",
        "This is a bug. Please send the text above, and the command, to whoever maintains this program.",
    ),
    # --- help of the commands ----------------------------------------------------------------------------------------
    "help_root": (
        "智赣119 消防网关\n\n读取火灾报警控制器, 就地报警, 记录每一条事件, 送达县中心。\n\n"
        "退出码: 0 正常, 1 有警告, 2 失败, 64 用法错误, 78 配置错误。",
        "Fire-safety gateway of Zhigan 119\n\nReads fire panels, raises the alarm on site, keeps every event, delivers it to the"
        " county centre.\n\nExit codes: 0 ok, 1 warnings, 2 failures, 64 usage, 78 configuration.",
    ),
    "opt_help": ("显示本说明。", "Show this help."),
    "opt_version": ("显示版本。", "Show the version."),
    "opt_lang": ("语言: zh 中文, en 英文; 不写则按系统语言。", "Language: zh or en; otherwise that of the locale."),
    "opt_config": ("配置目录, 默认 /etc/edge-agent。", "Configuration directory; /etc/edge-agent unless given."),
    "opt_json": ("输出 JSON, 供程序读取。", "Print JSON, for programs."),
    "opt_status_refused": (
        "列出主机发来但没有解析的最近数据（原始字节）。",
        "List the last bytes of each panel that were not understood.",
    ),
    "opt_status_unlisted": (
        "列出在消息服务器上报告、但没有配置的探测器。",
        "List detectors that report to the broker and are in no configuration.",
    ),
    "unlisted_none": ("没有未配置的探测器。", "No detector that is not configured."),
    "unlisted_heard": ("{span}前, 共 {count} 次", "{span} ago, {count} times"),
    "unlisted_alarm": ("正在报警", "in alarm"),
    "refused_none": ("没有未解析的数据。", "Nothing was refused."),
    "opt_socket": ("核心进程的套接字; 不写则按配置。", "The core's socket; otherwise by the configuration."),
    "help_run": (
        "运行核心进程: 驱动、点位、报警、事件库\n\n由 systemd 启动。日志写到标准错误。SIGTERM 或 Ctrl-C 正常停止。",
        "Run the core: drivers, points, alarms, journal\n\nStarted by systemd. Logs to standard error. SIGTERM or Ctrl-C stops it"
        " cleanly.",
    ),
    "help_uplink": (
        "运行上传进程: 把事件库送到中心\n\n可随时重启, 不影响就地报警。",
        "Run the uplink: the journal to the centres\n\nMay be restarted at any time; the alarm on site does not depend on it.",
    ),
    "help_cameras": (
        "运行摄像机进程: 报警时拍照\n\n可随时重启, 不影响报警。没有 [[camera]] 则退出码 78。",
        "Run the cameras: pictures of alarms\n\nMay be restarted at any time; no alarm waits for it. Exits 78 without [[camera]].",
    ),
    "help_camera": ("摄像机: 试拍", "Cameras: try one"),
    "help_camera_test": (
        "按配置从一台摄像机取一张图\n\n不需要核心进程, 不存入事件库。不写编号则逐台试。"
        "退出码: 0 都给了图; 1 给了图, 但时钟差 60 秒以上; 2 有的没有给。",
        "Take one picture from a camera as configured\n\nNeeds no core, keeps nothing in the journal. Without an id every"
        " camera is tried. Exit codes: 0 all gave one; 1 a clock is off by more than 60 s; 2 one gave none.",
    ),
    "opt_camera_test_out": ("把图存到这个文件。", "Write the picture to this file."),
    "opt_camera_test_before": (
        "也取摄像机录下的、几秒前的画面。",
        "Also take what the camera kept from some seconds ago.",
    ),
    "help_status": (
        "网关总览\n\n退出码: 0 正常; 1 需要关注 (报警、故障点、监测连接线路离线、状态未知); 2 网关不能尽责"
        " (核心进程无应答、部件停滞、通信链路断开、事件库写不进、配置有错)。",
        "The whole gateway on one screen\n\nExit codes: 0 all well; 1 look at it (an alarm, a faulty point, a line to a panel down,"
        " a state unknown); 2 the gateway cannot do its duty (core not answering, a worker stuck, a link to a centre down,"
        " the journal not writable, the configuration wrong).",
    ),
    "help_points": (
        "点位和当前值\n\n写上一段文字则只列出编号或名称含有它的点位。",
        "Every point and its value\n\nGive a piece of text to list only points whose id or name contains it.",
    ),
    "help_alarms": (
        "未结束的报警, 首警在最上面\n\n送达: 发送中 = 中心还没有确认; 已送达 = 中心已存下。",
        "Alarms that are not over, the first fire on top\n\nCentre: sending = not confirmed yet; delivered = the centre"
        " has stored it.",
    ),
    "help_events": (
        "事件记录, 最新的在前\n\n直接读事件库, 核心进程不在运行也能看。"
        "时间为北京时间; 时间后的 ~ 表示当时时钟未校准, ? 表示时钟未设置。\n\n"
        "    edge-agent events --since 2h --stream alarm\n    edge-agent events --follow",
        "Events on record, newest first\n\nReads the journal itself, so the core need not be running. Times are China time; ~ after"
        " a time: the clock was not synchronised then; ?: it had not been set.\n\n"
        "    edge-agent events --since 2h --stream alarm\n    edge-agent events --follow",
    ),
    "opt_follow": ("一直显示新事件, Ctrl-C 结束。", "Keep showing new events; Ctrl-C ends it."),
    "opt_events_limit": ("最多显示多少条, 默认 20。", "Show at most this many; 20 unless given."),
    "opt_limit": ("最多多少条。", "At most this many."),
    "opt_stream": ("只看一类: alarm 报警, fault 故障, status 状态。", "Only one stream: alarm, fault or status."),
    "opt_since": ("只看最近一段时间: 90s、15m、2h、7d。", "Only the last 90s, 15m, 2h, 7d."),
    "opt_dir": ("事件库目录; 不写则按配置。", "Journal directory; otherwise by the configuration."),
    "help_ack": (
        "确认报警\n\n不写报警编号则确认全部未确认的报警。确认记录操作人并停止该报警的声音, 指示灯保持; 不动控制器。",
        "Acknowledge alarms\n\nWithout an alarm id, every unacknowledged one. It records who did and ends their sound; "
        "lamps stay. It touches no panel.",
    ),
    "help_silence": (
        "消音\n\n只停声音, 灯光保持, 新的报警会再次响起。不动控制器。",
        "Stop the sound\n\nLamps stay on and a new alarm sounds again. It touches no panel.",
    ),
    "help_duty": (
        "查岗: 查看和应答\n\n监控中心查岗时, 用确认键或 duty answer 应答。",
        "Duty checks: see and answer them\n\nA centre asks whether anyone is there; the ack button answers, or duty answer.",
    ),
    "help_linkage": (
        "联动输出: 查看, 释放, 交还\n\n燃气阀、风机、声光警报器的继电器; 只有配置里按名称启用的才会动作。",
        "Linkage outputs: see, release, give back\n\nRelays of a gas valve, a fan, a sounder; only those the configuration turns "
        "on by name ever act.",
    ),
    "help_linkage_list": (
        "列出联动输出\n\n退出码: 0 都在待命; 1 有的已动作或被人工释放。",
        "List the linkage outputs\n\nExit codes: 0 all are ready; 1 one acts, or a person holds one.",
    ),
    "help_linkage_release": (
        "释放一个输出, 并保持\n\n之后任何报警都不会让它动作, 直到 linkage auto; 记入审计。",
        "Release an output and keep it so\n\nNo alarm makes it act until linkage auto. It is written down.",
    ),
    "help_linkage_auto": (
        "交还规则\n\n此前的报警不再让它动作; 记入审计。",
        "Give an output back to the rules\n\nAlarms from before do not make it act. It is written down.",
    ),
    "help_node": (
        "自有节点升级: 查看, 提供, 收回\n\n只在 [[mqtt]] 里写了 node_updates = true 时可用。",
        "Updates of our own nodes: see, offer, take back\n\nOnly where an [[mqtt]] has node_updates = true.",
    ),
    "help_node_list": (
        "列出节点和上次提供的升级\n\n退出码: 0 正常; 1 有节点拒绝了升级。",
        "List the nodes and what was offered last\n\nExit codes: 0 all well; 1 a node has refused an update.",
    ),
    "help_node_offer": (
        "提供升级文件\n\n节点自己来取, 核对签名、型号、版本后试运行, 连不上网关就退回; 报警优先。记入审计。\n\n"
        "    edge-agent node offer smoke-2.zgu attic\n    edge-agent node offer smoke-2.zgu --all",
        "Offer an update\n\nThe node fetches it when it is calm, checks signature, model and version, and goes back to what was "
        "there if it does not reach its gateway. It is written down.\n\n"
        "    edge-agent node offer smoke-2.zgu attic\n    edge-agent node offer smoke-2.zgu --all",
    ),
    "opt_node_offer_all": ("所有节点。", "Every node."),
    "help_node_withdraw": (
        "收回升级\n\n已装上的不会变。记入审计。",
        "Take an offer back\n\nWhat is installed already stays. It is written down.",
    ),
    "help_duty_list": (
        "待应答的查岗\n\n退出码: 0 没有; 1 有。",
        "Duty checks that wait\n\nExit codes: 0 none; 1 some.",
    ),
    "help_duty_answer": (
        "应答查岗\n\n应答全部待应答的查岗, 超过时限的记为迟答。退出码: 0 已应答; 1 没有查岗。",
        "Answer the duty checks\n\nAll that wait; past its time an answer counts as late. Exit codes: 0 answered; 1 nobody asks.",
    ),
    "opt_operator": ("操作员编号, 0 到 255。", "Number of the operator, 0 to 255."),
    "duty_none": ("没有待应答的查岗。", "No duty check waits for an answer."),
    "duty_answered": ("已应答 {count} 个查岗。", "{count} duty checks answered."),
    "duty_missed": ("已超时, 待应答", "missed, still to be answered"),
    "duty_left": ("待应答, 剩余 {span}", "to be answered, {span} left"),
    "status_patrol": ("巡更 {name}", "patrol {name}"),
    "status_linkage": ("联动 {output}", "linkage {output}"),
    "status_duty": ("查岗 {dest}", "duty check by {dest}"),
    "audit_done": ("{dest}, 已执行", "{dest}, done"),
    "audit_refused": ("{dest}, 拒绝: {why}", "{dest}, refused: {why}"),
    "audit_failed": ("{dest}, 未完成: {why}", "{dest}, failed: {why}"),
    "duty_result_asked": ("{dest}, 限 {minutes} 分钟", "{dest}, within {minutes} minutes"),
    "duty_result_answered": ("{dest}, 已应答", "{dest}, answered"),
    "duty_result_late": ("{dest}, 迟答", "{dest}, answered late"),
    "duty_result_missed": ("{dest}, 未应答", "{dest}, missed"),
    "help_patrol": ("巡更: 路线、标签", "Patrol: rounds and tags"),
    "help_patrol_status": (
        "各条路线的最近一次巡查、各点的标签、不认识的标签\n\n退出码: 0 正常; 1 有漏巡, 或有点没有标签。",
        "The newest round of each patrol, the tag of each point, tags nobody knows\n\nExit codes: 0 all well; 1 a round was"
        " missed, or a point has no tag.",
    ),
    "help_patrol_learn": (
        "把下一张读到的标签定为某巡更点的标签\n\n记入事件。配置里写了 tag 的点不能学习。"
        "退出码: 0 已学到; 1 没有读到, 或标签已属于别的点。",
        "The next tag that is read hangs at this patrol point\n\nIt is journalled. A point whose tag is in the configuration"
        " cannot learn one. Exit codes: 0 learned; 1 no tag was read, or it hangs elsewhere.",
    ),
    "help_patrol_forget": (
        "忘掉学来的标签\n\n退出码: 0 已忘掉; 1 没有学来的。",
        "Forget the learned tag of a point\n\nExit codes: 0 forgotten; 1 it had none.",
    ),
    "opt_patrol_learn_seconds": ("等多久, 1 到 600 秒, 默认 60。", "How long to wait, 1 to 600 s; 60 unless given."),
    "patrol_none": ("没有配置巡更路线。", "No patrol is configured."),
    "patrol_state_waiting": ("未到时间", "not due yet"),
    "patrol_state_due": ("应巡", "due"),
    "patrol_state_done": ("已巡", "done"),
    "patrol_state_missed": ("漏巡", "missed"),
    "patrol_state_late": ("迟巡", "done late"),
    "patrol_result_due": ("应巡", "due"),
    "patrol_result_done": ("已巡", "done"),
    "patrol_result_missed": ("漏巡", "missed"),
    "patrol_result_late": ("迟巡", "done late"),
    "patrol_result_skipped": ("未计 (断电或校时跨过)", "not counted: power or clock jumped over it"),
    "patrol_result_read": ("到点", "seen"),
    "patrol_result_learned": ("学到标签", "tag learned"),
    "patrol_result_forgotten": ("忘掉标签", "tag forgotten"),
    "patrol_result_unknown_tag": ("不认识的标签", "unknown tag"),
    "patrol_missing": ("{result}, 缺 {points}", "{result}, without {points}"),
    "patrol_no_tag": ("没有标签", "no tag"),
    "patrol_learned_tag": ("{tag} (学得)", "{tag} (learned)"),
    "patrol_unknown": ("不认识的标签, 共读到 {count} 次:", "Tags nobody knows, read {count} times in all:"),
    "patrol_hold": (
        "请在 {seconds} 秒内把 {point} 的标签放到读卡器上。",
        "Hold the tag of {point} to a reader within {seconds} s.",
    ),
    "patrol_learned": ("{point} 的标签是 {tag}。", "The tag of {point} is {tag}."),
    "patrol_in_use": ("标签 {tag} 已属于 {other}, 没有改动。", "The tag {tag} hangs at {other}; nothing was changed."),
    "patrol_timeout": ("没有读到标签。", "No tag was read."),
    "patrol_replaced": (
        "有人开始学习另一个点, 本次作废。",
        "Someone began to learn another point; this one was given up.",
    ),
    "patrol_forgotten": ("已忘掉 {point} 的标签。", "The tag of {point} is forgotten."),
    "patrol_nothing_learned": ("{point} 没有学来的标签。", "{point} has no learned tag."),
    "api_no_such_patrol_point": ("没有这个巡更点。", "There is no such patrol point."),
    "api_tag_in_config": (
        "这个点的标签写在配置里 (patrol_point.tag), 请在那里改。",
        "The tag of this point is in the configuration (patrol_point.tag): change it there.",
    ),
    "api_no_tag_reader": ("没有配置读卡器 [[tag_reader]]。", "No [[tag_reader]] is configured."),
    "clock_change": (
        "{before} -> {after}, 来源 {source}, 校正 {step_ms} ms",
        "{before} -> {after} by {source}, stepped {step_ms} ms",
    ),
    "help_decode": (
        "把协议字节译成含义\n\n数据可写成: 十六进制 (可带空格、冒号、逗号、0x、换行), "
        "或文件名 (字节或十六进制文本, 自动识别), 或 - 从标准输入读; 不写也从标准输入读。\n\n"
        '    edge-agent decode gst-crt500 "0D DD 00 10 04 03 01 18 BB"\n\n'
        "退出码: 0 全部译出; 1 有被拒收的帧; 2 一帧也没译出。",
        "Bytes in, meaning out\n\nThe data: hex (blanks, colons, commas, 0x, line ends between), or a file (bytes or hex text,"
        " found out by itself), or - for standard input, as with nothing.\n\n"
        '    edge-agent decode gst-crt500 "0D DD 00 10 04 03 01 18 BB"\n\n'
        "Exit codes: 0 every frame decoded; 1 some refused; 2 none decoded.",
    ),
    "opt_raw": ("按原始字节读, 不当作十六进制文本。", "Take the input as bytes, even if it looks like hex."),
    "help_config": ("检查和查看配置", "Check and show the configuration"),
    "help_config_check": (
        "检查配置, 一次报出全部问题\n\n退出码: 0 没有问题, 1 只有警告, 78 有错误。",
        "Check the configuration and report every fault at once\n\nExit codes: 0 no findings, 1 warnings only, 78 errors.",
    ),
    "help_config_show": ("显示生效的配置", "Show the configuration in force"),
    "help_config_sample": (
        "打印一份带注释的样例配置\n\n    edge-agent config sample > /etc/edge-agent/config.toml",
        "Print a commented sample configuration\n\n    edge-agent config sample > /etc/edge-agent/config.toml",
    ),
    "opt_for_start": (
        "只查启动所需, 不看本机的串口和证书; 只有警告时退出码为 0。",
        "Check only what starting needs, not this machine's ports and certificates; warnings alone exit 0.",
    ),
    "help_journal": ("事件库: 校验、统计、列出、导出", "The journal: verify, count, list, export"),
    "help_journal_verify": (
        "逐条校验事件库\n\n核心进程运行时也可以用, 只读不写。退出码: 0 完好, 2 有损坏或缺号。",
        "Check every record of the journal\n\nSafe while the agent runs: it only reads. Exit codes: 0 sound, 2 damage or gaps.",
    ),
    "help_journal_stats": ("事件库里有多少、占多少", "How much the journal holds and takes"),
    "help_journal_list": (
        "按存入顺序列出记录\n\n    edge-agent journal list --stream alarm --after 100",
        "List records in the order they were kept\n\n    edge-agent journal list --stream alarm --after 100",
    ),
    "opt_journal_list_stream": ("哪一个流, 默认 alarm。", "Which stream; alarm unless given."),
    "opt_journal_list_limit": ("最多多少条, 默认 100。", "At most this many; 100 unless given."),
    "opt_after": ("从这个编号之后开始。", "Begin after this number."),
    "opt_epoch": ("哪一代事件库; 不写则为全部。", "Which epoch of the journal; otherwise all."),
    "help_journal_export": (
        "导出记录\n\n默认每行一条 JSON。--csv 供 Excel 打开 (UTF-8 带 BOM, 长编号保持文本)。--sqlite 写成独立的数据库文件。\n\n"
        "    edge-agent journal export --csv events.csv\n    edge-agent journal export --since 7d > events.jsonl",
        "Export records\n\nJSON lines unless told otherwise. --csv is for Excel (UTF-8 with BOM, long ids stay text). --sqlite"
        " writes a database file of its own.\n\n"
        "    edge-agent journal export --csv events.csv\n    edge-agent journal export --since 7d > events.jsonl",
    ),
    "opt_csv": ("写成 CSV 文件, - 为标准输出。", "Write CSV to this file, - for standard output."),
    "opt_sqlite": ("写成 SQLite 文件 (需要 tools 附加包)。", 'Write an SQLite file (needs the extra "tools").'),
    "opt_journal_export_stream": (
        "只导出这些流, 可写多次; 默认 alarm、fault、status。",
        "Only these streams, may be repeated; alarm, fault and status unless given.",
    ),
    "help_gb26875": ("GB/T 26875.3: 测点对照表", "GB/T 26875.3: the map of points"),
    "help_gb26875_map": (
        "列出并检查测点在 GB/T 26875.3 里的系统、部件、地址和模拟量类型\n\n退出码: 0 无疑问, 1 有警告, 2 两个测点地址相同。",
        "Show and check what points are called in GB/T 26875.3\n\nExit codes: 0 no doubts, 1 warnings, 2 two points with one "
        "address.",
    ),
    "opt_gb26875_map_centre": (
        "按哪个中心的约定列出; 默认第一个 GB/T 26875.3 中心。",
        "Which centre's dialect to use; the first GB/T 26875.3 one by default.",
    ),
    "help_profile": (
        "型号资料: 列出、查看、检查、试用、新建、比较、安装、打包",
        "Device profiles: list, show, check, try, new, diff, install, bundle",
    ),
    "help_profile_new": (
        "照现有型号新建一份型号资料\n\n在当前目录生成 NAME.toml, 内容照 --like 的型号, 证据记为 unproven; "
        "照样板生成的仍是样板, 填好再改。",
        "Begin a profile from one that exists\n\nWrites NAME.toml into the current directory, like the profile of --like, "
        "with nothing proven. One made from a template stays a template until you have filled it in.",
    ),
    "opt_profile_new_like": ("照哪个型号 (名称或文件)。", "The profile, by name or file, that it begins as."),
    "help_profile_diff": (
        "比较两份型号资料\n\n只给一个名称时, 比较自带的和现场自定义的。退出码: 0 相同, 1 不同。",
        "What two profiles say differently\n\nOne name alone: the shipped one and the site's own. Exit codes: 0 the same, 1 not.",
    ),
    "help_profile_install": (
        "检查并安装一份型号资料\n\n不合格的不安装; 正在使用的型号要加 --force。退出码: 0 已安装, 2 未安装。",
        "Check a profile and install it\n\nAn unsound one is refused; one in use needs --force. Exit codes: 0 installed, 2 not.",
    ),
    "opt_profile_install_force": ("正在使用的型号也替换。", "Replace a profile that is in use, too."),
    "help_profile_bundle": (
        "把型号资料和抓包打成一个包, 供寄回\n\n抓包里的人名地名电话先抹掉, 附识读报告。寄出前请自己看一遍。",
        "Pack a profile and captures to contribute\n\nNames of people and places and phone numbers are blotted out first; a "
        "report of what was read goes with it. Look through it before you send it.",
    ),
    "opt_profile_bundle_out": ("写到哪个文件; 默认 型号.zip。", "The file to write; PROFILE.zip by default."),
    "help_profile_list": ("列出全部型号资料", "List every profile"),
    "help_profile_show": ("查看一份型号资料", "Show one profile"),
    "help_profile_check": (
        "检查型号资料文件\n\n连同文件里的正例反例一起检查。退出码: 0 合格, 2 不合格。",
        "Check profile files\n\nWith the examples in them, good and bad. Exit codes: 0 sound, 2 not.",
    ),
    "help_profile_try": (
        "用一份型号资料试读录下的字节\n\n不需要安装。录制文件可以是字节或十六进制文本。",
        "Read captured bytes with a profile\n\nNothing is installed. The capture may be bytes or hex text.",
    ),
    "help_demo": (
        "在本机演示一个完整的单位, 不需要硬件和网络\n\n起火、断网、断电、恢复, 最后报出产生、报响、留存、送达了多少。",
        "Play a whole site on this machine, no hardware or network\n\nFire, cut link, killed processes, recovery; it ends with what"
        " was raised, heard, kept and delivered.",
    ),
    "opt_seconds": ("最多演示多少秒。", "Play for at most this long."),
    # --- the core does not answer ------------------------------------------------------------------------------------
    "core_not_running": (
        "核心进程没有运行 ({socket})。启动: systemctl start edge-agent; 看原因: journalctl -u edge-agent -n 50",
        "The core is not running ({socket}). Start it: systemctl start edge-agent; see why: journalctl -u edge-agent -n 50",
    ),
    "core_no_permission": (
        "没有权限访问 {socket}。用 sudo, 或请管理员执行: usermod -aG edge-agent 用户名, 然后重新登录。",
        "No permission for {socket}. Use sudo, or ask for: usermod -aG edge-agent USER, then log in again.",
    ),
    "core_hung_up": (
        "核心进程挂断了连接 ({socket})。要么正在停止, 要么不认这个用户 (应属于 edge-agent 组), 要么连接过多。",
        "The core hung up ({socket}). It is stopping, or does not admit this user (the group is edge-agent), or has too many"
        " clients.",
    ),
    "core_silent": (
        "核心进程 {seconds} 秒没有应答 ({socket}), 可能已卡死。"
        "看日志: journalctl -u edge-agent -n 50; 重启: systemctl restart edge-agent",
        "The core has not answered for {seconds} s ({socket}); it may hang. See journalctl -u edge-agent -n 50; restart it:"
        " systemctl restart edge-agent",
    ),
    "core_broken": ("连不上 {socket}: {detail}", "Cannot connect to {socket}: {detail}"),
    "api_refused": ("核心进程拒绝了请求: {code} ({params})", "The core refused the request: {code} ({params})"),
    "api_no_such_alarm": (
        "没有这个报警。看编号: edge-agent alarms",
        "There is no such alarm. See the ids: edge-agent alarms",
    ),
    "api_no_such_output": (
        "没有这个联动输出。查看: edge-agent linkage list",
        "There is no such linkage output. See them with: edge-agent linkage list",
    ),
    "api_no_such_node": (
        "没有这个节点。查看: edge-agent node list",
        "There is no such node. See them with: edge-agent node list",
    ),
    "api_node_updates_off": (
        "未启用: 请在 [[mqtt]] 里写 node_updates = true。",
        "Not enabled: set node_updates = true in an [[mqtt]].",
    ),
    "api_unknown_request": (
        "运行中的核心进程不认识这个请求, 版本可能更旧。重启: systemctl restart edge-agent",
        "The running core does not know this request; it may be an older version. Restart it: systemctl restart edge-agent",
    ),
    # --- status ------------------------------------------------------------------------------------------------------
    "mark_ok": ("[正常]", "[OK]"),
    "mark_warn": ("[警告]", "[WARN]"),
    "mark_fault": ("[故障]", "[FAULT]"),
    "mark_fire": ("[火警]", "[FIRE]"),
    "mark_unknown": ("[未知]", "[UNKNOWN]"),
    "status_title": (
        "网关  {gateway}  {name}  {now} (时钟: {clock})",
        "Gateway  {gateway}  {name}  {now} (clock: {clock})",
    ),
    "clock_synced": ("已校准", "synced"),
    "clock_holdover": ("未校准", "not synced"),
    "clock_unset": ("未设置", "not set"),
    "status_agent": ("核心进程", "core"),
    "status_uptime": ("版本 {version}, 已运行 {span}", "version {version}, up {span}"),
    "status_stuck": ("部件停滞: {workers}", "workers stuck: {workers}"),
    "status_first": ("首警", "first fire"),
    "status_alarms": ("报警", "alarms"),
    "status_alarms_are": (
        "{active} 个未结束, {unacknowledged} 个未确认",
        "{active} active, {unacknowledged} not acknowledged",
    ),
    "status_silenced": (", 已消音", ", silenced"),
    "status_points": ("点位", "points"),
    "status_points_are": (
        "共 {total}, 动作 {active}, 故障 {faulty}",
        "{total} in all, {active} active, {faulty} faulty",
    ),
    "source_panel": ("监测连接线路", "line to panel"),
    "source_bus": ("总线", "bus"),
    "source_mqtt": ("消息服务器", "broker"),
    "source_device": ("设备", "device"),
    "source_receiver": ("接收", "receiver"),
    "source_contacts": ("触点输入", "contact inputs"),
    "source_buttons": ("按键", "buttons"),
    "source_cameras": ("摄像机进程", "camera process"),
    "source_camera": ("摄像机", "camera"),
    "source_tag_reader": ("巡更读卡器", "tag reader"),
    "source_uplink": ("上传进程", "uplink process"),
    "status_uplink": ("通信链路 {id}", "link to centre {id}"),
    "status_link": ("出口 {id}", "way out {id}"),
    "status_link_used": (", 供 {dests} 使用", ", used by {dests}"),
    "status_link_bytes": (", 本月 {mb} MB", ", {mb} MB this month"),
    "status_link_budget": (", 本月 {mb} / {limit} MB", ", {mb} of {limit} MB this month"),
    "status_since": (", 已 {span}", ", for {span}"),
    "status_pending": (", 待送 {count} 条", ", {count} waiting"),
    "status_journal": ("事件库", "journal"),
    "status_config": ("配置", "configuration"),
    "status_config_is": (
        "配置有错, 使用 {when} 接受的上次有效配置运行。{where}: {why}。查看全部问题: edge-agent config check",
        "wrong; running on the last good one, accepted {when}. {where}: {why}. All of it: edge-agent config check",
    ),
    "status_config_sent": ("中心 {dest} 下发的第 {serial} 号", "number {serial} of centre {dest}"),
    "status_config_trial": (
        "{sent}, 试用中: 中心两分钟内未确认即退回",
        "{sent}, on trial: without the centre's word within two minutes it goes back",
    ),
    "status_board": ("蜂鸣器和指示灯", "buzzer and lamps"),
    "status_outputs": ("正在输出", "outputs on"),
    "status_memory": (
        "写不进存储卡, {count} 条报警只在内存中, 不要断电",
        "the medium cannot be written; {count} alarms are in memory only: do not cut the power",
    ),
    "status_closing_0": ("结论: 正常", "All well."),
    "status_closing_1": ("结论: 需要关注", "Look at what is not marked [OK]."),
    "status_closing_2": (
        "结论: 网关不能尽责, 先处理标为 [故障] 的项",
        "The gateway cannot do its duty: begin with [FAULT].",
    ),
    "up_yes": ("正常", "up"),
    "up_no": ("离线", "offline"),
    "up_unknown": ("未知", "unknown"),
    "reason_starting": ("正在启动", "starting"),
    "reason_answering": ("有应答", "answering"),
    "reason_opened": ("已打开", "opened"),
    "reason_no_port": ("接口不存在或连不上", "port absent or unreachable"),
    "reason_hang_up": ("接口断开", "port hung up"),
    "reason_silent": ("超时没有声音", "nothing heard for too long"),
    "reason_unheard": ("超时没有消息: 电池、信号或设备", "no message in time: battery, radio or the device itself"),
    "reason_no_answer": ("设备不应答", "no answer"),
    "reason_no_broker": (
        "消息服务器连不上: 查看 systemctl status mosquitto、密码和权限",
        "the broker cannot be reached: see systemctl status mosquitto, password and ACL",
    ),
    "reason_bridge_offline": (
        "无线网桥离线, 它下面的探测器都收不到",
        "a bridge is offline: none of the detectors behind it can be heard",
    ),
    "reason_offline": ("设备离线", "device offline"),
    "reason_invalid": ("值不可理解", "a value nobody understands"),
    "reason_unlisted_device": ("未配置的探测器报警", "alarm of a detector that is not configured"),
    "reason_unread_alarm": ("型号资料未包含的报警", "an alarm its profile does not read"),
    "reason_unreadable": ("报文不可解析", "a message nobody can read"),
    "reason_garbage": ("收到的不成帧", "bytes that make no frame"),
    "reason_card_wedged": ("接口卡停滞", "interface card wedged"),
    "reason_gpio": ("输入输出板打不开", "board cannot be opened"),
    "reason_timeout": ("应答超时", "timeout"),
    "reason_crc": ("校验错误", "checksum wrong"),
    "reason_stale": ("数据过期", "value too old"),
    "reason_exception": ("设备报错", "device answers with an exception"),
    "reason_short": ("短路", "short circuit"),
    "reason_open": ("断线", "open circuit"),
    "reason_absent": ("没有此点", "no such point"),
    "reason_overrange": ("超出量程", "out of range"),
    "reason_profile": (
        "型号资料不能用, 用 edge-agent config check 查看",
        "profile cannot be used: see edge-agent config check",
    ),
    "reason_unusable": ("点位配置不能用", "point cannot be used as configured"),
    "reason_peer": ("未列入名单的地址发来", "an address that is not allowed speaks"),
    "reason_refused": ("收到不能采信的报文", "messages that cannot be believed"),
    "reason_unlisted": ("未配置的设备发来", "a device that is not configured speaks"),
    "reason_frozen": ("数值长时间不变", "value does not move"),
    "reason_missing": ("长时间没有上报", "has not reported"),
    "reason_last_good": (
        "配置有错, 使用上次有效的配置运行",
        "configuration wrong, running on the last good one",
    ),
    "reason_no_longer_watched": ("配置里少了原有的来源", "sources are no longer in the configuration"),
    "reason_tap_silent": ("另一处已报, 这一处没有", "another tap of the panel spoke, this one did not"),
    "reason_stuck": ("按键一直按下", "button stays pushed"),
    "reason_unconfirmed": ("中心未确认收到", "the centre does not confirm"),
    "reason_unparsed": ("说了无人能懂的话", "said what nobody understands"),
    "reason_clock_off": ("时钟差 60 秒以上", "its clock is off by more than 60 s"),
    "reason_bug": ("程序错误, 见日志", "a bug, see the log"),
    "reason_no_process": ("没有运行", "not running"),
    "span_d": ("{n} 天 ", "{n} d "),
    "span_h": ("{n} 小时 ", "{n} h "),
    "span_m": ("{n} 分 ", "{n} min "),
    "span_s": ("{n} 秒", "{n} s"),
    # --- points, alarms ----------------------------------------------------------------------------------------------
    "col_round": ("路线", "round"),
    "col_missing": ("未到的点", "not seen"),
    "col_next": ("下次", "next"),
    "col_point": ("巡更点", "point"),
    "col_tag": ("标签", "tag"),
    "col_seen": ("最近读到", "seen"),
    "col_times": ("次数", "times"),
    "col_reader": ("读卡器", "reader"),
    "col_id": ("编号", "id"),
    "col_name": ("名称", "name"),
    "col_value": ("值", "value"),
    "col_unit": ("单位", "unit"),
    "col_state": ("状态", "state"),
    "col_age": ("多久以前", "age"),
    "col_epoch": ("代", "epoch"),
    "col_n": ("序号", "n"),
    "col_first": ("首警", "first"),
    "col_kind": ("种类", "kind"),
    "col_where": ("位置", "where"),
    "col_grade": ("级", "gr"),
    "col_centre": ("送达", "centre"),
    "col_since": ("时间", "since"),
    "col_alarm": ("报警编号", "alarm id"),
    "col_at": ("时间", "time"),
    "col_what": ("变化", "change"),
    "no_points": ("没有点位。", "No points."),
    "no_alarms": ("没有报警。", "No alarms."),
    "no_events": ("没有事件。", "No events."),
    "value_on": ("动作", "on"),
    "value_off": ("未动作", "off"),
    "sending": ("发送中", "sending"),
    "delivered": ("已送达", "delivered"),
    "clock_note": (
        "~ 当时时钟未校准; ? 当时时钟未设置",
        "~ the clock was not synchronised then; ? it had not been set",
    ),
    "acknowledged": ("已确认 {count} 个报警。", "{count} acknowledged."),
    "nothing_acknowledged": ("没有要确认的报警。", "Nothing to acknowledge."),
    "silenced": ("已消音。", "Silenced."),
    "nothing_silenced": ("没有在响的报警。", "Nothing sounds."),
    "change_on": ("发生", "on"),
    "change_off": ("恢复", "off"),
    "follow_lost": ("核心进程断开, 等它回来……", "The core went away; waiting for it to come back..."),
    "gap": ("缺失记录", "records missing"),
    "other_record": ("其他记录", "other record"),
    "graded": ("{grade} 级", "grade {grade}"),
    # --- profile -----------------------------------------------------------------------------------------------------
    "profile_steps": (
        "由 edge-agent profile new 生成。步骤:\n1. 改 brand、product、source, 按新机型改 [link] 和含义表\n"
        "2. 用真实抓包换掉样例 ([[example]]) 和反例 ([[counter_example]])\n"
        "3. 检查: edge-agent profile check {file}\n4. 有抓包后把 evidence 改为 captured; 安装: edge-agent profile install {file}",
        "Made by edge-agent profile new. The steps:\n1. Change brand, product and source; fit [link] and the tables of meaning\n"
        "2. Put real captures in the place of the [[example]]s and [[counter_example]]s\n"
        "3. Check it: edge-agent profile check {file}\n"
        '4. With captures, write evidence = "captured"; install it: edge-agent profile install {file}',
    ),
    "profile_steps_template": (
        "由 edge-agent profile new 照样板生成: 下面的寄存器号、格式都是虚构的, 填好之前不能用。步骤:\n"
        "1. 照厂家资料或点表逐项改 [link]、寄存器号和含义表, 没有的删掉; 改 brand、product, 在 source 写明资料名称和页码\n"
        "2. 用装置的真实报文换掉样例 ([[example]]) 和反例 ([[counter_example]])\n"
        '3. 全部填好后把 evidence 改为 "unproven", 再检查: edge-agent profile check {file}\n'
        "4. 安装: edge-agent profile install {file}; 逐点做真实试验后才能投用",
        "Made by edge-agent profile new from a template: the registers and layout below are made up, and nothing uses them until "
        "you have filled them in. The steps:\n"
        "1. Change [link], every register and the tables of meaning after the maker's document, and take out what the device "
        "does not have; change brand and product, and name the document and its pages in source\n"
        "2. Put real frames of the device in the place of the [[example]]s and [[counter_example]]s\n"
        '3. When all is filled in, write evidence = "unproven" and check it: edge-agent profile check {file}\n'
        "4. Install it: edge-agent profile install {file}; try every point before relying on it",
    ),
    "profile_made": (
        "已生成 {file} (照 {like}); 文件开头写着要做的事",
        "Wrote {file}, like {like}; its first lines say what to do",
    ),
    "profile_same": ("两份型号资料没有区别", "The two profiles say the same"),
    "profile_installed": ("已安装: {file}", "Installed: {file}"),
    "profile_not_installed": ("{file} 不合格, 未安装", "{file} is not sound and was not installed"),
    "profile_restart": (
        "正在使用它的 {users} 要等服务重启后才换: sudo systemctl restart edge-agent",
        "{users} use it after the service restarts: sudo systemctl restart edge-agent",
    ),
    "profile_bundled": ("已打包: {file}", "Packed: {file}"),
    "profile_bundled_capture": (
        "    {file}: {bytes} 字节, 抹掉 {replaced} 处, 去掉 {dropped} 帧; 识读: {read}",
        "    {file}: {bytes} bytes, {replaced} blotted out, {dropped} frames left out; read: {read}",
    ),
    "profile_bundle_look": (
        "profile.toml 未改动。寄出前请打开看一遍, 确认没有人名、地名、电话",
        "profile.toml is as you wrote it. Look through the archive for names, places and numbers before you send it",
    ),
    "profile_sound": ("[合格] {file}", "[OK] {file}"),
    "profile_doubtful": ("[警告] {file}", "[WARN] {file}"),
    "profile_unsound": ("[不合格] {file}", "[FAULT] {file}"),
    "profile_error": ("错误", "error"),
    "profile_warning": ("警告", "warning"),
    "profile_info": ("说明", "note"),
    "origin_shipped": ("自带", "shipped"),
    "origin_site": ("自定义", "user-defined"),
    "origin_overrides": ("自定义, 取代自带", "user-defined, in place of the shipped one"),
    "evidence_captured": ("现场或实测字节", "captured bytes"),
    "evidence_document": ("厂家文件", "maker's document"),
    "evidence_design": ("本软件的约定", "this software's choice"),
    "evidence_template": ("样板 (数值虚构, 不能用于现场)", "template (made up, not for use)"),
    "evidence_unproven": ("未证实", "unproven"),
    "profilekind_panel": ("控制器", "panel"),
    "profilekind_ks68": ("京硅断路器", "KS breaker"),
    "profilekind_dlt645": ("DL/T 645 电能表", "DL/T 645 meter"),
    "profilekind_mqtt": ("MQTT 探测器", "MQTT detector"),
    "profilekind_modbus": ("Modbus 设备", "Modbus device"),
    "profile_file": ("文件: {path}", "File: {path}"),
    "col_profile": ("资料", "profile"),
    "col_device": ("设备", "device"),
    "col_source": ("线路", "wire"),
    "col_heard": ("最近消息", "last heard"),
    "col_evidence": ("依据", "evidence"),
    "col_origin": ("来源", "origin"),
}
