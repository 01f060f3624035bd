"""Measurements of what the service promises when things go wrong: docs/reliability.md."""
