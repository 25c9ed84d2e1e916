"""Settings of every test."""

from __future__ import annotations

import hypothesis

# a busy machine is no failure: nothing here is a test of time
hypothesis.settings.register_profile("jacbench", deadline=None)
hypothesis.settings.load_profile("jacbench")
