/** `allow` and `deny`: which names may be pulled, however they are asked for. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { NameRules } from '../../src/config/config.ts'
import { parseRegistry, parseRepositoryOf } from '../../src/oci/name.ts'
import { parseRepositoryGlob } from '../../src/oci/reference-glob.ts'
import { whyRefused } from '../../src/server/name-rules.ts'
import { startFakeRegistry } from '../support/fake-registry.ts'
import { temporaryDirectory } from '../support/files.ts'
import type { RawResponse } from '../support/raw-http.ts'
import { entry, startServer } from '../support/server.ts'
import { get, serve } from '../support/service.ts'

const globs = (...texts: string[]) => texts.map((text) => parseRepositoryGlob(text) ?? assert.fail(text))
const rulesOf = (allow: string[], deny: string[]): NameRules => ({ allow: globs(...allow), deny: globs(...deny) })

const decisions: [allow: string[], deny: string[], name: string, may: boolean][] = [
  [[], [], 'ghcr.io/a/b', true],
  [['ghcr.io'], [], 'ghcr.io/a/b', true],
  [['ghcr.io'], [], 'ghcr.io.evil.example/a/b', false],
  [['ghcr.io'], [], 'ghcr.io:5000/a/b', false],
  [['ghcr.io/a/*'], [], 'ghcr.io/a/b', true],
  [['ghcr.io/a/*'], [], 'ghcr.io/a/b/c', false],
  [['ghcr.io/a/**'], [], 'ghcr.io/a/b/c', true],
  [['ghcr.io/a/**'], [], 'ghcr.io/ab/c', false],
  [['alpine.example/x', 'quay.io/org/app'], [], 'quay.io/org/app', true],
  [['quay.io/org/app'], [], 'quay.io/org/app2', false],
  [['docker.io/alpine'], [], 'docker.io/library/alpine', true],
  [['docker.io/*'], [], 'docker.io/library/alpine', true],
  [['docker.io/*'], [], 'docker.io/bitnami/nginx', false],
  [[], ['docker.io'], 'docker.io/library/alpine', false],
  [[], ['docker.io'], 'quay.io/a/b', true],
  [['**'], ['*/secret/**'], 'quay.io/secret/b', false],
  [['quay.io/secret/b'], ['*/secret/**'], 'quay.io/secret/b', false],
  [['*/public/*'], [], 'registry.example:5000/public/x', false], // a port is part of the name, and * stops at it
  [['**/public/*'], [], 'registry.example:5000/public/x', true],
]
for (const [allow, deny, name, may] of decisions) {
  test(`with allow ${JSON.stringify(allow)} and deny ${JSON.stringify(deny)}, ${name} may ${may ? '' : 'not '}be pulled`, () => {
    const slash = name.indexOf('/')
    const registry = parseRegistry(name.slice(0, slash))
    assert.equal(whyRefused(rulesOf(allow, deny), registry, parseRepositoryOf(registry, name.slice(slash + 1))) === undefined, may)
  })
}

test('A name that may not be pulled is 403 in every way that clients have to name it; nobody is asked, and nothing that is cached is served', async (t) => {
  const hub = await startFakeRegistry(t)
  const { digest, layers } = hub.addImage('library/alpine', '3')
  const imagePath = await temporaryDirectory(t)
  const registries = [entry(hub, 'docker.io', 'hub')]
  const open = await startServer(t, { imagePath, registries })
  await open.get('/v2/library/alpine/manifests/3')
  for (const layer of layers) await open.get(`/v2/library/alpine/blobs/${layer}`)
  await open.settled()
  await open.stop()
  const asked = hub.count()
  const closed = await startServer(t, { imagePath, registries, rules: rulesOf([], ['docker.io/library/alpine']) })
  const targets = [
    '/v2/library/alpine/manifests/3',
    '/v2/alpine/manifests/3',
    `/v2/library/alpine/manifests/${digest}`,
    `/v2/library/alpine/blobs/${layers[0]}`,
    '/v2/library/alpine/tags/list',
    `/v2/library/alpine/referrers/${digest}`,
    '/v2/library/alpine/manifests/3?ns=docker.io',
    '/v2/library/alpine/manifests/3?ns=registry-1.docker.io',
    '/v2/library/alpine/manifests/3?ns=hub',
    '/v2/index.docker.io/library/alpine/manifests/3',
    '/v2/hub/alpine/manifests/3',
    '/docker.io/v2/library/%61lpine/manifests/3',
  ]
  const denied = ({ status, json }: RawResponse) => [status, (json() as { errors: { code: string }[] }).errors[0]?.code]
  for (const target of targets) assert.deepEqual(denied(await closed.get(target)), [403, 'DENIED'], target)
  assert.deepEqual(denied(await closed.get('/v2/alpine/manifests/3', { 'x-registry': 'docker.io' })), [403, 'DENIED'])
  assert.equal(hub.count(), asked)
})

test('Content that is known by its digest is served under a name that may be pulled', async (t) => {
  const hub = await startFakeRegistry(t)
  const { layers } = hub.addImage('library/alpine', '3')
  hub.addImage('library/other', '3')
  const server = await startServer(t, { registries: [entry(hub, 'docker.io')], rules: rulesOf([], ['docker.io/library/alpine']) })
  assert.equal((await server.get(`/v2/library/other/blobs/${layers[0]}`)).status, 200)
})

test('/cmd/explain says of a name that may not be pulled why', async (t) => {
  const service = await serve(t, { imagePath: await temporaryDirectory(t), nameRules: rulesOf(['ghcr.io'], []) })
  const said = (await get(service, '/cmd/explain?ref=alpine:3')).body.toString()
  assert.match(
    said,
    /^would be served: no\nfrom: nowhere\nwhy: docker\.io\/library\/alpine may not be pulled .*: nothing in allow matches it, in its configuration$/m,
  )
})
