import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Platform } from '../../src/oci/manifest.ts'
import { platformOfNode } from '../../src/oci/platform.ts'

const cases: [os: string, architecture: string, want: Platform][] = [
  ['linux', 'x64', { os: 'linux', architecture: 'amd64' }],
  ['linux', 'arm64', { os: 'linux', architecture: 'arm64' }],
  ['linux', 'arm', { os: 'linux', architecture: 'arm' }],
  ['linux', 'ia32', { os: 'linux', architecture: '386' }],
  ['linux', 'ppc64', { os: 'linux', architecture: 'ppc64le' }],
  ['linux', 's390x', { os: 'linux', architecture: 's390x' }],
  ['linux', 'riscv64', { os: 'linux', architecture: 'riscv64' }],
  ['linux', 'loong64', { os: 'linux', architecture: 'loong64' }],
  ['linux', 'mipsel', { os: 'linux', architecture: 'mipsle' }],
  ['win32', 'x64', { os: 'windows', architecture: 'amd64' }],
  ['darwin', 'arm64', { os: 'darwin', architecture: 'arm64' }],
  ['freebsd', 'x64', { os: 'freebsd', architecture: 'amd64' }],
  ['sunos', 'x64', { os: 'solaris', architecture: 'amd64' }],
]
for (const [os, architecture, want] of cases) {
  test(`Node's ${os} on ${architecture} is ${want.os}/${want.architecture} to an image`, () => {
    assert.deepEqual(platformOfNode(os, architecture), want)
  })
}
