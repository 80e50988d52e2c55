import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseDockerConfig } from '../../src/oci/docker-config.ts'

const base64 = (text: string) => Buffer.from(text).toString('base64')
const parse = (config: unknown) => parseDockerConfig('config.json', typeof config === 'string' ? config : JSON.stringify(config))
const QUAY = { registry: 'quay.io', path: '' }
const ann = (password = 'pw') => ({ prefix: QUAY, credential: { kind: 'password', user: 'ann', password } })

const read: [sentence: string, config: unknown, want: object][] = [
  ['An empty map has no credentials', {}, {}],
  ['What is not about credentials is passed over', { auths: {}, HttpHeaders: { a: 1 }, currentContext: 'x', credsStore: '' }, {}],
  ['auth is user and password in base64', { auths: { 'quay.io': { auth: base64('ann:pw') } } }, { credentials: [ann()] }],
  ['A password may have colons', { auths: { 'quay.io': { auth: base64('ann:a:b:') } } }, { credentials: [ann('a:b:')] }],
  ['Padding with zero bytes is none of the password', { auths: { 'quay.io': { auth: base64('ann:pw\0\0') } } }, { credentials: [ann()] }],
  ['User and password may stand in the open', { auths: { 'quay.io': { username: 'ann', password: 'pw' } } }, { credentials: [ann()] }],
  [
    'auth wins over what stands beside it, as for Docker',
    { auths: { 'quay.io': { auth: base64('ann:pw'), username: 'bob', password: 'x' } } },
    { credentials: [ann()] },
  ],
  [
    'An identity token wins, and its auth needs no password',
    { auths: { 'quay.io': { auth: base64('00000000-0000-0000-0000-000000000000:'), identitytoken: 'tok' } } },
    { credentials: [{ prefix: QUAY, credential: { kind: 'identityToken', token: 'tok' } }] },
  ],
  ['An empty entry, as Docker leaves it beside a store, is nothing', { auths: { 'quay.io': {} }, credsStore: 'pass' }, { store: 'pass' }],
  [
    'Docker Hub has the key that docker login writes',
    { auths: { 'https://index.docker.io/v1/': { auth: base64('ann:pw') } } },
    { credentials: [{ ...ann(), prefix: { registry: 'docker.io', path: '' } }] },
  ],
  [
    'podman has paths',
    { auths: { 'quay.io/org/app': { auth: base64('ann:pw') } } },
    { credentials: [{ ...ann(), prefix: { registry: 'quay.io', path: 'org/app' } }] },
  ],
  ['A key that is no registry is passed over', { auths: { 'Docker Desktop!': { auth: base64('ann:pw') } } }, {}],
  ['A helper without a name is none', { credHelpers: { 'quay.io': '' } }, {}],
  [
    'Helpers are asked with the key as it stands',
    { credHelpers: { 'https://index.docker.io/v1/': 'pass', '1234.dkr.ecr.eu-west-1.amazonaws.com': 'ecr-login' } },
    {
      helpers: [
        { prefix: { registry: 'docker.io', path: '' }, helper: 'pass', server: 'https://index.docker.io/v1/' },
        {
          prefix: { registry: '1234.dkr.ecr.eu-west-1.amazonaws.com', path: '' },
          helper: 'ecr-login',
          server: '1234.dkr.ecr.eu-west-1.amazonaws.com',
        },
      ],
    },
  ],
]
for (const [sentence, config, want] of read) {
  test(sentence, () => assert.deepEqual(parse(config), { credentials: [], helpers: [], store: undefined, ...want }))
}

test('A byte order mark and tabs do no harm', () => {
  assert.deepEqual(parse(`\ufeff{\n\t"credsStore": "pass"\n}\n`).store, 'pass')
})

const SECRET = 'c2VjcmV0'
const NAME = 'found no plain word, want the name of a helper: x for the program docker-credential-x'
const mistakes: [sentence: string, config: unknown, message: string][] = [
  ['An empty file is not JSON', '', 'config.json:1: not JSON'],
  ['A file that is cut is not JSON', `{"auths": {\n"a.io": {"auth": "${SECRET}`, 'config.json:2: not JSON'],
  ['A comma too many is named with its line', `{\n"auths": {},\n}`, 'config.json:3: not JSON'],
  ['A word is not JSON, and is not shown', `{"auths": ${SECRET}}`, 'config.json: not JSON'],
  ['A list is no configuration', [], 'config.json: found no map, want the config.json of Docker or the auth.json of podman'],
  ['auths is a map', { auths: [SECRET] }, 'config.json: auths: found no map, want one of registries'],
  ['An entry is a map', { auths: { 'a.io': SECRET } }, 'config.json: auths."a.io": found no map, want one with auth'],
  ['auth is text', { auths: { 'a.io': { auth: 7 } } }, 'config.json: auths."a.io".auth: found something else, want text'],
  [
    'auth without a colon is a mistake',
    { auths: { 'a.io': { auth: SECRET } } },
    'config.json: auths."a.io".auth: found something else, want user:password in base64',
  ],
  [
    'auth that is no base64 is a mistake',
    { auths: { 'a.io': { auth: 'ann:secret' } } },
    'config.json: auths."a.io".auth: found something else, want user:password in base64',
  ],
  [
    'auth without a password is a mistake',
    { auths: { 'a.io': { auth: base64('ann:') } } },
    'config.json: auths."a.io".auth: found something else, want user:password in base64',
  ],
  [
    'A user needs a password',
    { auths: { 'a.io': { username: 'ann' } } },
    'config.json: auths."a.io".password: found nothing beside username, want both',
  ],
  ['A helper is no path', { credsStore: '../../bin/sh' }, `config.json: credsStore: ${NAME}`],
  ['A helper is no option', { credHelpers: { 'a.io': '-x' } }, `config.json: credHelpers."a.io": ${NAME}`],
  ['A helper is text', { credHelpers: { 'a.io': ['x'] } }, `config.json: credHelpers."a.io": ${NAME}`],
  ['A helper is one word', { credsStore: 'a b' }, `config.json: credsStore: ${NAME}`],
]
for (const [sentence, config, message] of mistakes) test(sentence, () => assert.throws(() => parse(config), { message }))
