"""Sessions and their devices as metrics for Prometheus, and a dashboard for Grafana.

Needs the extra `metrics` (prometheus-client). Metrics are read from the session folders at each
scrape; no engine knows of it.
"""
