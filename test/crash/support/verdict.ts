/** What the program itself says of a store, as a person would ask it. */
import { run } from '../../e2e/support/processes.ts'
import type { Installation } from '../../e2e/support/server.ts'

/** Of a store that no server uses: empty if `verify` finds nothing wrong, else what it printed. */
export async function verdictOf({ program, imagePath }: Installation): Promise<string[]> {
  const { code, stdout, stderr } = await run(process.execPath, [program, 'verify', '--image-path', imagePath], { timeoutMs: 600_000 })
  return code === 0 ? [] : [`verify ended with ${code}: ${stdout.slice(-2000)}${stderr.slice(-2000)}`]
}
