{{/* Names and labels, and what all pods share. */}}

{{- define "tenantry.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride }}
{{- $of := contains $name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name $name) }}
{{- default $of .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- end }}

{{/* What selects all pods of a release. */}}
{{- define "tenantry.release" -}}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/part-of: tenantry
{{- end }}

{{/* What selects the pods of a component: (list $ "edge"). */}}
{{- define "tenantry.selector" -}}
{{ include "tenantry.release" (index . 0) }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{/* Of an object of a component, (list $ "edge"), or of all of them, (list $). */}}
{{- define "tenantry.labels" -}}
{{- $ := index . 0 }}
{{- if len . | eq 1 }}
{{- include "tenantry.release" $ }}
{{- else }}
{{- include "tenantry.selector" . }}
{{- end }}
app.kubernetes.io/name: tenantry
app.kubernetes.io/version: {{ $.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $.Release.Service }}
helm.sh/chart: {{ $.Chart.Name }}-{{ $.Chart.Version | replace "+" "_" }}
{{- end }}

{{/* The values of a component over the defaults, as YAML: (list $ "edge"). */}}
{{- define "tenantry.values" -}}
{{- $ := index . 0 }}
{{- $name := index . 1 }}
{{- $own := get (hasKey $.Values.services $name | ternary $.Values.services $.Values) $name }}
{{- toYaml (mergeOverwrite (deepCopy $.Values.defaults) $own) }}
{{- end }}

{{/* The processes that serve, as a YAML list. */}}
{{- define "tenantry.processes" -}}
{{- toYaml (concat (list "edge") (.Values.console.enabled | ternary (list "console") list) (keys .Values.services | sortAlpha)) }}
{{- end }}

{{- define "tenantry.secret" -}}
{{- $ := index . 0 }}
{{- $values := include "tenantry.values" . | fromYaml }}
{{- default (printf "%s-%s" (include "tenantry.fullname" $) (index . 1)) $values.secret }}
{{- end }}

{{- define "tenantry.image" -}}
{{- $image := (index . 0).Values.image }}
{{- $digest := get $image.digests (index . 1) }}
{{- $image.repository }}/{{ index . 1 }}:{{ default (index . 0).Chart.AppVersion $image.tag }}{{ with $digest }}@{{ . }}{{ end }}
{{- end }}

{{/* The servers that a component connects to, as a YAML list: the policies and certificates follow. */}}
{{- define "tenantry.servers" -}}
{{- $services := keys (index . 0).Values.services }}
{{- $name := index . 1 }}
{{- $servers := list }}
{{- if has $name (concat $services (list "migrate" "backup")) }}{{ $servers = append $servers "postgres" }}{{ end }}
{{- if has $name (concat $services (list "edge" "streams")) }}{{ $servers = append $servers "nats" }}{{ end }}
{{- if has $name (list "edge" "console") }}{{ $servers = append $servers "redis" }}{{ end }}
{{- toYaml $servers }}
{{- end }}

{{/* The settings that follow from values, for a component: (list $ "edge"). */}}
{{- define "tenantry.settings" -}}
{{- $ := index . 0 }}
{{- $name := index . 1 }}
TENANTRY_SECRETS_DIR: /run/secrets/tenantry
{{- range include "tenantry.servers" . | fromYamlArray }}
{{- $prefix := printf "TENANTRY_%s" (eq . "postgres" | ternary "DATABASE" (upper .)) }}
{{- $folder := printf "/etc/tenantry/tls/%s" . }}
{{- with (index $.Values.servers .).tls }}
{{- if .secret }}
{{ $prefix }}_CA_FILE: {{ $folder }}/ca.crt
{{- if .clientCertificate }}
{{ $prefix }}_CERT_FILE: {{ $folder }}/tls.crt
{{ $prefix }}_KEY_FILE: {{ $folder }}/tls.key
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- if $.Values.otlp.endpoint }}
OTEL_EXPORTER_OTLP_ENDPOINT: {{ $.Values.otlp.endpoint | quote }}
{{- with $.Values.otlp.env }}
{{ toYaml . }}
{{- end }}
{{- end }}
{{- if has $name (list "edge" "console") }}
TENANTRY_DRAIN_SECONDS: {{ (index $.Values $name).drainSeconds | quote }}
{{- with $.Values.exposure.trustedProxies }}
TENANTRY_TRUSTED_PROXIES: {{ join "," . | quote }}
{{- end }}
{{- end }}
{{- if and (eq $name "edge") $.Values.console.enabled $.Values.console.host }}
TENANTRY_CONSOLE_URL: https://{{ $.Values.console.host }}
{{- end }}
{{- if eq $name "console" }}
TENANTRY_CONSOLE_EDGE_URL: http://{{ include "tenantry.fullname" $ }}-edge
{{- end }}
{{- if and (has $name (list "audit" "migrate")) $.Values.auditRetentionDays }}
TENANTRY_AUDIT_RETENTION_DAYS: {{ $.Values.auditRetentionDays | quote }}
{{- end }}
{{- if eq $name "streams" }}
{{- with $.Values.streams.storedOn }}
TENANTRY_NATS_REPLICAS: {{ . | quote }}
{{- end }}
{{- with $.Values.streams.subscribers }}
TENANTRY_SUBSCRIBERS: {{ join " " . | quote }}
{{- end }}
{{- end }}
{{- end }}

{{/* As `env` of a container: a text, or what a `valueFrom` has. */}}
{{- define "tenantry.env" -}}
{{- range $name, $value := . }}
- name: {{ $name }}
{{- if kindIs "map" $value }}
  valueFrom:
    {{- toYaml $value | nindent 4 }}
{{- else }}
  value: {{ $value | quote }}
{{- end }}
{{- end }}
{{- end }}

{{/*
The template of pods with one container: `root`; `name`, the component; `image`, if it is not of that
name; and as YAML `container`, what that has besides, `volumes`, `mounts`, `annotations`, `spec`.
*/}}
{{- define "tenantry.pod" -}}
{{- $ := .root }}
{{- $name := .name }}
{{- $values := include "tenantry.values" (list $ $name) | fromYaml }}
{{- $settings := include "tenantry.settings" (list $ $name) | fromYaml }}
{{- $servers := list }}
{{- range include "tenantry.servers" (list $ $name) | fromYamlArray }}
{{- if (index $.Values.servers .).tls.secret }}{{ $servers = append $servers . }}{{ end }}
{{- end }}
metadata:
  labels:
    {{- include "tenantry.labels" (list $ $name) | nindent 4 }}
  {{- with mergeOverwrite (default "" .annotations | fromYaml) $values.podAnnotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  {{- with .spec }}
  {{- . | nindent 2 }}
  {{- end }}
  automountServiceAccountToken: false
  {{- with $.Values.serviceAccountName }}
  serviceAccountName: {{ . }}
  {{- end }}
  {{- with $.Values.image.pullSecrets }}
  imagePullSecrets:
    {{- range . }}
    - name: {{ . }}
    {{- end }}
  {{- end }}
  securityContext:
    runAsNonRoot: true
    runAsUser: 10001
    fsGroup: 10001
    fsGroupChangePolicy: OnRootMismatch
    seccompProfile: { type: RuntimeDefault }
  {{- range $field := list "nodeSelector" "tolerations" "affinity" "priorityClassName" }}
  {{- with get $values $field }}
  {{ $field }}:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- end }}
  {{- with $values.topologySpread }}
  topologySpreadConstraints:
    {{- range . }}
    - {{ toYaml . | nindent 6 | trim }}
      labelSelector:
        matchLabels:
          {{- include "tenantry.selector" (list $ $name) | nindent 10 }}
    {{- end }}
  {{- end }}
  containers:
    - name: {{ $name }}
      image: {{ include "tenantry.image" (list $ (default $name .image)) }}
      imagePullPolicy: {{ $.Values.image.pullPolicy }}
      {{- .container | trim | nindent 6 }}
      env:
        {{- include "tenantry.env" (mergeOverwrite $settings $values.env) | trim | nindent 8 }}
      resources:
        {{- toYaml $values.resources | nindent 8 }}
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities: { drop: [ALL] }
      volumeMounts:
        - { name: secrets, mountPath: /run/secrets/tenantry, readOnly: true }
        {{- range $servers }}
        - { name: tls-{{ . }}, mountPath: /etc/tenantry/tls/{{ . }}, readOnly: true }
        {{- end }}
        {{- with .mounts }}
        {{- . | nindent 8 }}
        {{- end }}
  volumes:
    # Files: no process list shows them, and they follow the secret.
    - name: secrets
      secret: { secretName: {{ include "tenantry.secret" (list $ $name) }}, defaultMode: 0440 }
    {{- range $servers }}
    - name: tls-{{ . }}
      secret: { secretName: {{ (index $.Values.servers .).tls.secret }}, defaultMode: 0440 }
    {{- end }}
    {{- with .volumes }}
    {{- . | nindent 4 }}
    {{- end }}
{{- end }}
