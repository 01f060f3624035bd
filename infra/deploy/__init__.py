"""The deployment of a new image to ECS: `python -m infra.deploy --help`."""
