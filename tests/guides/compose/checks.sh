# shellcheck shell=bash
# What `make compose-guide` adds to the commands of the guide: a simulated receiver, and what has to be true at the end.

fail() {
    docker-compose ps
    docker-compose logs --no-color --tail=15
    echo "compose-guide: $*" >&2
    exit 1
}

within() { # within SECONDS COMMAND...: true as soon as the command is
    local deadline=$((SECONDS + $1))
    shift
    until "$@"; do
        [ $SECONDS -lt $deadline ] || return 1
        sleep 1
    done
}

simulate_receiver() { # in the place of the hardware: nodes, their radio and the receiver's port
    sed -i 's|^SERIAL_PORT=.*|SERIAL_PORT=/var/lib/aoii/run/receiver|' settings.env
    docker run -d --name nodes --network host -u "$(id -u):$(id -g)" -v /dev:/dev -v "$PWD/data/aoii:/var/lib/aoii" \
        -e AOII_DATA_DIR=/var/lib/aoii aoii:0.2.0 edge >/dev/null
}

all_healthy() {
    local ids
    ids=$(docker ps -q)
    [ "$(echo "$ids" | wc -l)" -ge "$1" ] || return 1
    # shellcheck disable=SC2086 # several words are meant
    ! docker inspect -f '{{.Name}} {{.State.Health.Status}}' $ids | grep -v ' healthy$' >unhealthy
}

rows() {
    docker-compose exec -T mariadb mariadb -uaoii -p"$(cat secrets/mysql-aoii)" -h127.0.0.1 -N aoii -e "$1"
}

stored() { [ "$(rows 'SELECT COUNT(DISTINCT node) FROM readings' 2>/dev/null)" = 3 ]; }

ask_prometheus() { docker-compose exec -T prometheus wget -q -O - "http://127.0.0.1:9090/api/v1/$1"; }

seen() { # the rules have been evaluated since the stations were asked
    [ "$(ask_prometheus 'query?query=aoii:station:seen' | grep -o '"station":"[a-z]*"' | sort -u | wc -l)" -ge 4 ]
}

await_health() { # ten containers: nine of compose.yaml with the profile csv, and the simulated nodes
    within 240 all_healthy 10 || fail "not healthy after four minutes: $(cat unhealthy)"
    within 120 stored || fail "the readings of three simulated nodes are not in the database"
}

check_stack() {
    for station in web csv; do docker-compose exec $station aoii doctor || fail "doctor in $station"; done
    # By now CsvDown and LogReaderDown would have fired, had they not to wait for five minutes: a pending one counts too.
    within 90 seen || fail "Prometheus has not seen the stations"
    ask_prometheus alerts >alerts.json
    ! grep -E '"alertname":"(Csv|LogReader|Web|Gateway|Server)Down"|"state":"firing"' alerts.json || fail "alerts in a healthy stack"
    echo "compose-guide: $(docker ps -q | wc -l) containers healthy, $(rows 'SELECT COUNT(*) FROM readings') readings stored"
}

check_end() {
    docker rm -f nodes >/dev/null
    [ -z "$(docker ps -aq)" ] || fail "containers are left after down"
}
