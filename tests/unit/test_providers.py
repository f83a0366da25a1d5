"""Providers as data: whose metadata counts, and which of the addresses in it can be used. No I/O."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_nativeauth import ConfigError
from jupyter_nativeauth._metadata import Provider, metadata_urls, read_metadata
from jupyter_nativeauth.providers import PRESETS, issuer_of
from tests.samples import ISSUER, PROVIDER, assert_fit_to_show
from tests.tries import tries

NEEDED: dict[str, Any] = {
    "authorization_endpoint": f"{ISSUER}/authorize",
    "token_endpoint": f"{ISSUER}/token",
    "jwks_uri": f"{ISSUER}/keys",
}
OPTIONAL: dict[str, Any] = {
    "userinfo_endpoint": f"{ISSUER}/userinfo",
    "revocation_endpoint": f"{ISSUER}/revoke",
    "end_session_endpoint": f"{ISSUER}/end",
}


def document(**changes: Any) -> dict[str, Any]:
    """Metadata with all that is needed; ``...`` removes a member."""
    known = {"issuer": ISSUER, **NEEDED, **changes}
    return {name: value for name, value in known.items() if value is not ...}


@pytest.mark.parametrize(
    ("issuer", "first", "second"),
    [
        ("https://id.example", "", ""),
        ("https://id.example/", "", ""),
        ("https://id.example/tenant", "/tenant", "/tenant"),
        ("https://id.example/tenant/", "/tenant", "/tenant"),
        ("https://id.example/a/b", "/a/b", "/a/b"),
        ("https://id.example//", "/", "/"),
        ("http://127.0.0.1:9000/x", "/x", "/x"),
        ("https://[::1]:9000/x", "/x", "/x"),
    ],
)
def test_where_metadata_is(issuer: str, first: str, second: str) -> None:
    """NRM-066: OpenID Connect appends, RFC 8414 puts its own in between; one slash at the end is taken away."""
    base = "{0.scheme}://{0.netloc}".format(urlsplit(issuer))
    assert metadata_urls(issuer) == (
        f"{base}{first}/.well-known/openid-configuration",
        f"{base}/.well-known/oauth-authorization-server{second}",
    )


def test_all_that_is_read() -> None:
    """NRM-070: each member finds its place, and what is not known is ignored."""
    provider = read_metadata(
        ISSUER,
        document(
            **OPTIONAL,
            scopes_supported=["openid", 7, "offline_access"],
            prompt_values_supported=["select_account"],
            id_token_signing_alg_values_supported=["ES256", None],
            authorization_response_iss_parameter_supported=True,
            code_challenge_methods_supported=["plain"],
            signed_metadata="eyJhbGciOiJub25lIn0.eyJ0b2tlbl9lbmRwb2ludCI6Imh0dHBzOi8vZXZpbCJ9.",
            mtls_endpoint_aliases={"token_endpoint": "https://mtls.id.example/token"},
        ),
    )
    assert provider == Provider(
        issuer=ISSUER,
        **NEEDED,
        **OPTIONAL,
        scopes_supported=("openid", "offline_access"),
        prompt_values_supported=("select_account",),
        id_token_algorithms=("ES256",),
        sends_iss=True,
    )


def test_the_least_that_will_do() -> None:
    """NRM-071: nothing is demanded that a provider need not say; RS256 is what is signed with unless it does."""
    provider = read_metadata(ISSUER, document())
    assert provider == Provider(ISSUER, **NEEDED)
    assert (provider.id_token_algorithms, provider.sends_iss) == (("RS256",), False)


def test_metadata_that_signs_itself_is_not_believed() -> None:
    """NRM-072: ``signed_metadata`` is ignored; only the plain members count."""
    assert read_metadata(ISSUER, document(signed_metadata="e30.e30.")) == read_metadata(ISSUER, document())


@pytest.mark.parametrize("value", [1, "true", "yes", [True], None, False])
def test_a_promise_is_the_word_true(value: Any) -> None:
    """RFC 9207, section 3: a boolean; anything else promises nothing, and so demands nothing."""
    assert not read_metadata(ISSUER, document(authorization_response_iss_parameter_supported=value)).sends_iss


@pytest.mark.parametrize(
    "issuer",
    [
        f"{ISSUER}INVALID",
        f"{ISSUER}/",
        ISSUER.upper(),
        ISSUER.replace("https", "http"),
        f"{ISSUER}:443",
        f" {ISSUER}",
        f"{ISSUER}\n",
        "https://id.examp\N{CYRILLIC SMALL LETTER EL}e",
        "",
        None,
        [ISSUER],
        {"value": ISSUER},
        7,
        ...,
    ],
)
def test_metadata_of_somebody_else(issuer: Any) -> None:
    """CNF-018, CNF-068, NRM-067: one letter is enough; nothing in the document is used, and the message names both."""
    with pytest.raises(ConfigError) as caught:
        read_metadata(ISSUER, document(issuer=issuer))
    assert caught.value.code == "issuer_mismatch"
    assert ISSUER in str(caught.value)
    assert_fit_to_show(caught.value)


@pytest.mark.parametrize("other", [None, [], "x", 7, {}, True])
def test_no_metadata(other: Any) -> None:
    """NRM-068: what is no JSON object is no metadata."""
    with pytest.raises(ConfigError) as caught:
        read_metadata(ISSUER, None, other)
    assert caught.value.code in ("no_metadata", "issuer_mismatch")
    with pytest.raises(ConfigError) as caught:
        read_metadata(ISSUER)
    assert caught.value.code == "no_metadata"


def test_two_documents_are_one() -> None:
    """Some providers name an endpoint in only one of the two: they are merged, and the first one counts."""
    first = document(token_endpoint=f"{ISSUER}/first")
    second = document(token_endpoint=f"{ISSUER}/second", **OPTIONAL)
    merged = read_metadata(ISSUER, first, second)
    assert (merged.token_endpoint, merged.revocation_endpoint) == (f"{ISSUER}/first", OPTIONAL["revocation_endpoint"])
    assert read_metadata(ISSUER, None, second).token_endpoint == f"{ISSUER}/second"
    assert read_metadata(ISSUER, first, "nonsense").token_endpoint == f"{ISSUER}/first"


def test_a_foreign_document_adds_nothing() -> None:
    """NRM-067: of two documents, the one for another issuer is left out, and is not a reason to fail."""
    foreign = {**document(issuer="https://evil.example"), **dict.fromkeys(OPTIONAL, "https://evil.example/x")}
    for documents in ((document(), foreign), (foreign, document())):
        assert read_metadata(ISSUER, *documents) == read_metadata(ISSUER, document())


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "JavaScript:alert(1)",
        "file:///etc/passwd",
        "data:text/html,x",
        "vbscript:x",
        "ftp://id.example/x",
        "ms-msdt:/id",
        "//id.example/token",
        "/token",
        "token",
        "",
        "-x",
        "--help",
        "http://id.example/token",
        "http://127.0.0.1.nip.io/token",
        "http://localhost.evil.example/token",
        "https://",
        "https:///token",
        "https:/id.example",
        "https://good.example@evil.example/",
        "https://user:pass@id.example/",
        "https://id.example\\@evil.example/",
        "https://-id.example/token",
        "https://id.example/`calc`",
        'https://id.example/"x',
        "https://id.example/'x",
        "https://id.example/<script>",
        "https://id.example/{x}",
        "https://id.example/a|b",
        "https://id.example/a^b",
        "https://id.example/a b",
        " https://id.example/a",
        "https://id.example/a\r\nX: 1",
        "https://id.example/a\n",
        "https://id.example/a\t",
        "https://id.example/\0",
        "https://id.example/\x1b[31m",
        "https://id.example/\N{LATIN SMALL LETTER E WITH ACUTE}",
        "https://id.example/\N{RIGHT-TO-LEFT OVERRIDE}",
        "https://id.example/token#fragment",
        "https://id.example/token#",
        "https://id.example/" + "x" * 100_000,
        "https://id.example:0/",
        "https://id.example:99999/",
        "https://127.1/token",
        "https://id.example./token",
        None,
        7,
        ["https://id.example/token"],
        {},
    ],
    ids=lambda url: repr(url)[:50],
)
def test_addresses_that_cannot_be_used(url: Any) -> None:
    """ADV-060, ADV-011, NRM-070, TRP-35, LIB-085, SEC-084: no other scheme, no plain http, no user name, nothing that a
    shell, a header or a page takes for its own; where it is needed that is an error, elsewhere the ability is left
    out."""
    for name in NEEDED:
        with pytest.raises(ConfigError) as caught:
            read_metadata(ISSUER, document(**{name: url}))
        assert (caught.value.code, name in str(caught.value)) == ("bad_metadata", True)
        assert_fit_to_show(caught.value)
    for name in OPTIONAL:
        assert getattr(read_metadata(ISSUER, document(**{name: url})), name) == ""


@pytest.mark.parametrize("name", NEEDED)
def test_an_address_that_is_missing(name: str) -> None:
    """NRM-070: without one of them nobody can sign in; the message says which."""
    with pytest.raises(ConfigError, match=name):
        read_metadata(ISSUER, document(**{name: ...}))


@pytest.mark.parametrize(
    "url",
    [
        "https://other.example/token",
        "https://id.example:8443/a/b;c=d?tenant=1&x=%20",
        "http://127.0.0.1:9000/token",
        "http://localhost:9000/token",
        "http://[::1]:9000/token",
        "https://xn--bcher-kva.example/token",
    ],
)
def test_addresses_that_can_be_used(url: str) -> None:
    """TRP-35: another origin is normal in metadata (the login is bound to what it was then); so is a query."""
    for name in (*NEEDED, *OPTIONAL):
        assert getattr(read_metadata(ISSUER, document(**{name: url})), name) == url


@pytest.mark.parametrize("value", [None, "openid", 7, {"openid": 1}, [None, 7, ["openid"]]])
def test_lists_that_are_none(value: Any) -> None:
    """A list of words, or nothing was said."""
    provider = read_metadata(
        ISSUER,
        document(scopes_supported=value, prompt_values_supported=value, id_token_signing_alg_values_supported=value),
    )
    assert (provider.scopes_supported, provider.prompt_values_supported) == ((), ())
    assert provider.id_token_algorithms == ("RS256",)


def test_a_provider_survives_the_vault() -> None:
    """It is stored as JSON and comes back equal; members of newer versions are ignored, and missing ones are empty."""
    record = json.loads(json.dumps(PROVIDER.to_record()))
    assert Provider.from_record(record) == PROVIDER
    assert Provider.from_record({**record, "of_a_newer_version": {"x": 1}}) == PROVIDER
    del record["sends_iss"]
    assert Provider.from_record(record).sends_iss is False


def test_presets_are_data() -> None:
    """A profile's keys give the issuer, to the letter, and each preset says what a person reads."""
    assert issuer_of(PRESETS["oidc"], {"issuer": "https://id.example/x/"}) == "https://id.example/x/"
    for name, preset in PRESETS.items():
        assert name.islower()
        assert preset.label
        issuer = issuer_of(preset, dict.fromkeys((*preset.needs, *preset.takes), "a.example"))
        assert bool(issuer) != bool(preset.lender)  # whoever lends the tokens has signed the person in somewhere


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.sampled_from([ISSUER, "https://x.example/y"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=4,
)
NAMES = [*NEEDED, *OPTIONAL, "issuer", "scopes_supported", "id_token_signing_alg_values_supported"]
URL = st.text(st.sampled_from(":/?#@\\.%-a1[]\r\n \"'`$;&é"), max_size=12).map(lambda text: f"https://{text}")


@tries(300)
@given(changes=st.dictionaries(st.sampled_from(NAMES), JSON | URL, max_size=4), other=JSON)
def test_any_metadata(changes: dict[str, Any], other: Any) -> None:
    """FUZ-007: our own errors only; what is accepted has our issuer and addresses that two programs read alike."""
    try:
        provider = read_metadata(ISSUER, document(**changes), other)
    except ConfigError as error:
        assert_fit_to_show(error)
        return
    assert provider.issuer == ISSUER
    assert changes.get("issuer", ISSUER) == ISSUER or (isinstance(other, dict) and other.get("issuer") == ISSUER)
    for name in (*NEEDED, *OPTIONAL):
        url = getattr(provider, name)
        if url or name in NEEDED:
            parts = urlsplit(url)
            assert parts.scheme == "https" or parts.hostname in ("127.0.0.1", "::1", "localhost")
            assert parts.hostname
            assert (parts.username, parts.password, parts.fragment) == (None, None, "")
            assert url.isascii()
            assert url.isprintable()
            assert not set(url) & set(" \"'`<>\\{}|^")
