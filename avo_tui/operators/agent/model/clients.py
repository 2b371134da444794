"""Creates the SDK's client for each kind of service that offers a model.

Each client finds its credentials as the service's own tools do. None follows redirects: the SDK
would send the request, including a header with the key, to whatever host the answer names.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import anthropic
import httpx2

from avo_tui.operators.agent.model.address import chosen_address, is_local
from avo_tui.operators.agent.model.bounds import bound
from avo_tui.operators.agent.model.port import NO_KEY
from avo_tui.operators.agent.settings import AgentSettings, Provider
from avo_tui.user_paths import from_home

PLACEHOLDER = "none"
"""Key sent to a server on this machine or network if none is set; most of them need none."""

Client = (
    anthropic.AsyncAnthropic
    | anthropic.AsyncAnthropicBedrock
    | anthropic.AsyncAnthropicVertex
    | anthropic.AsyncAnthropicFoundry
)

EXTRAS: dict[Provider, str] = {"bedrock": "boto3", "vertex": "google-auth"}
"""Packages needed in addition to the SDK: `pip install 'avo-tui[bedrock]'` or `[vertex]`."""


_HEADERS = ("x-api-key", "api-key", "authorization", "x-amz-security-token")
"""Headers of a request that carry a secret."""


def make_client(settings: AgentSettings, sent: set[str] | None = None) -> Client:
    """The client for the configured provider.

    Every key and token that it sends is added to `sent`: a cloud's client obtains some that no
    attribute of it shows. Raises ValueError, with one sentence that says what to set.
    """
    _check_address(settings)
    seen = set[str]() if sent is None else sent

    async def note(request: httpx2.Request) -> None:
        seen.update(_secrets_in(request))

    timeout = httpx2.Timeout(settings.read_timeout, connect=settings.connect_timeout)
    common: dict[str, Any] = {
        "max_retries": 0,
        "timeout": timeout,
        "http_client": anthropic.DefaultAsyncHttpxClient(
            timeout=timeout,
            follow_redirects=False,
            headers={"accept-encoding": "identity"},
            event_hooks={"request": [note], "response": [bound]},
            **_past_proxies(settings),
        ),
    }
    if settings.base_url is not None:
        common["base_url"] = settings.base_url
    if (key := file_key(settings)) is not None:
        common["api_key"] = key
    try:
        return _MAKERS[settings.provider](settings, common)
    except ModuleNotFoundError as error:
        raise ValueError(
            f"Provider {settings.provider} needs {EXTRAS.get(settings.provider, error.name)}:"
            f" pip install 'avo-tui[{settings.provider}]'."
        ) from None
    except anthropic.CredentialsError as error:
        raise ValueError(f"{NO_KEY} ({error})") from None
    except (ValueError, anthropic.AnthropicError) as error:
        raise ValueError(f"Provider {settings.provider}: {error}") from None


def _secrets_in(request: httpx2.Request) -> list[str]:
    """The keys and tokens in the headers of a request; not AWS's signatures, which expire."""
    values = [request.headers.get(name, "") for name in _HEADERS]
    words = [value.rpartition(" ")[2] for value in values if not value.startswith("AWS4-")]
    return [word for word in words if word and word != PLACEHOLDER]


def _past_proxies(settings: AgentSettings) -> dict[str, Any]:
    """Arguments of the HTTP client that keep requests to this machine or network from a proxy.

    HTTP_PROXY and ALL_PROXY are obeyed for every address that NO_PROXY does not name. A proxy
    cannot reach this machine, and would be handed the key and the sources in plain text.
    """
    if not is_local(chosen_address(settings.base_url)):
        return {}
    return {"mounts": dict.fromkeys(("http://", "https://", "all://"))}  # None: no proxy


def _check_address(settings: AgentSettings) -> None:
    """Raises ValueError for an address that no request can ever be sent to."""
    address = settings.base_url
    if address is None and settings.provider == "anthropic":
        address = chosen_address(None) or None
    if address is None:
        return
    try:
        url = httpx2.URL(address)
        valid = url.scheme in {"http", "https"} and bool(url.host)
    except httpx2.InvalidURL:
        valid = False
    if not valid:
        raise ValueError(
            f"The model's address {address.rpartition('@')[2]!r} is not one: it must begin with"
            " http:// or https:// and name a host (option base_url, or ANTHROPIC_BASE_URL)."
        )


def file_key(settings: AgentSettings) -> str | None:
    """The key in `api_key_file`; None where no file is named. Raises ValueError."""
    if settings.api_key_file is None:
        return None
    path = from_home(settings.api_key_file)
    try:
        key = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeError) as error:
        raise ValueError(f"the key file {path} cannot be read: {error}") from None
    if not key or any(c.isspace() for c in key):
        raise ValueError(f"the key file {path} must hold one key and nothing else")
    return key


def endpoint_of(client: Client) -> str:
    return str(client.base_url)


def has_credentials(client: Client) -> bool:
    """Whether the client has a key or token; cloud clients look for theirs at the first request."""
    if isinstance(client, anthropic.AsyncAnthropic) and type(client) is anthropic.AsyncAnthropic:
        return bool(client.api_key or client.auth_token or client.credentials)
    return True


def secrets_of(client: Client) -> list[str]:
    if isinstance(client, anthropic.AsyncAnthropic):
        return [s for s in (client.api_key, client.auth_token) if s]
    if isinstance(client, anthropic.AsyncAnthropicBedrock):
        held = (client.api_key, client.aws_secret_key, client.aws_session_token)
        return [s for s in held if s]
    if isinstance(client, anthropic.AsyncAnthropicVertex):
        return [client.access_token] if client.access_token else []
    return []


def is_official(address: str) -> bool:
    host = httpx2.URL(address).host
    return host == "anthropic.com" or host.endswith(".anthropic.com")


def _anthropic(settings: AgentSettings, common: dict[str, Any]) -> Client:
    keys = ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN")
    given = "api_key" in common or any(os.environ.get(name) for name in keys)
    if not given and is_local(chosen_address(settings.base_url)):
        common["api_key"] = PLACEHOLDER
    client = anthropic.AsyncAnthropic(**common)
    _tidy(client)
    if client.api_key and not is_official(str(client.base_url)):
        # For other endpoints the SDK sends the key as a bearer token, which not all of them accept.
        client = client.with_options(default_headers={"X-Api-Key": client.api_key})
    return client


def _tidy(client: anthropic.AsyncAnthropic) -> None:
    """Remove white space around the keys: what a file or a store of secrets puts into the
    environment often ends in a line end, which no header can hold. Raises ValueError."""
    client.api_key = _word(client.api_key)
    client.auth_token = _word(client.auth_token)


def _word(key: str | None) -> str | None:
    if key is None:
        return None
    if not key.isascii() or any(c.isspace() or not c.isprintable() for c in key.strip()):
        raise ValueError(
            "the key in the environment is not one: it holds white space, quotation marks or other"
            " characters that no key has."
        )
    return key.strip()


def _bedrock(settings: AgentSettings, common: dict[str, Any]) -> Client:
    import boto3  # type: ignore[import-not-found,import-untyped,unused-ignore]  # noqa: F401

    if settings.region is not None:
        common["aws_region"] = settings.region
    return anthropic.AsyncAnthropicBedrock(**common)


def _vertex(settings: AgentSettings, common: dict[str, Any]) -> Client:
    import google.auth  # type: ignore[import-not-found,import-untyped,unused-ignore]  # noqa: F401

    common.pop("api_key", None)
    if settings.region is not None:
        common["region"] = settings.region
    if settings.project is not None:
        common["project_id"] = settings.project
    client = anthropic.AsyncAnthropicVertex(**common)
    if not client.project_id:
        raise ValueError("set the project (option project, or ANTHROPIC_VERTEX_PROJECT_ID).")
    return client


def _foundry(settings: AgentSettings, common: dict[str, Any]) -> Client:
    if settings.resource is not None:
        common["resource"] = settings.resource
    client = anthropic.AsyncAnthropicFoundry(**common)
    _tidy(client)
    return client


_MAKERS: dict[Provider, Callable[[AgentSettings, dict[str, Any]], Client]] = {
    "anthropic": _anthropic,
    "bedrock": _bedrock,
    "vertex": _vertex,
    "foundry": _foundry,
}
