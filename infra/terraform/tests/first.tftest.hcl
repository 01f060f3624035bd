
mock_provider "aws" {
  mock_data "aws_availability_zones" {
    defaults = { names = ["us-east-1a", "us-east-1b", "us-east-1c"] }
  }
  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }
  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }
}
run "x" {
  command = apply
  variables {
    environment = "dev"
  }
  assert {
    condition     = aws_secretsmanager_secret_version.database_password.secret_string_wo == null
    error_message = "no"
  }
}
