# Write-only arguments (the database's password) and lock files in S3 need Terraform 1.11.
terraform {
  required_version = ">= 1.11.0, < 2.0.0"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 5.100"
    }
  }

  # Bucket, key and region are given at `terraform init`, one key an environment: docs/deploying-aws.md.
  backend "s3" {
    encrypt      = true
    use_lockfile = true
  }
}
