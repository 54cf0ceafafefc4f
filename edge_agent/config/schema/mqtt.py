"""The box's own broker and the detectors that report to it."""

from typing import Final

from edge_agent.config import model
from edge_agent.config.keys import Key, Section
from edge_agent.config.schema.blocks import called, own_id, seconds

MQTT: Final = Section(
    name="mqtt",
    cls=model.Mqtt,
    into="mqtts",
    many=True,
    zh="本机的消息服务器 (mosquitto) 和向它报告的探测器: Zigbee2MQTT、Tasmota、ESPHome、自有节点",
    en="The broker of this machine (mosquitto) and the detectors that report to it: Zigbee2MQTT, Tasmota, ESPHome, our node",
    keys={
        "id": own_id('"mqtt1"'),
        "host": Key(
            zh="服务器地址, 必须是本机",
            en="Address of the broker; it must be this machine",
            example='"127.0.0.1"',
            form="host",
        ),
        "port": Key(zh="端口", en="Port", example="1883", low=1, high=65535),
        "username": Key(
            zh="本程序在服务器上的用户名",
            en="What this program is called at the broker",
            example='"edge-agent"',
            form="name",
            sample=True,
        ),
        "password_file": Key(
            zh="存放密码的文件, 仅服务可读",
            en="File with its password, for the service alone",
            example='"/etc/edge-agent/mqtt/password"',
            sample=True,
        ),
        "discover": Key(
            zh="按这些型号的主题寻找尚未配置的探测器 (edge-agent status --unlisted)",
            en="Profiles whose topics are watched for detectors nobody configured (edge-agent status --unlisted)",
            example='["zigbee2mqtt-smoke"]',
            form="profile",
        ),
        "node_updates": Key(
            zh="允许经网关给自有节点升级 (edge-agent node offer)",
            en="Updates may be offered to our own nodes (edge-agent node offer)",
            example="true",
        ),
    },
)

MQTT_DEVICE: Final = Section(
    name="mqtt.device",
    cls=model.MqttDevice,
    into="devices",
    many=True,
    zh="一只探测器",
    en="One detector",
    keys={
        "id": own_id('"smoke1"'),
        "profile": Key(zh="型号", en="Profile", example='"zigbee2mqtt-smoke"', form="profile"),
        "topic": Key(
            zh="它在主题里的名字, 即型号主题中的 {device}",
            en="What it is called in its topics: what stands for {device} in those of its profile",
            example='"0x005043c95333194d"',
            form="mqtt_name",
        ),
        "name": called('"三层走道烟感"', sample=True),
        "silence_s": seconds(
            "多久没有消息算失联; 0 为永不; 不写则按型号",
            "No message for so long is a fault; 0 is never; left out: the profile's",
            "90000.0",
            0,
            2592000,
        ),
    },
)
