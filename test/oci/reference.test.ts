import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ErrorCode } from '../../src/oci/error.ts'
import { parseRegistry } from '../../src/oci/name.ts'
import { formatReference, makeReference, parseReference } from '../../src/oci/reference.ts'

const sha256 = `sha256:${'a'.repeat(64)}`
const sha512 = `sha512:${'b'.repeat(128)}`

type Parts = { registry: string; repository: string; tag?: string; digest?: string }

const references: [text: string, parts: Parts, canonical: string][] = [
  ['docker.io/library/alpine:3', { registry: 'docker.io', repository: 'library/alpine', tag: '3' }, 'docker.io/library/alpine:3'],
  ['docker.io/alpine:3', { registry: 'docker.io', repository: 'library/alpine', tag: '3' }, 'docker.io/library/alpine:3'],
  ['Index.docker.io/alpine:3', { registry: 'docker.io', repository: 'library/alpine', tag: '3' }, 'docker.io/library/alpine:3'],
  ['quay.io/alpine:3', { registry: 'quay.io', repository: 'alpine', tag: '3' }, 'quay.io/alpine:3'],
  ['quay.io/a/b/c/d:_x', { registry: 'quay.io', repository: 'a/b/c/d', tag: '_x' }, 'quay.io/a/b/c/d:_x'],
  ['localhost:5000/x:1', { registry: 'localhost:5000', repository: 'x', tag: '1' }, 'localhost:5000/x:1'],
  ['harbor/library/alpine:3', { registry: 'harbor', repository: 'library/alpine', tag: '3' }, 'harbor/library/alpine:3'],
  ['[2001:DB8::1]:5000/x:1', { registry: '[2001:db8::1]:5000', repository: 'x', tag: '1' }, '[2001:db8::1]:5000/x:1'],
  ['quay.io/docker.io/x:1', { registry: 'quay.io', repository: 'docker.io/x', tag: '1' }, 'quay.io/docker.io/x:1'],
  [`quay.io/x@${sha256}`, { registry: 'quay.io', repository: 'x', digest: sha256 }, `quay.io/x@${sha256}`],
  [`quay.io/x@${sha512}`, { registry: 'quay.io', repository: 'x', digest: sha512 }, `quay.io/x@${sha512}`],
  [
    `docker.io/alpine:3@${sha256}`,
    { registry: 'docker.io', repository: 'library/alpine', digest: sha256 },
    `docker.io/library/alpine@${sha256}`,
  ],
  [`quay.io/x:${'t'.repeat(128)}`, { registry: 'quay.io', repository: 'x', tag: 't'.repeat(128) }, `quay.io/x:${'t'.repeat(128)}`],
]
for (const [text, parts, canonical] of references) {
  test(`'${text.slice(0, 60)}' is read and spelled canonically`, () => {
    const reference = parseReference(text)
    assert.deepEqual(reference, parts)
    assert.equal(formatReference(reference), canonical)
    assert.deepEqual(parseReference(canonical), reference)
  })
}

const refused: [what: string, text: string, code: ErrorCode][] = [
  ['nothing', '', 'NAME_INVALID'],
  ['a repository alone', 'alpine:3', 'NAME_INVALID'],
  ['a registry alone', 'quay.io', 'NAME_INVALID'],
  ['a registry and a slash', 'quay.io/', 'MANIFEST_INVALID'],
  ['a tag without a repository', 'quay.io/:1', 'NAME_INVALID'],
  ['a digest without a repository', `quay.io/@${sha256}`, 'NAME_INVALID'],
  ['neither tag nor digest', 'quay.io/x', 'MANIFEST_INVALID'],
  ['an empty registry', '/x:1', 'NAME_INVALID'],
  ['a scheme', 'https://quay.io/x:1', 'NAME_INVALID'],
  ['two dots for a registry', '../x:1', 'NAME_INVALID'],
  ['two dots for a repository', 'quay.io/..:1', 'NAME_INVALID'],
  ['a way up', 'quay.io/a/../../b:1', 'NAME_INVALID'],
  ['an encoded way up', 'quay.io/%2e%2e/b:1', 'NAME_INVALID'],
  ['an upper-case repository', 'quay.io/X:1', 'NAME_INVALID'],
  ['an empty tag', 'quay.io/x:', 'MANIFEST_INVALID'],
  ['a way up for a tag', 'quay.io/x:../y', 'MANIFEST_INVALID'],
  ['a tag of 129 characters', `quay.io/x:${'t'.repeat(129)}`, 'MANIFEST_INVALID'],
  ['two tags', 'quay.io/x:1:2', 'MANIFEST_INVALID'],
  ['a port in the repository', 'quay.io/host:5000/x:1', 'MANIFEST_INVALID'],
  ['an empty digest', 'quay.io/x@', 'DIGEST_INVALID'],
  ['an upper-case digest', `quay.io/x@sha256:${'A'.repeat(64)}`, 'DIGEST_INVALID'],
  ['a short digest', 'quay.io/x@sha256:abc', 'DIGEST_INVALID'],
  ['another algorithm', `quay.io/x@sha384:${'a'.repeat(96)}`, 'DIGEST_INVALID'],
  ['two digests', `quay.io/x@${sha256}@${sha256}`, 'DIGEST_INVALID'],
  ['a tag behind the digest', `quay.io/x@${sha256}:1`, 'DIGEST_INVALID'],
  ['a bad tag before a good digest', `quay.io/x:../y@${sha256}`, 'MANIFEST_INVALID'],
  ['an empty tag before a good digest', `quay.io/x:@${sha256}`, 'MANIFEST_INVALID'],
  ['a line break', 'quay.io/x:1\n', 'MANIFEST_INVALID'],
]
for (const [what, text, code] of refused) {
  test(`No reference is made of ${what}`, () => {
    assert.throws(() => parseReference(text), { name: 'OciError', status: 400, code })
  })
}

test('A target with a colon is a digest, any other is a tag', () => {
  const quay = parseRegistry('quay.io')
  assert.deepEqual(makeReference(quay, 'x', sha512), { registry: 'quay.io', repository: 'x', digest: sha512 })
  assert.deepEqual(makeReference(quay, 'x', 'sha256-x'), { registry: 'quay.io', repository: 'x', tag: 'sha256-x' })
})

const targets: [target: string, code: ErrorCode][] = [
  ['', 'MANIFEST_INVALID'],
  ['..', 'MANIFEST_INVALID'],
  ['%2e%2e', 'MANIFEST_INVALID'],
  ['a@b', 'MANIFEST_INVALID'],
  ['sha256:baddigeststring', 'DIGEST_INVALID'],
  ['SHA256:x', 'DIGEST_INVALID'],
  ['latest:1', 'DIGEST_INVALID'],
]
for (const [target, code] of targets) {
  test(`A request for the manifest '${target}' is refused with ${code}`, () => {
    assert.throws(() => makeReference(parseRegistry('quay.io'), 'x', target), { status: 400, code })
  })
}
