/** What undici is given to connect to: checked literals, and of looked-up addresses the allowed ones only. */
import assert from 'node:assert/strict'
import type { LookupAddress } from 'node:dns'
import type { LookupFunction } from 'node:net'
import { test } from 'node:test'
import type { buildConnector } from 'undici'
import { type ConnectRules, makeConnector } from '../../src/upstream/connector.ts'
import { UpstreamError } from '../../src/upstream/error.ts'
import { Lookups } from '../../src/upstream/lookup.ts'
import { Proxies } from '../../src/upstream/proxies.ts'
import { Trust } from '../../src/upstream/trust.ts'
import { ManualClock } from '../support/clock.ts'
import { MemoryLog } from '../support/log.ts'

const rules: ConnectRules = {
  tls: { system: true },
  insecureSkipVerify: false,
  exempt: () => new Set(['loopback']),
  refusal: (host, refused) => new UpstreamError('refusedAddress', `${host}: ${refused.join(', ')}`),
  onConnected: () => {},
}

/** What `net.connect` would be told to connect to, instead of connecting. */
async function targets(hostname: string, resolved: string[], all = true): Promise<LookupAddress[] | string> {
  const resolve = async () => resolved.map((address) => ({ address, family: address.includes(':') ? 6 : 4 }))
  const lookups = new Lookups({ resolve, clock: new ManualClock(), giveUpMs: 3_000 })
  let seen: LookupAddress[] | string = 'connected to the literal'
  const build = ({ lookup }: { lookup: LookupFunction }) => {
    return (options: buildConnector.Options, callback: (error: Error | null, socket: object | null) => void) => {
      if (resolved.length === 0) return callback(null, {})
      lookup(options.hostname, { all }, (error, address, family) => {
        seen = error?.message ?? (Array.isArray(address) ? address : [{ address, family: family ?? 0 }])
        callback(error, error === null ? {} : null)
      })
    }
  }
  const clock = new ManualClock()
  const trust = new Trust({ env: {}, clock, log: new MemoryLog() })
  const parts = { trust, lookups, proxies: new Proxies({ exceptions: [] }), clock, connectMs: 1_000 }
  const connect = makeConnector(build as unknown as typeof buildConnector, rules, parts)
  await new Promise<void>((done) => {
    connect({ hostname, protocol: 'http:', port: '80' }, (...[error]) => {
      if (error !== null) seen = error.message
      done()
    })
  })
  return seen
}

test('of several addresses only the allowed ones are handed on', async () => {
  assert.deepEqual(await targets('r.example', ['169.254.169.254', '127.0.0.1', 'fe80::1', '8.8.8.8']), [
    { address: '127.0.0.1', family: 4 },
    { address: '8.8.8.8', family: 4 },
  ])
})

test('where one address is wanted, it is the first allowed one', async () => {
  assert.deepEqual(await targets('r.example', ['fe80::1', '10.0.0.1', '10.0.0.2'], false), [{ address: '10.0.0.1', family: 4 }])
})

test('if none is allowed, all are named', async () => {
  assert.equal(await targets('r.example', ['169.254.169.254', 'fe80::1']), 'r.example: 169.254.169.254 (metadata), fe80::1 (linkLocal)')
})

test('a literal is checked without a look-up', async () => {
  assert.equal(await targets('127.0.0.1', []), 'connected to the literal')
  assert.equal(await targets('::ffff:a9fe:a9fe', []), '::ffff:a9fe:a9fe: ::ffff:a9fe:a9fe (metadata)')
})
