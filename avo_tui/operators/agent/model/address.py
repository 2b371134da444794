"""Classifies an endpoint's address: local or private network, or a remote service."""

from __future__ import annotations

import ipaddress
import os
from urllib.parse import urlsplit


def is_local(endpoint: str) -> bool:
    """True for an address of this machine or a private network, where tokens cost nothing."""
    try:
        host = urlsplit(endpoint).hostname or ""
    except ValueError:
        return False
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost" or host.endswith((".local", ".localhost", ".internal"))
    return address.is_loopback or address.is_private or address.is_link_local


def chosen_address(base_url: str | None) -> str:
    """The address given by settings or environment; empty if the SDK's default applies."""
    return base_url or os.environ.get("ANTHROPIC_BASE_URL", "")
