"""Why a centre cannot be reached, in words that say what to do. Keys are the reasons of `uplink_state` and `uplink_fault`."""

TEXTS: dict[str, tuple[str, str]] = {
    "connected": ("已连接", "connected"),
    "confirmed": ("中心已确认收到", "the centre confirms what it gets"),
    "answered": ("中心有应答", "the centre answers"),
    "no_answer": (
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
        "对方端口无服务:消息服务器没有运行或端口写错",
        "nobody listens there: the broker is down or the port is wrong",
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
    "state_denied": ("消息服务器拒收状态报文", "the broker denies our state message"),
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
        "the broker's certificate is not yet valid: this gateway's clock may be wrong",
    ),
    "cert_expired": (
        "服务器证书已过期(或本机时钟过快)",
        "the broker's certificate has expired (or this gateway's clock is fast)",
    ),
    "cert_wrong_host": ("服务器证书与主机名不符:检查 host", "the broker's certificate is for another host: check host"),
    "cert_wrong_ca": (
        "服务器证书不是本 CA 签发:检查 ca_file",
        "the broker's certificate is not of our CA: check ca_file",
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
}
