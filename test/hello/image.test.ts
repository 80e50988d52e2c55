/** The built-in image: the same bytes every time, and every name, size and archive in it right. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { elfThatPrints } from '../../src/hello/elf.ts'
import { builtInImage, type Content, GREETING } from '../../src/hello/image.ts'
import { amd64, arm64 } from '../../src/hello/machines.ts'
import { digestOf } from '../../src/oci/digest.ts'
import { parseManifest } from '../../src/oci/manifest.ts'

const { index, manifests, blobs } = builtInImage()
const all = [index, ...manifests, ...blobs]

function named(digest: string | undefined): Content {
  const found = all.find((content) => content.digest === digest)
  assert.ok(found !== undefined, `${digest} is part of the image`)
  return found
}

const PROGRAMS = [
  { architecture: 'amd64', program: elfThatPrints(GREETING, amd64) },
  { architecture: 'arm64', program: elfThatPrints(GREETING, arm64) },
]

test('the built-in image is the same in every build: whoever changes it on purpose writes the new digest here', () => {
  assert.equal(index.digest, 'sha256:82ddd95571810116e6c14031f7f9651de26f7f9bf141445277d1501c830e2474')
})

test('the built-in image has every part once, under the digest of its bytes', () => {
  for (const { digest, bytes } of all) assert.equal(digestOf(bytes), digest)
  assert.equal(new Set(all.map(({ digest }) => digest)).size, 1 + 2 + 4)
})

test('the index names an image for linux/amd64 and one for linux/arm64', () => {
  const listed = parseManifest(index.bytes, index.mediaType).manifests
  assert.deepEqual(
    listed.map(({ platform }) => platform),
    PROGRAMS.map(({ architecture }) => ({ os: 'linux', architecture })),
  )
  assert.deepEqual(
    listed.map(({ mediaType, digest, sizeBytes }) => [mediaType, digest, sizeBytes]),
    manifests.map(({ mediaType, digest, bytes }) => [mediaType, digest, bytes.length]),
  )
})

for (const [i, { architecture, program }] of PROGRAMS.entries()) {
  const manifest = manifests[i]
  const [config, layer, ...others] = manifest === undefined ? [] : parseManifest(manifest.bytes, manifest.mediaType).blobs

  test(`${architecture}: a config and one layer, with their types and sizes`, () => {
    assert.deepEqual(
      [config, layer].map((blob) => [blob?.mediaType, blob?.sizeBytes]),
      [
        ['application/vnd.oci.image.config.v1+json', named(config?.digest).bytes.length],
        ['application/vnd.oci.image.layer.v1.tar', named(layer?.digest).bytes.length],
      ],
    )
    assert.deepEqual(others, [])
  })

  test(`${architecture}: the config names its platform, the layer as it is, and the program`, () => {
    const parsed = JSON.parse(named(config?.digest).bytes.toString())
    assert.deepEqual([parsed.os, parsed.architecture], ['linux', architecture])
    assert.deepEqual(parsed.rootfs, { type: 'layers', diff_ids: [digestOf(named(layer?.digest).bytes)] })
    assert.deepEqual(parsed.config, { Cmd: ['/hello'] })
    assert.equal(parsed.history.length, parsed.rootfs.diff_ids.length)
  })

  test(`${architecture}: the layer is a tar archive of the program alone, which everybody may run`, () => {
    const tar = named(layer?.digest).bytes
    const text = (from: number, to: number) => tar.toString('latin1', from, to).replace(/\0.*$/s, '')
    const number = (from: number, to: number) => Number.parseInt(text(from, to), 8)
    assert.deepEqual([text(0, 100), text(156, 157), tar.toString('latin1', 257, 265)], ['hello', '0', 'ustar\x0000'])
    assert.deepEqual([number(100, 108), number(108, 116), number(116, 124), number(136, 148)], [0o755, 0, 0, 0])
    const header = Buffer.from(tar.subarray(0, 512)).fill(' ', 148, 156)
    assert.equal(
      number(148, 156),
      header.reduce((sum, byte) => sum + byte, 0),
    )
    assert.equal(number(124, 136), program.length)
    assert.ok(tar.subarray(512, 512 + program.length).equals(program))
    assert.ok(tar.subarray(512 + program.length).every((byte) => byte === 0))
    assert.equal(tar.length, 512 + Math.ceil(program.length / 512) * 512 + 1024)
  })
}

test('the greeting is plain text that fits a terminal, names the program, and says what to try next', () => {
  assert.match(GREETING, /^[\n -~]+\n$/)
  assert.ok(
    GREETING.split('\n').every((line) => line.length <= 80),
    'no line is longer than 80 characters',
  )
  assert.match(GREETING, /ociregistry/)
  assert.match(GREETING, /^ {2}(?:docker|podman) pull /m)
})
