# Sourced by the postgres image before init.sql: passwords for it from the container's secrets.
for file in /run/secrets/tenantry_postgres_password_*; do
  name=$(basename "$file" | tr '[:lower:]' '[:upper:]')
  export "$name=$(cat "$file")"
done
