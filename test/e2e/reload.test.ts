/** The built file and its configuration: `check` before it counts, SIGHUP to make it count, and a mistake that changes nothing. */
import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { Agent, get } from 'node:http'
import test from 'node:test'
import { until } from './support/poll.ts'
import { run } from './support/processes.ts'
import { install } from './support/server.ts'

const REGISTRY = 'registries:\n  - name: quay.io\n    auth: {user: me, password: hunter2hunter2}\n'

test('a changed configuration is checked, counts after SIGHUP on connections that are open, and a mistake in it changes nothing', async (t) => {
  const { configFile, imagePath, program, start, url } = await install(t, [])
  const write = (text: string) => writeFile(configFile, `imagePath: ${imagePath}\nlogLevel: error\nairGapped: true\n${REGISTRY}${text}`)
  const check = (...flags: string[]) => run(process.execPath, [program, '--config-file', configFile, 'check', ...flags])
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  t.after(() => agent.destroy())
  const connections = new Set<number | undefined>()
  const statusOf = (repository: string) =>
    new Promise<number | undefined>((resolve, reject) => {
      const request = get(`${url}/v2/${repository}/manifests/1?ns=quay.io`, { agent }, (response) => {
        connections.add(request.socket?.localPort)
        response.resume().once('end', () => resolve(response.statusCode))
      })
      request.once('error', reject)
    })
  await write('')
  const server = await start()
  const reload = async (says: RegExp) => {
    process.kill(server.pid, 'SIGHUP')
    await until(`the log says ${says}`, () => says.test(server.stderr()))
  }
  assert.deepEqual([await statusOf('team/app'), await statusOf('secret/app')], [404, 404])

  await write('deny: ["quay.io/secret/**"]\n')
  const { code, stdout, stderr } = await check('--print')
  assert.equal(code, 0, stderr)
  assert.match(stdout, /^deny +\[quay\.io\/secret\/\*\*\] .*config\.yaml:7$/m)
  assert.ok(!stdout.includes('hunter2') && stdout.includes('(hidden)'), stdout)
  assert.equal(await statusOf('secret/app'), 404, 'check changes nothing')
  await reload(/configuration reloaded; changed: deny/)
  assert.deepEqual([await statusOf('team/app'), await statusOf('secret/app')], [404, 403])

  await write('deny: [Quay/]\nairGaped: false\n')
  const mistaken = await check()
  assert.deepEqual([mistaken.code, mistaken.stdout], [1, ''])
  assert.match(mistaken.stderr, /:8: airGaped/)
  await reload(/configuration not reloaded, all stays as it was: /)
  assert.deepEqual([await statusOf('team/app'), await statusOf('secret/app')], [404, 403])
  assert.equal(connections.size, 1, 'all of it on one connection')
  assert.ok(!server.output().includes('hunter2'), server.output())
})
