"""What `make audit` looks at: workflows, their schemas, secrets in the history, packages."""
