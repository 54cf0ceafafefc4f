"""Help of the commands, by path (`config_check`), and of their options: `opt_<path>_<option>`, or `opt_<option>` for all."""

TEXTS: dict[str, tuple[str, str]] = {
    "root": (
        "智赣119 消防网关\n\n读取火灾报警控制器, 就地报警, 记录每一条事件, 送达县中心。\n\n"
        "退出码: 0 正常, 1 有警告, 2 失败, 64 用法错误, 78 配置错误。",
        "Fire-safety gateway of Zhigan 119\n\nReads fire panels, raises the alarm on site, keeps every event, delivers it to the"
        " county centre.\n\nExit codes: 0 ok, 1 warnings, 2 failures, 64 usage, 78 configuration.",
    ),
    # --- arguments, as the usage line has them ---------------------------------------------------------------------
    "arg_alarm_id": ("[报警编号]", "[ALARM_ID]"),
    "arg_after": ("[型号]", "[PROFILE]"),
    "arg_before": ("型号", "PROFILE"),
    "arg_camera_test_name": ("[摄像机编号]", "[NAME]"),
    "arg_capture": ("录制文件|十六进制|-", "CAPTURE|HEX|-"),
    "arg_captures": ("录制文件...", "CAPTURE..."),
    "arg_data": ("[十六进制|文件|-]", "[HEX|FILE|-]"),
    "arg_device": ("设备编号", "DEVICE"),
    "arg_devices": ("[设备编号]...", "[DEVICE]..."),
    "arg_file": ("文件", "FILE"),
    "arg_files": ("文件...", "FILE..."),
    "arg_name": ("名称", "NAME"),
    "arg_output": ("输出编号", "OUTPUT"),
    "arg_path": ("[目录]", "[PATH]"),
    "arg_pattern": ("[文字]", "[PATTERN]"),
    "arg_point": ("巡查点", "POINT"),
    "arg_profile": ("型号", "PROFILE"),
    "arg_protocol": ("协议", "PROTOCOL"),
    # --- options of every command ------------------------------------------------------------------------------------
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
    "opt_socket": ("核心进程的套接字; 不写则按配置。", "The core's socket; otherwise by the configuration."),
    "run": (
        "运行核心进程: 驱动、点位、报警、事件库\n\n由 systemd 启动。日志写到标准错误。SIGTERM 或 Ctrl-C 正常停止。",
        "Run the core: drivers, points, alarms, journal\n\nStarted by systemd. Logs to standard error. SIGTERM or Ctrl-C stops it"
        " cleanly.",
    ),
    "uplink": (
        "运行上传进程: 把事件库送到中心\n\n可随时重启, 不影响就地报警。",
        "Run the uplink: the journal to the centres\n\nMay be restarted at any time; the alarm on site does not depend on it.",
    ),
    "cameras": (
        "运行摄像机进程: 报警时拍照\n\n可随时重启, 不影响报警。没有 [[camera]] 则退出码 78。",
        "Run the cameras: pictures of alarms\n\nMay be restarted at any time; no alarm waits for it. Exits 78 without [[camera]].",
    ),
    "camera": ("摄像机: 试拍", "Cameras: try one"),
    "camera_test": (
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
    "status": (
        "网关总览\n\n退出码: 0 正常; 1 需要关注 (报警、故障点、监测连接线路离线、状态未知); 2 网关不能尽责"
        " (核心进程无应答、部件停滞、通信链路断开、事件库写不进、配置有错)。",
        "The whole gateway on one screen\n\nExit codes: 0 all well; 1 look at it (an alarm, a faulty point, a line to a panel down,"
        " a state unknown); 2 the gateway cannot do its duty (core not answering, a worker stuck, a link to a centre down,"
        " the journal not writable, the configuration wrong).",
    ),
    "points": (
        "点位和当前值\n\n写上一段文字则只列出编号或名称含有它的点位。",
        "Every point and its value\n\nGive a piece of text to list only points whose id or name contains it.",
    ),
    "alarms": (
        "未结束的报警, 首警在最上面\n\n送达: 发送中 = 中心还没有确认; 已送达 = 中心已存下。",
        "Alarms that are not over, the first fire on top\n\nCentre: sending = not confirmed yet; delivered = the centre"
        " has stored it.",
    ),
    "events": (
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
    "ack": (
        "确认报警\n\n不写报警编号则确认全部未确认的报警。确认记录操作人并停止该报警的声音, 指示灯保持; 不动控制器。",
        "Acknowledge alarms\n\nWithout an alarm id, every unacknowledged one. It records who did and ends their sound; "
        "lamps stay. It touches no panel.",
    ),
    "silence": (
        "消音\n\n只停声音, 灯光保持, 新的报警会再次响起。不动控制器。",
        "Stop the sound\n\nLamps stay on and a new alarm sounds again. It touches no panel.",
    ),
    "duty": (
        "查岗: 查看和应答\n\n监控中心查岗时, 用确认键或 duty answer 应答。",
        "Duty checks: see and answer them\n\nA centre asks whether anyone is there; the ack button answers, or duty answer.",
    ),
    "linkage": (
        "联动输出: 查看, 释放, 交还\n\n燃气阀、风机、声光警报器的继电器; 只有配置里按名称启用的才会动作。",
        "Linkage outputs: see, release, give back\n\nRelays of a gas valve, a fan, a sounder; only those the configuration turns "
        "on by name ever act.",
    ),
    "linkage_list": (
        "列出联动输出\n\n退出码: 0 都在待命; 1 有的已动作或被人工释放。",
        "List the linkage outputs\n\nExit codes: 0 all are ready; 1 one acts, or a person holds one.",
    ),
    "linkage_release": (
        "释放一个输出, 并保持\n\n之后任何报警都不会让它动作, 直到 linkage auto; 记入审计。",
        "Release an output and keep it so\n\nNo alarm makes it act until linkage auto. It is written down.",
    ),
    "linkage_auto": (
        "交还规则\n\n此前的报警不再让它动作; 记入审计。",
        "Give an output back to the rules\n\nAlarms from before do not make it act. It is written down.",
    ),
    "node": (
        "自有节点升级: 查看, 提供, 收回\n\n只在 [[mqtt]] 里写了 node_updates = true 时可用。",
        "Updates of our own nodes: see, offer, take back\n\nOnly where an [[mqtt]] has node_updates = true.",
    ),
    "node_list": (
        "列出节点和上次提供的升级\n\n退出码: 0 正常; 1 有节点拒绝了升级。",
        "List the nodes and what was offered last\n\nExit codes: 0 all well; 1 a node has refused an update.",
    ),
    "node_offer": (
        "提供升级文件\n\n节点自己来取, 核对签名、型号、版本后试运行, 连不上网关就退回; 报警优先。记入审计。\n\n"
        "    edge-agent node offer smoke-2.zgu attic\n    edge-agent node offer smoke-2.zgu --all",
        "Offer an update\n\nThe node fetches it when it is calm, checks signature, model and version, and goes back to what was "
        "there if it does not reach its gateway. It is written down.\n\n"
        "    edge-agent node offer smoke-2.zgu attic\n    edge-agent node offer smoke-2.zgu --all",
    ),
    "opt_node_offer_all": ("所有节点。", "Every node."),
    "node_withdraw": (
        "收回升级\n\n已装上的不会变。记入审计。",
        "Take an offer back\n\nWhat is installed already stays. It is written down.",
    ),
    "update": (
        "本网关自己的升级\n\n新版本装进空闲的槽, 试运行, 确认后留用, 否则自动退回。升级文件须有厂家或县里离线密钥的签名。",
        "The gateway's own update\n\nA new version goes into the idle slot and runs on trial; confirmed it stays, else the one "
        "before is back by itself. It has to be signed by keys that are kept offline.",
    ),
    "update_status": (
        "运行版本、槽、是否在试运行、上次升级\n\n退出码: 0 正常; 1 有升级在处理, 或有槽损坏; 2 没有槽。",
        "Version, slot, trial, last update\n\nExit codes: 0 all well; 1 an update is in hand, or a slot is damaged; 2 there "
        "are no slots.",
    ),
    "update_check": (
        "检查升级文件本机收不收\n\n核对签名、适用的主板、架构、Python、版本、空间。不安装。退出码: 0 可以安装; 2 不能, 说明原因。",
        "Whether this gateway would take a bundle\n\nSignatures, board, machine, Python, version, room. Nothing is installed. "
        "Exit codes: 0 it would; 2 it would not, and why.",
    ),
    "update_install": (
        "安装升级文件 (root)\n\n有火警或报警未送达时先等。试运行期间中心要确认新版本发出的记录, 输入要恢复, 否则退回。"
        "Ctrl-C 只是不再等待。退出码: 0 已留用; 2 被拒绝或已退回。",
        "Install a bundle (root)\n\nWaits while a fire is active or an alarm is being sent. It stays if a centre confirms a record "
        "it sent and every input answers again, else it goes back. Ctrl-C only ends the waiting. Exit codes: 0 it stays; 2 refused "
        "or gone back.",
    ),
    "update_back": (
        "退回到前一个版本 (root)\n\n同样试运行。退出码: 0 已退回; 2 没有退回。",
        "Go back to the version before (root)\n\nOn trial like any other. Exit codes: 0 it runs; 2 it does not.",
    ),
    "opt_without_centre": (
        "中心联系不上也装: 由现场的人确认; 只看输入是否恢复。",
        "A person on site answers for it: no centre has to confirm, the inputs have to answer.",
    ),
    "opt_no_wait": ("交给升级服务后不等结果。", "Hand it over and do not wait."),
    "opt_root": ("槽所在目录, 默认 /opt/edge-agent。", "Where the slots are; /opt/edge-agent unless given."),
    "opt_keys": (
        "公钥目录, 默认 /etc/edge-agent/update-keys。",
        "Directory of the public keys; /etc/edge-agent/update-keys unless given.",
    ),
    "duty_list": (
        "待应答的查岗\n\n退出码: 0 没有; 1 有。",
        "Duty checks that wait\n\nExit codes: 0 none; 1 some.",
    ),
    "duty_answer": (
        "应答查岗\n\n应答全部待应答的查岗, 超过时限的记为迟答。退出码: 0 已应答; 1 没有查岗。",
        "Answer the duty checks\n\nAll that wait; past its time an answer counts as late. Exit codes: 0 answered; 1 nobody asks.",
    ),
    "opt_operator": ("操作员编号, 0 到 255。", "Number of the operator, 0 to 255."),
    "patrol": ("巡查: 路线、标签", "Patrol: rounds and tags"),
    "patrol_status": (
        "各条路线的最近一次巡查、各点的标签、不认识的标签\n\n退出码: 0 正常; 1 有漏巡, 或有点没有标签。",
        "The newest round of each patrol, the tag of each point, tags nobody knows\n\nExit codes: 0 all well; 1 a round was"
        " missed, or a point has no tag.",
    ),
    "patrol_learn": (
        "把下一张读到的标签定为某巡查点的标签\n\n记入事件。配置里写了 tag 的点不能学习。"
        "退出码: 0 已学到; 1 没有读到, 或标签已属于别的点。",
        "The next tag that is read hangs at this patrol point\n\nIt is journalled. A point whose tag is in the configuration"
        " cannot learn one. Exit codes: 0 learned; 1 no tag was read, or it hangs elsewhere.",
    ),
    "patrol_forget": (
        "忘掉学来的标签\n\n退出码: 0 已忘掉; 1 没有学来的。",
        "Forget the learned tag of a point\n\nExit codes: 0 forgotten; 1 it had none.",
    ),
    "opt_patrol_learn_seconds": ("等多久, 1 到 600 秒, 默认 60。", "How long to wait, 1 to 600 s; 60 unless given."),
    "decode": (
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
    "config": ("检查和查看配置", "Check and show the configuration"),
    "config_check": (
        "检查配置, 一次报出全部问题\n\n退出码: 0 没有问题, 1 只有警告, 78 有错误。",
        "Check the configuration and report every fault at once\n\nExit codes: 0 no findings, 1 warnings only, 78 errors.",
    ),
    "config_show": ("显示生效的配置", "Show the configuration in force"),
    "config_sample": (
        "打印一份带注释的样例配置\n\n    edge-agent config sample > /etc/edge-agent/config.toml",
        "Print a commented sample configuration\n\n    edge-agent config sample > /etc/edge-agent/config.toml",
    ),
    "opt_for_start": (
        "只查启动所需, 不看本机的串口和证书; 只有警告时退出码为 0。",
        "Check only what starting needs, not this machine's ports and certificates; warnings alone exit 0.",
    ),
    "journal": ("事件库: 校验、统计、列出、导出", "The journal: verify, count, list, export"),
    "journal_verify": (
        "逐条校验事件库\n\n核心进程运行时也可以用, 只读不写。退出码: 0 完好, 2 有损坏或缺号。",
        "Check every record of the journal\n\nSafe while the agent runs: it only reads. Exit codes: 0 sound, 2 damage or gaps.",
    ),
    "journal_stats": ("事件库里有多少、占多少", "How much the journal holds and takes"),
    "journal_list": (
        "按存入顺序列出记录\n\n    edge-agent journal list --stream alarm --after 100",
        "List records in the order they were kept\n\n    edge-agent journal list --stream alarm --after 100",
    ),
    "opt_journal_list_stream": ("哪一个流, 默认 alarm。", "Which stream; alarm unless given."),
    "opt_journal_list_limit": ("最多多少条, 默认 100。", "At most this many; 100 unless given."),
    "opt_after": ("从这个编号之后开始。", "Begin after this number."),
    "opt_epoch": ("哪一代事件库; 不写则为全部。", "Which epoch of the journal; otherwise all."),
    "journal_export": (
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
    "gb26875": ("GB/T 26875.3: 测点对照表", "GB/T 26875.3: the map of points"),
    "gb26875_map": (
        "列出并检查测点在 GB/T 26875.3 里的系统、部件、地址和模拟量类型\n\n退出码: 0 无疑问, 1 有警告, 2 两个测点地址相同。",
        "Show and check what points are called in GB/T 26875.3\n\nExit codes: 0 no doubts, 1 warnings, 2 two points with one "
        "address.",
    ),
    "opt_gb26875_map_centre": (
        "按哪个中心的约定列出; 默认第一个 GB/T 26875.3 中心。",
        "Which centre's dialect to use; the first GB/T 26875.3 one by default.",
    ),
    "profile": (
        "型号资料: 列出、查看、检查、试用、新建、比较、安装、打包",
        "Device profiles: list, show, check, try, new, diff, install, bundle",
    ),
    "profile_new": (
        "照现有型号新建一份型号资料\n\n在当前目录生成 NAME.toml, 内容照 --like 的型号, 证据记为 unproven; "
        "照样板生成的仍是样板, 填好再改。",
        "Begin a profile from one that exists\n\nWrites NAME.toml into the current directory, like the profile of --like, "
        "with nothing proven. One made from a template stays a template until you have filled it in.",
    ),
    "opt_profile_new_like": ("照哪个型号 (名称或文件)。", "The profile, by name or file, that it begins as."),
    "profile_diff": (
        "比较两份型号资料\n\n只给一个名称时, 比较自带的和现场自定义的。退出码: 0 相同, 1 不同。",
        "What two profiles say differently\n\nOne name alone: the shipped one and the site's own. Exit codes: 0 the same, 1 not.",
    ),
    "profile_install": (
        "检查并安装一份型号资料\n\n不合格的不安装; 正在使用的型号要加 --force。退出码: 0 已安装, 2 未安装。",
        "Check a profile and install it\n\nAn unsound one is refused; one in use needs --force. Exit codes: 0 installed, 2 not.",
    ),
    "opt_profile_install_force": ("正在使用的型号也替换。", "Replace a profile that is in use, too."),
    "profile_bundle": (
        "把型号资料和抓包打成一个包, 供寄回\n\n抓包里的人名地名电话先抹掉, 附识读报告。寄出前请自己看一遍。",
        "Pack a profile and captures to contribute\n\nNames of people and places and phone numbers are blotted out first; a "
        "report of what was read goes with it. Look through it before you send it.",
    ),
    "opt_profile_bundle_out": ("写到哪个文件; 默认 型号.zip。", "The file to write; PROFILE.zip by default."),
    "profile_list": ("列出全部型号资料", "List every profile"),
    "profile_show": ("查看一份型号资料", "Show one profile"),
    "profile_check": (
        "检查型号资料文件\n\n连同文件里的正例反例一起检查。退出码: 0 合格, 2 不合格。",
        "Check profile files\n\nWith the examples in them, good and bad. Exit codes: 0 sound, 2 not.",
    ),
    "profile_try": (
        "用一份型号资料试读录下的字节\n\n不需要安装。录制文件可以是字节或十六进制文本。",
        "Read captured bytes with a profile\n\nNothing is installed. The capture may be bytes or hex text.",
    ),
    "demo": (
        "在本机演示一个完整的单位, 不需要硬件和网络\n\n起火、断网、断电、恢复, 最后报出产生、报响、留存、送达了多少。",
        "Play a whole site on this machine, no hardware or network\n\nFire, cut link, killed processes, recovery; it ends with what"
        " was raised, heard, kept and delivered.",
    ),
    "opt_seconds": ("最多演示多少秒。", "Play for at most this long."),
}
