# Sourced by scripts/stack: servers from Debian's packages in a private root folder, for root on Debian without Docker.
#
#   root/   Debian forky with RabbitMQ 4.3, PostgreSQL 18 and DocumentDB     bin/   FerretDB, built from scripts/documentdb
#   data/   one folder a server     log/   one file a process     run/   pids
#
# Every process of the root folder gets a mount namespace of its own with /proc, /dev and the data in it. So there is nothing to
# unmount, and no way to remove the machine's /dev by removing the folder.
# shellcheck shell=bash disable=SC2154,SC2034 # variables from and for scripts/stack

root=$stack/root data=$stack/data
debian_says=

# What each release of Debian has. DocumentDB is in the newest alone: with the other, LEAT_MONGODB_URL names a server.
case ${LEAT_STACK_RELEASE:=forky} in
  forky) postgres_version=18 packages=(rabbitmq-server postgresql-18 postgresql-18-documentdb) ;;
  bookworm) postgres_version=15 packages=(rabbitmq-server postgresql-15) ;;
  *)
    echo "stack: LEAT_STACK_RELEASE is $LEAT_STACK_RELEASE; it may be forky or bookworm" >&2
    exit 1
    ;;
esac
pg=/usr/lib/postgresql/$postgres_version/bin

debian_works() { # SERVER
  if [[ $EUID != 0 ]]; then
    debian_says='not root'
  elif ! grep -qx 'ID=debian' /etc/os-release 2>/dev/null; then
    debian_says='not Debian'
  elif [[ $1 == mongodb && ${packages[*]} != *documentdb* ]]; then
    debian_says="LEAT_STACK_RELEASE=$LEAT_STACK_RELEASE has none"
  elif ! unshare --mount true 2>/dev/null; then
    debian_says='this root may not mount (a container? it needs --cap-add SYS_ADMIN)'
  else
    return 0
  fi
  return 1
}

# --- installing ----------------------------------------------------------------------------------------------------

debian_install() {
  command -v go >/dev/null || PATH=$PATH:/usr/local/go/bin
  command -v go >/dev/null || fail "the document server is built with Go 1.26, and there is no go: see https://go.dev/dl"
  if [[ -d $root ]]; then
    build_documentdb
    return
  fi
  say "installing ${packages[*]} into $root, once (2 to 3 minutes, 1 GB; log: $log/install.log)"
  build_documentdb & # has the processor while the packages come over the network
  local build=$!
  (install_packages) >"$log/install.log" 2>&1 || {
    tail -20 "$log/install.log" >&2
    kill "$build" 2>/dev/null || true
    fail "installing failed; the last lines of $log/install.log are above. Run it again when the cause is gone."
  }
  wait "$build" || exit 1
}

install_packages() {
  local new=$root.new mirror
  command -v debootstrap >/dev/null || { apt-get update && apt-get install -y --no-install-recommends debootstrap; } || return
  mirror=$(debian_mirror) || return
  rm -rf "$new"
  # Debian 12's debootstrap has no script of the name forky; that of sid is the same.
  unshare --mount --propagation private \
    debootstrap --variant=minbase --include=ca-certificates "$LEAT_STACK_RELEASE" "$new" "$mirror" /usr/share/debootstrap/scripts/sid || return
  printf '#!/bin/sh\nexit 101\n' >"$new/usr/sbin/policy-rc.d" # the packages start nothing
  chmod +x "$new/usr/sbin/policy-rc.d"
  mkdir -p "$new/etc/postgresql-common"
  echo 'create_main_cluster = false' >"$new/etc/postgresql-common/createcluster.conf" # we make our own, in data/
  { echo '127.0.0.1 localhost' && cat /etc/hosts; } >"$new/etc/hosts"
  apt-config dump | grep -E '^Acquire::(https?::Proxy|Check-)' >"$new/etc/apt/apt.conf.d/90host" || true
  mkdir -p "$data"
  root=$new inside root:root sh -c 'apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
    -o Dpkg::Options::=--force-confold -o Dpkg::Options::=--force-unsafe-io \
    "$@" && apt-get clean' install "${packages[@]}" || return
  mv "$new" "$root" # the name says that it is complete
}

debian_mirror() { # the one this machine's own apt uses
  local codename
  codename=$(. /etc/os-release && echo "$VERSION_CODENAME")
  # shellcheck disable=SC2016 # apt-get expands them
  apt-get indextargets --format '$(CODENAME) $(COMPONENT) $(SITE)' 'Created-By: Packages' |
    awk -v codename="$codename" '$1 == codename && $2 == "main" { print $3; exit }' | grep . ||
    fail "apt has no source for Debian $codename main: see /etc/apt/sources.list"
}

build_documentdb() {
  local binary=$stack/bin/documentdb source=$here/documentdb
  [[ ${packages[*]} == *documentdb* ]] || return 0
  [[ ! -x $binary || $(find "$source" -newer "$binary" -type f) ]] || return 0
  mkdir -p "$stack/bin"
  GOWORK=off CGO_ENABLED=0 go build -C "$source" -o "$binary" . >"$log/build.log" 2>&1 || {
    tail -20 "$log/build.log" >&2
    fail "go build in scripts/documentdb failed"
  }
  touch "$binary"
}

# --- processes -----------------------------------------------------------------------------------------------------

# shellcheck disable=SC2016 # the inner shell expands them
enter='mount --bind /proc "$1/proc" && mount --rbind /dev "$1/dev" && mount --bind "$2" "$1/srv" && cd / &&
  exec chroot --userspec="$3" "$1" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 "${@:4}"'

inside() { # USER:GROUP [NAME=VALUE...] COMMAND...: in the root folder, and wait for it
  unshare --mount --propagation private bash -c "$enter" enter "$root" "$data" "$@" </dev/null
}

# In a session of its own: it outlives this shell and its terminal. The lock (9) is not for it.
launch() { # PROCESS COMMAND...
  local name=$1 pid
  shift
  [[ ! -e $log/$name.log ]] || mv "$log/$name.log" "$log/$name.log.old"
  setsid "$@" </dev/null >"$log/$name.log" 2>&1 9>&- &
  pid=$!
  echo "$pid $(born "$pid")" >"$run/$name.pid"
}

launch_inside() { # PROCESS USER:GROUP [NAME=VALUE...] COMMAND...
  local name=$1
  shift
  launch "$name" unshare --mount --propagation private bash -c "$enter" enter "$root" "$data" "$@"
}

born() { # PID: when the kernel started it, so that a number used again is not taken for ours; nothing for a zombie
  local stat
  stat=$(cat "/proc/$1/stat" 2>/dev/null) || return
  read -ra stat <<<"${stat##*) }"
  [[ ${stat[0]} == Z ]] || echo "${stat[19]}"
}

alive() { # PROCESS
  local pid since
  { read -r pid since <"$run/$1.pid"; } 2>/dev/null || return
  [[ $since && $(born "$pid") == "$since" ]]
}

signal() { # SIGNAL PROCESS
  ! alive "$2" || kill -s "$1" "$(cut -d' ' -f1 "$run/$2.pid")" 2>/dev/null || true
}

await_end() { # PROCESS SECONDS: then it is killed, with all it started
  local pid deadline=$((SECONDS + $2))
  while alive "$1" && ((SECONDS < deadline)); do sleep 0.05; done
  if alive "$1"; then
    pid=$(cut -d' ' -f1 "$run/$1.pid")
    say "$1 (pid $pid) does not stop: killed"
    kill -KILL -- "-$pid" 2>/dev/null || true
    while alive "$1"; do sleep 0.05; done
  fi
  rm -f "$run/$1.pid"
}

await() { # PROCESS TEST...
  local name=$1 deadline=$((SECONDS + 90))
  shift
  until "$@" 2>/dev/null; do
    if ! alive "$name" || ((SECONDS > deadline)); then
      tail -20 "$log/$name.log" >&2
      fail "$name did not come up; the last lines of $log/$name.log are above"
    fi
    sleep 0.1
  done
}

# --- servers -------------------------------------------------------------------------------------------------------

folder() { # NAME USER: data/NAME, owned by the root folder's USER
  mkdir -p "$data/$1"
  inside root:root chown "$2:$2" "/srv/$1"
  chmod 700 "$data/$1"
}

# Erlang's own two: RabbitMQ's usual one for its node, and one for a port mapper that is ours alone, so that it ends with us.
node_port() { echo $(($(port rabbitmq) + 20000)); }
mapper_port() { echo $(($(port rabbitmq) + 15000)); }

documentdb_port() { echo $(($(port mongodb) + 1000)); }

claim_ports() { # SERVER
  case $1 in
    rabbitmq)
      claim "$(port rabbitmq)" LEAT_RABBITMQ_PORT
      claim "$(node_port)" "LEAT_RABBITMQ_PORT (which is 20000 lower)"
      claim "$(mapper_port)" "LEAT_RABBITMQ_PORT (which is 15000 lower)"
      claim "$(port management)" LEAT_RABBITMQ_MANAGEMENT_PORT
      ;;
    postgres) claim "$(port postgres)" LEAT_POSTGRES_PORT ;;
    mongodb)
      claim "$(port mongodb)" LEAT_MONGODB_PORT
      claim "$(documentdb_port)" "LEAT_MONGODB_PORT (which is 1000 lower)"
      ;;
  esac
}

launch_rabbitmq() {
  local amqp management
  amqp=$(port rabbitmq) management=$(port management)
  folder rabbitmq rabbitmq
  cat >"$data/rabbitmq/rabbitmq.conf" <<-CONF
	listeners.tcp.1 = 127.0.0.1:$amqp
	management.tcp.ip = 127.0.0.1
	management.tcp.port = $management
	default_user = leat
	default_pass = leat
	default_user_tags.administrator = true
	# Otherwise a full development disk stops every publisher.
	disk_free_limit.absolute = 50MB
	# To standard output, which is log/rabbitmq.log; at level info every connection of every test would be in it.
	log.file = false
	log.console = true
	log.console.level = warning
	log.console.use_colors = off
	CONF
  echo '[rabbitmq_management].' >"$data/rabbitmq/enabled_plugins"
  local erlang
  erlang_environment
  launch_inside epmd rabbitmq:rabbitmq "${erlang[@]}" epmd
  await epmd listens 127.0.0.1 "$(mapper_port)"
  launch_inside rabbitmq rabbitmq:rabbitmq "${erlang[@]}" \
    RABBITMQ_DIST_PORT="$(node_port)" \
    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS='-kernel inet_dist_use_interface {127,0,0,1}' \
    RABBITMQ_CONFIG_FILE=/srv/rabbitmq/rabbitmq.conf RABBITMQ_ENABLED_PLUGINS_FILE=/srv/rabbitmq/enabled_plugins \
    RABBITMQ_MNESIA_BASE=/srv/rabbitmq/data RABBITMQ_LOG_BASE=/srv/rabbitmq/log \
    RUNNING_UNDER_SYSTEMD=true `# which means: no shell around it, so that the pid is its own` \
    /usr/lib/rabbitmq/bin/rabbitmq-server
}

# Sets erlang: what names the node, and finds it.
erlang_environment() {
  erlang=(HOME=/srv/rabbitmq RABBITMQ_NODENAME=leat@localhost ERL_EPMD_ADDRESS=127.0.0.1 "ERL_EPMD_PORT=$(mapper_port)")
}

debian_rabbitmqctl() { # ARGUMENT...
  local erlang
  erlang_environment
  inside rabbitmq:rabbitmq "${erlang[@]}" /usr/lib/rabbitmq/bin/rabbitmqctl --quiet "$@"
}

launch_cluster() { # PROCESS PORT HOW-TO-LOG-IN-OVER-TCP [SETTING=VALUE...]
  local name=$1 port=$2 login=$3 setting settings=()
  for setting in "${@:4}"; do settings+=(-c "$setting"); done
  if [[ ! -e $data/$name/PG_VERSION ]]; then
    folder "$name" postgres
    inside postgres:postgres bash -c "$pg/initdb --pgdata=/srv/$name --username=leat --pwfile=<(echo leat) \
      --encoding=UTF8 --locale=C.UTF-8 --auth-local=trust --auth-host=$login" >"$log/initdb.log" 2>&1 || {
      tail -20 "$log/initdb.log" >&2
      rm -rf "${data:?}/$name"
      fail "initdb failed; the last lines of $log/initdb.log are above"
    }
  fi
  # After a kill -9: it does not start while the old one's pid is there, be it a zombie's, for which process 1 may take its time.
  local pid deadline=$((SECONDS + 10))
  if [[ -e $data/$name/postmaster.pid ]]; then
    read -r pid <"$data/$name/postmaster.pid"
    while [[ -e /proc/$pid && ! $(born "$pid") ]] && ((SECONDS < deadline)); do sleep 0.05; done
  fi
  launch_inside "$name" postgres:postgres $pg/postgres -D "/srv/$name" \
    -c listen_addresses=127.0.0.1 -c "port=$port" -c "unix_socket_directories=/srv/$name" "${settings[@]}"
}

# pg_stat_statements costs nothing until a test turns it on for its own database.
launch_postgres() {
  launch_cluster postgres "$(port postgres)" scram-sha-256 max_connections=300 \
    shared_preload_libraries=pg_stat_statements pg_stat_statements.track=none
}

# DocumentDB opens connections to itself, without a password; so does FerretDB, which await_mongodb starts. Its own cluster lets
# a test stop PostgreSQL and not this, or this and not PostgreSQL.
launch_mongodb() {
  launch_cluster documentdb "$(documentdb_port)" trust max_connections=200 \
    shared_preload_libraries=pg_cron,pg_documentdb_core,pg_documentdb \
    cron.database_name=postgres cron.log_statement=off cron.log_run=off
}

query() { # PROCESS DATABASE SQL
  local port
  port=$(if [[ $1 == documentdb ]]; then documentdb_port; else port "$1"; fi)
  inside postgres:postgres $pg/psql -h "/srv/$1" -p "$port" -U leat -d "$2" -XAtqc "$3" </dev/null
}

management_answers() {
  local reply
  exec 8<>"/dev/tcp/127.0.0.1/$(port management)" || return
  printf 'GET /api/whoami HTTP/1.0\r\nAuthorization: Basic %s\r\n\r\n' "$(printf leat:leat | base64)" >&8
  read -r -t 5 reply <&8
  exec 8<&-
  [[ $reply == *' 200 '* ]]
}

# A server may be several processes; these are in the order in which they start.
processes() { # SERVER
  case $1 in
    rabbitmq) echo epmd rabbitmq ;;
    postgres) echo postgres ;;
    mongodb) echo documentdb ferretdb ;;
  esac
}

debian_running() { # SERVER
  local process
  for process in $(processes "$1"); do alive "$process" || return; done
}

debian_since() { # SERVER
  local process
  for process in $(processes "$1"); do
    if alive "$process"; then
      echo "$process $(cut -d' ' -f1 "$run/$process.pid"), $(date -r "$run/$process.pid" '+%F %T')"
    else
      echo "$process is not running"
    fi
  done | paste -sd';' | sed 's/;/; /g'
}

# First all are launched, and only then is anything waited for: RabbitMQ takes as long as the others together.
debian_start() { # SERVER...
  local server
  debian_stop "$@" # what is left of one that died
  for server; do claim_ports "$server"; done
  debian_install
  for server; do "launch_$server"; done
  for server; do "await_$server"; done
}

await_postgres() {
  await postgres query postgres postgres 'SELECT 1' >/dev/null
  [[ $(query postgres postgres "SELECT 1 FROM pg_database WHERE datname = 'leat'") ]] ||
    query postgres postgres 'CREATE DATABASE leat'
}

await_mongodb() {
  local port
  port=$(port mongodb)
  await documentdb query documentdb postgres 'SELECT 1' >/dev/null
  query documentdb postgres 'SET client_min_messages = warning; CREATE EXTENSION IF NOT EXISTS documentdb CASCADE'
  mkdir -p "$data/ferretdb"
  launch ferretdb "$stack/bin/documentdb" -listen "127.0.0.1:$port" -state "$data/ferretdb" \
    -postgres "postgres://leat@127.0.0.1:$(documentdb_port)/postgres"
  await ferretdb listens 127.0.0.1 "$port"
}

await_rabbitmq() {
  await rabbitmq management_answers
  await rabbitmq listens 127.0.0.1 "$(port rabbitmq)"
}

debian_stop() { # SERVER...
  local server
  for server; do
    case $server in
      rabbitmq) signal TERM rabbitmq ;;
      postgres) signal INT postgres ;; # "fast": connections are cut, nothing is lost
      mongodb) signal TERM ferretdb ;;
    esac
  done
  for server; do
    case $server in
      rabbitmq)
        await_end rabbitmq 20
        signal TERM epmd
        await_end epmd 2
        ;;
      postgres) await_end postgres 20 ;;
      mongodb)
        await_end ferretdb 3 # it waits for its clients, who may wait for it
        signal INT documentdb
        await_end documentdb 20
        ;;
    esac
  done
}

debian_wipe() { rm -rf "${data:?}"/{rabbitmq,postgres,documentdb,ferretdb}; }
