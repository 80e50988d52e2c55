/** Commands that look at a store of very many images: how long each takes, and what it weighs at its peak. */
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { ownDirectory } from '../directories.ts'
import { imagePathIn, ociregistry } from '../programs/ociregistry.ts'
import { complete, type Scope } from '../steps.ts'
import { fiveLayers, type Shape, writeStoredImages } from '../stored-images.ts'
import { type Measure, MIB, median } from './measure.ts'

type CommandLine = {
  /** Of its figures. */
  readonly key: string
  readonly args: readonly string[]
  /** Its output has at least so many lines for each manifest in the store, if it has done all of its work. */
  readonly linesOfEach: number
}

/** A new one is a line here. The images came in the course of a year, evenly: 73 of 100 are older than 100 days. */
const COMMANDS: readonly CommandLine[] = [
  { key: 'list', args: ['list'], linesOfEach: 1 },
  { key: 'prune', args: ['prune', '--older-than', '100d', '--dry-run'], linesOfEach: 0.72 },
]

type StoreKind = {
  /** Of its figures, and the name of its directory. */
  readonly key: string
  label(images: string): string
  readonly shape: Shape
  readonly manifestsOfEach: number
  readonly hasGoals: boolean
}

/** As many images as the goals are about; and a store that is twice as hard: each tag an index of two platforms, of which one image was pulled. */
const STORES: readonly StoreKind[] = [
  { key: 'plain', label: (images) => `${images} images`, shape: fiveLayers, manifestsOfEach: 1, hasGoals: true },
  {
    key: 'indexed',
    label: (images) => `${images} images in ${images} indexes`,
    shape: { sharedLayers: 5, ownLayers: 3, indexed: true },
    manifestsOfEach: 2,
    hasGoals: false,
  },
]

export const commands: Measure = {
  name: 'commands',
  programs: [ociregistry],
  warm: false,
  limitMs: ({ storedRuns }) => STORES.length * (COMMANDS.length * storedRuns * 10_000 + 120_000),

  async take(scope, program, { directory, sizes, upstream }) {
    const figures: Record<string, number> = {}
    const raw: Record<string, readonly Run[]> = {}
    for (const store of STORES) {
      const own = await ownDirectory(scope, directory, `commands-${store.key}`)
      const { command, args } = await program.configure({ directory: own, upstreamUrl: upstream.url, items: [], port: 1 })
      writeStoredImages(imagePathIn(own), sizes.storedImages, Date.now(), store.shape)
      await complete(scope, 'sync', ['-f', own])
      for (const line of COMMANDS) {
        const key = figureOf(line, store)
        const runs: Run[] = []
        for (let i = 0; i < sizes.storedRuns; i++) runs.push(await runOnce(scope, [command, ...withCommand(args, line)], own))
        const short = runs.find(({ lines }) => lines < sizes.storedImages * store.manifestsOfEach * line.linesOfEach)
        if (short !== undefined) throw new Error(`${line.key} printed ${short.lines} lines`)
        figures[key] = median(runs.map(({ ms }) => ms)) / 1000
        figures[`${key}Memory`] = Math.max(...runs.map(({ peakBytes }) => peakBytes)) / MIB
        raw[key] = runs
      }
    }
    return { figures, raw }
  },

  rows: ({ storedImages }) =>
    STORES.flatMap((store) =>
      COMMANDS.flatMap((line) => {
        const key = figureOf(line, store)
        const label = `${store.label(storedImages.toLocaleString('en'))}: \`${line.args.join(' ')}\`, seconds`
        return [
          { key, label, digits: 2, ...(store.hasGoals && { goal: { atMost: 1 } }) },
          { key: `${key}Memory`, label: '- memory, MiB', digits: 0, ...(store.hasGoals && { goal: { atMost: 150 } }) },
        ]
      }),
    ),
}

function figureOf({ key }: CommandLine, store: StoreKind): string {
  return `${store.key}.${key}`
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
