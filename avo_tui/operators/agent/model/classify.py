"""Determines which kind of fault an exception of the SDK or its transport is."""

from __future__ import annotations

import json
import logging
import math
import re
import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import anthropic
import httpx2

from avo_tui.operators.agent.model.faults import Fault, FaultKind

log = logging.getLogger(__name__)

_TOO_LONG = (
    "prompt is too long",
    "context window",
    "maximum context",
    "context length",
    "input is too long",
    "too many tokens",
    "exceed context limit",
    "context size",
    "prompt too long",
    "reduce the length of",
)

_TITLE = re.compile(r"<title>\s*(\S[^<]*)", re.IGNORECASE)

_NO_MONEY = ("spend_limit", "credit balance", "insufficient_quota")

_NO_TRUST = ("CERTIFICATE_VERIFY_FAILED", "WRONG_VERSION_NUMBER", "UNSUPPORTED_PROTOCOL")
"""Names of TLS errors that come again at every try."""

_OF_THE_REQUEST = (
    "jinja",
    "template",
    "unsupported content",
    "invalid message",
    "validation error",
)
"""Words by which a server says that it fails because of what it was sent, although its status
blames itself."""

_WHAT: dict[FaultKind, str] = {
    "rate_limit": "rate limit",
    "overloaded": "the model's server is overloaded",
    "unavailable": "the model's server failed",
    "server": "the model's server failed",
    "auth": "the server refused the credentials",
    "billing": "the account cannot pay",
    "model": "the server knows no such model",
    "context": "the conversation does not fit the model's context",
    "rejected": "the server refused the request",
}


def classify(error: Exception) -> Fault:
    """The fault that corresponds to an exception raised during a request to the model.

    An unknown exception is classified as an unreadable answer, because nothing that a server sends
    may end a step with a Python exception. Its traceback goes to the engine's log.
    """
    if isinstance(error, Fault):
        return error
    if isinstance(error, anthropic.APIStatusError):
        return _status(error)
    if isinstance(error, TimeoutError):
        return Fault("timeout", "the model's server made no progress in time")
    if isinstance(error, anthropic.APITimeoutError | httpx2.TimeoutException):
        if any(isinstance(e, httpx2.ConnectTimeout) for e in _chain(error)):
            sentence = "no connection to the model's server in time (connect_timeout)"
            return Fault("connection", sentence)
        return Fault("timeout", "no byte came from the model's server in time (read_timeout)")
    if isinstance(error, anthropic.APIResponseValidationError):
        return Fault("malformed", f"the answer cannot be read: {_text(error)}")
    if isinstance(error, anthropic.APIConnectionError):
        cause = error.__cause__
        if isinstance(cause, Fault):  # limits set in this program on what a server may send
            return cause
        if isinstance(cause, httpx2.LocalProtocolError) and "header" in str(cause).lower():
            return Fault("auth", "the key cannot be sent: it holds a character that no header may")
        return _unconnected(error)
    if isinstance(error, httpx2.TransportError):
        return Fault("cut_off", f"the connection was lost in mid-stream: {_text(error)}")
    if isinstance(error, anthropic.CredentialsError):
        return Fault("auth", f"credentials: {_text(error)}")
    if (cloud := _cloud_fault(error)) is not None:
        return cloud
    if isinstance(error, TypeError) and "authentication" in str(error):
        return Fault("auth", "no credentials for the model's server")
    if isinstance(error, json.JSONDecodeError | UnicodeError):
        return Fault("malformed", f"the stream is not valid: {_text(error)}")
    log.warning("an answer could not be read", exc_info=error)
    return Fault("malformed", f"the stream cannot be read: {type(error).__name__}: {_text(error)}")


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _unconnected(error: Exception) -> Fault:
    """The fault of a connection that could not be made, or was lost before the answer began."""
    for cause in _chain(error):
        if isinstance(cause, ssl.SSLError) and any(words in str(cause) for words in _NO_TRUST):
            return Fault(
                "endpoint",
                f"no secure connection to the model's server is possible: {_text(cause)}. Look at"
                " the address, this machine's date and, where a company's proxy reads along, at"
                " SSL_CERT_FILE, which names the certificates that are trusted",
            )
        if isinstance(cause, socket.gaierror) and cause.errno == socket.EAI_NONAME:
            return Fault("host", "the model's server is not found: no machine has this name")
    cause = error.__cause__ or error
    if isinstance(cause, httpx2.NetworkError | httpx2.ProtocolError) and not isinstance(
        cause, httpx2.ConnectError
    ):
        return Fault("server", f"the model's server gave no answer over HTTP: {_text(cause)}")
    return Fault("connection", f"no connection to the model's server: {_text(cause)}")


def _cloud_fault(error: Exception) -> Fault | None:
    """A fault in obtaining a cloud's credentials. The cloud's package is not imported for this."""
    package = type(error).__module__.partition(".")[0]
    if package == "google" and type(error).__name__ == "TransportError":
        return Fault("connection", f"Google's token server is not reached: {_text(error)}")
    if package in {"google", "botocore"} or "credentials from session" in str(error):
        return Fault("auth", f"the cloud's credentials: {_text(error)}")
    return None


def _status(error: anthropic.APIStatusError) -> Fault:
    headers = error.response.headers
    if 300 <= error.status_code < 400:
        return _redirect(error, str(headers.get("location", "")))
    kind = _status_kind(error)
    message = error.api_message or _text(error)
    if kind == "endpoint":
        return Fault(
            kind,
            f"{_host(str(error.request.url))} does not speak the Messages API (it answered"
            f" {error.status_code} to POST {error.request.url.path}). The agent needs an endpoint"
            " that serves /v1/messages; one that serves chat completions alone will not do",
        )
    status = f" ({error.status_code})" if error.status_code >= 400 else ""
    return Fault(kind, f"{_WHAT[kind]}{status}: {message}", retry_after(headers))


def _redirect(error: anthropic.APIStatusError, location: str) -> Fault:
    target = _host(location) or "another address"
    return Fault(
        "endpoint",
        f"{_host(str(error.request.url))} redirects to {target} ({error.status_code}). Neither the"
        " key nor the request is sent there. If that is the right address, set ANTHROPIC_BASE_URL"
        " (or the option base_url) to it",
    )


def _host(address: str) -> str:
    try:
        return urlsplit(address).netloc.rpartition("@")[2]
    except ValueError:
        return ""


def _status_kind(error: anthropic.APIStatusError) -> FaultKind:
    # An error event in a stream comes with status 200, so the error's type is checked first.
    code, kind = error.status_code, str(error.type or "")
    message = f"{error.api_message or ''} {error}".lower()
    if any(words in f"{error.error_code} {kind} {message}" for words in _NO_MONEY):
        return "billing"
    if kind in {"rate_limit_error", "throttlingException"} or code == 429:
        return "rate_limit"
    if kind == "overloaded_error" or code == 529:
        return "overloaded"
    if kind == "authentication_error" or kind == "permission_error" or code in {401, 403}:
        return "auth"
    if kind == "billing_error" or code == 402:
        return "billing"
    if code in {405, 501} or (code == 404 and kind != "not_found_error" and "model" not in message):
        return "endpoint"
    if kind == "not_found_error" or code == 404:
        return "model"
    if code == 413 or (code in {200, 400} and any(words in message for words in _TOO_LONG)):
        return "context"
    if code >= 500 and any(words in message for words in _OF_THE_REQUEST):
        return "rejected"
    if code in {408, 409, 425, 502, 503, 504} or kind in {"timeout_error", "conflict_error"}:
        return "unavailable"
    if code >= 500 or kind == "api_error":
        return "server"
    if code == 200 and kind not in {"invalid_request_error", "validationException"}:
        # The request was accepted, so an unknown error in the stream is the server's fault.
        return "server"
    return "rejected"


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds from a retry-after header (milliseconds, seconds or a date).

    A date is compared with the server's own clock where the answer tells it, since this machine's
    may be wrong by hours. None without the header, or if it is not a finite time.
    """
    try:
        if (text := headers.get("retry-after-ms")) is not None:
            return _finite(float(text) / 1000)
        if (text := headers.get("retry-after")) is None:
            return None
        try:
            return _finite(float(text))
        except ValueError:
            return _finite(parsedate_to_datetime(text).timestamp() - _server_time(headers))
    except (ValueError, TypeError, OverflowError):
        return None


def _server_time(headers: Mapping[str, str]) -> float:
    """Seconds since 1970 by the clock of the server, or of this machine where it tells no date."""
    try:
        return parsedate_to_datetime(headers["date"]).timestamp()
    except (KeyError, ValueError, TypeError, OverflowError):
        return time.time()


def _finite(seconds: float) -> float | None:
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _text(error: BaseException) -> str:
    text = str(error)
    if (title := _TITLE.search(text)) is not None:  # a page of a gateway
        text = title[1]
    return " ".join(text.split()) or type(error).__name__
