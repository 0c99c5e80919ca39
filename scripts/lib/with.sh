# Services for the time that one command runs: sourced by scripts/services.
# shellcheck shell=bash disable=SC2154,SC2086    # as in find.sh

log_folder=    # data and logs of the local way
containers=    # names of the containers to remove
postgres_pid=
rabbitmq_pid=
command_pid=

# Runs a command with DATABASE_URL and AMQP_URL; its exit code is the answer. On INT, TERM or HUP the command is
# asked to end, a second time it is killed; whatever happens, what was started here is ended.
with_services() {
  local way
  [ $# -gt 0 ] || die 'with: which command?'
  way=$(find_way install)
  trap stop_services EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM HUP
  GATEPOST_LOCAL_PASSWORD=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
  export GATEPOST_LOCAL_PASSWORD
  case $way in
    containers) start_containers ;;
    local) start_local ;;
  esac
  run_command "$@"
}

run_command() {
  local status before interrupted=0
  set -m    # a process group of its own: Ctrl-C reaches this script alone, which passes it on
  $(bound_to_parent TERM) "$@" &
  command_pid=$!
  set +m
  trap 'interrupted=$((interrupted + 1)); end_command' INT TERM HUP
  while :; do
    status=0
    before=$interrupted
    wait "$command_pid" || status=$?
    [ "$interrupted" != "$before" ] || break
  done
  command_pid=
  exit "$status"
}

end_command() {
  if [ "$interrupted" = 1 ]; then kill -TERM "$command_pid"; else kill -KILL "-$command_pid"; fi 2>/dev/null || true
}

start_local() {
  local postgres_port rabbitmq_port
  log_folder=$(make_folder $$)
  postgres_port=$(free_port)
  rabbitmq_port=$(free_port)
  say "starting PostgreSQL and RabbitMQ from the installed binaries"
  set -m
  "$services" postgres "$log_folder" "$postgres_port" </dev/null >"$log_folder/postgres.log" 2>&1 &
  postgres_pid=$!
  "$services" rabbitmq "$log_folder" "$rabbitmq_port" </dev/null >"$log_folder/rabbitmq.log" 2>&1 &
  rabbitmq_pid=$!
  set +m
  wait_until PostgreSQL postgres_answers "$postgres_port"
  wait_until RabbitMQ rabbitmq_answers "$rabbitmq_port"
  export_urls "$postgres_port" "$rabbitmq_port"
}

start_containers() {
  local postgres rabbitmq
  postgres=$(container_name $$ postgres)
  rabbitmq=$(container_name $$ rabbitmq)
  containers="$postgres $rabbitmq"    # known before they exist: an interrupted start leaves nothing
  say "starting PostgreSQL and RabbitMQ in containers"
  docker run --detach --name "$postgres" --publish 127.0.0.1::5432 --env POSTGRES_USER=gatepost \
    --env POSTGRES_DB=postgres --env POSTGRES_PASSWORD="$GATEPOST_LOCAL_PASSWORD" \
    "$postgres_image" postgres -c max_connections=300 >/dev/null
  docker run --detach --name "$rabbitmq" --publish 127.0.0.1::5672 --env RABBITMQ_ENABLED_PLUGINS= \
    --env RABBITMQ_DEFAULT_USER=gatepost --env RABBITMQ_DEFAULT_PASS="$GATEPOST_LOCAL_PASSWORD" \
    "$rabbitmq_image" >/dev/null
  # Over TCP: the server that the image runs while it sets up the database listens on its socket alone.
  wait_until PostgreSQL docker exec "$postgres" pg_isready --quiet --host=127.0.0.1
  wait_until RabbitMQ rabbitmq_answers "$(published_port "$rabbitmq" 5672)"
  export_urls "$(published_port "$postgres" 5432)" "$(published_port "$rabbitmq" 5672)"
}

# Prints a name for a container of the process OWNER; removes the containers of owners that were killed.
container_name() {
  local owner=$1 server=$2 old
  for old in $(docker ps --all --filter name=gatepost-run- --format '{{.Names}}'); do
    if owner_is_gone "$old"; then docker rm --force --volumes "$old" >/dev/null 2>&1 || true; fi
  done
  echo "$(run_name "$owner")-$server-$RANDOM"
}

published_port() { docker port "$1" "$2/tcp" | sed -n '1s/.*://p'; }

export_urls() {
  export DATABASE_URL="postgres://gatepost:$GATEPOST_LOCAL_PASSWORD@127.0.0.1:$1/postgres"
  export AMQP_URL="amqp://gatepost:$GATEPOST_LOCAL_PASSWORD@127.0.0.1:$2/%2f"
}

wait_until() {
  local what=$1 deadline=$((SECONDS + 90))
  shift
  until "$@" 2>/dev/null; do
    if [ "$SECONDS" -ge "$deadline" ] || died "$postgres_pid" || died "$rabbitmq_pid"; then
      show_logs
      die "$what did not start"
    fi
    sleep 0.1
  done
}

died() { [ -n "$1" ] && ! kill -0 "$1" 2>/dev/null; }

show_logs() {
  local container
  [ -z "$log_folder" ] || tail -n 20 "$log_folder"/*.log >&2
  for container in $containers; do docker logs --tail 20 "$container" >&2 || true; done
}

postgres_answers() { "$(postgres_bin)/pg_isready" --quiet --host=127.0.0.1 --port="$1"; }

# A broker that takes connections answers the protocol header with a method frame, whose type is 1.
rabbitmq_answers() (
  type=
  exec 3<>"/dev/tcp/127.0.0.1/$1" || exit 1
  printf 'AMQP\0\0\11\1' >&3
  IFS= read -r -n 1 -t 2 type <&3
  [ "$type" = $'\1' ]
)

# The data goes too, so nothing needs a clean stop.
stop_services() {
  trap '' INT TERM HUP
  [ -z "$command_pid" ] || end_process "$command_pid" TERM 20
  [ -z "$rabbitmq_pid" ] || end_process "$rabbitmq_pid" KILL 20
  [ -z "$postgres_pid" ] || end_process "$postgres_pid" QUIT 20
  [ -z "$log_folder" ] || rm -rf "$log_folder"
  [ -z "$containers" ] || docker rm --force --volumes $containers >/dev/null 2>&1 || true
}

# Ends a child with a signal, and kills it if it is still there after so many seconds.
end_process() {
  local pid=$1 signal=$2 deadline=$((SECONDS + $3))
  kill -s "$signal" "$pid" || return 0
  while kill -0 "$pid" && [ "$SECONDS" -lt $((deadline + 5)) ]; do
    [ "$SECONDS" -lt "$deadline" ] || kill -s KILL "$pid"
    sleep 0.05
  done
} 2>/dev/null
