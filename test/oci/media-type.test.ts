import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  DOCKER_LIST,
  DOCKER_MANIFEST,
  essence,
  isSchema1,
  kindOfMediaType,
  MANIFEST_ACCEPT,
  type ManifestKind,
  OCI_ARTIFACT,
  OCI_INDEX,
  OCI_MANIFEST,
} from '../../src/oci/media-type.ts'

const kinds: [string, ManifestKind | undefined][] = [
  [OCI_INDEX, 'index'],
  [DOCKER_LIST, 'index'],
  [OCI_MANIFEST, 'image'],
  [DOCKER_MANIFEST, 'image'],
  [OCI_ARTIFACT, 'artifact'],
  ['application/vnd.docker.distribution.manifest.v1+json', undefined],
  ['application/vnd.docker.distribution.manifest.v1+prettyjws', undefined],
  ['application/vnd.oci.image.config.v1+json', undefined],
  ['application/json', undefined],
  ['text/html', undefined],
  ['', undefined],
  ['constructor', undefined],
  [`${OCI_INDEX}; charset=utf-8`, undefined], // `essence` comes first
]
for (const [mediaType, want] of kinds) {
  test(`'${mediaType}' names ${want === undefined ? 'no kind of manifest' : `an ${want}`}`, () => {
    assert.equal(kindOfMediaType(mediaType), want)
  })
}

const schema1: [string, boolean][] = [
  ['application/vnd.docker.distribution.manifest.v1+json', true],
  ['application/vnd.docker.distribution.manifest.v1+prettyjws', true],
  [DOCKER_MANIFEST, false],
  [DOCKER_LIST, false],
  [OCI_MANIFEST, false],
  ['application/vnd.docker.distribution.manifest.v10+json', false],
  ['x-application/vnd.docker.distribution.manifest.v1+json', false],
  ['', false],
]
for (const [mediaType, want] of schema1) {
  test(`'${mediaType}' is ${want ? '' : 'not '}schema 1`, () => assert.equal(isSchema1(mediaType), want))
}

test('Every kind of manifest is asked for, whatever a client accepts, and schema 1 is not', () => {
  const asked = MANIFEST_ACCEPT.split(', ')
  assert.deepEqual(asked, [OCI_INDEX, OCI_MANIFEST, DOCKER_LIST, DOCKER_MANIFEST, OCI_ARTIFACT, '*/*;q=0.1'])
  assert.equal(asked.some(isSchema1), false)
})

const essences: [string | null | undefined, string][] = [
  [undefined, ''],
  [null, ''],
  ['', ''],
  ['  ', ''],
  [';', ''],
  [OCI_INDEX, OCI_INDEX],
  [`${OCI_INDEX}; charset=utf-8`, OCI_INDEX],
  [`${OCI_INDEX};charset=utf-8;q=1`, OCI_INDEX],
  [` ${OCI_INDEX} ; charset="a;b"`, OCI_INDEX],
  ['Application/VND.OCI.image.index.v1+JSON', OCI_INDEX],
  ['text/html; charset=UTF-8', 'text/html'],
]
for (const [contentType, want] of essences) {
  test(`A Content-Type of ${JSON.stringify(contentType)} comes down to '${want}'`, () => assert.equal(essence(contentType), want))
}
