/** The container image as `npm run image` makes it: once in a run, since it takes a while; and why this machine cannot make it. */
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { root } from '../../../scripts/root.mjs'
import { until } from './poll.ts'
import { type Finished, run } from './processes.ts'
import { runDirectory } from './run-directory.ts'

export type ContainerImage = {
  /** What containerd, podman and Docker import. */
  readonly archive: string
  /** Root file system, the lowest layer first. */
  readonly layers: readonly string[]
}

/** Into a directory of its own. @param env beside this process's */
export function makeImage(output: string, env: NodeJS.ProcessEnv = {}): Promise<Finished> {
  const args = [join(root, 'scripts/image.mjs'), '--output', output]
  return run(process.execPath, args, { env: { ...process.env, ...env }, timeoutMs: 280_000 })
}

export const filesIn = (output: string): ContainerImage => ({
  archive: join(output, 'ociregistry-image.tar'),
  layers: ['base', 'program'].map((layer) => join(output, `image/${layer}.tar`)),
})

/** What the making of it says where Node or Debian's packages cannot be fetched. */
const unreachable =
  /npm registry cannot be reached|apt-get knows no package|has no apt-get|apt-get [^:]+: .*(?:Unable to fetch|Failed to fetch)/

/** Made by whoever asks first in this run. Text: the reason to skip. @throws Error when it failed for any other reason */
export async function containerImage(): Promise<ContainerImage | string> {
  const output = join(runDirectory(), 'container')
  const verdict = join(runDirectory(), 'container.json')
  const mine = await mkdir(output).then(
    () => true,
    () => false,
  )
  if (mine) {
    const { code, stderr } = await makeImage(output)
    await writeFile(`${verdict}.part`, JSON.stringify({ code, stderr }))
    await rename(`${verdict}.part`, verdict)
  }
  const text = await until('the image is made', () => readFile(verdict, 'utf8').catch(() => undefined), 280_000)
  const { code, stderr }: Pick<Finished, 'code' | 'stderr'> = JSON.parse(text)
  if (code === 0) return filesIn(output)
  if (unreachable.test(stderr)) return `package: what the image is made of cannot be fetched: ${stderr}`
  throw new Error(stderr)
}
