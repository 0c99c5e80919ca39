# Private servers from installed binaries: sourced by scripts/services.
# shellcheck shell=bash disable=SC1091,SC2154,SC2086,SC2012,SC2164    # as in find.sh; and errors end scripts/services

# Makes a folder for the data of the process OWNER and prints it; removes those of owners that were killed.
make_folder() {
  local owner=$1 parent=$project/.data folder
  mkdir -p "$parent"
  if ! $(as_server_user) test -x "$parent"; then
    parent=/tmp    # a project below /root: out of that user's reach
  fi
  for folder in "$parent"/gatepost-run-*; do
    if owner_is_gone "${folder##*/}"; then
      umount --lazy "$folder/postgres" 2>/dev/null || true    # a test's small disk
      rm -rf "$folder" || true
    fi
  done
  folder=$(mktemp -d "$parent/$(run_name "$owner")-XXXXXX")
  chmod 711 "$folder"
  echo "$folder"
}

# PostgreSQL refuses to run as root. Prints the words that make a command run as another user; nothing where the
# present one will do.
as_server_user() {
  local user=postgres
  [ "$(id -u)" = 0 ] || return 0
  id "$user" >/dev/null 2>&1 || user=nobody
  echo "setpriv --reuid=$user --regid=$(id -g "$user") --clear-groups"
}

# The words that make a command receive SIGNAL when its parent is gone, so that a killed run leaves no servers.
# Nothing where the system has no such thing; there end_with does it.
bound_to_parent() {
  if setpriv --pdeathsig "$1" true 2>/dev/null; then echo "setpriv --pdeathsig $1"; fi
}

# Sends SIGNAL to PID once OWNER is gone.
end_with() {
  local owner=$1 pid=$2 signal=$3
  while kill -0 "$owner" 2>/dev/null && kill -0 "$pid" 2>/dev/null; do sleep 1; done
  kill -s "$signal" "$pid" 2>/dev/null
}

# Whoever wanted the server may have gone while it was prepared, before it was bound to its parent.
exit_if_orphaned() {
  local parent
  if [ -r /proc/self/stat ]; then read -r _ _ _ parent _ <"/proc/$$/stat"; else parent=$(ps -o ppid= -p $$); fi
  [ "$((parent))" = "$PPID" ] || exit 1
}

# Becomes a PostgreSQL server.
run_postgres() {
  local folder=$1/postgres port=$2 bin as_user bound
  trap 'exit 1' INT QUIT TERM    # a signal must not be lost on the shell while it waits for initdb
  bin=$(postgres_bin) || die 'PostgreSQL is not installed'
  as_user=$(as_server_user) bound=$(bound_to_parent INT)
  mkdir -p "$folder"
  cd "$folder"
  if [ ! -s data/PG_VERSION ]; then
    (umask 077 && printf '%s\n' "${GATEPOST_LOCAL_PASSWORD:?}" >password)
    [ -z "$as_user" ] || chown "$(expr "$as_user" : '.*--reuid=\([a-z]*\)')" . password
    $as_user "$bin/initdb" --pgdata=data --username=gatepost --pwfile=password --auth=scram-sha-256 \
      --encoding=UTF8 --locale=C >/dev/null
    rm password
  fi
  [ -n "$bound" ] || { end_with $PPID $$ INT & }
  exit_if_orphaned
  # fsync stays on, as everywhere: what is tested and shown is that an answer outlives a crash.
  exec $as_user $bound "$bin/postgres" -D data -c listen_addresses=127.0.0.1 -c "port=$port" \
    -c unix_socket_directories= -c max_connections=300
}

# Takes a base backup of the server on a port. Without its WAL: that comes from the archive, as it does to an operator.
back_up_postgres() {
  local folder=$1/postgres port=$2 bin as_user
  bin=$(postgres_bin) || die 'PostgreSQL is not installed'
  as_user=$(as_server_user)
  mkdir -p "$folder"
  [ -z "$as_user" ] || chown "$(expr "$as_user" : '.*--reuid=\([a-z]*\)')" "$folder"
  cd "$folder"
  PGPASSWORD=${GATEPOST_LOCAL_PASSWORD:?} $as_user "$bin/pg_basebackup" --pgdata=data --host=127.0.0.1 \
    --port="$port" --username=gatepost --wal-method=none --checkpoint=fast
}

# Has the server that is started next with a base backup in a folder come to a moment.
recover_postgres() {
  local archive=$2 moment=$3 as_user
  as_user=$(as_server_user)
  cd "$1/postgres/data"
  $as_user touch recovery.signal
  $as_user tee -a postgresql.auto.conf >/dev/null <<CONF
archive_mode = off
restore_command = 'cp "$archive/%f" "%p"'
recovery_target_time = '$moment'
recovery_target_action = promote
CONF
}

# Becomes a RabbitMQ node without plugins, with an epmd of its own that ends with it. With a third argument,
# "NAME EPMD_PORT DIST_PORT COOKIE PEERS", it becomes a node of a cluster instead: somebody else runs the epmd on that
# port, and the node joins the first of PEERS (names, itself among them) that it finds.
run_rabbitmq() {
  local folder=$1/rabbitmq port=$2 server bound name=rabbit epmd='' dist='' cookie='' peers=''
  [ -z "${3:-}" ] || read -r name epmd dist cookie peers <<<"$3"
  server=$(rabbitmq_server) || die 'RabbitMQ is not installed'
  mkdir -p "$folder/mnesia" "$folder/log"
  cd "$folder"
  [ -n "$cookie" ] || cookie=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
  [ -f .erlang.cookie ] || (umask 377 && printf %s "$cookie" >.erlang.cookie)
  echo '[].' >enabled_plugins
  rabbitmq_settings "$port" "$peers" >rabbitmq.conf
  bound=$(bound_to_parent KILL)    # TERM would be lost on a node that boots
  rabbitmq_environment "$name" "${epmd:-$(free_port)}" "${dist:-$(free_port)}" >environment
  . ./environment
  if [ -z "$epmd" ]; then
    # Its own epmd in the foreground: the one that a node or a tool starts by itself listens to the world and stays.
    ${bound/KILL/TERM} "$(epmd_binary)" -port "$ERL_EPMD_PORT" -address 127.0.0.1 &
    [ -n "$bound" ] || { end_with $$ $! TERM & }
  fi
  [ -n "$bound" ] || { end_with $PPID $$ KILL & }
  exit_if_orphaned
  exec $bound "$server"
}

# Prints rabbitmq.conf. PEERS are looked for at once: nodes of one cluster that start together wait for each other.
rabbitmq_settings() {
  local port=$1 peers=$2 peer number=0
  cat <<CONF
listeners.tcp.1 = 127.0.0.1:$port
default_user = gatepost
default_pass = ${GATEPOST_LOCAL_PASSWORD:?}
log.console = true
log.file = false
CONF
  [ -n "$peers" ] || return 0
  echo 'cluster_formation.peer_discovery_backend = classic_config'
  echo 'cluster_formation.randomized_startup_delay_range.min = 0'
  echo 'cluster_formation.randomized_startup_delay_range.max = 1'
  # What the README asks of an operator.
  echo 'cluster_partition_handling = pause_minority'
  echo 'net_ticktime = 4'
  for peer in $peers; do
    number=$((number + 1))
    echo "cluster_formation.classic_config.nodes.$number = $peer@localhost"
  done
}

# Prints the environment of a node, and of its tools, that shares nothing with any other on this machine. @localhost,
# because a host name that does not resolve makes a node hang without a word.
rabbitmq_environment() {
  cat <<ENVIRONMENT
export HOME='$PWD'    # the cookie is looked for there
export RABBITMQ_CONF_ENV_FILE=/dev/null RABBITMQ_NODENAME=$1@localhost LC_ALL=C.UTF-8
export RABBITMQ_BASE='$PWD' RABBITMQ_MNESIA_BASE='$PWD/mnesia' RABBITMQ_LOG_BASE='$PWD/log'
export RABBITMQ_CONFIG_FILE='$PWD/rabbitmq.conf' RABBITMQ_ENABLED_PLUGINS_FILE='$PWD/enabled_plugins'
export RABBITMQ_GENERATED_CONFIG_DIR='$PWD/generated' RABBITMQ_PID_FILE='$PWD/pid'
export RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS='-kernel inet_dist_use_interface {127,0,0,1}'
export RABBITMQ_CTL_ERL_ARGS='-kernel inet_dist_use_interface {127,0,0,1}'
export ERL_EPMD_ADDRESS=127.0.0.1 ERL_EPMD_PORT=$2 RABBITMQ_DIST_PORT=$3
export RUNNING_UNDER_SYSTEMD=true    # no shell in between: signals reach the node itself
unset NOTIFY_SOCKET
ENVIRONMENT
}

# Becomes one of RabbitMQ's tools, for the node with its data in FOLDER.
run_rabbitmq_tool() {
  local folder=$1/rabbitmq server bound
  shift
  server=$(rabbitmq_server) || die 'RabbitMQ is not installed'
  bound=$(bound_to_parent KILL)
  cd "$folder"
  . ./environment
  unset RABBITMQ_DIST_PORT    # the node's
  exec $bound "$(dirname "$server")/$1" --node "$RABBITMQ_NODENAME" "${@:2}"
}

epmd_binary() {
  command -v epmd || ls -d /usr/lib*/erlang/erts-*/bin/epmd 2>/dev/null | tail -1
}

# A port that nobody listens on, below the range that the system takes the ports of outgoing connections from.
free_port() {
  local port attempt
  for attempt in 1 2 3 4 5 6 7 8 9; do
    port=$((20000 + RANDOM % 12000))
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo "$port"; return; }
  done
  die "found no free port in $attempt attempts"
}
