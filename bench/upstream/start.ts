/** Starts an upstream process, and asks it what it has sent. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { root } from '../../scripts/root.mjs'
import { ask } from '../../test/e2e/support/http-client.ts'
import { until } from '../../test/e2e/support/poll.ts'
import type { Item } from '../content.ts'
import { launch, type Scope } from '../steps.ts'

/** Counted since it started: bytes of bodies, requests for content, and how many of these have not ended. */
export type Sent = { bodyBytes: number; requests: number; running: number }

export type Upstream = {
  readonly url: string
  sent(): Promise<Sent>
}

type UpstreamOptions = {
  readonly items: readonly Item[]
  /** Where it may keep a file. */
  readonly directory: string
  /** Of all connections together; unlimited unless given. */
  readonly linkBytesPerSecond?: number
}

export async function startUpstream(
  scope: Scope,
  { items, directory, linkBytesPerSecond = Number.POSITIVE_INFINITY }: UpstreamOptions,
): Promise<Upstream> {
  const contentFile = join(directory, 'content.json')
  await writeFile(contentFile, JSON.stringify(items))
  const args = ['--import', 'tsx', 'bench/upstream/main.ts', contentFile, String(linkBytesPerSecond)]
  const upstream = launch(scope, 'upstream', process.execPath, args, { cwd: root })
  const port = await until('the upstream listens', () => {
    if (upstream.exit() !== undefined) throw new Error(`the upstream ended: ${upstream.output()}`)
    return /^\d+(?=\n)/.exec(upstream.stdout())?.[0]
  })
  const url = `http://127.0.0.1:${port}`
  return { url, sent: async () => JSON.parse((await ask(`${url}/sent`)).bytes.toString()) }
}
