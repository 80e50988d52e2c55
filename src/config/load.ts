/** Makes the configuration out of flags, file and defaults, in this order, or says which line stands in the way. */
import { access, readFile, stat } from 'node:fs/promises'
import type { Clock } from '../observe/clock.ts'
import type { Platform } from '../oci/manifest.ts'
import { checkCertificates } from './certificates.ts'
import type { Config } from './config.ts'
import { checkCredentialFiles } from './credential-files.ts'
import { type EffectiveSetting, effectiveSettings } from './effective.ts'
import { reasonOf } from './errno.ts'
import { ConfigError } from './error.ts'
import { Findings } from './findings.ts'
import type { CommandLine } from './flags.ts'
import { type Housekeeping, readHousekeeping } from './housekeeping.ts'
import { toNameRules } from './name-rules.ts'
import { readProxies } from './proxies.ts'
import { type NamedOutside, namedOutside, toRegistries } from './registries.ts'
import { isForLater, type Section, type Values } from './section.ts'
import { readServerTls } from './server-tls.ts'
import { configurationFile, DEFAULT_MIN_FREE, type SettingValues, scrubTable, settings } from './settings.ts'
import { canonicalRegistry, readSkipTags, toTagPolicy } from './tag-policy.ts'
import { readYaml } from './yaml.ts'

export type ConfigSources = {
  /** The flags; `values.configFile` names the file, if there is one. */
  readonly flags: Pick<CommandLine, 'values' | 'given'>
  readonly env: Readonly<Record<string, string | undefined>>
  /** This machine's, in Go's names: the default of `os` and `arch`. */
  readonly platform: Platform
  /** Tells which certificates are out of date. */
  readonly clock: Pick<Clock, 'now'>
}

export type LoadedConfig = {
  readonly config: Config
  /** One line each, for a person at the terminal. */
  readonly warnings: readonly string[]
  /** The same, as it was written, and where. */
  readonly settings: readonly EffectiveSetting[]
  /** The name of a file that says nothing; `{}` says that there is nothing to be set. */
  readonly emptyFile: string | undefined
}

const NOTHING: Section<typeof settings> = { line: 1, values: {}, lines: {} }

/** @throws ConfigError for the first mistake of the file, or one of the flags */
export async function loadConfig({ flags, env, platform, clock }: ConfigSources): Promise<LoadedConfig> {
  const file = flags.values.configFile ?? ''
  const findings = new Findings(file)
  const text = file === '' ? undefined : await readText(file)
  const section = text === undefined ? NOTHING : await readSettings(file, text, findings)
  findings.throwFirst() // before the combinations: a slip in 'password' would make a user without one
  const entries = section.values.registries ?? []
  const registries = toRegistries(entries, findings)
  const tagPolicy = toTagPolicy(section.values.tagPolicy ?? [], registries, findings)
  const nameRules = toNameRules(section, registries, findings)
  await lookOutside(namedOutside(entries), env, findings)
  findings.throwFirst()
  const outdated = await checkCertificates(entries, clock.now(), findings)
  const { serverTls, warnings: aboutTls } = await readServerTls(section.values.serverTlsConfig, clock.now(), findings)
  findings.throwFirst()
  await checkCredentialFiles(file, section, flags)
  const skipTags = await readSkipTags(file, section, flags)
  const { proxies, warnings } = readProxies(env)
  const housekeeping = await readHousekeeping({ name: file, section }, flags, platform)
  const made = { registries, tagPolicy, nameRules, serverTls, skipTags, proxies, ...housekeeping }
  const config = toConfig({ ...section.values, ...flags.values }, made, platform)
  return {
    config: deepFreeze(config),
    warnings: [...warningsOf(file, findings, flags), ...[...outdated, ...aboutTls].map((line) => `${file}: ${line}`), ...warnings],
    settings: effectiveSettings({ file, section, flags, platform, proxies }),
    emptyFile: text !== undefined && saysNothing(text) ? file : undefined,
  }
}

async function readSettings(file: string, text: string, findings: Findings): Promise<Section<typeof settings>> {
  const tree = await readYaml(file, text)
  return configurationFile.read(tree, '', findings) ?? NOTHING
}

/** Blank lines, comments, and what begins and ends a document. */
function saysNothing(text: string): boolean {
  return text.split('\n').every((line) => /^(?:#|---$|\.\.\.$|$)/.test(line.trim()))
}

async function readText(file: string): Promise<string> {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(await readFile(file))
  } catch (cause) {
    const reason = cause instanceof TypeError ? 'it is no UTF-8 text' : reasonOf(cause)
    throw new ConfigError(`--config-file: cannot read ${file}: ${reason}, want a YAML file`, { cause })
  }
}

/** Files that are not there and variables that are not set would fail only with the first pull: it is better to know at start. */
async function lookOutside({ files, variables }: NamedOutside, env: ConfigSources['env'], findings: Findings): Promise<void> {
  for (const { line, key, name } of files) {
    const reason = await whyUnreadable(name)
    if (reason !== undefined) findings.mistake(line, key, `cannot read ${name}: ${reason}, want a readable file`)
  }
  for (const { line, key, name } of variables) {
    if ((env[name] ?? '') === '')
      findings.mistake(line, key, `found ${name}, which is not set in the environment, want a variable with the password`)
  }
}

async function whyUnreadable(path: string): Promise<string | undefined> {
  try {
    if ((await stat(path)).isDirectory()) return 'it is a directory'
    await access(path, 4) // R_OK
    return undefined
  } catch (error) {
    return reasonOf(error)
  }
}

/** What settings become that are more than values. */
type Made = Pick<Config, 'registries' | 'tagPolicy' | 'nameRules' | 'serverTls' | 'skipTags' | 'proxies'> & Housekeeping

function toConfig(given: SettingValues, made: Made, platform: Platform): Config {
  const { registries } = made
  const privateRegistries = (given.privateRegistries ?? []).map((registry) => canonicalRegistry(registry, registries))
  return {
    ...made,
    imagePath: given.imagePath ?? settings.imagePath.default,
    logLevel: given.logLevel ?? settings.logLevel.default,
    logFile: given.logFile,
    logFormat: given.logFormat ?? settings.logFormat.default,
    host: given.host ?? settings.host.default,
    port: given.port ?? settings.port.default,
    drainTimeoutMs: given.drainTimeout,
    os: given.os ?? platform.os,
    arch: given.arch ?? platform.architecture,
    pullTimeoutMs: given.pullTimeout ?? settings.pullTimeout.default,
    alwaysPullLatest: given.alwaysPullLatest ?? settings.alwaysPullLatest.default,
    cacheManifests: given.cacheManifests ?? settings.cacheManifests.default,
    privateRegistries: [...new Set(privateRegistries)],
    negativeTtlMs: given.negativeTtl ?? settings.negativeTtl.default,
    airGapped: given.airGapped ?? settings.airGapped.default,
    prefetch: given.prefetch ?? settings.prefetch.default,
    allowUnconfigured: given.allowUnconfigured ?? settings.allowUnconfigured.default,
    defaultNs: given.defaultNs ?? settings.defaultNs.default,
    credsFile: given.credsFile,
    dockerConfig: given.dockerConfig,
    minFree: given.minFree ?? DEFAULT_MIN_FREE,
    scrub: toScrub(given.scrub?.values),
    limits: {
      maxConnections: given.maxConnections ?? settings.maxConnections.default,
      maxRequestsPerClient: given.maxRequestsPerClient ?? settings.maxRequestsPerClient.default,
    },
    health: given.health ?? settings.health.default,
    metrics: given.metrics ?? settings.metrics.default,
    helloWorld: given.helloWorld ?? settings.helloWorld.default,
  }
}

function toScrub({ every, rate }: Values<typeof scrubTable> = {}): Config['scrub'] {
  return { everyMs: every ?? scrubTable.every.default, bytesPerSecond: rate ?? scrubTable.rate.default }
}

/** One line that names every setting whose feature is not there yet; a flag takes the place of the file's key. */
function warningsOf(file: string, findings: Findings, { given, values }: ConfigSources['flags']): string[] {
  const keysGiven = new Set<string>(given.map(({ key }) => key))
  const inFile = findings.laterSettings.filter(({ key }) => !keysGiven.has(key)).map(({ key, line }) => `${key} (${file}:${line})`)
  const later = given.filter((flag) => {
    const value = values[flag.key as keyof SettingValues]
    return value !== undefined && isForLater(flag, value)
  })
  const asFlags = new Set(later.map(({ flag }) => flag))
  const all = [...inFile, ...asFlags]
  return all.length === 0 ? [] : [`this version does not have what these settings ask for, and goes on without: ${all.join(', ')}`]
}

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null) for (const part of Object.values(Object.freeze(value))) deepFreeze(part)
  return value
}
