"""Addresses of terminals: as they are written down, and which terminal a caller sits at."""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from typing import Final

from access.people.model import Terminal, Unit
from vault.errors import UsageError
from vault.grant import Refusal

MAX_ADDRESS_CHARS: Final = 64
WIDEST: Final = {4: 16, 6: 48}
"""Bits of the prefix, by version of IP: what reaches farther declares no terminal."""

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def checked_address(text: str) -> str:
    """An address, or a network in CIDR form, as it is kept. Raises UsageError, Refusal."""
    try:
        network = _network(text.strip()[: MAX_ADDRESS_CHARS + 1])
    except ValueError:
        raise UsageError(
            f"terminal address {text[:MAX_ADDRESS_CHARS]!r} is neither an IP address nor a network in CIDR form (10.1.2.0/24)"
        ) from None
    if network.prefixlen < WIDEST[network.version]:
        raise Refusal(
            f"terminal address {network}: is wider than /{WIDEST[network.version]} and declares no terminal",
            "terminal",
            "Art. 14 (3)",
        )
    if network.is_multicast or network.is_unspecified:
        raise UsageError(f"terminal address {network}: no machine has it")
    return str(network.network_address if network.num_addresses == 1 else network)


def terminal_at(unit: Unit, address: str) -> Terminal | None:
    """The declared terminal that has this address, the narrowest one; None where the unit declared none."""
    try:
        caller = plain_address(address)
        single, networks = _parsed(unit.terminals)
    except ValueError:
        return None
    found = single.get(caller)
    if found is None:
        found = next((item for net, item in networks if net.version == caller.version and caller in net), None)
    return found


@lru_cache(2_048)
def _parsed(terminals: tuple[Terminal, ...]) -> tuple[dict[Address, Terminal], list[tuple[Network, Terminal]]]:
    """Of one unit: by their one address, and the networks, narrow ones first. Kept, since every decision asks. Raises ValueError."""
    single: dict[Address, Terminal] = {}
    networks: list[tuple[Network, Terminal]] = []
    for item in terminals:
        # As they are written down (`checked_address`), one machine has no prefix; a network costs several times as much to read.
        if "/" in item.address:
            networks.append((_network(item.address), item))
        else:
            single.setdefault(plain_address(item.address), item)
    return single, sorted(networks, key=lambda found: -found[0].prefixlen)


@lru_cache(4_096)
def plain_address(text: str) -> Address:
    """Raises ValueError. An IPv4 address that came in through an IPv6 socket is one of IPv4 (RFC 4291 §2.5.5.2)."""
    found = ipaddress.ip_address(text.partition("%")[0])
    return found.ipv4_mapped or found if isinstance(found, ipaddress.IPv6Address) else found


def _network(text: str) -> Network:
    if "/" in text:
        return ipaddress.ip_network(text)
    if "%" in text:
        # A zone is a name on one host (RFC 4007 §11): nobody else could check it.
        raise ValueError(text)
    return ipaddress.ip_network(plain_address(text))
