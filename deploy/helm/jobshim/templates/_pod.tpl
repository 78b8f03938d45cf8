{{/* jobshim's container. */}}
{{- define "jobshim.container" -}}
{{- include "jobshim.check" . -}}
- name: jobshim
  image: {{ include "jobshim.image" . | quote }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  {{- if ne .Values.form "standalone" }}
  # A sidecar: it starts before the others, and stops after them.
  restartPolicy: Always
  {{- end }}
  env:
    - { name: JOBSHIM_LISTEN, value: "0.0.0.0:8187" }
    # For the probes, and for whom a NetworkPolicy lets in.
    - { name: JOBSHIM_ADMIN, value: "0.0.0.0:8186" }
    - { name: JOBSHIM_UPSTREAM, value: {{ include "jobshim.upstream" . | quote }} }
    - { name: JOBSHIM_LOG_FORMAT, value: {{ .Values.logFormat | quote }} }
    {{- if eq .Values.form "standalone" }}
    - { name: JOBSHIM_DRAIN_DELAY, value: {{ .Values.drainDelay | quote }} }
    {{- end }}
    {{- if has .Values.state.kind (list "emptyDir" "claim") }}
    - { name: JOBSHIM_STATE_DIR, value: /state }
    {{- end }}
    {{- if eq .Values.state.kind "valkey" }}
    - { name: JOBSHIM_STATE, value: {{ include "jobshim.state" . | quote }} }
    {{- with .Values.state.valkey }}
    {{- if .password.secretName }}
    - { name: JOBSHIM_STATE_PASSWORD, value: "file:/run/secrets/jobshim/state/password" }
    {{- end }}
    {{- if .key.secretName }}
    - { name: JOBSHIM_STATE_KEY, value: "file:/run/secrets/jobshim/state/key" }
    {{- end }}
    {{- if .ca.configMapName }}
    - { name: JOBSHIM_STATE_CA_FILE, value: /etc/jobshim-state-ca/ca.crt }
    {{- end }}
    {{- end }}
    {{- end }}
    {{- if .Values.config }}
    - { name: JOBSHIM_CONFIG, value: /etc/jobshim/jobshim.toml }
    {{- end }}
    {{- if .Values.accessToken.secretName }}
    - { name: JOBSHIM_ACCESS_TOKEN, value: "file:/run/secrets/jobshim/access-token/token" }
    {{- end }}
    {{- if .Values.open }}
    - { name: JOBSHIM_I_KNOW_THIS_IS_OPEN, value: "true" }
    {{- end }}
    {{- with .Values.upstream.headers }}
    - name: JOBSHIM_UPSTREAM_HEADERS
      value: |-
        {{- range $at, $header := . }}
        {{ $header.name }}=file:/run/secrets/jobshim/upstream-headers/{{ $at }}
        {{- end }}
    {{- end }}
    {{- if .Values.upstream.ca.configMapName }}
    - { name: JOBSHIM_CA_FILE, value: /etc/jobshim-ca/ca.crt }
    {{- end }}
    {{- if .Values.tls.secretName }}
    - { name: JOBSHIM_TLS_CERTIFICATE, value: /run/secrets/jobshim/tls/tls.crt }
    - { name: JOBSHIM_TLS_KEY, value: /run/secrets/jobshim/tls/tls.key }
    {{- end }}
    {{- with .Values.env }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  ports:
    - { name: http, containerPort: 8187 }
    - { name: admin, containerPort: 8186 }
  startupProbe:
    httpGet: { path: /healthz, port: admin }
    {{- toYaml .Values.probes.startup | nindent 4 }}
  livenessProbe:
    httpGet: { path: /healthz, port: admin }
    {{- toYaml .Values.probes.liveness | nindent 4 }}
  readinessProbe:
    httpGet: { path: /readyz, port: admin }
    {{- toYaml .Values.probes.readiness | nindent 4 }}
  resources:
    {{- toYaml .Values.resources | nindent 4 }}
  securityContext:
    {{- toYaml .Values.securityContext | nindent 4 }}
  {{- if include "jobshim.volumes" . }}
  volumeMounts:
    {{- if has .Values.state.kind (list "emptyDir" "claim") }}
    - { name: jobshim-state, mountPath: /state }
    {{- end }}
    {{- if .Values.config }}
    # A folder, not a file in one: only so are changes seen.
    - { name: jobshim-config, mountPath: /etc/jobshim, readOnly: true }
    {{- end }}
    {{- if .Values.upstream.ca.configMapName }}
    - { name: jobshim-ca, mountPath: /etc/jobshim-ca, readOnly: true }
    {{- end }}
    {{- if and (eq .Values.state.kind "valkey") .Values.state.valkey.ca.configMapName }}
    - { name: jobshim-state-ca, mountPath: /etc/jobshim-state-ca, readOnly: true }
    {{- end }}
    {{- if include "jobshim.hasSecrets" . }}
    - { name: jobshim-secrets, mountPath: /run/secrets/jobshim, readOnly: true }
    {{- end }}
  {{- end }}
{{- end }}

{{/* An entry for the initContainers of a pod. For charts that have jobshim as a dependency, in form library:
       initContainers:
         {{- include "jobshim.sidecar" .Subcharts.jobshim | nindent 8 }} */}}
{{- define "jobshim.sidecar" -}}
{{- include "jobshim.container" . -}}
{{- end }}

{{/* Entries for the volumes of its pod. */}}
{{- define "jobshim.volumes" -}}
{{- if eq .Values.state.kind "emptyDir" }}
- name: jobshim-state
  emptyDir: { sizeLimit: {{ .Values.state.size }} }
{{- else if eq .Values.state.kind "claim" }}
- name: jobshim-state
  persistentVolumeClaim: { claimName: {{ include "jobshim.claimName" . }} }
{{- end }}
{{- if .Values.config }}
- name: jobshim-config
  configMap: { name: {{ include "jobshim.fullname" . }} }
{{- end }}
{{- if .Values.upstream.ca.configMapName }}
- name: jobshim-ca
  configMap:
    name: {{ .Values.upstream.ca.configMapName }}
    items: [{ key: {{ .Values.upstream.ca.key | quote }}, path: ca.crt }]
{{- end }}
{{- if and (eq .Values.state.kind "valkey") .Values.state.valkey.ca.configMapName }}
- name: jobshim-state-ca
  configMap:
    name: {{ .Values.state.valkey.ca.configMapName }}
    items: [{ key: {{ .Values.state.valkey.ca.key | quote }}, path: ca.crt }]
{{- end }}
{{- if include "jobshim.hasSecrets" . }}
- name: jobshim-secrets
  projected:
    # No other container mounts it, and jobshim is nobody.
    defaultMode: 0444
    sources:
      {{- with .Values.accessToken }}
      {{- if .secretName }}
      - secret:
          name: {{ .secretName }}
          items: [{ key: {{ .secretKey | quote }}, path: access-token/token }]
      {{- end }}
      {{- end }}
      {{- range $at, $header := .Values.upstream.headers }}
      - secret:
          name: {{ $header.secretName }}
          items: [{ key: {{ $header.secretKey | quote }}, path: upstream-headers/{{ $at }} }]
      {{- end }}
      {{- with .Values.tls.secretName }}
      - secret:
          name: {{ . }}
          items:
            - { key: tls.crt, path: tls/tls.crt }
            - { key: tls.key, path: tls/tls.key }
      {{- end }}
      {{- if eq .Values.state.kind "valkey" }}
      {{- range $name, $secret := pick .Values.state.valkey "password" "key" }}
      {{- if $secret.secretName }}
      - secret:
          name: {{ $secret.secretName }}
          items: [{ key: {{ $secret.secretKey | quote }}, path: state/{{ $name }} }]
      {{- end }}
      {{- end }}
      {{- end }}
{{- end }}
{{- end }}
