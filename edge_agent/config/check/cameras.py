"""Cameras: how each gives a picture, and a centre that takes them."""

from edge_agent.config.site import Site


def check_cameras(site: Site) -> None:
    """Every camera has what its method needs, and some centre takes pictures."""
    cameras = site.items("camera")
    for camera in cameras:
        table, method = site.table(camera), camera.values.get("method", "onvif")
        if method != "onvif" and "path" not in table:
            site.error("camera_path", camera, "method", method=method)
        unused = {"onvif": ("path",), "http": ("profile",), "rtsp": ("profile", "tls", "basic")}[method]
        for key in unused:
            if camera.values.get(key):
                site.warning("not_used", camera, key, name=key, why="method")
        if camera.values.get("tls") and "ca_file" not in table:
            site.error("half_pair", camera, "tls", name="tls", other="ca_file")
        before, how = camera.values.get("before_path", ""), camera.values.get("before_method")
        if before and "{start}" not in before and how != "onvif":
            site.error("camera_before", camera, "before_path")
        for key in ("before_path", "before_format", "before_clock") if how == "onvif" else ("before_recording",):
            if key in table:
                site.warning("not_used", camera, key, name=key, why="before_method")
        if "credentials_file" not in table:
            site.warning("camera_no_login", camera)
    takes = [uplink for uplink in site.items("uplink") if "media" in uplink.values.get("streams", ())]
    if cameras and not takes and not site.is_broken:
        site.warning("camera_no_centre", cameras[0])
    for uplink in site.items("uplink"):
        if "snapshot" in uplink.values.get("commands", ()) and uplink not in takes:
            site.warning("snapshot_no_media", uplink, "commands")
    for uplink in takes:
        if uplink.values.get("protocol") == "gb26875":
            site.error("gb_no_media", uplink, "streams")
