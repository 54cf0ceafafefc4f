"""Why a centre cannot be reached, in words that say what to do. Keys are the reasons of `uplink_state` and `uplink_fault`."""

TEXTS: dict[str, tuple[str, str]] = {
    "connected": ("已连接", "connected"),
    "confirmed": ("中心已确认收到", "the centre confirms what it gets"),
    "answered": ("中心有应答", "the centre answers"),
    "unanswered": (
        "中心没有应答:检查网线、SIM 卡、流量套餐,或中心本身",
        "the centre does not answer: check cable, SIM card and its data plan, or the centre itself",
    ),
    "path_changed": ("已切换到更优链路", "moved to a better link"),
    "no_link": (
        "没有可用链路:NB-IoT 需要 packed_port 和 packed_key_file",
        "no link will do: NB-IoT needs packed_port and packed_key_file",
    ),
    "budget_80": ("本月流量已用 80 %", "80 % of this month's bytes are used"),
    "budget_100": (
        "本月流量已用完:火警照常上传,其他等待不计费的链路或下月",
        "this month's bytes are used up: alarms still go, the rest waits for a link that costs nothing or for next month",
    ),
    "closed": ("本机已断开", "closed by this gateway"),
    "lost": ("通信链路中断", "the link was lost"),
    "refused": (
        "对方端口无服务:中心或其消息服务器没有运行,或端口写错",
        "nobody listens there: the centre or its broker is down, or the port is wrong",
    ),
    "no_route": ("网络不通:检查网线、路由、SIM 卡", "no route: check cable, router, SIM card"),
    "no_interface": (
        "没有这块网卡:检查 [[link]] interface,或网卡、模组是否插好",
        "there is no such interface: check [[link]] interface, or whether the adapter or modem is plugged in",
    ),
    "not_allowed": (
        "系统不允许绑定网卡:内核低于 5.7,请升级,或去掉 [[link]] interface",
        "binding to an interface is not allowed: the kernel is older than 5.7, upgrade it or leave out [[link]] interface",
    ),
    "no_name": ("域名无法解析:检查 DNS 和主机名", "the name cannot be resolved: check DNS and the host name"),
    "connect_timeout": (
        "连接超时:网络不通或被防火墙拦截",
        "connecting took too long: no route, or a firewall drops it",
    ),
    "connack": (
        "消息服务器拒绝连接:检查网关编号和权限",
        "the broker refuses the connection: check gateway id and permissions",
    ),
    "no_qos1": ("消息服务器不支持 QoS 1", "the broker does not support QoS 1"),
    "packets_too_small": ("消息服务器允许的报文太小", "the broker's packets are too small"),
    "ack_topic_denied": (
        "无权订阅回执主题:请中心修改访问权限",
        "not allowed to read the ack topic: have the centre mend its access list",
    ),
    "denied": (
        "消息服务器拒收数据:请中心修改访问权限;数据仍保留",
        "the broker denies what we publish: have the centre mend its access list; nothing is lost",
    ),
    "centre_denies": (
        "中心否认每一帧:检查地址、用户版本号等约定;数据仍保留",
        "the centre denies every frame: check addresses, user version and the rest of the dialect; nothing is lost",
    ),
    "commands_denied": ("消息服务器不许收发命令报文", "the broker denies our commands"),
    "state_denied": ("中心拒收状态报文", "our state message is denied"),
    "unconfirmed": (
        "中心未确认:按标准重发后仍无确认,已断开重连;数据仍保留",
        "the centre confirms nothing, not even what was sent again as the standard asks: connecting anew, nothing is lost",
    ),
    "no_keepalive": ("心跳三次无应答", "three keep-alives went unanswered"),
    "no_cbor2": (
        '配置了 encoding = "cbor", 但没有安装 cbor2: 改用 JSON 上传',
        'encoding = "cbor" is configured, but cbor2 is not installed: JSON is sent instead',
    ),
    "gb_out_of_range": (
        "数值超出 GB/T 26875.3 的范围,未上传:检查测点的模拟量类型和倍率",
        "a value does not fit its GB/T 26875.3 type and was not sent: check the point's analogue type and scale",
    ),
    "gb_unwritable": (
        "一条记录无法写成 GB/T 26875.3 数据单元",
        "a record cannot be written as a GB/T 26875.3 data unit",
    ),
    "taken_over": ("另一台设备使用了相同的网关编号", "another device uses this gateway's id"),
    "disconnected": ("消息服务器主动断开", "the broker hung up"),
    "half_open": ("链路假连接:发出后无任何应答", "the link is half open: nothing that is sent is answered"),
    "centre_silent": (
        "消息服务器正常,但中心没有回执:检查中心软件",
        "the broker answers but the centre does not: check the centre's software",
    ),
    "tls_required": (
        "对方不是本机,必须配置 ca_file 才能加密连接",
        "the host is not this machine: set ca_file, a connection must be encrypted",
    ),
    "tls": ("TLS 握手失败", "the TLS handshake failed"),
    "cert_not_yet_valid": (
        "服务器证书尚未生效:本机时钟可能不对",
        "the server's certificate is not yet valid: this gateway's clock may be wrong",
    ),
    "cert_expired": (
        "服务器证书已过期(或本机时钟过快)",
        "the server's certificate has expired (or this gateway's clock is fast)",
    ),
    "cert_wrong_host": ("服务器证书与主机名不符:检查 host", "the server's certificate is for another host: check host"),
    "cert_wrong_ca": (
        "服务器证书不是本 CA 签发:检查 ca_file",
        "the server's certificate is not of our CA: check ca_file",
    ),
    "cert_revoked": (
        "服务器证书已被吊销,拒绝连接:可能有人冒充中心,请立即电话联系中心",
        "the server's certificate has been revoked and is refused: somebody may pose as the centre, telephone it now",
    ),
    "crl_missing": (
        "吊销列表文件无法读取:照常连接,但查不出被吊销的证书。检查 crl_file",
        "the revocation list cannot be read: connected all the same, and revoked certificates go unnoticed. Check crl_file",
    ),
    "crl_damaged": (
        "吊销列表文件损坏或不是 PEM 格式的 CRL:照常连接,但查不出被吊销的证书。检查 crl_file",
        "the revocation list is damaged or no CRL in PEM: connected all the same, and revoked certificates go unnoticed. Check "
        "crl_file",
    ),
    "crl_wrong_ca": (
        "吊销列表不是签发该证书的 CA 出的:照常连接,但查不出被吊销的证书。检查 crl_file",
        "the revocation list is not of the CA that issued the certificate: connected all the same, and revoked certificates go "
        "unnoticed. Check crl_file",
    ),
    "crl_expired": (
        "吊销列表已过期(或本机时钟过快):照常连接,列表里已有的证书仍被拒绝。请换上新的 crl_file",
        "the revocation list is outdated (or this gateway's clock is fast): connected all the same, what it names is still "
        "refused. Put a new crl_file in place",
    ),
    "crl_not_yet_valid": (
        "吊销列表尚未生效:本机时钟可能不对。照常连接,列表里已有的证书仍被拒绝",
        "the revocation list is not yet valid: this gateway's clock may be wrong. Connected all the same, what it names is "
        "still refused",
    ),
    "client_cert_rejected": (
        "中心不接受本机证书:检查 cert_file、key_file 及有效期",
        "the centre rejects this gateway's certificate: check cert_file, key_file and their dates",
    ),
    "key_file": ("证书或私钥文件无法读取", "a certificate or key file cannot be read"),
    "record_refused": (
        "中心拒收一条记录,已移到一旁,不影响其他记录",
        "the centre refused a record; it was put aside and holds nothing up",
    ),
    "ledger_set_aside": (
        "投递账本损坏,已另存并重建;只会产生重复,不会丢失",
        "the delivery ledger was damaged, kept aside and made anew; this costs duplicates, never a record",
    ),
    "ledger_failing": ("投递账本无法写入:检查存储卡", "the delivery ledger cannot be written: check the card"),
    "ledger_recovered": ("投递账本恢复正常", "the delivery ledger works again"),
    "worker": ("上传任务异常,已重新启动", "an uplink worker failed and was started again"),
    # --- modems: states and reasons of edge_agent.uplink.modem (docs/links/modem.md says what to do) ----------------
    "modem_starting": ("模组启动中", "the modem is starting"),
    "modem_searching": ("模组正在找网络", "the modem searches for a network"),
    "modem_connecting": ("模组正在连接网络", "the modem connects"),
    "modem_power_cycling": ("正在给模组断电重启", "the modem's supply is being cycled"),
    "modem_no_port": (
        "模组串口不在:检查 USB 线和供电",
        "the modem's port is not there: check its USB cable and supply",
    ),
    "modem_no_answer": ("模组不应答 AT 指令", "the modem does not answer AT"),
    "modem_unknown": (
        "认不出模组型号:请写明 [link.modem] family",
        "unknown modem: name its [link.modem] family",
    ),
    "modem_no_sim": (
        "没有 SIM 卡:检查卡是否插好、插反",
        "no SIM: check that it is in, and the right way round",
    ),
    "modem_sim_pin": (
        "SIM 卡要 PIN:写入文件并在 pin_file 指明,或取消 PIN",
        "the SIM wants its PIN: put it into a file and name that in pin_file, or take the PIN off",
    ),
    "modem_pin_wrong": (
        "PIN 被拒,不再重试以免锁卡:改正 pin_file 中的 PIN",
        "the PIN was refused and is not tried again, or the SIM locks: correct it in pin_file",
    ),
    "modem_sim_puk": (
        "SIM 卡已锁,要 PUK:请联系运营商,在手机上解锁",
        "the SIM is locked and wants its PUK: get it from the operator, unlock it in a phone",
    ),
    "modem_sim_error": ("SIM 卡读不出:重插或换卡", "the SIM cannot be read: reseat it or use another"),
    "modem_denied": (
        "网络拒绝注册:检查卡是否欠费、停机或绑定了别的设备",
        "the network denies registration: is the SIM paid for, active, and not tied to another device?",
    ),
    "modem_blocked": (
        "卡或设备被网络封锁:请联系运营商;每小时重试一次",
        "SIM or device is blocked by the network: ask the operator; tried again every hour",
    ),
    "modem_apn_refused": (
        "接入点不被接受:检查 [link.modem] apn",
        "the access point is refused: check [link.modem] apn",
    ),
    "modem_no_network": (
        "长时间找不到网络:检查天线和现场信号",
        "no network for a long time: check the antenna and the signal on site",
    ),
    "modem_emergency_only": (
        "网络只许紧急呼叫:卡未开通数据",
        "emergency calls only: the SIM has no data service",
    ),
    "modem_detached": ("已注册但没有数据附着", "registered, but not attached for data"),
    "modem_no_address": ("没有得到 IP 地址", "the network gives no address"),
    "modem_no_context": ("数据连接建立失败", "no data context could be had"),
    "modem_pdp_lost": ("网络断开了数据连接", "the network dropped the data connection"),
    "modem_echo_lost": (
        "模组显示在线,但中心没有应答",
        "the modem says it is connected, but the centre does not answer",
    ),
    "modem_sockets_leaked": ("模组内的套接字用尽", "the modem has run out of sockets"),
    "modem_restarted": ("模组重新启动过", "the modem was restarted"),
    "modem_power_cycled": ("模组断电重启过", "the modem's supply was cycled"),
    "modem_given_up": (
        "各种办法都试过,模组仍不通;每半小时再试,期间走下一条链路",
        "everything was tried and the modem is still dead; tried again every half hour, the next link serves meanwhile",
    ),
    "modem_no_manager": (
        "系统总线或 ModemManager 没有运行",
        "the system bus or ModemManager is not running",
    ),
    "modem_refused": ("模组拒绝了指令", "the modem refused a command"),
    "modem_step": ("正在尝试救回模组", "the modem is being recovered"),
    "no_socket": ("模组没有空闲套接字", "the modem has no free socket"),
    "not_allowed_apn": ("接入点不许使用", "the access point is not allowed"),
}
