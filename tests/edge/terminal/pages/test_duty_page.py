"""The page of the pharmacist on duty, without a screen."""

from __future__ import annotations

import re
from datetime import timedelta

import httpx
import pytest

from edge.duty import PURPOSE, pharmacist_ref
from edge.terminal.pages import duty_notice
from edge.verifier.duty_protocol import DutyLooked
from edge.verifier.protocol import EnrolmentRefused, Request
from retention.keyfiles import KeyDirectory
from retention.records.clock import ManualClock
from retention.records.envelope import parse_record
from retention.records.fields import Frozen
from retention.store import duty, people
from retention.store.database import NodeStore
from tests.edge.counter_kit import FakeVerifier
from tests.edge.terminal.pages.conftest import Visiting
from tests.edge.terminal.pages.visitor import Form, Page, Visitor

PATH = "/counter/duty"


def form(page: Page, mark: str) -> Form:
    return next(one for one in page.forms if mark in one.values.values() or mark in one.action)


def by_secret(visitor: Visitor, secret: str = "correct horse") -> Page:  # noqa: S107 - of a test
    page = visitor.get(PATH)
    return visitor.send(form(page, "secret"), {"pharmacist": "ph-3", "secret": secret})


def standing(page: Page) -> str:
    found = re.search(r'data-standing="(\w+)"', page.html)
    assert found is not None
    return found[1]


def consent_of(store: NodeStore, keys: KeyDirectory) -> people.Consent | None:
    ref = pharmacist_ref(keys.secret("person"), "ph-3")
    with store.read() as connection:
        return people.standing_consent(connection, ref, PURPOSE)


def test_nobody_has_signed_in_and_the_page_says_what_to_do(visitor: Visitor) -> None:
    page = visitor.get(PATH)

    assert standing(page) == "nobody"
    assert "药师未签到" in page.text
    assert "请药师签到" in page.text


def test_a_secret_signs_in_and_the_page_and_the_bar_say_so(visitor: Visitor) -> None:
    page = by_secret(visitor)

    assert page.url.endswith(PATH)
    assert standing(page) == "present"
    assert "ph-3" in page.text
    assert "药师在岗" in visitor.get("/").text
    out = visitor.send(form(page, "/sign-out"))
    assert standing(out) == "nobody"


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("REFERENCE_MISSING", "请用口令签到，或先登记本人照片"),
        ("MISMATCH", "请看镜头再试一次，或用口令签到"),
    ],
)
def test_who_was_not_recognised_is_told_what_can_help(
    visitor: Visitor, verifier: FakeVerifier, code: str, words: str
) -> None:
    verifier.answers_to = lambda _: DutyLooked(accepted=False, reasons=(code,))
    asked = form(visitor.get(PATH), "face")
    said = visitor.send(asked, {"pharmacist": "ph-3"}, htmx=True)
    assert (said.status, words in said.text) == (409, True)
    assert said.text.count("请用口令签到" if code == "REFERENCE_MISSING" else "再试一次") == 1


def test_a_wrong_secret_comes_back_as_words(visitor: Visitor) -> None:
    page = visitor.get(PATH)
    values = {"pharmacist": "ph-3", "secret": "wrong horse"}

    said = visitor.send(form(page, "secret"), values, htmx=True)

    assert said.headers["hx-retarget"] == "#problem"
    assert "药师凭证无效" in said.text
    assert standing(visitor.get(PATH)) == "nobody"


def test_a_missing_secret_is_named_at_its_field(visitor: Visitor) -> None:
    page = visitor.get(PATH)

    said = visitor.send(form(page, "secret"), {"pharmacist": "ph-3"}, htmx=True)

    assert 'data-field="secret"' in said.html


def test_a_face_signs_in_or_the_page_says_neutrally_that_it_did_not(
    visitor: Visitor, verifier: FakeVerifier, store: NodeStore
) -> None:
    verifier.answers_to = lambda _: DutyLooked(accepted=False, reasons=("PLANAR_MOTION",))
    page = visitor.get(PATH)
    said = visitor.send(form(page, "face"), {"pharmacist": "ph-3"}, htmx=True)
    assert "没有认出药师本人" in said.text
    assert "照片" not in said.text
    assert "活体" not in said.text

    def look(request: Request) -> Frozen:
        with store.write() as connection:
            duty.sign_in(store, connection, "ph-3", request.counter, "face", ("MATCH",))
        return DutyLooked(accepted=True, reasons=("MATCH",))

    verifier.answers_to = look
    assert standing(visitor.send(form(visitor.get(PATH), "face"), {"pharmacist": "ph-3"})) == (
        "present"
    )


def test_the_state_is_fetched_again_only_when_it_changed(
    visitor: Visitor, clock: ManualClock
) -> None:
    first = visitor.get(f"{PATH}/state")
    found = re.search(r'name="digest" value="(\w+)"', first.html)
    assert found is not None
    assert visitor.get(f"{PATH}/state?digest={found[1]}").status == 204

    by_secret(visitor)
    changed = visitor.get(f"{PATH}/state?digest={found[1]}")

    assert (changed.status, standing(changed)) == (200, "present")


def test_a_confirmation_is_asked_for_before_it_is_due_and_missed_after(
    visitor: Visitor, clock: ManualClock
) -> None:
    by_secret(visitor)
    clock.advance(timedelta(minutes=231))
    assert "请再次确认" in visitor.get("/").text

    clock.advance(timedelta(minutes=10))

    page = visitor.get(PATH)
    assert standing(page) == "absent"
    assert "药师不在岗" in visitor.get("/").text
    assert standing(by_secret(visitor)) == "present"


def test_a_reference_wants_the_notice_the_secret_and_a_picture(
    visitor: Visitor, store: NodeStore, keys: KeyDirectory, verifier: FakeVerifier
) -> None:
    page = visitor.get(PATH)
    assert duty_notice.VERSION in page.text
    asked = form(page, "/reference")
    own = {"pharmacist": "ph-3", "secret": "correct horse"}

    no_picture = visitor.send(asked, own | {"source": "picture"}, htmx=True)
    assert 'data-field="picture"' in no_picture.html
    other_words = visitor.send(asked, own | {"source": "camera", "notice": "duty-1"}, htmx=True)
    assert other_words.status == 409
    wrong = visitor.send(asked, own | {"source": "camera", "secret": "wrong horse"}, htmx=True)
    assert wrong.status == 403
    assert consent_of(store, keys) is None

    done = visitor.send(asked, own | {"source": "picture"}, files={"picture": b"of mine"})

    assert "已登记本人照片" in done.text
    given = consent_of(store, keys)
    assert given is not None
    assert given.notice_version == duty_notice.VERSION
    with store.read() as connection:
        (raw,) = connection.execute("SELECT bytes FROM log WHERE kind = 'consent.given'").fetchone()
    payload = parse_record(raw).payload
    assert payload["notice_sha256"] == duty_notice.sha256(365)
    assert (payload["purpose"], payload["operator"]) == (PURPOSE, "ph-3")


def test_a_picture_that_is_not_usable_keeps_the_consent_for_the_next_try(
    visitor: Visitor, store: NodeStore, keys: KeyDirectory, verifier: FakeVerifier
) -> None:
    verifier.refusal = EnrolmentRefused(code="BLURRED", detail="")
    own = {"pharmacist": "ph-3", "secret": "correct horse", "source": "camera"}

    said = visitor.send(form(visitor.get(PATH), "/reference"), own, htmx=True)

    assert "画面模糊" in said.text
    first = consent_of(store, keys)
    assert first is not None
    verifier.refusal = None
    visitor.send(form(visitor.get(PATH), "/reference"), own)
    assert consent_of(store, keys) == first


def test_withdrawing_is_one_touch_and_shows_the_records(
    visitor: Visitor, store: NodeStore, keys: KeyDirectory
) -> None:
    own = {"pharmacist": "ph-3", "secret": "correct horse", "source": "camera"}
    visitor.send(form(visitor.get(PATH), "/reference"), own)

    page = visitor.send(form(visitor.get(PATH), "/withdraw"), {"pharmacist": "ph-3"})

    assert "1 份照片特征已删除" in page.text
    assert "reference.erased" in page.text
    assert "consent.withdrawn" in page.text
    assert consent_of(store, keys) is None
    again = visitor.send(form(visitor.get(PATH), "/withdraw"), {"pharmacist": "ph-3"}, htmx=True)
    assert again.status == 404


def test_an_own_picture_may_be_as_large_as_any_reference(visitor: Visitor) -> None:
    own = {"pharmacist": "ph-3", "secret": "correct horse", "source": "picture"}
    large = b"p" * (2 * 1024 * 1024)

    page = visitor.send(form(visitor.get(PATH), "/reference"), own, files={"picture": large})

    assert page.status == 200


@pytest.mark.parametrize("place", ["", "/state"])
def test_a_browser_that_is_not_paired_sees_and_does_nothing(
    visiting: Visiting, url: str, place: str
) -> None:
    stranger = visiting(None)

    assert stranger.get(PATH + place).status == 401
    headers = {"sec-fetch-site": "same-origin"}
    sent = httpx.post(
        f"{url}{PATH}", data={"method": "face"}, headers=headers, trust_env=False, timeout=30
    )
    assert sent.status_code == 401


def test_english_is_a_switch(visiting: Visiting) -> None:
    page = visiting(lang="en").get(PATH)

    assert "No pharmacist has signed in" in page.text
    assert not re.search(r"[\u4e00-\u9fff]", page.text.replace("中文", ""))
