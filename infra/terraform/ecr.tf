resource "aws_ecr_repository" "app" {
  name                 = local.name
  image_tag_mutability = "IMMUTABLE" # a tag is a commit, and stays what was scanned
  force_delete         = !var.deletion_protection

  image_scanning_configuration {
    scan_on_push = true
  }

  encryption_configuration {
    encryption_type = "KMS"
    kms_key         = aws_kms_key.data.arn
  }
}

# What runs was pushed among the last ones; thirty leave weeks to roll back to.
resource "aws_ecr_lifecycle_policy" "app" {
  repository = aws_ecr_repository.app.name

  policy = jsonencode({
    rules = [
      {
        rulePriority = 1
        description  = "Layers of pushes that were cut off"
        selection    = { tagStatus = "untagged", countType = "sinceImagePushed", countUnit = "days", countNumber = 1 }
        action       = { type = "expire" }
      },
      {
        rulePriority = 2
        description  = "All but the newest thirty images"
        selection    = { tagStatus = "any", countType = "imageCountMoreThan", countNumber = 30 }
        action       = { type = "expire" }
      },
    ]
  })
}

# Which image is deployed. The deploy script writes it after a good deploy and Terraform only reads it,
# so that a plan weeks later never turns the image back.
resource "aws_ssm_parameter" "image" {
  #checkov:skip=CKV2_AWS_34: The name of an image is no secret; every task definition shows it.
  name        = "/${local.name}/image"
  description = "The image that is deployed; written by the deploy script"
  type        = "String"
  value       = "${aws_ecr_repository.app.repository_url}:${var.initial_image_tag}"

  lifecycle {
    ignore_changes = [value]
  }
}
