import assert from 'node:assert/strict'
import { test } from 'node:test'
import { givenSockets } from '../../src/cli/given-sockets.ts'
import type { GivenSockets } from '../../src/server/sockets.ts'

const cases: [what: string, env: Record<string, string>, wanted: GivenSockets | RegExp][] = [
  ['nothing', {}, {}],
  ['one socket for this process', { LISTEN_PID: '42', LISTEN_FDS: '1' }, { pulls: 3 }],
  ['one socket with the name of its unit', { LISTEN_PID: '42', LISTEN_FDS: '1', LISTEN_FDNAMES: 'ociregistry.socket' }, { pulls: 3 }],
  ['one socket with an empty name', { LISTEN_PID: '42', LISTEN_FDS: '1', LISTEN_FDNAMES: '' }, { pulls: 3 }],
  ['one socket for something else than pulls', { LISTEN_PID: '42', LISTEN_FDS: '1', LISTEN_FDNAMES: 'metrics' }, { metrics: 3 }],
  [
    'one of each, in any order',
    { LISTEN_PID: '42', LISTEN_FDS: '4', LISTEN_FDNAMES: 'admin:pulls:metrics:health' },
    { admin: 3, pulls: 4, metrics: 5, health: 6 },
  ],
  [
    'a unit as it was, and another one with a name',
    { LISTEN_PID: '42', LISTEN_FDS: '2', LISTEN_FDNAMES: 'ociregistry.socket:health' },
    { pulls: 3, health: 4 },
  ],
  ['a socket for another process', { LISTEN_PID: '41', LISTEN_FDS: '1' }, {}],
  ['a socket for nobody', { LISTEN_FDS: '1' }, {}],
  ['no sockets', { LISTEN_PID: '42', LISTEN_FDS: '0', LISTEN_FDNAMES: '' }, {}],
  ['no number', { LISTEN_PID: '42', LISTEN_FDS: 'one' }, {}],
  ['no count', { LISTEN_PID: '42' }, {}],
  [
    'two sockets without names',
    { LISTEN_PID: '42', LISTEN_FDS: '2' },
    /^LISTEN_FDS: found 2 sockets without names, want one, or names of pulls, health, metrics, admin \(FileDescriptorName=\)$/,
  ],
  [
    'a name that says nothing',
    { LISTEN_PID: '42', LISTEN_FDS: '2', LISTEN_FDNAMES: 'pulls:other' },
    /^LISTEN_FDNAMES: found "other", want names of pulls, health, metrics, admin \(FileDescriptorName=\)$/,
  ],
  [
    'one with a name that says nothing',
    { LISTEN_PID: '42', LISTEN_FDS: '1', LISTEN_FDNAMES: 'helth' },
    /^LISTEN_FDNAMES: found "helth", want names/,
  ],
  [
    'two for pulls',
    { LISTEN_PID: '42', LISTEN_FDS: '2', LISTEN_FDNAMES: 'pulls:ociregistry.socket' },
    /^LISTEN_FDNAMES: found two sockets for pulls \(pulls:ociregistry\.socket\), want one$/,
  ],
  [
    'fewer names than sockets',
    { LISTEN_PID: '42', LISTEN_FDS: '3', LISTEN_FDNAMES: 'pulls:health' },
    /^LISTEN_FDNAMES: found 2 names for 3 sockets \(pulls:health\), want one for each$/,
  ],
]

for (const [what, env, wanted] of cases) {
  test(`Of the service manager: ${what}`, () => {
    if (wanted instanceof RegExp) assert.throws(() => givenSockets(env, 42), { name: 'ConfigError', message: wanted })
    else assert.deepEqual(givenSockets(env, 42), wanted)
  })
}
