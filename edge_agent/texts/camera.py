"""Words of the cameras: why there is no picture, and what `edge-agent camera` says."""

TEXTS: dict[str, tuple[str, str]] = {
    "none": ("没有配置摄像机 [[camera]]。", "No [[camera]] is configured."),
    "unknown": ("没有摄像机 {name}。有: {known}", "There is no camera {name}. There are: {known}"),
    "took": ("{name}: 有图, {bytes} 字节, 用时 {seconds} 秒", "{name}: a picture, {bytes} bytes, in {seconds} s"),
    "clock_ok": ("    时钟差 {seconds} 秒", "    its clock differs by {seconds} s"),
    "clock_off": (
        "    时钟差 {seconds} 秒: 图片的时间不可信, 请给摄像机校时",
        "    its clock differs by {seconds} s: the time in its pictures proves nothing. Set the camera's clock",
    ),
    "clock_unsaid": ("    摄像机不报时间", "    it does not tell its time"),
    "before_took": ("    {seconds} 秒前的画面: {bytes} 字节", "    from {seconds} s ago: {bytes} bytes"),
    "before_not_kept": (
        "    没有配置 before_path: 不取报警前的画面",
        "    no before_path is configured: nothing from before an alarm",
    ),
    "before_failed": ("    报警前的画面取不到: {why}", "    nothing from before: {why}"),
    "failed": ("{name}: {why}", "{name}: {why}"),
    "written": ("    存为 {path}", "    written to {path}"),
    "not_written": ("    不能写 {path}: {why}", "    cannot write {path}: {why}"),
    # why there is no picture
    "fault_auth": (
        "账号或密码不对, 或账号没有权限。请核对 credentials_file",
        "wrong user or password, or the account may not. Check credentials_file",
    ),
    "fault_auth_basic": (
        "摄像机只接受 Basic 认证, 密码会明文传输。请改用 HTTPS (tls = true), 或明知如此写 basic = true",
        "the camera takes Basic authentication only, which shows the password. Use HTTPS (tls = true), or write basic = true"
        " knowing that",
    ),
    "fault_credentials": (
        "credentials_file 读不到, 或不是一行 用户:密码",
        "credentials_file cannot be read, or is not one line user:password",
    ),
    "fault_timeout": ("限时内没有给图", "no picture in time"),
    "fault_refused": ("端口没有服务。请核对 host 和 port", "nobody listens at that port. Check host and port"),
    "fault_no_route": (
        "地址到不了。请核对 host、网线和交换机",
        "the address cannot be reached. Check host, cable and switch",
    ),
    "fault_cut_off": ("没有说完就断开了", "it hung up in the middle"),
    "fault_too_large": (
        "图片超过 [media] picture_kb。请降低摄像机的图片分辨率",
        "the picture is over [media] picture_kb. Lower the camera's resolution",
    ),
    "fault_not_a_picture": ("给的不是 JPEG 图片。请核对 path", "what it gave is no JPEG. Check path"),
    "fault_status": (
        "摄像机说没有这个地址 (HTTP 错误)。请核对 path",
        "the camera refused that address (HTTP status). Check path",
    ),
    "fault_redirect": ("被引到别的地址, 不跟去", "it sends us elsewhere, and we do not go"),
    "fault_encoding": ("给的是压缩过的内容, 不解", "what it gave is compressed, and not unpacked"),
    "fault_malformed": ("答复不合规范", "its answer makes no sense"),
    "fault_soap": ("ONVIF 服务报错", "its ONVIF service reports a fault"),
    "fault_no_profile": ("没有这个 ONVIF profile", "it has no such ONVIF profile"),
    "fault_tls": ("HTTPS 证书核对不过。请核对 ca_file", "its HTTPS certificate does not fit ca_file"),
    "fault_no_ffmpeg": ("没有 ffmpeg。请安装: apt install ffmpeg", "ffmpeg is missing. Install it: apt install ffmpeg"),
    "fault_no_stream": ("没有这个 RTSP 视频流。请核对 path", "there is no such RTSP stream. Check path"),
    "fault_no_frame": ("视频流里取不到一帧", "no frame came out of the stream"),
}
