"""The checked configuration. `edge_agent.config.load` makes it; nothing else reads the files."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from edge_agent.config.uplinks import Gb26875Point, Link, Uplink


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """[gateway]: who this box is and where it keeps things."""

    id: str  # 4-32 of A-Z a-z 0-9 -, also the MQTT client id and topic level
    name: str = ""
    language: str = "zh"
    data_dir: Path = Path("/var/lib/edge-agent")
    run_dir: Path = Path("/run/edge-agent")


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """[board]: the lines of this box's own buzzer, lamps and buttons. A line left out is not driven."""

    gpio: str = "none"  # none | gpiod | rpigpio | fake
    chip_label: str = ""  # gpiod: "" finds the header chip of any Pi by its label
    fake_socket: Path | None = None  # fake: Unix socket on which a simulator sets inputs and watches outputs
    outputs: Mapping[str, int] = field(
        default_factory=dict
    )  # buzzer, fire_lamp, fault_lamp, link_lamp, modem_power -> line
    buttons: Mapping[str, int] = field(default_factory=dict)  # ack, silence -> line; pressed pulls to ground
    modem_power_idle: bool = False  # level of modem_power while the modem is to run
    modem_power_pulse_s: float = 12.0  # how long the other level is held to power-cycle it


@dataclass(frozen=True, slots=True, kw_only=True)
class Contact:
    """[[contact]]: one dry contact."""

    id: str
    line: int
    kind: str = "fire"  # an event kind (edge_agent.model.Kind)
    name: str = ""
    normally: str = "open"  # open | closed
    on_delay_s: float = 0.05
    off_delay_s: float = 0.5
    tap_of: str = ""  # a relay of this panel: one source of truth with it


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """[[panel]]: a fire panel on a serial port."""

    id: str
    profile: str
    port: str
    name: str = ""
    baud: int | None = None  # None: the profile's
    framing: str | None = None  # "8N1"; None: the profile's
    silence_s: float | None = None  # None: the profile's
    software_version: str = ""  # "3.18": read off the panel
    tap_of: str = ""  # another port of this panel: one source of truth with it
    tap_hold_s: float = 30.0  # how much later another tap of this panel may say the same


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """[[bus.device]]: one slave of a Modbus bus, one meter of a DL/T 645 line, one breaker of a KS line."""

    id: str
    profile: str
    address: int = 1
    meter: str = ""  # DL/T 645, KS: the 12 digits on its plate; "": the only meter on the line, which is asked for them
    name: str = ""
    period_s: float | None = None  # None: the profile's
    tap_of: str = ""  # a card of this panel: one source of truth with it


@dataclass(frozen=True, slots=True, kw_only=True)
class Bus:
    """[[bus]]: a polled line. Modbus: `port` for RTU, `host` for TCP, exactly one of them. DL/T 645, KS breakers: `port`."""

    id: str
    devices: tuple[Device, ...]
    protocol: str = "modbus"  # modbus | dlt645 | ks68
    port: str = ""
    baud: int | None = None  # None: 9600 for Modbus, the first profile's for the others
    framing: str | None = None  # None: 8N1 for Modbus, the first profile's for the others
    host: str = ""
    tcp_port: int = 502
    timeout_s: float = 0.3
    gap_s: float = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class MqttDevice:
    """[[mqtt.device]]: one detector behind the broker."""

    id: str
    profile: str
    topic: str  # what stands for {device} in the topics of its profile
    name: str = ""
    silence_s: float | None = None  # None: the profile's; 0: it may be silent for ever


@dataclass(frozen=True, slots=True, kw_only=True)
class Mqtt:
    """[[mqtt]]: the broker of this machine, and the detectors that report to it."""

    id: str
    devices: tuple[MqttDevice, ...]
    host: str = "127.0.0.1"
    port: int = 1883
    username: str = ""
    password_file: Path | None = None
    discover: tuple[str, ...] = ()  # profiles whose topics are watched for devices nobody configured
    node_updates: bool = False  # whether updates may be offered to our own nodes


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiverDevice:
    """[[receiver.device]]: one device that speaks to a receiver by itself."""

    id: str
    address: str = ""  # as it names itself on the wire; "": whoever speaks, where there is only one
    name: str = ""
    silence_s: float | None = None  # None: the protocol's; 0: it may be silent for ever
    key_file: Path | None = None  # of SIA DC-09: it speaks encrypted, and only so
    tap_of: str = ""  # another word of this panel: one source of truth with it


@dataclass(frozen=True, slots=True, kw_only=True)
class Receiver:
    """[[receiver]]: what speaks to the gateway by itself. One way in: an address (`listen`), a serial `port`, or a `folder`."""

    id: str
    protocol: str  # gb26875 | dc09 | nb | espa444 | contact-id | frames
    devices: tuple[ReceiverDevice, ...]
    name: str = ""
    listen: str = ""  # an address of this machine
    listen_port: int | None = None
    transport: str | None = None  # tcp | udp | coap; None: the protocol's
    allow: tuple[str, ...] = ()  # addresses and networks that may speak
    port: str = ""
    baud: int | None = None  # None: the protocol's
    framing: str | None = None  # None: the protocol's
    folder: Path | None = None  # whose files are taken in, line by line
    dialect: str = "standard"  # of GB/T 26875.3
    component_address: str = ""  # of GB/T 26875.3; "": the dialect's
    station: str = "2"  # of ESPA 4.4.4: our address on the line
    polls: str = ""  # of ESPA 4.4.4: we are the control station and poll the panel at this address; "": it is
    profile: str = ""  # of ESPA 4.4.4: what reads its texts, "": generic-printer; of frames: what reads them


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """[point.limits]: what the site writes of when a value becomes an event, in the point's own unit (docs/rules.md).

    None is left out: then the preset's holds, or the profile's, or none (edge_agent.points.limits).
    """

    prealarm_high: float | None = None
    prealarm_low: float | None = None
    alarm_high: float | None = None
    alarm_low: float | None = None
    alarm_high_high: float | None = None
    alarm_low_low: float | None = None
    hysteresis: float | None = None  # how far back a value must go before the limit counts as left
    on_delay_s: float | None = None
    off_delay_s: float | None = None
    extreme_on_delay_s: float | None = None  # of alarm_high_high and alarm_low_low
    n: int | None = None  # n of the last m polls must agree
    m: int | None = None
    prealarm_rise_per_min: float | None = None
    alarm_rise_per_min: float | None = None
    alarm_fall_per_min: float | None = None
    rate_window_s: float | None = None
    baseline_k: float | None = None  # so many learned deviations over the learned mean are a prealarm
    baseline_least: float | None = None  # and at least so much
    baseline_learn_s: float | None = None  # three days before it judges
    baseline_on_delay_s: float | None = None
    baseline_round: int | None = None  # another number: what was learned is forgotten
    range_low: float | None = None  # outside of its range a sensor is broken: a fault, never an alarm
    range_high: float | None = None
    stuck_s: float | None = None  # the same value for so long is a fault
    missing_s: float | None = None  # no value for so long is a fault


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """[[point]]: what the site says of one point, over what its profile says."""

    id: str
    name: str = ""
    kind: str | None = None
    preset: str = ""  # limits by name, over the profile's (edge_agent.points.presets)
    limits: Limits | None = None  # over the preset's and the profile's
    telemetry_s: float | None = None  # longest time between two kept readings; None: [journal] telemetry_s
    deadband: float | None = None  # a change by more than this is kept at once (fraction of the value, 0.05 = 5 %)


@dataclass(frozen=True, slots=True, kw_only=True)
class Zone:
    """[[zone]]: points that confirm each other. Two of them, or a manual call point, make grade 2."""

    id: str
    points: tuple[str, ...]  # ids, or prefixes ending in *
    name: str = ""
    unacknowledged_s: float = 120.0  # a grade 1 alarm nobody acknowledged becomes grade 2; 0 is never


@dataclass(frozen=True, slots=True, kw_only=True)
class Water:
    """[[water]]: a hydrant, a test point or a pump room, by the points that watch it. A point left out has no rule."""

    id: str
    name: str = ""
    building: str = ""  # whose limits hold (edge_agent.points.water)
    pressure: str = ""  # ids of points from here on
    flow: str = ""
    temperature: str = ""
    tilt: str = ""
    cap: str = ""  # true while open
    water: str = ""  # true while water comes out
    level: str = ""
    flushing: str = ""  # true while people flush on purpose
    pump: str = ""  # true while it runs
    pump_fault: str = ""
    pump_auto: str = ""  # true in automatic
    pump_power: str = ""  # true while there is power
    leak_lps: float = 0.5
    leak_s: float = 300.0
    off_delay_s: float = 30.0
    pump_s: float = 60.0  # how long a pump may take to start, and the pressure to come
    tilt_deg: float = 15.0
    tilt_zero_deg: float = 0.0  # as it stands
    level_low_m: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkageOutput:
    """[[linkage.output]]: a relay of this box that follows alarms, if [linkage] enable names it."""

    id: str
    action: str  # gas_valve | fan | sounder
    line: int
    kinds: tuple[str, ...]  # of alarm
    points: tuple[str, ...] = ("*",)  # ids, or prefixes ending in *
    name: str = ""
    idle: bool = False  # level of the line while it does not act
    grade: int = 1  # 2: only a confirmed alarm
    only_if: tuple[str, ...] = ()  # switches that must be on
    never_if: tuple[str, ...] = ()  # switches that must be off
    override: str = ""  # a manual switch: while it is on, nothing acts
    hold_s: float = 5.0  # the alarm must stand so long
    min_on_s: float = 30.0
    max_on_s: float = 0.0  # 0: no limit
    min_off_s: float = 60.0
    stale_s: float = 300.0  # an alarm older than this is not acted upon any more
    start_s: float = 60.0  # an alarm that came so soon after the start is not acted upon
    release: str = "manual"  # manual | auto: what ends it once the alarm is over


@dataclass(frozen=True, slots=True, kw_only=True)
class Linkage:
    """[linkage]: outputs that follow alarms. None ever acts unless it is named here."""

    enable: tuple[str, ...] = ()
    outputs: tuple[LinkageOutput, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Journal:
    """[journal]: how much is kept, and how long telemetry may wait for the card."""

    vital_mb: int = 256
    bulk_mb: int = 512
    reserve_mb: int = 4
    history_events: int = 10_000
    history_alarm_days: int = 365
    telemetry_linger_s: float = 10.0  # the stated loss window of telemetry at a power cut
    telemetry_s: float = 60.0  # a value that hardly moves is kept this often
    deadband: float = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class TagReader:
    """[[tag_reader]]: where patrol tags are read."""

    id: str
    kind: str  # rdm6300 | pn532 | keyboard
    port: str  # serial port, or for a keyboard its /dev/input/by-id/...-event-kbd
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PatrolPoint:
    """[[patrol_point]]: a place with a tag. Without `tag` it is learned on site."""

    id: str
    name: str = ""
    tag: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patrol:
    """[[patrol]]: a round through points, at times of the day (China time) or every so many minutes, exactly one of them."""

    id: str
    points: tuple[str, ...]
    name: str = ""
    times: tuple[str, ...] = ()  # "22:00"
    every_min: int | None = None
    grace_min: int = 30  # from due to missed
    early_min: int = 10  # a point seen so long before counts


@dataclass(frozen=True, slots=True, kw_only=True)
class Camera:
    """[[camera]]: a camera on the site's LAN, and the points whose alarms it sees."""

    id: str
    host: str
    points: tuple[str, ...]  # ids, or prefixes ending in *
    name: str = ""
    method: str = "onvif"  # onvif | http | rtsp
    port: int | None = None  # None: 80, 443 with tls, 554 for rtsp
    path: str = ""  # http, rtsp: where the picture or the stream is
    profile: str = ""  # onvif: token; "": the first
    tls: bool = False
    ca_file: Path | None = None
    credentials_file: Path | None = None  # user:password, readable by the service only
    basic: bool = False  # Basic authentication without TLS is allowed: it shows the password to the LAN
    before_method: str = "rtsp"  # http | rtsp | onvif: how the camera gives what it keeps
    before_recording: str = ""  # onvif: token; "": the only one that has the moment
    before_path: str = ""  # with {start} and {end}; "": it keeps nothing
    before_port: int | None = None
    before_s: float = 5.0  # how long before the alarm
    before_format: str = "%Y%m%dT%H%M%SZ"  # of {start} and {end}, as strftime has it
    before_clock: str = "utc"  # utc | china: what the camera's addresses are in
    probe_s: float = 600.0  # how often it is asked for a picture nobody keeps
    gb28181: str = ""  # its 20 digits on a GB/T 28181 platform, told with its pictures


@dataclass(frozen=True, slots=True, kw_only=True)
class Media:
    """[media]: how much of pictures."""

    picture_kb: int = 512  # a larger one is refused
    day_mb: int = 64  # in 24 hours
    after_s: float = 5.0  # a second picture so long after the alarm; 0: none
    metered: bool = False  # pictures over links that are paid by the byte


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The whole site."""

    gateway: Gateway
    board: Board = Board()
    journal: Journal = Journal()
    panels: tuple[Panel, ...] = ()
    buses: tuple[Bus, ...] = ()
    mqtts: tuple[Mqtt, ...] = ()
    receivers: tuple[Receiver, ...] = ()
    contacts: tuple[Contact, ...] = ()
    points: tuple[Point, ...] = ()
    zones: tuple[Zone, ...] = ()
    waters: tuple[Water, ...] = ()
    linkage: Linkage = Linkage()
    tag_readers: tuple[TagReader, ...] = ()
    patrol_points: tuple[PatrolPoint, ...] = ()
    patrols: tuple[Patrol, ...] = ()
    cameras: tuple[Camera, ...] = ()
    media: Media = Media()
    links: tuple[Link, ...] = ()
    uplinks: tuple[Uplink, ...] = ()
    gb26875_points: tuple[Gb26875Point, ...] = ()
    profile_dirs: tuple[Path, ...] = (Path("/etc/edge-agent/profiles"),)  # override the shipped ones

    @property
    def lines(self) -> "tuple[Bus | Mqtt | Receiver, ...]":
        """Everything that has devices."""
        return (*self.buses, *self.mqtts, *self.receivers)

    @property
    def profiled(self) -> "tuple[Device | MqttDevice, ...]":
        """Every device that has a profile of its own."""
        found = [device for bus in self.buses for device in bus.devices]
        return (*found, *(device for broker in self.mqtts for device in broker.devices))

    def mandatory(self, stream: str = "alarm") -> list[str]:
        """Ids of the centres without whose word a record of `stream` is not delivered."""
        return [uplink.id for uplink in self.uplinks if uplink.mandatory and uplink.takes(stream)]
