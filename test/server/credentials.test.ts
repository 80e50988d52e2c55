/** Credentials from the configuration to the registry: through the service as `serve` starts it. */
import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { startFakeRegistry } from '../support/fake-registry.ts'
import { temporaryDirectory } from '../support/files.ts'
import { entry } from '../support/server.ts'
import { get, serve } from '../support/service.ts'

const ANN = Buffer.from('ann:pw').toString('base64')

for (const key of ['credsFile', 'dockerConfig'] as const) {
  test(`The service pulls with the credentials of ${key}; what is cached is served whatever becomes of that file`, async (t) => {
    const registry = await startFakeRegistry(t, { auth: { scheme: 'basic', users: { ann: 'pw' } } })
    const { bytes } = registry.addImage('team/app', 'v1')
    registry.addImage('team/app', 'v2')
    const directory = await temporaryDirectory(t)
    const file = join(directory, 'credentials')
    const content =
      key === 'credsFile' ? `${registry.host}: {username: ann, password: pw}` : `{"auths": {"${registry.host}": {"auth": "${ANN}"}}}`
    await writeFile(file, content)
    const service = await serve(t, { imagePath: join(directory, 'images'), registries: [entry(registry, 'quay.io')], [key]: file })
    assert.equal((await get(service, '/v2/team/app/manifests/v1?ns=quay.io')).status, 200)
    await writeFile(file, content.replace(registry.host, 'other.example'))
    const denied = await get(service, '/v2/team/app/manifests/v2?ns=quay.io')
    assert.equal(denied.status, 403)
    assert.ok(String(denied.body).includes(`no credentials were sent: ${file} has none for ${registry.host}; to pull with some, add`))
    assert((await get(service, '/v2/team/app/manifests/v1?ns=quay.io')).body.equals(bytes))
    await service.stop() // before the directory that it writes to is removed
  })
}
