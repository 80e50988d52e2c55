/** Every fault of an upstream, as a switch: how it is put in force and lifted, and what clients are to see of it. */
import type { UpstreamErrorKind } from '../../src/upstream/error.ts'
import type { FakeRegistry } from '../support/fake-registry.ts'
import {
  type Action,
  type ActiveFault,
  body,
  chunked,
  cutAt,
  type FaultRule,
  flipBit,
  gzip,
  hang,
  hangAt,
  header,
  lengthOff,
  limited,
  loginPage,
  padded,
  redirect,
  redirectLoop,
  refuse,
  status,
  throttle,
  truncated,
  wrongDigest,
} from '../support/fake-registry-faults.ts'
import { expiringLinks } from '../support/fake-registry-links.ts'
import { deadOrigin } from '../support/fake-registry-names.ts'
import { Gate } from '../support/fake-registry-reply.ts'
import type { Setting, Stage } from './stage.ts'

/** What becomes of a request that the cache cannot answer. */
export type Outcome =
  /** Whole and right, while the fault is in force. */
  | 'served'
  /** The status of the table. */
  | 'refused'
  /** Never whole: the status of the table, or a body that ends short. */
  | 'broken'
  /** Whole and right, but not before the fault is lifted. */
  | 'awaited'
  /** Any of these: whole and right, the status of the table, or short. */
  | 'honest'

/** A fault that is in force. */
export type Held = Pick<ActiveFault, 'hits'> & { remove(): void | Promise<void> }

export type Fault = {
  /** Behind "while". */
  readonly name: string
  readonly setting?: Setting
  /** Resolves when it is in force. `remove` ends it, but not what it holds already. */
  readonly impose: (stage: Stage) => Held | Promise<Held>
  /** What comes of it is found out by waiting: the clock may run fast. */
  readonly silent?: boolean
  /** @property tag by tag. Default: as by digest */
  readonly manifest: { readonly digest: Outcome; readonly tag?: Outcome }
  /** @property half where the first half of the blob is there already. Default: as `cold` */
  readonly blob: { readonly cold: Outcome; readonly half?: Outcome }
  /** Why a cached tag could not be confirmed. */
  readonly cause: UpstreamErrorKind
  readonly status: number
  readonly code: string
  /** Bytes came that no blob has: what was downloaded may have to be downloaded again. */
  readonly corrupts?: boolean
  /** It says until when: whoever asks meanwhile is told so without asking. */
  readonly pauses?: boolean
}

/** Where manifests and blobs break: in the middle of both. */
const MANIFEST_AT = 60
const BLOB_AT = 280_000

const broken = { cause: 'corrupt', status: 502, code: 'UNAVAILABLE' } as const
const gone = { cause: 'unreachable', status: 502, code: 'UNAVAILABLE' } as const
const failed = { cause: 'failed', status: 502, code: 'UNAVAILABLE' } as const
const silent = { cause: 'timeout', status: 504, code: 'UNAVAILABLE', silent: true } as const
const never = { manifest: { digest: 'refused' }, blob: { cold: 'refused' } } as const
const resumed = { manifest: { digest: 'refused' }, blob: { cold: 'served' } } as const
const harmless = { manifest: { digest: 'served' }, blob: { cold: 'served' } } as const

/** To all that is asked for, the realm of tokens apart. */
function everything(...actions: Action[]): Fault['impose'] {
  return ({ registry }) => registry.fault({ match: { path: /^\/v2\// }, do: actions })
}

/** In the middle of manifests and blobs; the same byte of each answer. */
function midway(at: (byte: number) => readonly Action[]): Fault['impose'] {
  return ({ registry }) =>
    together(
      registry.fault({ match: { kind: 'manifest' }, do: at(MANIFEST_AT) }),
      registry.fault({ match: { kind: 'blob' }, do: at(BLOB_AT) }),
    )
}

/** The first answer is cut in the middle, and whoever comes to go on is told something else, the first `times`. */
function cutAndThen(times: number, ...actions: Action[]): Fault['impose'] {
  return ({ registry }) =>
    together(
      registry.fault({ match: { kind: 'manifest' }, do: [cutAt(MANIFEST_AT)] }),
      registry.fault({ match: { kind: 'blob', times: 1 }, do: [cutAt(BLOB_AT)] }),
      afterFirst(registry, { kind: 'blob' }, times, actions),
    )
}

/** Skips the first request that fits, acts on the next `times`. */
function afterFirst(registry: FakeRegistry, match: FaultRule['match'], times: number, actions: readonly Action[]): ActiveFault {
  let seen = 0
  return registry.fault({
    match,
    do: [
      (answer, request) => {
        seen++
        if (seen > 1 && seen <= 1 + times) for (const action of actions) action(answer, request)
      },
    ],
  })
}

/** Of the realm; tokens that were given before are worth nothing any more. */
function realm(...actions: Action[]): Pick<Fault, 'setting' | 'impose'> {
  return {
    setting: 'tokens',
    impose: ({ registry }) => {
      registry.auth?.revokeTokens()
      return registry.fault({ match: { kind: 'token' }, do: actions })
    },
  }
}

function together(...faults: readonly ActiveFault[]): ActiveFault {
  return {
    get hits() {
      return faults.reduce((sum, { hits }) => sum + hits, 0)
    },
    remove: () => {
      for (const fault of faults) fault.remove()
    },
  }
}

/** For ever, unless the connection ends. */
const silence = (): Action => hang(new Gate())

export const FAULTS: readonly Fault[] = [
  { name: 'the port of the registry is closed', ...never, ...gone, impose: closePort },
  { name: 'the registry resets every connection', ...never, ...gone, impose: everything(refuse()) },
  { name: 'the registry hangs before its headers', ...never, ...silent, impose: everything(silence()) },
  { name: 'the registry hangs in the middle of bodies', ...resumed, ...silent, impose: midway((at) => [hangAt(at)]) },
  {
    name: 'bodies of the registry trickle',
    ...silent,
    manifest: { digest: 'refused' },
    blob: { cold: 'awaited' },
    impose: midway(() => [throttle(20)]), // slow, and never silent for long
  },
  { name: 'the registry cuts bodies in order', ...resumed, ...gone, impose: midway((at) => [cutAt(at)]) },
  { name: 'the registry cuts bodies by a reset', ...resumed, ...gone, impose: midway((at) => [cutAt(at, 'rst')]) },
  {
    name: 'bodies of the registry end early, and nothing says so',
    ...resumed,
    ...broken,
    impose: midway((at) => [chunked(), truncated(at)]),
  },
  {
    name: 'bodies of the registry are short, and say so',
    ...broken,
    manifest: { digest: 'refused' },
    blob: { cold: 'refused', half: 'honest' },
    corrupts: true,
    impose: midway((at) => [truncated(at)]),
  },
  {
    name: 'bodies of the registry have a wrong bit',
    ...broken,
    manifest: { digest: 'refused' },
    blob: { cold: 'broken' },
    corrupts: true,
    impose: midway((at) => [flipBit(at)]),
  },
  {
    name: 'the registry declares more bytes than it sends',
    ...gone,
    manifest: { digest: 'refused' },
    blob: { cold: 'refused', half: 'honest' },
    corrupts: true,
    impose: everything(lengthOff(+1000)),
  },
  {
    name: 'the registry declares fewer bytes than it sends',
    ...broken,
    manifest: { digest: 'refused' },
    blob: { cold: 'refused', half: 'honest' },
    corrupts: true,
    impose: everything(lengthOff(-100)),
  },
  {
    name: 'the registry sends more than there is',
    ...broken,
    manifest: { digest: 'refused' },
    blob: { cold: 'served' }, // its size is known: the rest is not read
    impose: everything(padded(1000), chunked()),
  },
  {
    name: 'the registry names wrong digests',
    ...harmless,
    ...broken,
    manifest: { digest: 'served', tag: 'refused' }, // by tag nothing else says what was meant
    impose: everything(wrongDigest()),
  },
  { name: 'the registry names wrong types', ...harmless, ...broken, impose: everything(header('content-type', 'text/html')) },
  { name: 'the registry compresses what it sends', ...never, ...broken, corrupts: true, impose: everything(gzip()) },
  { name: 'a login page answers for the registry', ...never, ...broken, corrupts: true, impose: everything(loginPage()) },
  {
    name: 'the registry limits requests and says until when',
    ...never,
    cause: 'limited',
    status: 503,
    code: 'TOOMANYREQUESTS',
    silent: true,
    impose: everything(limited(4)),
  },
  {
    name: 'the registry limits requests and does not say until when',
    ...never,
    cause: 'limited',
    status: 503,
    code: 'TOOMANYREQUESTS',
    silent: true,
    impose: everything(limited()),
  },
  { name: 'the registry limits requests in the middle of a blob', ...resumed, ...gone, impose: cutAndThen(1, limited(1)) },
  { name: 'the registry answers 500', ...never, ...failed, impose: everything(status(500)) },
  {
    name: 'the registry answers 503 and says until when',
    ...never,
    ...failed,
    silent: true,
    pauses: true,
    impose: everything(status(503, { 'retry-after': '4' })),
  },
  { name: 'the registry fails twice in the middle of a blob', ...resumed, ...gone, impose: cutAndThen(2, status(502)) },
  { name: 'credentials stopped working', ...never, cause: 'denied', status: 403, code: 'DENIED', impose: everything(status(403)) },
  { name: 'the registry redirects in a circle', ...never, ...failed, impose: everything(redirectLoop()) },
  {
    name: 'the registry redirects to a host that is dead',
    ...never,
    ...gone,
    impose: async (stage) => everything(redirect(await deadOrigin()))(stage),
  },
  {
    name: 'signed links expire in the middle of bodies',
    ...resumed,
    ...gone,
    setting: 'cdn',
    impose: ({ registry, cdn }) => expiringLinks(registry, cdn, { bytes: { manifest: MANIFEST_AT, blob: BLOB_AT } }),
  },
  {
    name: 'signed links have expired when they are followed',
    ...never,
    cause: 'denied',
    status: 403,
    code: 'DENIED',
    setting: 'cdn',
    impose: ({ registry, cdn }) => expiringLinks(registry, cdn, { requests: 0 }),
  },
  { name: 'the realm of tokens resets every connection', ...never, ...gone, ...realm(refuse()) },
  { name: 'the realm of tokens hangs', ...never, ...silent, ...realm(silence()) },
  { name: 'the realm of tokens answers 500', ...never, ...failed, ...realm(status(500)) },
  { name: 'the realm of tokens answers garbage', ...never, ...failed, ...realm(body('\u0000{"token')) },
  { name: 'the realm of tokens answers without a token', ...never, ...failed, ...realm(body('{"expires_in":300}')) },
  { name: 'the realm of tokens gives none', ...never, cause: 'denied', status: 403, code: 'DENIED', ...realm(status(401)) },
  {
    name: 'TLS handshakes end with an alert',
    ...never,
    cause: 'tls',
    status: 502,
    code: 'UNAVAILABLE',
    setting: 'tls',
    impose: onNewConnections(({ registry }) => registry.alertHandshakes()),
  },
  {
    name: 'look-ups fail',
    ...never,
    cause: 'dns',
    status: 502,
    code: 'UNAVAILABLE',
    setting: 'named',
    impose: onNewConnections(({ names }) => names.fail()),
  },
  { name: 'look-ups hang', ...never, ...silent, setting: 'named', impose: onNewConnections(({ names }) => names.hang()) },
]

/** What concerns only those who connect is met by everybody once the connections that stand are gone. */
function onNewConnections(impose: (stage: Stage) => ActiveFault): Fault['impose'] {
  return (stage) => {
    const fault = impose(stage)
    stage.registry.dropConnections()
    return fault
  }
}

/** How often a closed port was met, nobody knows. */
async function closePort({ registry }: Stage): Promise<Held> {
  await registry.stop()
  return { hits: 1, remove: () => registry.start() }
}
