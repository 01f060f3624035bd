# What Terraform itself needs from GitHub: `plan` reads, `apply` also changes what these files hold.

locals {
  terraform_reads = [
    "application-autoscaling:Describe*", "application-autoscaling:ListTagsForResource",
    "budgets:ListTagsForResource", "budgets:ViewBudget",
    "cloudwatch:Describe*", "cloudwatch:GetDashboard", "cloudwatch:ListTagsForResource",
    "ec2:Describe*",
    "ecr:Describe*", "ecr:GetLifecyclePolicy", "ecr:ListTagsForResource",
    "ecs:Describe*", "ecs:List*",
    "elasticache:Describe*", "elasticache:ListTagsForResource",
    "elasticloadbalancing:Describe*",
    "iam:Get*", "iam:List*",
    "kms:DescribeKey", "kms:Get*", "kms:List*",
    "logs:Describe*", "logs:ListTagsForResource",
    "rds:Describe*", "rds:ListTagsForResource",
    "scheduler:Get*", "scheduler:List*",
    "secretsmanager:DescribeSecret", "secretsmanager:GetResourcePolicy",
    "sns:Get*", "sns:List*",
    "sqs:Get*", "sqs:List*",
    "ssm:DescribeParameters", "ssm:GetParameter", "ssm:GetParameters", "ssm:ListTagsForResource",
    "sts:GetCallerIdentity",
  ]

  # Everything that these files hold, but for roles and policies: those are below, one by one.
  terraform_services = [
    "application-autoscaling:*", "budgets:*", "cloudwatch:*", "ec2:*", "ecr:*", "ecs:*", "elasticache:*",
    "elasticloadbalancing:*", "kms:*", "logs:*", "rds:*", "scheduler:*", "secretsmanager:*", "sns:*", "sqs:*",
    "ssm:*",
  ]

  role_arns = "arn:${local.partition}:iam::${local.account}:role/${local.name}-*"

  state_statements = flatten([for bucket in var.state_bucket[*] : [
    {
      Sid       = "FindState"
      Effect    = "Allow"
      Action    = "s3:ListBucket"
      Resource  = "arn:${local.partition}:s3:::${bucket}"
      Condition = { StringLike = { "s3:prefix" = "${local.name}/*" } }
    },
    {
      Sid      = "LockState"
      Effect   = "Allow"
      Action   = ["s3:DeleteObject", "s3:GetObject", "s3:PutObject"]
      Resource = "arn:${local.partition}:s3:::${bucket}/${local.name}/terraform.tfstate.tflock"
    },
  ]])

  # To see that a secret's version is there, this provider reads it; it keeps nothing of the value.
  refresh_statements = [
    {
      Sid      = "Read"
      Effect   = "Allow"
      Action   = local.terraform_reads
      Resource = "*"
    },
    {
      Sid      = "RefreshPassword"
      Effect   = "Allow"
      Action   = "secretsmanager:GetSecretValue"
      Resource = aws_secretsmanager_secret.database_password.arn
    },
    {
      Sid       = "DecryptPassword"
      Effect    = "Allow"
      Action    = "kms:Decrypt"
      Resource  = aws_kms_key.data.arn
      Condition = { StringEquals = { "kms:ViaService" = "secretsmanager.${var.region}.amazonaws.com" } }
    },
  ]
}

resource "aws_iam_role_policy" "plan" {
  for_each = { for name, role in aws_iam_role.github : name => role.id if name == "plan" }

  name = "plan"
  role = each.value

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(local.refresh_statements, local.state_statements, [
      for bucket in var.state_bucket[*] : {
        Sid      = "ReadState"
        Effect   = "Allow"
        Action   = "s3:GetObject"
        Resource = "arn:${local.partition}:s3:::${bucket}/${local.name}/terraform.tfstate"
      }
      ], [
      # The plan that is shown waits beside the state for its approval.
      for bucket in var.state_bucket[*] : {
        Sid      = "KeepPlan"
        Effect   = "Allow"
        Action   = "s3:PutObject"
        Resource = "arn:${local.partition}:s3:::${bucket}/${local.name}/plans/*"
      }
    ])
  })
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
        Action   = ["s3:DeleteObject", "s3:GetObject"]
        Resource = "arn:${local.partition}:s3:::${bucket}/${local.name}/plans/*"
      }
      ], [
      {
        Sid       = "Change"
        Effect    = "Allow"
        Action    = local.terraform_services
        Resource  = "*"
        Condition = { StringEquals = { "aws:RequestedRegion" = [var.region, "us-east-1"] } } # budgets live in us-east-1
      },
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
