"""Enrolling and revoking in a browser: errors name the field, and the same again is no error."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from html import unescape

import httpx
import pytest
from sqlalchemy import select

from central.tables import Node, table_of
from tests.central.pages.conftest import Pages, csrf
from tests.central.pages.fleet_kit import now_of
from tests.central.wirekit import CENTRAL_SIGNER, IDENTITY, KEY, NODE_SIGNER, OTHER_KEY, TestCentral

NEW = {
    "agency": "430100",
    "pharmacy": "P43010000002",
    "node": "node-b",
    "curve_public_key": OTHER_KEY,
    "signing_public_key": "e" * 64,
}
SAME = {
    "agency": IDENTITY.agency,
    "pharmacy": IDENTITY.pharmacy,
    "node": IDENTITY.node,
    "curve_public_key": KEY,
    "signing_public_key": NODE_SIGNER.public_key.hex(),
}


@pytest.fixture
def admin(pages: Pages) -> httpx.Client:
    return pages.signed_in("wang", "admin")


def enrol(admin: httpx.Client, **fields: str) -> httpx.Response:
    return admin.post("/nodes/enrol", data={"csrf": csrf(admin, "/nodes/enrol"), **fields})


def enrolled(central: TestCentral) -> list[str]:
    with central.database.read() as connection:
        nodes = table_of(Node)
        return list(connection.execute(select(nodes.c.node).order_by(nodes.c.node)).scalars())


@pytest.mark.parametrize(
    "text", [json.dumps(NEW), f"$ countersight edge enrol\n{json.dumps(NEW, indent=2)}\n$ "]
)
def test_what_the_node_prints_can_be_pasted(
    pages: Pages, central: TestCentral, admin: httpx.Client, text: str
) -> None:
    found = enrol(admin, pasted=text)
    assert found.status_code == 303
    assert enrolled(central) == ["node-a", "node-b"]
    assert pages.rows("node.enrol") == [("wang", "node node-b")]
    shown = admin.get(found.headers["location"]).text
    assert "已登记" in shown
    assert f"""[central]
endpoint = "tcp://127.0.0.1:7320"
server_key = '{OTHER_KEY}'
signing_key = "{CENTRAL_SIGNER.public_key.hex()}\"""" in unescape(shown)


def test_fields_can_be_typed_and_spaces_around_them_do_not_matter(
    central: TestCentral, admin: httpx.Client
) -> None:
    assert enrol(admin, **{name: f" {value} " for name, value in NEW.items()}).status_code == 303
    assert enrolled(central) == ["node-a", "node-b"]


def test_same_again_is_no_error(pages: Pages, central: TestCentral, admin: httpx.Client) -> None:
    found = enrol(admin, **SAME)
    assert found.status_code == 303
    assert "没有改变" in admin.get(found.headers["location"]).text
    assert enrolled(central) == ["node-a"]


WRONG = (
    ("node", "no de", "节点编号"),
    ("pharmacy", "", "药店编号"),
    ("agency", "é", "经办机构"),
    ("curve_public_key", "short", "40 个字符"),
    ("signing_public_key", "E" * 64, "64 位十六进制"),
    ("node", '"><script>alert(1)</script>', "节点编号"),
)


def test_wrong_field_is_named_with_what_is_allowed_and_what_was_typed_stays(
    central: TestCentral, admin: httpx.Client
) -> None:
    for field, value, says in WRONG:
        found = enrol(admin, **{**NEW, field: value})
        assert found.status_code == 422
        assert f'<a href="#{field}">' in found.text
        assert says in found.text
        assert found.text.count('aria-invalid="true"') == 1
        assert "<script>alert" not in found.text
        assert set({**NEW, field: value}.values()) <= set(typed(found)), field
    assert enrolled(central) == ["node-a"]


def typed(page: httpx.Response) -> list[str]:
    """Return what stands in the fields of a form."""
    return [
        unescape(value) for value in re.findall(r'<input id="[^>]*? value="([^"]*)"', page.text)
    ]


NO_ENROLMENT = (
    ("hello", "不是"), ("{", "不是"), ('{"node": ', "不是"), ("{}", "缺少"), ("[" * 9000, "不是"),
    (json.dumps({**NEW, "node": 7}), "缺少"), ('{"a":' * 3000 + "}", "不是"),
)  # fmt: skip


def test_paste_that_is_no_enrolment_is_said_in_words(
    central: TestCentral, admin: httpx.Client
) -> None:
    for text, says in NO_ENROLMENT:
        found = enrol(admin, pasted=text)
        assert found.status_code == 422
        assert "粘贴的内容读不懂" in found.text
        assert says in found.text
    assert enrolled(central) == ["node-a"]


@pytest.mark.parametrize(
    ("changes", "says"),
    [({"signing_public_key": "f" * 64}, "节点 node-a 已登记"),
     ({"pharmacy": "P9"}, "节点 node-a 已登记"),
     ({"node": "node-c"}, "属于已登记的节点 node-a")],
)  # fmt: skip
def test_conflict_says_with_what(
    central: TestCentral, admin: httpx.Client, changes: dict[str, str], says: str
) -> None:
    found = enrol(admin, **{**SAME, **changes})
    assert found.status_code == 422
    assert says in found.text
    assert "/nodes/one?node=node-a" in found.text


def test_form_without_its_token_enrols_nothing(central: TestCentral, admin: httpx.Client) -> None:
    assert admin.post("/nodes/enrol", data=NEW).status_code == 403
    assert enrolled(central) == ["node-a"]


def test_inspector_enrols_and_revokes_nothing(pages: Pages, central: TestCentral) -> None:
    inspector = pages.signed_in("li", "inspector")
    token = csrf(inspector)
    for path, fields in (
        ("/nodes/enrol", NEW),
        ("/nodes/revoke", {"node": "node-a", "typed": "node-a"}),
    ):
        assert inspector.post(path, data={"csrf": token, **fields}).status_code == 403
    assert enrolled(central) == ["node-a"]
    assert revoked_at(central) is None


def revoked_at(central: TestCentral) -> int | None:
    with central.database.read() as connection:
        found: int | None = connection.execute(select(table_of(Node).c.revoked_at)).scalar_one()
        return found


def revoke(admin: httpx.Client, node: str, typed: str) -> httpx.Response:
    token = csrf(admin, "/password")
    return admin.post("/nodes/revoke", data={"csrf": token, "node": node, "typed": typed})


@pytest.mark.parametrize("typed", ["", "node-b", "NODE-A"])
def test_revoking_asks_for_the_id_and_does_nothing_without(
    central: TestCentral, admin: httpx.Client, typed: str
) -> None:
    found = revoke(admin, "node-a", typed)
    assert found.status_code == 422
    assert "没有停用" in found.text
    assert revoked_at(central) is None


def test_revoking_takes_nothing_more_and_says_so(
    pages: Pages, central: TestCentral, admin: httpx.Client
) -> None:
    assert "停用后不能恢复" in admin.get("/nodes/revoke?node=node-a").text
    found = revoke(admin, "node-a", " node-a ")
    assert found.status_code == 303
    assert revoked_at(central) == now_of(central)
    assert pages.rows("node.revoke") == [("wang", "node node-a")]
    shown = admin.get(found.headers["location"]).text
    assert "已停用" in shown
    assert "停用这一节点" not in shown
    assert "已停用" in admin.get("/nodes/revoke?node=node-a").text
    again = enrol(admin, **SAME)
    assert again.status_code == 422
    assert "已停用" in again.text


def test_revoking_twice_keeps_the_first_moment(
    pages: Pages, central: TestCentral, admin: httpx.Client
) -> None:
    revoke(admin, "node-a", "node-a")
    first = revoked_at(central)
    pages.clock.advance(timedelta(seconds=60))
    assert revoke(admin, "node-a", "node-a").status_code == 303
    assert revoked_at(central) == first


def test_revoking_an_unknown_node_is_said_in_words(admin: httpx.Client) -> None:
    found = revoke(admin, "node-z", "node-z")
    assert found.status_code == 404
    assert "没有这一节点" in found.text
