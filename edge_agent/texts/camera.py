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
        '    没有配置 before_method = "onvif" 或 before_path: 不取报警前的画面',
        '    neither before_method = "onvif" nor a before_path is configured: nothing from before an alarm',
    ),
    "before_failed": ("    报警前的画面取不到: {why}", "    nothing from before: {why}"),
    "detail": ("{why} ({detail})", "{why} ({detail})"),
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
    # why there is none from before an alarm
    "fault_no_replay": (
        "摄像机没有 ONVIF 录像回放 (Profile G)。可改用 before_path",
        "the camera has no ONVIF replay (Profile G). Perhaps it has an address for before_path",
    ),
    "fault_no_recording": (
        "摄像机里没有这一刻的录像。请核对存储卡和录像计划",
        "the camera has no recording of that moment. Check its card and its recording schedule",
    ),
    "fault_which_recording": (
        "有这一刻的录像不止一个。请写 before_recording = 其中一个",
        "more than one recording has that moment. Write before_recording = one of",
    ),
    "fault_no_moment": (
        "回放里没有这一刻的画面",
        "what it plays back has no picture of that moment",
    ),
    "fault_replay_no_clock": (
        "回放的画面不带时间, 无法证明是哪一刻的, 不用",
        "what it plays back does not say of when it is, and proves nothing",
    ),
    "fault_codec": (
        "录像的编码不是 H.264 或 H.265。请在摄像机里改编码",
        "the recording is neither H.264 nor H.265. Change its codec in the camera",
    ),
    "fault_rtsp": ("RTSP 服务拒绝", "its RTSP service refuses"),
    "fault_no_stream": ("没有这个 RTSP 视频流。请核对 path", "there is no such RTSP stream. Check path"),
    "fault_no_frame": ("视频流里取不到一帧", "no frame came out of the stream"),
}
