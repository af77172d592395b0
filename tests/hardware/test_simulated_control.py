"""A running camera obeys well-formed lines and survives all others."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardware.errors import SIMULATION_VARIABLE, SimulatedPartWarning
from hardware.simulated_actors import Actor, Genuine, HeldPhoto, HeldScreen, Static
from hardware.simulated_camera import CameraPlan, PicturePlan, SimulatedCamera, main
from hardware.simulated_cameras import SimulatedCameraFailed, SimulatedCameras
from hardware.simulated_control import CastMember, Show, cast_of, command_line, parse_command
from hardware.simulated_people import People


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"not json",
        b"[]",
        b'{"command": "show"}',
        b'{"command": "explode", "camera": "counter"}',
        b'{"command": "freeze", "camera": "counter", "extra": 1}',
        b'{"command": "freeze", "camera": "nowhere"}',
        b'{"command": "jump_clock", "camera": "counter", "seconds": 1e12}',
        b'{"command": "show", "camera": "counter", "cast": [{"kind": "ghost", "person": "x"}]}',
        b'{"command": "show", "camera": "counter", "cast": [{"kind": "static", "person": "x"}]}',
        b"\xff\xfe\x00",
        b"x" * 40_000,
    ],
)
def test_a_malformed_line_gets_one_line_and_the_camera_goes_on(
    cameras: SimulatedCameras, line: bytes
) -> None:
    control = cameras.control("counter")
    with socket.create_connection(("127.0.0.1", control._port), 5) as link:
        link.sendall(line + b"\n")
        answer = link.makefile("rb").readline()
    told = json.loads(answer)
    assert told["ok"] is False
    assert told["error"]
    assert "\n" not in told["error"]
    assert control.status()["ok"] is True


def test_a_refused_command_is_an_error_with_its_reason(
    cameras: SimulatedCameras, people: People
) -> None:
    with pytest.raises(SimulatedCameraFailed, match="No picture nobody/1"):
        cameras.control("counter").show(Static("nobody"))
    with pytest.raises(KeyError):
        cameras.control("elsewhere")


def test_a_cast_can_be_shown_and_cleared(cameras: SimulatedCameras, people: People) -> None:
    control = cameras.control("counter")
    assert control.show(Genuine("person-a", 3), Genuine("person-b", x=0.8))["ok"] is True
    assert control.show()["ok"] is True


@given(
    kind=st.sampled_from([Genuine, HeldPhoto, HeldScreen, Static]),
    x=st.floats(0, 1),
    eye_distance=st.floats(0.05, 0.4),
    picture=st.integers(1, 9),
)
def test_actors_survive_the_line(
    kind: type[Actor], x: float, eye_distance: float, picture: int
) -> None:
    actor = kind("person-a", picture, x, 0.5, eye_distance)
    line = command_line(Show(camera="c", command="show", cast=cast_of([actor])))
    command = parse_command(line)
    assert isinstance(command, Show)
    assert [member.actor() for member in command.cast] == [actor]


def test_every_kind_of_actor_has_a_word() -> None:
    assert {type(CastMember.of(each("p")).actor()) for each in (Genuine, HeldPhoto, Static)} == {
        Genuine,
        HeldPhoto,
        Static,
    }


def test_a_camera_warns_outside_a_simulation(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = CameraPlan("c", 0, "desk")  # type: ignore[arg-type]
    small = PicturePlan(width=64, height=48)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        SimulatedCamera(plan, small, None)
    monkeypatch.delenv(SIMULATION_VARIABLE)
    with pytest.warns(SimulatedPartWarning, match="Camera c is simulated"):
        SimulatedCamera(plan, small, None)


def test_a_taken_port_is_one_clear_line(capfd: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = subprocess.run(
            [sys.executable, "-P", "-m", "hardware.simulated_camera", "--port", str(port)],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
    assert done.returncode == 2
    assert str(port) in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [["--camera", "a:0:kitchen"], ["--camera", "a:0"], ["--camera", "a:0:purchase"] * 2],
)
def test_wrong_arguments_are_refused(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert "--camera" in capsys.readouterr().err


def test_odd_sizes_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-m", "hardware.simulated_camera", "--width", "641"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "even" in done.stderr.splitlines()[-1]


def test_the_process_ends_with_its_parent_even_if_that_is_killed() -> None:
    script = (
        "from hardware.simulated_cameras import *; import sys, time\n"
        "running = SimulatedCameras([CameraPlan('c', 0, 'dispensing')],"
        " pictures=PicturePlan(width=64, height=48))\n"
        "print(running.process_id, flush=True)\n"
        "sys.stdin.read()\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-P", "-c", script],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert parent.stdout is not None
    assert parent.stdin is not None
    child = int(parent.stdout.readline())
    parent.send_signal(signal.SIGKILL)
    parent.wait(30)
    parent.stdout.close()
    parent.stdin.close()
    deadline = time.monotonic() + 30
    while _is_running(child):
        assert time.monotonic() < deadline, "the camera outlived its parent"
        time.sleep(0.05)


def _is_running(process_id: int) -> bool:
    try:
        with open(f"/proc/{process_id}/stat") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_closing_twice_is_harmless() -> None:
    running = SimulatedCameras(
        [CameraPlan("c", 0, "dispensing")], pictures=PicturePlan(width=64, height=48)
    )
    running.close()
    running.close()
    with pytest.raises(ProcessLookupError):
        os.kill(running.process_id, 0)
