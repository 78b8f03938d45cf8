{{- define "jobshim.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end }}

{{- define "jobshim.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else if contains (include "jobshim.name" .) .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "jobshim.name" .) | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end }}

{{- define "jobshim.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/name: {{ include "jobshim.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "jobshim.podLabels" -}}
{{- if eq .Values.form "library" -}}
{{- toYaml .Values.library.podLabels -}}
{{- else -}}
app.kubernetes.io/name: {{ include "jobshim.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}
{{- end }}

{{/* Whether there are pods whose labels are known: "true", or nothing. */}}
{{- define "jobshim.knowsPods" -}}
{{- if or (ne .Values.form "library") .Values.library.podLabels }}true{{ end -}}
{{- end }}

{{- define "jobshim.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "jobshim.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end }}

{{- define "jobshim.image" -}}
{{- $repository := required "image.repository is needed: where you pushed the image that jobshim's Dockerfile builds" .Values.image.repository -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" $repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" $repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end }}

{{- define "jobshim.upstream" -}}
{{- if eq .Values.form "standalone" -}}
{{- required "upstream.url is needed: the server behind, such as http://comfyui:8188" .Values.upstream.url -}}
{{- else -}}
{{- default (printf "http://127.0.0.1:%v" .Values.comfyui.port) .Values.upstream.url -}}
{{- end -}}
{{- end }}

{{/* The port that the server's pods have. */}}
{{- define "jobshim.upstreamPort" -}}
{{- if .Values.networkPolicy.upstreamPort -}}
{{- .Values.networkPolicy.upstreamPort -}}
{{- else -}}
{{- $url := urlParse (include "jobshim.upstream" .) -}}
{{- $port := regexFind ":[0-9]+$" $url.host | trimPrefix ":" -}}
{{- default (eq $url.scheme "https" | ternary "443" "80") $port -}}
{{- end -}}
{{- end }}

{{/* The chart's own Valkey. Names of its pods have a suffix, and are labels. */}}
{{- define "jobshim.valkeyName" -}}
{{- include "jobshim.fullname" . | trunc 45 | trimSuffix "-" }}-valkey
{{- end }}

{{/* Other names than those of jobshim's pods, whose Services and policies must not select it. */}}
{{- define "jobshim.valkeyPodLabels" -}}
app.kubernetes.io/name: {{ include "jobshim.name" . | trunc 56 | trimSuffix "-" }}-valkey
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "jobshim.valkeyLabels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "jobshim.valkeyPodLabels" . }}
app.kubernetes.io/component: valkey
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "jobshim.state" -}}
{{- if .Values.valkey.enabled -}}
valkey://{{ include "jobshim.valkeyName" . }}:6379/0
{{- else -}}
{{- required "state.kind: valkey needs state.valkey.url, such as valkey://valkey:6379/0, or a Valkey of the chart's own: valkey.enabled" .Values.state.valkey.url -}}
{{- end -}}
{{- end }}

{{/* The ports of the Valkey's pods, in a list. */}}
{{- define "jobshim.valkeyPorts" -}}
{{- $ports := .Values.networkPolicy.valkeyPorts -}}
{{- if and (not $ports) .Values.state.valkey.url -}}
{{- $sentinel := contains "-sentinel://" .Values.state.valkey.url -}}
{{- $hosts := .Values.state.valkey.url | regexFind "://[^/]*" | trimPrefix "://" | regexFind "[^@]*$" -}}
{{- range splitList "," $hosts -}}
{{- $ports = append $ports (regexFind ":[0-9]+$" . | trimPrefix ":" | default (ternary "26379" "6379" $sentinel) | int) -}}
{{- end -}}
{{- if $sentinel -}}{{- $ports = append $ports 6379 -}}{{- end -}}
{{- end -}}
{{- $ports | uniq | toJson -}}
{{- end }}

{{/* Whether a Secret is mounted: "true", or nothing. */}}
{{- define "jobshim.hasSecrets" -}}
{{- $valkey := .Values.state.valkey -}}
{{- if or .Values.accessToken.secretName .Values.upstream.headers .Values.tls.secretName (and (eq .Values.state.kind "valkey") (or $valkey.password.secretName $valkey.key.secretName)) -}}true{{- end -}}
{{- end }}

{{- define "jobshim.claimName" -}}
{{- default (printf "%s-state" (include "jobshim.fullname" .)) .Values.state.existingClaim -}}
{{- end }}

{{/* What cannot work is refused here, and not by a pod that does not start. */}}
{{- define "jobshim.check" -}}
{{- $own := list "JOBSHIM_LISTEN" "JOBSHIM_ADMIN" "JOBSHIM_UPSTREAM" "JOBSHIM_LOG_FORMAT" "JOBSHIM_STATE" "JOBSHIM_STATE_DIR" "JOBSHIM_STATE_PASSWORD" "JOBSHIM_STATE_KEY" "JOBSHIM_STATE_CA_FILE" "JOBSHIM_CONFIG" "JOBSHIM_DRAIN_DELAY" "JOBSHIM_ACCESS_TOKEN" "JOBSHIM_UPSTREAM_HEADERS" "JOBSHIM_CA_FILE" "JOBSHIM_TLS_CERTIFICATE" "JOBSHIM_TLS_KEY" "JOBSHIM_I_KNOW_THIS_IS_OPEN" -}}
{{- range .Values.env -}}
{{- if has .name $own -}}
{{- fail (printf "env: %s is set by the chart itself; values.yaml has a value for it" .name) -}}
{{- end -}}
{{- end -}}
{{- if and .Values.upstream.headers (not .Values.accessToken.secretName) (not .Values.open) -}}
{{- fail "upstream.headers without accessToken.secretName: everybody who reaches jobshim would use the server with your key. `open: true` says that this is meant" -}}
{{- end -}}
{{- if and (eq .Values.state.kind "claim") (or .Values.autoscaling.enabled (gt (int .Values.replicas) 1)) -}}
{{- fail "state.kind: claim is for one replica: each jobshim needs a folder of its own. state.kind: valkey is for several" -}}
{{- end -}}
{{- if .Values.valkey.enabled -}}
{{- if ne .Values.state.kind "valkey" -}}
{{- fail "valkey.enabled without state.kind: valkey: nobody would use it" -}}
{{- end -}}
{{- if .Values.state.valkey.url -}}
{{- fail "valkey.enabled and state.valkey.url are two places for one state: leave out one of them" -}}
{{- end -}}
{{- if ne .Values.form "standalone" -}}
{{- fail "valkey.enabled is of form standalone: one jobshim beside one ComfyUI needs none" -}}
{{- end -}}
{{- if not .Values.state.valkey.password.secretName -}}
{{- fail "valkey.enabled needs state.valkey.password.secretName: a Secret with a password, as made by `kubectl create secret generic jobshim-state --from-literal=password=\"$(openssl rand -hex 32)\"`" -}}
{{- end -}}
{{- end -}}
{{- if ne .Values.form "standalone" -}}
{{- if or .Values.autoscaling.enabled (gt (int .Values.replicas) 1) -}}
{{- fail "replicas and autoscaling are of form standalone: a queue and its history live in one ComfyUI" -}}
{{- end -}}
{{- if not (semverCompare ">=1.29.0-0" .Capabilities.KubeVersion.Version) -}}
{{- fail "forms sidecar and library need Kubernetes 1.29, which has sidecars of its own: containers that start first and stop last" -}}
{{- end -}}
{{- end -}}
{{- end }}
