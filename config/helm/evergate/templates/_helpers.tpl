{{/* A release may be called `wiki.example.com`, and no Service may. */}}
{{- define "evergate.name" -}}
{{- $release := .Release.Name | replace "." "-" -}}
{{- if contains "evergate" $release }}{{ $release | trunc 53 | trimSuffix "-" }}{{ else }}{{ printf "%s-evergate" $release | trunc 53 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "evergate.selector" -}}
app.kubernetes.io/name: evergate
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "evergate.labels" -}}
{{ include "evergate.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "evergate.metadata" -}}
name: {{ include "evergate.name" . }}
namespace: {{ .Release.Namespace }}
labels:
  {{- include "evergate.labels" . | nindent 2 }}
{{- end }}

{{/* How many replicas there are: a number that an upgrade takes away would be one until the autoscaler has looked. Where Helm applies
     at the server (Helm 4) and the autoscaler has written the number, it is the autoscaler's, and naming it would be a conflict. */}}
{{- define "evergate.liveReplicas" -}}
{{- with lookup "apps/v1" "Deployment" .Release.Namespace (include "evergate.name" .) -}}
{{- $isApplied := false -}}
{{- $isScaled := false -}}
{{- range .metadata.managedFields -}}
{{- if eq .operation "Apply" -}}{{- $isApplied = true -}}{{- end -}}
{{- if eq (.subresource | default "") "scale" -}}{{- $isScaled = true -}}{{- end -}}
{{- end -}}
{{- if not (and $isApplied $isScaled) -}}{{- .spec.replicas -}}{{- end -}}
{{- end -}}
{{- end }}

{{- define "evergate.image" -}}
{{- with .Values.image }}
{{- if .digest }}{{ .repository }}@{{ .digest }}{{ else }}{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end }}
{{- end }}

{{/* A duration in seconds. The schema lets whole seconds, minutes and hours through where this is asked. */}}
{{- define "evergate.seconds" -}}
{{- $number := regexFind "^[0-9]+" . | int -}}
{{- $unit := dict "s" 1 "m" 60 "h" 3600 -}}
{{- mul $number (get $unit (regexFind "[smh]$" .) | default 1) -}}
{{- end }}

{{/* The times of a stop, added up: preStop, unready, the drain, and the token refreshes that began at its end, which are saved: at the
     slowest of all providers, each of which may have a timeout of its own; and last, what is written of sessions and of the history, and the last spans of traces. */}}
{{- define "evergate.gracePeriod" -}}
{{- $drain := include "evergate.seconds" (.Values.settings.shutdown_timeout | default "30s") -}}
{{- $tokenCall := include "evergate.seconds" (.Values.settings.oidc_token_timeout | default "30s") | int -}}
{{- range .Values.providers -}}
{{- $tokenCall = max $tokenCall (include "evergate.seconds" (.oidc_token_timeout | default "30s") | int) -}}
{{- end -}}
{{- $saving := 15 -}}
{{- $lastWrites := 10 -}}
{{- $lastSpans := 5 -}}
{{- add .Values.preStopSeconds 1 $drain $tokenCall $saving $lastWrites $lastSpans -}}
{{- end }}

{{/* How often readiness must fail: while Postgres is away, sessions are served from memory for CODER_STORE_OUTAGE_GRACE, which
     nobody would see if the Service had no endpoint left. */}}
{{- define "evergate.unreadyAfter" -}}
{{- $grace := include "evergate.seconds" (.Values.settings.store_outage_grace | default "1m") | int -}}
{{- max 2 (add (div $grace 5) 1) -}}
{{- end }}

{{- define "evergate.prefix" -}}
{{- regexReplaceAll "/+$" (.Values.settings.path_prefix | default "/oauth2") "" -}}
{{- end }}

{{- define "evergate.hostnames" -}}
{{- $first := (urlParse .Values.settings.access_url).host | splitList ":" | first -}}
{{- concat (list (lower $first)) .Values.hostnames | uniq | toJson -}}
{{- end }}

{{/* The secrets that are there, by the settings that they are for. */}}
{{- define "evergate.secrets" -}}
{{- $all := list -}}
{{- with .Values.secrets -}}
{{- $all = append $all (merge (dict "setting" "pg_connection_url") .postgresUrl) -}}
{{- $all = append $all (merge (dict "setting" "external_token_encryption_keys") .encryptionKeys) -}}
{{- if .clientSecret.name -}}{{- $all = append $all (merge (dict "setting" "oidc_client_secret") .clientSecret) -}}{{- end -}}
{{- $all = concat $all .others -}}
{{- end -}}
{{- $all | toJson -}}
{{- end }}

{{/* A value as TOML. Helm's own toToml writes whole numbers as fractions. */}}
{{- define "evergate.toml" -}}
{{- if kindIs "map" . -}}
{ {{- range $index, $key := keys . | sortAlpha -}}{{ if $index }},{{ end }} {{ $key | toJson }} = {{ include "evergate.toml" (get $ $key) }}{{- end }} }
{{- else if kindIs "slice" . -}}
[{{- range $index, $member := . -}}{{ if $index }}, {{ end }}{{ include "evergate.toml" $member }}{{- end -}}]
{{- else if kindIs "bool" . -}}
{{- . -}}
{{- else if kindIs "string" . -}}
{{- . | toJson -}}
{{- else if kindIs "invalid" . -}}
{{- fail "null is no value of a setting or of a route's, an issuer's or a provider's key: leave it out" -}}
{{- else if ne (floor .) (float64 .) -}}
{{- fail (printf "%v is no whole number" .) -}}
{{- else -}}
{{- . | int64 -}}
{{- end -}}
{{- end }}

{{- define "evergate.file" -}}
{{- range $key := keys .Values.settings | sortAlpha }}
{{ $key }} = {{ include "evergate.toml" (get $.Values.settings $key) }}
{{- end }}
{{- range .Values.providers }}

[[provider]]
{{- $table := omit . "secrets" }}
{{- range $key := keys $table | sortAlpha }}
{{ $key }} = {{ include "evergate.toml" (get $table $key) }}
{{- end }}
{{- $name := .name }}
{{- range .secrets }}
{{ .setting }}_file = "/run/secrets/evergate/{{ $name }}.{{ .setting }}"
{{- end }}
{{- end }}
{{- range .Values.tokenIssuers }}

[[token_issuer]]
{{- $table := . }}
{{- range $key := keys $table | sortAlpha }}
{{ $key }} = {{ include "evergate.toml" (get $table $key) }}
{{- end }}
{{- end }}
{{- end }}

{{- define "evergate.routes" -}}
{{- range .Values.routes }}

[[route]]
{{- $table := . }}
{{- range $key := keys $table | sortAlpha }}
{{ $key }} = {{ include "evergate.toml" (get $table $key) }}
{{- end }}
{{- end }}
{{- end }}
