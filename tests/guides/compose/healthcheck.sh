#!/bin/sh
# In the place of the one in MariaDB's image; its options are not needed.
exec mariadb-admin --no-defaults --user=aoii --password="$(cat /run/secrets/mysql-aoii)" --host=127.0.0.1 ping
