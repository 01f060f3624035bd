"""What the service promises when things go wrong, measured; `docs/reliability.md` has the figures."""
