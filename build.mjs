/** Builds dist/ociregistry.cjs: one executable file that needs nothing but Node. The same sources give the same bytes, wherever they lie. */
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { isBuiltin } from 'node:module'
import { dirname, join, relative, resolve } from 'node:path'
import { root } from './scripts/root.mjs'
import { isoDate, sourceDateSeconds } from './scripts/source-date.mjs'

/** The tests name another file, to compare. */
const outfile = resolve(root, process.argv[2] ?? 'dist/ociregistry.cjs')

// libuv reads the size of its thread pool once, when it is first used: above all bundled code is the only place early enough.
// A young generation that does not grow: 20 MiB less at the peak of every load measured, and hits are no slower for it. It is so small that one thread
// collects it sooner than others have woken: a fifth more manifests a second.
const banner = `#!/usr/bin/env node
'use strict'
process.env.UV_THREADPOOL_SIZE ??= '16'
require('node:v8').setFlagsFromString('--semi-space-growth-factor=1 --no-parallel-scavenge')`

/** What an npm package contains of somebody else's and does not mention in its own licence file. */
const noticesWithin = new Map([['undici', [['llhttp (inside undici)', 'scripts/notices/llhttp.txt']]]])

class BuildError extends Error {}

/** @param {string} path */
function read(path) {
  try {
    return readFileSync(join(root, path), 'utf8')
  } catch (cause) {
    throw new BuildError(`cannot read ${path}: ${cause instanceof Error ? cause.message : cause}`)
  }
}

function version() {
  const { version } = JSON.parse(read('package.json'))
  if (typeof version !== 'string') throw new BuildError('package.json has no version')
  return version
}

/** What `ociregistry install` puts in place. */
function systemdTexts() {
  const units = ['service', 'socket', 'sysusers', 'tmpfiles'].map((kind) => [kind, read(`systemd/ociregistry.${kind}`)])
  return Object.fromEntries([...units, ['config', read('systemd/config.yaml')]])
}

async function loadEsbuild() {
  try {
    return await import('esbuild')
  } catch {
    throw new BuildError('esbuild is not installed: run "npm run build", which installs it, or "npm ci"')
  }
}

/** @param {string[]} inputs paths of bundled files, relative to the root */
function inlinedPackages(inputs) {
  const names = inputs.map((path) => /(?:^|\/)node_modules\/((?:@[^/]+\/)?[^/]+)\/(?!.*node_modules\/)/.exec(path)?.[1])
  return [...new Set(names.filter((name) => name !== undefined))].sort()
}

/** @param {string} name */
function packageLicence(name) {
  const directory = `node_modules/${name}`
  const file = ['LICENSE', 'LICENSE.md', 'LICENSE.txt', 'LICENCE', 'license'].find((file) => existsSync(join(root, directory, file)))
  if (file === undefined) throw new BuildError(`${directory} has no licence file; what we inline we must be able to name`)
  const { version, license } = JSON.parse(read(`${directory}/package.json`))
  return section(`${name} ${version} (${license})`, read(`${directory}/${file}`))
}

/** @param {string} title @param {string} text */
const section = (title, text) => `---- ${title} ----\n\n${text.trim()}\n`

/** @param {string[]} inputs */
function licences(inputs) {
  const packages = inlinedPackages(inputs)
  const sections = packages.flatMap((name) => [
    packageLicence(name),
    ...(noticesWithin.get(name) ?? []).map(([title = '', path = '']) => section(title, read(path))),
  ])
  if (sections.length === 0) return ''
  const text = `Third-party software inlined in this file, and its licences:\n\n${sections.join('\n')}`
  return `\n/*!\n${text.replaceAll('*/', '* /')}*/\n`
}

/** @type {import('esbuild').BuildOptions} */
const common = {
  absWorkingDir: root,
  write: false,
  metafile: true,
  bundle: true,
  platform: 'node',
  target: 'node20',
  format: 'cjs',
  charset: 'ascii',
  logLevel: 'warning',
}

/**
 * Puts each library into the file as text, which is compiled when it is first used: V8 looks at every function of a script before it runs the first
 * line, and two thirds of ours are libraries that most commands and a server of hits never use.
 * @param {typeof import('esbuild')} esbuild @param {string[]} inputs told what the libraries are made of
 * @returns {import('esbuild').Plugin}
 */
function librariesAsText(esbuild, inputs) {
  return {
    name: 'libraries as text',
    setup({ onResolve, onLoad }) {
      onResolve({ filter: /^[a-z]/, namespace: 'file' }, ({ path, kind }) =>
        kind === 'entry-point' || isBuiltin(path) ? undefined : { path, namespace: 'library' },
      )
      onLoad({ filter: /.*/, namespace: 'library' }, async ({ path }) => {
        const { outputFiles, metafile } = await esbuild.build({
          ...common,
          entryPoints: [path],
          minifyWhitespace: true,
          legalComments: 'none',
        })
        inputs.push(...inputsOf(metafile))
        const script = `(function (module, exports, require) {${outputFiles?.[0]?.text}})`
        const name = JSON.stringify(`${path}.cjs`)
        return { contents: `require('node:vm').runInThisContext(${JSON.stringify(script)}, ${name})(module, exports, require)` }
      })
    },
  }
}

/** @param {import('esbuild').Metafile | undefined} metafile */
const inputsOf = (metafile) => Object.values(metafile?.outputs ?? {}).flatMap((output) => Object.keys(output.inputs))

async function build() {
  if (!existsSync(join(root, 'src/main.ts'))) throw new BuildError('src/main.ts is missing')
  const esbuild = await loadEsbuild()
  /** @type {string[]} */
  const libraryInputs = []
  const result = await esbuild.build({
    ...common,
    entryPoints: ['src/main.ts'],
    outfile,
    legalComments: 'eof',
    banner: { js: banner },
    plugins: [librariesAsText(esbuild, libraryInputs)],
    define: {
      __VERSION__: JSON.stringify(version()),
      __BUILD_DATE__: JSON.stringify(isoDate(sourceDateSeconds())),
      __SYSTEMD_TEXTS__: JSON.stringify(systemdTexts()),
    },
  })
  const [bundle] = result.outputFiles ?? []
  if (bundle === undefined) throw new BuildError('esbuild wrote nothing')
  writeAtomically(outfile, inLatin1(bundle.text + licences([...inputsOf(result.metafile), ...libraryInputs])))
}

/** One character beyond Latin-1, and V8 keeps all of the file with two bytes for each. esbuild leaves them in comments. @param {string} text */
const inLatin1 = (text) => text.replace(/[^\0-\xff]/g, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`)

/** A program that is started meanwhile sees the old file or the new one. @param {string} path @param {string} text */
function writeAtomically(path, text) {
  const temporary = `${path}.${process.pid}`
  mkdirSync(dirname(path), { recursive: true })
  try {
    writeFileSync(temporary, text, { mode: 0o755 })
    renameSync(temporary, path)
  } finally {
    rmSync(temporary, { force: true })
  }
}

try {
  await build()
  process.stderr.write(`built ${relative(process.cwd(), outfile)} (${Math.ceil(statSync(outfile).size / 1024)} KiB)\n`)
} catch (error) {
  // esbuild has printed its own errors already
  const message = error instanceof BuildError ? error.message : error instanceof Error ? error.message.split('\n')[0] : String(error)
  process.stderr.write(`build failed: ${message}\n`)
  process.exitCode = 1
}
