# How GitHub Actions gets in: with a token that GitHub signs for one job of one repository in one of its
# environments, never with a stored key. Made only where github_repository is given.
#
# A token's subject is compared whole. Repositories that were made, renamed or moved since 15 July 2026
# have the numbers of owner and repository in it, which nobody else ever gets: repo:owner@1/name@2:…
#
#   plan     environment <environment>-plan   reads what is there
#   apply    environment <environment>        changes it, within the boundary; put an approval in front
#   deploy   environment <environment>        pushes an image and ships it

locals {
  github_host = "token.actions.githubusercontent.com"

  github_roles = var.github_repository == null ? {} : {
    plan   = "${var.environment}-plan"
    apply  = var.environment
    deploy = var.environment
  }

  github_provider_arn = try(aws_iam_openid_connect_provider.github[0].arn, var.github_oidc_provider_arn)
}

resource "aws_iam_openid_connect_provider" "github" {
  count = var.github_repository != null && var.github_oidc_provider_arn == null ? 1 : 0

  url            = "https://${local.github_host}"
  client_id_list = ["sts.amazonaws.com"]
}

resource "aws_iam_role" "github" {
  for_each = local.github_roles

  name        = "${local.name}-github-${each.key}"
  description = "${each.key} from ${var.github_repository}"

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Federated = local.github_provider_arn }
      Action    = "sts:AssumeRoleWithWebIdentity"
      Condition = {
        StringEquals = {
          "${local.github_host}:aud" = "sts.amazonaws.com"
          "${local.github_host}:sub" = "repo:${var.github_repository}:environment:${each.value}"
        }
      }
    }]
  })
}
