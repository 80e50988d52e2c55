/** What a kill may change in a store, and what not. Two looks at it in, lines about what must not be out. */
import { parseReference } from '../../../src/oci/reference.ts'
import type { StoreState } from './store-state.ts'
import type { World } from './world.ts'

/** Of one download that may be lost with the process that was writing it. */
const ONE_WRITE_BYTES = 4 * 1024 * 1024

/** Whatever was stored stays so. */
export function lostBetween(before: StoreState, after: StoreState): string[] {
  return [
    ...[...before.blobs].filter((digest) => !after.blobs.has(digest)).map((digest) => `the blob ${digest} is gone`),
    ...[...before.records].filter((digest) => !after.records.has(digest)).map((digest) => `the record of ${digest} is gone`),
    ...[...before.refs.keys()].filter((text) => !after.refs.has(text)).map((text) => `the reference ${text} is gone`),
  ]
}

/** Tags that point at what they never named. */
export function strangeRefs({ refs }: StoreState, world: World): string[] {
  return [...refs].flatMap(([text, digest]) => {
    const { repository, tag } = parseReference(text)
    return tag === undefined || world.couldName(repository, tag, digest) ? [] : [`${text} points at ${digest}, which it never named`]
  })
}

/** A download goes on where the last kill found it. @returns also how many did that had come further than one write */
export function compareDownloads(before: StoreState, after: StoreState, world: World): { again: string[]; continued: number } {
  const again: string[] = []
  let continued = 0
  for (const [digest, spoolBytes] of before.spools) {
    const sizeBytes = world.blob(digest)?.sizeBytes ?? 0
    const sentBytes = world.registry.bytesSent(digest)
    const keptBytes = after.blobs.has(digest) ? sizeBytes : (after.spools.get(digest) ?? 0)
    const was = `${digest} has ${sizeBytes} bytes, of which ${spoolBytes} were there when it was killed`
    if (sentBytes > sizeBytes - spoolBytes + ONE_WRITE_BYTES) again.push(`${was}; ${sentBytes} were sent after that`)
    else if (spoolBytes > ONE_WRITE_BYTES && sentBytes > 0) continued++
    if (keptBytes < spoolBytes - ONE_WRITE_BYTES) again.push(`${was}; after the next kill it was ${keptBytes}`)
  }
  return { again, continued }
}
