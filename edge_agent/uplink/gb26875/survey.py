"""The map of a site from its configuration and profiles: what `places` needs to know before any point has spoken."""

from collections.abc import Sequence
from dataclasses import dataclass

from drivers.messages import PointSpec
from drivers.profile import Profile, ProfileError, Profiles, load_profiles
from edge_agent.config.keys import FORMS
from edge_agent.config.model import Config, Device, MqttDevice
from edge_agent.config.schema import BY_NAME, shapes
from edge_agent.config.uplinks import Gb26875Point
from edge_agent.uplink.gb26875.places import Known, Places

SECTION = "gb26875_point"


@dataclass(frozen=True, slots=True)
class BadRule:
    """A [[gb26875_point]] table of a profile that cannot be used. `key` is the one that is wrong, "" the table itself."""

    profile: str
    index: int  # from 1
    key: str
    value: str


def places_of(config: Config, *, residual_current_type: int | None = None) -> tuple[Places, list[BadRule]]:
    """The map of a site, and the tables of its profiles that are left out of it. A profile that cannot be read counts as empty."""
    profiles = load_profiles(config.profile_dirs)
    known = [Known(contact.id, contact.name, kind=contact.kind) for contact in config.contacts]
    rules: dict[str, Sequence[Gb26875Point]] = {}
    bad: dict[tuple[str, int, str], BadRule] = {}
    devices = config.profiled
    for source, name in [*((p.id, p.profile) for p in config.panels), *((d.id, d.profile) for d in devices)]:
        profile = _get(profiles, name)
        if profile is not None:
            rules[source], wrong = rules_of(profile)
            bad |= {(rule.profile, rule.index, rule.key): rule for rule in wrong}
    for device in devices:
        known += _values(device, _get(profiles, device.profile), config.gateway.language)
    places = Places(config, profiles=rules, known=known, residual_current_type=residual_current_type)
    return places, list(bad.values())


def rules_of(profile: Profile) -> tuple[list[Gb26875Point], list[BadRule]]:
    """The [[gb26875_point]] tables of a profile; their points are written without the source."""
    tables = profile.data.get(SECTION, [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        return [], [BadRule(profile.name, 1, "", "not an array of tables")]
    rules, bad = [], []
    for index, table in enumerate(tables, 1):
        wrong = next((key for key, value in table.items() if not _allowed(key, value)), None)
        if wrong is not None or "points" not in table:
            key = wrong or "points"
            bad.append(BadRule(profile.name, index, key, ascii(table.get(key, ""))[:60]))
        else:
            rules.append(Gb26875Point(**{**table, "points": tuple(table["points"])}))
    return rules, bad


def _allowed(key: str, value: object) -> bool:
    """Whether the table of the configuration would take the value; a profile's patterns may be any text."""
    rule, shape = BY_NAME[SECTION].keys.get(key), shapes(SECTION).get(key)
    if rule is None or shape is None:
        return False
    if shape.kind == "texts":
        return isinstance(value, list) and bool(value) and all(isinstance(one, str) and one for one in value)
    if shape.kind == "yes_no":
        return isinstance(value, bool)
    if shape.kind == "text":
        return isinstance(value, str) and FORMS[rule.form].fullmatch(value) is not None
    number = isinstance(value, int if shape.kind == "whole" else int | float) and not isinstance(value, bool)
    return number and (rule.low is None or rule.low <= value) and (rule.high is None or value <= rule.high)  # type: ignore[operator]


def _get(profiles: Profiles, name: str) -> Profile | None:
    try:
        return profiles.get(name)
    except ProfileError:  # the core tells it as a fault of the source
        return None


def _values(device: Device | MqttDevice, profile: Profile | None, lang: str) -> list[Known]:
    if profile is None:
        return []
    try:
        specs = _specs(device, profile)
    except ValueError:  # a profile that makes no sense: the core tells it as a fault of the source
        return []
    named = [(spec, spec.name_zh if lang == "zh" else spec.name_en) for spec in specs]
    return [
        Known(spec.id, f"{device.name}{name}", spec.unit, spec.kind, order)
        for order, (spec, name) in enumerate(named, 1)
    ]


def _specs(device: Device | MqttDevice, profile: Profile) -> list[PointSpec]:
    if profile.kind == "mqtt":
        from drivers import mqtt_profile

        return mqtt_profile.compile_profile(profile.data, name=profile.name).specs(device.id)
    if profile.kind == "dlt645":
        from drivers import dlt645_map

        return dlt645_map.compile_profile(profile.data, name=profile.name).specs(device.id)
    if profile.kind == "ks68":
        from drivers import ks_map

        return ks_map.compile_profile(profile.data, name=profile.name).specs(device.id)
    from drivers import modbus_map

    return modbus_map.compile_profile(profile.data, name=profile.name).specs(device.id)
