"""Centres."""

from typing import Final

from edge_agent.config import uplinks
from edge_agent.config.keys import COMMANDS, Key, Section
from edge_agent.config.schema.blocks import own_id, seconds

UPLINK: Final = Section(
    name="uplink",
    cls=uplinks.Uplink,
    into="uplinks",
    many=True,
    zh="一个监控中心, 可有多个; 中心不在本机时必须用 TLS, 或对 GB/T 26875.3 中心写明 plain",
    en="One centre of any number; TLS unless the host is this machine, or plain for a GB/T 26875.3 centre",
    keys={
        "id": own_id('"county"'),
        "host": Key(zh="中心地址", en="Address of the centre", example='"centre.example.cn"', form="host"),
        "port": Key(
            zh="端口; GB/T 26875.3 没有标准端口, 必须写",
            en="Port; GB/T 26875.3 has none of its own, so it must be written",
            example="8883",
            low=1,
            high=65535,
        ),
        "protocol": Key(
            zh="协议: mqtt 为 MQTT 5, gb26875 为 GB/T 26875.3-2011 (另写 [uplink.gb26875])",
            en="Protocol: mqtt is MQTT 5, gb26875 is GB/T 26875.3-2011 (with [uplink.gb26875])",
            example='"mqtt"',
            choices=("mqtt", "gb26875"),
        ),
        "streams": Key(
            zh="给这个中心的数据流: alarm 警情, fault 故障, status 状态, telemetry 遥测, media 图片 (要写明才有)",
            en="The streams this centre gets; media (pictures) only where it is named",
            example='["alarm", "fault", "status"]',
            form="stream",
        ),
        "encoding": Key(
            zh="MQTT 批次的编码: cbor 省流量, 中心须支持",
            en="How MQTT batches are written: cbor saves bytes where the centre reads it",
            example='"json"',
            choices=("json", "cbor"),
        ),
        "plain": Key(
            zh="明知不加密仍连接异地的 GB/T 26875.3 中心: 该协议没有任何保护, 请放在专网或 VPN 里",
            en="Connect to a GB/T 26875.3 centre elsewhere without TLS, knowing that the protocol protects nothing: "
            "keep it inside a private network or VPN",
            example="false",
        ),
        "ca_file": Key(
            zh="中心的 CA 证书",
            en="CA certificate of the centre",
            example='"/etc/edge-agent/tls/ca.crt"',
            sample=True,
        ),
        "cert_file": Key(
            zh="本网关证书",
            en="Certificate of this gateway",
            example='"/etc/edge-agent/tls/gateway.crt"',
            sample=True,
        ),
        "key_file": Key(
            zh="本网关私钥, 仅服务可读",
            en="Private key of this gateway; only the service may read it",
            example='"/etc/edge-agent/tls/gateway.key"',
            sample=True,
        ),
        "crl_file": Key(
            zh="CA 的吊销列表 (CRL, PEM): 每次连接时重读, 不必重启; 不是秘密, 不要放在 tls/ 里 (docs/uplinks.zh.md)",
            en="What the CA has taken back (CRL, PEM): read anew for each connection, no restart. It is no secret and does not lie "
            "in tls/ (docs/uplinks.md)",
            example='"/etc/edge-agent/ca.crl"',
        ),
        "revoked": Key(
            zh="中心证书中一律拒绝的序列号 (十六进制): 可由另一个中心用 apply_config 下发",
            en="Serial numbers (hex) of the centre's certificates that are refused in any case: may come by apply_config from "
            "another centre",
            example='["5C:11:A0:07"]',
            form="serial_number",
        ),
        "ack": Key(
            zh="何时算送达: centre 中心答复已存, broker 消息服务器收到",
            en="When a record counts as delivered: the centre said it stored it, or the broker took it",
            example='"centre"',
            choices=("centre", "broker"),
        ),
        "mandatory": Key(
            zh="是否必须送达才可清理", en="Whether records stay until this centre has them", example="true"
        ),
        "keepalive_s": Key(zh="MQTT 心跳", en="MQTT keep-alive", example="30", unit="s", low=5, high=3600),
        "unconfirmed_s": seconds(
            "发出后多久没有答复, 算链路半开并重连",
            "Sent and unconfirmed for this long: the link is half open and is made anew",
            "20.0",
            2,
            600,
        ),
        "window": Key(zh="同时在途的批数", en="Batches on the wire at once", example="8", low=1, high=100),
        "batch_bytes": Key(
            zh="一批的字节数上限", en="Most bytes in one batch", example="65536", unit="B", low=1024, high=1048576
        ),
        "packed_host": Key(
            zh="中心收压缩帧的地址; 不写则同 host",
            en="Where the centre takes packed frames; left out: host",
            example='"centre.example.cn"',
            form="host",
        ),
        "packed_port": Key(
            zh="中心收压缩帧的 UDP 端口 (NB-IoT 用); 0 为不收",
            en="UDP port on which the centre takes packed frames (for NB-IoT); 0: it takes none",
            example="5119",
            low=0,
            high=65535,
        ),
        "packed_key_file": Key(
            zh="压缩帧的密钥文件, 64 位十六进制, 每台网关一把, 仅服务可读",
            en="Key of packed frames: 64 hex digits, one for each gateway; only the service may read it",
            example='"/etc/edge-agent/tls/packed.key"',
        ),
        "commands": Key(
            zh="此中心可下达的命令; 默认只能读取和查岗, [] 为全部不接受; GB/T 26875.3 的类型 61 至 88 是 read_state "
            "(64、84 是 history), 89、90 是 initialise、set_clock",
            en="What this centre may ask; by default reading and duty checks, [] is nothing; of GB/T 26875.3 types 61 to 88 "
            "are read_state (64 and 84 history), 89 and 90 are initialise and set_clock",
            example='["read_state", "history", "duty_check"]',
            choices=COMMANDS,
        ),
        "config_key_file": Key(
            zh="公钥 (Ed25519, PEM): 用对应私钥签名的配置, 此中心可用命令 apply_config 下发 (docs/contract.zh.md 第 7 节)。"
            "两个服务都要能读, 所以不放在 tls/ 里",
            en="Public key (Ed25519, PEM): a configuration signed by its other half may come by the command apply_config "
            "(docs/contract.md, 7). Both services read it, so it does not lie in tls/",
            example='"/etc/edge-agent/config.pub"',
        ),
    },
)
