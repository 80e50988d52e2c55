/** Platform names: images use Go's (`linux/amd64`), Node has its own. */
import type { Platform } from './manifest.ts'

const OS_NAMES: Readonly<Record<string, string>> = { win32: 'windows', sunos: 'solaris' }
const ARCHITECTURE_NAMES: Readonly<Record<string, string>> = { x64: 'amd64', ia32: '386', ppc64: 'ppc64le', mipsel: 'mipsle' }

/** @param os `process.platform`. @param architecture `process.arch` */
export function platformOfNode(os: string, architecture: string): Platform {
  return { os: OS_NAMES[os] ?? os, architecture: ARCHITECTURE_NAMES[architecture] ?? architecture }
}
