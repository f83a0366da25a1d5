"""
Runs in: everywhere. Services where each customer, a tenant, has a host of its own beside the application's. No I/O.

Which host a sign-in goes to is decided by the profile. An address that somebody sends may name a tenant of the
application, or one of the custom domains that the profile lists; it never brings a host of its own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from ._metadata import Provider
from ._origin import is_secure, origin, spelled

__all__ = ["Setup", "Tenant", "TenantHosts", "answered_by", "at_tenant", "find_tenant", "read_setup", "tenant_label"]

_LABEL = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)")  # one label of a host name (RFC 1123, section 2.1)


@dataclass(frozen=True)
class TenantHosts:
    """
    How a service's hosts belong together. The options of a profile have the names that are used below.

    Attributes:
        application: The option with the application's own origin.
        moved: Members of the metadata that are at a tenant's host, under the same path.
        login_page: Where a person finds out which tenant is theirs, with the profile's options in braces.
        configuration: Where the application says how it is set up, with options and ``client_id`` in braces.
        active: The member there that says whether the application's own custom domain is active.
        redirect_uri: The member with the redirect URI that is registered.
        own_login_page: The member with a page that takes the place of ``login_page``.
        separators: What stands between tenant and application: usually, and if that domain is active.
        names: The parameters that name a tenant, today's first.
        domain: The parameter with a tenant's custom domain.
    """

    application: str
    moved: tuple[str, ...]
    login_page: str
    configuration: str
    active: str
    redirect_uri: str
    own_login_page: str
    separators: tuple[str, str]
    names: tuple[str, ...]
    domain: str


@dataclass(frozen=True)
class Setup:
    """How an application is set up, as far as it says."""

    separator: str
    login_page: str
    redirect_uri: str = ""


@dataclass(frozen=True)
class Tenant:
    """A customer's host, and the customer's name where it is known."""

    origin: str
    name: str = ""


def read_setup(hosts: TenantHosts, options: Mapping[str, str], told: Mapping[str, Any] | None) -> Setup:
    """
    How the application is set up: by what it *told*, but for what the profile says itself.

    Without either a hyphen stands before the application's host, as the service's own SDKs have it.
    """
    told = told or {}
    usual, custom = hosts.separators
    page, uri = told.get(hosts.own_login_page), told.get(hosts.redirect_uri)
    own_page = isinstance(page, str) and is_secure(page) and not re.search(r"[?#]", page)
    return Setup(
        separator=options.get("tenant_separator") or (custom if told.get(hosts.active) is True else usual),
        login_page=str(page) if own_page else hosts.login_page.format_map(options),
        redirect_uri=uri if isinstance(uri, str) else "",
    )


def tenant_label(name: str) -> str:
    """
    A tenant's name as it stands in a host name.

    Raises:
        ValueError: It is none. The message goes on after the name of what holds it.
    """
    label = name.lower()
    if not _LABEL.fullmatch(label):
        raise ValueError("must be the name of a tenant: letters, digits and hyphens")
    return label


def find_tenant(
    hosts: TenantHosts, options: Mapping[str, str], separator: str, *, name: str = "", domain: str = ""
) -> Tenant | None:
    """
    Where a sign-in goes: what was asked for counts before the profile, and a custom domain before a name.

    Args:
        hosts: How the hosts belong together.
        options: The profile's.
        separator: What stands between a tenant's name and the application's host.
        name: The tenant that this sign-in asks for.
        domain: The custom domain that it asks for.

    Returns:
        ``None`` if nothing says which tenant.

    Raises:
        ValueError: The name is none, or the domain is not one of those that the profile lists.
    """
    if domain:
        return Tenant(_listed(options, domain), tenant_label(name) if name else "")
    if not name and options.get("tenant_custom_domain"):
        return Tenant(options["tenant_custom_domain"], options.get("tenant_name", ""))
    name = name or options.get("tenant_name", "")
    if not name:
        return None
    scheme, host, port = origin(options[hosts.application])
    label = tenant_label(name)
    return Tenant(spelled(scheme, f"{label}{separator}{host}", port), label)


def _listed(options: Mapping[str, str], domain: str) -> str:
    """The origin in the profile that is meant by *domain*. What comes out was never part of an address."""
    listed = [*options.get("tenant_custom_domains", "").split(), options.get("tenant_custom_domain", "")]
    for one in filter(None, listed):
        if domain.lower() == one.partition("://")[2]:
            return one
    raise ValueError("is not a domain that the profile lists in `tenant_custom_domains`")


def at_tenant(hosts: TenantHosts, provider: Provider, tenant: Tenant) -> Provider:
    """*provider* as it is at the host of *tenant*. Tokens, keys and the issuer stay the application's."""
    moved = {member: tenant.origin + urlsplit(getattr(provider, member)).path for member in hosts.moved}
    return replace(provider, tenant=tenant.name, **moved)


def answered_by(
    hosts: TenantHosts, options: Mapping[str, str], separator: str, asked: Tenant | None, answer: Mapping[str, str]
) -> Tenant:
    """
    The tenant that an *answer* comes from; *asked* is the one whose host the browser was sent to.

    Its custom domain counts if the profile lists it: the session to end at a sign-out is there.

    Raises:
        ValueError: It is another tenant than the one that was asked, or none was asked and none is named.
    """
    names = {tenant_label(answer[name]) for name in hosts.names if answer.get(name)}
    if len(names) > 1 or (asked is None and not names):
        raise ValueError("The answer does not say which tenant it comes from.")
    name = names.pop() if names else ""
    if asked is not None and asked.name and name and name != asked.name:
        raise ValueError("The answer comes from another tenant than the one that was asked.")
    try:
        domain = _listed(options, answer.get(hosts.domain, ""))
    except ValueError:
        domain = ""
    if domain or asked is not None:
        return Tenant(domain or (asked.origin if asked else ""), name or (asked.name if asked else ""))
    found = find_tenant(hosts, {hosts.application: options[hosts.application]}, separator, name=name)
    assert found is not None  # noqa: S101 - it was named
    return found
