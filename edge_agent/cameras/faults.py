"""Why there is no picture."""


class CameraFault(Exception):
    """`code` is ASCII, of `edge_agent.texts.camera`: fault_<code>; `detail` is for the log and never holds a password or a URL."""

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(f"{code}: {detail}" if detail else code)
        self.code = code
        self.detail = detail.encode("ascii", "backslashreplace").decode()[:200]
