"""``python -m benchmark`` lists its commands."""

from __future__ import annotations

from benchmark.core.commands import show

show("benchmark")
