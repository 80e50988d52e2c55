/** How a fake registry misbehaves: small changes to an answer, put together at will, for the requests that a match picks. */
import { gzipSync } from 'node:zlib'
import { bytesOf } from './fake-registry-bytes.ts'
import { matches, type RequestMatch, type SeenRequest } from './fake-registry-ledger.ts'
import { errorReply, Gate, type Reply } from './fake-registry-reply.ts'

/** Changes an answer before it is sent. */
export type Action = (answer: Reply, request: SeenRequest) => void

export type FaultRule = {
  readonly match: RequestMatch & {
    /** Only the nth request (from 1) that fits the rest. */
    readonly nth?: number
    /** Only the first so many. */
    readonly times?: number
  }
  readonly do: readonly Action[]
}

/** A fault that is in force until it is removed. */
export type ActiveFault = {
  /** How many answers it changed. */
  readonly hits: number
  remove(): void
}

export class Faults {
  #rules: { rule: FaultRule; seen: number; hits: number }[] = []

  add(rule: FaultRule): ActiveFault {
    const entry = { rule, seen: 0, hits: 0 }
    this.#rules.push(entry)
    return {
      get hits() {
        return entry.hits
      },
      remove: () => {
        this.#rules = this.#rules.filter((other) => other !== entry)
      },
    }
  }

  apply(answer: Reply, request: SeenRequest): void {
    for (const entry of this.#rules) {
      const { match, do: actions } = entry.rule
      if (!matches(match, request)) continue
      entry.seen++
      if (match.nth !== undefined && entry.seen !== match.nth) continue
      if (match.times !== undefined && entry.seen > match.times) continue
      entry.hits++
      for (const action of actions) action(answer, request)
    }
  }
}

/** The connection is reset instead of an answer. (A closed port: `FakeRegistry.stop`.) */
export const refuse = (): Action => (answer) => {
  answer.refused = true
}

/** No header until the gate opens; without a gate, for ever. */
export const hang =
  (gate = new Gate()): Action =>
  (answer) => {
    answer.gates.push(gate)
  }

/** Nothing from byte `at` of the body on, until the gate opens; without a gate, for ever. */
export const hangAt =
  (at: number, gate = new Gate()): Action =>
  (answer) => {
    answer.hangs.push({ at, gate })
  }

/** The connection ends after `at` bytes of the body, by FIN or RST. */
export const cutAt =
  (at: number, how: 'fin' | 'rst' = 'fin'): Action =>
  (answer) => {
    answer.cut = { at, how }
  }

/** One bit of byte `at` of the body is wrong. */
export const flipBit =
  (at: number): Action =>
  (answer) => {
    answer.flips.push(at)
  }

/** No more than so many bytes of the body a second; a few make it a trickle. */
export const throttle =
  (bytesPerSecond: number): Action =>
  (answer) => {
    answer.bytesPerSecond = bytesPerSecond
  }

/** Declares a length that the body does not have; the connection ends with the body. */
export const wrongLength =
  (declaredBytes: number): Action =>
  (answer) => {
    answer.headers['content-length'] = String(declaredBytes)
  }

/** Declares so many bytes more, or fewer, than the body has; the connection ends with the body. */
export const lengthOff =
  (byBytes: number): Action =>
  (answer) => {
    answer.headers['content-length'] = String(Math.max(0, answer.body.sizeBytes + byBytes))
  }

/** The body ends after `at` bytes, and declares no more than those: nothing of the answer itself says that it is short. */
export const truncated =
  (at: number): Action =>
  (answer) => {
    const { body } = answer
    answer.body = { sizeBytes: Math.min(at, body.sizeBytes), read: (start, end) => body.read(start, end) }
  }

/** So many bytes more than there should be, and a length that says so. */
export const padded =
  (bytes: number): Action =>
  (answer) => {
    const { body } = answer
    const padding = bytesOf(Buffer.alloc(bytes, 'x'))
    answer.body = {
      sizeBytes: body.sizeBytes + bytes,
      *read(start, end) {
        yield* body.read(Math.min(start, body.sizeBytes), Math.min(end, body.sizeBytes))
        yield* padding.read(Math.max(0, start - body.sizeBytes), Math.max(0, end - body.sizeBytes))
      },
    }
  }

/** No `Content-Length`. */
export const chunked = (): Action => (answer) => {
  delete answer.headers['content-length']
  answer.chunked = true
}

/** @param value undefined: the header is missing */
export const header =
  (name: string, value: string | string[] | undefined): Action =>
  (answer) => {
    if (value === undefined) delete answer.headers[name]
    else answer.headers[name] = value
  }

/** Names the digest of something else. */
export const wrongDigest = (): Action => header('docker-content-digest', `sha256:${'0'.repeat(64)}`)

/** What a captive portal answers to everything. */
export const loginPage = (): Action => (answer) => {
  Object.assign(answer, { status: 200, headers: { 'content-type': 'text/html' }, body: bytesOf(Buffer.from('<html>Please log in</html>')) })
}

/** The body compressed, and said so, though nobody asked for that. */
export const gzip = (): Action => (answer) => {
  const whole = Buffer.concat([...answer.body.read(0, answer.body.sizeBytes)])
  answer.body = bytesOf(gzipSync(whole))
  answer.headers['content-encoding'] = 'gzip'
}

/** Another status, with an OCI error as its body. */
export const status =
  (code: number, headers: Reply['headers'] = {}, message = `fault ${code}`): Action =>
  (answer) => {
    const error = errorReply(code, code === 429 ? 'TOOMANYREQUESTS' : 'UNKNOWN', message, headers)
    Object.assign(answer, { status: error.status, headers: error.headers, body: error.body })
  }

/** 429: too many requests. @param retryAfterS undefined: it does not say when to come again */
export const limited = (retryAfterS?: number): Action =>
  status(429, retryAfterS === undefined ? {} : { 'retry-after': String(retryAfterS) })

/** Another body, as it is. */
export const body =
  (content: Buffer | string): Action =>
  (answer) => {
    answer.body = bytesOf(Buffer.from(content))
  }

/** @param location absolute, relative, or made from the request */
export const redirect =
  (location: string | ((request: SeenRequest) => string), code = 307): Action =>
  (answer, request) => {
    const target = typeof location === 'string' ? location : location(request)
    Object.assign(answer, { status: code, headers: { location: target }, body: bytesOf(Buffer.alloc(0)) })
  }

/** To the same content on another fake server, under the path of a CDN, with a signature in the query that must never be logged. */
export const redirectToCdn = (origin: string, code = 307): Action =>
  redirect(({ kind, repository, reference }) => `${origin}/cdn/${kind}s/${repository}/${reference}?signature=secret`, code)

/** For ever in a circle. */
export const redirectLoop = (): Action => redirect(({ path }) => path)
