import assert from 'node:assert/strict'
import { test } from 'node:test'
import { givenSocket } from '../../src/cli/given-socket.ts'

const cases: [what: string, env: Record<string, string>, wanted: number | undefined | RegExp][] = [
  ['nothing', {}, undefined],
  ['one socket for this process', { LISTEN_PID: '42', LISTEN_FDS: '1' }, 3],
  ['one socket with a name', { LISTEN_PID: '42', LISTEN_FDS: '1', LISTEN_FDNAMES: 'ociregistry.socket' }, 3],
  ['a socket for another process', { LISTEN_PID: '41', LISTEN_FDS: '1' }, undefined],
  ['a socket for nobody', { LISTEN_FDS: '1' }, undefined],
  ['no sockets', { LISTEN_PID: '42', LISTEN_FDS: '0' }, undefined],
  ['no number', { LISTEN_PID: '42', LISTEN_FDS: 'one' }, undefined],
  ['no count', { LISTEN_PID: '42' }, undefined],
  ['two sockets', { LISTEN_PID: '42', LISTEN_FDS: '2' }, /^LISTEN_FDS: found 2 sockets from the service manager, want one/],
  ['two with names', { LISTEN_PID: '42', LISTEN_FDS: '2', LISTEN_FDNAMES: 'pulls:other' }, /manager \(pulls, other\), want one/],
]

for (const [what, env, wanted] of cases) {
  test(`Of the service manager: ${what}`, () => {
    if (wanted instanceof RegExp) assert.throws(() => givenSocket(env, 42), { name: 'ConfigError', message: wanted })
    else assert.equal(givenSocket(env, 42), wanted)
  })
}
