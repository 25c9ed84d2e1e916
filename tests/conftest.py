"""Settings of every test."""

from __future__ import annotations

import hypothesis

from jacbench import environment

# before any test imports NumPy: on a small or busy machine two threads per product cost far more
# than they give (66 s against 2.4 s for one cell)
environment.pin(1)

# a busy machine is no failure: nothing here is a test of time
hypothesis.settings.register_profile("jacbench", deadline=None)
hypothesis.settings.load_profile("jacbench")
