/** What is said of a request when it is over: its line in the log, and what is counted of it. */
import type { LogFields, LogLevel } from '../observe/log.ts'
import type { AnsweredRequest, CacheResult } from '../observe/metrics.ts'
import { safeUrl } from './safe-url.ts'

/** What a request turns out to be while it is handled. */
export type Note = {
  /** Of its line in the log; default: info. */
  level?: LogLevel
  /** One word of few. */
  route?: string
  /** The registry and repository that it names, and which manifest or blob. */
  source?: { readonly registry: string; readonly repository: string }
  target?: string
  cache?: CacheResult
  /** What the upstream failed with, in one word; also where something was served all the same. */
  cause?: string | undefined
  /** Why it was refused. */
  why?: string
}

export type FinishedRequest = {
  readonly id: string
  readonly method: string | undefined
  readonly url: string | undefined
  readonly note: Note
  readonly client: string | undefined
  readonly status: number
  readonly bytes: number
  readonly firstMs: number | undefined
  readonly totalMs: number
  /** Whether the answer went out as long as it was to be. */
  readonly isWhole: boolean
}

/** `GET docker.io/library/alpine:3`, or with the URL where that names no content. */
export function requestMessage({ method, url = '', note }: FinishedRequest): string {
  return `${method} ${referenceOf(note) ?? safeUrl(url)}`
}

export function requestFields({ id, note, client, status, bytes, firstMs, totalMs, isWhole }: FinishedRequest): LogFields {
  const { route, cache, cause, why } = note
  const ended = isWhole ? undefined : 'short'
  return { route, status, bytes, firstMs: tenths(firstMs), ms: tenths(totalMs), cache, client, cause, why, ended, request: id }
}

export function answeredRequest({ method, note, status, bytes, firstMs, totalMs }: FinishedRequest): AnsweredRequest {
  const { route = 'other', source, cache = 'none' } = note
  return { route, method, status, cache, registry: source?.registry, bytes, firstMs, totalMs }
}

/** Of every tag and digest. What else is asked for was decoded, and may hold blanks: it could pass for fields of the line. */
const TARGET = /^[\w.:+-]{1,256}$/

/** As it was asked for: a target may be no tag and no digest. */
function referenceOf({ source, target }: Note): string | undefined {
  if (source === undefined || target === undefined || !TARGET.test(target)) return undefined
  return `${source.registry}/${source.repository}${target.includes(':') ? '@' : ':'}${target}`
}

function tenths(ms: number | undefined): number | undefined {
  return ms === undefined ? undefined : Math.round(ms * 10) / 10
}
