"""The panel of a sign request, in a real kernel: what it shows on the way and at the end, and what its button does."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest

from tests.canary import Canary
from tests.emulators.xumm import Xumm
from tests.emulators.xumm_payloads import ADA, BOB
from tests.jupyter.front_end import BareKernel, FrontEnd, Panel, tags_in
from tests.kernel import Run
from tests.person import Person

SIGN = f"""from jupyter_nativeauth.xumm import sign_request
payment = {{"TransactionType": "Payment", "Destination": "{BOB}", "Amount": "1500000"}}
request = sign_request(None, payment, instruction="Two <b>coffees</b>")"""


@pytest.fixture
def kernel(xumm: Xumm, person_at: Callable[..., Person], canary: Canary) -> Iterator[BareKernel]:
    """A kernel of somebody who is signed in with the app."""
    person_at(xumm).sign_in()
    with BareKernel() as started:
        yield started
    canary.look("a kernel's messages", "\n".join(started.raw))


def shown(kernel: BareKernel, code: str) -> tuple[Run, Panel]:
    run = kernel.start(code)
    return run, FrontEnd(kernel).panel(run)


def test_from_the_code_to_the_signature(xumm: Xumm, kernel: BareKernel) -> None:
    """
    XU-13: a code drawn here, a link, what is to be signed and the time; steps as they come; and when it is over the
    code and the link are gone, from the page and from what is saved.
    """
    run, panel = shown(kernel, f"{SIGN}\nrequest.result().account")
    first = panel.wait_for("Scan the code with the Xaman app", "left", "Interrupt the kernel to cancel")
    link = f"{xumm.api}/sign/{xumm.newest().uuid}"
    assert panel.links == {"Open in Xaman": link}
    assert [word for word in ("Payment", "1.5 XRP", BOB, "also sent to your phone") if word not in first] == []
    assert f"Open in Xaman: {link}" in panel.first_text
    markup = "".join(panel.markup)
    assert "<svg" in markup
    assert "Two &lt;b&gt;coffees" in markup
    assert not {"img", "script", "b", "onclick"} & tags_in(markup)
    assert "[" not in first, "a button would not work while a cell runs"
    xumm.act("open")
    panel.wait_for("Open on your phone", "Sign or reject it there")
    assert "<svg" not in "".join(panel.markup), "somebody has it: nobody else needs to"
    xumm.act("approve")
    assert run.wait().result == f"'{ADA}'"
    panel.wait_for(f"Signed by {ADA}", "tesSUCCESS", xumm.newest().txid)
    run.wait_for(lambda one: bool(one.of("update_display_data")))
    last = run.of("update_display_data")[-1]["data"]["text/plain"]
    assert f"Signed by {ADA}" in last
    assert link not in last
    kept = json.dumps(FrontEnd(kernel).models)
    assert not [word for word in ("<svg", link) if word in kept]


def test_the_cancel_button(xumm: Xumm, kernel: BareKernel) -> None:
    """XU-13: it takes the request back while no cell waits; what is open on a phone can only be rejected there."""
    _, panel = shown(kernel, SIGN)
    panel.press("Cancel")
    panel.wait_for("Not signed", "The request was cancelled")
    assert xumm.newest().cancelled
    run, panel = shown(kernel, SIGN)
    run.wait()
    panel.wait_for("[Cancel]")
    xumm.payloads.tell = lambda payload, message: None  # type: ignore[method-assign]  # nobody hears of it
    xumm.act("open")
    panel.press("Cancel")
    panel.wait_until(lambda text: "[Cancel]" not in text or "open on a phone already" in text)
    xumm.act("reject")
    run = kernel.run(
        "try:\n    request.cancel()\n    request.result(timeout=10)\nexcept Exception as error:\n    print(error.code)"
    )
    assert run.stdout == "rejected\n"
    panel.wait_for("Not signed", "rejected on the phone")
