import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseRegistry, parseRepository } from '../../src/oci/name.ts'
import { asDockerKey, asRegistryPrefix, dockerServerOf, mostSpecific } from '../../src/oci/registry-prefix.ts'

const keys: [text: string, prefix: string | undefined][] = [
  ['quay.io', 'quay.io '],
  ['Quay.IO', 'quay.io '],
  ['quay.io/', 'quay.io '],
  ['registry.example:5000', 'registry.example:5000 '],
  ['localhost', 'localhost '],
  ['[::1]:5000/org', '[::1]:5000 org'],
  ['quay.io/org', 'quay.io org'],
  ['quay.io/org/team/app', 'quay.io org/team/app'],
  ['docker.io', 'docker.io '],
  ['index.docker.io', 'docker.io '],
  ['registry-1.docker.io', 'docker.io '],
  ['registry.hub.docker.com', 'docker.io '],
  ['registry-1.docker.io/library', 'docker.io library'],
  ['', undefined],
  ['/org', undefined],
  ['quay.io//org', undefined],
  ['quay.io/Org', undefined],
  ['quay.io/../org', undefined],
  ['me:secret@quay.io', undefined],
  ['https://quay.io', undefined],
  ['quay.io/org?x', undefined],
]
for (const [text, want] of keys) {
  test(`The key '${text}' is ${want === undefined ? 'no registry' : `'${want}'`}`, () => {
    const prefix = asRegistryPrefix(text)
    assert.equal(prefix && `${prefix.registry} ${prefix.path}`, want)
  })
}

const dockerKeys: [text: string, prefix: string | undefined][] = [
  ['https://index.docker.io/v1/', 'docker.io '],
  ['index.docker.io/v1/', 'docker.io '],
  ['https://registry.example:5000/v2/', 'registry.example:5000 '],
  ['http://registry.example', 'registry.example '],
  ['HTTPS://Quay.io/anything', 'quay.io '],
  ['registry.example/v2', 'registry.example '],
  ['quay.io/org/app', 'quay.io org/app'],
  ['docker.io/library', 'docker.io library'],
  ['quay.io', 'quay.io '],
  ['a b', undefined],
]
for (const [text, want] of dockerKeys) {
  test(`To Docker and podman the key '${text}' is ${want === undefined ? 'no registry' : `'${want}'`}`, () => {
    const prefix = asDockerKey(text)
    assert.equal(prefix && `${prefix.registry} ${prefix.path}`, want)
  })
}

const all = ['docker.io', 'docker.io/library', 'docker.io/library/alpine', 'quay.io/org', 'quay.io/org/team', 'r.example:5000'].map(
  (key) => {
    const prefix = asRegistryPrefix(key)
    assert.ok(prefix)
    return { prefix, key }
  },
)
const found: [reference: string, repository: string, key: string | undefined][] = [
  ['docker.io', 'grafana/grafana', 'docker.io'],
  ['docker.io', 'library/nginx', 'docker.io/library'],
  ['docker.io', 'library/alpine', 'docker.io/library/alpine'],
  ['docker.io', 'library/alpine-node', 'docker.io/library'],
  ['docker.io', 'libraryx/alpine', 'docker.io'],
  ['quay.io', 'org/app', 'quay.io/org'],
  ['quay.io', 'org', 'quay.io/org'],
  ['quay.io', 'org/team/app', 'quay.io/org/team'],
  ['quay.io', 'org/teamwork', 'quay.io/org'],
  ['quay.io', 'organisation/app', undefined],
  ['quay.io', 'other/org/app', undefined],
  ['r.example:5000', 'x', 'r.example:5000'],
  ['r.example', 'x', undefined],
  ['r.example:5001', 'x', undefined],
]
for (const [registry, repository, key] of found) {
  test(`Of all keys ${key ?? 'none'} is for ${registry}/${repository}`, () => {
    assert.equal(mostSpecific(all, parseRegistry(registry), parseRepository(repository))?.key, key)
  })
}

test('Stores know Docker Hub by its oldest address', () => {
  assert.equal(dockerServerOf(parseRegistry('registry-1.docker.io')), 'https://index.docker.io/v1/')
  assert.equal(dockerServerOf(parseRegistry('quay.io:443')), 'quay.io:443')
})
