"""Makes this folder importable: builders that several tests share lie beside this file."""

from hypothesis import HealthCheck, settings

# machines that run several things at once are slow at times; that is no finding
settings.register_profile("avo", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("avo")
