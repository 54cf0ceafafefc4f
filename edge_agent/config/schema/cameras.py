"""Cameras, and how much of their pictures is kept."""

from typing import Final

from edge_agent.config import model
from edge_agent.config.keys import Key, Section
from edge_agent.config.schema.blocks import called, own_id, seconds

CAMERA: Final = Section(
    name="camera",
    cls=model.Camera,
    into="cameras",
    many=True,
    aside=True,
    zh="局域网里的一台摄像机, 和它看得见的测点 (edge-agent camera test 试拍)",
    en="A camera on the LAN, and the points it sees (edge-agent camera test tries it)",
    keys={
        "id": own_id('"cam-hall"'),
        "host": Key(zh="摄像机地址", en="Address of the camera", example='"192.168.1.64"', form="host"),
        "points": Key(
            zh="报警时要拍照的测点, 或以 * 结尾的前缀",
            en="Points whose alarms it pictures: ids, or prefixes ending in *",
            example='["panel1/1-*"]',
            form="point_pattern",
        ),
        "name": called('"一层大厅"'),
        "method": Key(
            zh="取图方式: onvif, http (厂家的抓图地址), rtsp (用 ffmpeg 取一帧, 慢而费力)",
            en="How it gives a picture: onvif, http (the maker's own address), rtsp (one frame by ffmpeg: slow, heavy)",
            example='"onvif"',
            choices=("onvif", "http", "rtsp"),
        ),
        "port": Key(
            zh="端口; 不写: 80, 用 tls 为 443, rtsp 为 554",
            en="Port; left out: 80, 443 with tls, 554 for rtsp",
            example="80",
            low=1,
            high=65535,
        ),
        "path": Key(
            zh="http、rtsp: 图片或视频流的路径; {user}、{password} 由账号文件填入",
            en="http, rtsp: path of the picture or stream; {user} and {password} are filled in from the credentials",
            example='"/ISAPI/Streaming/channels/101/picture"',
            form="camera_path",
        ),
        "profile": Key(
            zh="onvif: 配置文件 (profile) 的 token; 空为第一个",
            en="onvif: token of the profile; empty: the first",
            example='"Profile_1"',
            form="name",
        ),
        "tls": Key(zh="用 HTTPS", en="Over HTTPS", example="false"),
        "ca_file": Key(
            zh="HTTPS: 摄像机的 CA 证书, 或它自己的证书",
            en="HTTPS: CA certificate of the camera, or its own",
            example='"/etc/edge-agent/cameras/ca.crt"',
        ),
        "credentials_file": Key(
            zh="账号文件, 一行 用户:密码, 仅服务可读; 请用只读账号",
            en="File with one line user:password, for the service alone; use an account that may only look",
            example='"/etc/edge-agent/cameras/hall.cred"',
        ),
        "basic": Key(
            zh="没有 TLS 也允许 Basic 认证: 密码会在局域网里明文出现",
            en="Allow Basic authentication without TLS: it shows the password to the LAN",
            example="false",
        ),
        "before_method": Key(
            zh="摄像机怎样给出已录的画面; onvif: 回放 (Profile G), 不用写 before_path",
            en="How the camera gives what it keeps; onvif: replay (Profile G), without a before_path",
            example='"onvif"',
            choices=("http", "rtsp", "onvif"),
        ),
        "before_recording": Key(
            zh="before_method = onvif: 用哪个录像 (token); 空: 唯一有那一刻的一个",
            en="For before_method = onvif: token of the recording; empty: the only one that has the moment",
            example='"Recording_1"',
            form="name",
        ),
        "before_path": Key(
            zh="已录画面的路径, 含 {start}, 可含 {end}; 空: 摄像机不存录像",
            en="Path of what it keeps, with {start} and perhaps {end}; empty: it keeps nothing",
            example='"/Streaming/tracks/101?starttime={start}&endtime={end}"',
            form="camera_path",
        ),
        "before_port": Key(
            zh="已录画面的端口; 不写: rtsp 554, http 同 port",
            en="Its port; left out: 554 for rtsp, that of port for http",
            example="554",
            low=1,
            high=65535,
        ),
        "before_s": seconds("要报警前多少秒的画面", "How long before the alarm", "5.0", 1, 60),
        "before_format": Key(
            zh="{start}、{end} 的写法 (strftime)",
            en="How {start} and {end} are written (strftime)",
            example='"%Y%m%dT%H%M%SZ"',
            form="stamp_format",
        ),
        "before_clock": Key(
            zh="{start}、{end} 用什么时间: utc 或 china 北京时间",
            en="Their time: utc, or china",
            example='"utc"',
            choices=("utc", "china"),
        ),
        "probe_s": seconds("多久试拍一次, 不保存", "How often it is tried, keeping nothing", "600.0", 5, 86400),
        "gb28181": Key(
            zh="在 GB/T 28181 平台上的 20 位编码, 随图片上报",
            en="Its 20 digits on a GB/T 28181 platform, told with its pictures",
            example='"36070000001320000001"',
            form="gb28181",
        ),
    },
)

MEDIA: Final = Section(
    name="media",
    cls=model.Media,
    into="media",
    many=False,
    aside=True,
    zh="图片的限量",
    en="How much of pictures",
    keys={
        "picture_kb": Key(
            zh="一张图片的上限, 更大的拒收",
            en="Most of one picture; a larger one is refused",
            example="512",
            unit="KiB",
            low=16,
            high=4096,
        ),
        "day_mb": Key(zh="24 小时的上限", en="Most in 24 hours", example="64", unit="MiB", low=1, high=4096),
        "after_s": seconds(
            "报警后多久再拍一张; 0 为不拍", "A second picture so long after the alarm; 0: none", "5.0", 0, 60
        ),
        "metered": Key(zh="按流量计费的链路也传图片", en="Pictures go over metered links too", example="false"),
    },
)
