# Which way to get the services: sourced by scripts/services.
# shellcheck shell=bash disable=SC2154,SC2086,SC2012    # variables of scripts/services; words that become several

say() { printf 'services: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

# What a process has here carries its machine and its id in the name, so that what a killed one left can be told.
run_name() { echo "gatepost-run-$(uname -n)-$1"; }

owner_is_gone() {
  local pid=${1#"$(run_name '')"}
  pid=${pid%%-*}
  case $pid in ''|*[!0-9]*) return 1 ;; esac
  if [ -d /proc/self ]; then [ ! -d "/proc/$pid" ]; else ! ps -p "$pid" >/dev/null; fi
}

# Prints the way; with the argument "install" the packages of the local way are installed if nothing else is left.
find_way() {
  case ${GATEPOST_SERVICES:-any} in
    any)
      if urls_are_given; then echo urls
      elif containers_are_usable; then echo containers
      elif binaries_are_installed || { [ "${1:-}" = install ] && install_binaries; }; then echo local
      else die "no Docker engine to use ($no_containers) and $no_binaries: $how_to_install"; fi ;;
    urls)
      urls_are_given || die "GATEPOST_SERVICES=urls, but DATABASE_URL and AMQP_URL are not set"
      echo urls ;;
    containers)
      containers_are_usable || die "GATEPOST_SERVICES=containers, but $no_containers"
      echo containers ;;
    local)
      binaries_are_installed || { [ "${1:-}" = install ] && install_binaries; } ||
        die "GATEPOST_SERVICES=local, but $no_binaries: $how_to_install"
      echo local ;;
    *) die "GATEPOST_SERVICES is '$GATEPOST_SERVICES': it must be urls, containers or local" ;;
  esac
}

urls_are_given() {
  case ${DATABASE_URL:+d}${AMQP_URL:+a} in
    da) ;;
    '') return 1 ;;
    *) die "only one of DATABASE_URL and AMQP_URL is set: set both, or neither" ;;
  esac
}

# Runs a command for at most so many seconds; macOS has no timeout(1), but perl.
bounded() {
  if command -v timeout >/dev/null; then timeout "$@"; else perl -e 'alarm shift; exec @ARGV' "$@"; fi
}

# Sets no_containers to the reason where it says no. The engine must be on this machine because the servers'
# ports are published on its loopback address alone.
containers_are_usable() {
  local image
  no_containers='there is no docker command'
  command -v docker >/dev/null || return 1
  no_containers="the Docker engine at $(engine_address) is not on this machine"
  case $(engine_address) in ''|unix://*) ;; *) return 1 ;; esac
  no_containers='no Docker engine answers'
  bounded 10 docker version --format '{{.Server.Version}}' >/dev/null 2>&1 || return 1
  for image in "$postgres_image" "$rabbitmq_image"; do
    bounded 10 docker image inspect "$image" >/dev/null 2>&1 && continue
    say "pulling $image"
    no_containers="the image $image is not to be had"
    bounded 120 docker pull --quiet "$image" >/dev/null 2>&1 || return 1
  done
}

# The engine's address that the docker command would use: its context knows it, test libraries often do not.
engine_address() {
  [ -n "${DOCKER_HOST:-}" ] && { echo "$DOCKER_HOST"; return; }
  bounded 10 docker context inspect --format '{{.Endpoints.docker.Host}}' 2>/dev/null || true
}

# The folder of the newest PostgreSQL server's binaries. Not all distributions have them on the PATH.
postgres_bin() {
  local folder
  for folder in $(
    ls -d /usr/lib/postgresql/*/bin /usr/pgsql-*/bin {/opt/homebrew,/usr/local}/opt/postgresql*/bin 2>/dev/null |
      sort -Vr
  ) "$(dirname "$(command -v postgres || echo /none/postgres)")"; do
    if [ -x "$folder/postgres" ] && [ -x "$folder/initdb" ] && [ -x "$folder/pg_isready" ]; then
      echo "$folder"
      return
    fi
  done
  return 1
}

# The start script itself: the wrapper that Debian has on the PATH wants root and sends the output to /var/log.
rabbitmq_server() {
  local file
  for file in /usr/lib/rabbitmq/bin/rabbitmq-server {/opt/homebrew,/usr/local}/opt/rabbitmq/sbin/rabbitmq-server \
    "$(command -v rabbitmq-server || true)"; do
    if [ -x "$file" ]; then echo "$file"; return; fi
  done
  return 1
}

# Sets no_binaries to the reason, missing_packages and how_to_install where it says no.
binaries_are_installed() {
  missing_packages=
  postgres_bin >/dev/null || missing_packages=postgresql
  rabbitmq_server >/dev/null || missing_packages="$missing_packages rabbitmq-server"
  missing_packages=${missing_packages# }
  [ -n "$missing_packages" ] || return 0
  no_binaries="not installed here: $missing_packages"
  how_to_install='install Docker, or PostgreSQL and RabbitMQ'
  if command -v apt-get >/dev/null; then
    how_to_install="install with: sudo apt-get install $missing_packages"
  elif command -v brew >/dev/null; then
    missing_packages=${missing_packages/postgresql/postgresql@17} missing_packages=${missing_packages/-server/}
    how_to_install="install with: brew install $missing_packages"
  fi
  return 1
}

# After binaries_are_installed said no. Asks for no password: without root or a silent sudo it gives up.
install_binaries() {
  local sudo=
  if command -v apt-get >/dev/null; then
    [ "$(id -u)" = 0 ] || sudo='sudo -n'
    [ -z "$sudo" ] || $sudo true 2>/dev/null || return 1
    say "installing $missing_packages with apt-get"
    { bounded 300 $sudo apt-get update &&
      bounded 900 $sudo env DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends $missing_packages
    } >/dev/null || return 1
  elif command -v brew >/dev/null; then
    say "installing $missing_packages with brew"
    bounded 1800 brew install $missing_packages >/dev/null || return 1
  else
    return 1
  fi
  binaries_are_installed
}
