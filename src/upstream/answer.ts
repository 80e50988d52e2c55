/** An HTTP answer whose body is still to come, and the two ways to get rid of the body: read it, or discard it. */
import type { Readable } from 'node:stream'
import { OVER } from '../async/over.ts'
import type { ProxyServer } from '../config/config.ts'
import type { Clock } from '../observe/clock.ts'
import { UpstreamError } from './error.ts'
import { StallWatch } from './stall.ts'

export type Answer = {
  /** Where it came from. */
  readonly url: URL
  readonly status: number
  /** @param name in lower case. Several lines arrive joined by `, ` */
  readonly header: (name: string) => string | undefined
  /** Must be read to its end or destroyed. */
  readonly body: Readable
  /** What it came through, if it did not come directly; it may also come from there, unless it came through a tunnel. */
  readonly proxy?: ProxyServer
}

/** Of an error's body no more is read: it is looked at for a message only. */
const ERROR_BYTES = 64 * 1024

export type ReadLimits = {
  readonly maxBytes: number
  readonly idleMs: number
  /** For the whole body: else one that trickles holds its bytes and its connection for ever. */
  readonly totalMs: number
  readonly clock: Clock
  readonly signal?: AbortSignal | undefined
  /** Told of each part that comes. */
  readonly onBytes?: ((bytes: number) => void) | undefined
}

/**
 * The whole body; destroyed if it is longer than `maxBytes`.
 * @throws UpstreamError 'corrupt' if it is, 'timeout' if nothing comes for `idleMs` or it is not complete within `totalMs`; the signal's reason; what the body fails with
 */
export async function readAll(answer: Answer, limits: ReadLimits): Promise<Buffer> {
  if (Number(answer.header('content-length') ?? 0) > limits.maxBytes) {
    answer.body.destroy()
    throw tooLong(limits.maxBytes)
  }
  const bytes = await collect(answer.body, limits)
  if (bytes.length > limits.maxBytes) throw tooLong(limits.maxBytes)
  return bytes
}

/** The first 64 KiB of an error's body as text; empty where it cannot be read within `idleMs`. Never rejects. */
export async function readErrorText(answer: Answer, limits: Omit<ReadLimits, 'maxBytes' | 'totalMs'>): Promise<string> {
  const bytes = await collect(answer.body, { ...limits, maxBytes: ERROR_BYTES, totalMs: limits.idleMs }).catch(() => Buffer.alloc(0))
  return bytes.subarray(0, ERROR_BYTES).toString('utf8')
}

/** Reads a body that nobody needs, if it is short, so that its connection can be used again. Never rejects. */
export async function discard(answer: Answer, limits: Omit<ReadLimits, 'maxBytes' | 'totalMs'>): Promise<void> {
  await readErrorText(answer, limits)
}

/** Stops behind the chunk that goes beyond `maxBytes`. */
async function collect(body: Readable, { maxBytes, idleMs, totalMs, clock, signal, onBytes }: ReadLimits): Promise<Buffer> {
  const over = new AbortController()
  const tooSlow = (): Error => new UpstreamError('timeout', `the answer was not complete within ${totalMs} ms`)
  void clock.sleep(totalMs, over.signal).then((slept) => slept && body.destroy(tooSlow()))
  const watch = new StallWatch(clock, idleMs, () => body.destroy(new UpstreamError('timeout', `no byte of the answer for ${idleMs} ms`)))
  const abort = (): void => void body.destroy(signal?.reason)
  signal?.addEventListener('abort', abort, { once: true })
  if (signal?.aborted) abort()
  try {
    const chunks: Buffer[] = []
    let sizeBytes = 0
    for await (const chunk of body as AsyncIterable<Uint8Array>) {
      watch.touch()
      onBytes?.(chunk.byteLength)
      chunks.push(Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength))
      sizeBytes += chunk.byteLength
      if (sizeBytes > maxBytes) break
    }
    return Buffer.concat(chunks)
  } finally {
    watch.stop()
    over.abort(OVER)
    signal?.removeEventListener('abort', abort)
  }
}

function tooLong(maxBytes: number): UpstreamError {
  return new UpstreamError('corrupt', `the answer is longer than ${maxBytes} bytes`)
}
