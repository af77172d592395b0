"""`countersight edge view accept`: somebody says that a camera's view, as it is now, is right.

A camera that was moved stays moved, also when it looks at the new place for weeks: only somebody
who looked can say that the scene is in the picture again. Who said so is a record, as every look.
"""

from __future__ import annotations

import argparse
import json
from contextlib import closing
from pathlib import Path

from edge.config import EdgeConfig
from edge.said import said
from edge.watch.files import accept_file
from retention.records.errors import UsageError
from retention.records.payloads import AccessRecorded
from retention.store.log import append


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to `countersight edge`."""
    purpose = "认可摄像头现在的画面 / accept what a camera shows now"
    parser = commands.add_parser("view", help=purpose, description=purpose)
    deeds = parser.add_subparsers(dest="deed", required=True)
    accept = deeds.add_parser("accept", help=purpose)
    accept.add_argument("--config", type=Path, required=True, help="the node's TOML file")
    accept.add_argument("--json", action="store_true", help="one JSON object on stdout")
    accept.add_argument("--camera", required=True, help="摄像头编号 / the camera's id")
    accept.add_argument("--author", required=True, type=said, help="认可人 / who looked")
    accept.add_argument("--reason", required=True, type=said, help="原因 / why")
    accept.set_defaults(run=_accept)


def _accept(wanted: argparse.Namespace, config: EdgeConfig) -> int:
    names = [camera.id for camera in config.cameras]
    if wanted.camera not in names:
        raise UsageError(f"--camera {wanted.camera[:40]!r} is none of {', '.join(names)}")
    accepted = AccessRecorded(
        actor=wanted.author, action="view.accept", subject=wanted.camera, reason=wanted.reason
    )
    with closing(config.open_store()) as store, store.write() as connection:
        append(store, connection, accepted)
    path = accept_file(config, wanted.camera)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.touch()
    text = f"已认可，重新学习画面 / accepted, learned anew: {wanted.camera}"
    print(json.dumps({"camera": wanted.camera}) if wanted.json else text)
    return 0
