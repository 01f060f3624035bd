# What an operator would add to dev.tfvars or prod.tfvars; the tests and checkov plan with it.
region            = "us-east-1"
certificate_arn   = "arn:aws:acm:us-east-1:123456789012:certificate/00000000-0000-0000-0000-000000000000"
domain_names      = ["api.example.com"]
alarm_emails      = ["operations@example.com"]
github_repository = "example/mms-api"
state_bucket      = "example-mms-state"

settings        = { ALLOWED_PAIRS = "BRLBTC,BRLETH" }
secret_settings = { COINGECKO_API_KEY = ["api", "collector"] }
