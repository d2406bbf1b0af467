{{/* metadata of a resource: dict "root" $ "name" … and, of a resource of one program, "component" … */}}
{{- define "khata.metadata" -}}
name: {{ .name }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- with .component }}
  {{- include "khata.selector" . | nindent 2 }}
  {{- end }}
  app.kubernetes.io/part-of: khata
  app.kubernetes.io/instance: {{ .root.Release.Name }}
  app.kubernetes.io/managed-by: {{ .root.Release.Service }}
  helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end }}

{{/* Labels that select the pods of a component. */}}
{{- define "khata.selector" -}}
app.kubernetes.io/name: khata
app.kubernetes.io/component: {{ . }}
{{- end }}

{{/* Name of an image: dict "root" $ "program" "api" or "worker" */}}
{{- define "khata.image" -}}
{{- $image := .root.Values.image -}}
{{- $digest := get $image.digests .program -}}
{{ $image.registry }}/khata-{{ .program }}{{ if $digest }}@{{ $digest }}{{ else }}:{{ $image.tag | default .root.Chart.AppVersion }}{{ end }}
{{- end }}

{{/* metadata of a pod: dict "root" $ "component" … */}}
{{- define "khata.podMetadata" -}}
labels:
  {{- include "khata.selector" .component | nindent 2 }}
{{- $annotations := .root.Values.pods.annotations }}
{{- if ne .component "migrate" }}
{{- $settings := printf "%s%s" (toYaml .root.Values.settings) (toYaml .root.Values.monitoring) }}
{{- $annotations = merge (dict "checksum/settings" (sha256sum $settings)) .root.Values.keyringPods.annotations $annotations }}
{{- end }}
{{- with $annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* The parts of a pod that all pods have: dict "root" $ "component" … */}}
{{- define "khata.pod" -}}
serviceAccountName: khata-{{ .component }}
# Khata never calls the API of Kubernetes.
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.pods.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.pods.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.pods.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  {{- if ne .component "migrate" }}
  # Lets the process read the keyring, which is mounted for this group.
  fsGroup: 10001
  {{- end }}
  seccompProfile: { type: RuntimeDefault }
{{- end }}

{{/* Spreads the pods of a component over zones and nodes: dict "root" $ "component" … */}}
{{- define "khata.spread" -}}
topologySpreadConstraints:
  - topologyKey: topology.kubernetes.io/zone
    maxSkew: 1
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "khata.selector" .component | nindent 8 }}
    matchLabelKeys: [pod-template-hash]
  - topologyKey: kubernetes.io/hostname
    maxSkew: 1
    whenUnsatisfiable: {{ .root.Values.pods.unevenNodes }}
    labelSelector:
      matchLabels:
        {{- include "khata.selector" .component | nindent 8 }}
    matchLabelKeys: [pod-template-hash]
{{- end }}

{{/* An environment variable from the member url of a Secret: dict "name" … "secret" … */}}
{{- define "khata.url" -}}
- name: {{ .name }}
  valueFrom: { secretKeyRef: { name: {{ .secret }}, key: url } }
{{- end }}

{{- define "khata.containerSecurity" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: { drop: [ALL] }
{{- end }}

{{/* Mounts and volumes of the keyring and, if there is one, of the certificate of Postgres. */}}
{{- define "khata.keyringMount" -}}
- { name: keyring, mountPath: /run/khata, readOnly: true }
{{- end }}
{{- define "khata.keyringVolume" -}}
- name: keyring
  secret: { secretName: khata-keyring, defaultMode: 0440 }
{{- end }}
{{- define "khata.caMount" -}}
{{- if .Values.database.caConfigMap }}
- { name: postgres-ca, mountPath: /run/postgres, readOnly: true }
{{- end }}
{{- end }}
{{- define "khata.caVolume" -}}
{{- with .Values.database.caConfigMap }}
- { name: postgres-ca, configMap: { name: {{ . }} } }
{{- end }}
{{- end }}

{{/* Runs a resource with the migration, before the rest of the release; Argo CD reads these annotations too. Argument: the weight. */}}
{{- define "khata.hook" -}}
helm.sh/hook: pre-install,pre-upgrade
helm.sh/hook-weight: {{ . | quote }}
# The last one stays until the next release, for its log.
helm.sh/hook-delete-policy: before-hook-creation
{{- end }}

{{/* The paths that merchants and gateways call. Health, the version and /docs stay within the cluster. */}}
{{- define "khata.paths" -}}
/customers /banks /events /webhook-endpoints /.well-known/webhooks /gateways
{{- end }}
