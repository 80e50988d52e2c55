/** What `serve` says about itself when it starts, whatever the log level. */
import { resolve } from 'node:path'
import type { Config, RegistryConfig, ServerTlsConfig } from '../config/config.ts'
import { printable } from '../observe/printable.ts'
import type { SocketRole } from '../server/sockets.ts'

export type BannerFacts = {
  readonly config: Config
  readonly version: string
  readonly buildDate: string
  /** Milliseconds since 1970. */
  readonly started: number
  /** Where it listens: another than the configuration's, if that is 0. */
  readonly port: number
  /** The sockets that the service manager opened, for people. */
  readonly sockets: Readonly<Partial<Record<SocketRole, string>>>
  readonly process: { readonly uid: number; readonly gid: number; readonly pid: number; readonly commandLine: string }
}

const RULE = '-'.repeat(70)

export function banner({ config, version, buildDate, started, port, sockets, process }: BannerFacts): string {
  const lines = [
    'OCI Registry: pull-only, pull-through, caching OCI Distribution Server',
    `Version: ${version}, build date: ${buildDate}`,
    `Started: ${new Date(started).toISOString()} (port ${port})`,
    `Listening on: ${given(sockets.pulls, '') ?? `${config.serverTls === undefined ? 'http' : 'https'}://${hostInUrl(config.host)}:${port}`}`,
    ...sideLine('Health', config, config.health, sockets.health, '/health'),
    ...sideLine('Metrics', config, config.metrics, sockets.metrics, '/metrics'),
    ...sideLine('Admin API', config, config.admin.port, sockets.admin, '/cmd/'),
    `Running as (uid:gid) ${process.uid}:${process.gid}`,
    `Process id: ${process.pid}`,
    `Tls: ${describeTls(config.serverTls)}`,
    `Command line: ${process.commandLine}`,
    ...contentOf(config),
  ]
  return [RULE, ...lines.map(printable), RULE].map((line) => `${line}\n`).join('')
}

/** @param port 0: there is none */
function sideLine(name: string, { host }: Config, port: number, socket: string | undefined, path: string): string[] {
  const where = given(socket, path) ?? (port === 0 ? undefined : `http://${hostInUrl(host)}:${port}${path}`)
  return where === undefined ? [] : [`${name}: ${where}`]
}

function given(socket: string | undefined, path: string): string | undefined {
  return socket && `${socket}${socket.includes('://') ? path : ''} (opened by the service manager)`
}

function contentOf({ helloWorld, imagePath, registries, credsFile, dockerConfig, proxies: { http, https } }: Config): string[] {
  if (helloWorld) return ['Serving: docker.io/library/hello-world:latest, which is built in, and nothing else; no store, no registry']
  const proxies = [
    https === undefined ? [] : `https through ${https.origin}`,
    http === undefined ? [] : `http through ${http.origin}`,
  ].flat()
  return [
    `Store: ${resolve(imagePath)}`,
    `Registries: ${registries.map(describeRegistry).join(', ') || 'none configured'}`,
    ...(credsFile === undefined && dockerConfig === undefined
      ? []
      : [`Credentials: ${[credsFile, dockerConfig].filter((file) => file !== undefined).join(', ')}`]),
    ...(proxies.length === 0 ? [] : [`Proxies: ${proxies.join(', ')}`]),
  ]
}

function describeTls(tls: ServerTlsConfig | undefined): string {
  if (tls === undefined) return 'none'
  const { cert, key, ca, clientAuth } = tls
  return `cert=${cert}, key=${key}${ca === undefined ? '' : `, ca=${ca}`}, client verify=${clientAuth}`
}

/** An IPv6 address stands in brackets where a port follows. */
export function hostInUrl(host: string): string {
  return host.includes(':') ? `[${host}]` : host
}

function describeRegistry({ name, scheme, address, auth, tls, aliases }: RegistryConfig): string {
  const facts = [
    `${scheme}://${address}`,
    ...(auth === undefined ? [] : ['user' in auth ? 'basic auth' : 'credentials of Docker']),
    ...(tls.ca === undefined ? [] : ['own CA']),
    ...(tls.cert === undefined ? [] : ['client certificate']),
    ...(tls.insecureSkipVerify ? ['certificate not verified'] : []),
    ...(aliases.length === 0 ? [] : [`also ${aliases.join(' ')}`]),
  ]
  return `${name} (${facts.join(', ')})`
}
