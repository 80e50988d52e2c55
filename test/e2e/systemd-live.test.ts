/** The single file as a service of a real systemd: installed, pulled through, reloaded, replaced under load, stopped and taken away again. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import test from 'node:test'
import { startFakeRegistry } from '../support/fake-registry.ts'
import { throttle } from '../support/fake-registry-faults.ts'
import { partOf } from './support/cleanup.ts'
import { until } from './support/poll.ts'
import { freePort } from './support/ports.ts'
import { lacks } from './support/requirements.ts'
import { ResumingClient } from './support/resuming-client.ts'
import { installProgram } from './support/server.ts'
import { bootSystemd } from './support/systemd.ts'

const SERVICE = 'ociregistry.service'
const LAYER_BYTES = 3_000_000
const RESTARTS = 3

test('a real systemd runs the service', { skip: lacks('systemd-analyze', 'unshare') }, async (t) => {
  const systemd = await bootSystemd(t, await installProgram(t))
  if (typeof systemd === 'string') return t.skip(systemd)
  const [hub, port] = [await startFakeRegistry(t), await freePort()]
  const client = new ResumingClient({ host: '127.0.0.1', port })
  t.after(() => client.close())

  const property = async (name: string) => (await systemd.succeed('systemctl', 'show', '--property', name, '--value', SERVICE)).trim()
  const configure = (more: string) =>
    systemd.write(
      '/etc/ociregistry/config.yaml',
      `imagePath: /var/lib/ociregistry\nprefetch: false\nregistries: [{name: docker.io, url: "${hub.origin}"}]\n${more}`,
    )
  const pull = async (name: string) => {
    const layer = hub.addGeneratedBlob(name, LAYER_BYTES, name)
    const { bytes, digest } = hub.addImage(name, '1', { layers: [layer] })
    const manifest = await client.manifest(`/v2/${name}/manifests/1`)
    assert.equal(`sha256:${createHash('sha256').update(manifest).digest('hex')}`, digest)
    assert.equal(manifest.length, bytes.length)
    assert.equal(await client.layer(`/v2/${name}/blobs/${layer}`), layer)
  }

  await t.test(
    'install puts it in place, and it runs at once: as a user of its own, without privileges',
    partOf(t, async () => {
      const said = await systemd.succeed('/program', 'install', '--systemd', '--listen', `127.0.0.1:${port}`)
      assert.match(said, new RegExp(`^only this host reaches the server, at 127\\.0\\.0\\.1:${port}$`, 'm'))
      assert.equal(await property('ActiveState'), 'active')
      assert.equal(await property('StatusText'), `serving on http://127.0.0.1:${port}`)
      const status = await systemd.succeed('cat', `/proc/${await property('MainPID')}/status`)
      for (const wanted of [/^CapEff:\t0+$/m, /^NoNewPrivs:\t1$/m, /^Seccomp:\t2$/m, /^Uid:\t[1-9]/m]) assert.match(status, wanted)
    }),
  )

  await t.test(
    'a pull goes through it, and what it stores is its own',
    partOf(t, async () => {
      await configure('')
      await systemd.succeed('systemctl', 'restart', SERVICE)
      await pull('edge/first')
      const owners = await systemd.succeed('find', '/var/lib/ociregistry', '-printf', '%u\\n')
      assert.deepEqual([...new Set(owners.trim().split('\n'))], ['ociregistry'])
    }),
  )

  await t.test(
    'a reload is told to systemd, and what came of it',
    partOf(t, async () => {
      await configure('no such key: 1\n')
      await systemd.succeed('systemctl', 'reload', SERVICE)
      const isRefused = async () => (await property('StatusText')).includes('configuration not reloaded')
      await until('the status says that the configuration is wrong', isRefused)
      await configure('logLevel: debug\n')
      await systemd.succeed('systemctl', 'reload', SERVICE)
      await until('the status says nothing of it any more', async () => !(await isRefused()))
      assert.equal(await property('ActiveState'), 'active')
      await pull('edge/second')
    }),
  )

  await t.test(
    `${RESTARTS} restarts under load fail no pull, since systemd keeps the socket`,
    partOf(t, async () => {
      hub.fault({ match: { kind: 'blob' }, do: [throttle(LAYER_BYTES)] })
      let restarts = 0
      const restarting = (async () => {
        for (; restarts < RESTARTS; restarts++) await systemd.succeed('systemctl', 'restart', SERVICE)
      })()
      for (let n = 0; restarts < RESTARTS; n++) await pull(`edge/under-load-${n}`)
      await restarting
    }),
  )

  await t.test(
    'it ends well when it is stopped, and the next client starts it again',
    partOf(t, async () => {
      await systemd.succeed('systemctl', 'stop', SERVICE)
      assert.deepEqual(
        [await property('ActiveState'), await property('Result'), await property('ExecMainStatus')],
        ['inactive', 'success', '0'],
      )
      await pull('edge/woken')
      assert.equal(await property('ActiveState'), 'active')
    }),
  )

  await t.test(
    'uninstall takes it away, and leaves what it has stored',
    partOf(t, async () => {
      await systemd.succeed('/program', 'uninstall', '--systemd')
      assert.equal(await property('LoadState'), 'not-found')
      assert.notEqual(await systemd.succeed('find', '/var/lib/ociregistry/blobs', '-type', 'f'), '')
    }),
  )
})
