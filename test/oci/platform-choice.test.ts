import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Digest, digestOf } from '../../src/oci/digest.ts'
import type { Descriptor } from '../../src/oci/manifest.ts'
import { OCI_MANIFEST } from '../../src/oci/media-type.ts'
import { formatPlatform, parsePlatform } from '../../src/oci/platform.ts'
import { attestationsOf, chooseManifests, missingPlatforms, offeredPlatforms } from '../../src/oci/platform-choice.ts'

const digestNamed = (name: string): Digest => digestOf(Buffer.from(name))

/** @param name its platform, or anything else for none */
function listed(name: string, annotations?: Record<string, string>): Descriptor {
  const platform = parsePlatform(name)
  const known = { mediaType: OCI_MANIFEST, digest: digestNamed(name), sizeBytes: 1, foreign: false }
  return { ...known, ...(platform !== undefined && { platform }), ...(annotations !== undefined && { annotations }) }
}

const wantedOf = (text: string) => (text === 'all' ? 'all' : text.split(' ').flatMap((each) => parsePlatform(each) ?? []))
const attestation = (name: string, subject?: string) =>
  listed(name, {
    'vnd.docker.reference.type': 'attestation-manifest',
    ...(subject !== undefined && { 'vnd.docker.reference.digest': digestNamed(subject) }),
  })

const choices: [sentence: string, index: string, wanted: string, chosen: string, missing: string][] = [
  ['The wanted platform', 'linux/amd64 linux/arm64/v8', 'linux/amd64', 'linux/amd64', ''],
  ['Without a variant, every variant', 'linux/arm/v6 linux/arm/v7 linux/arm64', 'linux/arm', 'linux/arm/v6 linux/arm/v7', ''],
  ['With a variant, that one', 'linux/arm/v6 linux/arm/v7', 'linux/arm/v7', 'linux/arm/v7', ''],
  ['Two of three', 'linux/amd64 linux/arm64 linux/s390x', 'linux/amd64 linux/s390x', 'linux/amd64 linux/s390x', ''],
  ['One that is not there', 'linux/amd64', 'linux/amd64 linux/riscv64', 'linux/amd64', 'linux/riscv64'],
  ['None that is there', 'linux/amd64', 'windows/amd64', '', 'windows/amd64'],
  ['All', 'linux/amd64 windows/amd64 anything', 'all', 'linux/amd64 windows/amd64 anything', ''],
  ['What does not say its platform', 'anything', 'linux/amd64', 'anything', 'linux/amd64'],
  ['No attestations, even with all', 'linux/amd64 unknown/unknown', 'all', 'linux/amd64', ''],
]
for (const [sentence, index, wanted, chosen, missing] of choices) {
  test(`${sentence}: is what is taken of an index with ${index} where ${wanted} is wanted`, () => {
    const manifests = index.split(' ').map((name) => listed(name))
    const names = chooseManifests(manifests, wantedOf(wanted)).map(({ digest }) =>
      index.split(' ').find((name) => digestNamed(name) === digest),
    )
    assert.equal(names.join(' '), chosen)
    assert.equal(missingPlatforms(wantedOf(wanted), offeredPlatforms(manifests)).map(formatPlatform).join(' '), missing)
  })
}

test('An attestation goes with its image, and one that names none with any', () => {
  const [ofAmd, ofArm, ofAny] = [attestation('a', 'linux/amd64'), attestation('b', 'linux/arm64'), listed('unknown/unknown')]
  const index = [listed('linux/amd64'), listed('linux/arm64'), ofAmd, ofArm, ofAny]
  assert.deepEqual(attestationsOf(index, new Set([digestNamed('linux/amd64')])), [ofAmd, ofAny])
})
