/** The copy of a manifest that the Go program reads: only what it knows, in its order, and nothing that it could not decode. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { COPY_KEYS, type CopyKey, goJson, parsedCopy } from '../../src/store/parsed-copy.ts'

const LAYER = `sha256:${'7'.repeat(64)}`
const ZERO_DESCRIPTOR = '{"mediaType":"","digest":"","size":0}'

const copies: readonly (readonly [what: string, key: CopyKey, json: string, wanted: string])[] = [
  [
    'An OCI index keeps platforms, subject, artifact type and annotations',
    'v1.oci.index',
    `{"x":1,"annotations":{"b":"2","a":"1"},"artifactType":"a/t","subject":{"size":1,"digest":"d","mediaType":"m"},"mediaType":"i","schemaVersion":2,"manifests":[{"platform":{"variant":"v8","os":"linux","architecture":"arm64","os.version":"1","os.features":["f"],"features":["x"]},"size":9,"digest":"${LAYER}","mediaType":"m","artifactType":"t"}]}`,
    `{"schemaVersion":2,"mediaType":"i","artifactType":"a/t","manifests":[{"mediaType":"m","digest":"${LAYER}","size":9,"platform":{"architecture":"arm64","os":"linux","os.version":"1","os.features":["f"],"variant":"v8"},"artifactType":"t"}],"subject":{"mediaType":"m","digest":"d","size":1},"annotations":{"a":"1","b":"2"}}`,
  ],
  [
    'An OCI image keeps inline data and addresses, and has no artifact type',
    'v1.oci.manifest',
    `{"schemaVersion":2,"artifactType":"a/t","config":{"mediaType":"m","digest":"d","size":2,"data":"e30="},"layers":[{"mediaType":"m","digest":"${LAYER}","size":5,"urls":["https://x.example/?a&b"]}],"subject":{}}`,
    `{"schemaVersion":2,"config":{"mediaType":"m","digest":"d","size":2,"data":"e30="},"layers":[{"mediaType":"m","digest":"${LAYER}","size":5,"urls":["https://x.example/?a\\u0026b"]}],"subject":${ZERO_DESCRIPTOR}}`,
  ],
  [
    'A Docker list always names its type, and leaves out what is empty below',
    'v2.docker.manifestList',
    '{"schemaVersion":2,"manifests":[{"mediaType":"m","size":0,"digest":"d","data":"e30=","platform":{}}],"annotations":{"a":"b"}}',
    '{"schemaVersion":2,"mediaType":"","manifests":[{"mediaType":"m","digest":"d","platform":{"architecture":"","os":""}}]}',
  ],
  [
    'A Docker image keeps config and layers',
    'v2.docker.manifest',
    `{"schemaVersion":2,"mediaType":"m","config":{"size":2,"digest":"d","mediaType":"c"},"layers":[{"digest":"${LAYER}","size":5}]}`,
    `{"schemaVersion":2,"mediaType":"m","config":{"mediaType":"c","digest":"d","size":2},"layers":[{"digest":"${LAYER}","size":5}]}`,
  ],
  [
    'Texts that are no text, sizes that are no size and lists that are no list are left out',
    'v1.oci.manifest',
    '{"schemaVersion":"2","mediaType":5,"config":[],"layers":[{"mediaType":{},"digest":7,"size":1.5,"urls":"x","annotations":[],"data":"%%%","platform":"linux"},"x",7,null],"annotations":{"a":1,"b":null,"c":"d"},"subject":"s"}',
    `{"schemaVersion":0,"config":${ZERO_DESCRIPTOR},"layers":[${ZERO_DESCRIPTOR},${ZERO_DESCRIPTOR}],"annotations":{"b":"","c":"d"}}`,
  ],
  [
    'Sizes beyond what a number holds are left out',
    'v1.oci.manifest',
    '{"schemaVersion":2,"config":{"size":9007199254740993},"layers":[{"size":1e300},{"size":-5},{"size":-0}]}',
    `{"schemaVersion":2,"config":${ZERO_DESCRIPTOR},"layers":[${ZERO_DESCRIPTOR},{"mediaType":"","digest":"","size":-5},${ZERO_DESCRIPTOR}]}`,
  ],
  [
    'Keys of annotations are sorted by their bytes, numbers among them',
    'v1.oci.index',
    '{"annotations":{"\u{1f600}":"4","\uffee":"3","é":"2","10":"1","9":"1","__proto__":"p","Z":"z"}}',
    '{"schemaVersion":0,"manifests":null,"annotations":{"10":"1","9":"1","Z":"z","__proto__":"p","é":"2","\uffee":"3","\u{1f600}":"4"}}',
  ],
  [
    'Half a surrogate pair is replaced, as Go replaces it',
    'v1.oci.index',
    '{"annotations":{"\\ud800a":"\\udc00 \\ud83d\\ude00"}}',
    '{"schemaVersion":0,"manifests":null,"annotations":{"\ufffda":"\ufffd \u{1f600}"}}',
  ],
]
for (const [what, key, json, wanted] of copies) {
  test(`${what}`, () => assert.equal(goJson(parsedCopy(key, JSON.parse(json))), wanted))
}

for (const nothing of [undefined, null, 17, 'x', []]) {
  test(`The copy of ${JSON.stringify(nothing) ?? 'nothing'} is the empty one`, () => {
    const empty = [
      '{"schemaVersion":0,"manifests":null}',
      `{"schemaVersion":0,"config":${ZERO_DESCRIPTOR},"layers":null}`,
      '{"schemaVersion":0,"mediaType":"","manifests":null}',
      '{"schemaVersion":0,"config":{},"layers":null}',
    ]
    assert.deepEqual(
      COPY_KEYS.map((key) => goJson(parsedCopy(key, nothing))),
      empty,
    )
  })
}
