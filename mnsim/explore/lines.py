"""A row as a line of a store: a JSON object that starts with the row's key and ends with a checksum."""

import json
from binascii import unhexlify
from zlib import crc32

from mnsim.explore.keys import DIGITS

START = b'{"key": "'
_KEY = slice(len(START), len(START) + DIGITS)
_END = b', "crc32": "%08x"}\n'
_MARK = _END[: _END.index(b"%")]
_LENGTH = len(_END % 0)


def line_of(key: str, row: str) -> bytes:
    """The line of a row, which is the inner text of a JSON object."""
    body = f'{START.decode()}{key}", {row}'.encode()
    return body + _END % crc32(body)


def key_of(line: bytes) -> bytes | None:
    """The key of a whole line; None without a checksum. Raises ValueError, which names the damage."""
    body = line[:-_LENGTH]
    if line[-_LENGTH:] == _END % crc32(body) and body[_KEY.stop : _KEY.stop + 1] == b'"' and body.startswith(START):
        return unhexlify(body[_KEY])
    fault = _fault(line)
    if fault is not None:
        raise ValueError(fault)
    return None


def is_torn(line: bytes) -> bool:
    """Whether the last line of a file is the beginning of a row, as a kill leaves it, or zeros, as a power
    loss does.
    """
    return not line.endswith(b"\n") and (line[: len(START)] == START[: len(line)] or not line.strip(b"\0"))


def looks_like_row(line: bytes) -> bool:
    """Whether a damaged line ends as a row does."""
    return line.startswith(START) or line[-_LENGTH:].startswith(_MARK)


def _fault(line: bytes) -> str | None:
    """The damage of a line whose checksum does not hold; None for a line that never had one."""
    if not line.startswith(START) or line[_KEY.stop : _KEY.stop + 1] != b'"':
        return f"it does not start with a key of {DIGITS} digits"
    if not line.endswith(b"}\n"):
        return "it is cut short"
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return "it is not JSON"
    if b'"crc32"' not in line:
        return None
    if not line[-_LENGTH:].startswith(_MARK):
        return "it does not end with its checksum"
    said = line[-_LENGTH + len(_MARK) : -3].decode("ascii", "replace")
    return f"its checksum is {said}, and that of its content {crc32(line[:-_LENGTH]):08x}"
