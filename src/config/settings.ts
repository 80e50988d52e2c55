/** The table of settings: every key of the configuration file and every flag, with type, default and help. All else is derived from it. */
import { DOCKER_HUB } from '../oci/name.ts'
import type { Reserve } from './config.ts'
import { mapOf, type Section, type Table, type Values } from './section.ts'
import { diskReserve, GIB, MIB, percent, rate, someSize } from './sizes.ts'
import {
  alsoCalled,
  anyDuration,
  anyText,
  boolean,
  choice,
  DAY_MS,
  duration,
  durationUpTo,
  expressionText,
  filesToReread,
  HOUR_MS,
  host,
  integer,
  listOf,
  path,
  plainText,
  platform,
  referenceGlob,
  registryName,
  registryUrl,
  repeated,
  repositoryGlob,
  revalidation,
  type ValueType,
  variableName,
} from './value-types.ts'

/** The longest that a timer of Node waits. */
const MAX_MS = 2 ** 31 - 1
const MAX_COUNT = 2 ** 31 - 1
const port = integer(0, 65535)

/** Of `minFree`. */
export const DEFAULT_MIN_FREE: Reserve = { bytes: GIB, percent: 5 }

/** Whether any key of a map is set to something. */
const saysAnything = ({ values }: { readonly values: object }) => Object.values(values).some((value) => value !== false)

const tokenTable = {
  provider: { type: plainText, help: 'Who makes the tokens: ecr.' },
  providerOpts: { type: plainText, help: 'What the provider needs to know: profile=..,region=..' },
  expiry: { type: anyDuration, default: 12 * HOUR_MS, help: 'How long a token is used.' },
  static: { type: anyText, secret: true, help: 'A token that never changes.' },
} as const satisfies Table

const authTable = {
  user: { type: anyText, help: 'The user name, with one of the three passwords.' },
  password: { type: anyText, secret: true, help: 'The password itself.' },
  passwordFromEnv: { type: variableName, help: 'The environment variable that holds the password.' },
  passwordFile: { type: path, help: 'The file that holds the password; read again when it changes.' },
  dockerConfig: { type: path, help: 'In place of all these: a config.json of Docker or auth.json of podman; read again when it changes.' },
  token: { type: mapOf(tokenTable), since: 'tokens', asksFor: saysAnything, help: 'Tokens of a cloud provider.' },
} as const satisfies Table

const tlsTable = {
  ca: { type: path, help: 'PEM file with the only certificate authorities that are trusted here.' },
  cert: { type: path, help: 'PEM file with the client certificate.' },
  key: { type: path, help: 'PEM file with its key.' },
  insecureSkipVerify: {
    type: boolean,
    default: false,
    formerly: 'insecure_skip_verify',
    help: "Do not verify the registry's certificate.",
  },
} as const satisfies Table

const registryTable = {
  name: { type: registryName, help: 'What clients call the registry: host or host:port.' },
  aliases: { type: listOf(registryName), help: 'Other names that clients use for it.' },
  url: { type: registryUrl, help: 'Where it lives, if not where its name says.' },
  description: { type: anyText, help: 'For people; not used.' },
  scheme: { type: choice('https', 'http'), default: 'https', help: 'How to talk to it, where there is no url.' },
  auth: { type: mapOf(authTable), help: 'Credentials, for basic authentication and for tokens.' },
  tls: { type: mapOf(tlsTable), help: 'Trust, and a client certificate.' },
} as const satisfies Table

/** Every key of an entry of `registries`, with its path: `tls.ca`. */
export const registryKeys: readonly string[] = [
  ...Object.keys(registryTable).filter((key) => key !== 'auth' && key !== 'tls'),
  ...Object.keys(authTable).map((key) => `auth.${key}`),
  ...Object.keys(tlsTable).map((key) => `tls.${key}`),
]

/** Also exported for its defaults. */
export const pruneTable = {
  enabled: { type: boolean, default: false, help: 'Whether to prune at all.' },
  duration: { type: anyDuration, default: 30 * DAY_MS, help: 'The age from which an image goes.' },
  type: { type: choice('accessed', 'created', 'pattern'), default: 'accessed', help: 'What goes: by last pull, by age, or by expr.' },
  expr: { type: plainText, help: 'Expressions for type pattern, separated by commas.' },
  frequency: { type: anyDuration, default: DAY_MS, help: 'How often it runs.' },
  count: { type: integer(-1, MAX_COUNT), default: -1, help: 'How many images go in one run, the oldest first; -1 or 0: all.' },
  dryRun: { type: boolean, default: false, help: 'Only say what would go.' },
  dryrun: { type: boolean, default: false, help: 'The same: the program before this one read it in this spelling.' },
} as const satisfies Table

/** Also exported for its defaults. */
export const listTable = {
  header: { type: boolean, default: false, help: 'Print a header.' },
  expr: { type: plainText, help: 'Print only references that match one of these expressions, separated by commas.' },
  shortDigest: { type: boolean, default: false, help: 'Cut digests to ten digits.' },
} as const satisfies Table

/** Also exported for its defaults. */
export const adminTable = {
  tokenFile: {
    type: path,
    live: true,
    help: 'The file with the token of requests that do not come from this host; read again when it changes.',
  },
  port: { type: port, default: 0, help: 'A port for the admin API alone; 0: it shares the port of pulls.' },
} as const satisfies Table

/** Also exported for its defaults. */
export const serverTlsTable = {
  cert: { type: path, live: true, help: 'PEM file with the certificate that clients see.' },
  key: { type: path, live: true, help: 'PEM file with its key.' },
  ca: { type: path, live: true, help: 'PEM file with the authorities of client certificates.' },
  clientAuth: { type: choice('none', 'verify'), default: 'none', help: 'Whether clients must bring a certificate.' },
} as const satisfies Table

/** Also exported for its defaults. */
export const scrubTable = {
  every: { type: duration, default: 7 * DAY_MS, help: 'How often everything is read; 0: never.' },
  rate: { type: rate, default: 20 * MIB, help: 'How many bytes are read in a second.' },
} as const satisfies Table

const tagRuleTable = {
  match: { type: referenceGlob, help: 'Which tags: a glob on registry/repository:tag.' },
  revalidate: { type: revalidation, help: 'When a cached tag is checked: never, always, or when the last check is so old.' },
} as const satisfies Table

/** In the order of help. */
export const settings = {
  imagePath: {
    flag: '--image-path',
    aliases: ['--cache-dir', '-d'],
    of: 'global',
    type: path,
    default: '/var/lib/ociregistry',
    since: 'pulling',
    help: 'The directory of the image store; created if it is missing.',
  },
  configFile: {
    flag: '--config-file',
    aliases: ['--config-path'],
    of: 'global',
    type: path,
    since: 'pulling',
    help: 'A YAML file with settings; flags win over it.',
  },
  logLevel: {
    flag: '--log-level',
    aliases: ['-l'],
    of: 'global',
    type: alsoCalled(choice('debug', 'info', 'warn', 'error'), { trace: 'debug' }),
    default: 'error',
    since: 'pulling',
    live: true,
    help: 'The least important lines to log.',
  },
  logFile: {
    flag: '--log-file',
    of: 'global',
    type: path,
    defaultHelp: 'stderr',
    since: 'pulling',
    live: true,
    help: 'The file to append log lines to.',
  },
  logFormat: {
    flag: '--log-format',
    of: 'global',
    type: choice('text', 'json'),
    default: 'text',
    since: 'pulling',
    live: true,
    help: 'Lines for people, or JSON for programs.',
  },
  host: { flag: '--host', of: ['serve'], type: host, default: '0.0.0.0', since: 'pulling', help: 'The address to listen on.' },
  port: {
    flag: '--port',
    aliases: ['-p'],
    of: ['serve'],
    type: port,
    default: 8080,
    zeroIsDefault: true,
    since: 'pulling',
    help: 'The port to listen on; 0 on the command line: any free one.',
  },
  drainTimeout: {
    flag: '--drain-timeout',
    of: ['serve'],
    type: durationUpTo('1h'),
    defaultHelp: '30s; 15s on a socket of the service manager',
    since: 'pulling',
    live: true,
    help: 'How long answers may go on when the server is told to stop; what is not done by then is cut, and can be continued.',
  },
  os: {
    flag: '--os',
    of: ['serve', 'load'],
    type: anyText,
    defaultHelp: "this machine's",
    since: 'pulling',
    live: true,
    help: 'The operating system that images are for.',
  },
  arch: {
    flag: '--arch',
    of: ['serve', 'load'],
    type: anyText,
    defaultHelp: "this machine's",
    since: 'pulling',
    live: true,
    help: 'The architecture that images are for, as images say it: amd64.',
  },
  pullTimeout: {
    flag: '--pull-timeout',
    of: ['serve', 'load'],
    type: integer(1, MAX_MS),
    default: 60000,
    since: 'pulling',
    live: true,
    help: "The longest wait for a registry's answer in ms; not for a download that goes on.",
  },
  alwaysPullLatest: {
    flag: '--always-pull-latest',
    of: ['serve', 'load'],
    type: boolean,
    default: false,
    since: 'pulling',
    live: true,
    help: "Ask the registry whether tag 'latest' has changed, each time.",
  },
  tagPolicy: {
    type: listOf(mapOf(tagRuleTable)),
    since: 'pulling',
    live: true,
    help: 'When cached tags are checked; the first rule that matches counts.',
  },
  skipTags: {
    flag: '--skip-tags',
    aliases: ['-t'],
    of: ['serve'],
    type: expressionText,
    refusesEmpty: true,
    since: 'pulling',
    live: true,
    help: "Ask the registry whether a tag that matches has changed, each time; Go's regular expression.",
  },
  cacheManifests: {
    flag: '--cache-manifests',
    aliases: ['-m'],
    of: ['serve'],
    type: alsoCalled(boolean, { '0': false, f: false, '1': true, t: true }),
    default: true,
    since: 'pulling',
    live: true,
    help: 'Answer tags from the cache; without it the registry is asked each time whether they have changed.',
  },
  privateRegistries: {
    flag: '--private-registry',
    of: ['serve'],
    type: repeated(registryName),
    refusesEmpty: true,
    since: 'pulling',
    live: true,
    help: 'A registry whose manifests are never answered without its consent; may be given several times.',
  },
  negativeTtl: {
    type: duration,
    default: 10_000,
    since: 'pulling',
    live: true,
    help: 'How long it is remembered that a registry does not have something; 0: not at all.',
  },
  airGapped: {
    flag: '--air-gapped',
    of: ['serve', 'load'],
    type: boolean,
    default: false,
    since: 'pulling',
    live: true,
    help: 'Never ask a registry; wins over all that would.',
  },
  prefetch: {
    flag: '--prefetch',
    of: ['serve'],
    type: boolean,
    default: true,
    since: 'pulling',
    live: true,
    help: 'Complete images in the background once their manifest was pulled.',
  },
  allowUnconfigured: {
    flag: '--allow-unconfigured',
    of: ['serve', 'load'],
    type: boolean,
    default: true,
    since: 'pulling',
    live: true,
    help: 'Pull from registries that nobody configured, too: anonymously, by verified https.',
  },
  defaultNs: {
    flag: '--default-ns',
    of: ['serve'],
    type: registryName,
    default: DOCKER_HUB,
    since: 'pulling',
    live: true,
    help: 'The registry of requests that name none.',
  },
  registries: {
    type: listOf(mapOf(registryTable)),
    since: 'pulling',
    live: true,
    help: 'Registries that need more than an anonymous https request.',
  },
  credsFile: {
    flag: '--creds-file',
    aliases: ['-f'],
    of: ['serve', 'load'],
    type: path,
    since: 'pulling',
    live: true,
    help: 'A YAML file with user names and passwords of registries; read again when it changes.',
  },
  dockerConfig: {
    flag: '--docker-config',
    of: ['serve', 'load'],
    type: path,
    since: 'pulling',
    live: true,
    help: "Docker's config.json or podman's auth.json, for its credentials; read again when it changes.",
  },
  platforms: {
    flag: '--platform',
    of: ['serve', 'load'],
    type: repeated(platform),
    refusesEmpty: true,
    since: 'loading',
    live: true,
    help: 'A platform of the images that are loaded, such as linux/arm64, or all; may be given several times. Without it: os and arch.',
  },
  referrers: {
    flag: '--referrers',
    of: ['serve', 'load'],
    type: boolean,
    default: false,
    since: 'loading',
    live: true,
    help: 'Load signatures, SBOMs and attestations along with each image.',
  },
  preloadImages: {
    flag: '--preload-images',
    of: ['serve'],
    type: filesToReread,
    since: 'loading',
    live: true,
    help: 'Lists of images to load in the background: files and globs, separated by commas.',
  },
  imageFile: {
    flag: '--image-file',
    of: ['load'],
    type: path,
    since: 'loading',
    live: true,
    help: 'Lists of images to load: files and globs, separated by commas; - is standard input.',
  },
  concurrency: {
    flag: '--concurrency',
    aliases: ['--concurrent'],
    of: ['serve', 'load'],
    type: integer(1, 100),
    default: 4,
    since: 'loading',
    live: true,
    help: 'How many images are loaded at a time.',
  },
  resolveRef: { type: plainText, since: 'archives', help: 'The reference of an image that is loaded from an archive.' },
  minFree: {
    flag: '--min-free',
    of: ['serve', 'load'],
    type: diskReserve,
    defaultHelp: '5% of the disk or 1GiB, whichever is less',
    since: 'pulling',
    live: true,
    help: 'What is never used of the disk that the store lies on; 0: nothing is kept free.',
  },
  scrub: {
    type: mapOf(scrubTable),
    since: 'pulling',
    live: true,
    help: 'Reading all that is stored, now and again, in the background, and mending what is damaged.',
  },
  maxSize: {
    flag: '--max-size',
    of: ['serve', 'prune'],
    type: someSize,
    since: 'pruning',
    live: true,
    help: 'The most that the store may use of the disk; images that were not used for longest go first. Without it: no limit.',
  },
  highWatermark: { type: percent, default: 95, since: 'pruning', live: true, help: 'The part of maxSize at which images begin to go.' },
  lowWatermark: { type: percent, default: 85, since: 'pruning', live: true, help: 'The part of maxSize at which no more images go.' },
  pins: {
    type: listOf(expressionText),
    since: 'pruning',
    live: true,
    help: 'Expressions on references; what matches is never removed, nor what it needs.',
  },
  admin: { type: mapOf(adminTable), since: 'pruning', help: 'The admin API under /cmd/.' },
  health: {
    flag: '--health',
    of: ['serve'],
    type: port,
    default: 0,
    since: 'health',
    help: 'The port of /health, /livez and /readyz; 0: none.',
  },
  metrics: { flag: '--metrics', of: ['serve'], type: port, default: 0, since: 'metrics', help: 'The port of /metrics; 0: none.' },
  helloWorld: {
    flag: '--hello-world',
    of: ['serve'],
    type: boolean,
    default: false,
    since: 'hello-world',
    help: 'Serve one built-in image and nothing else.',
  },
  pruneConfig: {
    type: mapOf(pruneTable),
    since: 'pruning',
    live: true,
    asksFor: ({ values }: Section<typeof pruneTable>) => values.enabled === true,
    help: 'Removing images that are no longer wanted.',
  },
  listConfig: { type: mapOf(listTable), since: 'listing', live: true, asksFor: saysAnything, help: 'What the command list prints.' },
  serverTlsConfig: {
    type: mapOf(serverTlsTable),
    since: 'server TLS',
    help: 'TLS towards clients.',
  },
  maxConnections: {
    type: integer(0, MAX_COUNT),
    default: 4096,
    since: 'pulling',
    live: true,
    help: 'How many connections clients may have in all, and a quarter of it each; 0: no limit.',
  },
  maxRequestsPerClient: {
    type: integer(0, MAX_COUNT),
    default: 256,
    since: 'pulling',
    live: true,
    help: 'How many requests of one client address are answered at once; 0: no limit.',
  },
  allow: {
    type: listOf(repositoryGlob),
    since: 'pulling',
    live: true,
    help: 'Registries and repositories that clients may pull, and no others.',
  },
  deny: {
    type: listOf(repositoryGlob),
    since: 'pulling',
    live: true,
    help: 'Registries and repositories that clients may not pull, whatever allow says.',
  },
} as const satisfies Table

export type SettingKey = keyof typeof settings
export type SettingValues = Values<typeof settings>
export type RegistrySection = Section<typeof registryTable>
export type ServerTlsSection = Section<typeof serverTlsTable>
export type TagRuleSection = Section<typeof tagRuleTable>

const settingsMap = mapOf(settings)

/** A whole configuration file; a bare list, as 1.7 had it, is its `registries`. */
export const configurationFile: ValueType<Section<typeof settings>> = {
  read(tree, key, findings) {
    if (tree.kind !== 'list') return settingsMap.read(tree, key, findings)
    const { line } = tree
    return settingsMap.read({ kind: 'map', line, entries: [{ key: 'registries', line, value: tree }] }, key, findings)
  },
}
