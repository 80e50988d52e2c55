/**
 * The pullers of many small images, a process of its own. Each takes the next image and asks for its manifest by tag, then for config and layers, one after
 * the other on one connection; the digest of every body is checked. First straight from the upstream, so that code and connections are warm and it is known
 * how fast these clients can be; then from the server that is measured. Prints both as JSON.
 */
import { hash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { type Item, urlOf } from '../content.ts'
import { cpuSeconds } from '../proc.ts'
import { Connection } from './connection.ts'
import type { Pulled, PullPlan } from './images.ts'

const { imagesFile, upstream, server, pullers, seconds } = JSON.parse(process.argv[2] ?? '') as PullPlan
const images: Item[][] = JSON.parse(await readFile(imagesFile, 'utf8'))
const directSeconds = 1

/** All images once, or (`seconds`) in turn until that time is over. */
async function pullAll(serverUrl: string, seconds: number | undefined): Promise<Pulled> {
  const origin = new URL(serverUrl)
  const used = processorsUsed()
  const startedMs = performance.now()
  const goesOn = () => (seconds === undefined ? next < images.length : performance.now() - startedMs < seconds * 1000)
  let next = 0
  let requests = 0

  async function puller(): Promise<void> {
    const connection = new Connection(origin)
    while (goesOn()) {
      for (const item of images[next++ % images.length] ?? []) {
        requests++
        await check(connection, item)
      }
    }
    connection.close()
  }

  await Promise.all(Array.from({ length: pullers }, puller))
  const elapsed = (performance.now() - startedMs) / 1000
  return { images: next, requests, seconds: elapsed, imagesPerSecond: next / elapsed, processors: used(elapsed) }
}

async function check(connection: Connection, item: Item): Promise<void> {
  const found = `sha256:${hash('sha256', await connection.get(urlOf('', item), item.mediaType))}`
  if (found !== item.digest) throw new Error(`${item.path}: the body hashes to ${found}, not to ${item.digest}`)
}

/** From now on, by each of those who take part: 1 is one processor all the time. */
function processorsUsed(): (elapsedSeconds: number) => Pulled['processors'] {
  const now = () => ({ clients: cpuSeconds(process.pid), server: cpuSeconds(server.pid), upstream: cpuSeconds(upstream.pid) })
  const before = now()
  return (elapsed) => {
    const after = now()
    const used = (who: keyof Pulled['processors']) => (after[who] - before[who]) / elapsed
    return { clients: used('clients'), server: used('server'), upstream: used('upstream') }
  }
}

const direct = await pullAll(upstream.url, directSeconds)
const pulled = await pullAll(server.url, seconds)
process.stdout.write(JSON.stringify({ direct, pulled }))
