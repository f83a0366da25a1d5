"""Signing out: here first and at once, then the tokens, then the provider's own session; and what the report says."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from jupyter_nativeauth import LoginRequired, get_session, logout, status
from jupyter_nativeauth._account import Account
from jupyter_nativeauth._accounts import Accounts, use_accounts
from jupyter_nativeauth._host import Host
from jupyter_nativeauth._listener import Listener
from jupyter_nativeauth._logout import LogoutReport, sign_out
from jupyter_nativeauth._oauth import revocation_request
from jupyter_nativeauth.testing import Clock
from tests.html_page import Page
from tests.http_browser import HttpBrowser
from tests.oidc_provider import OidcProvider
from tests.person import Person
from tests.system_browser import SystemBrowser

ME = "/api/me"
LOGOUT = """
from jupyter_nativeauth import logout
report = logout("acme", **{options})
print(report.profile, report.local, report.revoked, report.provider_session, report.link or "-", sep=" | ")
print(report)
"""


@pytest.fixture
def ada(person: Person) -> Person:
    """Somebody who has signed in."""
    person.sign_in()
    return person


@pytest.fixture
def browser(tmp_path: Path) -> SystemBrowser:
    return SystemBrowser(tmp_path / "browser")


@contextlib.contextmanager
def child(code: str, env: dict[str, str] | None = None) -> Iterator[subprocess.Popen[str]]:
    pipe = subprocess.PIPE
    process = subprocess.Popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=env)
    try:
        yield process
    finally:
        process.communicate(timeout=60)


def logout_in_a_script(env: dict[str, str] | None = None, **options: Any) -> list[str]:
    """What ``logout()`` reports in another process: its fields, and the words."""
    done = subprocess.run(
        [sys.executable, "-c", LOGOUT.format(options=options)],
        capture_output=True,
        text=True,
        env=env,
        timeout=60,
        check=False,
    )
    assert done.stderr == ""
    first, words, *rest = done.stdout.splitlines()
    assert rest == []
    return [*first.split(" | "), words]


def order(oidc: OidcProvider) -> list[str]:
    return [hit.endpoint for hit in oidc.journal() if hit.endpoint in ("revocation", "end_session")]


def state_of(person: Person) -> str:
    """How it stands, as a process sees it that has read nothing yet."""
    before = use_accounts(Accounts())
    try:
        return status()[0].state
    finally:
        use_accounts(before)


# ---- all of it -----------------------------------------------------------------------------------------------------


def test_all_of_it_from_a_script(person: Person, oidc: OidcProvider, browser: SystemBrowser) -> None:
    """NRM-122, CNF-040: here, then the revocation, then the browser to the end-session page and back to ours."""
    code = "from jupyter_nativeauth import login; login()"
    subprocess.run([sys.executable, "-c", code], env=browser.env, capture_output=True, timeout=60, check=True)
    assert state_of(person) == "signed_in"
    seen = len(browser.visits)
    report = logout_in_a_script(browser.env)
    assert report == ["acme", "True", "True", "ended", "-", "Signed out of acme."]
    assert state_of(person) == "signed_out"
    assert order(oidc)[:2] == ["revocation", "end_session"]
    (asked,) = [visit for visit in browser.visits[seen:] if visit.path == "/session/end"]
    assert sorted(asked.query) == ["client_id", "id_token_hint", "post_logout_redirect_uri", "state"]
    last = browser.visits[-1]
    assert (last.path, last.title) == ("/nativeauth/logout/callback", "You are signed out")
    assert browser.visits[seen].path.startswith("/nativeauth/go/")
    assert all("token" not in visit.path for visit in browser.visits)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", urlsplit(last.origin).port or 0))


def test_the_provider_asks_who_it_is_next_time(person: Person, oidc: OidcProvider, browser: SystemBrowser) -> None:
    """OpenID Connect RP-Initiated Logout 1.0: the provider's own session is over too, in that very browser."""
    code = "from jupyter_nativeauth import login; login({switch})"
    again = "from jupyter_nativeauth import login; print(login().name)"

    def run(code: str) -> str:
        done = subprocess.run([sys.executable, "-c", code], env=browser.env, capture_output=True, text=True, check=True)
        return done.stdout

    run(code.format(switch=""))
    logout_in_a_script(browser.env)
    browser.be(press=("Sign in", "Allow"), username="grace")
    assert run(again) == "Grace Example\n"


def test_what_is_revoked_and_what_the_browser_carries(ada: Person, oidc: OidcProvider) -> None:
    """NRM-120 to NRM-123, RFC 7009: the refresh token, by which the access token ends too; the hint is the ID token."""
    login = ada.account.login()
    assert login.id_token is not None
    post = revocation_request(login)
    assert post is not None
    form = {"token": _bare(login.refresh_token), "token_type_hint": "refresh_token", "client_id": oidc.client_id}
    assert dict(post.form) == form
    with httpx.Client(headers={"Authorization": f"Bearer {_bare(login.access_token)}"}) as old:
        assert old.get(oidc.api + ME).status_code == 200
        assert sign_out(ada.account).revoked is True
        (revocation,) = oidc.journal("revocation")
        assert revocation.params == ("token", "token_type_hint", "client_id")
        assert revocation.authorization is None
        assert old.get(oidc.api + ME).status_code == 401
    form = {"grant_type": "refresh_token", "refresh_token": _bare(login.refresh_token), "client_id": oidc.client_id}
    assert httpx.post(f"{oidc.issuer}/token", data=form).json()["error"] == "invalid_grant"

    person = oidc.browser()
    with Listener(Host()) as listener:
        page = person.open(_leave(ada.account, listener))
        assert page.url.startswith(f"http://{listener.authority}/nativeauth/logout/callback?state=")
    first, asked = person.hops[:2]
    assert (first.status, first.text) == (302, "")
    query = parse_qs(urlsplit(asked.url).query)
    assert query["id_token_hint"] == [login.id_token.reveal()]
    assert query["client_id"] == [oidc.client_id]
    assert query["post_logout_redirect_uri"] == [f"http://{listener.authority}/nativeauth/logout/callback"]
    assert len(query["state"][0]) >= 20


def _bare(secret: Any) -> str:
    return str(secret.reveal())


def _leave(account: Account, listener: Listener) -> str:
    link = listener._host.leave_address(account, listener.redirect_uri)
    assert link is not None
    return link


def test_a_page_of_one_s_own_after_the_sign_out(ada: Person, oidc: OidcProvider) -> None:
    """``post_logout_redirect_uri`` of the profile is sent as it is."""
    back = "https://acme.example/bye"
    ada.write(acme=oidc.profile(post_logout_redirect_uri=back))
    sign_out(ada.account)
    person = HttpBrowser()
    with Listener(Host()) as listener:
        hop = person.request("GET", _leave(ada.account, listener))
    assert parse_qs(urlsplit(hop.header("location") or "").query)["post_logout_redirect_uri"] == [back]


def test_other_processes_notice_with_their_next_request(ada: Person, oidc: OidcProvider) -> None:
    """FLT-050, PRM-008, ADV-035: a kernel that was signed in a moment ago sends nothing more."""
    code = f"""
from jupyter_nativeauth import LoginRequired, get_session
api = get_session("acme")
print(api.get("{ME}").status_code, flush=True)
input()
try:
    print(api.get("{ME}").status_code)
except LoginRequired as error:
    print(error.code)
"""
    with child(code) as other:
        assert other.stdout is not None
        assert other.stdin is not None
        assert other.stdout.readline() == "200\n"
        sign_out(ada.account)
        other.stdin.write("\n")
        other.stdin.flush()
        assert other.stdout.readline() == "signed_out\n"
    assert len(oidc.journal("api")) == 1
    assert oidc.refreshes == 0


# ---- a provider in trouble -----------------------------------------------------------------------------------------


def test_it_takes_effect_before_the_provider_answers(ada: Person, oidc: OidcProvider) -> None:
    """FLT-051, PRM-008, NRM-125: while the revocation is still waiting, everybody is signed out already."""
    oidc.fault("revocation", action="hold")
    reports: list[LogoutReport] = []
    thread = threading.Thread(target=lambda: reports.append(logout("acme")))
    thread.start()
    oidc.wait_held("revocation")
    with pytest.raises(LoginRequired):
        get_session("acme").get(ME)
    assert state_of(ada) == "signed_out"
    oidc.release()
    thread.join(20)
    assert [(report.local, report.revoked) for report in reports] == [(True, True)]


@pytest.mark.parametrize(
    "trouble",
    [{"status": 503, "body": "down"}, {"status": 400, "body": {"error": "invalid_request"}}, {"action": "drop"}],
    ids=["unavailable", "refused", "broken"],
)
def test_a_provider_in_trouble_does_not_stop_it(ada: Person, oidc: OidcProvider, trouble: dict[str, Any]) -> None:
    """FLT-051: signed out here, and the report says that the tokens were not revoked, and what becomes of them."""
    oidc.fault("revocation", times=9, **trouble)
    report = logout("acme", browser=False)
    assert (report.local, report.revoked) == (True, False)
    assert "did not confirm" in str(report)
    assert "end by themselves" in str(report)
    assert state_of(ada) == "signed_out"


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:{port}/revoke", "https://127.0.0.1:{port}/revoke"])
def test_not_even_a_broken_configuration_stops_it(
    ada: Person, oidc: OidcProvider, tmp_path: Path, endpoint: str
) -> None:
    """FLT-051: nobody listens at the provider's address, or the file with its certificates has gone since."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        address = endpoint.format(port=closed.getsockname()[1])
    login = ada.account.login()
    ada.account.save(replace(login, provider=replace(login.provider, revocation_endpoint=address)))
    ada.write(acme=oidc.profile(ca_bundle=str(tmp_path / "gone.pem")))
    report = logout("acme", browser=False)
    assert (report.local, report.revoked) == (True, False)
    assert state_of(ada) == "signed_out"


def test_a_provider_that_wants_the_access_token_with_it(ada: Person, oidc: OidcProvider) -> None:
    """RFC 7009, section 2.1: where a public client's word is not enough, the access token comes along."""
    oidc.fault("revocation", status=401, body={"error": "invalid_client"})
    oidc.fault("revocation", status=200)
    assert logout("acme", browser=False).revoked is True
    assert [hit.authorization for hit in oidc.journal("revocation")] == [None, "Bearer"]


def test_a_provider_that_has_neither(person: Person, oidc: OidcProvider) -> None:
    """FLT-051: no revocation, no end-session page: nothing is asked of it, and the report does not pretend."""
    oidc.reset(revocation=False, logout=False)
    person.sign_in()
    before = len(oidc.journal())
    report = logout("acme")
    assert (report.revoked, report.provider_session, str(report)) == (None, "none", "Signed out of acme.")
    assert len(oidc.journal()) == before


def test_without_a_refresh_token_the_access_token_is_revoked(person: Person, oidc: OidcProvider) -> None:
    """RFC 7009, section 2: there is nothing else that could be."""
    oidc.reset(refresh="never")
    person.sign_in()
    token = _bare(person.account.login().access_token)
    assert logout("acme", browser=False).revoked is True
    assert httpx.get(oidc.api + ME, headers={"Authorization": f"Bearer {token}"}).status_code == 401


# ---- the browser's part --------------------------------------------------------------------------------------------


def test_without_a_browser_the_rest_is_done(ada: Person, oidc: OidcProvider) -> None:
    """No desktop, SSH, ``browser=False``: the report says that the service's own session may still be open."""
    report = logout("acme")  # tests have no desktop
    assert (report.revoked, report.provider_session) == (True, "open")
    assert "may still be open" in str(report)
    assert order(oidc) == ["revocation"]


@pytest.mark.parametrize(
    ("press", "ends"), [((), "sent"), (("Yes, sign me out",), "ended")], ids=["left there", "came back"]
)
def test_the_browser_may_never_come_back(
    person: Person, oidc: OidcProvider, browser: SystemBrowser, press: tuple[str, ...], ends: str
) -> None:
    """Many providers never send it back: the wait has an end, and the report says what is known. It ends at once
    when the browser does come back."""
    code = "from jupyter_nativeauth import login; login()"
    subprocess.run([sys.executable, "-c", code], env=browser.env, capture_output=True, timeout=60, check=True)
    browser.be(press=press)
    report = logout_in_a_script(browser.env, timeout=300 if ends == "ended" else 2.5)
    assert report[2:4] == ["True", ends]
    assert ("may still be open" in report[-1]) == (ends == "sent")


def test_a_browser_that_does_not_start(ada: Person, oidc: OidcProvider) -> None:
    """The page was never opened: so the report says, after a short wait."""
    env = {**os.environ, "BROWSER": str(shutil.which("false"))}
    assert logout_in_a_script(env, timeout=0.3)[2:4] == ["True", "open"]


def test_ports_that_are_all_taken(ada: Person, oidc: OidcProvider) -> None:
    """With exact ports there may be none to come back to. The sign-out itself is done all the same."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ada.write(acme=oidc.profile(redirect_ports=[taken.getsockname()[1]]))
        env = {**os.environ, "BROWSER": str(shutil.which("false"))}
        assert logout_in_a_script(env)[1:4] == ["True", "True", "open"]
    assert state_of(ada) == "signed_out"


@pytest.mark.parametrize("change", ["altered", "missing", "twice", "code", "nobody"])
def test_what_comes_back_from_the_provider_changes_nothing(ada: Person, oidc: OidcProvider, change: str) -> None:
    """CNF-041, CNF-042, SEC-011, NRM-125, NRM-126: with a wrong state, none, or a code: the same constant page, and
    still signed out."""
    sign_out(ada.account)
    with Listener(Host()) as listener:
        right = oidc.browser().open(_leave(ada.account, listener))
        base = f"http://{listener.authority}/nativeauth/logout/callback"
        state = parse_qs(urlsplit(right.url).query)["state"][0]
        query = {
            "altered": f"?state={state}_INVALID",
            "missing": "",
            "twice": f"?state={state}&state={state}",
            "code": f"?state={state}&code=injected&iss=https://evil.example",
            "nobody": "?error=server_error&error_description=<script>alert(1)</script>",
        }[change]
        wrong = (HttpBrowser() if change == "nobody" else oidc.browser()).open(base + query)
    assert (wrong.status, _words(wrong)) == (right.status, _words(right)) == (200, "You are signed out")
    assert wrong.text == right.text
    assert state_of(ada) == "signed_out"
    assert oidc.journal("token", "authorization_code")[1:] == []


def _words(page: Page) -> str:
    return "".join(re.findall(r"<h1>(.*?)</h1>", page.text))


def test_the_link_works_once_and_only_as_a_page(ada: Person, oidc: OidcProvider) -> None:
    """SEC-016: a preview or an image does not use it up; the first navigation does."""
    sign_out(ada.account)
    with Listener(Host()) as listener:
        link = _leave(ada.account, listener)
        stranger = HttpBrowser(follow_refresh=False)
        for headers in ({"Sec-Purpose": "prefetch"}, {"Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}):
            assert stranger.request("GET", link, headers).status == 400
        assert stranger.request("HEAD", link).status == 405
        assert stranger.request("GET", link).status == 302
        assert stranger.request("GET", link).status == 410


# ---- twice, late, elsewhere ----------------------------------------------------------------------------------------


def test_signing_out_twice(ada: Person, oidc: OidcProvider) -> None:
    """The second time there is nothing to do, and nothing is asked of anybody."""
    logout("acme")
    before = len(oidc.journal())
    report = logout("acme")
    assert (report.local, report.revoked, report.provider_session) == (True, None, "none")
    assert len(oidc.journal()) == before


def test_before_anybody_has_signed_in(person: Person, oidc: OidcProvider) -> None:
    """There is not even a key yet: no error, no file."""
    report = logout("acme")
    assert (report.local, report.revoked, report.provider_session) == (True, None, "none")
    assert oidc.journal() == []
    assert list(person.home.data.rglob("*.vault")) == []


def test_what_is_left_for_the_browser_serves_once(ada: Person) -> None:
    """The ID token for the end-session page is handed out a single time."""
    sign_out(ada.account)
    assert ada.account.may_end_session()
    ending = ada.account.take_end_session()
    assert ending is not None
    assert ending.id_token is not None
    assert not ada.account.may_end_session()
    assert ada.account.take_end_session() is None


@pytest.mark.parametrize(("seconds", "left"), [(599, True), (601, False)])
def test_what_is_left_for_the_browser_serves_for_ten_minutes(ada: Person, seconds: float, left: bool) -> None:
    """After that it is not handed out, and nobody is sent to a page that could do nothing."""
    clock = Clock()
    account = Account(ada.account.profile, ada.accounts.keys, ada.accounts.folder, clock=clock)
    account.sign_out()
    clock.advance(seconds)
    assert account.may_end_session() is left
    assert (account.take_end_session() is not None) is left
    assert account.take_end_session() is None


def test_a_new_sign_in_leaves_nothing_of_the_old_one(ada: Person, oidc: OidcProvider) -> None:
    """What the last sign-out left is gone as soon as somebody signs in."""
    sign_out(ada.account)
    ada.sign_in()
    assert not ada.account.may_end_session()
    assert ada.account.take_end_session() is None
    assert get_session("acme").get(ME).status_code == 200


def test_a_login_that_only_another_server_can_open(ada: Person, oidc: OidcProvider) -> None:
    """FLT-052: it cannot be ended from here, and the report does not claim it; that server's kernels go on."""
    agent = os.environ.pop("JUPYTER_NATIVEAUTH_AGENT")
    report = logout_in_a_script()
    assert report[:4] == ["acme", "False", "None", "none"]
    assert "sign out in that Jupyter, or stop it" in report[-1]
    os.environ["JUPYTER_NATIVEAUTH_AGENT"] = agent
    assert get_session("acme").get(ME).status_code == 200
    assert logout_in_a_script()[1:3] == ["True", "True"]


def test_a_damaged_login_is_signed_out_too(ada: Person, oidc: OidcProvider) -> None:
    """What cannot be read is set aside: nobody is signed in by it, and nothing is lost."""
    (vault,) = ada.home.data.rglob("*.vault")
    vault.write_bytes(vault.read_bytes()[:-20])
    report = logout("acme")
    assert (report.local, report.revoked, report.provider_session) == (True, None, "none")
    assert state_of(ada) in ("damaged", "signed_out")
    assert [file.suffix for file in vault.parent.glob("*.damaged")] == [".damaged"]


@pytest.mark.parametrize(
    ("report", "words"),
    [
        (LogoutReport("acme", local=True, revoked=True, provider_session="ended"), "Signed out of acme."),
        (LogoutReport("acme", local=True, revoked=None, provider_session="none"), "Signed out of acme."),
        (
            LogoutReport("acme", local=True, revoked=False, provider_session="none"),
            (
                "Signed out of acme. The service did not confirm that the tokens are void; "
                "they end by themselves when their time is over."
            ),
        ),
        (
            LogoutReport("acme", local=True, revoked=True, provider_session="open", link="/nativeauth/logout"),
            "Signed out of acme. The service's own session in your browser may still be open.",
        ),
        (
            LogoutReport("acme", local=False, revoked=None, provider_session="none"),
            (
                "Nobody was signed in to acme here. But there is a login that only the Jupyter server which made it "
                "can end: sign out in that Jupyter, or stop it."
            ),
        ),
    ],
)
def test_the_report_in_words(report: LogoutReport, words: str) -> None:
    """A person reads what was achieved, and what was not."""
    assert str(report) == words
