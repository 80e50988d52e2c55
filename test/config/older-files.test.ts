/** Configuration files as users of the programs before this one have them: the very blocks of their READMEs. */
import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { pemPair } from '../support/certificates.ts'
import { temporaryDirectory } from '../support/files.ts'
import { assertMistake, loadText } from './load-text.ts'

const TLS = 'ca, cert, key, insecureSkipVerify'
const REGISTRY = 'name, aliases, url, description, scheme, auth, tls'

test('A bare list of 1.7 is read as registries', async (t) => {
  const pem = join(await temporaryDirectory(t), 'both.pem')
  await writeFile(pem, await pemPair(t))
  const text = `- name: my-upstream
  description: Something that makes sense to you (or omit it - it is optional)
  auth:
    user: theuser
    password: thepass
  tls:
    ca: PEM
    cert: PEM
    key: PEM
    insecure_skip_verify: true
- name: my-upstream:5000
  description: bar
  auth: {}
  tls: {}
`
  const { config, warnings } = await loadText(t, text.replaceAll('PEM', pem))
  assert.deepEqual(config.registries, [
    {
      name: 'my-upstream',
      aliases: [],
      scheme: 'https',
      address: 'my-upstream',
      auth: { user: 'theuser', password: { from: 'config', password: 'thepass' } },
      tls: { ca: pem, cert: pem, key: pem, insecureSkipVerify: true },
    },
    { name: 'my-upstream:5000', aliases: [], scheme: 'https', address: 'my-upstream:5000', tls: { insecureSkipVerify: false } },
  ])
  assert.deepEqual(warnings, [])
})

for (const file of ['- name: a.io\n  tls:\n    KEY: true\n', 'registries:\n- name: a.io\n  tls: {KEY: true}\n']) {
  for (const key of ['insecure_skip_verify', 'insecureSkipVerify']) {
    test(`${key} means insecureSkipVerify in ${file.startsWith('-') ? 'a bare list' : 'registries'}`, async (t) => {
      const { config } = await loadText(t, file.replace('KEY', key))
      assert.equal(config.registries[0]?.tls.insecureSkipVerify, true)
    })
  }
}

for (const level of ['trace', 'TRACE']) {
  test(`The level ${level} means debug`, async (t) => {
    assert.equal((await loadText(t, `logLevel: ${level}`)).config.logLevel, 'debug')
  })
}

// byte for byte, with what is only there to be read
const explained: [sentence: string, text: string, line: string][] = [
  [
    'The first block of 1.7 has an item that is no entry',
    `- name: upstream one
  description: foo
  auth: {}
  tls: {}
- name: upstream two
  description: bar
  auth: {}
  tls: {}
- etc...
`,
    'config.yaml:1: registries[0].name: found "upstream one", want a registry: host or host:port',
  ],
  [
    'The second block of 1.7 has two names in one',
    `- name: my-upstream (or my-upstream:PORT)
  description: Something that makes sense to you (or omit it - it is optional)
  auth:
    user: theuser
    password: thepass
  tls:
    ca: /my/ca.crt
    cert: /my/client.cert
    key: /my/client.key
    insecure_skip_verify: true/false
`,
    'config.yaml:1: registries[0].name: found "my-upstream (or my-upstream:PORT)", want a registry: host or host:port',
  ],
  [
    'The second scenario of 1.7 has an explanation in its value',
    `- name: foo.bar.1.io
  tls:
     insecure_skip_verify: false (or simply omit since it defaults to false)
`,
    'config.yaml:3: registries[0].tls.insecure_skip_verify: found "false (or simply omit since it defaults to false)", want true or false',
  ],
  [
    'The mTLS block of 1.7 lacks the colons behind its names',
    `   - name foo.bar.1.io
     description: mTLS, don't verify server cert
     tls:
       cert: /my/client.cert
       key: /my/client.key
       insecure_skip_verify: true
   - name foo.bar.2.io
     description: mTLS, verify server cert from OS trust store
     tls:
       cert: /my/client.cert
       key: /my/client.key
       insecure_skip_verify: false
   - name foo.bar.3.io
     description: mTLS, verify server cert from provided CA
     tls:
       cert: /my/client.cert
       key: /my/client.key
       ca: /remote/ca.crt
       insecure_skip_verify: false
`,
    "config.yaml:1: not YAML: found a line without ':', want 'key: value'",
  ],
  [
    'The first block of 1.8 has a name with a blank',
    `registries:
- name: upstream one
  description: foo
  scheme: https
  auth: {}
  tls: {}
- name: upstream two
  description: bar
  scheme: http
  auth: {}
  tls: {}
- etc...
`,
    'config.yaml:2: registries[0].name: found "upstream one", want a registry: host or host:port',
  ],
  // mistakes in a bare list are named as those in registries are
  [
    'An item of a bare list is an entry',
    '- name: a.io\n- etc...\n',
    `config.yaml:2: registries[1]: found a single value, want a map with the keys ${REGISTRY}`,
  ],
  [
    'A slip in a bare list is named with line and key',
    '- name: a.io\n  tls:\n    insecure_skip_verfy: true\n',
    `config.yaml:3: registries[0].tls.insecure_skip_verfy: found an unknown key, want insecureSkipVerify (the nearest) or another of ${TLS}`,
  ],
  [
    'One setting under its old and its new key is a mistake',
    '- name: a.io\n  tls:\n    insecure_skip_verify: true\n    insecureSkipVerify: false\n',
    'config.yaml:4: registries[0].tls.insecureSkipVerify: found a second time (first in line 3), want each key once',
  ],
  [
    'A file named in a bare list has to be there',
    '- name: a.io\n  tls: {ca: /no/ca.crt}\n',
    'config.yaml:2: registries[0].tls.ca: cannot read /no/ca.crt: no such file or directory, want a readable file',
  ],
]
for (const [sentence, text, line] of explained) test(sentence, (t) => assertMistake(t, text, line))

test('The mTLS block of 1.8 loads, as it is, where its files are', async (t) => {
  const directory = await temporaryDirectory(t)
  const pem = await pemPair(t)
  for (const name of ['client.cert', 'client.key', 'ca.crt']) await writeFile(join(directory, name), pem)
  const block = `   - name: foo.bar.1.io
     description: mTLS, don't verify server cert
     tls:
       cert: /my/client.cert
       key: /my/client.key
       insecureSkipVerify: true
   - name: foo.bar.2.io
     description: mTLS, verify server cert from OS trust store
     tls:
       cert: /my/client.cert
       key: /my/client.key
       insecureSkipVerify: false
   - name: foo.bar.3.io
     description: mTLS, verify server cert from provided CA
     tls:
       cert: /my/client.cert
       key: /my/client.key
       ca: /remote/ca.crt
       insecureSkipVerify: false
`
  for (const text of [`registries:\n${block}`, block, block.replaceAll('insecureSkipVerify', 'insecure_skip_verify')]) {
    const { config } = await loadText(t, text.replaceAll('/my/', `${directory}/`).replaceAll('/remote/', `${directory}/`))
    const client = { cert: join(directory, 'client.cert'), key: join(directory, 'client.key') }
    assert.deepEqual(
      config.registries.map(({ name, tls }) => [name, tls]),
      [
        ['foo.bar.1.io', { ...client, insecureSkipVerify: true }],
        ['foo.bar.2.io', { ...client, insecureSkipVerify: false }],
        ['foo.bar.3.io', { ca: join(directory, 'ca.crt'), ...client, insecureSkipVerify: false }],
      ],
    )
  }
})
