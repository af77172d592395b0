"""`countersight edge pharmacist add|revoke|list`: who may vouch for people at the node's counters.

The secret is never an argument. Adding and revoking are records that central sees. Whoever is
revoked vouches for nobody from then on, in the running node too: they are signed out, and their own
face reference is erased with a proof (`--json` prints it in full, to be checked anywhere). Added
again they stand again, without a reference.
"""

from __future__ import annotations

import argparse
from contextlib import closing

from edge.command_kit import add_deeds, ask_secret, nobody, tell, tell_listed
from edge.config import EdgeConfig
from edge.terminal import pharmacists
from edge.terminal.pharmacists import Revoked


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to `countersight edge`."""
    add_deeds(
        commands,
        "pharmacists",
        purpose="登记与撤销药师 / pharmacists who may vouch for people",
        id_help="药师编号 / the pharmacist's id",
        deeds=(_add, _revoke, _list),
    )


def _add(wanted: argparse.Namespace, config: EdgeConfig) -> int:
    secret = ask_secret("pharmacists")
    with closing(config.open_store()) as store:
        pharmacists.add(store, wanted.id, secret)
    return tell(wanted, {"pharmacist": wanted.id}, [f"已登记 / stored: {wanted.id}"])


def _revoke(wanted: argparse.Namespace, config: EdgeConfig) -> int:
    keys = config.keys()
    with closing(config.open_store()) as store:
        revoked = pharmacists.revoke(
            store, wanted.id, person_key=keys.secret("person"), signer=keys.signer()
        )
    if revoked is None:
        raise nobody("pharmacists", wanted.id)
    return tell(wanted, _found(revoked), _lines(revoked))


def _list(wanted: argparse.Namespace, config: EdgeConfig) -> int:
    return tell_listed(wanted, config, "pharmacists")


def _found(revoked: Revoked) -> dict[str, object]:
    return {
        "pharmacist": revoked.pharmacist,
        "signed_out_at": revoked.counter,
        "withdrawn": [
            {
                "consent": one.consent,
                "references_erased": one.references,
                "proof": one.proof.model_dump(mode="json"),
            }
            for one in revoked.withdrawn
        ],
    }


def _lines(revoked: Revoked) -> list[str]:
    lines = [f"已撤销 / revoked: {revoked.pharmacist}"]
    if revoked.counter is not None:
        lines.append(f"已签退 / signed out at {revoked.counter}")
    for one in revoked.withdrawn:
        records = ", ".join(str(record.sequence) for record in one.proof.records)
        lines.append(
            f"其同意已撤回，比对照片已删除 / consent withdrawn, references erased: "
            f"{len(one.references)}; 证明见记录 / proven by records {records}"
        )
    return lines
