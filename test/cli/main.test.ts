/** The program as a process of its own. */
import assert from 'node:assert/strict'
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { temporaryDirectory } from '../support/files.ts'

const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url))
const command = (args: readonly string[]) => ['--import', 'tsx', main, ...args]

function run(args: readonly string[], input = ''): Promise<{ code: unknown; out: string; err: string }> {
  return new Promise((resolve) => {
    const child = execFile(process.execPath, command(args), (error, out, err) => resolve({ code: error?.code ?? 0, out, err }))
    child.stdin?.on('error', () => {}).end(input) // most commands end without reading it
  })
}

test('The version goes to stdout, exit 0', async () => {
  assert.deepEqual(await run(['--version']), { code: 0, out: 'ociregistry version: dev build date: dev\n', err: '' })
})

test('A mistake goes to stderr, exit 1', async () => {
  const err =
    'error: "srve": found an unknown command, want serve (the nearest) or another of serve, load, list, prune, verify, check, install, uninstall, version, help\n'
  assert.deepEqual(await run(['srve']), { code: 1, out: '', err })
})

test('A port in use is one line, exit 1', async (t) => {
  const other = createServer().listen(0, '127.0.0.1')
  await once(other, 'listening')
  t.after(() => other.close())
  const { port } = other.address() as { port: number }
  const answer = await run(['serve', '--host', '127.0.0.1', '--port', String(port), '--image-path', await temporaryDirectory(t)])
  const err = `error: cannot listen on 127.0.0.1:${port}: the port is in use by another program; choose another with --port\n`
  assert.deepEqual(answer, { code: 1, out: '', err })
})

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  test(`${signal} stops a running server, exit 0`, async (t) => {
    const store = join(await temporaryDirectory(t), 'made/by/itself')
    const child = spawn(process.execPath, command(['serve', '--host', '127.0.0.1', '--port', '0', '--image-path', store]))
    t.after(() => child.kill('SIGKILL'))
    const exited = once(child, 'exit')
    let err = ''
    for await (const chunk of child.stderr) {
      err += chunk
      if (/^Listening on: http:\/\/127\.0\.0\.1:[1-9]\d+$/m.test(err) && err.endsWith(`${'-'.repeat(70)}\n`)) child.kill(signal)
    }
    assert.deepEqual(await exited, [0, null], err)
    assert.match(err, new RegExp(`^Store: ${store}$`, 'm'))
  })
}

const NOTHING = 'images: 0 loaded, 0 complete before; 0 bytes fetched, 0 bytes were there\n'
const inputs: [what: string, spec: string, input: string, code: number, out: RegExp][] = [
  ['nothing', '-', '', 0, new RegExp(`^${NOTHING}$`)],
  ['nothing but a comment', '-', '# later\n\n', 0, new RegExp(`^${NOTHING}$`)],
  ['a line that is no name', '-', '# one\nNot Good\n', 1, /^Not Good +failed .* \(\/dev\/stdin:2\)$/m],
  ['a list that is named twice', '-,-,/dev/stdin', 'Not Good\n', 1, /\nimages: 0 loaded, 0 complete before, 1 failed; /],
]
for (const [what, spec, input, code, out] of inputs) {
  test(`load takes ${what} from standard input, exit ${code}`, async (t) => {
    const ran = await run(['load', '--image-path', join(await temporaryDirectory(t), 'store'), '--image-file', spec], input)
    assert.equal(ran.code, code, ran.err)
    assert.match(ran.out, out)
  })
}

test('load waits for what a program at the other end of a pipe has not written yet', async (t) => {
  const store = join(await temporaryDirectory(t), 'store')
  const args = [process.execPath, ...command(['load', '--image-path', store, '--image-file', '-'])]
  const child = spawn('sh', ['-c', 'cat | "$0" "$@"', ...args])
  t.after(() => child.kill('SIGKILL'))
  const said = Promise.all([child.stdout, child.stderr].map(text))
  child.stdin.on('error', () => {})
  await new Promise((resolve) => child.stdin.write('# a long list\n'.repeat(75_000), resolve)) // more than pipes hold: it reads
  child.stdin.end('Not Good\n')
  const [out, err] = await said
  assert.match(out ?? '', /^Not Good +failed .* \(\/dev\/stdin:75001\)$/m, err)
})

for (const [what, path, error] of [
  ['a directory', '/', /^error: --image-file: cannot read \/dev\/stdin: EISDIR/],
  ['a file', '/dev/null', /^$/],
] as const) {
  test(`load takes ${what} for standard input as it is`, async (t) => {
    const store = join(await temporaryDirectory(t), 'store')
    const input = openSync(path, 'r')
    t.after(() => closeSync(input))
    const child = spawn(process.execPath, command(['load', '--image-path', store, '--image-file', '-']), {
      stdio: [input, 'ignore', 'pipe'],
    })
    assert.match(await text(child.stderr as Readable), error)
  })
}

const noListeners: [what: string, names: string, role: string, at3: 'ignore' | 'pipe'][] = [
  ['A device', 'ociregistry.socket', 'pulls', 'ignore'],
  ['A connection', 'pulls', 'pulls', 'pipe'],
  ['A connection for the admin API', 'admin', 'admin', 'pipe'],
]
for (const [what, names, role, at3] of noListeners) {
  test(`${what} in place of a socket of the service manager stops the start with one line that says what it was for`, async (t) => {
    const store = join(await temporaryDirectory(t), 'store')
    const args = [process.execPath, ...command(['serve', '--host', '127.0.0.1', '--port', '0', '--image-path', store])]
    const env = { ...process.env, LISTEN_FDS: '1', LISTEN_FDNAMES: names }
    const child = spawn('sh', ['-c', 'LISTEN_PID=$$ exec "$0" "$@"', ...args], { env, stdio: ['ignore', 'pipe', 'pipe', at3] })
    t.after(() => child.kill('SIGKILL'))
    const exited = once(child, 'exit')
    const found = 'found what is no stream socket that listens (listen EINVAL: invalid argument), want one (ListenStream=)'
    assert.equal(
      await text(child.stderr as Readable),
      `error: cannot listen on descriptor 3 of the service manager, for ${role}: ${found}\n`,
    )
    assert.deepEqual(await exited, [1, null])
  })
}
