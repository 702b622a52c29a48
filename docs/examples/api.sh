# What the examples of the pages use. In the folder of `make run`:  . docs/examples/api.sh
#
#   API           the address of the edge
#   KEY           an API key of the tenant: the root key of the tenant Demo
#   OPERATOR_KEY  the operator's credential
#
# Elsewhere set the three before. Names that end with _ID are identifiers.

# A value of the JSON on standard input: read_json session id
read_json() { .venv/bin/python -c 'import json, sys
value = json.load(sys.stdin)
for name in sys.argv[1:]: value = value[name]
print(value)' "$@"; }

# curl, with the address and the key: api /v1/admin/users -d '{"email": "ada@example.com"}'
api() { curl -sS --fail-with-body -H "Authorization: Bearer $KEY" \
    -H "Content-Type: application/json" "$API$1" -w "\n" "${@:2}"; }

if [ -e .tenantry/running.json ]; then
    API=$(read_json url < .tenantry/running.json)
    KEY=$(read_json demo api_key < .tenantry/secrets.json)
    OPERATOR_KEY=$(read_json operator_key < .tenantry/secrets.json)
fi
export API KEY OPERATOR_KEY
: "${API:?is not set: run this in the folder of make run, or set API, KEY and OPERATOR_KEY}"
