"""Tells from an exception of the SDK or its transport which fault it is."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

import anthropic
import httpx2

from avo_tui.operators.agent.faults import Fault, FaultKind

_TOO_LONG = (
    "prompt is too long",
    "context window",
    "maximum context",
    "context length",
    "too long",
)
_OPTIONAL = (
    "context_management",
    "anthropic-beta",
    "beta",
    "compact",
    "thinking",
    "display",
    "adaptive",
    "effort",
    "output_config",
    "cache_control",
    "extra inputs",
    "extra fields",
    "unknown field",
    "unexpected",
    "signature",
)


def classify(error: BaseException) -> Fault | None:
    """The fault behind an exception of the SDK or its transport; None if it is none of theirs."""
    if isinstance(error, Fault):
        return error
    if isinstance(error, anthropic.APIStatusError):
        return _status(error)
    if isinstance(error, anthropic.APITimeoutError | httpx2.TimeoutException):
        return Fault("timeout", "no answer from the model's server in time")
    if isinstance(error, anthropic.APIResponseValidationError):
        return Fault("malformed", f"the answer cannot be read: {_short(error)}")
    if isinstance(error, anthropic.APIConnectionError):
        cause = error.__cause__
        return Fault("connection", f"no connection to the model's server: {_short(cause or error)}")
    if isinstance(error, httpx2.TransportError):
        return Fault("connection", f"the connection was lost in mid-stream: {_short(error)}")
    if isinstance(error, anthropic.CredentialsError):
        return Fault("auth", f"credentials: {_short(error)}")
    if isinstance(error, TypeError) and "authentication" in str(error):
        return Fault("auth", "no credentials for the model's server")
    if isinstance(error, json.JSONDecodeError | UnicodeDecodeError):
        return Fault("malformed", f"the stream is not valid: {_short(error)}")
    if isinstance(error, ValueError) and "tool parameter JSON" in str(error):
        return Fault("malformed", "the arguments of a tool call were not valid JSON")
    if isinstance(error, RuntimeError) and "event order" in str(error):
        return Fault("malformed", f"the stream is out of order: {_short(error)}")
    if isinstance(error, IndexError | AttributeError | KeyError | AssertionError):
        return Fault("malformed", f"the stream is out of order: {type(error).__name__}")
    return None


def _status(error: anthropic.APIStatusError) -> Fault:
    kind = _status_kind(error)
    what = {
        "rate_limit": "rate limit",
        "overloaded": "the model's server is overloaded",
        "server": "the model's server failed",
        "auth": "the server refused the credentials",
        "billing": "the account cannot pay",
        "model": "the server knows no such model or address",
        "context": "the conversation does not fit the model's context",
    }.get(kind, "the server refused the request")
    message = error.api_message or _short(error)
    status = f" ({error.status_code})" if error.status_code >= 400 else ""
    return Fault(kind, f"{what}{status}: {message}", retry_after(error.response.headers))


def _status_kind(error: anthropic.APIStatusError) -> FaultKind:
    # An error event after a 200 has status 200, so the type comes first.
    code, kind = error.status_code, str(error.type or "")
    message = f"{error.api_message or ''} {error}".lower()
    if "spend_limit" in str(error.error_code or "") or "credit balance" in message:
        return "billing"
    if kind == "rate_limit_error" or code == 429:
        return "rate_limit"
    if kind == "overloaded_error" or code == 529:
        return "overloaded"
    if kind == "authentication_error" or kind == "permission_error" or code in {401, 403}:
        return "auth"
    if kind == "billing_error" or code == 402:
        return "billing"
    if kind == "not_found_error" or code == 404:
        return "model"
    if code == 413 or (code in {200, 400} and any(words in message for words in _TOO_LONG)):
        return "context"
    if (
        code >= 500
        or kind in {"api_error", "timeout_error", "conflict_error"}
        or code in {408, 409}
    ):
        return "server"
    if any(words in message for words in _OPTIONAL):
        return "unsupported"
    return "rejected"


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds from a retry-after header (milliseconds, seconds or a date); None without one."""
    try:
        if (text := headers.get("retry-after-ms")) is not None:
            return max(0.0, float(text) / 1000)
        if (text := headers.get("retry-after")) is None:
            return None
        try:
            return max(0.0, float(text))
        except ValueError:
            return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, TypeError):
        return None


def _short(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 300 else text[:299] + "…"
