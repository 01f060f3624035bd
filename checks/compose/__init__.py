"""`make compose-check`: run docker-compose.yml, every profile of it, and prove what it promises."""
