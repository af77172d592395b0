"""The demo's people who watch: their sign-ins, a counter of their own, and room at the camera.

Counter-2 is theirs. While one of its sessions is open, the demo dispenses nothing and lets the
insured person stand before the shared camera, so that a face check succeeds for whoever tries it.
"""

from __future__ import annotations

import secrets
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from edge.simulators.demo_config import PHARMACIST
from edge.simulators.demo_stack import DemoFailed, DemoStack
from edge.simulators.pharmacy import OTHER, PATIENT, Person
from edge.terminal.pairing import new_code
from edge.terminal.qr import pairing_link
from retention.store.database import NodeStore
from retention.store.log import of_session
from retention.store.sessions import recent_sessions

COUNTER = "counter-2"
IDLE_SECONDS = 300.0
LISTED = 20
COMMAND_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class SignIn:
    """Somebody who may sign in to central."""

    name: str
    role: str
    password: str


def sign_ins(stack: DemoStack) -> tuple[SignIn, ...]:
    """Make the demo's accounts, or give known ones new passwords. Raises DemoFailed."""
    made = tuple(
        SignIn(name, role, secrets.token_urlsafe(9))
        for name, role in (("inspector", "inspector"), ("admin", "admin"))
    )
    for account in made:
        known = _account(stack, account, "--reset")
        if known.returncode:
            added = _account(stack, account, "--role", account.role)
            if added.returncode:
                said = added.stderr.decode(errors="replace").strip()
                raise DemoFailed(f"account {account.name}: {said}")
    return made


def _account(stack: DemoStack, account: SignIn, *change: str) -> subprocess.CompletedProcess[bytes]:
    """Ask central's front door, because the node's side never imports central."""
    return subprocess.run(
        [
            sys.executable, "-P", "-m", "countersight", "central", "account",
            "--config", str(stack.data / "central.toml"), "--name", account.name,
            "--password-stdin", *change,
        ],
        input=account.password.encode() + b"\n",
        capture_output=True,
        check=False,
        timeout=COMMAND_SECONDS,
    )  # fmt: skip


def invitation(stack: DemoStack, accounts: tuple[SignIn, ...]) -> list[str]:
    """Return what a person needs to try the pages; makes a fresh pairing code of counter-2."""
    config = stack.edge_config
    store = config.open_store()
    try:
        link = pairing_link(config, new_code(store, COUNTER, store.clock), port=stack.terminal_port)
    finally:
        store.close()
    again = f"countersight edge pair --counter {COUNTER} --config {stack.data / 'edge.toml'}"
    return [
        "",
        f"中心 / central     {stack.central_url}/",
        *(f"  {one.role:<12}    {one.name} / {one.password}" for one in accounts),
        f"柜台 / counter     {link}",
        "  配对码十分钟有效；需要新的，请运行 / the code lives ten minutes; for another one run",
        f"  {again}",
        f"  参保人 / insured  {_typed(PATIENT)}  本人站在摄像头前 / stands at the camera",
        f"  另一人 / another  {_typed(OTHER)}  人证不符，请换一种方式 / a mismatch",
        f"  药师 / pharmacist {PHARMACIST} / {stack.pharmacist_secret}",
        f"数据 / data        {stack.data}",
        f"接口 / API         {stack.central_url}/openapi.json, {stack.terminal_url}/openapi.json",
        f"  Authorization: Bearer {stack.admin_token} (central)",
        "",
    ]


def _typed(person: Person) -> str:
    return f"{person.name} {person.number}"


class Visitors:
    """Whether somebody is busy at counter-2, by the steps of its open sessions.

    A session without a step for five minutes is idle, and one that was open before the demo began
    is idle until its next step.
    """

    def __init__(self, store: NodeStore, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._store, self._monotonic = store, monotonic
        self._steps = self._open()
        self._stepped_at = dict.fromkeys(self._steps, -IDLE_SECONDS)

    def busy(self) -> bool:
        """Look once. Raises StoreUnavailable."""
        now, found = self._monotonic(), self._open()
        for session, steps in found.items():
            if self._steps.get(session) != steps:
                self._stepped_at[session] = now
        self._steps = found
        return any(now - self._stepped_at[session] < IDLE_SECONDS for session in found)

    def _open(self) -> dict[str, int]:
        """Return the open sessions of counter-2 and how many steps each has."""
        with self._store.read() as connection:
            return {
                row.id: len(of_session(connection, row.id))
                for row in recent_sessions(connection, COUNTER, LISTED)
                if row.closed_at is None
            }
