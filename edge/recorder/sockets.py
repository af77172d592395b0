"""The recorder's two local sockets: seal requests come in, key pictures go out.

Neither may ever delay recording: requests are taken without waiting, and a key picture that a
watcher does not take in time is dropped for that watcher (live state may be lost, evidence never
travels here). While nobody listens nothing is copied or encoded.
"""

from __future__ import annotations

import json
from typing import Final

import zmq

from hardware.packets import PacketSource, ReceivedPacket

SEAL = b"seal"
KEY_TOPIC: Final = b"K"
MOST_WAITING = 2
_SUBSCRIBE, _UNSUBSCRIBE = b"\x01", b"\x00"


class SealRequests:
    """The local PULL socket on which other processes ask to cut and seal now."""

    def __init__(self, address: str) -> None:
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context(io_threads=1)
        try:
            self._socket = self.context.socket(zmq.PULL)
            self._socket.setsockopt(zmq.LINGER, 0)
            self._socket.setsockopt(zmq.MAXMSGSIZE, 64)
            self._socket.bind(address)
        except zmq.ZMQError:
            self.context.destroy(linger=0)  # a context with a socket left in it never ends
            raise

    def __enter__(self) -> SealRequests:
        return self

    def __exit__(self, *_: object) -> None:
        """Close, with every socket that shares the context."""
        self.context.destroy(linger=0)

    def asked(self) -> bool:
        """Take every waiting message; tell whether one of them asked to seal."""
        found = False
        while True:
            try:
                found = self._socket.recv(zmq.NOBLOCK) == SEAL or found
            except zmq.Again:
                return found


class KeyPictures:
    """The local XPUB socket on which the watch gets key pictures, without a second connection.

    Message: topic `K`, JSON `{codec, width, height, received_monotonic_ns, run}`, the parameter
    sets as FFmpeg keeps them, the compressed picture.
    """

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], address: str) -> None:
        self._socket = context.socket(zmq.XPUB)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.SNDHWM, MOST_WAITING)
        self._socket.setsockopt(zmq.MAXMSGSIZE, 64)
        self._socket.bind(address)
        self._topics: set[bytes] = set()

    def __enter__(self) -> KeyPictures:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def publish(self, received: ReceivedPacket, source: PacketSource, run: str) -> bool:
        """Send a packet if it is a key picture and somebody listens; tells whether it went out.

        Never waits: XPUB drops for a subscriber whose queue is full.
        """
        if not received.packet.is_keyframe or not self._wanted():
            return False
        head = {
            "codec": source.codec_name,
            "width": source.width,
            "height": source.height,
            "received_monotonic_ns": received.received_monotonic_ns,
            "run": run,
        }
        frames = [KEY_TOPIC, json.dumps(head).encode(), source.extradata, bytes(received.packet)]
        try:
            self._socket.send_multipart(frames, zmq.NOBLOCK)
        except zmq.Again:
            return False
        return True

    def _wanted(self) -> bool:
        """Take what subscribers said; tell whether any listens now."""
        while True:
            try:
                said = self._socket.recv(zmq.NOBLOCK)
            except zmq.Again:
                return any(KEY_TOPIC.startswith(topic) for topic in self._topics)
            if said[:1] == _SUBSCRIBE:
                self._topics.add(said[1:])
            elif said[:1] == _UNSUBSCRIBE:
                self._topics.discard(said[1:])
