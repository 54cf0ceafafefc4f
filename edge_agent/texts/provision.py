"""Words of `edge-provision`, the installer's tool."""

TEXTS: dict[str, tuple[str, str]] = {
    "help_root": (
        "安装人员的工具: 网关身份、站点配置、批量表格、节点升级文件。"
        "\n\n退出码: 0 正常, 1 警告, 2 失败, 64 用法错误, 78 配置错误。",
        "The installer's tool: identity of a gateway, configuration of a site, sheets of many, updates of nodes."
        "\n\n"
        "Exit codes: 0 ok, 1 warnings, 2 failures, 64 usage, 78 configuration.",
    ),
    "help_identity": ("网关的密钥和证书", "Key and certificate of a gateway"),
    "help_identity_new": (
        "生成密钥 (EC P-256, 不离开本机) 和证书申请; 已有文件绝不覆盖",
        "Make a key (EC P-256, it stays here) and a certificate request; never overwrites a file",
    ),
    "help_identity_show": (
        "查看密钥、申请、证书的指纹和有效期, 并核对是否配套",
        "Show fingerprints and dates of key, request and certificate, and whether they belong together",
    ),
    "help_site": ("站点配置", "Configuration of a site"),
    "help_site_new": (
        "写一份带说明、可直接通过检查的初始配置",
        "Write a commented configuration to begin with; it passes the check",
    ),
    "help_batch": ("批量表格", "Sheets of many sites"),
    "help_batch_check": (
        "检查表格 (CSV, UTF-8 或 GBK), 一次列出全部问题",
        "Check a sheet (CSV, UTF-8 or GBK) and tell every fault at once",
    ),
    "help_node": ("自有探测器节点", "Our own detector nodes"),
    "help_node_image": (
        "把固件目录签名成升级文件; 版本取固件自己的 VERSION。私钥不离开本机",
        "Sign a directory of firmware into an update; its version is the firmware's own VERSION. The key stays here",
    ),
    "arg_dir": ("目录", "DIR"),
    "arg_file": ("文件", "FILE"),
    "arg_path": ("[目录或文件]", "[PATH]"),
    "arg_sheet": ("表格", "SHEET"),
    "help_update": ("网关升级文件", "Updates of gateways"),
    "help_update_make": (
        "把一个目录里的 wheel 做成升级文件 (未签名)。同样的内容做出同样的字节",
        "Make a bundle of the wheels of a directory, not signed yet. The same content gives the same bytes",
    ),
    "help_update_sign": (
        "用一把离线私钥 (Ed25519) 签名; 默认要两把不同的密钥各签一次",
        "Sign a bundle with one offline key (Ed25519); by default two different keys have to",
    ),
    "help_update_check": (
        "查看升级文件适用于什么、谁签了名; 有 --keys 则核对签名",
        "Show what a bundle is for and who signed it; with --keys whether that is enough",
    ),
    "opt_counter": ("防回退计数, 每次发布加一", "Anti-rollback counter; it rises with each release"),
    "opt_board": (
        "适用主板 (/proc/device-tree/model 的开头), 可多次; 不写则不限",
        "Board it is for (beginning of /proc/device-tree/model), again for more; none: any",
    ),
    "opt_machine": (
        "适用架构 (uname -m), 可多次; 不写则不限",
        "Machine it is for (uname -m), again for more; none: any",
    ),
    "opt_python": ("适用 Python, 如 3.11, 可多次", "Python it is for, as 3.11; again for more"),
    "opt_min_version": ("最低可从哪个版本升级", "The oldest version it may follow"),
    "opt_bundle": ("写到哪个文件", "File to write"),
    "opt_sign_key": ("私钥, Ed25519, PEM", "Private key, Ed25519, PEM"),
    "opt_public_keys": ("公钥目录 (*.pem 和 threshold)", "Directory of public keys (*.pem and threshold)"),
    "made_bundle": (
        "{path}: 版本 {version}, 计数 {counter}, 未签名",
        "{path}: version {version}, counter {counter}, not signed",
    ),
    "signed_bundle": ("{path}: 已有 {count} 个签名", "{path}: {count} signatures"),
    "signed_by": ("签名公钥 (SHA-256): {key}", "signed by key (SHA-256): {key}"),
    "bundle_enough": ("签名有效, 数量足够", "The signatures are good and enough"),
    "bundle_refused": ("网关不会接受: {why}", "A gateway would refuse it: {why}"),
    "no_wheels": ("{path} 里没有 .whl 文件", "{path} has no .whl files"),
    "no_program": ("{path} 里要有且只有一个 {name} 的 wheel", "{path} must have exactly one wheel of {name}"),
    "bad_wheel": ("{name} 不能用: {why}", "{name} cannot be used: {why}"),
    "bad_manifest": ("{what} 不对", "{what} is not right"),
    "bad_sign_key": ("{path} 不是 Ed25519 私钥", "{path} is no Ed25519 key"),
    "opt_model": ("节点型号, 与 node.json 的 model 相同", "Model of the nodes, as in their node.json"),
    "opt_node_key": ("制造商私钥, RSA-2048, PEM", "The maker's private key, RSA-2048, PEM"),
    "opt_image": ("写到哪个文件", "File to write"),
    "made_image": (
        "{path}: 型号 {model}, 版本 {version}, {size} 字节\n节点 node.json 的 update_key:\n{update_key}",
        "{path}: model {model}, version {version}, {size} bytes\nupdate_key for the nodes' node.json:\n{update_key}",
    ),
    "bad_model": (
        "型号 {value} 不对: 至多 40 个英文字母、数字或 . _ -",
        "The model {value} is not right: at most 40 of A-Z a-z 0-9 . _ -",
    ),
    "no_firmware": (
        "{path} 不是固件目录: 里面要有 __init__.py, 写着 VERSION = 整数",
        "{path} holds no firmware: it must have an __init__.py with VERSION = a whole number",
    ),
    "bad_node_key": ("{path} 不是 RSA-2048 私钥", "{path} is no RSA-2048 key"),
    "too_large": ("{path}: 固件太大", "{path}: the firmware is too large"),
    "opt_gateway": ("网关编号", "Id of the gateway"),
    "opt_out": ("写到哪个目录", "Directory to write to"),
    "opt_name": ("联网单位名称", "Name of the connected unit"),
    "opt_centre": ("中心地址", "Address of the centre"),
    "opt_json": ("输出 JSON", "Print JSON"),
    "opt_lang": ("语言", "Language"),
    "bad_gateway": (
        "网关编号 {value} 不对: 应为 4 到 32 个英文字母、数字或 -",
        "The gateway id {value} is not right: 4 to 32 of A-Z a-z 0-9 -",
    ),
    "bad_host": (
        "中心地址 {value} 不对: 应为主机名或 IP 地址, 不带 mqtt:// 和端口",
        "The address {value} is not right: a host name or IP address, without mqtt:// or port",
    ),
    "bad_name": ("名称不对: 至多 80 个字, 不能有换行", "The name is not right: at most 80 characters, no line ends"),
    "exists": (
        "{path} 已存在, 未改动。一台网关一份身份和配置: 请换目录, 或先确认旧的不再使用",
        "{path} exists and was left alone. One gateway, one identity and configuration: choose another directory, "
        "or make sure the old one is no longer used",
    ),
    "cannot_write": ("写不了 {path}: {why}", "{path} cannot be written: {why}"),
    "cannot_read": ("读不了 {path}: {why}", "{path} cannot be read: {why}"),
    "no_openssl": (
        "本机没有 openssl。请执行: sudo apt-get install -y openssl",
        "openssl is missing here. Run: sudo apt-get install -y openssl",
    ),
    "openssl_failed": ("openssl 出错: {why}", "openssl failed: {why}"),
    "nothing_found": (
        "{path} 里没有 gateway.key、gateway.csr 或 gateway.crt",
        "{path} has no gateway.key, gateway.csr or gateway.crt",
    ),
    "not_pem": ("{path} 不是密钥、证书申请或证书 (PEM)", "{path} is no key, certificate request or certificate (PEM)"),
    "made_identity": (
        "已生成 {key} (只有本人可读) 和 {csr}。\n公钥指纹: {fingerprint}\n下一步: 把 {csr} 交给中心签发, "
        "证书存为 gateway.crt; 私钥不要外传。",
        "Made {key} (only you can read it) and {csr}.\nPublic key fingerprint: {fingerprint}\nNext: have the centre sign {csr} "
        "and save the certificate as gateway.crt. The key goes nowhere.",
    ),
    "made_site": (
        "已写 {path}。下一步: 填写 [[panel]] 等监测来源, 把证书放到 /etc/edge-agent/tls/, 再执行: edge-agent config check",
        "Wrote {path}. Next: fill in the sources ([[panel]] and others), put the certificates into /etc/edge-agent/tls/, "
        "then run: edge-agent config check",
    ),
    "kind_key": ("私钥", "key"),
    "kind_request": ("证书申请", "request"),
    "kind_certificate": ("证书", "certificate"),
    "field_subject": ("主体", "subject"),
    "field_names": ("名称", "names"),
    "field_public": ("公钥指纹", "public key"),
    "field_fingerprint": ("证书指纹", "fingerprint"),
    "field_not_before": ("生效", "from"),
    "field_not_after": ("到期", "until"),
    "key_open": (
        "{path} 的权限是 {mode}, 别人也能读。请执行: chmod 0600 {path}",
        "{path} has mode {mode}. Run: chmod 0600 {path}",
    ),
    "mismatch": (
        "{path} 与 {first} 不是同一把密钥, 不能配套使用",
        "{path} and {first} are of different keys and do not belong together",
    ),
    "expired": ("{path} 已过期", "{path} has expired"),
    "expires_soon": ("{path} 还有 {days} 天到期", "{path} expires in {days} days"),
    "not_yet_valid": ("{path} 尚未生效: 请先核对本机时钟", "{path} is not valid yet: check this machine's clock first"),
    # sheets
    "sheet_ok": ("表格无误: {rows} 行", "The sheet is sound: {rows} rows"),
    "sheet_faults": ("{rows} 行, {faults} 处问题", "{rows} rows, {faults} faults"),
    "at_cell": ("第 {row} 行 {column} 列 ({field}): {message}", "row {row}, column {column} ({field}): {message}"),
    "at_row": ("第 {row} 行: {message}", "row {row}: {message}"),
    "sheet_not_text": (
        "不是 UTF-8 或 GBK 文本。若是 xlsx, 请另存为 CSV",
        "This is neither UTF-8 nor GBK text. If it is an xlsx file, save it as CSV",
    ),
    "sheet_too_large": (
        "表格太大: 上限 {bytes_max} 字节、{rows_max} 行",
        "The sheet is too large: at most {bytes_max} bytes, {rows_max} rows",
    ),
    "sheet_broken": ("CSV 格式有误: {why}", "This is not right as CSV: {why}"),
    "sheet_empty": ("表格里没有站点", "The sheet has no sites"),
    "missing_column": ("缺少 {name} 列", "The column {name} is missing"),
    "unknown_column": ("不认识的列 {name}; 可用: {known}", "Unknown column {name}; there are: {known}"),
    "duplicate_column": ("{name} 列写了两次", "The column {name} stands there twice"),
    "too_many_cells": ("这一行多出内容", "The row has cells beyond the last column"),
    "missing_value": ("不能为空", "must not be empty"),
    "scientific": (
        "{value} 是 Excel 改写过的长数字, 原来的数字已丢失。请把该列设为“文本”再重新输入",
        "{value} is a long number Excel has rewritten; the digits are lost. Make the column text and type it again",
    ),
    "lost_zeros": (
        "{value} 比其他编号短, 可能丢了开头的 0。应为 {expected}? 请把该列设为“文本”",
        "{value} is shorter than the other codes and may have lost its leading zeros. {expected}? Make the column text",
    ),
    "bad_code": (
        "{value} 不对: 应为 1 到 32 个英文字母、数字、下划线、点或 -",
        "{value} is not right: 1 to 32 of A-Z a-z 0-9 _ . -",
    ),
    "duplicate_code": ("{value} 与第 {first_row} 行重复", "{value} is already in row {first_row}"),
    "unknown_county": ("没有这个县区: {value}{nearest}", "There is no such county: {value}{nearest}"),
    "unknown_uplink": ("上联方式 {value} 不对: 应为 {known}", "The uplink {value} is not right: one of {known}"),
    "too_long": ("超过 80 个字, 或有换行", "more than 80 characters, or a line end"),
    "did_you_mean": (" (是 {nearest} 吗?)", " ({nearest}?)"),
}
