import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Challenge, parseChallenges } from '../../src/oci/challenge.ts'

const bearer = (params: Record<string, string>): Challenge => ({ scheme: 'bearer', params })

// the forms that real registries send, then what breaks parsers that split at commas
const cases: [title: string, header: string, wanted: Challenge[]][] = [
  [
    'Docker Hub',
    'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/alpine:pull"',
    [bearer({ realm: 'https://auth.docker.io/token', service: 'registry.docker.io', scope: 'repository:library/alpine:pull' })],
  ],
  [
    'GHCR, with its error',
    'Bearer realm="https://ghcr.io/token",service="ghcr.io",scope="repository:user/image:pull",error="invalid_token"',
    [bearer({ realm: 'https://ghcr.io/token', service: 'ghcr.io', scope: 'repository:user/image:pull', error: 'invalid_token' })],
  ],
  [
    'a comma within a quoted scope',
    'Bearer realm="https://r/token",scope="repository:a/b:pull,push",service="s"',
    [bearer({ realm: 'https://r/token', scope: 'repository:a/b:pull,push', service: 's' })],
  ],
  ['NVCR: realm only', 'Bearer realm="https://nvcr.io/proxy_auth"', [bearer({ realm: 'https://nvcr.io/proxy_auth' })]],
  [
    'ECR Public: a scope of its own',
    'Bearer realm="https://public.ecr.aws/token/",service="public.ecr.aws",scope="aws"',
    [bearer({ realm: 'https://public.ecr.aws/token/', service: 'public.ecr.aws', scope: 'aws' })],
  ],
  [
    'ECR private: basic',
    'Basic realm="https://1.dkr.ecr.eu-west-1.amazonaws.com/",service="ecr.amazonaws.com"',
    [{ scheme: 'basic', params: { realm: 'https://1.dkr.ecr.eu-west-1.amazonaws.com/', service: 'ecr.amazonaws.com' } }],
  ],
  [
    'a realm with a query of its own',
    'Bearer realm="https://gitlab.com/jwt/auth?a=1,2&b=%20x",service="container_registry"',
    [bearer({ realm: 'https://gitlab.com/jwt/auth?a=1,2&b=%20x', service: 'container_registry' })],
  ],
  [
    'two challenges joined by Node',
    'Basic realm="Sonatype Nexus", Bearer realm="https://n/v2/token",service="https://n/v2/token"',
    [{ scheme: 'basic', params: { realm: 'Sonatype Nexus' } }, bearer({ realm: 'https://n/v2/token', service: 'https://n/v2/token' })],
  ],
  [
    'the other way round, with a comma inside',
    'Bearer realm="https://r/t",scope="repository:x:pull,push", Basic realm="r"',
    [bearer({ realm: 'https://r/t', scope: 'repository:x:pull,push' }), { scheme: 'basic', params: { realm: 'r' } }],
  ],
  [
    'schemes without parameters',
    'Negotiate, NTLM, Basic realm="r"',
    [
      { scheme: 'negotiate', params: {} },
      { scheme: 'ntlm', params: {} },
      { scheme: 'basic', params: { realm: 'r' } },
    ],
  ],
  [
    'an opaque word (token68) before the next challenge',
    'NTLM TlRMTVNTUAAB==, Bearer realm="https://r/t"',
    [{ scheme: 'ntlm', params: {} }, bearer({ realm: 'https://r/t' })],
  ],
  ['names and schemes in any case', 'BEARER Realm="https://r/T",SERVICE="S"', [bearer({ realm: 'https://r/T', service: 'S' })]],
  ['blanks around everything', '  Bearer   realm = "https://r/t" ,\t service = "s"  ', [bearer({ realm: 'https://r/t', service: 's' })]],
  ['parameters without commas', 'Bearer realm="https://r/t" service="s"', [bearer({ realm: 'https://r/t', service: 's' })]],
  ['parameters without quotes', 'Bearer realm=https://r/t?x=1,service=s', [bearer({ realm: 'https://r/t?x=1', service: 's' })]],
  ['escapes in quotes', String.raw`Basic realm="say \"hi\", \\o/"`, [{ scheme: 'basic', params: { realm: String.raw`say "hi", \o/` } }]],
  ['an empty value', 'Bearer realm="https://r/t",service="",scope="x"', [bearer({ realm: 'https://r/t', service: '', scope: 'x' })]],
  ['a missing value', 'Bearer realm="https://r/t",service=,scope="x"', [bearer({ realm: 'https://r/t', service: '', scope: 'x' })]],
  ['quotes that never close', 'Bearer realm="https://r/t', [bearer({ realm: 'https://r/t' })]],
  ['the first of two equal names counts', 'Bearer realm="a",realm="b"', [bearer({ realm: 'a' })]],
  ['empty list elements', ',, Basic realm="r",,', [{ scheme: 'basic', params: { realm: 'r' } }]],
  ['a parameter before any scheme', 'realm="x", Basic realm="r"', [{ scheme: 'basic', params: { realm: 'r' } }]],
  ['what is no token', '"?" <> Basic realm="r"', [{ scheme: 'basic', params: { realm: 'r' } }]],
  ['nothing', '', []],
]
for (const [title, header, wanted] of cases) test(`WWW-Authenticate: ${title}`, () => assert.deepEqual(parseChallenges(header), wanted))

for (const part of ['a ', '"', 'a="', 'a =', 'x y=', '\\"', 'a b==', ', ']) {
  test(`WWW-Authenticate: eight thousand times ${JSON.stringify(part)} hide no challenge behind them`, () => {
    assert.ok(parseChallenges(`Bearer realm="r", ${part.repeat(8_000)}`).every(({ scheme }) => /^[a-z\\"]+$/.test(scheme)))
    assert.deepEqual(parseChallenges(`Bearer realm="r", ${part.repeat(8_000)}`)[0]?.params.realm, 'r')
  })
}
