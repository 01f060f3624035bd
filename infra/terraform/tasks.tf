# One image, six kinds of task: the container's command says which. The deploy script registers new
# revisions of the same families with the image it ships; the schedules run the newest revision.

locals {
  api_port = 8000

  tasks = {
    api = {
      command = ["api"]
      size    = { cpu = var.api_cpu, memory = var.api_memory }
      group   = "api"
    }
    collector = {
      command = ["collect"]
      size    = { cpu = var.worker_cpu, memory = var.worker_memory }
      group   = "worker"
    }
    migrate = {
      command = ["migrate"]
      size    = { cpu = var.worker_cpu, memory = var.worker_memory }
      group   = "migrate"
    }
    initial-load = {
      command = ["initial-load"]
      size    = { cpu = var.worker_cpu, memory = var.worker_memory }
      group   = "worker"
    }
    incremental = {
      command = ["incremental"]
      size    = { cpu = var.worker_cpu, memory = var.worker_memory }
      group   = "worker"
    }
    monitor = {
      command = ["monitor", "--repair"] # a load that failed at midnight is made up for within the hour
      size    = { cpu = var.worker_cpu, memory = var.worker_memory }
      group   = "worker"
    }
  }

  # ENV is prod in every environment: here the migration is a task of its own, never a side effect of a
  # start. DB_URL holds no password; libpq takes that from PGPASSWORD, which comes from the secret.
  environment = {
    for name, task in local.tasks : name => merge(
      name == "api" ? local.access : {},
      var.settings,
      {
        ENV        = "prod"
        LOG_FORMAT = "json" # what the metric filters read
        DB_URL     = local.database_url
      },
      name == "api" ? local.served : {},
      name == "api" && var.database_replica ? { DB_READ_URL = local.database_read_url } : {},
      name == "migrate" ? {} : { CACHE_URL = local.cache_url },
    )
  }

  # What `settings` may change. Without a key nobody could send a POST, and the API would not start. A browser
  # that came by HTTPS once may keep to it: HTTP only redirects.
  access = {
    COLLECT_ACCESS = contains(keys(var.secret_settings), "API_KEYS") ? "key" : "off"
    HSTS_SECONDS   = var.enable_load_balancer && var.certificate_arn != null ? "31536000" : "0"
  }

  # Without a load balancer whoever asks does so by a task's address, which is no name to be refused.
  served = merge(
    {
      HOST          = "0.0.0.0"
      PORT          = tostring(local.api_port)
      ALLOWED_HOSTS = join(",", coalescelist(var.domain_names, aws_lb.main[*].dns_name, ["localhost"]))
    },
    # The load balancer's addresses change, within its subnets; nothing else of ours is in these.
    var.enable_load_balancer ? { TRUSTED_PROXIES = join(",", local.public_cidrs) } : {},
  )

  # The settings of each task that come from Secrets Manager, each with the address of its value.
  secrets = {
    for name, task in local.tasks : name => merge(
      { PGPASSWORD = aws_secretsmanager_secret.database_password.arn },
      name == "migrate" ? {} : { CACHE_SECRET = aws_secretsmanager_secret.cache_secret.arn },
      {
        for setting, users in var.secret_settings :
        setting => aws_secretsmanager_secret.setting[setting].arn if contains(users, name)
      },
    )
  }
}

locals {
  # What only the container that serves has.
  api_container = {
    portMappings = [{ containerPort = local.api_port, hostPort = local.api_port, protocol = "tcp" }]

    # Four fifths of it are connections (MAX_CONNECTIONS, MAX_STREAMS), which have to fit into the memory.
    ulimits = [{ name = "nofile", softLimit = 8192, hardLimit = 8192 }]

    # Is the process alive? Whether its database answers is the load balancer's question.
    healthCheck = {
      command     = ["CMD", "python", "-I", "-S", "/opt/mms/healthcheck.py"]
      interval    = 15
      timeout     = 5
      retries     = 3
      startPeriod = 30
    }
  }
}

resource "aws_ecs_task_definition" "task" {
  for_each = local.tasks

  family                   = "${local.name}-${each.key}"
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = each.value.size.cpu
  memory                   = each.value.size.memory
  execution_role_arn       = aws_iam_role.execution[each.key].arn
  skip_destroy             = true # an older revision must stay there to roll back to
  track_latest             = true # which is the deploy script's: after a deploy there is nothing to plan

  # No task_role_arn: the application calls nothing of AWS, so its containers get no credentials.

  runtime_platform {
    operating_system_family = "LINUX"
    cpu_architecture        = "X86_64" # what `make image-publish` builds for
  }

  container_definitions = jsonencode([merge(
    {
      name                   = each.key
      image                  = nonsensitive(aws_ssm_parameter.image.value)
      command                = each.value.command
      essential              = true
      user                   = "10001:10001"
      readonlyRootFilesystem = true
      stopTimeout            = 30
      linuxParameters        = { capabilities = { drop = ["ALL"] } }
      portMappings           = []
      environment = [
        for setting, value in local.environment[each.key] : { name = setting, value = value }
      ]
      secrets = [
        for setting, address in local.secrets[each.key] : { name = setting, valueFrom = address }
      ]
      logConfiguration = {
        logDriver = "awslogs"
        options = {
          awslogs-group         = aws_cloudwatch_log_group.task[each.key].name
          awslogs-region        = var.region
          awslogs-stream-prefix = "task"
        }
      }
    },
    { for part, value in local.api_container : part => value if each.key == "api" },
  )])
}
