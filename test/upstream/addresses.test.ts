import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type AddressClass, classify, isAllowed } from '../../src/upstream/addresses.ts'

const cases: [address: string, wanted: AddressClass][] = [
  ['8.8.8.8', 'public'],
  ['172.15.255.255', 'public'],
  ['172.32.0.0', 'public'],
  ['100.128.0.0', 'public'],
  ['192.0.0.1', 'public'],
  ['10.0.0.1', 'private'],
  ['172.16.0.1', 'private'],
  ['172.31.255.255', 'private'],
  ['192.168.255.255', 'private'],
  ['100.64.0.1', 'private'],
  ['198.19.255.255', 'private'],
  ['127.0.0.1', 'loopback'],
  ['127.255.255.254', 'loopback'],
  ['169.254.0.1', 'linkLocal'],
  ['0.0.0.0', 'unspecified'],
  ['0.1.2.3', 'unspecified'],
  ['240.0.0.1', 'unspecified'],
  ['255.255.255.255', 'unspecified'],
  ['224.0.0.1', 'multicast'],
  ['239.255.255.255', 'multicast'],
  ['169.254.169.254', 'metadata'],
  ['169.254.170.2', 'metadata'],
  ['100.100.100.200', 'metadata'],
  ['192.0.0.192', 'metadata'],
  ['168.63.129.16', 'metadata'],
  ['2001:4860:4860::8888', 'public'],
  ['fc00::1', 'private'],
  ['fdff:ffff::1', 'private'],
  ['fec0::1', 'private'],
  ['::1', 'loopback'],
  ['0:0:0:0:0:0:0:1', 'loopback'],
  ['::', 'unspecified'],
  ['fe80::1', 'linkLocal'],
  ['fe80::1%eth0', 'linkLocal'],
  ['febf::1', 'linkLocal'],
  ['ff02::1', 'multicast'],
  ['fd00:ec2::254', 'metadata'],
  ['FD00:0EC2:0:0:0:0:0:0254', 'metadata'],
  // IPv4 in IPv6
  ['::ffff:127.0.0.1', 'loopback'],
  ['::ffff:7f00:1', 'loopback'],
  ['::ffff:8.8.8.8', 'public'],
  ['::ffff:169.254.169.254', 'metadata'],
  ['::ffff:0:127.0.0.1', 'loopback'],
  ['::127.0.0.1', 'loopback'],
  ['::a9fe:a9fe', 'metadata'],
  ['64:ff9b::127.0.0.1', 'loopback'],
  ['64:ff9b::a00:1', 'private'],
  ['64:ff9b:1::169.254.169.254', 'metadata'],
  ['2002:7f00:1::', 'loopback'],
  ['2002:a9fe:a9fe::1', 'metadata'],
  ['2002:808:808::', 'public'],
  // nothing that a resolver would say
  ['localhost', 'unspecified'],
  ['', 'unspecified'],
]
for (const [address, wanted] of cases) test(`address ${address} is ${wanted}`, () => assert.equal(classify(address), wanted))

const nothing = new Set<AddressClass>()
const everything = new Set<AddressClass>(['loopback', 'linkLocal', 'unspecified', 'multicast', 'metadata'])
const allowed: [address: string, exempt: ReadonlySet<AddressClass>, wanted: boolean][] = [
  ['8.8.8.8', nothing, true],
  ['10.0.0.1', nothing, true],
  ['127.0.0.1', nothing, false],
  ['127.0.0.1', new Set(['loopback']), true],
  ['169.254.1.1', new Set(['loopback']), false],
  ['224.0.0.1', nothing, false],
  ['0.0.0.0', nothing, false],
  ['169.254.169.254', everything, false],
]
for (const [address, exempt, wanted] of allowed) {
  test(`${address} is ${wanted ? 'allowed' : 'refused'} with ${[...exempt].join(', ') || 'no'} exemption`, () => {
    assert.equal(isAllowed(address, exempt), wanted)
  })
}
