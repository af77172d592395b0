"""What the player fetches: playlists, and the bytes of segments.

(1) only with an opening of this session, and only segments that answer a command of it
(2) only segments that were accepted, whose file has the length of its record, and that no check
    found broken
(3) every playlist that is fetched is an access row; the ranges that follow it are not
Files are read where they lie, in pieces. No browser keeps them: what is on its disk outlasts the
opening, and a file that was changed and put right again would still be played as it was.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse
from sqlalchemy import Row

from central.collector.receiving import file_of
from central.pages import openings, playlist
from central.pages.replay_rows import load, segments_of, session_of
from central.pages.signed_in import Me
from central.pages.timeline_values import Replay, Scene
from central.pages.verification import Verifications, evidence_of, verifications_of
from central.web.state import State, WebState
from retention.footage.fragments import fragments
from retention.pages.kit import language_of, query_path
from retention.terms.problems import Problem, Refusal

router = APIRouter(include_in_schema=False)
AnyRow = Row[*tuple[Any, ...]]
MEDIA_TYPE = "video/mp4"
READ_BYTES = 512 * 1024
AT_ONCE_BYTES = 4 * READ_BYTES
_RANGE = re.compile(r"bytes=(\d{1,15})?-(\d{1,15})?")


@router.get("/sessions/{session}/scenes/{ordinal}.m3u8")
def scene_playlist(
    request: Request, state: State, me: Me, session: str, ordinal: int, node: str = ""
) -> Response:
    """Answer with the playlist of one camera's time. Raises Refusal (403, 404)."""
    with state.database.read() as connection:
        row = session_of(connection, node, session)
        opening = openings.require_opening(connection, me, node, session, state.now())
        found = load(
            state, connection, row, opening, language_of(request), verifications_of(request)
        )
        scene = _scene(found, ordinal)
        rows = {one.segment: one for one in segments_of(connection, row)}
    # (3) All scenes ask at once; whoever writes holds the others up, so only the row is written.
    with state.database.write() as connection:
        openings.write_access(state, connection, me, row, "footage.play", opening.reason)
    files = _files(state, found, scene, rows)
    return Response(playlist.of_scene(found, scene, files), media_type=playlist.MEDIA_TYPE)


@router.api_route("/sessions/{session}/segments/{segment}.mp4", methods=["GET", "HEAD"])
def segment_bytes(
    request: Request, state: State, me: Me, session: str, segment: str, node: str = ""
) -> Response:
    """Answer with a segment or a range of it. Raises Refusal (403, 404, 410).

    A file that nobody looked at since it changed is looked at now, beside the playing (2).
    """
    known = verifications_of(request)
    with state.database.read() as connection:
        openings.require_opening(connection, me, node, session, state.now())  # (1)
        row = session_of(connection, node, session)
        rows = segments_of(connection, row)
        wanted = next((one for one in rows if one.segment == segment), None)
        if wanted is None:
            raise Refusal(Problem(404, "NOT_FOUND", f"segment {segment[:64]}"))
        path = playable(state, wanted, known)
        unseen = evidence_of(connection, node, rows) if known.verdict(wanted) is None else []
    known.begin((node, session), unseen)
    return _answer(request, path, wanted)


def playable(state: WebState, row: AnyRow, verifications: Verifications) -> Path:
    """Return the file of a segment that may be played (2). Raises Refusal (404, 410)."""
    name = f"segment {row.segment}"
    if row.state not in ("accepted", "rejected"):
        raise Refusal(Problem(404, "FOOTAGE_GONE", f"{name}: still being received"))
    path = file_of(state.config.footage_root, row.node, row.segment)
    if row.state == "accepted" and not path.is_file():
        raise Refusal(Problem(404, "FOOTAGE_GONE", name))
    if row.state == "rejected" or verifications.is_known_broken(row):
        raise Refusal(Problem(410, "FOOTAGE_BROKEN", name))
    return path


def _scene(found: Replay, ordinal: int) -> Scene:
    for scene in found.scenes:
        if scene.ordinal == ordinal and scene.codec is not None:
            return scene
    raise Refusal(Problem(404, "FOOTAGE_GONE", f"scene {ordinal} has no footage at central"))


def _files(
    state: WebState, found: Replay, scene: Scene, rows: Mapping[str, AnyRow]
) -> dict[str, playlist.PlayedFile]:
    """Return the files behind the footage of a scene; one that is gone since is left out."""
    made = {}
    for name in {piece.segment for piece in scene.pieces if piece.state == "footage"}:
        if name is None or name not in rows:
            continue
        row = rows[name]
        try:
            index = fragments(file_of(state.config.footage_root, row.node, name))
        except FileNotFoundError:
            continue
        url = query_path(f"/sessions/{found.session}/segments/{name}.mp4", node=found.node)
        made[name] = playlist.PlayedFile(url, row.started_at - found.origin, index)
    return made


@dataclass(frozen=True, slots=True)
class _Range:
    """Bytes from `first` up to and including `last`."""

    first: int
    last: int

    @property
    def length(self) -> int:
        return self.last - self.first + 1


def range_of(header: str, size: int) -> _Range | None:
    """Read a Range header: None when it asks for all, or for what we answer with all of it.

    Raises ValueError when no byte of it exists.
    """
    found = _RANGE.fullmatch(header.strip())
    if found is None or found.groups() == (None, None):
        return None
    first, last = (None if text is None else int(text) for text in found.groups())
    if first is None:
        first, last = max(0, size - (last or 0)), size - 1
    elif last is not None and last < first:
        return None
    if first >= size:
        raise ValueError(header)
    return _Range(first, size - 1 if last is None else min(last, size - 1))


def _answer(request: Request, path: Path, row: AnyRow) -> Response:
    etag, size = f'"{row.file_sha256}"', row.size_bytes
    headers = {"ETag": etag, "Cache-Control": "no-store", "Accept-Ranges": "bytes"}
    asked = None
    if request.headers.get("if-range", etag) == etag:
        try:
            asked = range_of(request.headers.get("range", ""), size)
        except ValueError:
            return Response(status_code=416, headers={"Content-Range": f"bytes */{size}"})
    status = 200 if asked is None else 206
    if asked is not None:
        headers["Content-Range"] = f"bytes {asked.first}-{asked.last}/{size}"
    part = asked or _Range(0, size - 1)
    headers["Content-Length"] = str(part.length)
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers, media_type=MEDIA_TYPE)
    file = _opened(path, row)
    if part.length <= AT_ONCE_BYTES:
        content = b"".join(_pieces(file, part))
        return Response(content, status, headers, media_type=MEDIA_TYPE)
    return StreamingResponse(_pieces(file, part), status, headers, media_type=MEDIA_TYPE)


def _opened(path: Path, row: AnyRow) -> BinaryIO:
    """Open a segment, if it is as long as its record says. Raises Refusal (404, 410)."""
    name = f"segment {row.segment}"
    try:
        file = path.open("rb")
    except FileNotFoundError as exc:
        raise Refusal(Problem(404, "FOOTAGE_GONE", name)) from exc
    if os.fstat(file.fileno()).st_size != row.size_bytes:
        file.close()
        raise Refusal(Problem(410, "FOOTAGE_BROKEN", f"{name}: its length is not its record's"))
    return file


def _pieces(file: BinaryIO, part: _Range) -> Iterator[bytes]:
    """Read a range in pieces, and close the file at its end."""
    with file:
        file.seek(part.first)
        left = part.length
        while left and (piece := file.read(min(READ_BYTES, left))):
            left -= len(piece)
            yield piece
