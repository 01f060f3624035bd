provider "aws" {
  region = var.region

  default_tags {
    tags = merge(var.tags, {
      Project     = "mms-api"
      Environment = var.environment
      ManagedBy   = "terraform"
    })
  }
}

data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

locals {
  name      = "mms-${var.environment}"
  account   = data.aws_caller_identity.current.account_id
  partition = data.aws_partition.current.partition
  zones     = [for letter in var.zones : "${var.region}${letter}"]
}
