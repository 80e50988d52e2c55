/** Globs on references: what they match, and that those which could match nothing are refused. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseRegistry } from '../../src/oci/name.ts'
import { matchesGlob, parseReferenceGlob, type ReferenceGlob, registryOfGlob, withRegistryOfGlob } from '../../src/oci/reference-glob.ts'

const ALPINE = 'docker.io/library/alpine:3.20'

const matched: [glob: string, reference: string, want: boolean][] = [
  ['docker.io/library/alpine:3.20', ALPINE, true],
  ['docker.io/library/alpine:3.2', ALPINE, false],
  ['docker.io/library/alpine:3.20', `${ALPINE}.1`, false],
  ['docker.io/library/alpine:*', ALPINE, true],
  ['docker.io/library/*:*', ALPINE, true],
  ['docker.io/*/*:3.*', ALPINE, true],
  ['docker.io/*/alpine:4*', ALPINE, false],
  ['*/*/*:*', ALPINE, true],
  ['*/*:*', ALPINE, false],
  ['**', ALPINE, true],
  ['**:3.20', ALPINE, true],
  ['**:latest', ALPINE, false],
  ['docker.io/**', ALPINE, true],
  ['docker.io/**:3*', ALPINE, true],
  ['quay.io/**', ALPINE, false],
  ['**/alpine:*', ALPINE, true],
  ['**alpine:*', ALPINE, true],
  ['docker.io/library/a*e:*', ALPINE, true],
  ['docker.io/library/*alpine:*', ALPINE, true],
  ['docker.io/library/**alpine**', ALPINE, true],
  ['registry.example:5000/*:latest', 'registry.example:5000/app:latest', true],
  ['registry.example:*/app:latest', 'registry.example:5000/app:latest', true],
  ['*/app:latest', 'registry.example:5000/app:latest', false],
  ['*:5000/app:latest', 'registry.example:5000/app:latest', true],
  ['registry.example:5000/*', 'registry.example:5000/app:latest', false],
  ['[::1]:5000/**', '[::1]:5000/app:1', true],
  ['quay.io/a.b/c:1', 'quay.io/aXb/c:1', false],
]
for (const [glob, reference, want] of matched) {
  test(`The glob ${glob} ${want ? 'matches' : 'does not match'} ${reference}`, () => {
    const parsed = parseReferenceGlob(glob)
    assert.equal(parsed === undefined ? false : matchesGlob(parsed, reference), want)
  })
}

const canonical: [glob: string, text: string | undefined][] = [
  ['index.docker.io/alpine:*', 'docker.io/library/alpine:*'],
  ['docker.io/*:latest', 'docker.io/library/*:latest'],
  ['docker.io/**', 'docker.io/**'],
  ['docker.io/**:1', 'docker.io/**:1'],
  ['docker.io/grafana/*:1', 'docker.io/grafana/*:1'],
  ['Quay.IO/x:1', 'quay.io/x:1'],
  ['*.docker.io/x:1', '*.docker.io/x:1'],
  ['', undefined],
  ['*:*', undefined],
  ['latest', undefined],
  ['quay.io/x', undefined],
  ['quay.io/*', undefined],
  ['quay.io:443/x', undefined],
  ['***', undefined],
  ['quay.io/x:[ab]', undefined],
  ['quay.io/x:1?', undefined],
  ['quay.io/x y:1', undefined],
  ['quay.io/x@sha256:1', undefined],
  ['^quay.io/x:1$', undefined],
  ['quay.io/{a,b}:1', undefined],
  ['-/x:1', undefined],
]
for (const [glob, text] of canonical) {
  test(`The glob '${glob}' ${text === undefined ? 'matches nothing, and is refused' : `means ${text}`}`, () =>
    assert.equal(parseReferenceGlob(glob)?.text, text))
}

test('A glob says which registry it is about, and can be about another one', () => {
  const glob = (text: string) => parseReferenceGlob(text) as ReferenceGlob
  assert.equal(registryOfGlob(glob('mirror/x:1')), 'mirror')
  assert.equal(registryOfGlob(glob('**:latest')), undefined)
  assert.equal(registryOfGlob(glob('*.io/x:1')), undefined)
  assert.equal(withRegistryOfGlob(glob('mirror/x:1'), parseRegistry('docker.io')).text, 'docker.io/library/x:1')
})

test('A glob of many stars takes no longer for a reference that it almost matches', () => {
  const glob = parseReferenceGlob(`quay.io/${'**a'.repeat(60)}:b`) as ReferenceGlob
  assert.equal(matchesGlob(glob, `quay.io/${'a'.repeat(250)}:c`), false) // by backtracking this would not end
})
