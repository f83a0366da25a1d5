"""
Runs in: the tests, and as ``python -m tests.capabilities``, which prints it. The README's table of services.

It is made of the presets, so it cannot promise what they do not have.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from jupyter_nativeauth.providers import PRESETS, Preset

NOTHING = "\N{EN DASH}"
IF_NAMED = "if its metadata names it"


def _named(preset: Preset, endpoint: str, *, page: bool = False) -> str:
    if page or endpoint in preset.endpoints:
        return "yes"
    return IF_NAMED if preset.discovery == "required" else "no"


def _keys(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names) or NOTHING


def _believed(preset: Preset) -> str:
    if preset.identity_from == "access_token":
        return "access token, which is the ID token"
    return "ID token and access token" if preset.access_token_jwt else "ID token"


def _whose(preset: Preset) -> str:
    if preset.tenants is not None:
        return "`tenant_name`"
    return "`organization`" if preset.organization_claims else NOTHING


CAPABILITIES: Mapping[str, Callable[[Preset], str]] = {
    "keys that it needs, besides `client_id`": lambda preset: _keys(preset.needs),
    "metadata": lambda preset: {"required": "read", "optional": "read, if there", "none": "none"}[preset.discovery],
    "port of redirect URIs": lambda preset: "as registered" if preset.redirect.exact_port else "any",
    "checked": _believed,
    "stays signed in": lambda preset: "yes" if preset.renewable else "no: sign in again",
    "sign-out voids the tokens": lambda preset: _named(preset, "revocation_endpoint") if preset.revokes else "no",
    "sign-out ends its own session": lambda preset: _named(
        preset, "end_session_endpoint", page=preset.end_session is not None
    ),
    "sign-in on another device": lambda preset: _named(preset, "device_authorization_endpoint"),
    "one organization or tenant": _whose,
    "client with a secret": lambda preset: "yes" if "confidential" in preset.client_types else "no",
    "signs requests of yours": lambda preset: "yes" if preset.sign_requests else NOTHING,
}


def table() -> str:
    """The table, in Markdown: a line for each capability, a column for each service."""
    services = {name: preset for name, preset in PRESETS.items() if not preset.lender}
    lines = [["", *(preset.label for preset in services.values())], ["---"] * (len(services) + 1)]
    lines.append(["`provider`", *(f'`"{name}"`' for name in services)])
    lines += [[title, *map(tell, services.values())] for title, tell in CAPABILITIES.items()]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


if __name__ == "__main__":
    print(table(), end="")
