"""What an operator does at the counter's pages, for the tests: one function a step."""

from __future__ import annotations

from itertools import count
from pathlib import Path

from playwright.sync_api import Page, expect

from edge.simulators.demo_config import PHARMACIST
from edge.simulators.demo_stack import DemoStack
from edge.simulators.pharmacy import Person
from edge.terminal.pairing import new_code
from hardware.simulated_people import load_people

COUNTER_NAME = "counter-2"
LOOKS = 3  # as many as a session has
WEIGHTS, CHECKS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2), "10X98765432"
_SERIAL = count(100)


def somebody(name: str = "李小四") -> Person:
    """Return a made-up person whom no other test knows, with a number that checks."""
    first = f"430102199001{next(_SERIAL):05d}"[:17]
    check = CHECKS[sum(w * int(d) for w, d in zip(WEIGHTS, first, strict=True)) % 11]
    return Person(name, first + check)


def code_for(stack: DemoStack, counter: str = COUNTER_NAME) -> str:
    """Make a pairing code as `countersight edge pair` does."""
    store = stack.edge_config.open_store()
    try:
        return new_code(store, counter, store.clock)
    finally:
        store.close()


def pair(page: Page, stack: DemoStack) -> None:
    """Pair this browser by the link that a QR would hold."""
    page.goto(f"{stack.terminal_url}/?code={code_for(stack)}")
    page.locator("[data-test=pairing] [data-test=next]").click()
    expect(page.locator("[data-test=new-session]")).to_be_visible()


def begin(page: Page, stack: DemoStack, person: Person) -> str:
    """Open a session for a person; return its address."""
    page.goto(stack.terminal_url)
    form = page.locator("[data-test=new-session]")
    form.locator("[name='claim.certificate.type']").select_option(person.cert_type)
    form.locator("[name='claim.certificate.number']").fill(person.number)
    form.locator("[name='claim.name']").fill(person.name)
    form.locator("[name=operator]").fill("op-7")
    form.locator("[data-test=next]").click()
    page.wait_for_url("**/counter/sessions/*")
    return page.url


def picture_of_card(person: str) -> Path:
    """Return the file that a person's card would hold: person-a stands there, person-b not."""
    return load_people().path(person, 1)


def agree_and_enrol(page: Page, picture: Path) -> None:
    """Agree to the notice and give the card's picture."""
    page.locator("[data-test=consent] [data-test=next]").click()
    chooser = page.locator("input[type=file][name=picture]")
    chooser.set_input_files(picture)
    page.locator("[data-test=next]:visible").click()
    expect(page.locator("[data-test=face]")).to_be_visible()


def look_until_accepted(page: Page) -> None:
    """See the first look to its end; look again as an operator may, who is told that too little
    was seen, the face changed or a turn was not made: on a busy machine few pictures arrive, a turn
    is asked for, and the simulated person does not make it."""
    told = page.locator("[data-test=last-decision]")
    done = page.locator("[data-step-key=identity].done")
    for _ in range(LOOKS):
        expect(told.or_(done).first).to_be_visible()
        if done.is_visible():
            return
        page.goto(page.url.split("?")[0] + "?way=face")
        with page.expect_response(lambda answer: answer.url.endswith("/verification")):
            page.locator("[data-test=verify] [data-test=next]").click()
        page.wait_for_load_state()
    expect(done).to_be_visible()


def attest(page: Page, stack: DemoStack) -> None:
    """Let the pharmacist compare the document."""
    form = page.locator("[data-test=attest]")
    form.locator("[name=pharmacist]").fill(PHARMACIST)
    form.locator("[name=secret]").fill(stack.pharmacist_secret)
    form.locator("[data-test=next]").click()
    expect(step(page, "identity")).to_have_class("done")


def enter_basket(page: Page, name: str = "盐酸二甲双胍片") -> None:
    """Enter one medicine and finish the basket."""
    form = page.locator("[data-test=basket]")
    form.locator("[name='lines.0.name']").fill(name)
    form.locator("[name='lines.0.med_list_codg']").fill("XA10BAA001A001010100483")
    form.locator("[name='lines.0.quantity']").fill("2")
    form.locator("[name='lines.0.unit_price']").fill("18.50")
    form.locator("[data-test=next]").click()
    expect(step(page, "basket")).to_have_class("done")


def settle(page: Page, person: Person) -> None:
    """Ask the gate, settle by this node, and close."""
    page.locator("[data-test=authorise] [data-test=next]").click()
    expect(page.locator("[data-test=result]")).to_contain_text("可以结算")
    form = page.locator("[data-test=settle]")
    form.locator("[name='certificate.number']").fill(person.number)
    form.locator("[data-test=next]").dblclick()  # as hurried people do
    expect(page.locator("[data-test=result]")).to_contain_text("已结算")
    page.locator("[data-test=next]:visible").click()
    expect(page.locator("[data-test=closed]")).to_be_visible()


def step(page: Page, key: str):  # type: ignore[no-untyped-def]
    return page.locator(f"[data-step-key={key}]")
