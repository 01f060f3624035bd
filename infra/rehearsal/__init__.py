"""The rehearsal of a deployment against a stand-in for AWS: `python -m infra.rehearsal --help`."""
