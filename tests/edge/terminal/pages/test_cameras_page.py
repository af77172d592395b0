"""The cameras' page: who may look, what is recorded, what is said."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from fractions import Fraction

import av
import numpy as np
import pytest

from edge.terminal.app import create_app
from edge.terminal.cameras import CameraPictures
from edge.terminal.pages.camera_routes import LOOK_SECONDS, Looks
from edge.watch.live import ViewPublisher
from edge.watch.looked import LookedNote, looked_file
from edge.watch.shown import PICTURE_TOPIC, Shown
from retention.records.clock import ManualClock, to_micros
from retention.records.payloads import GapCause, SceneRole
from retention.store import alarms, footage
from retention.store.log import all_records
from tests.edge.terminal.pages.visitor import Visitor
from tests.serving import served

CAMERA = "till"
JPEG = b"\xff\xd8 a picture \xff\xd9"


@pytest.fixture
def pictures(clock) -> CameraPictures:
    return CameraPictures(clock)


@pytest.fixture
def seen_url(store, verifier, keys, config, pictures) -> Iterator[str]:
    app = create_app(store=store, verifier=verifier, keys=keys, config=config, cameras=pictures)
    with served(app) as address:
        yield address


@pytest.fixture
def looker(visiting, seen_url) -> Visitor:
    return visiting(address=seen_url)


def show(pictures: CameraPictures, clock: ManualClock) -> None:
    shown = Shown(
        camera=CAMERA, received_monotonic_ns=clock.monotonic_ns(), condition="clear",
        width=640, height=480,
    )  # fmt: skip
    pictures.take([PICTURE_TOPIC, CAMERA.encode(), shown.model_dump_json().encode(), JPEG])


def looked(store) -> list[dict[str, object]]:
    with store.read() as connection:
        found = [
            record.parse().payload
            for record in all_records(connection)
            if record.kind == "access.recorded"
        ]
    return [one for one in found if one["action"] == "cameras.look"]


def look_of(html: str) -> str:
    found = re.search(r'data-src="([^"]+)"', html)
    assert found is not None
    return found.group(1)


def test_every_opening_is_recorded_before_anything_is_shown(looker, store, pictures, clock):
    page = looker.get("/counter/cameras")
    assert page.status == 200
    (record,) = looked(store)
    assert (record["action"], record["subject"]) == ("cameras.look", CAMERA)
    assert str(record["actor"]).startswith("terminal ")
    show(pictures, clock)
    answer = looker.http.get(look_of(page.html))
    assert (answer.status_code, answer.content) == (200, JPEG)
    assert answer.headers["cache-control"] == "no-store"
    assert len(looked(store)) == 1
    looker.get("/counter/cameras")
    assert len(looked(store)) == 2


def test_picture_without_a_recorded_look_is_refused(looker, visiting, seen_url, pictures, clock):
    show(pictures, clock)
    path = f"/counter/cameras/{CAMERA}/picture"
    assert looker.http.get(path).status_code == 403
    assert looker.http.get(f"{path}?look=guessed").status_code == 403
    mine = look_of(looker.get("/counter/cameras").html)
    assert looker.http.get(mine).status_code == 200
    other = visiting(counter="counter-2", address=seen_url)
    assert other.http.get(mine).status_code == 403
    stranger = visiting(counter=None, address=seen_url)
    for address in (mine, "/counter/cameras", f"/counter/cameras/{CAMERA}/state"):
        assert stranger.http.get(address).status_code == 401


def test_look_ends_and_is_recorded_again_to_go_on(looker, store, pictures, clock):
    mine = look_of(looker.get("/counter/cameras").html)
    clock.advance(timedelta(seconds=LOOK_SECONDS))
    show(pictures, clock)
    assert looker.http.get(mine).status_code == 403
    again = look_of(looker.get("/counter/cameras").html)
    assert looker.http.get(again).status_code == 200
    assert len(looked(store)) == 2


def test_picture_that_was_old_when_it_came_is_not_shown_as_if_it_were_now(looker, pictures, clock):
    """The camera was unplugged an hour ago; the watch sends its newest picture to whoever comes."""
    shown = Shown(
        camera=CAMERA, received_monotonic_ns=clock.monotonic_ns(), condition="clear",
        width=640, height=480,
    )  # fmt: skip
    clock.advance(timedelta(hours=1))
    mine = look_of(looker.get("/counter/cameras").html)
    pictures.take([PICTURE_TOPIC, CAMERA.encode(), shown.model_dump_json().encode(), JPEG])
    assert looker.http.get(mine).status_code == 204


def test_old_picture_is_not_shown_as_if_it_were_now(looker, pictures, clock):
    mine = look_of(looker.get("/counter/cameras").html)
    assert looker.http.get(mine).status_code == 204  # none came yet
    show(pictures, clock)
    clock.advance(timedelta(seconds=11))
    assert looker.http.get(mine).status_code == 200
    clock.advance(timedelta(seconds=2))
    assert looker.http.get(mine).status_code == 204


@pytest.mark.parametrize("lang", ["zh", "en"])
def test_state_is_told_in_words(visiting, seen_url, store, clock, lang):
    now = to_micros(clock.now())
    with store.write() as connection:
        for cause in (GapCause.CAMERA_UNREACHABLE, GapCause.VIEW_COVERED):
            footage.open_gap(store, connection, CAMERA, SceneRole.PURCHASE, now, cause)
        alarms.raise_alarm(store, connection, "CAMERA_SILENT", CAMERA, "", now)
        alarms.raise_alarm(store, connection, "CAMERA_SILENT", "another", "", now)
    visitor = visiting(lang=lang, address=seen_url)
    for page in (visitor.get("/counter/cameras"), visitor.get(f"/counter/cameras/{CAMERA}/state")):
        words = {
            "zh": ("录像中断", "摄像头连接不上", "镜头被遮挡", "警报：摄像头没有新录像", "还没有"),
            "en": (
                "Not recording",
                "could not be reached",
                "is covered",
                "Alarm: A camera",
                "none",
            ),
        }
        assert [word for word in words[lang] if word not in page.text] == []
    assert visitor.get("/counter/cameras/unknown/state").status == 404


def test_picture_that_nobody_looks_at_is_not_called_usable(looker, config, clock):
    path = f"/counter/cameras/{CAMERA}/state"
    assert "画面未检查" in looker.get(path).text
    note = LookedNote(looked_file(config), clock)
    note.path.parent.mkdir(exist_ok=True)
    note.judged(CAMERA, clock.monotonic_ns())
    note.write()
    clock.advance(timedelta(seconds=29))
    assert "画面正常" in looker.get(path).text
    clock.advance(timedelta(seconds=1))
    assert "画面未检查" in looker.get(path).text


def test_looks_are_not_kept_without_end(clock):
    looks = Looks(clock)
    numbers = [looks.begin("t") for _ in range(400)]
    assert len(set(numbers)) == 400
    assert not looks.lasts(numbers[0], "t")
    assert looks.lasts(numbers[-1], "t")
    assert not looks.lasts(numbers[-1], "u")


# -- the socket between watch and terminal --------------------------------------------------------


def test_pictures_are_made_only_while_somebody_looks(tmp_path, zmq_context, clock):
    frame = av.VideoFrame.from_ndarray(np.full((480, 640, 3), 90, np.uint8), format="bgr24")
    frame.pts, frame.time_base = 0, Fraction(1, 10)
    shown = Shown(
        camera=CAMERA, received_monotonic_ns=clock.monotonic_ns(), condition="black",
        width=640, height=480,
    )  # fmt: skip
    pictures, stop = CameraPictures(clock), threading.Event()
    address = f"ipc://{tmp_path}/view"
    with ViewPublisher(zmq_context, address) as publisher:
        reader = threading.Thread(target=pictures.run, args=(zmq_context, address, stop))
        reader.start()
        try:
            for _ in range(5):
                publisher.notice()
                publisher.show(shown, frame)
            assert not publisher.watched
            until(lambda: (pictures.newest(CAMERA), publisher.notice())[0] is not None)
            found = pictures.newest(CAMERA)
            assert found is not None  # without a new picture: the newest was sent at once
            assert found.jpeg[:2] == b"\xff\xd8"
            assert found.shown == shown
            clock.advance(timedelta(seconds=6))  # nobody asks any more
            until(lambda: (publisher.notice(), publisher.watched)[1] is False)
        finally:
            stop.set()
            reader.join(20)
    assert pictures.newest(CAMERA) is None


def until(found) -> None:
    deadline = time.monotonic() + 20
    while not found():
        assert time.monotonic() < deadline
        threading.Event().wait(0.02)


@pytest.mark.parametrize("frames", [[b"J"], [b"J", b"till", b"{}", JPEG], [b"X", b"a", b"b", b"c"]])
def test_message_that_cannot_be_read_is_forgotten(pictures, frames):
    pictures.take(frames)
    assert pictures.newest(CAMERA) is None


def test_counter_is_told_of_a_camera_that_shows_nothing(looker, store, clock):
    with store.write() as connection:
        footage.open_gap(
            store, connection, CAMERA, SceneRole.PURCHASE, to_micros(clock.now()),
            GapCause.VIEW_MOVED,
        )  # fmt: skip
    page = looker.get("/counter/condition")
    assert "的画面不可用" in page.text
    assert "镜头被移动" in page.text
