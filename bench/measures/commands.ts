/** Commands that look at a store of very many images: how long each takes, and what it weighs at its peak. */
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { ownDirectory } from '../directories.ts'
import { imagePathIn, ociregistry } from '../programs/ociregistry.ts'
import { complete, type Scope } from '../steps.ts'
import { type Shape, writeStoredImages } from '../stored-images.ts'
import { type Measure, MIB, median } from './measure.ts'

type CommandLine = {
  /** Of its figures. */
  readonly key: string
  readonly args: readonly string[]
  /** How many lines of its output say that it has done all of its work. */
  lines(images: number): number
}

/** A new one is a line here. */
const COMMANDS: readonly CommandLine[] = [{ key: 'list', args: ['list'], lines: (images) => 2 * images }]

/** Each tag an index, of which one image was pulled; most layers are shared, as those of bases are. */
const SHAPE: Shape = { sharedLayers: 5, ownLayers: 3, indexed: true }

export const commands: Measure = {
  name: 'commands',
  programs: [ociregistry],
  warm: false,
  limitMs: ({ storedRuns }) => COMMANDS.length * storedRuns * 10_000 + 120_000,

  async take(scope, program, { directory, sizes, upstream }) {
    const own = await ownDirectory(scope, directory, 'commands')
    const { command, args } = await program.configure({ directory: own, upstreamUrl: upstream.url, items: [], port: 1 })
    writeStoredImages(imagePathIn(own), sizes.storedImages, Date.now(), SHAPE)
    await complete(scope, 'sync', ['-f', own])
    const figures: Record<string, number> = {}
    const raw: Record<string, readonly Run[]> = {}
    for (const line of COMMANDS) {
      const runs: Run[] = []
      for (let i = 0; i < sizes.storedRuns; i++) runs.push(await runOnce(scope, [command, ...withCommand(args, line)], own))
      const short = runs.find(({ lines }) => lines !== line.lines(sizes.storedImages))
      if (short !== undefined) throw new Error(`${line.key} printed ${short.lines} lines`)
      figures[line.key] = median(runs.map(({ ms }) => ms)) / 1000
      figures[`${line.key}Memory`] = Math.max(...runs.map(({ peakBytes }) => peakBytes)) / MIB
      raw[line.key] = runs
    }
    return { figures, raw }
  },

  rows: ({ storedImages }) =>
    COMMANDS.flatMap(({ key, args }) => [
      {
        key,
        label: `${storedImages.toLocaleString('en')} images in ${storedImages.toLocaleString('en')} indexes: \`${args.join(' ')}\`, seconds`,
        digits: 2,
        goal: { atMost: 1 },
      },
      { key: `${key}Memory`, label: '- memory, MiB', digits: 0, goal: { atMost: 150 } },
    ]),
}

/** As the server is started, but with another command. */
function withCommand(serve: readonly string[], { args }: CommandLine): string[] {
  return serve.flatMap((arg) => (arg === 'serve' ? args : [arg]))
}

type Run = { readonly ms: number; readonly lines: number; readonly peakBytes: number }

/** The process notes its own peak when it ends: whoever looks from outside would look too early. */
async function runOnce(scope: Scope, [command = '', ...args]: readonly string[], directory: string): Promise<Run> {
  const [noting, note] = [join(directory, 'noting.cjs'), join(directory, 'status')]
  await writeFile(noting, noteStatus(note))
  const began = performance.now()
  const output = await complete(scope, command, ['--require', noting, ...args], { cwd: directory })
  const ms = performance.now() - began
  const [, kibibytes = ''] = /^VmHWM:\s+(\d+) kB$/m.exec(await readFile(note, 'utf8')) ?? []
  return { ms, lines: output.split('\n').length - 1, peakBytes: Number(kibibytes) * 1024 }
}

/** A program that goes before another one. */
function noteStatus(file: string): string {
  return `const { readFileSync, writeFileSync } = require('node:fs')
process.on('exit', () => writeFileSync(${JSON.stringify(file)}, readFileSync('/proc/self/status')))
`
}
