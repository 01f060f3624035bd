# What `apply` may change from GitHub: what these files hold, by name wherever AWS lets a permission name it.
# Roles and policies are below, one by one. What has no name before it is made (a key) is an administrator's.

locals {
  role_arns = "arn:${local.partition}:iam::${local.account}:role/${local.name}-*"

  # Service to its resources, each the end of an ARN of this region and account.
  named = {
    cloudwatch  = ["alarm:${local.name}-*", "alarm:TargetTracking-service/${local.name}/*"] # the latter autoscaling's
    ecr         = ["repository/${local.name}"]
    ecs         = ["cluster/${local.name}", "service/${local.name}/*", "task/${local.name}/*", "task-definition/${local.name}-*:*"]
    elasticache = ["cluster:${local.name}", "subnetgroup:${local.name}", "parametergroup:default.*"]
    elasticloadbalancing = [
      "loadbalancer/app/${local.name}/*", "listener/app/${local.name}/*", "listener-rule/app/${local.name}/*",
      "targetgroup/${local.name}-*/*",
    ]
    kms            = ["key/${aws_kms_key.data.key_id}", "key/${aws_kms_key.operations.key_id}", "alias/${local.name}-*"]
    logs           = ["log-group:/${local.name}/*", "log-group:/aws/rds/instance/${local.name}*"]
    rds            = ["db:${local.name}*", "subgrp:${local.name}", "pg:${local.name}-*", "snapshot:${local.name}-*", "og:default:*"]
    scheduler      = ["schedule-group/${local.name}", "schedule/${local.name}/*"]
    secretsmanager = ["secret:${local.name}/*"]
    sns            = ["${local.name}-*"]
    sqs            = ["${local.name}-*"]
    ssm            = ["parameter/${local.name}/*"]
  }

  # Two kinds belong to no region.
  regionless = {
    budgets    = "budget/${local.name}-*"
    cloudwatch = "dashboard/${local.name}"
  }

  # AWS names none of these by what they change, or draws the name itself. Of EC2 it is the network alone:
  # no machine can be started.
  nameless = [
    "application-autoscaling:*",
    "ec2:*Address*", "ec2:*FlowLogs", "ec2:*InternetGateway*", "ec2:*NatGateway*", "ec2:*Route*",
    "ec2:*SecurityGroup*", "ec2:*Subnet*", "ec2:*Tags", "ec2:*Vpc*",
    "ecs:DeregisterTaskDefinition", "ecs:RegisterTaskDefinition",
    "sns:SetSubscriptionAttributes", "sns:Unsubscribe",
  ]

  change_statements = concat(
    [
      for service, names in local.named : {
        Sid      = "Named${service}"
        Effect   = "Allow"
        Action   = "${service}:*"
        Resource = [for name in names : "arn:${local.partition}:${service}:${var.region}:${local.account}:${name}"]
      }
    ],
    [
      for service, name in local.regionless : {
        Sid      = "Regionless${service}"
        Effect   = "Allow"
        Action   = "${service}:*"
        Resource = ["arn:${local.partition}:${service}::${local.account}:${name}"]
      }
    ],
    [
      {
        Sid       = "Nameless"
        Effect    = "Allow"
        Action    = local.nameless
        Resource  = ["*"]
        Condition = { StringEquals = { "aws:RequestedRegion" = [var.region] } }
      },
      {
        # Terraform never needs a way into a container or a machine.
        Sid      = "NoWayIn"
        Effect   = "Deny"
        Action   = ["ecs:ExecuteCommand", "ssm:SendCommand", "ssm:StartSession"]
        Resource = ["*"]
      },
    ],
  )
}

resource "aws_iam_role_policy" "apply" {
  for_each = { for name, role in aws_iam_role.github : name => role.id if name == "apply" }

  name = "apply"
  role = each.value

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(local.refresh_statements, local.state_statements, [
      for bucket in var.state_bucket[*] : {
        Sid      = "WriteState"
        Effect   = "Allow"
        Action   = ["s3:GetObject", "s3:PutObject"]
        Resource = "arn:${local.partition}:s3:::${bucket}/${local.name}/terraform.tfstate"
      }
      ], [
      for bucket in var.state_bucket[*] : {
        Sid      = "TakePlan"
        Effect   = "Allow"
        Action   = "s3:GetObject"
        Resource = "arn:${local.partition}:s3:::${bucket}/${local.name}/plans/*"
      }
      ], [
      for bucket in var.state_bucket[*] : {
        Sid      = "MarkPlan"
        Effect   = "Allow"
        Action   = "s3:PutObject"
        Resource = "arn:${local.partition}:s3:::${bucket}/${local.name}/plans/*.applied"
      }
      ], local.change_statements, [
      {
        Sid       = "MakeBoundedRoles"
        Effect    = "Allow"
        Action    = ["iam:AttachRolePolicy", "iam:CreateRole", "iam:DetachRolePolicy", "iam:DeleteRolePolicy", "iam:PutRolePolicy"]
        Resource  = local.role_arns
        Condition = { StringEquals = { "iam:PermissionsBoundary" = aws_iam_policy.boundary.arn } }
      },
      {
        Sid      = "KeepRoles"
        Effect   = "Allow"
        Action   = ["iam:DeleteRole", "iam:TagRole", "iam:UntagRole", "iam:UpdateAssumeRolePolicy", "iam:UpdateRole", "iam:UpdateRoleDescription"]
        Resource = local.role_arns
      },
      {
        Sid      = "PassRoles"
        Effect   = "Allow"
        Action   = "iam:PassRole"
        Resource = local.role_arns
        Condition = {
          StringEquals = {
            "iam:PassedToService" = [
              "ecs-tasks.amazonaws.com", "monitoring.rds.amazonaws.com", "scheduler.amazonaws.com",
              "vpc-flow-logs.amazonaws.com",
            ]
          }
        }
      },
      {
        # The roles that come from GitHub, and the boundary, are changed by an administrator only.
        Sid       = "NotItself"
        Effect    = "Deny"
        NotAction = ["iam:Get*", "iam:List*", "sts:*"]
        Resource = [
          "arn:${local.partition}:iam::${local.account}:role/${local.name}-github-*",
          aws_iam_policy.boundary.arn,
        ]
      },
    ])
  })
}
