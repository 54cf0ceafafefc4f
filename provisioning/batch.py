"""A sheet of sites as Excel saves it: read in whatever encoding, every fault told in one pass by row and column."""

import csv
import io
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from edge_agent.config.keys import FORMS
from edge_agent.config.site import nearest, shown_name
from edge_agent.terminal import FAILURES
from provisioning.errors import ProvisionError

BYTES_MAX: Final = 4 * 1024 * 1024
ROWS_MAX: Final = 5000
FAULTS_MAX: Final = 1000

# Column -> what people call it. The first three must be there.
COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    "site_code": ("站点编号", "站点编码", "编号"),
    "unit_name": ("单位名称", "联网单位", "单位"),
    "county": ("县区", "县(市、区)", "区县", "县"),
    "panel_profile": ("控制器型号", "主机型号", "型号"),
    "uplink": ("上联方式", "上联", "网络"),
    "remark": ("备注",),
}
REQUIRED: Final = ("site_code", "unit_name", "county")
UPLINKS: Final = ("dhcp", "static", "4g")
COUNTIES: Final = (
    *("章贡区", "南康区", "赣县区", "信丰县", "大余县", "上犹县", "崇义县", "安远县", "定南县", "全南县"),
    *("宁都县", "于都县", "兴国县", "会昌县", "寻乌县", "石城县", "瑞金市", "龙南市", "经开区", "蓉江新区"),
)
_SCIENTIFIC: Final = re.compile(r"[+-]?\d(?:\.\d+)?[Ee][+-]?\d+")


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong. `row` counts as Excel does, from 1; `column` is Excel's letter, "" for the row as a whole."""

    row: int
    column: str
    name: str
    code: str
    params: Mapping[str, object] = field(default_factory=dict)


@dataclass(slots=True)
class Sheet:
    """A sheet as read: sound or not, `rows` holds every site by column name."""

    rows: list[dict[str, str]] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)

    def fault(self, row: int, column: int | None, name: str, code: str, /, **params: object) -> None:
        """Add one fault, up to FAULTS_MAX of them."""
        if len(self.faults) < FAULTS_MAX:
            self.faults.append(Fault(row, "" if column is None else letter(column), name, code, params))


def letter(column: int) -> str:
    """Excel's name of a column counted from 0: A, B, ... Z, AA."""
    name = ""
    column += 1
    while column:
        column, rest = divmod(column - 1, 26)
        name = chr(ord("A") + rest) + name
    return name


def check(path: Path) -> Sheet:
    """Read and check a sheet. Raise ProvisionError only where nothing can be read: cannot_read, sheet_*."""
    lines = _lines(_text(path))
    sheet = Sheet()
    if not lines:
        raise ProvisionError("sheet_empty", FAILURES)
    columns = _columns(sheet, lines[0])
    filled = [(n, line) for n, line in enumerate(lines[1:], start=2) if any(cell.strip() for cell in line)]
    if not filled:
        raise ProvisionError("sheet_empty", FAILURES)
    _check_rows(sheet, columns, len(lines[0]), filled)
    if "site_code" in columns:
        _check_codes(sheet, columns["site_code"], filled)
    sheet.faults.sort(key=lambda fault: (fault.row, len(fault.column), fault.column))
    return sheet


def _text(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            data = stream.read(BYTES_MAX + 1)
    except (OSError, ValueError) as fault:
        why = getattr(fault, "strerror", None) or "invalid name"
        raise ProvisionError("cannot_read", FAILURES, path=path, why=why) from fault
    if len(data) > BYTES_MAX:
        raise ProvisionError("sheet_too_large", FAILURES, bytes_max=BYTES_MAX, rows_max=ROWS_MAX)
    for encoding in ("utf-8-sig", "gb18030"):  # Chinese Excel saves GBK without a mark
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" not in text:
            return text
    raise ProvisionError("sheet_not_text", FAILURES)


def _lines(text: str) -> list[list[str]]:
    head = text.partition("\n")[0]
    delimiter = max((",", "\t", ";"), key=head.count)
    lines = []
    try:
        for line in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True):
            lines.append(line)
            if len(lines) > ROWS_MAX + 1:
                raise ProvisionError("sheet_too_large", FAILURES, bytes_max=BYTES_MAX, rows_max=ROWS_MAX)
    except csv.Error as fault:
        raise ProvisionError("sheet_broken", FAILURES, why=fault) from fault
    return lines


def _columns(sheet: Sheet, head: Sequence[str]) -> dict[str, int]:
    names = {called: name for name, others in COLUMNS.items() for called in (name, *others)}
    found: dict[str, int] = {}
    for n, cell in enumerate(head):
        written = unicodedata.normalize("NFKC", cell).strip().lower()
        name = names.get(written) or names.get(cell.strip()) or names.get(written.replace(" ", "_"))
        if name is None:
            if written:
                sheet.fault(1, n, "", "unknown_column", name=shown_name(cell.strip()), known=", ".join(COLUMNS))
        elif name in found:
            sheet.fault(1, n, name, "duplicate_column", name=name)
        else:
            found[name] = n
    for name in REQUIRED:
        if name not in found:
            sheet.fault(1, None, name, "missing_column", name=f"{name} ({COLUMNS[name][0]})")
    return found


def _check_rows(
    sheet: Sheet, columns: Mapping[str, int], head_cells: int, filled: Sequence[tuple[int, list[str]]]
) -> None:
    for row, line in filled:
        site = {name: line[n].strip() if n < len(line) else "" for name, n in columns.items()}
        sheet.rows.append(site)
        if any(cell.strip() for cell in line[head_cells:]):
            sheet.fault(row, None, "", "too_many_cells")
        for name, n in columns.items():
            value = site[name]
            if not value:
                if name in REQUIRED:
                    sheet.fault(row, n, name, "missing_value")
            elif name in {"site_code", "panel_profile"}:
                form = FORMS["id" if name == "site_code" else "profile"]
                if _SCIENTIFIC.fullmatch(value):
                    sheet.fault(row, n, name, "scientific", value=value)
                elif not form.fullmatch(value):
                    sheet.fault(row, n, name, "bad_code", value=shown_name(value))
            elif name == "county" and value not in COUNTIES:
                near = nearest(value, COUNTIES)
                sheet.fault(row, n, name, "unknown_county", value=shown_name(value), nearest=near)
            elif name == "uplink" and unicodedata.normalize("NFKC", value).lower() not in UPLINKS:
                sheet.fault(row, n, name, "unknown_uplink", value=shown_name(value), known=", ".join(UPLINKS))
            elif not FORMS["name"].fullmatch(value):
                sheet.fault(row, n, name, "too_long")


def _check_codes(sheet: Sheet, column: int, filled: Sequence[tuple[int, list[str]]]) -> None:
    codes = [(row, line[column].strip()) for row, line in filled if column < len(line) and line[column].strip()]
    first: dict[str, int] = {}
    for row, code in codes:
        if code in first:
            sheet.fault(row, column, "site_code", "duplicate_code", value=shown_name(code), first_row=first[code])
        first.setdefault(code, row)
    # Codes of digits are all of one length; Excel drops the zeros a shorter one began with.
    lengths = Counter(len(code) for _, code in codes if code.isascii() and code.isdigit())
    longest = max(lengths, default=0)
    for row, code in codes:
        if code.isascii() and code.isdigit() and len(code) < longest <= 32:
            sheet.fault(row, column, "site_code", "lost_zeros", value=code, expected=code.zfill(longest))
