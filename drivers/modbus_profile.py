"""What a Modbus profile must hold: tables that compile."""

from drivers.codecs.modbus import decode_frames
from drivers.modbus_map import ProfileFault, compile_profile
from drivers.profile import Profile, ProfileFinding


def try_capture(profile: Profile, data: bytes) -> list[dict[str, object]]:
    """The frames of a capture: a read's answer names no register, so a profile adds nothing to it."""
    return decode_frames(data)


def check(profile: Profile) -> list[ProfileFinding]:
    """What is wrong with the tables of a Modbus profile."""
    try:
        compile_profile(profile.data, name=profile.name)
    except ProfileFault as fault:
        params = {"where": fault.where, "value": fault.value, "detail": fault.code}
        return [ProfileFinding("bad_table", params)]
    return []
