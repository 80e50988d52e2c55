/** Imports point one way, and nothing is imported that would have to be installed. */
import assert from 'node:assert/strict'
import { readdir, readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path/posix'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))

/** What each room may import besides itself. `archive` is not wired up yet, so nobody may import it. */
const ROOMS: Readonly<Record<string, readonly string[]>> = {
  'main.ts': ['cli'],
  cli: ['server', 'cache', 'store', 'upstream', 'oci', 'async', 'config', 'observe'],
  server: ['hello', 'cache', 'store', 'upstream', 'oci', 'async', 'tls'],
  cache: ['store', 'upstream', 'oci', 'async'],
  store: ['oci', 'async'],
  upstream: ['oci', 'async', 'tls'],
  config: ['oci', 'tls'],
  observe: [],
  archive: [],
  hello: ['oci'],
  oci: [],
  tls: ['async'],
  async: [],
}
/** Handed in, never reached for: only their types may be named, but everywhere outside of oci. */
const HANDED_IN = ['config', 'observe']
const PURE = ['oci']
/** A function of text alone: there is nothing to hand in. */
const FUNCTIONS = ['observe/printable.ts']
/** Puts the program together, so it may import whatever it composes. */
const COMPOSER = { file: 'server/service.ts', rooms: ['cache', 'store', 'upstream', 'oci', 'async', 'tls', 'config', 'observe'] }
/** Inlined by esbuild; `lazy` ones must cost nothing until they are needed. */
const PACKAGES: Readonly<Record<string, { readonly room: string; readonly lazy: boolean }>> = {
  yaml: { room: 'config', lazy: false },
  undici: { room: 'upstream', lazy: true },
  re2js: { room: 'config', lazy: true },
  'prom-client': { room: 'observe', lazy: true },
}

type Import = { readonly of: string; readonly how: 'value' | 'type' | 'lazy' }

/** `import { type A }` counts as a value: the import stays when the types are stripped. */
function importsOf(source: string): Import[] {
  const code = source.replace(/^\s*(?:\/\/.*|\/\*[\s\S]*?\*\/)/gm, '')
  const names = String.raw`(?:\w+\s*,?\s*)?(?:\*(?:\s+as\s+\w+)?|\{[^}]*\})?\s*from\s+`
  const atTop = code.matchAll(new RegExp(String.raw`^(?:import|export)\s+(type\s+)?(?:${names})?['"]([^'"]+)['"]`, 'gm'))
  const inline = code.matchAll(/(\btypeof\s+)?\bimport\(\s*(?:['"`]([^'"`]+)['"`]\s*[,)])?|\brequire\(\s*['"]([^'"]+)['"]/g)
  return [
    ...Array.from(atTop, ([, type, of = '']): Import => ({ of, how: type === undefined ? 'value' : 'type' })),
    ...Array.from(inline, ([, type, of, required]): Import => {
      if (required !== undefined) return { of: required, how: 'value' }
      return { of: of ?? 'something computed', how: type === undefined ? 'lazy' : 'type' }
    }),
  ]
}

/** @param file relative to `src`. Returns what is wrong with the import, in a sentence, or undefined. */
function complaint(file: string, { of, how }: Import): string | undefined {
  const room = roomOf(file)
  const says = `src/${file} imports ${how === 'type' ? 'types of ' : ''}'${of}'`
  if (ROOMS[room] === undefined) return `src/${file} is in no room that is known, and ${says}`
  if (of.startsWith('node:')) return room === 'oci' && of !== 'node:crypto' ? `${says}, but oci is pure: node:crypto only` : undefined
  if (!of.startsWith('.')) return packageComplaint(room, says, { of, how })
  const path = join(dirname(file), of)
  const target = roomOf(path)
  if (target === room || (FUNCTIONS.includes(path) && !PURE.includes(room))) return undefined
  if (how === 'type' && HANDED_IN.includes(target) && !PURE.includes(room)) return undefined
  const allowed = file === COMPOSER.file ? COMPOSER.rooms : ROOMS[room]
  if (allowed.includes(target)) return undefined
  if (HANDED_IN.includes(target)) return `${says}, but ${target} is handed in: 'import type' is all that ${room} may do`
  return `${says}, but ${room} may import ${['nothing but itself', ...allowed].join(', ')}`
}

function packageComplaint(room: string, says: string, { of, how }: Import): string | undefined {
  const known = PACKAGES[of]
  if (known === undefined) return `${says}, which is neither node: nor ours nor one of ${Object.keys(PACKAGES).join(', ')}`
  if (known.room !== room) return `${says}, but only ${known.room} may`
  return known.lazy && how === 'value' ? `${says} at once, but it is to be loaded on first use: await import('${of}')` : undefined
}

function roomOf(file: string): string {
  return file.split('/', 1)[0] ?? ''
}

test('Imports point one way, and only to what is bundled', async () => {
  const files = (await readdir(join(root, 'src'), { recursive: true })).filter((file) => /\.[cm]?[jt]s$/.test(file))
  assert.ok(files.length > 10, 'the sources were found')
  const complaints: string[] = []
  for (const file of files.sort()) {
    for (const found of importsOf(await readFile(join(root, 'src', file), 'utf8'))) complaints.push(complaint(file, found) ?? '')
  }
  assert.equal(complaints.filter((sentence) => sentence !== '').join('\n'), '')
})

test('Nothing is installed at run time', async () => {
  const manifest = JSON.parse(await readFile(join(root, 'package.json'), 'utf8'))
  for (const kind of ['dependencies', 'peerDependencies', 'optionalDependencies', 'bundleDependencies']) {
    assert.deepEqual(manifest[kind] ?? {}, {}, `package.json names ${kind}`)
  }
})

const judged: [file: string, statement: string, allowed: boolean][] = [
  ['main.ts', "import { run } from './cli/commands.ts'", true],
  ['main.ts', "import { createService } from './server/service.ts'", false],
  ['main.ts', "import type { Config } from './config/config.ts'", true],
  ['cli/serve.ts', "import { createService } from '../server/service.ts'", true],
  ['cli/serve.ts', "import { loadConfig } from '../config/load.ts'", true],
  ['cli/serve.ts', "import { systemClock } from '../observe/clock.ts'", true],
  ['cli/serve.ts', "import { run } from '../main.ts'", false],
  ['cli/load.ts', "import { readArchive } from '../archive/read.ts'", false],
  ['cli/serve.ts', "import '../../scripts/start.mjs'", false],
  ['server/admin/answer.ts', "import { printable } from '../../observe/printable.ts'", true],
  ['oci/name.ts', "import { printable } from '../observe/printable.ts'", false],
  ['server/service.ts', "import { systemClock } from '../observe/clock.ts'", true],
  ['server/service.ts', "import { commands } from '../cli/commands.ts'", false],
  ['server/router.ts', "import { systemClock } from '../observe/clock.ts'", false],
  ['server/router.ts', "import type { Clock } from '../observe/clock.ts'", true],
  ['server/router.ts', "import { type Clock } from '../observe/clock.ts'", false],
  ['server/router.ts', "import type {\n  Clock,\n} from '../observe/clock.ts'", true],
  ['server/router.ts', "import {\n  systemClock,\n} from '../observe/clock.ts'", false],
  ['cache/fill.ts', "import { send } from '../server/send.ts'", false],
  ['cache/fill.ts', "import type { Send } from '../server/send.ts'", false],
  ['cache/fill.ts', "import { Limiter } from '../async/limiter.ts'", true],
  ['cache/fill.ts', "import { UpstreamError } from '../upstream/error.ts'", true],
  ['store/store.ts', "import type { Upstream } from '../upstream/upstream.ts'", false],
  ['upstream/upstream.ts', "import type { Store } from '../store/store.ts'", false],
  ['upstream/upstream.ts', "import type { RegistryConfig } from '../config/config.ts'", true],
  ['config/load.ts', "import type { LogLevel } from '../observe/log.ts'", true],
  ['config/load.ts', "import { parse } from 'yaml'", true],
  ['cli/config.ts', "import { parse } from 'yaml'", false],
  ['config/expression.ts', "const { RE2JS } = await import('re2js')", true],
  ['config/expression.ts', "import { RE2JS } from 're2js'", false],
  ['observe/exposition.ts', "const { Registry } = await import('prom-client')", true],
  ['observe/exposition.ts', "import { Registry } from 'prom-client'", false],
  ['upstream/client.ts', "import type { Dispatcher } from 'undici'", true],
  ['upstream/client.ts', "const { Agent } = await import('undici')", true],
  ['upstream/client.ts', "let undici: typeof import('undici')", true],
  ['upstream/client.ts', "import { Agent } from 'undici'", false],
  ['cache/fill.ts', "const { Agent } = await import('undici')", false],
  ['cache/fill.ts', "const fs = await import('fs')", false],
  ['cache/fill.ts', "import express from 'express'", false],
  ['cache/fill.ts', "import * as tar from 'tar-stream'", false],
  ['cache/fill.ts', "const tar = require('tar-stream')", false],
  ['cache/fill.ts', 'const plugin = await import(name)', false],
  ['cache/fill.ts', "export * from '../cli/commands.ts'", false],
  ['cache/fill.ts', "export { commands } from '../cli/commands.ts'", false],
  ['cache/fill.ts', "import { open } from 'node:fs/promises'", true],
  ['cache/fill.ts', "// import { commands } from '../cli/commands.ts'", true],
  ['cache/fill.ts', "/** As import('undici') does. */", true],
  ['cache/fill.ts', "export function move() {\n  // away from 'pulls/'\n}", true],
  ['oci/digest.ts', "import { createHash } from 'node:crypto'", true],
  ['oci/digest.ts', "import { isIP } from 'node:net'", false],
  ['oci/digest.ts', "import type { Log } from '../observe/log.ts'", false],
  ['oci/digest.ts', "import { OciError } from './error.ts'", true],
  ['utils/helpers.ts', "import { OciError } from '../oci/error.ts'", false],
]
for (const [file, statement, allowed] of judged) {
  test(`src/${file} may ${allowed ? '' : 'not '}say: ${statement.replace(/\s+/g, ' ')}`, () => {
    const complaints = importsOf(statement).map((found) => complaint(file, found))
    assert.equal(complaints.filter((sentence) => sentence !== undefined).length, allowed ? 0 : 1)
    for (const sentence of complaints) if (sentence !== undefined) assert.ok(sentence.includes(`src/${file} imports `), sentence)
  })
}
