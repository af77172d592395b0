"""At the counter's page: guardians, withdrawn consent, old pictures, large amounts, devices."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edge.terminal.app import create_app
from edge.terminal.pages import notice
from edge.terminal.pages.consent_routes import masked
from edge.terminal.pages.path import NEUTRAL
from hardware.simulated_devices import Control, DeviceService, SimulatedDevices, Somebody
from retention.keyfiles import KeyDirectory
from retention.records.signing import Ed25519Signer
from retention.store import people
from retention.store.database import NodeStore
from retention.terms.reasons import BY_CODE
from retention.withdrawal import ErasureProof, check_proof
from tests.edge.counter_kit import FakeVerifier, config_for
from tests.edge.terminal.pages.conftest import CHILD, NAME, NUMBER, Visiting, open_session
from tests.edge.terminal.pages.test_pages_flow import LINE, agree, attest, chosen
from tests.edge.terminal.pages.visitor import Page, Visitor
from tests.serving import served

GUARDIAN = {
    "certificate.number": "430102199003077000",
    "name": "张梅",
    "relation": "parent",
    "reason": "孩子发烧",
}
# The words of each version, as the digest of what a node with a year's references shows. A change
# of the words is a new version: add a line, never edit one.
WORDS = {"2026-11": "a6c71d31af55f53b0bbcf8db5110c8c1d919c1487355b882187d8180e597b9d7"}


def test_the_words_of_a_version_of_the_notice_never_change() -> None:
    assert notice.sha256(365) == WORDS[notice.VERSION]
    assert notice.sha256(90) != notice.sha256(365)


# -- somebody else meanwhile ----------------------------------------------------------------------


@pytest.mark.parametrize("way", ["document", "consent", "reference", "face"])
def test_a_page_that_was_shown_for_the_patient_does_nothing_for_the_purchaser(
    visitor: Visitor,
    verifier: FakeVerifier,
    pharmacist: tuple[str, str],
    store: NodeStore,
    way: str,
) -> None:
    """Two tabs: in one the purchaser is registered while the other still shows the patient."""
    page = open_session(visitor)
    proxy = chosen(visitor, page, "proxy")
    values: dict[str, str] = {}
    files: dict[str, bytes] = {}
    if way in ("reference", "face"):
        # The purchaser agreed on an earlier day.
        number = GUARDIAN["certificate.number"]
        earlier = open_session(visitor, **{"claim.certificate.number": number})
        visitor.send(earlier.form("/consent"))
        page = visitor.send(page.form("/consent"))
        files = {"picture": b"the patient's card"}
    if way == "face":
        page, files = visitor.send(page.form("/reference"), files=files), {}
    if way == "document":
        page = chosen(visitor, page, "document")
        values = {"pharmacist": pharmacist[0], "secret": pharmacist[1]}
    stale = page.form({"document": "/attestation", "face": "/verification"}.get(way, f"/{way}"))
    asked = len(verifier.requests)
    visitor.send(proxy.form("/proxy"), GUARDIAN, files={"both": b"signed"})

    part = visitor.send(stale, values, files=files, htmx=True)

    assert (part.status, "核验对象已变更" in part.text) == (409, True)
    assert len(verifier.requests) == asked
    with store.read() as connection:
        consents, references = (
            connection.execute(query).fetchone()[0]
            for query in (
                "SELECT count(*) FROM consents",
                "SELECT count(*) FROM reference_templates",
            )
        )
    assert (consents, references) == {
        "document": (0, 0), "consent": (0, 0), "reference": (2, 0), "face": (2, 1)
    }[way]  # fmt: skip
    now = visitor.get(page.url)
    assert "basket" not in now.marks
    assert "现在核验代购人 张*" in now.text


# -- children -------------------------------------------------------------------------------------


def test_for_a_child_the_guardians_form_is_there_at_once_and_nothing_of_a_face(
    visitor: Visitor, verifier: FakeVerifier, pharmacist: tuple[str, str]
) -> None:
    page = open_session(visitor, **{"claim.certificate.number": CHILD})
    assert {"child", "proxy"} <= page.marks
    assert not {"consent", "face", "attest"} & page.marks
    for way in ("face", "document", "renew", "upload"):
        other = visitor.get(f"{page.url}?way={way}")
        assert "proxy" in other.marks
        assert not {"consent", "face", "attest", "reference"} & other.marks
    page = visitor.send(page.form("/proxy"), GUARDIAN, files={"both": b"signed"})
    assert "监护人 张*" in page.text
    assert "consent" in page.marks
    page = visitor.send(agree(visitor, page).form("/verification"))
    assert "basket" in page.marks
    assert [request.subject_role for request in verifier.requests] == ["proxy"]


def test_a_guardian_who_is_a_minor_is_refused_in_words(visitor: Visitor) -> None:
    page = open_session(visitor, **{"claim.certificate.number": CHILD})
    minor = GUARDIAN | {"certificate.number": "430102201003077005"}
    part = visitor.send(page.form("/proxy"), minor, files={"both": b"s"}, htmx=True)
    assert (part.status, "监护人未满18岁" in part.text) == (422, True)


def test_who_shows_no_age_may_be_said_to_be_a_child(
    visitor: Visitor, verifier: FakeVerifier
) -> None:
    grown = open_session(visitor)
    assert "say-child" not in grown.marks
    page = open_session(visitor, **{"claim.certificate.number": "E1234567"})
    assert {"say-child", "consent"} <= page.marks
    page = visitor.send(page.form("/child"))
    assert {"child", "proxy"} <= page.marks
    assert "say-child" not in page.marks
    assert verifier.requests == []


# -- consent --------------------------------------------------------------------------------------


def test_a_consent_is_withdrawn_at_the_counter_and_the_proof_holds_away_from_it(
    visitor: Visitor, opened: Page, store: NodeStore
) -> None:
    agree(visitor, opened)
    page = visitor.get("/counter/consents")
    found = visitor.send(page.form("/consents"), {"certificate.number": NUMBER})
    assert NUMBER not in found.html
    form = found.form("/withdraw")
    done = visitor.send(form)
    assert "已撤回" in done.text
    assert "reference.erased" in done.text
    again = visitor.send(form)
    assert "reference.erased" in again.text
    with store.read() as connection:
        (left,) = connection.execute("SELECT count(*) FROM reference_templates").fetchone()
    assert left == 0
    answer = visitor.http.post("/counter/consents/proof", data=again.form("/proof").values)
    assert "attachment" in answer.headers["content-disposition"]
    proof = ErasureProof.model_validate_json(answer.text)
    check_proof(proof)
    kinds = {json.loads(one.record)["kind"] for one in proof.records}
    assert {"reference.erased", "consent.withdrawn"} <= kinds
    # The next face asks for consent again; the document does not.
    assert "consent" in visitor.get(opened.url).marks
    gone = visitor.send(page.form("/consents"), {"certificate.number": NUMBER})
    assert "no-consent" in gone.marks


def test_a_short_number_is_masked_but_for_its_end() -> None:
    assert masked("E1234567") == "******67"
    assert masked(NUMBER) == "1101**********002X"


def test_who_agreed_to_an_earlier_notice_is_asked_again(
    visitor: Visitor, opened: Page, store: NodeStore
) -> None:
    agree(visitor, opened)
    with store.read() as connection:
        row = connection.execute("SELECT person_ref FROM consents").fetchone()
    with store.write() as connection:
        connection.execute("UPDATE consents SET notice_version = '2026-01'")
    page = visitor.get(opened.url)
    assert {"consent", "notice-changed"} <= page.marks
    page = visitor.send(page.form("/consent"))
    assert "face" in page.marks  # the reference that is there is good
    with store.read() as connection:
        found = people.standing_consent(connection, row["person_ref"], "face_verification")
    assert found is not None
    assert found.notice_version == notice.VERSION


def test_an_old_picture_is_said_and_blocks_nothing(
    visitor: Visitor, opened: Page, verifier: FakeVerifier
) -> None:
    page = agree(visitor, opened)
    verifier.standing = "stale"
    page = visitor.send(page.form("/verification"))
    assert {"stale", "basket"} <= page.marks
    page = chosen(visitor, page, "renew")
    assert "consent" in page.marks
    page = visitor.send(page.form("/consent"))
    assert "reference" in page.marks
    page = visitor.send(page.form("/reference"), files={"picture": b"newer" * 9})
    assert "basket" in page.marks


def test_the_camera_enrols_after_the_document_and_not_before(
    visitor: Visitor, opened: Page, pharmacist: tuple[str, str]
) -> None:
    page = visitor.send(opened.form("/consent"))
    assert "camera-reference" not in page.marks
    page = attest(visitor, chosen(visitor, page, "document"), pharmacist)
    page = chosen(visitor, page, "renew")
    page = visitor.send(page.form("/consent"))
    page = visitor.send(page.form("/camera-reference"))
    assert page.status == 200
    assert "basket" in page.marks


def test_a_large_amount_asks_for_more_at_the_identity_step(
    visitor: Visitor, opened: Page, verifier: FakeVerifier, pharmacist: tuple[str, str]
) -> None:
    page = agree(visitor, opened)
    verifier.amount_limit = "10.00"
    page = visitor.send(page.form("/verification"))
    page = visitor.send(page.form("/basket"), LINE)
    assert {"amount-too-high", "face", "other-way"} <= page.marks
    page = attest(visitor, chosen(visitor, page, "document"), pharmacist)
    assert "authorise" in page.marks


@pytest.mark.parametrize("code", sorted(NEUTRAL))
def test_why_a_face_was_taken_for_a_copy_is_never_on_the_page(
    visitor: Visitor, opened: Page, verifier: FakeVerifier, code: str
) -> None:
    page = agree(visitor, opened)
    for outcome in ("RETRY", "REFER"):
        verifier.outcome, verifier.reason = outcome, code
        page = visitor.send(page.form("/verification"))
        own = page.html.replace("请换一种方式核验", "")
        assert "请换一种方式核验" in page.html
        assert BY_CODE[code].zh not in own
        page = visitor.get(f"{opened.url}?way=face")


# -- devices --------------------------------------------------------------------------------------


@pytest.fixture
def devices() -> Iterator[DeviceService]:
    signer = Ed25519Signer(Ed25519PrivateKey.from_private_bytes(bytes([9]) * 32))
    with DeviceService(SimulatedDevices(signer)) as running:
        yield running


@pytest.fixture
def beside(
    visiting: Visiting, store: NodeStore, verifier: FakeVerifier, keys: KeyDirectory, folder: Path,
    devices: DeviceService,
) -> Iterator[Visitor]:  # fmt: skip
    """A browser at a counter with devices."""
    known = {
        "url": devices.url, "public_key": devices.devices.signer.public_key.hex(),
        "simulated": True, "timeout_seconds": 20,
    }  # fmt: skip
    kinds = ("certified_terminal", "fingerprint", "card_reader", "authority")
    config = config_for(folder, devices=dict.fromkeys(kinds, known))
    app = create_app(store=store, verifier=verifier, keys=keys, config=config)
    with served(app) as address:
        yield visiting(address=address)


def test_a_device_vouches_in_one_touch(beside: Visitor, devices: DeviceService) -> None:
    person = Somebody(number=NUMBER, name=NAME)
    for kind in ("certified_terminal", "fingerprint"):
        devices.devices.control(Control(kind=kind, person=person))
    for way in ("terminal", "fingerprint"):
        page = beside.send(open_session(beside).form(f"/{way}"))
        assert "basket" in page.marks


def test_a_card_opens_a_session_and_its_number_is_on_no_page(
    beside: Visitor, devices: DeviceService, store: NodeStore
) -> None:
    devices.devices.control(Control(kind="card_reader", person=Somebody(number=NUMBER, name=NAME)))
    start = beside.get("/")
    assert "by-card" in start.marks
    form = start.form("/counter/sessions")
    answer = beside.http.post("/counter/sessions/card", data=form.values | {"operator": "op-7"})
    page = Page(answer)
    assert (page.status, "张*三" in page.text) == (200, True)
    assert NUMBER not in page.html
    assert NUMBER not in page.url
    with store.read() as connection:
        assert connection.execute("SELECT count(*) FROM sessions").fetchone()[0] == 1


def test_a_reader_without_a_card_is_no_failed_verification(beside: Visitor) -> None:
    form = beside.get("/").form("/counter/sessions")
    values = form.values | {"operator": "op-7"}
    page = Page(beside.http.post("/counter/sessions/card", data=values))
    assert page.status == 409
    assert "没有读到身份证" in page.text
    assert "请换一种方式核验" not in page.text


def test_the_portrait_that_an_authority_keeps_becomes_the_reference(
    beside: Visitor, devices: DeviceService, store: NodeStore
) -> None:
    opened = open_session(beside)
    page = beside.send(opened.form("/consent"))
    form = page.form("/authority-reference")
    wrong = beside.send(form, {"certificate.number": NUMBER})
    assert (wrong.status, "姓名" in wrong.text) == (422, True)
    typed = {"certificate.number": NUMBER, "name": NAME}
    nobody = beside.send(page.form("/authority-reference"), typed)
    assert (nobody.status, "没有这位顾客的照片" in nobody.text) == (409, True)
    portrait = base64.b64encode(b"\xff\xd8 official").decode()
    kept = Somebody(number=NUMBER, issued_at="2020-05-01T00:00:00.000000Z", portrait=portrait)
    devices.devices.control(Control(kind="authority", person=kept))
    answer = beside.send(beside.get(page.url).form("/authority-reference"), typed)
    assert "verify" in answer.marks
    assert NUMBER not in answer.html
    with store.read() as connection:
        row = connection.execute("SELECT source FROM reference_templates").fetchone()
    assert tuple(row) == ("authority_portrait",)


def test_without_devices_none_is_offered(opened: Page) -> None:
    assert not {"by-terminal", "by-fingerprint", "by-card"} & opened.marks
