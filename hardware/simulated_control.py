"""Commands to a running simulated camera: one JSON object a line, one JSON object back.

The answer is ``{"ok": true, ...}`` or ``{"ok": false, "error": "one line"}``. A line that
cannot be understood is answered and forgotten; the cameras go on.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from hardware.simulated_actors import (
    DEFAULT_EYE_DISTANCE,
    DEFAULT_X,
    DEFAULT_Y,
    Actor,
    BentPhoto,
    CutPhoto,
    Genuine,
    HeldPhoto,
    HeldScreen,
    HeldVideo,
    Static,
)

MAX_LINE_BYTES = 16_384
Answer = Mapping[str, object]


class _Edge(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class CastMember(_Edge):
    """One actor as a control line writes it."""

    kind: Literal[
        "genuine", "held_photo", "held_screen", "bent_photo", "cut_photo", "held_video", "static"
    ]
    person: Annotated[str, Field(max_length=40)]
    picture: Annotated[int, Field(ge=1, le=99)] = 1
    x: Annotated[float, Field(ge=-1, le=2)] = DEFAULT_X
    y: Annotated[float, Field(ge=-1, le=2)] = DEFAULT_Y
    eye_distance: Annotated[float, Field(ge=0.02, le=0.5)] = DEFAULT_EYE_DISTANCE

    def actor(self) -> Actor:
        return _KINDS[self.kind](self.person, self.picture, self.x, self.y, self.eye_distance)

    @classmethod
    def of(cls, actor: Actor) -> CastMember:
        kind = next(name for name, made in _KINDS.items() if type(actor) is made)
        return cls.model_validate(
            {
                "kind": kind,
                "person": actor.person,
                "picture": actor.picture,
                "x": actor.x,
                "y": actor.y,
                "eye_distance": actor.eye_distance,
            }
        )


_KINDS: Mapping[str, type[Actor]] = {
    "genuine": Genuine,
    "held_photo": HeldPhoto,
    "held_screen": HeldScreen,
    "bent_photo": BentPhoto,
    "cut_photo": CutPhoto,
    "held_video": HeldVideo,
    "static": Static,
}


class _Command(_Edge):
    camera: Annotated[str, Field(max_length=64)]


class Show(_Command):
    """Replace who is in view; an empty cast is nobody."""

    command: Literal["show"]
    cast: Annotated[tuple[CastMember, ...], Field(max_length=4)]


class JumpClock(_Command):
    """Move the camera's own clock, as a bad time server would."""

    command: Literal["jump_clock"]
    seconds: Annotated[float, Field(ge=-86_400, le=86_400)]


class Plain(_Command):
    """A command without arguments; docs/design/cameras.md says what each does."""

    command: Literal["freeze", "loop", "black", "resume", "drop", "unplug", "plug", "status"]


Command = Annotated[Show | JumpClock | Plain, Field(discriminator="command")]
_COMMANDS: TypeAdapter[Show | JumpClock | Plain] = TypeAdapter(Command)


def command_line(command: Show | JumpClock | Plain) -> bytes:
    """Return a command as the line to send."""
    return command.model_dump_json().encode() + b"\n"


def parse_command(line: bytes) -> Show | JumpClock | Plain:
    """Read one line; raises ``ValueError`` with a one-line reason."""
    try:
        return _COMMANDS.validate_json(line)
    except ValidationError as exc:
        first = exc.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "line"
        raise ValueError(f"{place}: {first['msg']}") from exc


def _line(answer: Answer) -> bytes:
    return json.dumps(answer).encode() + b"\n"


class ControlServer:
    """Listens on loopback for control lines and hands commands to ``handle``."""

    def __init__(self, handle: Callable[[Show | JumpClock | Plain], Awaitable[Answer]]) -> None:
        self._handle = handle
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, port: int = 0) -> int:
        """Listen; return the port. Raises ``OSError`` when the port is taken."""
        self._server = await asyncio.start_server(
            self._serve, "127.0.0.1", port, limit=MAX_LINE_BYTES
        )
        return int(self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """Stop listening, cut every connection, and wait until each has noticed."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
        for writer in tuple(self._writers):
            writer.transport.abort()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        try:
            with suppress(ConnectionError):
                await self._converse(reader, writer)
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            try:
                line = await reader.readuntil(b"\n")
            except asyncio.IncompleteReadError:
                return
            except asyncio.LimitOverrunError:
                reason = f"line: longer than {MAX_LINE_BYTES} bytes"
                writer.write(_line({"ok": False, "error": reason}))
                await writer.drain()
                return
            writer.write(_line(await self._answer(line)))
            await writer.drain()

    async def _answer(self, line: bytes) -> Answer:
        try:
            return {"ok": True, **await self._handle(parse_command(line))}
        except (ValueError, LookupError) as exc:
            text = str(exc.args[0]) if exc.args else "refused"
            return {"ok": False, "error": " ".join(text.split())[:500]}


def cast_of(actors: Sequence[Actor]) -> tuple[CastMember, ...]:
    """Return actors as a control line writes them."""
    return tuple(CastMember.of(actor) for actor in actors)
