/** What a stranger does: clone, `npm start`. Nothing was run before; only Node and npm are there. */
import assert from 'node:assert/strict'
import { cp, mkdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { root } from '../../scripts/root.mjs'
import { onEnd } from './support/cleanup.ts'
import { fileDigest } from './support/content-check.ts'
import { until } from './support/poll.ts'
import { freePort } from './support/ports.ts'
import { type Running, run, start, succeed } from './support/processes.ts'
import { readmeExample } from './support/readme.ts'
import { testDirectory } from './support/run-directory.ts'

/** What git has, or would have after `git add`: a file that .gitignore hides by mistake is missing here too. */
async function projectFiles(): Promise<string[]> {
  const args = ['-c', `safe.directory=${root}`, 'ls-files', '-z', '--cached', '--others', '--exclude-standard']
  const { stdout } = await succeed('git', args, { cwd: root })
  return stdout.split('\0').filter((name) => name !== '')
}

async function freshClone(t: TestContext): Promise<string> {
  const clone = await testDirectory(t)
  for (const name of await projectFiles()) {
    await mkdir(dirname(join(clone, name)), { recursive: true })
    await cp(join(root, name), join(clone, name)).catch((error) => {
      // deleted in the working tree
      if (error.code !== 'ENOENT') throw error
    })
  }
  return clone
}

/** Without what the npm that runs these tests has set; its cache may be used. */
function strangersEnvironment(): NodeJS.ProcessEnv {
  const own = Object.entries(process.env).filter(([name]) => !/^(npm_|NODE_|OCIREGISTRY_)/i.test(name))
  return { ...Object.fromEntries(own), npm_config_prefer_offline: 'true', npm_config_update_notifier: 'false' }
}

/** `npm start`, until it answers; or the reason why it cannot. */
async function npmStart(t: TestContext, clone: string, port: number, args: string[]): Promise<Running | string> {
  const npm = start(t, 'npm start', 'npm', ['start', '--', ...args], { cwd: clone, env: strangersEnvironment() })
  // the server has a process group of its own: whatever a failed test left is found by the pid in its banner
  onEnd(t, () => killLeftover(npm.output()))
  const answered = await until(
    'npm start serves',
    async () => {
      if (npm.exit() !== undefined) return npm.output()
      return (await fetch(`http://127.0.0.1:${port}/v2/`).catch(() => undefined))?.ok
    },
    180_000,
  )
  if (answered === true) return npm
  if (/npm registry cannot be reached/.test(npm.output())) return 'package: the npm registry cannot be reached'
  throw new Error(`npm start ended: ${npm.output()}`)
}

function killLeftover(output: string): void {
  const pid = Number(/\bpid[=: ]+(\d+)/i.exec(output)?.[1])
  if (!(pid > 1)) return
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // it ended as it should
  }
}

test('a fresh clone serves after npm start, ends with it, and builds the same bytes as this one', async (t) => {
  const clone = await freshClone(t)
  const port = await freePort()
  const [, args = ''] =
    /^npm start -- (.*)$/m.exec(await readmeExample('sh', /^npm start -- serve --hello-world$/m, `127.0.0.1:${port}`)) ?? []
  const npm = await npmStart(t, clone, port, [...args.split(' '), '--port', String(port)])
  if (typeof npm === 'string') return t.skip(npm)
  const answer = await fetch(`http://127.0.0.1:${port}/v2/hello-world/tags/list`)
  assert.deepEqual([answer.status, await answer.json()], [200, { name: 'library/hello-world', tags: ['latest'] }])
  await npm.stop('SIGTERM')
  await until('the server ends with npm', async () => (await fetch(`http://127.0.0.1:${port}/v2/`).catch(() => undefined)) === undefined)

  await t.test('the second start needs neither installation nor build, and only flags', async (t) => {
    const again = await npmStart(t, clone, port, ['--port', String(port)])
    if (typeof again === 'string') throw new Error(again)
    assert.doesNotMatch(again.output(), /installing|built dist/)
    await again.stop('SIGINT')
    await until('the server ends with npm', async () => (await fetch(`http://127.0.0.1:${port}/v2/`).catch(() => undefined)) === undefined)
  })

  await t.test('no path of a machine is in the build', async (t) => {
    const out = await testDirectory(t)
    const env = { ...process.env, SOURCE_DATE_EPOCH: '1700000000' }
    for (const [name, tree] of [
      ['here', root],
      ['there', clone],
    ] as const) {
      const { code, stderr } = await run(process.execPath, [join(tree, 'build.mjs'), join(out, name)], { env })
      assert.equal(code, 0, stderr)
    }
    assert.equal(await fileDigest(join(out, 'here')), await fileDigest(join(out, 'there')))
  })
})
