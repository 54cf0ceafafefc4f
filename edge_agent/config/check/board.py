"""Lines of the board: each has one use, and a back end that drives it."""

from edge_agent.config.check.repeats import first_at
from edge_agent.config.site import Site
from edge_agent.config.toml_lines import Path


def check_board(site: Site) -> None:
    """Every line in use has one user, and the board can drive it."""
    boards = site.items("board")
    gpio = boards[0].values.get("gpio", "none" if "gpio" not in site.table(boards[0]) else "") if boards else "none"
    contacts = site.items("contact")
    used: dict[int, tuple[str, Path]] = {}

    def use(line: int, path: Path, label: str) -> None:
        if line in used:
            site.findings.error("same_line", site.origin(path), label, value=line, **first_at(site, *used[line]))
        else:
            used[line] = (label, path)

    for board in boards:
        for key in ("outputs", "buttons"):
            for name, line in board.values.get(key, {}).items():
                use(line, (*board.path, key, name), f"board.{key}.{name}")
        if gpio == "fake" and "fake_socket" not in site.table(board):
            site.error("no_fake_socket", board, "gpio")
        if gpio == "none" and (board.values.get("outputs") or board.values.get("buttons")):
            site.error("no_gpio", board)
        if gpio not in {"none", ""} and "buzzer" not in board.values.get("outputs", {}):
            site.warning("no_buzzer", board, "outputs" if "outputs" in board.values else "")
    for output in site.items("linkage.output"):
        if "line" in output.values:
            use(output.values["line"], (*output.path, "line"), f"{output.label}.line")
        if gpio == "none" and not site.is_broken:
            site.error("no_gpio", output, "line")
    for contact in contacts:
        if "line" in contact.values:
            use(contact.values["line"], (*contact.path, "line"), f"{contact.label}.line")
    if contacts and gpio == "none" and not site.is_broken:
        site.error("no_gpio", contacts[0])
