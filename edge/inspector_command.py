"""`countersight edge inspector add|revoke|list`: who may hold and take evidence at the node itself.

The node's operator adds inspectors; each addition is a record that central sees.
"""

from __future__ import annotations

import argparse
from contextlib import closing

from edge.command_kit import add_deeds, ask_secret, nobody, tell, tell_listed
from edge.config import EdgeConfig
from retention.store import inspectors


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to `countersight edge`."""
    add_deeds(
        commands,
        "inspectors",
        purpose="登记检查员 / inspectors who may act at the node",
        id_help="检查员编号 / the inspector's id",
        deeds=(_add, _revoke, _list),
    )


def _add(wanted: argparse.Namespace, config: EdgeConfig) -> int:
    secret = ask_secret("inspectors")
    with closing(config.open_store()) as store:
        inspectors.add(store, wanted.id, secret)
    return tell(wanted, {"inspector": wanted.id}, [f"已登记 / stored: {wanted.id}"])


def _revoke(wanted: argparse.Namespace, config: EdgeConfig) -> int:
    with closing(config.open_store()) as store:
        if not inspectors.revoke(store, wanted.id):
            raise nobody("inspectors", wanted.id)
    return tell(wanted, {"inspector": wanted.id}, [f"已撤销 / revoked: {wanted.id}"])


def _list(wanted: argparse.Namespace, config: EdgeConfig) -> int:
    return tell_listed(wanted, config, "inspectors")
