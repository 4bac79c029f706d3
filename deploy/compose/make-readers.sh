#!/bin/sh
# MariaDB's image runs this once, when it makes the database: Grafana's user, who may only read.
set -eu
mariadb --user=root --password="$(cat /run/secrets/mysql-root)" <<END
CREATE USER grafana@127.0.0.1 IDENTIFIED BY '$(cat /run/secrets/mysql-grafana)';
GRANT SELECT ON aoii.* TO grafana@127.0.0.1;
END
