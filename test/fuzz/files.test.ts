/** Files that others may have written: records and notes of the store, manifests, credentials. Refused as what they are, or read. */
import assert from 'node:assert/strict'
import { digestOf } from '../../src/oci/digest.ts'
import { parseDockerConfig } from '../../src/oci/docker-config.ts'
import { parseManifest } from '../../src/oci/manifest.ts'
import { OCI_INDEX, OCI_MANIFEST } from '../../src/oci/media-type.ts'
import { parseRegistry, parseRepository } from '../../src/oci/name.ts'
import { decodePruneNote, encodePruneNote } from '../../src/store/prune-note.ts'
import { decodeListedRecord, decodeRecord, decodeRef, encodeRecord, encodeRef } from '../../src/store/record.ts'
import { decodeScrubNote } from '../../src/store/scrub-note.ts'
import { encodeSpoolNote, parseSpoolNote } from '../../src/store/spool-note.ts'
import { PemError, readCertificates, readPrivateKey } from '../../src/tls/pem.ts'
import { pemPair } from '../support/certificates.ts'
import { fuzz, tried } from './fuzz.ts'

const NAME = 'a'.repeat(64)
const digest = digestOf(Buffer.from('x'))
const manifest = JSON.stringify({
  schemaVersion: 2,
  mediaType: OCI_MANIFEST,
  config: { mediaType: 'application/vnd.oci.image.config.v1+json', digest, size: 1 },
  layers: [{ mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip', digest, size: 1, annotations: { a: 'b' } }],
  subject: { mediaType: OCI_MANIFEST, digest, size: 1 },
})
const index = JSON.stringify({
  schemaVersion: 2,
  mediaType: OCI_INDEX,
  manifests: [{ mediaType: OCI_MANIFEST, digest, size: 1, platform: { os: 'linux', architecture: 'arm64', variant: 'v8' } }],
})
const JSON_WORDS = [
  '{',
  '}',
  '[',
  ']',
  ',',
  ':',
  '"',
  'null',
  'true',
  '1e999',
  '[]',
  '{}',
  '"digest":',
  '"size":',
  '"__proto__":',
  '[[[[[[[[',
  '"":',
]

const source = { registry: parseRegistry('docker.io'), repository: parseRepository('library/alpine') }
const record = encodeRecord({
  ...source,
  digest,
  mediaType: OCI_MANIFEST,
  bytes: Buffer.from(manifest),
  imageUrl: 'docker.io/library/alpine:3',
  createdMs: 0,
  pulledMs: 0,
})
fuzz('A record is refused as damaged, or read in both ways', { samples: [record], words: JSON_WORDS, runs: 10_000 }, (text) => {
  const whole = tried(() => decodeRecord(NAME, text, () => 5), 'RecordError')
  const listed = tried(() => decodeListedRecord(NAME, text, () => 5), 'RecordError')
  if (whole !== undefined) assert.equal(listed?.digest, whole.digest) // what is wrong with the parsed copy alone, one of them does not see
})

const ref = encodeRef({ reference: 'docker.io/library/alpine:3', digest, createdMs: 0, pulledMs: 0, checkedMs: 0 } as Parameters<
  typeof encodeRef
>[0])
fuzz('A reference file is refused as damaged, or read', { samples: [ref], words: JSON_WORDS, runs: 10_000 }, (text) => {
  tried(() => decodeRef(text, () => 5), 'RecordError')
})

const spoolNote = encodeSpoolNote({ digest, sizeBytes: 5, sources: [source], boot: 'x', syncedBytes: 3 })
fuzz('The note of a download is none, or read', { samples: [spoolNote], words: JSON_WORDS, runs: 10_000 }, (text) => {
  const note = parseSpoolNote(text)
  if (note !== undefined) assert.deepEqual(parseSpoolNote(encodeSpoolNote(note)), note)
})

fuzz(
  'The notes of scrubbing and pruning are refused as damaged, or read',
  { samples: [encodePruneNote({ lastMs: 5 }), '{"began":"2026-01-01T00:00:00","at":"blobs/x"}'], words: JSON_WORDS, runs: 10_000 },
  (text) => {
    tried(() => decodePruneNote(text), 'RecordError', 'SyntaxError')
    tried(() => decodeScrubNote(text), 'RecordError', 'SyntaxError')
  },
)

fuzz('A manifest is refused as none, or read', { samples: [manifest, index], words: JSON_WORDS, runs: 10_000 }, (text, random) => {
  const contentType = random.pick([
    undefined,
    null,
    OCI_MANIFEST,
    OCI_INDEX,
    'text/html',
    'application/vnd.docker.distribution.manifest.v1+prettyjws',
  ])
  tried(() => parseManifest(Buffer.from(text, random.pick(['utf8', 'latin1'])), contentType), 'ManifestError')
})

const dockerConfig = JSON.stringify({
  auths: { 'https://index.docker.io/v1/': { auth: 'dXNlcjpwYXNzd29yZA==' }, 'quay.io': { identitytoken: 'SECRET-TOKEN' } },
  credHelpers: { 'ghcr.io': 'pass' },
  credsStore: 'desktop',
})
fuzz(
  "Docker's credentials are refused in a line, or read; no error shows one",
  { samples: [dockerConfig], words: JSON_WORDS, runs: 10_000 },
  (text) => {
    tried(() => {
      try {
        parseDockerConfig('config.json', text)
      } catch (error) {
        assert.match((error as Error).message, /^config\.json/)
        assert.doesNotMatch((error as Error).message, /SECRET|dXNlcjpwYXNzd29yZA|password"/)
        throw error
      }
    }, 'Error')
  },
)

const pem = await pemPair({ after: () => {} })
fuzz(
  'Certificates and keys are refused in a line, or read',
  {
    samples: [pem],
    words: ['-----BEGIN CERTIFICATE-----', '-----END CERTIFICATE-----', '-----BEGIN EC PRIVATE KEY-----', '\n', 'Proc-Type: 4,ENCRYPTED\n'],
    runs: 1_000,
  },
  (text) => {
    for (const read of [readCertificates, readPrivateKey]) {
      try {
        read(text)
      } catch (error) {
        assert(error instanceof PemError, String(error))
        assert.doesNotMatch(error.message, /\n/)
      }
    }
  },
)
