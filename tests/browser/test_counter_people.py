"""Children, turns, withdrawals and large amounts at the counter, in a real browser."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Page, ViewportSize, expect

from edge.terminal import pairing, pharmacists
from edge.terminal.app import create_app
from edge.terminal.live import LiveView
from edge.verifier.protocol import STATE, LiveState
from hardware.simulated_devices import Control, DeviceService, SimulatedDevices, Somebody
from retention.keyfiles import KeyDirectory
from retention.records.clock import SystemClock
from retention.records.ids import SystemIds
from retention.store.database import NodeStore
from tests.browser.chrome import COUNTER, Tabs, fits, no_serious_findings, picture_of
from tests.conftest import IDENTITY
from tests.edge.counter_kit import FakeVerifier, config_for
from tests.serving import served

NUMBER, CHILD = "11010519491231002X", "430102201803077005"
PATIENCE_SECONDS = 20.0
PHONE: ViewportSize = {"width": 390, "height": 844}


@dataclass
class Stand:
    """A counter whose verifier does as it is told."""

    page: Page
    url: str
    verifier: FakeVerifier
    live: LiveView
    devices: SimulatedDevices

    def begin(self, number: str = NUMBER) -> str:
        self.page.goto(self.url)
        form = self.page.locator("[data-test=new-session]")
        form.locator("[name='claim.certificate.number']").fill(number)
        form.locator("[name='claim.name']").fill("张小三")
        form.locator("[name=operator]").fill("op-7")
        form.locator("[data-test=next]").click()
        self.page.wait_for_url("**/counter/sessions/*")
        return self.page.url.rsplit("/", 1)[1]

    def agree(self) -> None:
        self.page.locator("[data-test=consent] [data-test=next]").click()
        card = {"name": "card.jpg", "mimeType": "image/jpeg", "buffer": b"picture" * 9}
        self.page.locator("input[type=file][name=picture]").set_input_files(card)  # type: ignore[arg-type]
        self.page.locator("[data-test=reference] [data-test=next]").click()
        expect(self.page.locator("[data-test=face]")).to_be_visible()

    def verify(self) -> None:
        self.page.locator("[data-test=verify] [data-test=next]").click()


@pytest.fixture(params=["zh", "en"])
def stand(request: pytest.FixtureRequest, tabs: Tabs, tmp_path: Path) -> Iterator[Stand]:
    clock = SystemClock()
    with closing(NodeStore(tmp_path / "node.sqlite3", IDENTITY, clock, SystemIds())) as store:
        pharmacists.add(store, "ph-3", "correct horse")
        keys = KeyDirectory(tmp_path / "keys")
        verifier, live = FakeVerifier(store, keys.signer()), LiveView(clock)
        with DeviceService(SimulatedDevices(keys.signer())) as beside:
            reader = {
                "url": beside.url, "public_key": keys.signer().public_key.hex(),
                "simulated": True,
            }  # fmt: skip
            config = config_for(tmp_path, devices={"card_reader": reader})
            app = create_app(store=store, verifier=verifier, keys=keys, config=config, live=live)
            with served(app) as url:
                page = tabs.open(url, lang=request.param, size=COUNTER)
                page.goto(f"{url}/?code={pairing.new_code(store, 'counter-1', clock)}")
                page.locator("[data-test=pairing] [data-test=next]").click()
                expect(page.locator("[data-test=new-session]")).to_be_visible()
                yield Stand(page, url, verifier, live, beside.devices)


def readable(page: Page) -> None:
    """At the counter's screen, and on the telephone that a small shop uses as one."""
    usual = page.viewport_size
    page.set_viewport_size(PHONE)
    fits(page)
    page.set_viewport_size(usual or PHONE)
    fits(page)
    no_serious_findings(page)


def test_a_child_is_not_looked_at_and_the_guardian_is_asked_for(stand: Stand) -> None:
    stand.begin(CHILD)
    expect(stand.page.locator("[data-test=child]")).to_be_visible()
    expect(stand.page.locator("[data-test=proxy]")).to_be_visible()
    expect(stand.page.locator("[data-test=verify], [data-test=consent]")).to_have_count(0)
    readable(stand.page)


def test_a_turn_is_an_arrow_to_the_persons_own_side_with_the_seconds_left(stand: Stand) -> None:
    session = stand.begin()
    stand.agree()
    stand.verifier.hold, stand.verifier.outcome = threading.Event(), "RETRY"
    stand.verifier.reason = "TOO_DARK"
    over = threading.Event()

    def looking() -> None:
        """Say the same as long as the page is looked at, as the verifier does."""
        while not over.wait(0.1):
            for state in (LiveState(state="idle"), shown[0]):
                stand.live.take([STATE, state.model_dump_json().encode()])

    shown = [
        LiveState(state="looking", session=session, attempt=1, instruction="TURN_LEFT",
                  frames_used=2, frames_wanted=4, seconds_left=4.2)
    ]  # fmt: skip
    saying = threading.Thread(target=looking)
    saying.start()
    try:
        stand.verify()
        for side, note in (("left", "TURN_LEFT"), ("right", "TURN_RIGHT")):
            shown[0] = shown[0].model_copy(update={"instruction": note})
            arrow = stand.page.locator(f"[data-turn={side}] .arrow")
            expect(arrow).to_be_visible()
            expect(arrow).to_have_css("width", "168px")  # waits: it is renewed twice a second
            expect(stand.page.locator(".countdown")).to_contain_text("5")
            expect(stand.page.locator("[data-test=other-way] a").first).to_be_visible()
            picture_of(stand.page, f"turn-{side}", mask="[data-test=live]")
        fits(stand.page)
    finally:
        over.set()
        stand.verifier.hold.set()
        saying.join(PATIENCE_SECONDS)
    expect(stand.page.locator("[data-test=last-decision]")).to_be_visible()
    stand.verify()
    expect(stand.page.locator("[data-test=attest]")).to_be_visible()  # by itself, after two
    expect(stand.page.locator("[data-test=other-way] a[href$='way=face']")).to_be_visible()
    readable(stand.page)


def test_an_old_picture_and_a_large_amount_are_said_and_lead_on(stand: Stand) -> None:
    stand.begin()
    stand.agree()
    stand.verifier.standing, stand.verifier.amount_limit = "stale", "10.00"
    stand.verify()
    expect(stand.page.locator("[data-test=stale]")).to_be_visible()
    readable(stand.page)
    form = stand.page.locator("[data-test=basket]")
    for name, value in (("name", "阿莫西林"), ("med_list_codg", "XA10"), ("unit_price", "18.50")):
        form.locator(f"[name='lines.0.{name}']").fill(value)
    form.locator("[data-test=next]").click()
    expect(stand.page.locator("[data-test=amount-too-high]")).to_be_visible()
    readable(stand.page)


def test_a_consent_is_withdrawn_and_the_proof_can_be_printed(stand: Stand) -> None:
    stand.begin()
    stand.agree()
    stand.page.goto(stand.url + "/counter/consents")
    readable(stand.page)
    stand.page.locator("[name='certificate.number']").fill(NUMBER)
    stand.page.locator("[data-test=next]").click()
    expect(stand.page.locator("[data-test=withdraw-consent]")).to_be_visible()
    readable(stand.page)
    stand.page.locator("[data-test=next]").click()
    proof = stand.page.locator("[data-test=withdrawn]")
    expect(proof).to_contain_text("reference.erased")
    readable(stand.page)
    assert NUMBER not in stand.page.content()
    stand.page.emulate_media(media="print")
    expect(proof).to_be_visible()
    expect(stand.page.locator(".foot")).to_be_hidden()
    expect(stand.page.locator("[data-print]")).to_be_hidden()


def test_who_begins_with_the_card_is_told_to_put_it_on_the_reader(stand: Stand) -> None:
    card = Somebody(number=NUMBER, name="张小三")
    slow = Control(kind="card_reader", person=card, fault="timeout", seconds=60)
    stand.devices.control(slow)
    button = stand.page.locator("[data-test=by-card]")
    waiting = stand.page.locator("[data-test=new-session] .waiting")
    stand.page.locator("[name=operator]").fill("op-7")
    expect(waiting).to_be_hidden()
    button.click()
    expect(waiting).to_be_visible()
    expect(button).to_be_disabled()
    readable(stand.page)
    stand.devices.stop.set()  # now it lies there
    stand.page.wait_for_url("**/counter/sessions/*")


def test_on_a_telephone_a_session_can_be_gone_on_with_without_moving_the_list(
    stand: Stand,
) -> None:
    stand.begin()
    stand.page.set_viewport_size(PHONE)
    stand.page.goto(stand.url)
    box = stand.page.locator("[data-test=session-row] a").bounding_box()
    assert box is not None
    around = stand.page.locator(".start div.wide").bounding_box()
    assert around is not None
    assert box["x"] + box["width"] <= around["x"] + around["width"]
    fits(stand.page)


def test_a_notice_is_read_on_a_telephone_in_lines_and_not_in_a_column(stand: Stand) -> None:
    stand.begin()
    text = stand.page.locator(".notice-text dd").first
    stand.page.set_viewport_size(PHONE)
    box = text.bounding_box()
    assert box is not None
    assert box["width"] > PHONE["width"] / 2
