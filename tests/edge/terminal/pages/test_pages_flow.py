"""The counter's day through the pages: every way to a result, with the next step always there."""

from __future__ import annotations

from datetime import timedelta

from edge.terminal.pages import notice
from retention.records.clock import ManualClock
from retention.store.database import NodeStore
from retention.store.people import standing_consent
from tests.edge.counter_kit import FakeVerifier
from tests.edge.terminal.pages.conftest import NAME, NUMBER, Visiting, open_session
from tests.edge.terminal.pages.visitor import Page, Visitor

LINE = {
    "lines.0.name": "盐酸二甲双胍片",
    "lines.0.med_list_codg": "XA10BAA001A001010100483",
    "lines.0.quantity": "3",
    "lines.0.unit_price": "18.50",
    "lines.0.trace_codes": "8100000001\n8100000002\n",
}


def agree(visitor: Visitor, page: Page) -> Page:
    """Agree to the face and give the card's picture; return the page that begins the attempt."""
    page = visitor.send(page.form("/consent"))
    return visitor.send(page.form("/reference"), files={"picture": b"picture" * 9})


def attest(visitor: Visitor, page: Page, pharmacist: tuple[str, str]) -> Page:
    values = {"pharmacist": pharmacist[0], "secret": pharmacist[1]}
    return visitor.send(page.form("/attestation"), values)


def chosen(visitor: Visitor, page: Page, way: str) -> Page:
    link = next(link for link in page.links if link.endswith(f"way={way}"))
    return visitor.get(link)


def test_a_normal_purchase_has_one_next_step_after_the_other(visitor: Visitor) -> None:
    page = open_session(visitor)
    assert "consent" in page.marks
    page = agree(visitor, page)
    assert {"face", "next", "other-way"} <= page.marks
    page = visitor.send(page.form("/verification"))
    assert "人证相符" in page.text
    assert "basket" in page.marks
    page = visitor.send(page.form("/basket"), LINE)
    assert "¥55.50" in page.text.replace(" ", "")
    page = visitor.send(page.form("/authorisation"))
    assert "可以结算" in page.text
    assert "result" in page.marks
    reports = [form for form in page.forms if "setl_id" in form.values]
    page = visitor.send(reports[0], {"setl_id": "S1"})
    assert "已结算" in page.text
    page = visitor.send(page.form("/close"))
    assert "closed" in page.marks
    assert page.forms == []
    today = visitor.get("/")
    assert "session-row" in today.marks
    assert "张*三" in today.text


def test_a_refused_consent_leads_to_the_document_in_one_tap_and_leaves_no_trace(
    visitor: Visitor, opened: Page, pharmacist: tuple[str, str], store: NodeStore
) -> None:
    link = next(link for link in opened.links if link.endswith("way=document"))
    page = visitor.get(link)
    assert "attest" in page.marks
    assert "notice stop" not in page.html.split("<template")[0]
    page = attest(visitor, page, pharmacist)
    assert "药师已核对证件" in page.text
    assert "basket" in page.marks
    with store.read() as connection:
        assert connection.execute("SELECT count(*) FROM consents").fetchone()[0] == 0


def test_consent_and_refusal_are_of_equal_size_and_stand_before_any_face(opened: Page) -> None:
    assert '<button class="wide big" data-test="next">同意</button>' in opened.html
    assert 'class="button wide big"' in opened.html.split("不同意，")[0].rsplit("<a", 1)[1]
    assert notice.VERSION in opened.text
    assert all("/verification" not in form.action for form in opened.forms)


def test_the_consent_names_the_version_that_was_shown(
    visitor: Visitor, opened: Page, store: NodeStore
) -> None:
    stale = visitor.send(opened.form("/consent"), {"notice": "2020-01"})
    assert stale.status == 409
    visitor.send(opened.form("/consent"))
    with store.read() as connection:
        row = connection.execute("SELECT person_ref, notice_version FROM consents").fetchone()
        assert row["notice_version"] == notice.VERSION
        assert standing_consent(connection, row["person_ref"], "face_verification") is not None


def test_a_failing_face_says_why_without_a_score_and_offers_the_other_way_by_itself(
    visitor: Visitor, verifier: FakeVerifier, pharmacist: tuple[str, str], opened: Page
) -> None:
    page = agree(visitor, opened)
    verifier.outcome, verifier.reason = "RETRY", "TOO_DARK"
    page = visitor.send(page.form("/verification"))
    assert "光线太暗" in page.text
    assert "请到亮处" in page.text
    assert "第 2 次" in page.text
    assert "0.7" not in page.html
    page = visitor.send(page.form("/verification"))
    assert "光线太暗" in page.text
    assert "attest" in page.marks
    page = visitor.send(chosen(visitor, page, "face").form("/verification"))
    assert "人脸次数已用完" in page.text
    assert "attest" in page.marks
    assert all(not form.action.endswith("/verification") for form in page.forms)
    assert "basket" in attest(visitor, page, pharmacist).marks


def test_signs_of_a_copied_face_are_not_told_at_the_counter(
    visitor: Visitor, verifier: FakeVerifier, opened: Page
) -> None:
    page = agree(visitor, opened)
    verifier.outcome, verifier.reason = "REFER", "STATIC_INPUT"
    page = visitor.send(page.form("/verification"))
    assert "画面没有变化" not in page.text
    assert "请换一种方式核验" in page.text
    page = chosen(visitor, page, "face")
    assert "face" in page.marks


def test_an_incomplete_proxy_form_names_each_item_at_its_field(
    visitor: Visitor, opened: Page
) -> None:
    page = chosen(visitor, opened, "proxy")
    part = visitor.send(page.form("/proxy"), {"name": "张梅"}, htmx=True)
    assert part.status == 422
    assert part.headers["hx-retarget"] == "#problem"
    named = ("certificate", "relation", "reason", "patient_signature_sha256")
    for name in (*named, "purchaser_signature_sha256"):
        assert f'data-field="{name}"' in part.html
    assert 'data-field="name"' not in part.html
    assert "代购登记表不完整" in part.text
    assert "张梅" not in part.html


def test_a_proxy_is_verified_in_place_of_the_patient(
    visitor: Visitor, opened: Page, pharmacist: tuple[str, str], verifier: FakeVerifier
) -> None:
    page = chosen(visitor, opened, "proxy")
    values = {
        "certificate.type": "02",
        "certificate.number": "430102199003077000",
        "name": "张梅",
        "relation": "daughter",
        "reason": "患者卧床",
    }
    signed = {"both": b"%PDF both signatures"}
    page = visitor.send(page.form("/proxy"), values, files=signed)
    assert "现在核验代购人 张*" in page.text
    assert "consent" in page.marks  # the purchaser's own
    page = attest(visitor, chosen(visitor, page, "document"), pharmacist)
    assert "核验代购人" in page.text
    page = visitor.send(page.form("/basket"), LINE)
    assert "可以结算" in visitor.send(page.form("/authorisation")).text
    assert verifier.requests == []


def test_the_patient_as_his_own_proxy_is_told_in_words(visitor: Visitor, opened: Page) -> None:
    page = chosen(visitor, opened, "proxy")
    values = {
        "certificate.number": NUMBER, "name": NAME, "relation": "other", "reason": "x",
    }  # fmt: skip
    page = visitor.send(page.form("/proxy"), values, files={"both": b"s"})
    assert page.status == 422
    assert "代购人就是参保人本人" in page.text


def test_the_gate_lists_every_reason_with_what_to_do(
    visitor: Visitor, opened: Page, pharmacist: tuple[str, str]
) -> None:
    page = attest(visitor, chosen(visitor, opened, "document"), pharmacist)
    rx = LINE | {"lines.0.prescription_required": "on", "lines.0.trace_codes": "81\n81"}
    page = visitor.send(page.form("/basket"), rx)
    assert "清单里有处方药" in page.text
    session = page.form("/prescription").action.rsplit("/", 1)[0]
    page.forms[0].action = f"{session}/authorisation"
    page = visitor.send(page.forms[0], {"once": "1"}, htmx=True)
    assert page.status == 409
    assert "result" in page.marks
    assert "暂不能结算" in page.text
    assert "处方药缺少处方" in page.text
    assert "同一追溯码重复扫描" in page.text
    assert "请核对追溯码，请关联处方" in page.text


def test_a_prescription_is_the_insured_persons_unless_another_is_named(
    visitor: Visitor, opened: Page, pharmacist: tuple[str, str], store: NodeStore
) -> None:
    page = attest(visitor, chosen(visitor, opened, "document"), pharmacist)
    page = visitor.send(page.form("/basket"), LINE | {"lines.0.prescription_required": "on"})
    terms = {"rx_no": "RX1", "prescriber": "D1", "valid_until": f"{store.clock.now():%Y-%m-%d}"}
    other = visitor.send(
        page.form("/prescription"), terms | {"patient.number": "44052418800101001X"}
    )
    assert "prescription" in other.marks  # the gate will not have it
    page = visitor.send(other.form("/prescription"), terms)
    assert "authorise" in page.marks
    assert "可以结算" in visitor.send(page.form("/authorisation")).text


def test_a_prescription_is_valid_to_the_end_of_its_day_in_shanghai(
    visitor: Visitor, opened: Page, pharmacist: tuple[str, str]
) -> None:
    link = next(link for link in opened.links if link.endswith("step=prescription"))
    assert "prescription" in visitor.get(link).marks  # before the identity, too
    page = attest(visitor, chosen(visitor, opened, "document"), pharmacist)
    terms = {"rx_no": "RX1", "prescriber": "D1", "valid_until": "2030-02-28"}
    page = visitor.send(visitor.get(link).form("/prescription"), terms)
    assert "有效期至 2030-02-28" in page.text
    wrong = visitor.send(
        visitor.get(link).form("/prescription"), terms | {"valid_until": "9999-12-31"}
    )
    assert wrong.status == 422
    assert "有效期至" in wrong.text


def test_paying_privately_needs_no_verification(visitor: Visitor, opened: Page) -> None:
    page = chosen(visitor, opened, "self")
    page = visitor.send(page.form("/close"))
    assert "自费" in page.text
    assert "closed" in page.marks


def test_a_report_that_nothing_was_settled_leads_back_to_the_gate(
    visitor: Visitor, opened: Page, pharmacist: tuple[str, str]
) -> None:
    page = attest(visitor, chosen(visitor, opened, "document"), pharmacist)
    page = visitor.send(page.form("/basket"), LINE)
    page = visitor.send(page.form("/authorisation"))
    refused = [form for form in page.forms if form.values.get("outcome") == "refused"]
    page = visitor.send(refused[0])
    assert "上次没有结算成功" in page.text
    assert "可以结算" in visitor.send(page.form("/authorisation")).text


def test_the_english_page_says_the_same(visiting: Visiting, pharmacist: tuple[str, str]) -> None:
    visitor = visiting(lang="en")
    page = open_session(visitor)
    assert "Notice on face verification" in page.text
    page = attest(visitor, chosen(visitor, page, "document"), pharmacist)
    page = visitor.send(page.form("/basket"), LINE)
    page = visitor.send(page.form("/authorisation"))
    assert "May be settled" in page.text


def test_a_session_that_was_left_open_yesterday_can_still_be_ended(
    visitor: Visitor, opened: Page, clock: ManualClock
) -> None:
    open_session(visitor)
    visitor.send(chosen(visitor, visitor.get(opened.url), "self").form("/close"))
    clock.advance(timedelta(days=1))
    page = visitor.get("/")
    assert page.html.count('data-test="session-row"') == 1
    assert "2026-" in page.text
    link = next(link for link in page.links if "/counter/sessions/" in link)
    assert "closed" in visitor.send(visitor.get(f"{link}?way=self").form("/close")).marks
    assert "session-row" not in visitor.get("/").marks
