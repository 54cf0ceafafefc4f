"""The shapes of the centres, and of the ways out of this box to them. Part of `edge_agent.config.model.Config`."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Modem:
    """[link.modem]: the modem this link is. `port`: raw AT; `device`: an interface ModemManager makes. Exactly one of them."""

    port: str = ""
    device: str = ""  # ModemManager's DeviceIdentifier or physical device; "any": the only one there is
    family: str = "auto"
    baud: int | None = None  # None: the family's
    apn: str = ""  # "": the SIM's own
    pin_file: Path | None = None  # 4-8 digits, readable by the service only
    mains_fed: bool = True  # no power saving: what the centre sends must not wait for hours
    power_pin: bool = False  # board.outputs.modem_power switches its supply
    reboot_host: bool = False  # the last rung of the ladder


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """[[link]]: one way out of this box. With none, whatever route the kernel has."""

    id: str
    kind: str = "ethernet"  # ethernet | wifi | cellular | nbiot (packed frames only)
    interface: str = ""  # network interface to bind to; "" is the kernel's own choice
    order: int | None = None  # lower is preferred; None: by kind, ethernet 10, wifi 20, cellular 30, nbiot 40
    metered: bool | None = None  # None: cellular and nbiot are
    monthly_mb: float = 0.0  # what the SIM pays for; 0 is no limit
    probe_s: float | None = (
        None  # how often the centre is tried over a path that carries no session; None: 60, nbiot 100
    )
    misses: int = 3  # so many in a row and the path is down
    hold_s: float = 60.0  # a better path must answer for this long before it is used again
    modem: Modem | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Gb26875:
    """[uplink.gb26875]: how one centre speaks GB/T 26875.3-2011. What centres disagree about is a key here, never a fork."""

    source: str  # this device's address, agreed with the centre
    target: str = "0"  # the centre's own
    transport: str = "tcp"  # tcp | udp
    history: bool = False  # whether a centre that is new here gets what the journal still holds
    address_style: str = "integer"  # integer | wire | high-first: how the two are written
    any_address: bool = False  # take confirms that name another device: some centres fill the field with zeros
    version: int = 1
    user_version: int = 1
    time: str = "binary"  # binary | bcd
    component_address: str = "loop-point"  # u32 | loop-point | point-loop | raw
    description: bool = True  # component status carries its 31 bytes of text
    adu_max: int = 512
    objects_max: int = 0  # information objects a frame; 0: as many as fit
    recovery: str = "bit"  # bit | user-type
    recovery_types: tuple[int, ...] = (134, 135, 136)  # of system, component and device status
    residual_current_type: int | None = None  # the analogue type agreed for mA; None: not carried
    residual_current_step_ma: int = 1
    trailing_time: bool = False
    keepalive: str = "device-status"
    keepalive_s: float = 30.0
    timeout_s: float = 10.0
    resends: int = 3
    open_exchanges: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Gb26875Point:
    """[[gb26875_point]]: what some points are called in GB/T 26875.3. None leaves a thing to the profile and the defaults."""

    points: tuple[str, ...]  # ids, or prefixes ending in *
    send: bool = True  # false: these points are not carried over GB/T 26875.3
    system_type: int | None = None
    system_address: int | None = None
    component_type: int | None = None
    component_address: str = ""  # "loop-point", "point", or "0x" and the four bytes in hex
    description: str = ""
    analogue_type: int | None = None
    scale: float | None = None  # value times this is the raw number on the wire


@dataclass(frozen=True, slots=True, kw_only=True)
class Uplink:
    """[[uplink]]: one centre. TLS unless the host is this machine, or `plain` says that a GB/T 26875.3 centre has none."""

    id: str
    host: str
    port: int = 8883
    protocol: str = "mqtt"  # mqtt | gb26875
    streams: tuple[str, ...] = ("alarm", "fault", "status", "telemetry")
    encoding: str = "json"  # json | cbor; mqtt only
    plain: bool = False
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    crl_file: Path | None = None  # what the CA has taken back
    revoked: tuple[str, ...] = ()  # serial numbers in hex, refused whatever a list says
    ack: str = "centre"  # centre | broker
    mandatory: bool = True
    keepalive_s: int = 30
    unconfirmed_s: float = 20.0  # older than this without the centre's word: the link is half open
    window: int = 8  # batches on the wire at once
    batch_bytes: int = 64 * 1024
    packed_host: str = ""  # where the centre takes packed frames (docs/packed.md); "": host
    packed_port: int = 0  # 0: it takes none
    packed_key_file: Path | None = None
    commands: tuple[str, ...] = ("read_state", "history", "duty_check")  # what this centre may ask of us
    config_key_file: Path | None = None  # whoever has the other half of this key may send configurations
    gb26875: Gb26875 | None = None

    def takes(self, stream: str) -> bool:
        """Whether this centre gets a stream."""
        return stream in self.streams
