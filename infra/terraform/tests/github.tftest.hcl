# GitHub's jobs get in from one repository and one environment, and cannot widen their own rights.

mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  github_repository = "example/mms-api"
  state_bucket      = "example-mms-state"
}

run "only_the_repositorys_environment_gets_in" {
  command = apply

  assert {
    condition     = toset(keys(aws_iam_role.github)) == toset(["plan", "apply", "deploy"])
    error_message = "GitHub has other roles than plan, apply and deploy."
  }

  assert {
    condition = { for name, role in aws_iam_role.github : name => jsondecode(role.assume_role_policy).Statement[0].Condition.StringEquals["token.actions.githubusercontent.com:sub"] } == {
      plan   = "repo:example/mms-api:environment:${var.environment}-plan"
      apply  = "repo:example/mms-api:environment:${var.environment}"
      deploy = "repo:example/mms-api:environment:${var.environment}"
    }
    error_message = "A role lets in another repository or environment."
  }

  assert {
    condition     = alltrue([for role in aws_iam_role.github : jsondecode(role.assume_role_policy).Statement[0].Condition.StringEquals["token.actions.githubusercontent.com:aud"] == "sts.amazonaws.com"])
    error_message = "A role takes tokens that were made for somebody else."
  }

  assert {
    condition     = alltrue([for role in aws_iam_role.github : length(jsondecode(role.assume_role_policy).Statement) == 1 && keys(jsondecode(role.assume_role_policy).Statement[0].Condition) == ["StringEquals"]])
    error_message = "A role has a second door."
  }

  assert {
    condition = alltrue([
      for statement in jsondecode(aws_iam_role_policy.deploy["deploy"].policy).Statement :
      !can(regex("secretsmanager|iam:(Put|Create|Attach|Update|Delete)", jsonencode(statement.Action)))
    ])
    error_message = "The deploy role reads secrets or changes roles."
  }

  assert {
    condition = toset(flatten([
      for statement in jsondecode(aws_iam_role_policy.deploy["deploy"].policy).Statement : statement.Action if statement.Resource == "*"
      ])) == toset([
      "ecr:GetAuthorizationToken", "ecs:DeregisterTaskDefinition", "ecs:DescribeTaskDefinition",
      "ecs:ListTasks", "ecs:RegisterTaskDefinition",
    ])
    error_message = "The deploy role may do more everywhere than AWS makes necessary."
  }

  assert {
    condition = alltrue([
      for statement in jsondecode(aws_iam_role_policy.plan["plan"].policy).Statement : alltrue([
        for action in flatten([statement.Action]) : can(regex(":(Describe|Get|List|View)", action)) || contains(["DecryptSecrets", "KeepPlan", "LockState"], statement.Sid)
      ])
    ])
    error_message = "The plan role changes something."
  }

  assert {
    condition = [
      for statement in jsondecode(aws_iam_role_policy.plan["plan"].policy).Statement : statement.Resource if contains(flatten([statement.Action]), "s3:PutObject")
      ] == [
      "arn:aws:s3:::example-mms-state/mms-${var.environment}/terraform.tfstate.tflock",
      "arn:aws:s3:::example-mms-state/mms-${var.environment}/plans/*.tfplan",
    ]
    error_message = "The plan role writes something else than its lock and its plans, such as that a plan has been applied."
  }

  assert {
    condition     = one([for statement in jsondecode(aws_iam_role_policy.apply["apply"].policy).Statement : statement if statement.Sid == "MakeBoundedRoles"]).Condition.StringEquals["iam:PermissionsBoundary"] == aws_iam_policy.boundary.arn
    error_message = "The apply role makes roles without the boundary."
  }

  assert {
    condition     = contains(one([for statement in jsondecode(aws_iam_role_policy.apply["apply"].policy).Statement : statement if statement.Sid == "NotItself"]).Resource, aws_iam_policy.boundary.arn)
    error_message = "The apply role may change its own boundary."
  }

  assert {
    condition = toset(flatten([
      for statement in jsondecode(aws_iam_role_policy.apply["apply"].policy).Statement : statement.Action
      if statement.Effect == "Allow" && contains(flatten([statement.Resource]), "*")
    ])) == toset(concat(local.terraform_reads, local.nameless))
    error_message = "The apply role may do more everywhere than AWS makes necessary."
  }

  assert {
    condition = alltrue([
      for address in flatten([for statement in jsondecode(aws_iam_role_policy.apply["apply"].policy).Statement : statement.Resource if startswith(statement.Sid, "Named") || startswith(statement.Sid, "Regionless")]) :
      strcontains(address, local.name) || can(regex(":(og|parametergroup):default[:.]|:key/[^*]+$", address))
    ])
    error_message = "The apply role changes what has another name."
  }

  assert {
    condition     = toset(one([for statement in jsondecode(aws_iam_role_policy.apply["apply"].policy).Statement : statement if statement.Sid == "NoWayIn"]).Action) == toset(["ecs:ExecuteCommand", "ssm:SendCommand", "ssm:StartSession"])
    error_message = "The apply role may enter a container or a machine."
  }

  assert {
    condition     = alltrue([for policy in [aws_iam_role_policy.plan["plan"], aws_iam_role_policy.apply["apply"], aws_iam_role_policy.deploy["deploy"]] : length(policy.policy) <= 10240])
    error_message = "A role's policy is longer than AWS takes."
  }
}

run "a_provider_that_the_account_has_is_used" {
  command = plan

  variables {
    github_oidc_provider_arn = "arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com"
  }

  assert {
    condition     = length(aws_iam_openid_connect_provider.github) == 0 && length(aws_iam_role.github) == 3
    error_message = "A second provider is made, which AWS refuses."
  }
}

run "a_repository_with_numbers_gets_in_by_them" {
  command = plan

  variables {
    github_repository        = "example@123456/mms-api@456789"
    github_oidc_provider_arn = "arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com"
  }

  assert {
    condition     = jsondecode(aws_iam_role.github["deploy"].assume_role_policy).Statement[0].Condition.StringEquals["token.actions.githubusercontent.com:sub"] == "repo:example@123456/mms-api@456789:environment:${var.environment}"
    error_message = "The subject is not the one that GitHub puts into the token of a repository with numbers."
  }
}

run "without_a_repository_nobody_gets_in" {
  command = plan

  variables {
    github_repository = null
  }

  assert {
    condition     = length(aws_iam_openid_connect_provider.github) + length(aws_iam_role.github) == 0
    error_message = "A door for GitHub is made for no repository."
  }
}
