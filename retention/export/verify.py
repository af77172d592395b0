"""Checks an evidence export of Countersight with nothing but the Python standard library (3.8+).

    python3 verify.py                     the unpacked export that this file lies in
    python3 verify.py EXPORT.zip          the archive as it was handed over
    ... --node-key HEX --central-key HEX  the public keys as the agency knows them, not as the
                                          export says; without them nothing shows whose keys signed
    ... --json                            one JSON object on standard output

Exit codes: 0 everything holds; 1 something does not (each is named); 2 wrong usage; 3 what is here
holds, but something is to be weighed first (each is named): keys that nobody compared, footage or
steps that only the node vouches for, footage that lacks without a reason that is proven.

Nothing in the export is believed, this file included: take it from a source you trust. What is
checked, in this order, repeated at the code:
 (1) the archive is exactly the bytes that its directory implies: stored entries one after the
     other, no entry twice, no name that leads elsewhere, nothing before, between or after them;
 (2) the manifest is the node's (Ed25519), and every file is in it with its size and SHA-256;
 (3) checkpoints are the node's, countersignatures central's, and every older checkpoint is a
     prefix of the newest (RFC 9162);
 (4) every record is in the node's log (RFC 9162), in canonical form, and of this node;
 (5) every segment file is the one that its `segment.sealed` record fixed when it was recorded;
     every recorded segment that is not here is named with its reason;
 (6) from the beginning of the span to its end, holes in the footage are explained by gaps.

What no export can show is that the node left no record out: central holds a copy of every step.
"""

from __future__ import annotations

import argparse
import base64
import bisect
import datetime
import hashlib
import json
import os
import re
import struct
import sys
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Iterator

    Point = tuple[int, int, int, int]
    Checked = dict[str, Any]  # JSON after `shaped` looked at it

FORMAT = "countersight-evidence/1"
MANIFEST, SIGNATURE = "manifest.json", "manifest.sig"
RECORDS, PROOFS, CHECKPOINTS, KEYS = (
    "records.ndjson", "proofs.ndjson", "checkpoints.ndjson", "keys.json",
)  # fmt: skip
MANIFEST_CONTEXT = "countersight/evidence-export/1"
CHECKPOINT_CONTEXT = "countersight/checkpoint/1"
COUNTERSIGNATURE_CONTEXT = "countersight/countersignature/1"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)*(/[A-Za-z0-9][A-Za-z0-9_.-]*)*")
SEGMENT_FILE = re.compile(r"footage/([a-z0-9-]+)/[0-9]{8}/([0-9a-f-]{36})\.mp4")
MAX_NAME, MAX_ENTRIES, MAX_MANIFEST, MAX_LINE = 200, 60_000, 64 << 20, 512 << 10
CHUNK_BYTES = 64 * 1024
HOLE_MS = 1000
HOUR_MS = 3_600_000
OPEN_MS = 2 * HOUR_MS  # a segment lasts an hour at most
LATE_MS = 24 * HOUR_MS
FLOOR_MS = 366 * 24 * HOUR_MS - HOUR_MS // 12  # of footage by law; clocks differ by minutes

CODES = {
    # code: (Chinese, English)
    "ARCHIVE_BROKEN": ("压缩包结构损坏或被改动", "the archive itself is broken or was changed"),
    "NAME_REFUSED": ("文件名不可接受", "a file name that is not accepted"),
    "NAME_TWICE": ("文件名重复", "two files of one name"),
    "FILE_ADDED": ("清单之外的文件", "a file that the manifest does not list"),
    "FILE_REMOVED": ("清单中的文件不在", "a file that the manifest lists is not here"),
    "FILE_CHANGED": ("文件内容与清单不符", "the content is not what the manifest says"),
    "FILE_UNREADABLE": ("文件无法读取", "the file cannot be read"),
    "MANIFEST_REFUSED": ("清单无法读懂或被改动", "the manifest cannot be read or was changed"),
    "SIGNATURE_REFUSED": ("签名不成立", "the signature does not hold"),
    "KEY_DIFFERS": ("公钥与所提供的不同", "the key is not the one that was given"),
    "KEYS_REFUSED": ("公钥文件无法读懂", "the file of keys cannot be read"),
    "CHECKPOINT_REFUSED": ("检查点不成立", "a checkpoint does not hold"),
    "RECORD_REFUSED": ("记录无法读懂或不是本节点的", "a record cannot be read or is another's"),
    "RECORD_NOT_PROVEN": ("记录不在节点日志中", "a record is not in the node's log"),
    "SEGMENT_WITHOUT_RECORD": ("录像没有封存记录", "footage without its sealing record"),
    "SEGMENT_CHANGED": ("录像与封存记录不符", "footage is not what was sealed"),
    "SEGMENT_NOT_NAMED": ("有记录的录像不在且未说明", "recorded footage is neither here nor named"),
    "SEGMENT_MISSING": ("节点已没有这段录像", "the node has lost this footage"),
    "DISPOSAL_NOT_PROVEN": ("没有处置记录", "its disposal is not recorded"),
    "DISPOSED_EARLY": ("录像未满一年即被处置", "footage was disposed of before a year had passed"),
    # what is told without being wrong
    "NOT_EXAMINED": ("其余部分未核验", "what comes after this was not examined"),
    "KEYS_NOT_COMPARED": ("公钥尚未与管理机构核对", "keys were not compared with the agency's"),
    "NOT_COUNTERSIGNED": (
        "中心尚未会签，仅凭节点自己的说法",
        "central has not countersigned it: the node's word alone",
    ),
    "COUNTERSIGNED_LATE": (
        "录像时间过后一天以上中心才会签，之前的时间仅凭节点自己的说法",
        "central countersigned it over a day after its time: until then the node's word alone",
    ),
    "SEGMENT_DISPOSED": ("录像保存满一年后已处置", "footage was disposed of after a year and more"),
    "SEGMENT_UNREACHABLE": (
        "录像有记录，但导出时磁盘不在或文件无法取到",
        "recorded, but out of reach when this was exported",
    ),
    "NOT_SEALED_YET": ("导出时尚未封存", "not sealed yet when this was exported"),
    "RECORD_DISPOSED": ("记录到期已处置", "a record was disposed of, and another says so"),
    "HOLE_UNEXPLAINED": ("录像间断没有说明", "a hole in the footage that no gap explains"),
    "GAP_NOT_CLOSED": (
        "录像间断没有结束记录，其后无法判断",
        "a gap whose end is not recorded here: what comes after cannot be judged",
    ),
    "ORDINAL_MISSING": ("录像序号不连续", "a number between segments is missing"),
}  # fmt: skip
ABSENT = (
    "SEGMENT_DISPOSED", "SEGMENT_MISSING", "SEGMENT_UNREACHABLE", "NOT_SEALED_YET",
    "RECORD_DISPOSED",
)  # fmt: skip
"""Why something of the span is not here, as the node says it."""
TO_BE_WEIGHED = (
    "NOT_EXAMINED", "KEYS_NOT_COMPARED", "NOT_COUNTERSIGNED", "COUNTERSIGNED_LATE",
    "SEGMENT_UNREACHABLE", "HOLE_UNEXPLAINED", "GAP_NOT_CLOSED", "ORDINAL_MISSING",
)  # fmt: skip
"""Notes without which "everything holds" would say too much."""


class Refused(Exception):
    """One thing that does not hold."""

    def __init__(self, code: str, subject: str, detail: str) -> None:
        super().__init__(f"{code} {subject}: {detail}")
        self.code, self.subject, self.detail = code, subject, detail


@dataclass
class Report:
    """What was found: `bad` does not hold, `notes` are to be known."""

    bad: list[dict[str, str]] = field(default_factory=list)
    notes: list[dict[str, str]] = field(default_factory=list)
    facts: dict[str, object] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        return not self.bad

    @property
    def exit_code(self) -> int:
        weighed = any(one["code"] in TO_BE_WEIGHED for one in self.notes)
        return 1 if self.bad else 3 if weighed else 0

    def blame(self, refused: Refused) -> None:
        self.bad.append(_finding(refused.code, refused.subject, refused.detail))

    def note(self, code: str, subject: str, detail: str) -> None:
        self.notes.append(_finding(code, subject, detail))

    def to_json(self) -> dict[str, object]:
        return {"ok": self.ok, **self.facts, "bad": self.bad, "notes": self.notes}


def _finding(code: str, subject: str, detail: str) -> dict[str, str]:
    zh, en = CODES[code]
    return {"code": code, "subject": subject, "detail": detail, "zh": zh, "en": en}


# -- Ed25519 (RFC 8032, 5.1), verification only ----------------------------------------------------

_P = 2**255 - 19
_L = 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, _P - 2, _P) % _P
_ROOT = pow(2, (_P - 1) // 4, _P)
# A point is (X, Y, Z, T) with x = X/Z, y = Y/Z, x*y = T/Z.


def _add(p: Point, q: Point) -> Point:
    a, b = (p[1] - p[0]) * (q[1] - q[0]) % _P, (p[1] + p[0]) * (q[1] + q[0]) % _P
    c, d = 2 * p[3] * q[3] * _D % _P, 2 * p[2] * q[2] % _P
    e, f, g, h = b - a, d - c, d + c, b + a
    return (e * f % _P, g * h % _P, f * g % _P, e * h % _P)


def _times(scalar: int, point: Point) -> Point:
    found: Point = (0, 1, 1, 0)
    while scalar:
        if scalar & 1:
            found = _add(found, point)
        point = _add(point, point)
        scalar >>= 1
    return found


def _point(raw: bytes) -> Point:
    """Decode a point. Raises ValueError when it is none."""
    y = int.from_bytes(raw, "little")
    sign, y = y >> 255, y & (2**255 - 1)
    if len(raw) != 32 or y >= _P:
        raise ValueError("no point")
    square = (y * y - 1) * pow(_D * y * y + 1, _P - 2, _P) % _P
    x = pow(square, (_P + 3) // 8, _P)
    if (x * x - square) % _P:
        x = x * _ROOT % _P
    if (x * x - square) % _P or (x == 0 and sign):
        raise ValueError("no point")
    if x & 1 != sign:
        x = _P - x
    return (x, y, 1, x * y % _P)


def _encoded(point: Point) -> bytes:
    inverse = pow(point[2], _P - 2, _P)
    x, y = point[0] * inverse % _P, point[1] * inverse % _P
    return int(y | (x & 1) << 255).to_bytes(32, "little")


_BASE = _point((4 * pow(5, _P - 2, _P) % _P).to_bytes(32, "little"))


def ed25519_holds(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Tell whether a 64-byte signature of a message is that key's."""
    if len(public_key) != 32 or len(signature) != 64:
        return False
    s = int.from_bytes(signature[32:], "little")
    if s >= _L:
        return False
    try:
        key = _point(public_key)
    except ValueError:
        return False
    if _encoded(_times(8, key)) == _encoded((0, 1, 1, 0)):
        return False  # of small order: one signature would hold for many messages
    digest = hashlib.sha512(signature[:32] + public_key + message).digest()
    k = int.from_bytes(digest, "little") % _L
    minus_key = (_P - key[0], key[1], key[2], _P - key[3])
    return _encoded(_add(_times(s, _BASE), _times(k, minus_key))) == signature[:32]


def key_id_of(public_key: bytes) -> str:
    """Return the 16 hexadecimal digits that name a key."""
    return hashlib.sha256(public_key).hexdigest()[:16]


# -- trees (RFC 9162, 2.1) -------------------------------------------------------------------------


def leaf_hash(entry: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


class Frontier:
    """The right edge of a growing tree."""

    def __init__(self) -> None:
        self.size = 0
        self._hashes: list[bytes] = []

    def append(self, leaf: bytes) -> None:
        size = self.size
        while size & 1:
            leaf = node_hash(self._hashes.pop(), leaf)
            size >>= 1
        self._hashes.append(leaf)
        self.size += 1

    def root(self) -> bytes:
        if not self._hashes:
            return hashlib.sha256(b"").digest()
        found = self._hashes[-1]
        for left in reversed(self._hashes[:-1]):
            found = node_hash(left, found)
        return found


def inclusion_holds(leaf: bytes, index: int, size: int, path: list[bytes], root: bytes) -> bool:
    """Tell whether a leaf is at `index` of the tree (2.1.3.2)."""
    if not 0 <= index < size:
        return False
    at, last, found = index, size - 1, leaf
    for step in path:
        if last == 0:
            return False
        if at & 1 or at == last:
            found = node_hash(step, found)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            found = node_hash(found, step)
        at, last = at >> 1, last >> 1
    return last == 0 and found == root


def consistency_holds(
    first: int, second: int, path: list[bytes], first_root: bytes, second_root: bytes
) -> bool:
    """Tell whether the tree of `first` leaves is a prefix of that of `second` (2.1.4.2)."""
    if first == second:
        return not path and first_root == second_root
    if not 0 < first < second or not path:
        return False
    steps = [first_root, *path] if first & (first - 1) == 0 else list(path)
    at, last = first - 1, second - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    old = new = steps[0]
    for step in steps[1:]:
        if last == 0:
            return False
        if at & 1 or at == last:
            old, new = node_hash(step, old), node_hash(step, new)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            new = node_hash(new, step)
        at, last = at >> 1, last >> 1
    return last == 0 and old == first_root and new == second_root


# -- JSON, strictly --------------------------------------------------------------------------------


def canonical(value: object) -> bytes:
    """Return the RFC 8785 bytes of a value without floats whose keys are ASCII."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def read_json(raw: bytes) -> Any:
    """Read canonical JSON. Raises ValueError on anything else."""
    try:
        value = json.loads(
            raw.decode("utf-8"), parse_float=_no, parse_constant=_no, parse_int=_integer,
            object_pairs_hook=_unique,
        )  # fmt: skip
        if canonical(value) != raw:
            raise ValueError("not in canonical form")
    except RecursionError:
        raise ValueError("nested too deeply") from None
    return value


def _no(text: str) -> object:
    raise ValueError(f"the number {text[:20]} is not allowed")


def _integer(text: str) -> int:
    if len(text) > 17:
        raise ValueError(f"the number {text[:20]}… is not allowed")
    return int(text)


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs) or not all(key.isascii() for key in found):
        raise ValueError("a key stands twice, or is not ASCII")
    return found


def shaped(value: Any, shape: Any, where: str = "") -> Any:
    """Return a value that has a shape: str, int, [shape], {key: shape}, (shape,) for "or null".

    Raises ValueError that says where it has not.
    """
    place = where or "value"
    if isinstance(shape, tuple):
        if value is not None:
            shaped(value, shape[0], where)
    elif isinstance(shape, list):
        _is(isinstance(value, list), f"{place}: not a list")
        for item in value:
            shaped(item, shape[0], where + "[]")
    elif isinstance(shape, dict):
        fits = isinstance(value, dict) and set(value) == set(shape)
        _is(fits, f"{place}: not the keys {', '.join(sorted(shape))}")
        for key in shape:
            shaped(value[key], shape[key], f"{where}.{key}")
    else:
        _is(type(value) is shape, f"{place}: not of type {shape.__name__}")
        _is(shape is str or value >= 0, f"{place}: below 0")
    return value


def _is(holds: bool, otherwise: str) -> None:
    if not holds:
        raise ValueError(otherwise)


SIGNED = {"algorithm": str, "key_id": str, "value": str}
MANIFEST_SHAPE = {
    "format": str, "export": str, "agency": str, "pharmacy": str, "node": str, "software": str,
    "made_at": str, "clock_state": str, "author": str, "reason": str, "session": (str,),
    "started_at": str, "ended_at": str, "cameras": [str],
    "tree_size": int, "root_hash": str, "records": int, "segments": int,
    "absent": [{"what": str, "subject": str, "reason": str, "detail": str}],
    "files": [{"name": str, "bytes": int, "sha256": str}],
}  # fmt: skip
KEYS_SHAPE = {
    "words": [str], "node": [{"key_id": str, "public_key": str}],
    "central": [{"key_id": str, "public_key": str}],
}  # fmt: skip
CHECKPOINT_SHAPE = {
    "signed": {
        "checkpoint": {
            "agency": str, "pharmacy": str, "node": str, "tree_size": int, "root_hash": str,
            "sent_count": int, "digest": str, "occurred_at": str,
        },
        "signature": SIGNED,
    },
    "countersigned": ({
        "countersignature": {"node": str, "tree_size": int, "root_hash": str, "seen_at": str},
        "signature": SIGNED,
    },),
    "consistency": [str],
}  # fmt: skip
SEALED_SHAPE = {
    "segment": str, "camera": str, "scene_role": str, "run": str, "ordinal": int,
    "started_at": str, "ended_at": str, "duration_ms": int, "bytes": int, "codec": str,
    "file_sha256": str, "chunk_root": str, "recovered": bool, "truncated_bytes": int,
}  # fmt: skip
DISPOSED_SHAPE = {
    "segment": str, "sequence": int, "camera": str, "scene_role": str, "started_at": str,
    "ended_at": str, "bytes": int, "file_sha256": str, "owed_until": str,
}  # fmt: skip
RECORDS_DISPOSED_SHAPE = {"retention": str, "sequences": [int], "owed_until": str}
GAP_SHAPE = {"gap": str, "camera": str, "scene_role": str, "started_at": str, "cause": str}
CLOSED_SHAPE = {**GAP_SHAPE, "ended_at": str}
PROOF_SHAPE = {"leaf_index": int, "path": [str]}


# -- the archive: one way to write it, so that every byte of it is checked -------------------------

_LOCAL, _CENTRAL = struct.Struct("<IHHHHHIIIHH"), struct.Struct("<IHHHHHHIIIHHHHHII")
_END, _END64, _LOCATOR = (
    struct.Struct("<IHHHHIIH"), struct.Struct("<IQHHIIQQQQ"), struct.Struct("<IIQI"),
)  # fmt: skip
WIDE, MANY = 0xFFFFFFFF, 0xFFFF
_DATE, _MODE = 0x0021, 0o100644 << 16  # 1 January 1980; a plain file


def local_header(name: str, size: int, crc: int) -> bytes:
    """Return what stands in front of a stored entry."""
    raw, wide = name.encode("ascii"), size >= WIDE
    extra = struct.pack("<HHQQ", 1, 16, size, size) if wide else b""
    said = WIDE if wide else size
    return _LOCAL.pack(
        0x04034B50, 45 if wide else 20, 0, 0, 0, _DATE, crc, said, said, len(raw), len(extra)
    ) + raw + extra  # fmt: skip


def central_header(name: str, size: int, crc: int, offset: int) -> bytes:
    """Return an entry's line in the archive's directory."""
    raw, values = name.encode("ascii"), []
    if size >= WIDE:
        values += [size, size]
    if offset >= WIDE:
        values.append(offset)
    extra = struct.pack(f"<HH{len(values)}Q", 1, 8 * len(values), *values) if values else b""
    version, said = 45 if values else 20, min(size, WIDE)
    return _CENTRAL.pack(
        0x02014B50, 3 << 8 | version, version, 0, 0, 0, _DATE, crc, said, said, len(raw),
        len(extra), 0, 0, 0, _MODE, min(offset, WIDE),
    ) + raw + extra  # fmt: skip


def end_records(count: int, offset: int, size: int) -> bytes:
    """Return what ends an archive whose directory of `count` entries lies at `offset`."""
    found = b""
    if count >= MANY or offset >= WIDE or size >= WIDE:
        found = _END64.pack(
            0x06064B50, _END64.size - 12, 3 << 8 | 45, 45, 0, 0, count, count, size, offset
        ) + _LOCATOR.pack(0x07064B50, 0, offset + size, 1)  # fmt: skip
    few = min(count, MANY)
    return found + _END.pack(
        0x06054B50, 0, 0, few, few, min(size, WIDE), min(offset, WIDE), 0
    )  # fmt: skip


@dataclass(frozen=True)
class Entry:
    """Where a file's bytes lie in the archive."""

    name: str
    size: int
    crc: int
    offset: int


class Archive:
    """An export as one file. The directory is read, bounded, and held against every byte."""

    def __init__(self, path: str, report: Report) -> None:
        """Raises Refused when not even the directory can be read, OSError."""
        self._file = open(path, "rb")  # noqa: SIM115 - closed by `close`
        try:
            self._length = os.fstat(self._file.fileno()).st_size
            entries, directory = self._directory()
            self.names = [entry.name for entry in entries]
            self._entries = {entry.name: entry for entry in entries}
            self._check_layout(entries, directory, report)
        except BaseException:
            self._file.close()
            raise

    def close(self) -> None:
        self._file.close()

    def size(self, name: str) -> int:
        return self._entries[name].size

    def crc(self, name: str) -> int | None:
        return self._entries[name].crc

    def open(self, name: str) -> Stream:
        entry = self._entries[name]
        start = entry.offset + len(local_header(entry.name, entry.size, entry.crc))
        return Stream(open(self._file.name, "rb"), start, entry.size)

    def _at(self, offset: int, length: int) -> bytes:
        self._file.seek(offset)
        return self._file.read(length)

    def _directory(self) -> tuple[list[Entry], int]:
        """(1) Read the directory; the archive must end exactly behind it."""
        if self._length < _END.size:
            raise Refused("ARCHIVE_BROKEN", "end", f"{self._length} bytes are no archive")
        end = _END.unpack(self._at(self._length - _END.size, _END.size))
        if end[0] != 0x06054B50:
            raise Refused("ARCHIVE_BROKEN", "end", "cut off, or something follows the archive")
        count, size, offset = end[4], end[5], end[6]
        if (count == MANY or WIDE in (size, offset)) and self._length >= 98:
            wide = _END64.unpack(self._at(self._length - 98, _END64.size))
            count, size, offset = wide[7], wide[8], wide[9]
        tail = self._length - offset - size
        if count > MAX_ENTRIES or size > MAX_ENTRIES * 400 or not 0 < tail <= 98:
            raise Refused("ARCHIVE_BROKEN", "end", "the directory is not where the end says")
        if self._at(offset + size, tail) != end_records(count, offset, size):
            raise Refused("ARCHIVE_BROKEN", "end", "is not how the archive ends")
        return _entries(self._at(offset, size), count), offset

    def _check_layout(self, entries: list[Entry], directory: int, report: Report) -> None:
        """(1) Each entry stands right behind the one before, under the header it must have."""
        at, seen = 0, set()
        for entry in entries:
            header = local_header(entry.name, entry.size, entry.crc)
            if entry.name in seen:
                raise Refused("NAME_TWICE", entry.name, "the archive is not looked at further")
            seen.add(entry.name)
            if entry.offset != at or at + len(header) + entry.size > directory:
                raise Refused("ARCHIVE_BROKEN", entry.name, "lies over or away from the others")
            if self._at(at, len(header)) != header:
                report.blame(Refused("ARCHIVE_BROKEN", entry.name, "its header was changed"))
            at += len(header) + entry.size
        if at != directory:
            raise Refused("ARCHIVE_BROKEN", "directory", "something lies before it")


def _entries(raw: bytes, count: int) -> list[Entry]:
    found, at = [], 0
    for number in range(count):
        if len(raw) - at < _CENTRAL.size:
            raise Refused("ARCHIVE_BROKEN", "directory", f"ends before entry {number}")
        head = _CENTRAL.unpack_from(raw, at)
        begin = at + _CENTRAL.size
        name_raw = raw[begin : begin + head[10]]
        extra = raw[begin + head[10] : begin + head[10] + head[11]]
        whole = max(len(extra) - 4, 0) // 8
        values = struct.unpack_from(f"<{whole}Q", extra, 4) if whole else ()
        size, offset = head[8], head[16]
        if head[4] or head[3] & 1 or head[9] != head[8]:
            raise Refused("ARCHIVE_BROKEN", _shown(name_raw), "compressed or encrypted")
        if size == WIDE and len(values) >= 2:
            size = values[0]
        if offset == WIDE and values:
            offset = values[-1]
        name = _accepted(name_raw)
        line = central_header(name, size, head[7], offset)
        if raw[at : at + len(line)] != line:
            raise Refused("ARCHIVE_BROKEN", name, "its line in the directory was changed")
        found.append(Entry(name, size, head[7], offset))
        at += len(line)
    if at != len(raw):
        raise Refused("ARCHIVE_BROKEN", "directory", "is longer than its entries")
    return found


def _accepted(raw: bytes) -> str:
    """(1) A name has a plain form: no way up, no root, no drive, nothing that hides."""
    name = raw.decode("ascii", "replace")
    if len(raw) > MAX_NAME or NAME.fullmatch(name) is None or ".." in name:
        raise Refused("NAME_REFUSED", _shown(raw), "could be unpacked elsewhere")
    return name


def _shown(raw: bytes) -> str:
    return ascii(raw[:MAX_NAME].decode("utf-8", "backslashreplace"))[1:-1]


class Folder:
    """An export that was unpacked."""

    def __init__(self, path: str, report: Report) -> None:
        self._path = path
        self.names: list[str] = []
        for folder, folders, files in os.walk(path):
            within = os.path.relpath(folder, path).replace(os.sep, "/")
            for one in sorted(files + [name for name in folders if self._links(folder, name)]):
                name = one if within == "." else f"{within}/{one}"
                try:
                    _accepted(os.fsencode(name))
                    if self._links(folder, one):
                        raise Refused("NAME_REFUSED", name, "is a link")
                except Refused as refused:
                    report.blame(refused)
                else:
                    self.names.append(name)
                if len(self.names) > MAX_ENTRIES:
                    raise Refused("NAME_REFUSED", path, f"more than {MAX_ENTRIES} files")

    def close(self) -> None:
        pass

    def size(self, name: str) -> int:
        return os.path.getsize(os.path.join(self._path, name))

    def crc(self, _: str) -> int | None:
        return None

    def open(self, name: str) -> Stream:
        path = os.path.join(self._path, name)
        return Stream(open(path, "rb"), 0, os.path.getsize(path))

    def _links(self, folder: str, name: str) -> bool:
        return os.path.islink(os.path.join(folder, name))


class Stream:
    """Reads one file of an export, never beyond its end."""

    def __init__(self, file: BinaryIO, start: int, size: int) -> None:
        self._file, self._left = file, size
        file.seek(start)

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def read(self, most: int) -> bytes:
        raw = self._file.read(min(most, self._left))
        self._left -= len(raw)
        return raw

    def line(self) -> bytes | None:
        """Return the next line without its end, None at the end. Raises ValueError."""
        raw = self._file.readline(min(MAX_LINE, self._left))
        self._left -= len(raw)
        if not raw:
            return None
        if not raw.endswith(b"\n"):
            raise ValueError("a line that is too long or has no end")
        return raw[:-1]


# -- the checks ------------------------------------------------------------------------------------


class Export:
    """One export under examination."""

    def __init__(
        self, path: str, node_key: bytes | None = None, central_key: bytes | None = None
    ) -> None:
        self.report = Report()
        self._path, self._given = path, {"node": node_key, "central": central_key}
        self._manifest: Checked = {}
        self._keys: dict[str, dict[str, bytes]] = {"node": {}, "central": {}}
        self._roots: dict[str, tuple[int, str, str]] = {}
        self._sealed: dict[str, Checked] = {}
        self._places: dict[str, int] = {}
        self._disposed: dict[str, Checked] = {}
        self._disposed_at: dict[str, str] = {}
        self._records_disposed: set[str] = set()
        self._uncovered = self._steps_alone = 0
        self._gaps: dict[str, Checked] = {}
        self._countersigned: list[tuple[int, str]] = []

    def examine(self) -> Report:
        """Run every check that can be run. Raises OSError when there is nothing to read."""
        try:
            is_folder = os.path.isdir(self._path)
            self._source = (Folder if is_folder else Archive)(self._path, self.report)
        except Refused as refused:
            self.report.blame(refused)
            return self.report
        try:
            self._read_manifest()
            self._check_files(is_folder)
            if self.report.bad:
                self.report.note("NOT_EXAMINED", RECORDS, "files that are not as handed over")
                return self.report
            self._check_checkpoints()
            self._check_records()
            self._check_segments()
            self._check_floors()
            self._check_order()
        except Refused as refused:
            self.report.blame(refused)
        finally:
            self._source.close()
        return self.report

    # (2) the manifest, its signature, and every file

    def _read_manifest(self) -> None:
        keys_raw, raw, signature = (self._small(one) for one in (KEYS, MANIFEST, SIGNATURE))
        self._read_keys(keys_raw)
        self._check_signature("node", MANIFEST_CONTEXT, raw, signature, SIGNATURE)
        try:
            manifest: Checked = shaped(read_json(raw), MANIFEST_SHAPE)
        except ValueError as exc:
            raise Refused("MANIFEST_REFUSED", MANIFEST, str(exc)) from None
        if manifest["format"] != FORMAT:
            raise Refused("MANIFEST_REFUSED", MANIFEST, f"format {manifest['format']!r:.40}")
        self._manifest = manifest
        named = ("export", "node", "pharmacy", "agency", "session", "started_at", "ended_at",
                 "cameras", "made_at", "author", "reason", "records", "segments")  # fmt: skip
        self.report.facts.update({key: manifest[key] for key in named})
        self.report.facts["manifest_sha256"] = hashlib.sha256(raw).hexdigest()

    def _small(self, name: str) -> bytes:
        if name not in self._source.names:
            raise Refused("FILE_REMOVED", name, "without it nothing can be checked")
        if self._source.size(name) > MAX_MANIFEST:
            raise Refused("FILE_CHANGED", name, "too large")
        with self._source.open(name) as stream:
            return stream.read(MAX_MANIFEST)

    def _read_keys(self, raw: bytes) -> None:
        try:
            keys = shaped(read_json(raw), KEYS_SHAPE)
            for side in ("node", "central"):
                for one in keys[side]:
                    key = bytes.fromhex(one["public_key"])
                    if key_id_of(key) != one["key_id"]:
                        raise ValueError(f"{one['key_id'][:20]} is not the name of its key")
                    self._keys[side][one["key_id"]] = key
        except ValueError as exc:
            raise Refused("KEYS_REFUSED", KEYS, str(exc)) from None
        self.report.facts["keys"] = {side: sorted(self._keys[side]) for side in self._keys}
        for side, given in self._given.items():
            found = self._keys[side]
            if given is None and found:
                said = f"{side}: " + ", ".join(sorted(key.hex() for key in found.values()))
                self.report.note("KEYS_NOT_COMPARED", KEYS, said)
            elif given is not None:
                # What the agency gave is believed, whatever the export says.
                self._keys[side] = {key_id_of(given): given}
                if given not in found.values():
                    self.report.blame(Refused("KEY_DIFFERS", KEYS, f"{side}: {given.hex()}"))

    def _check_signature(
        self, side: str, context: str, body: bytes, signature: bytes, subject: str
    ) -> None:
        try:
            said = shaped(read_json(signature), SIGNED)
            value = base64.b64decode(said["value"], validate=True)
            if base64.b64encode(value).decode() != said["value"] or said["algorithm"] != "ed25519":
                raise ValueError("not an Ed25519 signature in its one form")
        except ValueError as exc:
            raise Refused("SIGNATURE_REFUSED", subject, str(exc)) from None
        key = self._keys[side].get(said["key_id"])
        if key is None:
            raise Refused("SIGNATURE_REFUSED", subject, f"by key {said['key_id'][:20]}, not known")
        if not ed25519_holds(key, context.encode() + b"\n" + body, value):
            raise Refused("SIGNATURE_REFUSED", subject, "over these bytes it does not hold")

    def _check_files(self, is_folder: bool) -> None:
        listed = {one["name"]: one for one in self._manifest["files"]}
        order = [*(one["name"] for one in self._manifest["files"]), MANIFEST, SIGNATURE]
        present = set(self._source.names)
        for name in order:
            if name not in present:
                self.report.blame(Refused("FILE_REMOVED", name, "is not here"))
        for name in self._source.names:
            if name not in listed and name not in (MANIFEST, SIGNATURE):
                self.report.blame(Refused("FILE_ADDED", name, "is in no manifest"))
        if len(listed) + 2 != len(order):
            self.report.blame(Refused("NAME_TWICE", MANIFEST, "lists a file twice"))
        elif not is_folder and not self.report.bad and self._source.names != order:
            self.report.blame(Refused("ARCHIVE_BROKEN", "directory", "is in another order"))
        for name in self._source.names:
            self._check_file(name, listed.get(name))

    def _check_file(self, name: str, listed: Checked | None) -> None:
        crc, size, sha256, chunk_root = 0, 0, hashlib.sha256(), ""
        chunks = Frontier()
        is_footage = SEGMENT_FILE.fullmatch(name) is not None
        try:
            with self._source.open(name) as stream:
                for raw in iter(lambda: stream.read(CHUNK_BYTES), b""):
                    crc, size = zlib.crc32(raw, crc), size + len(raw)
                    sha256.update(raw)
                    if is_footage:
                        chunks.append(leaf_hash(raw))
        except OSError as exc:
            self.report.blame(Refused("FILE_UNREADABLE", name, str(exc.strerror)))
            return
        chunk_root = chunks.root().hex()
        self._roots[name] = (size, sha256.hexdigest(), chunk_root)
        if listed is not None and (listed["bytes"], listed["sha256"]) != (size, sha256.hexdigest()):
            said = f"{size} bytes, SHA-256 {sha256.hexdigest()}"
            self.report.blame(Refused("FILE_CHANGED", name, said))
        elif self._source.crc(name) not in (None, crc):
            self.report.blame(Refused("ARCHIVE_BROKEN", name, "its CRC-32 was changed"))

    # (3) checkpoints

    def _check_checkpoints(self) -> None:
        manifest = self._manifest
        head = (manifest["tree_size"], manifest["root_hash"])
        sizes = []
        for number, line in self._lines(CHECKPOINTS, CHECKPOINT_SHAPE, "CHECKPOINT_REFUSED"):
            signed, counter = line["signed"], line["countersigned"]
            subject = f"{CHECKPOINTS}:{number}"
            said = signed["checkpoint"]
            whose = ("agency", "pharmacy", "node")
            if any(said[key] != manifest[key] for key in whose) or said["digest"] != "sha-256":
                raise Refused("CHECKPOINT_REFUSED", subject, "of another node")
            self._check_signature(
                "node", CHECKPOINT_CONTEXT, canonical(said), canonical(signed["signature"]), subject
            )
            root, path = _hashes([said["root_hash"]]), _hashes(line["consistency"])
            whole = _hashes([head[1]])
            if not (root and whole and path is not None) or not consistency_holds(
                said["tree_size"], head[0], path, root[0], whole[0]
            ):
                raise Refused("CHECKPOINT_REFUSED", subject, "the newest does not extend it")
            sizes.append((said["tree_size"], said["root_hash"]))
            if counter is not None:
                self._check_countersignature(said, counter, subject)
        if head not in sizes:
            raise Refused("CHECKPOINT_REFUSED", CHECKPOINTS, "the newest is not signed")
        self._countersigned.sort()
        self.report.facts["checkpoints"] = len(sizes)
        self.report.facts["countersigned"] = len(self._countersigned)

    def _check_countersignature(self, checkpoint: Checked, signed: Checked, subject: str) -> None:
        said = signed["countersignature"]
        if any(said[key] != checkpoint[key] for key in ("node", "tree_size", "root_hash")):
            raise Refused("CHECKPOINT_REFUSED", subject, "countersigned is another one")
        self._check_signature(
            "central", COUNTERSIGNATURE_CONTEXT, canonical(said), canonical(signed["signature"]),
            subject,
        )  # fmt: skip
        self._countersigned.append((said["tree_size"], said["seen_at"]))

    def _lines(self, name: str, shape: object, code: str) -> Iterator[tuple[int, Checked]]:
        """Yield (number, value) of each line of a file."""
        with self._source.open(name) as stream:
            number = 0
            while True:
                number += 1
                try:
                    line = stream.line()
                    if line is None:
                        return
                    value = shaped(read_json(line), shape)
                except ValueError as exc:
                    raise Refused(code, f"{name}:{number}", str(exc)) from None
                yield number, value

    # (4) records

    def _check_records(self) -> None:
        before, count = -1, 0
        proofs = self._lines(PROOFS, PROOF_SHAPE, "RECORD_NOT_PROVEN")
        with self._source.open(RECORDS) as stream:
            while True:
                subject = f"{RECORDS}:{count + 1}"
                try:
                    raw = stream.line()
                    record = None if raw is None else read_json(raw)
                except ValueError as exc:
                    raise Refused("RECORD_REFUSED", subject, str(exc)) from None
                _, proof = next(proofs, (0, None))
                if raw is None:
                    break
                sequence = self._check_record(record, raw, proof, subject)
                if sequence <= before:
                    raise Refused("RECORD_REFUSED", subject, "out of order")
                before, count = sequence, count + 1
        if proof is not None or count != self._manifest["records"]:
            raise Refused("RECORD_REFUSED", RECORDS, f"{count} records, the manifest says another")
        self.report.facts["records_countersigned"] = count - self._uncovered
        self._weigh_countersignatures()

    def _seen_at(self, sequence: int) -> str | None:
        """Return when central had countersigned a record by, None when it has not."""
        place = bisect.bisect_right(self._countersigned, (sequence, "~"))
        return None if place == len(self._countersigned) else self._countersigned[place][1]

    def _weigh_countersignatures(self) -> None:
        seen = {one: self._seen_at(place) for one, place in self._places.items()}
        at = sorted(moment for moment in seen.values() if moment is not None)
        alone = len(seen) - len(at)
        self.report.facts["segments_countersigned"] = len(at)
        self.report.facts["countersigned_at"] = [at[0], at[-1]] if at else []
        if alone or self._steps_alone:
            said = f"{alone} of {len(seen)} segments, {self._steps_alone} steps of sessions"
            self.report.note("NOT_COUNTERSIGNED", RECORDS, said)
        late = {
            one: apart
            for one, moment in seen.items()
            if moment is not None
            and (apart := _apart(self._sealed[one]["ended_at"], moment)) > LATE_MS
        }
        if late:
            worst = max(late, key=lambda one: late[one])
            said = f"{len(late)} of {len(seen)} segments; {worst}: {late[worst] // HOUR_MS} h"
            self.report.note("COUNTERSIGNED_LATE", RECORDS, said)

    def _check_record(self, record: Any, raw: bytes, proof: Checked | None, subject: str) -> int:
        manifest = self._manifest
        if not isinstance(record, dict) or not isinstance(record.get("payload"), dict):
            raise Refused("RECORD_REFUSED", subject, "not a record")
        if any(record.get(key) != manifest[key] for key in ("agency", "pharmacy", "node")):
            raise Refused("RECORD_REFUSED", subject, "of another node")
        sequence, payload = record.get("sequence"), record["payload"]
        if type(sequence) is not int or proof is None:
            raise Refused("RECORD_NOT_PROVEN", subject, "has no proof")
        path, root = _hashes(proof["path"]), _hashes([manifest["root_hash"]])
        if path is None or not root or proof["leaf_index"] != sequence or not inclusion_holds(
            leaf_hash(raw), sequence, manifest["tree_size"], path, root[0]
        ):  # fmt: skip
            raise Refused("RECORD_NOT_PROVEN", subject, f"record {sequence}")
        kind, segment = record.get("kind"), str(payload.get("segment"))
        seen_at = self._seen_at(sequence)
        self._uncovered += seen_at is None
        if kind == "segment.sealed":
            if segment in self._sealed:
                raise Refused("RECORD_REFUSED", subject, f"segment {segment} was sealed before")
            self._sealed[segment] = _fitting(payload, SEALED_SHAPE, subject)
            self._places[segment] = sequence
        elif kind == "segment.disposed":
            self._disposed[segment] = _fitting(payload, DISPOSED_SHAPE, subject)
            # The node's clock may say anything; it was no later than when central saw it.
            said = str(record.get("occurred_at"))
            self._disposed_at[segment] = said if seen_at is None else min(said, seen_at)
        elif kind == "records.disposed":
            gone = _fitting(payload, RECORDS_DISPOSED_SHAPE, subject)
            self._records_disposed |= set(map(str, gone["sequences"]))
        elif str(kind).split(".")[0] in ("session", "identity", "settlement"):
            self._steps_alone += seen_at is None
        elif kind in ("gap.opened", "gap.closed"):
            gap = _fitting(payload, GAP_SHAPE if kind == "gap.opened" else CLOSED_SHAPE, subject)
            self._gaps[gap["gap"]] = gap  # its closing comes later and says more
        return sequence

    # (5) footage

    def _check_segments(self) -> None:
        unseen, count, size = set(self._sealed), 0, 0
        for name, found in self._roots.items():
            match = SEGMENT_FILE.fullmatch(name)
            if match is None:
                continue
            sealed = self._sealed.get(match.group(2))
            if sealed is None or sealed["camera"] != match.group(1):
                self.report.blame(Refused("SEGMENT_WITHOUT_RECORD", name, "no record names it"))
                continue
            unseen.discard(match.group(2))
            fixed = (sealed["bytes"], sealed["file_sha256"], sealed["chunk_root"])
            if fixed != found:
                what = ("size", "SHA-256", "chunk root")
                wrong = ", ".join(what[at] for at in range(3) if fixed[at] != found[at])
                detail = f"record {self._places[match.group(2)]} says another {wrong}"
                self.report.blame(Refused("SEGMENT_CHANGED", name, detail))
            count, size = count + 1, size + found[0]
        if count != self._manifest["segments"]:
            said = f"{count} segments, the manifest says {self._manifest['segments']}"
            self.report.blame(Refused("MANIFEST_REFUSED", MANIFEST, said))
        self.report.facts["footage_bytes"] = size
        for one in self._manifest["absent"]:
            self._check_absent(one, unseen)
        for segment in sorted(unseen):
            subject = f"record {self._places[segment]}"
            self.report.blame(Refused("SEGMENT_NOT_NAMED", subject, segment))

    def _check_absent(self, one: dict[str, str], unseen: set[str]) -> None:
        subject, reason, detail = one["subject"], one["reason"], one["detail"]
        if reason not in ABSENT:
            raise Refused("MANIFEST_REFUSED", MANIFEST, f"reason {reason!r:.40}")
        if one["what"] == "segment":
            unseen.discard(subject)
        gone = self._disposed.get(subject)
        if (reason == "SEGMENT_DISPOSED" and (gone is None or not self._fits(gone))) or (
            reason == "RECORD_DISPOSED" and subject not in self._records_disposed
        ):
            self.report.blame(Refused("DISPOSAL_NOT_PROVEN", subject, detail))
        elif reason == "SEGMENT_MISSING":
            self.report.blame(Refused(reason, subject, detail))
        else:
            self.report.note(reason, subject, detail)

    def _fits(self, gone: Checked) -> bool:
        """Tell whether a disposal is of the segment that was sealed, as far as that is here."""
        sealed = self._sealed.get(gone["segment"])
        same = ("camera", "started_at", "ended_at", "bytes", "file_sha256")
        return sealed is None or (
            gone["sequence"] == self._places[gone["segment"]]
            and all(gone[key] == sealed[key] for key in same)
        )

    def _check_floors(self) -> None:
        for segment, gone in self._disposed.items():
            if _apart(gone["ended_at"], self._disposed_at[segment]) < FLOOR_MS:
                said = f"{gone['ended_at']}, {self._disposed_at[segment]}"
                self.report.blame(Refused("DISPOSED_EARLY", segment, said))

    # (6) order and holes

    def _check_order(self) -> None:
        manifest = self._manifest
        of_camera: dict[str, list[Checked]] = {camera: [] for camera in manifest["cameras"]}
        known = {**self._disposed, **self._sealed}
        for one in sorted(known.values(), key=lambda one: str(one["started_at"])):
            of_camera.setdefault(one["camera"], []).append(one)
        still_open = {
            one["subject"] for one in manifest["absent"] if one["reason"] == "NOT_SEALED_YET"
        }
        until = min(manifest["ended_at"], manifest["made_at"])
        for camera, segments in of_camera.items():
            at, before = manifest["started_at"], None
            for one in segments:
                if before is not None and before.get("run", "") == one.get("run"):
                    self._check_ordinals(before, one)
                self._check_hole(camera, at, one["started_at"])
                at, before = max(at, one["ended_at"]), one
            if camera not in still_open or _apart(at, manifest["made_at"]) > OPEN_MS:
                self._check_hole(camera, at, until)

    def _check_ordinals(self, before: Checked, after: Checked) -> None:
        ordinals = (before["ordinal"], after["ordinal"])
        if ordinals[1] != ordinals[0] + 1:
            said = f"{ordinals[0]} → {ordinals[1]}"
            self.report.note("ORDINAL_MISSING", after["segment"], said)

    def _check_hole(self, camera: str, start: str, end: str) -> None:
        for since, until in self._unexplained(camera, start, end):
            self.report.note("HOLE_UNEXPLAINED", camera, f"{since} – {until}")

    def _unexplained(self, camera: str, start: str, end: str) -> Iterator[tuple[str, str]]:
        """Yield what of a hole no gap covers. Moments are text of one form, in order as such."""
        if _apart(start, end) <= HOLE_MS:
            return
        # A view that shows nothing is a gap too, but lies over footage, not in place of it.
        gaps = [
            one
            for one in self._gaps.values()
            if one["camera"] == camera and not one["cause"].startswith("view_")
        ]
        for gap in sorted(gaps, key=lambda one: str(one["started_at"])):
            since, until = gap["started_at"], gap.get("ended_at", end)
            if since >= end or until <= start:
                continue
            if "ended_at" not in gap:
                self.report.note("GAP_NOT_CLOSED", camera, f"{since}: {gap['cause']}")
            if _apart(start, since) > HOLE_MS:
                yield start, since
            start = max(start, until)
        if _apart(start, end) > HOLE_MS:
            yield start, end


def _fitting(payload: Checked, shape: Any, subject: str) -> Checked:
    try:
        return dict(shaped(payload, shape))
    except ValueError as exc:
        raise Refused("RECORD_REFUSED", subject, str(exc)) from None


def _hashes(texts: list[str]) -> list[bytes] | None:
    """Read hexadecimal hashes, None when one is none."""
    found = []
    for text in texts:
        if re.fullmatch("[0-9a-f]{64}", text) is None:
            return None
        found.append(bytes.fromhex(text))
    return found


def _apart(start: str, end: str) -> int:
    """Return milliseconds from one moment to a later one, 0 when one cannot be read."""
    form = "%Y-%m-%dT%H:%M:%S.%fZ"
    try:
        span = datetime.datetime.strptime(end, form) - datetime.datetime.strptime(start, form)  # noqa: DTZ007 - both are UTC
    except ValueError:
        return 0
    return int(span.total_seconds() * 1000)


# -- the command -----------------------------------------------------------------------------------


def text_of(report: Report) -> str:
    """Return a report in words, Chinese first."""
    lines = []
    for mark, found in (("不符 / BAD", report.bad), ("注意 / note", report.notes)):
        for one in found:
            words = f"{one['zh']} / {one['en']}"
            lines.append(f"{mark} {one['code']} {one['subject']}: {words} ({one['detail']})")
    facts = report.facts
    if "export" in facts:
        lines.append(
            f"导出 / export {facts['export']}, 节点 / node {facts['node']} ({facts['pharmacy']}), "
            f"{facts['started_at']} – {facts['ended_at']}, "
            f"摄像头 / cameras {', '.join(map(str, facts['cameras']))}"  # type: ignore[call-overload]
        )
    if report.ok:
        holds = "完好 / holds"
        if report.exit_code:
            holds = "完好，但须先权衡以上各项 / holds, but weigh what is noted above first"
        lines.append(
            f"{holds}: {facts['segments']} 段录像 / segments, "
            f"其中会签 / of which countersigned {facts['segments_countersigned']}, "
            f"{facts['footage_bytes']} 字节 / bytes, {facts['records']} 条记录 / records, "
            f"其中会签 / of which countersigned {facts['records_countersigned']}"
        )
    else:
        lines.append(f"不成立 / does not hold: {len(report.bad)} 处 / findings")
    return "\n".join(map(_harmless, lines))


def _harmless(line: str) -> str:
    """Text of an export must not draw on a terminal, nor look like a line of this report."""
    return "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in line)


def key_of(text: str) -> bytes:
    """Read a public key. Raises ValueError."""
    raw = bytes.fromhex(text)
    if len(raw) != 32:
        raise ValueError("a key has 64 hexadecimal digits")
    return raw


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="verify.py", description="核验证据导出 / check an evidence export"
    )
    here = os.path.dirname(os.path.abspath(__file__))
    parser.add_argument("export", nargs="?", default=here, help="the archive or its folder")
    parser.add_argument("--node-key", type=key_of, help="节点公钥 / the node's public key, hex")
    parser.add_argument("--central-key", type=key_of, help="中心公钥 / central's public key, hex")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    wanted = parser.parse_args(arguments)
    try:
        report = Export(wanted.export, wanted.node_key, wanted.central_key).examine()
    except OSError as exc:
        sys.stderr.write(f"verify.py: {wanted.export}: {exc.strerror}\n")
        return 2
    said = json.dumps(report.to_json(), ensure_ascii=False) if wanted.json else text_of(report)
    sys.stdout.write(said + "\n")
    return report.exit_code


if __name__ == "__main__":
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(encoding="utf-8", errors="replace")
    sys.exit(main(sys.argv[1:]))
