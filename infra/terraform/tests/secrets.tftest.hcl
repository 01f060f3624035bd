# Nothing secret is in a task definition, an output, a plan or the state.

mock_provider "aws" {
  source = "./tests/mocks"
}

run "no_plain_secret" {
  command = apply

  variables {
    secret_settings = { COINGECKO_API_KEY = ["api", "collector"] }
  }

  assert {
    condition     = aws_secretsmanager_secret_version.database_password.secret_string == null && aws_secretsmanager_secret_version.database_password.secret_binary == null
    error_message = "The state holds the password's secret."
  }

  assert {
    condition     = aws_secretsmanager_secret_version.cache_secret.secret_string == null && aws_secretsmanager_secret_version.cache_secret.secret_binary == null
    error_message = "The state holds the cache's secret."
  }

  assert {
    condition     = aws_db_instance.main.password == null
    error_message = "The state holds the database's password."
  }

  assert {
    condition     = aws_db_instance.main.password_wo_version == aws_secretsmanager_secret_version.database_password.secret_string_wo_version
    error_message = "Database and secret would get their passwords at different times."
  }

  assert {
    condition = alltrue(flatten([
      for task in aws_ecs_task_definition.task : [
        for setting in jsondecode(task.container_definitions)[0].environment :
        !can(regex("(PASSWORD|SECRET|TOKEN|KEY)", setting.name)) && !can(regex("://[^/@]*:[^/@]*@", setting.value))
      ]
    ]))
    error_message = "A plain setting of a task holds a secret."
  }

  assert {
    condition = alltrue([
      for task in aws_ecs_task_definition.task :
      contains([for secret in jsondecode(task.container_definitions)[0].secrets : secret.name], "PGPASSWORD")
    ])
    error_message = "A task does not get the database's password from its secret."
  }

  assert {
    condition = alltrue(flatten([
      for task in aws_ecs_task_definition.task : [
        for secret in jsondecode(task.container_definitions)[0].secrets : startswith(secret.valueFrom, "arn:aws:secretsmanager:")
      ]
    ]))
    error_message = "A secret setting comes from elsewhere than Secrets Manager."
  }

  assert {
    condition = [
      for name, task in aws_ecs_task_definition.task : name
      if contains([for secret in jsondecode(task.container_definitions)[0].secrets : secret.name], "COINGECKO_API_KEY")
    ] == ["api", "collector"]
    error_message = "A secret setting reaches other tasks than it names."
  }

  assert {
    condition     = [for setting, secret in aws_secretsmanager_secret.setting : "${setting} ${secret.name}"] == ["COINGECKO_API_KEY ${local.name}/coingecko-api-key"]
    error_message = "A secret setting has no secret of its own."
  }

  assert {
    condition     = alltrue([for secret in concat(values(aws_secretsmanager_secret.setting), [aws_secretsmanager_secret.database_password, aws_secretsmanager_secret.cache_secret]) : secret.kms_key_id == aws_kms_key.data.arn])
    error_message = "A secret is not encrypted with our own key."
  }

  assert {
    condition     = startswith(local.database_url, "postgresql://mms@") && endswith(local.database_url, "sslmode=require")
    error_message = "DB_URL carries a password, or allows a connection without TLS."
  }

  assert {
    condition     = alltrue([for parameter in aws_db_parameter_group.main.parameter : parameter.value == "1" if parameter.name == "rds.force_ssl"]) && contains([for parameter in aws_db_parameter_group.main.parameter : parameter.name], "rds.force_ssl")
    error_message = "The database takes connections without TLS."
  }
}

run "a_higher_version_sets_a_new_password_at_both_places" {
  command = plan

  variables {
    secret_settings           = { COINGECKO_API_KEY = ["api", "collector"] }
    database_password_version = 2
  }

  assert {
    condition     = aws_db_instance.main.password_wo_version == 2 && aws_secretsmanager_secret_version.database_password.secret_string_wo_version == 2
    error_message = "Only one of the two places gets the new password."
  }
}

run "keys_of_clients_reach_the_api_alone_and_open_the_post" {
  command = plan

  variables {
    secret_settings = { API_KEYS = ["api"] }
  }

  assert {
    condition     = [for name, secrets in local.secrets : name if contains(keys(secrets), "API_KEYS")] == ["api"]
    error_message = "Another task than the API gets the keys of its clients."
  }

  assert {
    condition     = local.environment["api"].COLLECT_ACCESS == "key"
    error_message = "With keys the API answers no POST."
  }
}
