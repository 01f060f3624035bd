# What Terraform itself needs from GitHub: `plan` reads, `apply` (iam_apply.tf) also changes.

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
    "ssm:DescribeParameters", "ssm:ListTagsForResource",
    "sts:GetCallerIdentity",
  ]

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

  # To see that a secret's version is there, the provider in use (5.100) reads its value; it keeps nothing of
  # it. A later one (6.x) asks for the versions' numbers instead: with it RefreshSecrets and
  # DecryptSecrets can go. Until then whoever may plan could read the database's password and the cache's
  # secret, which open nothing from outside of the VPC.
  refresh_statements = [
    {
      Sid      = "Read"
      Effect   = "Allow"
      Action   = local.terraform_reads
      Resource = "*"
    },
    {
      Sid      = "ReadImage"
      Effect   = "Allow"
      Action   = ["ssm:GetParameter", "ssm:GetParameters"]
      Resource = aws_ssm_parameter.image.arn
    },
    {
      Sid      = "RefreshSecrets"
      Effect   = "Allow"
      Action   = "secretsmanager:GetSecretValue"
      Resource = [aws_secretsmanager_secret.database_password.arn, aws_secretsmanager_secret.cache_secret.arn]
    },
    {
      Sid       = "DecryptSecrets"
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
      # The plan that is shown waits beside the state for its approval. Its SHA-256 goes another way, so a
      # plan that is put there in its place is not applied.
      for bucket in var.state_bucket[*] : {
        Sid      = "KeepPlan"
        Effect   = "Allow"
        Action   = "s3:PutObject"
        Resource = "arn:${local.partition}:s3:::${bucket}/${local.name}/plans/*.tfplan"
      }
    ])
  })
}
