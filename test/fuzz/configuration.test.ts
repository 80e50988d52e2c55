/** The configuration file, its expressions and the credentials file: a mistake is one line that names the file, and nothing else is thrown. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { parseCredsFile } from '../../src/config/creds-file.ts'
import { parsePatterns } from '../../src/config/expression.ts'
import { Findings } from '../../src/config/findings.ts'
import { toNameRules } from '../../src/config/name-rules.ts'
import { toRegistries } from '../../src/config/registries.ts'
import { configurationFile } from '../../src/config/settings.ts'
import { toTagPolicy } from '../../src/config/tag-policy.ts'
import { readYaml } from '../../src/config/yaml.ts'
import { assertExpected, fuzz } from './fuzz.ts'

const full = readFileSync(new URL('../config/fixtures/full-1.8.3.yaml', import.meta.url), 'utf8')
const ours = `imagePath: /srv/images
port: 8080
registries:
  - &entry {name: registry.example:5000, aliases: [example], scheme: http}
  - name: private.example
    auth: {user: puller, password: SECRET}
    tls: {insecureSkipVerify: true}
tagPolicy:
  - {match: '**:latest', revalidate: 12h}
allow: [ghcr.io, 'quay.io/org/**']
deny: ['*/secret/**']
serverTlsConfig: {cert: /a, key: /b, clientAuth: verify}
minFree: 5%
pruneConfig:
  enabled: true
  expr: ^x$
  duration: 30d
`
const words = [
  ': ',
  '- ',
  '&a ',
  '*a',
  '<<: ',
  '{',
  '}',
  '[',
  ']',
  '|',
  '>',
  '"',
  "'",
  '#',
  '---\n',
  '!!binary ',
  '? ',
  '\n  ',
  'null',
  '~',
  'name: ',
  '%YAML 1.2\n',
  '[[[[',
  '{a: ',
]

async function readAll(text: string): Promise<void> {
  const findings = new Findings('config.yaml')
  const section = configurationFile.read(await readYaml('config.yaml', text), '', findings)
  findings.throwFirst()
  if (section === undefined) return
  const registries = toRegistries(section.values.registries ?? [], findings)
  toTagPolicy(section.values.tagPolicy ?? [], registries, findings)
  toNameRules(section, registries, findings)
  findings.throwFirst()
}

fuzz(
  'A configuration file is refused in one line with file and line, or read',
  { samples: [ours, full, ''], words, runs: 1_500 },
  async (text) => {
    try {
      await readAll(text)
    } catch (error) {
      assertExpected(error, 'ConfigError')
      assert.match((error as Error).message, /^config\.yaml:\d+: /)
    }
  },
)

const credentials = 'docker.io:\n  username: puller\n  password: SECRET-1\nquay.io/org:\n  username: me\n  password: "SECRET-2"\n'
fuzz(
  'A credentials file is refused in one line that shows no password, or read',
  { samples: [credentials], words, runs: 2_000 },
  async (text) => {
    try {
      await parseCredsFile('creds.yaml', Buffer.from(text))
    } catch (error) {
      assertExpected(error, 'ConfigError')
      assert.match((error as Error).message, /^creds\.yaml/)
    }
  },
)

const expressions = [
  '^docker.io/library/.*$',
  'calico,cilium',
  '(a|b)*c+?',
  '[[:alpha:]]{1,3}',
  '\\d+\\.\\d+',
  '(?i)x',
  '^sha256-[0-9a-f]{64}$',
]
fuzz(
  'Expressions are refused, or match in linear time',
  {
    samples: expressions,
    words: ['(', ')', '[', ']', '{', '}', '*', '+', '?', '|', '\\', '(?', '{1000}', ',', '(?P<n>', '\\Q'],
    runs: 1_000,
  },
  async (text) => {
    const patterns = await parsePatterns(text).catch((error: Error) => {
      assert.doesNotMatch(error.message, /\n/)
      return undefined
    })
    patterns?.matches(`docker.io/library/${'a'.repeat(1000)}:1`)
  },
)
