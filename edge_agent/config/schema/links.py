"""Ways out of the box, and their modems."""

from typing import Final

from edge_agent.config import uplinks
from edge_agent.config.keys import LINK_KINDS, MODEM_FAMILIES, Key, Section
from edge_agent.config.schema.blocks import baud, seconds

LINK: Final = Section(
    name="link",
    cls=uplinks.Link,
    into="links",
    many=True,
    zh="一条出口链路; 一条都不写则用系统自己的路由",
    en="One way out of this box; with none written, whatever route the system has",
    keys={
        "id": Key(zh="链路编号", en="Id of the link", example='"eth"', form="id"),
        "kind": Key(
            zh="ethernet 网线, wifi 无线, cellular 4G, nbiot 只走压缩帧的 NB-IoT",
            en="What it is; nbiot carries packed frames only",
            example='"ethernet"',
            choices=LINK_KINDS,
            sample=True,
        ),
        "interface": Key(
            zh="网卡名; 不写则由系统选路",
            en="Network interface; left out: the system's choice",
            example='"eth0"',
            form="interface",
            sample=True,
        ),
        "order": Key(
            zh="次序, 小的优先; 不写则网线 10, 无线 20, 4G 30, NB-IoT 40",
            en="Rank, lower is preferred; left out: ethernet 10, wifi 20, cellular 30, nbiot 40",
            example="10",
            low=0,
            high=1000,
        ),
        "metered": Key(
            zh="是否按流量计费; 不写则 4G 和 NB-IoT 是",
            en="Whether bytes cost money; left out: cellular and nbiot do",
            example="false",
        ),
        "monthly_mb": Key(
            zh="每月流量上限, 火警不受限; 0 为不限",
            en="Byte budget of a month, alarms exempt; 0 is no limit",
            example="300.0",
            unit="MB",
            low=0,
            high=1_000_000,
        ),
        "probe_s": seconds(
            "空闲链路多久探测一次中心; 不写则 60, NB-IoT 为 100",
            "How often the centre is tried over a link that carries no session; left out: 60, nbiot 100",
            "60.0",
            5,
            3600,
        ),
        "misses": Key(
            zh="连续几次探测失败算中断",
            en="So many misses in a row and the link is down",
            example="3",
            low=1,
            high=20,
        ),
        "hold_s": seconds(
            "更优链路恢复后稳定多久才切回",
            "How long a better link must answer before it is used again",
            "60.0",
            0,
            86400,
        ),
    },
)

LINK_MODEM: Final = Section(
    name="link.modem",
    cls=uplinks.Modem,
    into="modem",
    many=False,
    zh="这条链路的模组: port 为串口 AT, device 为 ModemManager 管理的, 二者只写一个",
    en="The modem of this link: `port` for raw AT, `device` for one of ModemManager's, exactly one of them",
    keys={
        "port": Key(
            zh="AT 串口",
            en="Serial port that takes AT",
            example='"/dev/zg/usb-1-1.4:1.2"',
            form="port",
            sample=True,
        ),
        "device": Key(
            zh="ModemManager 中的设备标识; any 为唯一的一个",
            en="ModemManager's device identifier; any: the only one there is",
            example='"any"',
            form="name",
        ),
        "family": Key(
            zh="型号系列; auto 自动识别", en="Family; auto asks the modem", example='"auto"', choices=MODEM_FAMILIES
        ),
        "baud": baud("波特率; 不写则按系列", "Speed; left out: the family's"),
        "apn": Key(zh="接入点; 空则用卡自带的", en="Access point; empty: the SIM's own", example='"cmiot"', form="apn"),
        "pin_file": Key(
            zh="存放 SIM 卡 PIN 的文件, 仅服务可读; 只试一次",
            en="File with the SIM's PIN, for the service alone; it is tried once",
            example='"/etc/edge-agent/tls/sim.pin"',
        ),
        "mains_fed": Key(
            zh="市电供电: 关闭模组省电, 下行命令不等待",
            en="Fed from mains: power saving is turned off",
            example="true",
        ),
        "power_pin": Key(
            zh="board.outputs.modem_power 控制它的电源",
            en="board.outputs.modem_power switches its supply",
            example="false",
        ),
        "reboot_host": Key(
            zh="断电也救不回时重启网关, 至多 6 小时一次",
            en="Restart the gateway when even a power cut does not help, at most once in 6 h",
            example="false",
        ),
    },
)
