# Sourced by scripts/stack: servers from docker-compose.yml, whose services are rabbitmq, postgres and mongo.
# shellcheck shell=bash disable=SC2154,SC2034 # variables from and for scripts/stack

docker_says=

docker_works() {
  if ! command -v docker >/dev/null; then
    docker_says='no docker command'
  elif ! timeout 10 docker info >/dev/null 2>&1; then
    docker_says='docker info fails: no engine runs, or this user may not use it'
  elif ! docker compose version >/dev/null 2>&1; then
    docker_says='docker has no compose plugin'
  elif [[ ! -e $here/../docker-compose.yml ]]; then
    docker_says='no docker-compose.yml'
  else
    return 0
  fi
  return 1
}

compose() {
  docker compose --project-directory "$here/.." "$@" 9>&- >&2
}

services() { # SERVER...
  local server
  for server; do echo "${server/mongodb/mongo}"; done
}

docker_running() { # SERVER
  docker compose --project-directory "$here/.." ps --status running --services 2>/dev/null | grep -qx "$(services "$1")"
}

docker_since() { # SERVER
  docker compose --project-directory "$here/.." ps --format '{{.Name}} {{.Status}}' "$(services "$1")" 2>/dev/null
}

# The compose file reads the ports from the same variables.
docker_start() { # SERVER...
  local server name
  for server; do
    docker_running "$server" || for name in $(names "$server"); do claim "$(port "$name")" "$(port_variable "$name")"; done
  done
  LEAT_RABBITMQ_PORT=$(port rabbitmq) LEAT_RABBITMQ_MANAGEMENT_PORT=$(port management)
  LEAT_POSTGRES_PORT=$(port postgres) LEAT_MONGODB_PORT=$(port mongodb)
  export LEAT_RABBITMQ_PORT LEAT_RABBITMQ_MANAGEMENT_PORT LEAT_POSTGRES_PORT LEAT_MONGODB_PORT
  # shellcheck disable=SC2046 # one word a service
  compose up -d --wait $(services "$@") || fail "docker compose up does not succeed; see: docker compose logs $(services "$@" | tr '\n' ' ')"
  for server; do
    answers "$server" "$(url "$server")" || fail "$server runs in Docker and does not answer at $(url "$server"); see: docker compose ps"
  done
}

docker_stop() { # SERVER...
  # shellcheck disable=SC2046
  compose stop $(services "$@")
}

docker_rabbitmqctl() { # ARGUMENT...
  compose exec -T rabbitmq rabbitmqctl --quiet "$@"
}

# The volumes hold the data, and only "down" removes them. Without SERVER nothing is up, and Docker may still keep some.
docker_wipe() { # SERVER...
  local server
  if [[ $# == 0 ]] && docker_works; then compose down --volumes; fi
  for server; do
    if [[ $(provider "$server") == docker ]]; then
      compose down --volumes
      return
    fi
  done
}
