/** Asks for everything that is on its way until nothing is. */
import { until } from '../../e2e/support/poll.ts'
import { type Client, NoAnswer } from './client.ts'
import { spoolsIn } from './store-state.ts'
import type { World } from './world.ts'

/** @returns a line for whatever stays in the spool though it was asked for, and for each answer that was not true */
export async function emptySpool(client: Client, world: World, imagePath: string): Promise<string[]> {
  const wrong = new Set<string>()
  let left: string[] = []
  const isEmpty = async () => {
    const spools = [...(await spoolsIn(imagePath))]
    left = spools.map(([digest, bytes]) => `asked for again and again, ${digest} stays in the spool: ${bytes} bytes`)
    for (const [digest] of spools) {
      const blob = world.blob(digest)
      if (blob === undefined) wrong.add(`${digest} is in the spool, and no registry ever had it`)
      else await client.blob(blob).catch((error) => void (error instanceof NoAnswer || wrong.add(String(error))))
    }
    return spools.length === 0
  }
  return until('the spool is empty', isEmpty).then(
    () => [...wrong],
    () => [...wrong, ...left],
  )
}
