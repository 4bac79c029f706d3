-- What the stations may do, after users.sql and `aoii migrate`:
--   sudo mariadb < grants.sql
-- A test gives both files to a real MariaDB and tries, as each user, what must be refused.

-- The server adds rows; it removes none and changes no table. UPDATE is what MariaDB asks for, on every column, before
-- it takes the statement for readings that come twice (ON DUPLICATE KEY UPDATE id = id, which changes nothing).
GRANT SELECT, INSERT, UPDATE ON aoii.readings TO 'aoii_server'@'%';
GRANT SELECT, INSERT ON aoii.edge_log TO 'aoii_server'@'%';
GRANT SELECT ON aoii.alembic_version TO 'aoii_server'@'%';
-- What accounts for the numbers without a row. A floor is raised and never removed.
GRANT SELECT, INSERT, UPDATE, DELETE ON aoii.gaps TO 'aoii_server'@'%';
GRANT SELECT, INSERT, UPDATE ON aoii.floors TO 'aoii_server'@'%';
GRANT SELECT, INSERT, UPDATE ON aoii.gateway_files TO 'aoii_server'@'%';
GRANT SELECT, INSERT, UPDATE ON aoii.gateway_numbers TO 'aoii_server'@'%';
GRANT SELECT, INSERT, UPDATE, DELETE ON aoii.audits TO 'aoii_server'@'%';
GRANT SELECT ON aoii.marks TO 'aoii_server'@'%';

-- Readers read.
GRANT SELECT ON aoii.readings TO 'aoii_web'@'%';
GRANT SELECT ON aoii.edge_log TO 'aoii_web'@'%';
GRANT SELECT ON aoii.alembic_version TO 'aoii_web'@'%';
GRANT SELECT ON aoii.gaps TO 'aoii_web'@'%';
GRANT SELECT ON aoii.floors TO 'aoii_web'@'%';
GRANT SELECT ON aoii.gateway_files TO 'aoii_web'@'%';
GRANT SELECT ON aoii.gateway_numbers TO 'aoii_web'@'%';
GRANT SELECT ON aoii.audits TO 'aoii_web'@'%';
GRANT SELECT ON aoii.marks TO 'aoii_web'@'%';

-- `aoii backup` puts a dump back for trial, into a database that it makes and removes. Leave this out where a second copy
-- for some minutes is too much; the backup then says that it was not tried.
GRANT CREATE, DROP, SELECT, INSERT, ALTER, INDEX ON `aoii\_trial\_%`.* TO 'aoii_server'@'%';
