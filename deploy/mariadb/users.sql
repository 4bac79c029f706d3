-- The schema and its users. First this file, then `aoii migrate` as aoii_admin, then grants.sql: a right to a table can
-- be given only when the table is there. How: docs/howto/deploy-with-systemd.md. Put passwords of your own into it, then:
--   sudo mariadb < users.sql
-- For a MySQL or MariaDB without TLS, remove REQUIRE SSL and put localhost in the place of %.

CREATE DATABASE IF NOT EXISTS aoii CHARACTER SET utf8mb4;

-- For `aoii migrate`, once for each new version; no station runs as this user.
CREATE USER IF NOT EXISTS 'aoii_admin'@'%' IDENTIFIED BY 'choose the first' REQUIRE SSL;
GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, INDEX, DROP ON aoii.* TO 'aoii_admin'@'%';

-- For `aoii server` and `aoii edgelog`.
CREATE USER IF NOT EXISTS 'aoii_server'@'%' IDENTIFIED BY 'choose the second' REQUIRE SSL;

-- For `aoii web`, `aoii export` and Grafana.
CREATE USER IF NOT EXISTS 'aoii_web'@'%' IDENTIFIED BY 'choose the third' REQUIRE SSL;
