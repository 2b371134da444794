"""A log formatter that removes secrets; `avo_tui.domain.secrets` defines what a secret is."""

from __future__ import annotations

import logging

from avo_tui.domain.secrets import redact


class RedactingFormatter(logging.Formatter):
    """Formats log records, tracebacks included, without secrets."""

    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record))
