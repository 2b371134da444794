"""Makes this folder importable: builders that several tests share lie beside this file."""

import os

from hypothesis import HealthCheck, settings

# torch's threads wait actively for each other: with a test on every processor that is lost time
os.environ.setdefault("OMP_NUM_THREADS", "1")

# machines that run several things at once are slow at times; that is no finding
settings.register_profile("avo", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("avo")
