# A value that cannot be used is refused before anything is planned, each with its own message.

mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  environment     = "prod"
  region          = "us-east-1"
  certificate_arn = "arn:aws:acm:us-east-1:123456789012:certificate/00000000-0000-0000-0000-000000000000"
  domain_names    = ["api.example.com"]
}

run "refused_where_and_how_big" {
  command = plan

  variables {
    region                    = "Frankfurt"
    zones                     = ["a", "a"]
    vpc_cidr                  = "10.0.0.0/28"
    nat_gateways              = 0
    interface_endpoint_zones  = 3
    allowed_cidrs             = ["everyone"]
    api_cpu                   = 300
    api_min_tasks             = 0
    api_cpu_target            = 100
    worker_cpu                = 128
    cache_nodes               = 0
    cache_node_type           = "t4g.micro"
    database_version          = "9.6"
    database_class            = "t4g.small"
    database_storage_gb       = 5
    database_backup_days      = 36
    database_password_version = 0
    cache_secret_version      = 0
    log_retention_days        = 10
  }

  expect_failures = [
    var.region,
    var.zones,
    var.vpc_cidr,
    var.nat_gateways,
    var.interface_endpoint_zones,
    var.allowed_cidrs,
    var.api_cpu,
    var.api_min_tasks,
    var.api_cpu_target,
    var.worker_cpu,
    var.cache_nodes,
    var.cache_node_type,
    var.database_version,
    var.database_class,
    var.database_storage_gb,
    var.database_backup_days,
    var.database_password_version,
    var.cache_secret_version,
    var.log_retention_days,
  ]
}

run "refused_who_and_when" {
  command = plan

  variables {
    environment              = "production"
    domain_names             = ["https://api.example.com"]
    incremental_schedule     = "5 0 * * *"
    monitor_schedule         = "hourly"
    monitor_silent_hours     = 1
    initial_image_tag        = "latest"
    alarm_emails             = ["operations"]
    latency_alarm_seconds    = 0
    monthly_budget_usd       = -1
    github_repository        = "example/*"
    github_oidc_provider_arn = "arn:aws:iam::123456789012:oidc-provider/example.com"
    state_bucket             = "Not A Bucket"
    settings                 = { allowed_pairs = "BRLBTC" }
    secret_settings          = { COINGECKO_API_KEY = ["everyone"] }
  }

  expect_failures = [
    var.environment,
    var.domain_names,
    var.incremental_schedule,
    var.monitor_schedule,
    var.monitor_silent_hours,
    var.initial_image_tag,
    var.alarm_emails,
    var.latency_alarm_seconds,
    var.monthly_budget_usd,
    var.github_repository,
    var.github_oidc_provider_arn,
    var.state_bucket,
    var.settings,
    var.secret_settings,
  ]
}

run "refused_what_does_not_fit_together" {
  command = plan

  variables {
    certificate_arn         = "arn:aws:acm:eu-west-1:123456789012:certificate/00000000-0000-0000-0000-000000000000"
    deletion_protection     = false
    settings                = { TRUSTED_PROXIES = "0.0.0.0/0" }
    secret_settings         = { PGPASSWORD = ["api"] }
    api_min_tasks           = 1
    api_memory              = 512
    worker_memory           = 1536
    database_max_storage_gb = 20
    database_backup_days    = 1
    github_repository       = "example@123456/mms-api"
  }

  expect_failures = [
    var.certificate_arn,
    var.deletion_protection,
    var.settings,
    var.secret_settings,
    var.api_min_tasks,
    var.api_memory,
    var.worker_memory,
    var.database_max_storage_gb,
    var.database_backup_days,
    var.github_repository,
  ]
}

run "refused_a_certificate_without_its_names" {
  command = plan

  variables {
    domain_names = []
  }

  expect_failures = [
    var.domain_names,
  ]
}

run "refused_secrets_in_plain_settings" {
  command = plan

  variables {
    api_max_tasks   = 1
    settings        = { COINGECKO_API_KEY = "no-place-for-it" }
    secret_settings = { COINGECKO_API_KEY = [] }
  }

  expect_failures = [
    var.api_max_tasks,
    var.settings,
    var.secret_settings,
  ]
}

run "refused_prices_slower_than_their_alarm" {
  command = plan

  variables {
    settings = { PRICE_POLL_SECONDS = "3600" }
  }

  expect_failures = [
    var.settings,
  ]
}

run "refused_keys_for_who_checks_none" {
  command = plan

  variables {
    secret_settings = { API_KEYS = ["api", "collector"] }
  }

  expect_failures = [
    var.secret_settings,
  ]
}

run "refused_a_cache_secret_of_ones_own" {
  command = plan

  variables {
    secret_settings = { CACHE_SECRET = ["api"] }
  }

  expect_failures = [
    var.secret_settings,
  ]
}

run "refused_a_post_that_nobody_may_send" {
  command = plan

  variables {
    collect_open = true
  }

  expect_failures = [
    var.collect_open,
  ]
}
