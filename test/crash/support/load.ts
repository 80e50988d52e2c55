/** Several clients at once, each doing one thing after the other until it is told to stop. */
import type { Random } from '../../support/property.ts'
import { type Client, NoAnswer } from './client.ts'
import type { World } from './world.ts'

export type Act = (client: Client, world: World, random: Random) => Promise<void>

/** What clients of a healthy server do; an act that is there twice is done twice as often. */
export const ORDINARY: readonly Act[] = [
  (client, world) => client.pull(world.recent()),
  (client, world) => client.pull(world.recent()),
  (client, world, random) => client.part(someBlob(world, random)),
  (client, world, random) => client.leave(someBlob(world, random)),
  async (client, world) => {
    world.move()
    await client.moving(world.recent())
  },
]

export type LoadOptions = {
  readonly world: World
  readonly acts: readonly Act[]
  readonly clients: number
  /** @param i of a client, from 0 */
  readonly client: (i: number, random: Random) => Client
  readonly random: (i: number) => Random
  /** Told of each act that found no answer before `stop`. That client goes on when this resolves. */
  readonly onNoAnswer: (error: NoAnswer) => void | Promise<void>
}

export class Load {
  /** A line for each answer that was not true. */
  readonly wrong: string[] = []
  complete = 0
  #stopped = false
  readonly #running: Promise<unknown>

  constructor(options: LoadOptions) {
    this.#running = Promise.all(Array.from({ length: options.clients }, (_, i) => this.#run(i, options)))
  }

  /** From now on nobody is blamed for an answer that does not come, and nobody asks again. */
  stop(): Promise<unknown> {
    this.#stopped = true
    return this.#running
  }

  async #run(i: number, { world, acts, client, random, onNoAnswer }: LoadOptions): Promise<void> {
    const own = random(i)
    const asking = client(i, own)
    while (!this.#stopped) {
      try {
        await own.pick(acts)(asking, world, own)
        this.complete++
      } catch (error) {
        if (!(error instanceof NoAnswer)) this.wrong.push(error instanceof Error ? error.message : String(error))
        else if (!this.#stopped) await onNoAnswer(error)
      }
    }
  }
}

export function someBlob(world: World, random: Random) {
  return random.pick(random.pick(world.recent().images).blobs)
}
