/** A program that has stored nothing yet. */
import type { Item } from '../content.ts'
import { ownDirectory, removeDirectory } from '../directories.ts'
import { complete, type Scope } from '../steps.ts'
import { type Program, type Server, startProgram } from './program.ts'

type Place = {
  /** In which it gets a directory. */
  readonly directory: string
  readonly upstreamUrl: string
  readonly items: readonly Item[]
}

/** Starts it with an empty store; ends it, and removes what it stored, when `work` is done (where that fails, with the scope). */
export async function withFresh<T>(
  scope: Scope,
  program: Program,
  { directory, upstreamUrl, items }: Place,
  work: (server: Server) => Promise<T>,
): Promise<T> {
  const own = await ownDirectory(scope, directory, program.name)
  const server = await startProgram(scope, program, { directory: own, upstreamUrl, items })
  const answer = await work(server)
  await server.process.stop()
  await removeDirectory(own)
  // what the kernel still has to write would be written while the next one is measured
  await complete(scope, 'sync', ['-f', directory])
  return answer
}
