/** Fills a program's cache by pulling through it, until it needs its upstream no more. */
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { checkAnswer } from './clients/check.ts'
import type { Content, Item } from './content.ts'
import type { Bench } from './measures/measure.ts'
import { type Program, startProgram } from './programs/program.ts'
import { complete, type Scope } from './steps.ts'
import type { Upstream } from './upstream/start.ts'

export const warmDirectory = (directory: string, { name }: Program) => join(directory, `warm-${name}`)

export async function warmUp(scope: Scope, program: Program, { startWarm, content, upstream, directory }: Bench): Promise<void> {
  const { url, process } = await startWarm(scope, program)
  for (const item of warmItems(content)) await pullUntilCached(scope, url, [item], upstream)
  await process.stop()
  // what the kernel still has to write would be written while others are measured
  await complete(scope, 'sync', ['-f', directory])
}

/** All but what is measured cold. */
const warmItems = ({ all, mediumBlob }: Content) => all.filter((item) => item !== mediumBlob)

/** Cached is what a client gets without a byte of a body from the upstream. Some programs store behind the client's back, by a download of their own. */
export async function pullUntilCached(scope: Scope, serverUrl: string, items: readonly Item[], upstream: Upstream): Promise<void> {
  for (;;) {
    scope.signal.throwIfAborted()
    const before = await upstream.sent()
    for (const item of items) await checkAnswer(serverUrl, item)
    while ((await upstream.sent()).running > 0) await sleep(50)
    if ((await upstream.sent()).bodyBytes === before.bodyBytes) return
  }
}

export const startWarmProgram = (directory: string, content: Content, upstream: Upstream): Bench['startWarm'] => {
  return (scope, program) =>
    startProgram(scope, program, { directory: warmDirectory(directory, program), upstreamUrl: upstream.url, items: content.all })
}
