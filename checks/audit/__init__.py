"""What `make audit` looks at: workflows, their schemas, and secrets in the history."""
