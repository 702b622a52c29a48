-- Roles and databases: one database per service, an owner that migrates it and a runtime
-- role that may only work in it. Idempotent. Run by psql as a superuser, here and in the
-- postgres image; passwords come from TENANTRY_POSTGRES_PASSWORD_<ROLE>.

\set ON_ERROR_STOP on
\set QUIET on

-- A failing or slow statement is logged with its text, and here the text holds passwords.
SET log_min_error_statement = panic;
SET log_statement = none;
SET log_min_duration_statement = -1;
SET client_min_messages = warning;

-- <topology sql-passwords>
\getenv identity_owner TENANTRY_POSTGRES_PASSWORD_IDENTITY_OWNER
\getenv identity TENANTRY_POSTGRES_PASSWORD_IDENTITY
\getenv projects_owner TENANTRY_POSTGRES_PASSWORD_PROJECTS_OWNER
\getenv projects TENANTRY_POSTGRES_PASSWORD_PROJECTS
\getenv webhooks_owner TENANTRY_POSTGRES_PASSWORD_WEBHOOKS_OWNER
\getenv webhooks TENANTRY_POSTGRES_PASSWORD_WEBHOOKS
\getenv audit_owner TENANTRY_POSTGRES_PASSWORD_AUDIT_OWNER
\getenv audit TENANTRY_POSTGRES_PASSWORD_AUDIT
-- </topology>

-- A variable that is missing from the environment stops the script here, as a syntax error.
CREATE TEMPORARY TABLE wanted (role text, password text CHECK (password <> ''));
INSERT INTO wanted VALUES
-- <topology sql-roles>
    ('identity_owner', :'identity_owner'),
    ('identity', :'identity'),
    ('projects_owner', :'projects_owner'),
    ('projects', :'projects'),
    ('webhooks_owner', :'webhooks_owner'),
    ('webhooks', :'webhooks'),
    ('audit_owner', :'audit_owner'),
    ('audit', :'audit');
-- </topology>

SELECT format('CREATE ROLE %I', role) FROM wanted
 WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role)
\gexec
SELECT format('ALTER ROLE %I LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD %L', role, password) FROM wanted
\gexec

-- The builtin locale sorts and folds case the same on every libc; PostgreSQL 16 has none. pg_trgm goes by
-- the cluster's LC_CTYPE all the same: where that is plain C it drops every letter beyond ASCII.
SELECT CASE WHEN current_setting('server_version_num')::int >= 170000
            THEN $$LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8'$$
            ELSE '' END AS locale
\gset

SELECT format('CREATE DATABASE %I OWNER %I TEMPLATE template0 ENCODING ''UTF8'' ', role, role || '_owner') || :'locale'
  FROM wanted
 WHERE role NOT LIKE '%\_owner' AND NOT EXISTS (SELECT FROM pg_database WHERE datname = role)
\gexec
-- Each role meets its own database alone, and makes no table there that could stand before another.
SELECT format('REVOKE ALL ON DATABASE %I FROM PUBLIC; GRANT CONNECT ON DATABASE %1$I TO %1$I', role) FROM wanted
 WHERE role NOT LIKE '%\_owner'
\gexec
-- On a managed server these may belong to its provider.
SELECT format('REVOKE ALL ON DATABASE %I FROM PUBLIC', datname) FROM pg_database
 WHERE datname IN ('postgres', 'template1') AND pg_has_role(datdba, 'USAGE')
\gexec

-- What the owner creates the runtime role may use, but not alter.
-- <topology sql-databases>

\connect identity
CREATE EXTENSION IF NOT EXISTS pg_trgm;
CREATE EXTENSION IF NOT EXISTS btree_gin;
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
ALTER DEFAULT PRIVILEGES FOR ROLE identity_owner IN SCHEMA public
    GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO identity;
ALTER DEFAULT PRIVILEGES FOR ROLE identity_owner IN SCHEMA public
    GRANT USAGE, SELECT ON SEQUENCES TO identity;

\connect projects
CREATE EXTENSION IF NOT EXISTS pg_trgm;
CREATE EXTENSION IF NOT EXISTS btree_gin;
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
ALTER DEFAULT PRIVILEGES FOR ROLE projects_owner IN SCHEMA public
    GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO projects;
ALTER DEFAULT PRIVILEGES FOR ROLE projects_owner IN SCHEMA public
    GRANT USAGE, SELECT ON SEQUENCES TO projects;

\connect webhooks
CREATE EXTENSION IF NOT EXISTS pg_trgm;
CREATE EXTENSION IF NOT EXISTS btree_gin;
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
ALTER DEFAULT PRIVILEGES FOR ROLE webhooks_owner IN SCHEMA public
    GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO webhooks;
ALTER DEFAULT PRIVILEGES FOR ROLE webhooks_owner IN SCHEMA public
    GRANT USAGE, SELECT ON SEQUENCES TO webhooks;

-- Append-only: its migrations grant table by table, nothing comes by default.
\connect audit
CREATE EXTENSION IF NOT EXISTS pg_trgm;
CREATE EXTENSION IF NOT EXISTS btree_gin;
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
-- </topology>
