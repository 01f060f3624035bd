# What `make image-publish`, `make image-scan` and `make deploy` call, and nothing else (tests/house compares
# the two): it cannot read a secret, and passes the tasks' own roles only.

resource "aws_iam_role_policy" "deploy" {
  for_each = { for name, role in aws_iam_role.github : name => role.id if name == "deploy" }

  name = "deploy"
  role = each.value

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        # These know no narrower resource. Deregistering takes back what a failed deploy registered.
        Sid    = "WithoutResource"
        Effect = "Allow"
        Action = [
          "ecr:GetAuthorizationToken", "ecs:DeregisterTaskDefinition", "ecs:DescribeTaskDefinition",
          "ecs:RegisterTaskDefinition",
        ]
        Resource = "*"
      },
      {
        Sid    = "PushImage"
        Effect = "Allow"
        Action = [
          "ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:CompleteLayerUpload",
          "ecr:DescribeImageScanFindings", "ecr:GetDownloadUrlForLayer", "ecr:InitiateLayerUpload",
          "ecr:PutImage", "ecr:UploadLayerPart",
        ]
        Resource = aws_ecr_repository.app.arn
      },
      {
        Sid      = "TagRevisions"
        Effect   = "Allow"
        Action   = "ecs:TagResource"
        Resource = [for arn in values(local.family_arns) : "${arn}:*"]
      },
      {
        Sid       = "RunOnce"
        Effect    = "Allow"
        Action    = "ecs:RunTask"
        Resource  = "${local.family_arns["migrate"]}:*"
        Condition = { ArnEquals = { "ecs:cluster" = aws_ecs_cluster.main.arn } }
      },
      {
        Sid       = "ListTasks"
        Effect    = "Allow"
        Action    = "ecs:ListTasks"
        Resource  = "*"
        Condition = { ArnEquals = { "ecs:cluster" = aws_ecs_cluster.main.arn } }
      },
      {
        Sid      = "WatchTasks"
        Effect   = "Allow"
        Action   = ["ecs:DescribeTasks", "ecs:StopTask"]
        Resource = "arn:${local.partition}:ecs:${var.region}:${local.account}:task/${local.name}/*"
      },
      {
        Sid      = "MoveServices"
        Effect   = "Allow"
        Action   = ["ecs:DescribeClusters", "ecs:DescribeServices", "ecs:UpdateService"]
        Resource = [aws_ecs_cluster.main.arn, aws_ecs_service.api.id, aws_ecs_service.collector.id]
      },
      {
        Sid       = "PassExecutionRoles"
        Effect    = "Allow"
        Action    = "iam:PassRole"
        Resource  = [for role in aws_iam_role.execution : role.arn]
        Condition = { StringEquals = { "iam:PassedToService" = "ecs-tasks.amazonaws.com" } }
      },
      {
        Sid      = "RecordImage"
        Effect   = "Allow"
        Action   = "ssm:PutParameter"
        Resource = aws_ssm_parameter.image.arn
      },
      {
        Sid      = "ReadLogs"
        Effect   = "Allow"
        Action   = "logs:GetLogEvents"
        Resource = [for group in aws_cloudwatch_log_group.task : "${group.arn}:*"]
      },
    ]
  })
}
