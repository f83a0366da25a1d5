"""
Runs in: the command line. All that the doctor says, of this computer and of profiles; as JSON, and for people.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from ._finding import Finding

__all__ = ["Diagnosis", "Report"]


@dataclass(frozen=True)
class Diagnosis:
    """
    All that was found about one profile, and what to register at the service.

    Attributes:
        redirect_uris: Where the service sends the browser back to; register each, to the letter.
        any_port: Whether the port of those may vary.
        logout_uris: The same after a sign-out.
        initiate_uri: Where a sign-in begins that somebody starts at the service.
        console: What to do there; an address to register stands as its name in braces.
    """

    profile: str
    service: str
    issuer: str
    findings: tuple[Finding, ...]
    redirect_uris: tuple[str, ...]
    any_port: bool
    logout_uris: tuple[str, ...]
    initiate_uri: str
    console: tuple[str, ...]

    @property
    def healthy(self) -> bool:
        """Whether nothing stands in the way of a sign-in."""
        return all(finding.level != "error" for finding in self.findings)

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return {**asdict(self), "healthy": self.healthy}

    def lines(self) -> Iterator[str]:
        """The same for people."""
        yield f"{self.profile}: {self.service}, {self.issuer}"
        for finding in self.findings:
            yield from finding.lines()
        yield "At the service:"
        for line in self.console:
            text, _, place = line.partition("{")
            yield f"  - {text.rstrip()}"
            yield from (f"      {address}" for address in self.addresses(place.removesuffix("}")))
        if self.any_port:
            yield "  If it knows those for 127.0.0.1 without a port, any port will do."

    def addresses(self, place: str) -> tuple[str, ...]:
        """What to register at a place of :attr:`console`; nothing for an unknown one."""
        known = {"redirect_uris": self.redirect_uris, "logout_uris": self.logout_uris}
        return known.get(place, (self.initiate_uri,) if place == "initiate_uri" and self.initiate_uri else ())


@dataclass(frozen=True)
class Report:
    """
    All that the doctor says.

    Attributes:
        machine: What was found on this computer.
        profiles: What was found of the profiles that were asked for.
    """

    machine: tuple[Finding, ...]
    profiles: tuple[Diagnosis, ...]

    @property
    def healthy(self) -> bool:
        """Whether nothing stands in the way of a sign-in."""
        here = all(finding.level != "error" for finding in self.machine)
        return here and bool(self.profiles) and all(one.healthy for one in self.profiles)

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return {
            "healthy": self.healthy,
            "machine": [asdict(finding) for finding in self.machine],
            "profiles": [one.to_json() for one in self.profiles],
        }

    def lines(self) -> Iterator[str]:
        """The same for people."""
        yield "This computer:"
        for finding in self.machine:
            yield from finding.lines()
        for one in self.profiles:
            yield ""
            yield from one.lines()
