"""Serves metrics over HTTP, or writes them once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files

from prometheus_client import CollectorRegistry, generate_latest, start_http_server
from prometheus_client.registry import Collector


def text(collector: Collector) -> str:
    """The metrics in Prometheus' text format."""
    registry = CollectorRegistry()
    registry.register(collector)
    return generate_latest(registry).decode()


@contextmanager
def served(collector: Collector, host: str, port: int) -> Iterator[int]:
    """Serves `/metrics` in a thread; gives the port, which is chosen where `port` is 0.

    Raises OSError where the address cannot be taken.
    """
    registry = CollectorRegistry()
    registry.register(collector)
    server, thread = start_http_server(port, addr=host, registry=registry)
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def dashboard() -> str:
    """A dashboard for Grafana, as JSON to import; it asks for the Prometheus data source."""
    return files(__package__).joinpath("grafana.json").read_text("utf-8")
