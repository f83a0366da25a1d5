"""What people paste: the address of the page that did not open, however it was copied; and nothing else."""

from __future__ import annotations

import codecs
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_nativeauth import LoginFailed
from jupyter_nativeauth._callback import Mismatch
from jupyter_nativeauth._oauth import AuthorizationRequest
from jupyter_nativeauth._paste import _REFUSALS, read_pasted
from jupyter_nativeauth._tokens import Secret
from tests import samples
from tests.canary import Canary
from tests.tries import tries

REQUEST = samples.request()
STATE = REQUEST.state.reveal()
CODE = samples.secret("code").reveal()
QUERY = urlencode({"code": CODE, "state": STATE, "iss": samples.ISSUER})
ADDRESS = f"{samples.CALLBACK}?{QUERY}"


def in_lines(text: str, width: int, before: str = "", after: str = "\n") -> str:
    return "".join(f"{before}{text[start : start + width]}{after}" for start in range(0, len(text), width))


READ = {
    "the whole address": ADDRESS,
    "as much as may be pasted": ADDRESS.ljust(32_768),
    "blanks around": f"  \t{ADDRESS} \n",
    "line breaks of a terminal": in_lines(ADDRESS, 80),
    "line breaks of Windows": in_lines(ADDRESS, 40, after="\r\n"),
    "line breaks of an old mail, quoted": in_lines(ADDRESS, 72, before="> "),
    "indented by an editor": in_lines(ADDRESS, 60, before="    "),
    "a blank in the middle": ADDRESS.replace("state=", "state= "),
    "double quotes": f'"{ADDRESS}"',
    "single quotes": f"'{ADDRESS}'",
    "curly quotes": f"\u201c{ADDRESS}\u201d",
    "low and high quotes": f"\u201e{ADDRESS}\u201c",
    "guillemets": f"\xab{ADDRESS}\xbb",
    "backticks of a chat": f"`{ADDRESS}`",
    "angle brackets": f"<{ADDRESS}>",
    "round brackets": f"({ADDRESS})",
    "a list": f"['{ADDRESS}']",
    "a shell's backslashes": ADDRESS.replace("?", "\\?").replace("&", "\\&").replace("=", "\\="),
    "a shell's continued lines": in_lines(ADDRESS, 60, after="\\\n"),
    "a terminal's paste marks": f"\x1b[200~{ADDRESS}\x1b[201~",
    "a terminal's colours": f"\x1b[1;32m{ADDRESS}\x1b[0m",
    "what nobody sees": f"\ufeff\u200b{ADDRESS}\u2060\xa0",
    "the source of a page": ADDRESS.replace("&", "&amp;"),
    "https": ADDRESS.replace("http:", "https:", 1),
    "capitals": ADDRESS.replace("http://", "HTTP://", 1),
    "another port": ADDRESS.replace(":8888", ":9999"),
    "another host": ADDRESS.replace("127.0.0.1:8888", "jupyter.example"),
    "a name of this machine": ADDRESS.replace("127.0.0.1", "localhost"),
    "below a prefix": ADDRESS.replace("/nativeauth", "/user/ada/proxy/8888/nativeauth"),
    "without its scheme": ADDRESS.partition("//")[2],
    "only its path": ADDRESS.partition("8888")[2],
    "only its query": QUERY,
    "only its query, with the mark": f"?{QUERY}",
    "a slash after the route": ADDRESS.replace("?", "/?"),
    "an empty fragment": f"{ADDRESS}#",
    "a fragment": f"{ADDRESS}#_=_",
    "a fragment with a question": f"{ADDRESS}#/lab?code=evil",
    "pasted twice": f"{ADDRESS}\n{ADDRESS}\n",
    "something that the provider adds": f"{ADDRESS}&session_state=a%20b",
}

OTHERS_STATE = "of-somebody-elses-sign-in-of-somebody-else"
REFUSED: dict[str, tuple[str, str]] = {
    "nothing": ("", "paste_empty"),
    "blanks": (" \r\n\t\ufeff", "paste_empty"),
    "quotes around nothing": ('""', "paste_empty"),
    "an empty pair of quotes": ("''", "paste_empty"),
    "a quote without its other half": ("'", "paste_incomplete"),
    "only a question mark": ("?", "paste_empty"),
    "a bare code": (CODE, "paste_incomplete"),
    "a code with its name": (f"code={CODE}", "paste_incomplete"),
    "a code and a state, as some services show them": (f"{CODE}#{STATE}", "paste_incomplete"),
    "a bare state": (STATE, "paste_incomplete"),
    "a word": ("yes", "paste_incomplete"),
    "without the state": (ADDRESS.partition("&state")[0], "paste_incomplete"),
    "with an empty state": (f"{samples.CALLBACK}?code={CODE}&state=", "paste_incomplete"),
    "without a query": (samples.CALLBACK, "paste_incomplete"),
    "the query behind a number sign": (ADDRESS.replace("?", "#"), "paste_incomplete"),
    "another sign-in's answer": (ADDRESS.replace(STATE, OTHERS_STATE), "state_mismatch"),
    "cut off in the state": (f"{samples.CALLBACK}?code={CODE}&state={STATE[:-1]}", "state_mismatch"),
    "with words after it": (
        f"{samples.CALLBACK}?code={CODE}&state={STATE} This site can't be reached",
        "state_mismatch",
    ),
    "it and another": (ADDRESS + ADDRESS.replace(STATE, OTHERS_STATE), "bad_callback"),
    "two states": (f"{ADDRESS}&state={STATE}", "bad_callback"),
    "two codes": (f"{ADDRESS}&code=evil", "bad_callback"),
    "no code": (f"{samples.CALLBACK}?state={STATE}&iss={quote(samples.ISSUER)}", "bad_callback"),
    "no well-formed query": (f"{ADDRESS}&x=%ff", "bad_callback"),
    "another profile's route": (ADDRESS.replace("callback?", "callback/other?"), "state_mismatch"),
    "another issuer": (ADDRESS.replace("id.example", "evil.example"), "issuer_mismatch"),
    "without the issuer that is promised": (ADDRESS.partition("&iss")[0], "issuer_missing"),
    "a token in the query": (f"{ADDRESS}&access_token=evil", "unexpected_token"),
    "a token in the fragment": (f"{samples.CALLBACK}#access_token=evil&token_type=bearer", "unexpected_token"),
    "an answer, and a token in the fragment": (f"{ADDRESS}#access_token=evil", "unexpected_token"),
    "an ID token in the fragment": (f"{ADDRESS}#id_token=evil&state={STATE}", "unexpected_token"),
    "our first page": ("http://127.0.0.1:8888/nativeauth/go/T1cKetT1cKet", "paste_first_page"),
    "our last page": ("http://127.0.0.1:8888/nativeauth/done/signed-in", "paste_elsewhere"),
    "our own page for this": ("http://127.0.0.1:8888/nativeauth/paste?profile=acme", "paste_elsewhere"),
    "the way out": (f"http://127.0.0.1:8888/nativeauth/logout/callback?{QUERY}", "paste_elsewhere"),
    "the service's page": (REQUEST.url.reveal(), "paste_service"),
    "the service's page, with our address in it": (
        f"{samples.ISSUER}/login?to={samples.CALLBACK}&state={STATE}",
        "paste_service",
    ),
    "the service's page, with an answer": (f"{samples.ISSUER}/cb?{QUERY}", "paste_service"),
    "JupyterLab": ("http://127.0.0.1:8888/lab/tree/demo.ipynb", "paste_elsewhere"),
    "another page": ("https://evil.example/?code=1", "paste_elsewhere"),
    "another page, with an answer": (f"https://evil.example/?{QUERY}", "paste_elsewhere"),
    "a page that is none": ("http://[/?state=1", "paste_elsewhere"),
    "an error page of Chromium": ("chrome-error://chromewebdata/", "paste_elsewhere"),
    "a script": (f"javascript:alert(1)//nativeauth/callbackx?{QUERY}", "paste_elsewhere"),
    "a whole book": ("a" * 40_000, "paste_too_long"),
    "a character too many": (ADDRESS.ljust(32_769), "paste_too_long"),
    "a long query": (f"{ADDRESS}&x={'a' * 20_000}", "bad_callback"),
}


def read(text: str, request: AuthorizationRequest = REQUEST) -> Any:
    return read_pasted(request, Secret(text))


def refusal(text: str, request: AuthorizationRequest = REQUEST) -> LoginFailed:
    with pytest.raises(LoginFailed) as caught:
        read(text, request)
    return caught.value


@pytest.mark.parametrize("text", READ.values(), ids=READ)
def test_an_address_is_read_however_it_was_copied(text: str) -> None:
    """FLT-066, FUZ-002: quotes, blanks, line breaks, http and https, another port, a fragment: the code is found."""
    code = read(text)
    assert (code.value.reveal(), code.request) == (CODE, REQUEST)


@pytest.mark.parametrize(("text", "code"), REFUSED.values(), ids=REFUSED)
def test_whatever_else_is_refused_with_what_to_do(text: str, code: str, canary: Canary) -> None:
    """
    FLT-066, SEC-091, NRM-036, TRP-12: a bare code, another sign-in's answer, a token, a wrong page, nothing: the
    sign-in goes on waiting, and the words say what to paste. Neither they nor the frames they came through repeat it.
    """
    canary.secret("code", CODE)
    canary.secret("state", STATE)
    error = refusal(text)
    assert isinstance(error, Mismatch)
    assert error.code == code
    samples.assert_fit_to_show(error)
    assert error.hint.endswith((".", "?"))
    assert not code.startswith("paste_") or error.hint == _REFUSALS[code][1]
    assert "evil" not in str(error)
    canary.look_error(error)


def test_each_refusal_is_in_the_table() -> None:
    """No words that nobody can get to see."""
    assert set(_REFUSALS) <= {code for _, code in REFUSED.values()}


def test_a_route_of_the_profiles_own() -> None:
    """With ``redirect_path = "profile"`` the address has the profile's name, and without it is another sign-in's."""
    request = samples.request(redirect_path="profile")
    object.__setattr__(request, "redirect_uri", f"{samples.CALLBACK}/acme")
    address = ADDRESS.replace("callback?", "callback/acme?").replace(STATE, request.state.reveal())
    assert read(address, request).value.reveal() == CODE
    for other in ("callback?", "callback/acne?", "callback/acme/x?"):
        assert refusal(address.replace("callback/acme?", other), request).code == "state_mismatch"


def test_the_service_said_no() -> None:
    """NRM-110: its error is read as at the callback: that ends the sign-in, so it is no :class:`Mismatch`."""
    error = refusal(f"{samples.CALLBACK}?error=access_denied&state={STATE}")
    assert not isinstance(error, Mismatch)
    assert error.code == "access_denied"
    # Without our state anybody could have written it.
    assert isinstance(refusal(f"{samples.CALLBACK}?error=access_denied"), Mismatch)


@tries(100)
@given(st.text() | st.binary().map(lambda data: codecs.decode(data, "latin-1")), st.integers(0, len(ADDRESS)))
def test_nothing_that_is_typed_breaks_it(text: str, where: int) -> None:
    """FUZ-002: any text, alone or in the middle of an address, is read or refused; what is read is what was there."""
    for pasted in (text, ADDRESS[:where] + text + ADDRESS[where:], text + ADDRESS, ADDRESS + text):
        try:
            code = read(pasted)
        except LoginFailed as error:
            samples.assert_fit_to_show(error)
        else:
            assert code.request.state.reveal() == STATE


NOISE: list[Callable[[str], str]] = [
    lambda text: f" {text}\n",
    lambda text: f'"{text}"',
    lambda text: f"<{text}>",
    lambda text: f"'{text}'",
    lambda text: f"({text})",
    lambda text: in_lines(text, 17),
]


@tries(40)
@given(st.lists(st.sampled_from(NOISE), max_size=6))
def test_noise_around_noise(layers: list[Callable[[str], str]]) -> None:
    """FLT-066: in any order and number, what people put around an address is taken off."""
    text = ADDRESS
    for add in layers:
        text = add(text)
    assert read(text).value.reveal() == CODE
