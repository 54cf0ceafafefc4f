"""A VFS inside the very SQLite that Python's sqlite3 uses: the unix one, with what changes a file going through a `Listener`.

Reads, locks and shared memory stay the library's own code at its own speed; of the table of methods of each open file only
write, truncate, sync, close and the exclusive lock are replaced (sqlite.org/vfs.html; offsets of sqlite3.h, stable since 3.7).
"""

import ctypes
from collections.abc import Callable
from typing import Any, Protocol

NAME = "simdisk"
OK, BUSY, NOMEM, READONLY, IOERR, FULL, CANTOPEN = 0, 5, 7, 8, 10, 13, 14
IOERR_READ, IOERR_WRITE, IOERR_FSYNC, IOERR_TRUNCATE, IOERR_DELETE = 266, 778, 1034, 1546, 2570
OPEN_READWRITE, OPEN_CREATE, OPEN_READONLY = 2, 4, 1
LOCK_EXCLUSIVE = 4

_P, _I, _L = ctypes.c_void_p, ctypes.c_int, ctypes.c_longlong
_Write = (_I, _P, _P, _I, _L)
_SIZED, _FLAGGED, _ONE = (_I, _P, _L), (_I, _P, _I), (_I, _P)
_OPEN, _DELETE, _SLEEP = (_I, _P, _P, _P, _I, _P), (_I, _P, _P, _I), (_I, _P, _I)
_METHODS = 19  # words of sqlite3_io_methods, version 3


class Listener(Protocol):
    """Says what becomes of each change; a result that is not OK is the library's error code."""

    def opened(self, path: str, flags: int) -> tuple[int, int]:
        """(code, flags to open with)."""
        ...

    def made(self, path: str) -> None: ...
    def write(self, path: str, offset: int, data: bytes) -> int: ...
    def truncate(self, path: str, size: int) -> int: ...
    def sync(self, path: str) -> int: ...
    def delete(self, path: str) -> tuple[int, bool]:
        """(code, whether the library shall unlink it)."""
        ...

    def may_lock(self) -> bool: ...


listener: Listener | None = None
_kept: list[Any] = []  # callbacks and tables live as long as the library


def _c(types: tuple[Any, ...], function: Callable[..., int]) -> int:
    made = ctypes.CFUNCTYPE(*types)(function)
    _kept.append(made)
    address = ctypes.cast(made, _P).value
    assert address is not None
    return address


def _py(types: tuple[Any, ...], address: int) -> Callable[..., int]:
    return ctypes.PYFUNCTYPE(*types)(address)


def library() -> ctypes.CDLL:
    """The library the sqlite3 module is linked with. Raise OSError where that is built into Python."""
    import _sqlite3

    del _sqlite3
    return ctypes.CDLL("libsqlite3.so.0")


def install() -> None:
    """Register the VFS `simdisk`, once."""
    if _kept:
        return
    lib = library()
    lib.sqlite3_vfs_find.restype = _P
    unix = lib.sqlite3_vfs_find(b"unix")
    size = 21 * 8
    table = (ctypes.c_char * size)()
    ctypes.memmove(table, unix, size)
    words = ctypes.cast(table, ctypes.POINTER(_P))
    name = ctypes.c_char_p(NAME.encode())
    _kept.extend((table, name))
    words[2] = None
    words[3] = ctypes.cast(name, _P)
    original = ctypes.cast(unix, ctypes.POINTER(_P))
    open_, delete = _py(_OPEN, original[5]), _py(_DELETE, original[6])
    patched: dict[int, int] = {}  # the library's table of methods -> ours
    paths: dict[int, str] = {}  # open file -> its path

    def patch(address: int) -> int:
        if address in patched:
            return patched[address]
        methods = (_P * _METHODS)()
        ctypes.memmove(methods, address, 8 * _METHODS)
        close, write = _py(_ONE, methods[1]), _py(_Write, methods[3])
        truncate, lock = _py(_SIZED, methods[4]), _py(_FLAGGED, methods[7])

        def on_close(file: int) -> int:
            paths.pop(file, None)
            return close(file)

        def on_write(file: int, data: int, amount: int, offset: int) -> int:
            code = listener.write(paths[file], offset, ctypes.string_at(data, amount))
            return code or write(file, data, amount, offset)

        def on_truncate(file: int, length: int) -> int:
            return listener.truncate(paths[file], length) or truncate(file, length)

        def on_sync(file: int, flags: int) -> int:
            return listener.sync(paths[file])

        def on_lock(file: int, level: int) -> int:
            if level == LOCK_EXCLUSIVE and not listener.may_lock():
                return BUSY  # whoever is dead must not bring the -wal home on its way out
            return lock(file, level)

        methods[1], methods[3], methods[4] = _c(_ONE, on_close), _c(_Write, on_write), _c(_SIZED, on_truncate)
        methods[5], methods[7] = _c(_FLAGGED, on_sync), _c(_FLAGGED, on_lock)
        _kept.append(methods)
        patched[address] = ctypes.addressof(methods)
        return patched[address]

    def on_open(vfs: int, path: int | None, file: int, flags: int, out: int | None) -> int:
        name = ctypes.string_at(path).decode() if path else ""  # the pointer goes on: what a URI said follows the name
        code, flags = listener.opened(name, flags)
        if code:
            ctypes.cast(file, ctypes.POINTER(_P))[0] = None
            return code
        code = open_(vfs, path, file, flags, out)
        if code == OK:
            place = ctypes.cast(file, ctypes.POINTER(_P))
            place[0] = patch(place[0])
            paths[file] = name
            listener.made(name)
        return code

    def on_delete(vfs: int, path: int, sync_directory: int) -> int:
        code, real = listener.delete(ctypes.string_at(path).decode())
        return delete(vfs, path, 0) if real else code

    words[5], words[6] = _c(_OPEN, on_open), _c(_DELETE, on_delete)
    words[14] = _c(_SLEEP, lambda vfs, microseconds: microseconds)  # nobody can let go meanwhile: do not wait
    if lib.sqlite3_vfs_register(table, 0) != OK:
        raise OSError("the VFS was not taken")
