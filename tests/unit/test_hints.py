"""What a service sends along when a sign-in begins there: hints, and never a host or a state."""

from __future__ import annotations

import pytest

from jupyter_nativeauth._hints import Initiation, hints_in, read_initiation

TENANTS = Initiation({"tenant_name": "tenant_name", "tenant_domain": "tenant_name", "login_hint": "login_hint"})
SIGNED = Initiation({"organization_id": "organization"}, signed="request")


def hints(initiation: Initiation, query: str) -> dict[str, str]:
    return dict(hints_in(initiation, read_initiation(initiation, query)))


def test_only_what_is_listed_is_read() -> None:
    """WB-4: a state, a host, a redirect URI or a parameter of somebody's invention means nothing."""
    stray = "state=s&redirect_uri=https://evil.example&host=evil.example&issuer=x&code=c&tenant=evil"
    assert hints(TENANTS, f"tenant_name=globex&login_hint=ada%40example.org&{stray}") == {
        "tenant_name": "globex",
        "login_hint": "ada@example.org",
    }
    assert read_initiation(TENANTS, stray) == {}


@pytest.mark.parametrize(
    "query", ["tenant_name=globex", "tenant_domain=globex", "tenant_name=globex&tenant_domain=globex"]
)
def test_both_words_for_a_tenant(query: str) -> None:
    """WB-4: the parameter was renamed, and older environments still send the old one."""
    assert hints(TENANTS, query) == {"tenant_name": "globex"}


@pytest.mark.parametrize(
    "query",
    [
        "tenant_name=a&tenant_name=b",
        "tenant_name=a&tenant_name=a",
        "iss=a&iss=b",
        "tenant_name=%ff",
        "tenant_name=a%0Ab",
        f"tenant_name={'a' * 513}",
        "tenant_name=a&tenant_domain=b",
        "&".join(f"x{number}=1" for number in range(101)),
    ],
)
def test_what_cannot_be_read(query: str) -> None:
    """WB-8: twice the same name, two names that disagree, broken text: a sentence, and nothing is taken from it."""
    with pytest.raises(ValueError, match=r"\.\Z"):
        hints(TENANTS, query)


def test_a_signed_request_is_read_from_its_token_only() -> None:
    """The parameters beside a token prove nothing: whoever reads the token takes its claims."""
    told = read_initiation(SIGNED, "request=a.b.c&organization_id=org_evil")
    assert told["request"] == "a.b.c"
    assert hints_in(SIGNED, {"organization_id": "org_1", "iss": "https://id.example", "exp": 7}) == (
        ("organization", "org_1"),
    )


@pytest.mark.parametrize("value", [7, ["org_1"], {"a": 1}, True])
def test_a_claim_that_is_no_text(value: object) -> None:
    """A claim can be anything that JSON has."""
    with pytest.raises(ValueError, match="short line of text"):
        hints_in(SIGNED, {"organization_id": value})
