"""Words of the configuration: one for each code of a finding, and of `edge-agent config`.

The words of the keys themselves stand with their ranges in `edge_agent.config.schema`: one table says all of a key.
"""

TEXTS: dict[str, tuple[str, str]] = {
    # the frame of a finding
    "error": ("错误", "error"),
    "warning": ("警告", "warning"),
    "expected": ("应为: {what}", "expected: {what}"),
    "example": ("例: {example}", "example: {example}"),
    "nearest": ("最接近的是: {nearest}", "nearest: {nearest}"),
    "belongs": ("{name} 属于 [{home}]", "{name} belongs to [{home}]"),
    "first_at": ("先前一处: {file}:{line}", "first one: {file}:{line}"),
    # kinds of value
    "kind_text": ("引号内的文字", "text in quotes"),
    "kind_whole": ("整数, 不带引号", "a whole number, no quotes"),
    "kind_number": ("数字, 不带引号", "a number, no quotes"),
    "kind_yes_no": ("true 或 false", "true or false"),
    "kind_path": ("引号内的文件路径", "a file path in quotes"),
    "kind_texts": (
        "方括号内的文字列表, 至少一项, 至多 1000 项",
        "a list of texts in square brackets, 1 to 1000 of them",
    ),
    "kind_wholes": ("方括号内的整数列表", "a list of whole numbers in square brackets"),
    "kind_paths": ("方括号内的绝对路径列表, 至少一项", "a list of absolute paths in square brackets, at least one"),
    "kind_lines": ("花括号内的 名称 = 线号", "name = line, in curly brackets"),
    "one_of": ("{choices} 之一", "one of {choices}"),
    "names": ("名称限 {choices}", "names are {choices}"),
    "range": ("{low} 到 {high}", "{low} to {high}"),
    "form_gateway_id": ("4 到 32 个英文字母、数字或 -", "4 to 32 of A-Z a-z 0-9 -"),
    "form_id": (
        "1 到 32 个英文字母、数字、下划线、点或 -, 以字母或数字开头",
        "1 to 32 of A-Z a-z 0-9 _ . -, beginning with a letter or digit",
    ),
    "form_point_id": ("来源编号, 或 来源编号/测点名", "a source's id, or source id/point"),
    "form_point_pattern": ("测点编号, 或以 * 结尾的前缀", "a point's id, or a prefix ending in *"),
    "form_profile": ("型号资料文件名, 英文字母、数字、点或 -", "name of a profile: A-Z a-z 0-9 _ . -"),
    "form_port": ("以 / 开头的设备路径", "a device path beginning with /"),
    "form_meter": ("12 位数字", "12 digits"),
    "form_mqtt_name": ("主题的一段或几段, 不含 + 和 #", "part of a topic, without + and #"),
    "form_framing": ("三个字符: 7 或 8, N E O 之一, 1 或 2", "three characters: 7 or 8; N, E or O; 1 or 2"),
    "form_host": ("主机名或 IP 地址, 不带 mqtt:// 和端口", "a host name or IP address, without mqtt:// or port"),
    "form_ip": ("IP 地址, 如 192.168.1.10", "an IP address such as 192.168.1.10"),
    "form_network": ("IP 地址或网段, 如 192.168.1.0/24", "an IP address, or a network such as 192.168.1.0/24"),
    "form_serial_number": (
        "十六进制序列号, 字节之间可有冒号, 至多 20 字节",
        "a serial number in hex, with or without colons between its bytes, at most 20 bytes",
    ),
    "form_station": ("一个字母或数字", "one letter or digit"),
    "form_wire_address": (
        "报文中的地址: 至多 32 个字母、数字、_ . : -",
        "the address on the wire: at most 32 of A-Z a-z 0-9 _ . : -",
    ),
    "form_absolute_path": ("以 / 开头的路径", "a path beginning with /"),
    "form_run_dir": ("以 / 开头的路径, 至多 81 个字符", "a path beginning with /, at most 81 characters"),
    "form_interface": ("网卡名, 如 eth0, 至多 15 个字符", "an interface such as eth0, at most 15 characters"),
    "form_apn": ("接入点名, 英文字母、数字、点或 -", "an access point: A-Z a-z 0-9 . -"),
    "form_camera_path": ("以 / 开头的路径, 不带主机和密码", "a path beginning with /, without host or password"),
    "form_stamp_format": ("strftime 的写法", "a strftime format"),
    "form_gb28181": ("20 位数字", "20 digits"),
    "form_tag": (
        "4 到 20 位十六进制数字, 或 134,62532 这样的两个数",
        "4 to 20 hex digits, or two numbers such as 134,62532",
    ),
    "form_version": ("主版本.次版本, 各 0 到 255, 如 3.18", "MAJOR.MINOR of 0 to 255 each, such as 3.18"),
    "form_time": ("几点几分, 如 22:00", "a time of the day such as 22:00"),
    "form_name": ("至多 80 个字", "at most 80 characters"),
    "form_stream": ("alarm, fault, status, telemetry, media", "alarm, fault, status, telemetry, media"),
    "form_gb_device": ("引号内的整数, 或 12 位十六进制", "a whole number in quotes, or 12 hex digits"),
    "form_gb_component": (
        '"回路-位号"、"位号" (各至多 65535), 或 0x 加 8 位十六进制',
        '"loop-point", "point" (at most 65535 each), or 0x and 8 hex digits',
    ),
    # files
    "missing_file": (
        "没有这个文件。可用 `edge-provision site new` 生成一份, 或用 --config 指出目录",
        "There is no such file. Make one with `edge-provision site new`, or name the directory with --config",
    ),
    "not_a_file": ("不是普通文件", "This is not a regular file"),
    "file_too_large": (
        "文件有 {bytes} 字节, 上限 {bytes_max}; 请拆成 conf.d/ 下的多个文件",
        "The file has {bytes} bytes, the limit is {bytes_max}; split it into files in conf.d/",
    ),
    "unreadable_file": ("读不出来: {why}。请检查权限", "It cannot be read: {why}. Check its permissions"),
    "too_many_files": ("配置文件多于 {count} 个, 其余未读", "More than {count} files; the rest was not read"),
    "ignored_file": (
        "文件名不以 .toml 结尾, 未读。若是配置, 请改名",
        "The name does not end in .toml, so it was not read. Rename it if it is meant to be",
    ),
    "rotted": (
        "内容与上次接受时不同, 而大小和修改时间没有变: 不是有人修改, 是存储介质出错。请恢复文件并检查存储卡; "
        "确是有意修改, 则执行: touch {path}",
        "The content differs from what was last accepted, yet size and time of writing do not: nobody changed it, the medium"
        " did. Restore the file and check the card; if somebody did change it, run: touch {path}",
    ),
    "cut_short": (
        "文件只有 {bytes} 字节, 上次接受时有 {bytes_accepted} 字节, 后面的部分缺失。请恢复文件; "
        "确是有意删去, 则在末尾加一行注释, 如 # 完",
        "The file has {bytes} bytes and had {bytes_accepted} when it was last accepted: its end is missing. Restore it; if the"
        " end was removed on purpose, add a comment as the last line, such as # end",
    ),
    "lost_profile": (
        "型号资料文件 {value} 不见了, 配置里还在用",
        "The file of the profile {value} is gone, and the configuration still names it",
    ),
    "broken_profile": (
        "型号资料文件 {value} 已损坏, 读不出来。用 edge-agent profile check 查看原因",
        "The file of the profile {value} is damaged and cannot be read. See why with edge-agent profile check",
    ),
    "nothing_to_watch": (
        "没有一个来源能监测: {why}",
        "Not one source could be watched: {why}",
    ),
    "empty_file": ("文件是空的", "The file is empty"),
    "bom": (
        "文件开头有 BOM 标记, 已略过。建议另存为 UTF-8 (无 BOM)",
        "The file begins with a byte order mark, which was skipped. Better save it as UTF-8 without BOM",
    ),
    "utf16": (
        "文件是 UTF-16 (记事本的“Unicode”)。请另存为 UTF-8, 或执行: iconv -f UTF-16 -t UTF-8 {path} > 新文件",
        'The file is UTF-16 (Notepad\'s "Unicode"). Save it as UTF-8, or run: iconv -f UTF-16 -t UTF-8 {path} > NEW',
    ),
    "gbk": (
        "文件是 GBK 编码, 不是 UTF-8。请另存为 UTF-8, 或执行: iconv -f GB18030 -t UTF-8 {path} > 新文件",
        "The file is GBK, not UTF-8. Save it as UTF-8, or run: iconv -f GB18030 -t UTF-8 {path} > NEW",
    ),
    "not_text": (
        "不是文本: 第 {offset} 字节为 {byte}, 既非 UTF-8 也非 GBK",
        "This is not text: byte {offset} is {byte}, neither UTF-8 nor GBK",
    ),
    "more": ("另有 {count} 处, 先改上面这些", "{count} more; mend these first"),
    # punctuation and syntax
    "full_width": (
        "有全角标点, 请改成半角: {pairs}    原文: {text}",
        "Full-width punctuation, write: {pairs}    in: {text}",
    ),
    "syntax_no_value": ("等号后面没有值: {text}", "Nothing follows the equals sign: {text}"),
    "syntax_boolean_case": (
        "是与否只能写 true 或 false (小写, 不带引号): {text}",
        "Yes and no are written true and false, in lower case: {text}",
    ),
    "syntax_leading_zero": (
        "数字不能以 0 开头; 若是编号, 请加引号: {text}",
        "A number must not begin with 0; if it is a code, put it in quotes: {text}",
    ),
    "syntax_unit": (
        "数字后面不能写单位, 单位已在键名里: {text}",
        "No unit may follow a number; the key's name already has it: {text}",
    ),
    "syntax_backslash": (
        "双引号里的 \\ 有特殊含义; 请改用单引号, 或写两个 \\\\: {text}",
        "A \\ in double quotes has a meaning; use single quotes, or write \\\\: {text}",
    ),
    "syntax_unclosed_quote": ("引号没有配对: {text}", "A quote is not closed: {text}"),
    "syntax_unclosed_bracket": ("括号没有配对, 或里面有误: {text}", "A bracket is not closed, or wrong inside: {text}"),
    "syntax_after_value": (
        "值后面还有多余内容 (说明文字要以 # 开头): {text}",
        "Something follows the value (a remark begins with #): {text}",
    ),
    "syntax_needs_quotes": ("文字要加双引号: {text}", "Text must stand in double quotes: {text}"),
    "syntax_value": ("值写法不对: {text}", "The value is not written right: {text}"),
    "syntax_header": (
        "表头写法不对, 应如 [gateway] 或 [[panel]]: {text}",
        "A header is written [gateway] or [[panel]]: {text}",
    ),
    "syntax_header_ascii": ("表头只能用英文: {text}", "A header must be in ASCII: {text}"),
    "syntax_no_equals": (
        "应写成 键 = 值; 说明文字要以 # 开头: {text}",
        "Write key = value; a remark begins with #: {text}",
    ),
    "syntax_colon": (
        "键和值之间用等号, 不用冒号: {text}",
        "An equals sign stands between key and value, not a colon: {text}",
    ),
    "syntax_no_key": ("等号前面没有键名: {text}", "No key stands before the equals sign: {text}"),
    "syntax_bare_key": ("键名只能用英文: {text}", "A key must be in ASCII: {text}"),
    "syntax_bad_key": ("键名里不能有空格或标点: {text}", "A key has no spaces or punctuation in it: {text}"),
    "duplicate_key": (
        "{name} 写了两次, 先前在第 {first_line} 行",
        "{name} stands here again, first in line {first_line}",
    ),
    "duplicate_table": (
        "{name} 写了两次, 先前在第 {first_line} 行; 请并到一处",
        "{name} stands here again, first in line {first_line}; put both together",
    ),
    "contradicts": ("{name} 与前面的写法冲突", "{name} contradicts what stands above it"),
    "too_deep": ("括号套得太深", "Brackets are nested too deep"),
    # keys and values
    "bad_schema": (
        "schema 应为 1 到 {known} 的整数, 现为 {value}",
        "schema is a whole number, 1 to {known}, not {value}",
    ),
    "newer_schema": (
        "此配置需要更新的程序 (schema = {value}, 本程序只懂到 {known})。请先升级 edge-agent",
        "This configuration needs a newer agent (schema = {value}, this one knows {known}). Update edge-agent first",
    ),
    "secret": (
        "{name}: 口令和私钥不能写在配置里。请存成单独文件放到 /etc/edge-agent/tls/, 由 systemd LoadCredential 交给服务",
        "{name}: no password or private key may stand in the configuration. Keep it in a file of its own in "
        "/etc/edge-agent/tls/, which systemd hands to the service (LoadCredential)",
    ),
    "unknown_key": ("没有 {name} 这一项, 已略过", "There is no key {name}; it was ignored"),
    "unknown_table": ("没有 {name} 这种表", "There is no table {name}"),
    "not_an_array": (
        "{table} 可以有多个, 要写双方括号: [[{table}]]",
        "There may be several of {table}: write [[{table}]]",
    ),
    "not_a_table": ("{table} 只有一个, 要写单方括号: [{table}]", "There is only one {table}: write [{table}]"),
    "missing_key": ("缺少 {name}", "{name} is missing"),
    "wrong_type": ("值的类型不对: {value}", "The value is of the wrong type: {value}"),
    "quoted_number": ("数字不要加引号: {value}", "A number takes no quotes: {value}"),
    "out_of_range": ("超出范围: {value}", "Out of range: {value}"),
    "not_a_choice": ("没有这个选项: {value}", "No such choice: {value}"),
    "bad_form": ("写法不对: {value}", "Not written right: {value}"),
    "control_character": (
        "文字里有控制字符 (双引号里的 \\n \\t 也是): {value}",
        "The text has control characters in it (\\n and \\t in double quotes are such): {value}",
    ),
    # what belongs together
    "duplicate_id": ("编号 {value} 已被 {first} 使用", "The id {value} is already that of {first}"),
    "duplicate_address": ("从站地址 {value} 已被 {first} 使用", "The slave address {value} is already that of {first}"),
    "same_port": ("串口 {value} 已被 {first} 使用", "The port {value} is already that of {first}"),
    "same_line": ("GPIO 线 {value} 已被 {first} 使用", "The GPIO line {value} is already that of {first}"),
    "unknown_profile": (
        "没有型号资料 {value}。全部型号资料: edge-agent profile list",
        "There is no profile {value}. All of them: edge-agent profile list",
    ),
    "unsound_profile": (
        "型号资料 {value} 不能用: {why}。用 edge-agent profile check 查看全部问题",
        "The profile {value} cannot be used: {why}. See all of it with edge-agent profile check",
    ),
    "no_such_port": ("本机没有串口 {value}。现有: {ports}", "This machine has no port {value}. It has: {ports}"),
    "not_a_port": ("{value} 不是串口", "{value} is not a serial port"),
    "port_and_host": ("port 和 host 只能写一个", "Only one of port and host may stand here"),
    "serial_only": (
        "{protocol} 只走串口 (port): 不能写 host",
        "{protocol} is spoken on a serial line (`port`): there is no host",
    ),
    "breaker_no_address": (
        "KS 断路器要写 meter: 断路器上的 12 位地址",
        "A KS breaker needs `meter`: the 12 digits of its address",
    ),
    "meter_not_alone": (
        "总线上不止一块表, 必须写 meter (铭牌上的 12 位表号)",
        "There is more than one meter on the line: give `meter`, the 12 digits on its plate",
    ),
    "no_port_or_host": (
        "缺少 port (RTU 串口) 或 host (TCP 地址)",
        "Either port (serial, RTU) or host (TCP) is missing",
    ),
    "one_way_in": (
        "接收方式要写且只写一个: {ways}",
        "Give exactly one way in: {ways}",
    ),
    "way_not_spoken": ("规约 {protocol} 不走这条路; 请用: {ways}", "{protocol} does not come this way; use: {ways}"),
    "transport_not_spoken": ("规约 {protocol} 只用: {known}", "{protocol} comes by: {known}"),
    "frames_need": ("frames 必须写 profile (帧的型号资料)", "frames needs `profile`: what reads them"),
    "listen_needs": ("有 listen 就必须写 {name}", "With `listen`, {name} is needed"),
    "bad_network": ("{value} 不是 IP 地址或网段", "{value} is no IP address or network"),
    "listens_everywhere": (
        "{value} 会在所有网卡上接收; 请写本机在现场网络上的地址",
        "{value} listens on every interface; give this machine's address on the site's network",
    ),
    "same_listen": ("端口 {value} 已被 {first} 使用", "The port {value} is already that of {first}"),
    "not_our_address": (
        "{value} 现在不是本机的地址 ({why})。查看本机地址: ip addr",
        "{value} is no address of this machine now ({why}). See its addresses: ip addr",
    ),
    "no_receiver_devices": (
        "没有 [[receiver.device]]: 谁发来的都不会被确认",
        "There is no [[receiver.device]]: nobody who speaks will be confirmed",
    ),
    "same_wire_address": ("报文地址 {value} 已被 {first} 使用", "The address {value} is already that of {first}"),
    "address_not_alone": (
        "不止一台设备, 必须写 address (报文中的地址)",
        "There is more than one device: give `address`, as each names itself on the wire",
    ),
    "dc09_key_form": (
        "{path} 不是密钥: 应为 32、48 或 64 位十六进制, 或 text: 加 16、24 或 32 个字符",
        "{path} holds no key: 32, 48 or 64 hex digits, or text: and 16, 24 or 32 characters",
    ),
    "node_needs": ("节点必须写 {name}", "A node needs {name}"),
    "wire_address": ("{value} 不是规约 {protocol} 的设备地址", "{value} is no address of a device of {protocol}"),
    "not_used": ("{name} 在这里不起作用 (见 {why})", "{name} has no effect here (see {why})"),
    "broker_not_here": (
        "{value} 不是本机: 探测器要连到网关自己的消息服务器, 见 docs/drivers/mqtt.zh.md",
        "{value} is not this machine: detectors report to the gateway's own broker, see docs/drivers/mqtt.md",
    ),
    "no_detectors": ("没有探测器 [[mqtt.device]]", "There is no [[mqtt.device]]"),
    "same_topic": (
        "{value} 已由 {first} 使用 ({first_file} 第 {first_line} 行)",
        "{value} is {first}'s already ({first_file}, line {first_line})",
    ),
    "no_devices": ("总线上没有设备 [[bus.device]]", "The bus has no [[bus.device]]"),
    "no_gpio": (
        '用到了 GPIO 线, 但 [board] gpio 为 "none"。树莓派请写 gpio = "gpiod"',
        'GPIO lines are used, but [board] gpio is "none". On a Raspberry Pi write gpio = "gpiod"',
    ),
    "no_fake_socket": ('gpio = "fake" 还需要 fake_socket', 'gpio = "fake" needs fake_socket as well'),
    "no_buzzer": ("outputs 里没有 buzzer: 本机听不到火警", "outputs has no buzzer: nobody will hear an alarm here"),
    "unknown_point": (
        "没有来源能给出测点 {value}。现有来源: {known}",
        "No source gives the point {value}. Sources: {known}",
    ),
    "polls_itself": (
        '{value} 也是本机的站号 (station): 当控制站时本机一般写 station = "1"',
        '{value} is our own address (station) as well: a control station usually has station = "1"',
    ),
    "tap_of_tap": (
        "{value} 本身就是这一处, 或是别的主机的一处: tap_of 要写主机自己的编号",
        "{value} is this very tap, or a tap itself: name the panel's own id",
    ),
    "no_such_panel": ("没有主机 {value}", "There is no panel {value}"),
    "no_such_output": ("没有 [[linkage.output]] {value}", "There is no [[linkage.output]] {value}"),
    "output_not_enabled": (
        "{value} 没有写进 [linkage] enable, 绝不会动作",
        "{value} is not named in [linkage] enable, so it never acts",
    ),
    "order_of_limits": ("{low} 必须小于 {high}", "{low} must be below {high}"),
    "n_over_m": ("n = {n} 大于 m = {m}, 永远不会成立", "n = {n} is over m = {m}: it could never come true"),
    "no_tls": (
        "{value} 不在本机, 必须用 TLS: 请写 ca_file (另加 cert_file 和 key_file)",
        "{value} is not this machine, so TLS is needed: write ca_file (and cert_file and key_file)",
    ),
    "no_tls_gb": (
        "{value} 不在本机, 而 GB/T 26875.3 没有加密: 请写 ca_file (TLS), 或在专网里写 plain = true",
        "{value} is not this machine and GB/T 26875.3 encrypts nothing: write ca_file (TLS), or plain = true in a private "
        "network",
    ),
    "gb_no_table": (
        "协议是 gb26875, 缺少 [uplink.gb26875] (至少写 source)",
        "The protocol is gb26875, but [uplink.gb26875] is missing (source at least)",
    ),
    "config_key_place": (
        "{path}: 核心服务读不到 tls/ 里的文件, 而它也要验证签名。公钥不必保密, 请放到 /etc/edge-agent/config.pub, 权限 0644",
        "{path}: the core cannot read what is in tls/, and it verifies the signature, too. A public key is no secret: "
        "put it at /etc/edge-agent/config.pub, mode 0644",
    ),
    "no_config_key": (
        "允许 apply_config 须写 config_key_file: 没有公钥就无从验证是谁下发的配置",
        "apply_config needs config_key_file: without a key nobody could tell who sent a configuration",
    ),
    "noticed_late": (
        "{name} = {value}: 链路断了最迟 {worst_s} 秒才发现, 而承诺是 {bound_s} 秒。请写不大于 {most} 的值",
        "{name} = {value}: a lost link may go unnoticed for {worst_s} s, and the promise is {bound_s} s. Write {most} or less",
    ),
    "crl_place": (
        "{path}: tls/ 里的文件只在服务启动时交给它, 换了列表要重启才生效。列表不是秘密, 请放到 /etc/edge-agent/ca.crl, 权限 0644",
        "{path}: what is in tls/ is handed to the service once, as it starts, so a new list would count after a restart only. A "
        "list is no secret: put it at /etc/edge-agent/ca.crl, mode 0644",
    ),
    "gb_udp_tls": (
        'UDP 不能用 TLS: 改用 transport = "tcp", 或在专网里去掉 ca_file 并写 plain = true',
        'There is no TLS over UDP: write transport = "tcp", or in a private network plain = true and no ca_file',
    ),
    "gb_no_port": ("GB/T 26875.3 没有标准端口: 请写 port", "GB/T 26875.3 has no port of its own: write port"),
    "gb_address": (
        "{value} 不能写成 {style} 形式的 6 字节地址",
        "{value} is no 6-byte address in style {style}",
    ),
    "gb_recovery_types": ("应为三个不同的类型号", "There must be three different types"),
    "gb_one_address": (
        "component_address 只能给一个测点, 这里有 {count} 个或带 *",
        "component_address is for a single point; here are {count}, or one with *",
    ),
    "gb_no_keepalive": (
        "没有心跳: 无数据可发时, 断线要到下一次上传才发现",
        "Without a keep-alive a dead link is noticed only at the next upload",
    ),
    "same_tag": ("标签 {value} 已属于 {first}", "The tag {value} hangs at {first} already"),
    "times_or_every": (
        "times (每天几点) 和 every_min (每隔多久) 要写一个, 且只写一个",
        "A patrol has either times or every_min, exactly one of them",
    ),
    "no_such_patrol_point": ("没有巡查点 {value}", "There is no [[patrol_point]] {value}"),
    "patrol_grace": (
        "grace_min 必须小于两次巡查的最短间隔 {gap} 分钟",
        "grace_min must be below the shortest time between two rounds, {gap} minutes",
    ),
    "no_tag_reader": (
        "没有 [[tag_reader]]: 每次巡查都会是漏巡",
        "There is no [[tag_reader]]: every round will be missed",
    ),
    "camera_path": ("取图方式 {method} 还需要 path", "The method {method} needs path as well"),
    "camera_before": (
        "before_path 里没有 {{start}}: 不知道要什么时候的画面",
        "before_path has no {{start}}: which moment?",
    ),
    "camera_no_login": (
        "没有 credentials_file: 只有不要密码的摄像机才会给图",
        "Without credentials_file only a camera that wants no password gives a picture",
    ),
    "gb_no_media": ("GB/T 26875.3 不能传图片: 请去掉 media", "GB/T 26875.3 carries no pictures: take media out"),
    "snapshot_no_media": (
        "此中心可下达 snapshot, 但 streams 里没有 media: 收不到图片",
        "This centre may ask for a snapshot, but has no media in its streams: it never gets the picture",
    ),
    "camera_no_centre": (
        "没有一个中心的 streams 里有 media: 图片只存不传",
        "No centre has media in its streams: pictures go nowhere",
    ),
    "credentials_form": (
        "{path} 应为一行 用户:密码",
        "{path} must hold one line, user:password",
    ),
    "no_alarm_stream": (
        "streams 里没有 alarm: 这个中心收不到火警",
        "streams has no alarm: this centre will hear of no fire",
    ),
    "duty_no_status": (
        "此中心可以查岗, 但 streams 里没有 status: 收不到查岗应答",
        "This centre may ask for a duty check, but has no status in its streams: it never gets the answer",
    ),
    "half_pair": ("写了 {name} 就必须写 {other}", "{name} needs {other} as well"),
    "no_client_cert": (
        "没有 cert_file 和 key_file: 中心无法确认本网关的身份",
        "Without cert_file and key_file the centre cannot tell who this gateway is",
    ),
    "port_or_device": (
        "模组要写 port (AT 串口) 或 device (ModemManager 的设备), 二者只写一个",
        "A modem has either port (raw AT) or device (ModemManager's), exactly one of them",
    ),
    "no_modem_power": (
        "写了 power_pin, 但 board.outputs 里没有 modem_power 这条线",
        "power_pin is set, but board.outputs has no modem_power line",
    ),
    "one_modem_power": (
        "modem_power 只有一条线, 只能给一个模组断电",
        "There is one modem_power line: only one modem can have it",
    ),
    "no_packed_port": (
        "NB-IoT 只走压缩帧, 但没有一个中心写了 packed_port: 这条链路用不上",
        "NB-IoT carries packed frames only, but no centre has a packed_port: this link is of no use",
    ),
    "packed_key_form": (
        "{path} 应为 64 位十六进制 (可用 openssl rand -hex 32 生成)",
        "{path} must hold 64 hex digits (openssl rand -hex 32 makes one)",
    ),
    "tls_missing": ("读不到 {path}: {why}", "{path} cannot be read: {why}"),
    "tls_not_checked": (
        "无权查看 {path}, 未检查。请用 sudo 再查一次",
        "May not look at {path}, so it was not checked. Run this again with sudo",
    ),
    "tls_not_pem": (
        "{path} 里没有 {mark}: 不是应有的文件",
        "{path} has no {mark} in it: it is not the file it should be",
    ),
    "crl_damaged": (
        "{path} 不是 PEM 格式的吊销列表, 或里面还有别的内容。DER 格式请先转换: openssl crl -inform DER -in {path} -out ca.crl",
        "{path} is no revocation list in PEM, or holds something else beside it. One in DER is converted by: openssl crl -inform "
        "DER -in {path} -out ca.crl",
    ),
    "crl_wrong_ca": (
        "{path} 不是 {ca} 里的 CA 出的吊销列表: 它查不出任何被吊销的证书",
        "{path} is no list of a CA in {ca}: no revoked certificate would be noticed by it",
    ),
    "crl_expired": (
        "吊销列表 {path} 已于 {date} 过期: 照常连接, 但此后吊销的证书查不出。请换上新的",
        "The revocation list {path} was good until {date}: it keeps nobody from connecting, but what was revoked since is not "
        "noticed. Put a new one in place",
    ),
    "crl_future": (
        "吊销列表 {path} 从 {date} 起才有效: 本机时钟可能不对",
        "The revocation list {path} is valid from {date} only: this machine's clock may be wrong",
    ),
    "tls_key_open": (
        "私钥 {path} 的权限是 {mode}, 别人也能读。请执行: chmod 0600 {path}",
        "The key {path} has mode {mode}, so others can read it. Run: chmod 0600 {path}",
    ),
    "no_sources": (
        "没有 [[panel]]、[[bus]]、[[contact]]、[[mqtt]] 或 [[receiver]]: 什么都不监测",
        "There is no [[panel]], [[bus]], [[contact]], [[mqtt]] or [[receiver]]: nothing is watched",
    ),
    # the command
    "summary_ok": (
        "配置无误: {files} 个文件, {sources} 个来源, {uplinks} 个中心",
        "Configuration is sound: {files} files, {sources} sources, {uplinks} centres",
    ),
    "summary_found": ("{errors} 个错误, {warnings} 个警告", "{errors} errors, {warnings} warnings"),
    "sent": (
        "服务使用中心 {dest} 下发的第 {serial} 号配置, 不用以上文件。在现场改了以上文件并重启服务, 即改回使用文件",
        "The services run on number {serial} of centre {dest} and not on these files, until somebody edits them and restarts both",
    ),
    "stands_in": (
        "配置有错, 服务使用上次有效的配置运行: {when} 接受, 存于 {copy}。改正后重启服务。",
        "The configuration is wrong, so the services run on the last good one: accepted {when}, kept in {copy}. Mend this, then"
        " restart them.",
    ),
    "default": ("默认", "default"),
    "column_key": ("项", "key"),
    "column_value": ("值", "value"),
    "column_origin": ("出处", "from"),
    # the sample and the reference page
    "sample_head": (
        "edge-agent 配置。存为 /etc/edge-agent/config.toml, 也可拆到 /etc/edge-agent/conf.d/*.toml。\n"
        "带 # 的项是默认值或可选项, 去掉 # 即可修改。改好后先执行: edge-agent config check",
        "Configuration of edge-agent. Save it as /etc/edge-agent/config.toml; parts may go to /etc/edge-agent/conf.d/*.toml.\n"
        "Lines behind a # show defaults and options; take the # away to change one. Then run: edge-agent config check",
    ),
    "required": ("必填", "required"),
    "column_type": ("应为", "expected"),
    "column_default": ("默认值", "default"),
    "column_meaning": ("含义", "meaning"),
    "codes_title": ("`config check` 的代码", "Codes of `config check`"),
    "column_code": ("代码", "code"),
    "many_tables": ("可有多个", "any number of them"),
}
