"""Signing in through the listener on loopback: who gets in, who does not, and what a stranger can spoil (nothing)."""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import threading
import time
from typing import Any
from urllib.parse import parse_qs, urlsplit

import psutil
import pytest

from jupyter_nativeauth import ConfigError, LoginFailed, ProviderUnavailable
from jupyter_nativeauth._attempt import ListenerAttempt
from jupyter_nativeauth._oauth import Ask
from tests.http_browser import HttpBrowser
from tests.isolation import Home
from tests.oidc_provider import OidcProvider
from tests.person import Person, outcome


def link_of(attempt: ListenerAttempt) -> str:
    """The link, as soon as there is one."""
    end = time.monotonic() + 20
    while not attempt.link:
        attempt.poll()
        assert time.monotonic() < end, "no link"
        time.sleep(0.01)
    return attempt.link


def reject(attempt: ListenerAttempt) -> LoginFailed:
    with pytest.raises(LoginFailed) as caught:
        outcome(attempt)
    return caught.value


class Stopped(HttpBrowser):
    """A browser that goes as far as the provider's redirect back, and keeps the callback's address for the test."""

    def _send(self, method: str, url: str, headers: Any, body: str | None, **rules: bool) -> Any:
        if urlsplit(url).path.endswith("/nativeauth/callback") and not self.through:
            self.callback = url
            raise ConnectionAbortedError
        return super()._send(method, url, headers, body, **rules)

    through = False
    callback = ""

    def reach(self, url: str) -> str:
        with pytest.raises(ConnectionAbortedError):
            self.open(url)
        self.through = True
        return self.callback


def stopped(url: str) -> tuple[Stopped, str]:
    browser = Stopped(fill={"username": "ada"}, press=("Sign in", "Allow"))
    return browser, browser.reach(url)


def test_a_person_signs_in(person: Person, oidc: OidcProvider) -> None:
    """NRM-002, NRM-023, NRM-025, NRM-034, NRM-100, NRM-115: code, PKCE S256, nonce; each parameter once."""
    browser = oidc.browser()
    identity = person.sign_in(browser)
    assert (identity.name, identity.email, identity.issuer) == ("Ada Example", "ada@example.org", oidc.issuer)
    (asked,) = [hop for hop in browser.hops if "code_challenge" in hop.url and hop.method == "GET"][:1]
    query = parse_qs(urlsplit(asked.url).query)
    assert query["code_challenge_method"] == ["S256"]
    assert {name: len(values) for name, values in query.items()} == dict.fromkeys(query, 1)
    assert urlsplit(query["redirect_uri"][0]).hostname == "127.0.0.1"
    assert browser.hops[-1].url.endswith("/nativeauth/done/signed-in")
    assert "You can close this tab" in browser.hops[-1].text
    assert [hit.grant_type for hit in oidc.journal("token")] == ["authorization_code"]


def test_the_port_is_open_only_while_a_sign_in_needs_it(person: Person, oidc: OidcProvider) -> None:
    """NRM-005 to NRM-007, NRM-114, ADV-047: one port, on loopback only, closed at the end."""
    before = {one.laddr for one in psutil.Process().net_connections("inet") if one.status == psutil.CONN_LISTEN}
    attempt = person.begin()
    link = link_of(attempt)
    during = {one.laddr for one in psutil.Process().net_connections("inet") if one.status == psutil.CONN_LISTEN}
    assert [address.ip for address in during - before] == ["127.0.0.1"]
    oidc.browser().open(link)
    outcome(attempt)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", urlsplit(link).port or 0))


def test_denied_at_the_provider(person: Person, oidc: OidcProvider) -> None:
    """FLT-056: a typed error with the provider's code, a page that says so, and nothing stored."""
    browser = oidc.browser(press=("Sign in", "Deny"))
    error = reject(person.begin(browser))
    assert error.code == "access_denied"
    assert browser.hops[-1].url.endswith("/nativeauth/done/denied")
    assert person.account.login_id() == ""
    assert oidc.journal("token") == []


def test_a_second_browser_ends_the_sign_in(person: Person, oidc: OidcProvider) -> None:
    """SEC-005, ADV-004, NRM-035, NRM-109: whoever opens the link second gets a neutral page; the sign-in is
    cancelled."""
    attempt = person.begin()
    link = link_of(attempt)
    first, callback = stopped(link)
    page = HttpBrowser().open(link)
    assert (page.status, "another browser" in page.text) == (403, True)
    assert reject(attempt).code == "other_browser"
    assert person.account.login_id() == ""
    assert callback
    assert first.cookies


def test_the_same_browser_may_repeat(person: Person, oidc: OidcProvider) -> None:
    """A reload of the first page is not a second browser."""
    attempt = person.begin()
    browser, _ = stopped(link_of(attempt))
    browser.through = True
    assert browser.open(attempt.link).url.endswith("/done/signed-in")
    assert outcome(attempt).name == "Ada Example"


def test_an_answer_without_the_cookie_changes_nothing(person: Person, oidc: OidcProvider) -> None:
    """SEC-005, SEC-006, NRM-035, ADV-063: state, nonce and PKCE match, but it is another browser: neutral page, and the
    wait goes on."""
    attempt = person.begin()
    browser, callback = stopped(link_of(attempt))
    stranger = HttpBrowser()
    stranger.cookies = [*stranger.cookies]
    page = stranger.open(callback)
    assert (page.status, oidc.journal("token")) == (400, [])
    assert browser.open(callback).url.endswith("/done/signed-in")
    assert outcome(attempt).name == "Ada Example"


@pytest.mark.parametrize(
    "change",
    [
        lambda url: url.replace("state=", "state=x"),
        lambda url: url.replace("state=", "State="),
        lambda url: url + "&state=again",
        lambda url: url + "&code=again",
        lambda url: url + "&iss=https%3A%2F%2Fevil.example",
        lambda url: url.replace("iss=", "iss=x"),
        lambda url: url.replace("iss=", "ISS="),
        lambda url: url + "&error=access_denied",
        lambda url: url + "&access_token=evil&token_type=bearer",
        lambda url: url + "&id_token=evil",
        lambda url: url + "&response=evil",
        lambda url: url.replace("code=", "kode="),
        lambda url: url + "&x=" + "y" * 20000,
        lambda url: url + "&x=%ff%fe",
        lambda url: url.replace("/callback?", "/callback/other?"),
        lambda url: url.split("?")[0],
    ],
)
def test_a_mismatching_answer_changes_nothing(person: Person, oidc: OidcProvider, change: Any) -> None:
    """CNF-062 to CNF-065, CNF-069, LIB-001 to LIB-006, TRP-12, NRM-055 to NRM-059, NRM-061, SEC-008,
    SEC-011: it is refused, no request goes out, and the real answer still counts afterwards."""
    attempt = person.begin()
    browser, callback = stopped(link_of(attempt))
    page = browser.open(change(callback))
    assert page.status in (400, 404)
    assert "Nothing was changed" in page.text
    assert oidc.journal("token") == []
    assert browser.open(callback).url.endswith("/done/signed-in")
    assert outcome(attempt).name == "Ada Example"


def test_an_answer_counts_once(person: Person, oidc: OidcProvider) -> None:
    """SEC-008, NRM-043: a replay finds nothing; there is one token request."""
    attempt = person.begin()
    browser, callback = stopped(link_of(attempt))
    oidc.fault("token", action="hold")

    first = threading.Thread(target=browser.open, args=(callback,))
    first.start()
    oidc.wait_held("token")
    replay = Stopped()
    replay.through, replay.cookies = True, list(browser.cookies)
    assert replay.open(callback).status == 400
    oidc.release()
    first.join(20)
    assert outcome(attempt).name == "Ada Example"
    assert len(oidc.journal("token")) == 1


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("HEAD", {}),
        ("POST", {}),
        ("OPTIONS", {}),
        ("PUT", {}),
        ("GET", {"Sec-Purpose": "prefetch"}),
        ("GET", {"Purpose": "prefetch"}),
        ("GET", {"Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}),
        ("GET", {"Host": "evil.example"}),
        ("GET", {"Host": "localhost:1"}),
        ("GET", {"Host": "127.0.0.1.nip.io"}),
    ],
)
def test_only_a_navigation_counts(person: Person, oidc: OidcProvider, method: str, headers: dict[str, str]) -> None:
    """SEC-016, SEC-017, ADV-050: previews, prefetches, images, foreign hosts neither bind nor use up."""
    attempt = person.begin()
    link = link_of(attempt)
    assert HttpBrowser().request(method, link, headers).status in (400, 405)
    browser, callback = stopped(link)
    assert browser.request(method, callback, headers).status in (400, 405)
    assert oidc.journal("token") == []
    assert browser.open(callback).url.endswith("/done/signed-in")
    assert outcome(attempt).name == "Ada Example"


def test_pages_keep_nothing_and_tell_nobody(person: Person, oidc: OidcProvider) -> None:
    """TRP-09, SEC-030 to SEC-036, NRM-042, NRM-048, NRM-113, NRM-118: the code leaves the address at once; no page is
    cached, framed or scripted."""
    browser = oidc.browser()
    person.sign_in(browser)
    ours = [hop for hop in browser.hops if "/nativeauth/" in hop.url]
    assert [hop.status for hop in ours] == [302, 303, 200]
    for hop in ours:
        headers = {name.lower(): value for name, value in hop.headers}
        assert headers["cache-control"] == "no-store"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["cross-origin-opener-policy"] == "same-origin"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert "etag" not in headers
        assert "<script" not in hop.text
    cookies = [value for hop in ours for name, value in hop.headers if name.lower() == "set-cookie"]
    assert all(
        "HttpOnly" in cookie and "SameSite=Lax" in cookie and "Path=/nativeauth/" in cookie for cookie in cookies
    )
    assert [cookie for cookie in browser.cookies if cookie.name.startswith("nativeauth-")] == []


def test_the_wait_can_be_cancelled_and_ends_by_itself(person: Person, oidc: OidcProvider) -> None:
    """FLT-055, LIB-084: cancelled or too late, a typed error follows, the port closes, and another try works."""
    attempt = person.begin()
    link = link_of(attempt)
    attempt.cancel()
    assert reject(attempt).code == "cancelled"
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", urlsplit(link).port or 0))
    late = person.begin(timeout=0.5)
    assert reject(late).code == "timeout"
    assert person.sign_in().name == "Ada Example"


def test_a_broken_exchange_stores_nothing(person: Person, oidc: OidcProvider) -> None:
    """FLT-059: the code is spent, nothing is stored, and what was there before still is."""
    person.sign_in()
    before = person.account.login_id()
    oidc.fault("token", status=400, body={"error": "invalid_grant"}, headers={"content-type": "application/json"})
    assert reject(person.begin(oidc.browser())).code == "invalid_grant"
    oidc.fault("token", status=503, body="down")
    with pytest.raises(ProviderUnavailable):
        outcome(person.begin(oidc.browser()))
    assert person.account.login_id() == before


def test_a_provider_that_is_down_is_told_before_the_browser_opens(person: Person, oidc: OidcProvider) -> None:
    """FLT-002: no link is shown for a sign-in that cannot work."""
    oidc.fault("discovery", status=503, body="down", times=9)
    attempt = person.begin(oidc.browser())
    with pytest.raises(ProviderUnavailable):
        outcome(attempt)
    assert attempt.link == ""


def test_metadata_for_another_issuer_is_not_used(person: Person, oidc: OidcProvider) -> None:
    """CNF-018, NRM-067: one character is enough; nothing is asked of the authorization endpoint."""
    person.write(acme=oidc.profile(issuer=oidc.issuer + "/"))
    attempt = person.begin(oidc.browser())
    with pytest.raises(ConfigError, match="exactly what the service's metadata says"):
        outcome(attempt)
    assert oidc.journal("authorization") == []


def test_a_port_that_is_taken_is_named(person: Person, oidc: OidcProvider) -> None:
    """FLT-064, SEC-018: with exact ports, a taken one is skipped; when none is left, the error names them all."""
    with socket.create_server(("127.0.0.1", 0)) as taken, socket.create_server(("127.0.0.1", 0)) as spare:
        first, second = taken.getsockname()[1], spare.getsockname()[1]
        person.write(acme=oidc.profile(redirect_ports=[first, second]))
        error = reject(person.begin(oidc.browser()))
        assert (error.code, str(first) in str(error), str(second) in str(error)) == ("port_busy", True, True)
        spare.close()
        attempt = person.begin()
        assert urlsplit(link_of(attempt)).port == second
        attempt.cancel()
        reject(attempt)


def test_asking_for_more_goes_to_the_provider(person: Person, oidc: OidcProvider) -> None:
    """``max_age``, ``acr_values``, more scopes and another account are asked for as the standards name them."""
    browser = oidc.browser()
    person.sign_in(browser, Ask(scopes=("address",), max_age=3600, switch=True))
    (asked,) = [hop for hop in browser.hops if "code_challenge" in hop.url and hop.method == "GET"][:1]
    query = {name: values[0] for name, values in parse_qs(urlsplit(asked.url).query).items()}
    assert query["scope"].split()[-1] == "address"
    assert query["max_age"] == "3600"
    assert "login" in query["prompt"].split()


def test_cancelled_while_the_code_is_redeemed(person: Person, oidc: OidcProvider) -> None:
    """LIB-029: whoever was told "cancelled" is not signed in a moment later; what the provider gave is revoked."""
    attempt = person.begin()
    browser, callback = stopped(link_of(attempt))
    oidc.fault("token", when="after", action="hold")

    def go_on() -> None:
        with contextlib.suppress(OSError, http.client.HTTPException):  # the listener is gone before it can answer
            browser.open(callback)

    answering = threading.Thread(target=go_on)
    answering.start()
    oidc.wait_held("token")
    attempt.cancel()
    assert reject(attempt).code == "cancelled"
    oidc.release()
    answering.join(20)
    oidc.wait_requests("revocation")
    assert person.account.login_id() == ""


def test_a_configured_redirect_uri_comes_first(person: Person, oidc: OidcProvider) -> None:
    """Exactly what is registered is what is sent; if that is not this machine, it is said before a browser opens."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    uri = f"http://127.0.0.1:{port}/nativeauth/callback"
    person.write(acme=oidc.profile(redirect_uri=uri))
    browser = oidc.browser()
    person.sign_in(browser)
    assert urlsplit(browser.hops[-1].url).port == port
    person.write(acme=oidc.profile(redirect_uri="https://hub.example/user/ada/nativeauth/callback"))
    with pytest.raises(ConfigError, match="Sign in from the Jupyter that is there"):
        outcome(person.begin(oidc.browser()))


def test_an_edited_profile_finds_the_login_in_memory(person: Person, oidc: OidcProvider, home: Home) -> None:
    """A login in this process's memory survives an edit of its profile, and can still be ended."""
    from jupyter_nativeauth._accounts import Accounts
    from jupyter_nativeauth._logout import sign_out

    person.write(acme=oidc.profile(key_source="memory"))
    alone = Person.of(Accounts(environ={}), person)
    alone.sign_in()
    assert (alone.account.key() or pytest.fail("no key")).source == "process"
    person.write(acme=oidc.profile(key_source="memory", timeout=42))
    assert alone.account.profile.timeout == 42
    assert alone.account.access_token().reveal()
    assert sign_out(alone.account).revoked is True


def test_a_new_key_takes_the_place_of_the_old_one(person: Person, oidc: OidcProvider) -> None:
    """FLT-042: the keychain's item was deleted; the next sign-in of a running server is stored under the new key."""
    from jupyter_nativeauth.keys import Key

    person.sign_in()
    first = person.account.store.open().path  # type: ignore[attr-defined]
    new = Key(b"n" * 32, "server", "server memory")
    person.account.store.open(new)
    person.accounts.keys._found["auto"] = person.accounts.keys._own["key"] = new
    person.sign_in()
    assert person.account.store.open().path != first  # type: ignore[attr-defined]
    assert person.account.identity().name == "Ada Example"


def test_an_explicit_sign_in_may_unlock(person: Person, oidc: OidcProvider) -> None:
    """FLT-041: ``login()`` lets a locked keychain ask its question, once; a request only says that it is locked."""
    from jupyter_nativeauth import KeySourceUnavailable
    from jupyter_nativeauth._login import start

    class Locked:
        asked: list[bool] = []  # noqa: RUF012 - one instance

        def find(self, key_source: str, *, interactive: bool = False, create: bool = False) -> Any:
            self.asked.append(interactive)
            raise KeySourceUnavailable("The keychain is locked.", code="keychain_locked")

    os.environ["BROWSER"] = "true"
    account = person.account
    account.store.keys, account.store.vault = Locked(), None  # type: ignore[assignment]
    with pytest.raises(KeySourceUnavailable):
        account.access_token()
    with pytest.raises(KeySourceUnavailable):
        start("acme", Ask())
    assert Locked.asked == [False, False, True]
