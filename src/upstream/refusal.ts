/** The error for an answer that is not what was asked for: kind by its status, its own words, and what to do. */

import type { Clock } from '../observe/clock.ts'
import type { Challenge } from '../oci/challenge.ts'
import { type Answer, readErrorText } from './answer.ts'
import { UpstreamError } from './error.ts'
import { kindOfStatus, messageOfErrorBody, parseRetryAfter } from './failure.ts'
import { type Sent, strikeSent } from './sent-secrets.ts'
import { nameOf } from './tunnel.ts'

export type RefusalContext = {
  readonly clock: Clock
  readonly idleMs: number
  readonly signal: AbortSignal | undefined
  /** What was sent by way of credentials; said where the answer is 401 or 403. */
  readonly note: string
  /** The credentials themselves: an answer may quote them. */
  readonly sent: Pick<Sent, 'authorization' | 'credentials'>
  readonly challenges?: readonly Challenge[]
  /** What else may be the reason, if something is known. */
  readonly suspicion?: string | undefined
}

/** Reads at most 64 KiB of the body and lets go of the rest. */
export async function refusalOf(
  answer: Answer,
  { clock, idleMs, signal, note, sent, challenges = [], suspicion }: RefusalContext,
): Promise<UpstreamError> {
  const words = messageOfErrorBody(await readErrorText(answer, { clock, idleMs, signal }), (text) =>
    strikeSent(text, { ...sent, url: answer.url, toProxy: answer.proxy?.authorization }),
  )
  const kind = kindOfStatus(answer.status)
  const retryAfterMs = parseRetryAfter(answer.header('retry-after'), clock.now())
  const way = answer.proxy === undefined ? '' : ` (through the proxy ${nameOf(answer.proxy)})`
  const said = `${answer.url.origin}${way} answered ${answer.status}${words === '' ? '' : ` (${words})`}`
  const message = [said, ...(kind === 'denied' ? [note] : []), ...(suspicion === undefined ? [] : [suspicion])].join('; ')
  return new UpstreamError(kind, message, { challenges, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) })
}
