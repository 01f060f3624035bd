"""`make infra-check`: the Terraform of infra/terraform, planned, asserted and scanned offline."""
